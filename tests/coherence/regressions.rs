//! What a review has found once, each with its story, so that it does not come back.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use axum_device_sessions::{
    Clock, Coherence, CurrentSession, EndReason, EndTarget, MemoryStore, PostgresStore, SessionValidationLayer,
    Sessions, SignIn, SignedIn, routes,
};
use deadpool_postgres::{Manager, Pool, Runtime};
use http::{Request, StatusCode};
use tokio_postgres::NoTls;
use tower::ServiceExt as _;

use crate::{
    cluster::{ask, builder, current, node, tokens, told},
    support::{TestDb, eventually},
};

fn pool(url: &str, size: usize) -> Pool {
    Pool::builder(Manager::new(url.parse().unwrap(), NoTls)).max_size(size).runtime(Runtime::Tokio1).build().unwrap()
}

async fn sign_in(node: &Sessions, count: usize) -> Vec<SignedIn> {
    let mut all = Vec::new();
    for user in 0..count {
        all.push(node.sign_in(SignIn::new(format!("user-{user}"))).await.unwrap());
    }
    all
}

/// Postgres knows `infinity`, Rust does not; one such row failed the whole batch that it was read in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_row_is_nobody_elses_trouble() {
    let db = TestDb::new().await;
    let all = sign_in(&node(db.url()).await, 40).await;
    let psql = db.connect().await;
    let set = async |what: &str, one: &SignedIn| {
        let sql = format!("UPDATE device_sessions.sessions SET {what} WHERE id = $1");
        psql.execute(&sql, &[&one.session.id.as_uuid()]).await.unwrap();
    };
    set("expires_at = 'infinity'", &all[5]).await;
    set("ended_at = 'infinity'", &all[6]).await;
    set("ended_at = '-infinity'", &all[7]).await;
    // A number that no JSON reader of ours can hold: this row alone cannot be read.
    set("metadata = '1e400'", &all[8]).await;
    let node = node(db.url()).await;
    let asked: Vec<_> = all
        .iter()
        .cloned()
        .map(|one| {
            let node = node.clone();
            tokio::spawn(async move { ask(&node, &one).await.as_u16() })
        })
        .collect();
    for (index, asked) in asked.into_iter().enumerate() {
        let expected = match index {
            6 | 7 => 401,
            8 => 503,
            _ => 200,
        };
        assert_eq!(asked.await.unwrap(), expected, "{index}");
    }
    assert_eq!(node.list(&"user-5".into(), None).await.unwrap().len(), 1);
}

/// A backend that waits for a lock does not notice that its client has given up, so each timed-out read left one behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_time_out_leave_no_backends_behind() {
    let db = TestDb::new().await;
    let all = sign_in(&node(db.url()).await, 30).await;
    let node = builder(db.url()).await.load_timeout(Duration::from_millis(200)).build().await.unwrap();
    let (mut locker, watch) = (db.connect().await, db.connect().await);
    let lock = locker.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE device_sessions.sessions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    for one in &all {
        assert_eq!(ask(&node, one).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    // Thirty reads have timed out. Those that are being cancelled may still be there for a moment.
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("they are gone", || async { watch.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) <= 2 }).await;
    lock.rollback().await.unwrap();
    eventually("and all is well", || async { ask(&node, &all[0]).await == StatusCode::OK }).await;
}

/// A 503 counts as activity; it must not bring back a session that had run out before.
#[tokio::test]
async fn a_503_revives_nobody() {
    let db = TestDb::new().await;
    let clock = Clock::manual();
    let pool = pool(db.url(), 2);
    let store = PostgresStore::from_pool(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    let hour = Duration::from_secs(3_600);
    let settings = Sessions::builder(store).access_tokens(tokens()).idle_timeout(hour).access_token_ttl(10 * hour);
    let node = settings.clock(clock.clone()).build().await.unwrap();
    let all = sign_in(&node, 2).await;
    for one in &all {
        assert_eq!(ask(&node, one).await, StatusCode::OK);
    }
    node.flush_activity().await.unwrap();
    let taken = [pool.get().await.unwrap(), pool.get().await.unwrap()];
    clock.advance(hour / 2);
    assert_eq!(ask(&node, &all[0]).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(node.health().queued_activity, 1, "the one that is in time counts");
    clock.advance(hour * 3 / 4);
    assert_eq!(ask(&node, &all[1]).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(node.health().queued_activity, 1, "the one that comes too late does not");
    drop(taken);
}

/// A load's place among the batches went with its runtime, and then nothing was ever loaded again.
#[test]
fn a_runtime_that_ends_takes_no_place_with_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (node, all) = first.block_on(async {
        let node = Sessions::in_memory();
        let all = sign_in(&node, 6).await;
        (node, all)
    });
    first.block_on(async {
        for one in &all[..4] {
            let mut request = Box::pin(ask(&node, one));
            poll_fn(|cx| {
                let _pending = request.as_mut().poll(cx);
                Poll::Ready(())
            })
            .await;
        }
    });
    drop(first);
    runtime().block_on(async {
        for one in &all {
            assert_eq!(ask(&node, one).await, StatusCode::OK, "by another runtime");
        }
    });
}

/// Whoever was active through an outage longer than the idle timeout is idle by the row, until his node has written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_makes_nobody_idle() {
    let db = TestDb::own_cluster(&[]).await;
    let idle = Duration::from_secs(6);
    let start = async || {
        let settings = builder(db.url()).await.idle_timeout(idle).max_staleness(Duration::from_secs(1));
        let node = settings.activity_interval(Duration::from_millis(600)).build().await.unwrap();
        told(&node).await;
        node
    };
    let (here, there) = (start().await, start().await);
    let one = here.sign_in(SignIn::new("ahmed")).await.unwrap();
    assert_eq!(ask(&here, &one).await, StatusCode::OK);
    db.server().stop_immediate();
    let stopped = Instant::now();
    eventually("longer than the idle timeout", || async {
        assert_ne!(ask(&here, &one).await, StatusCode::UNAUTHORIZED);
        stopped.elapsed() > idle + Duration::from_secs(3)
    })
    .await;
    db.server().start_again().unwrap();
    for node in [&there, &here] {
        eventually("the session goes on", || async {
            let status = ask(node, &one).await;
            assert_ne!(status, StatusCode::UNAUTHORIZED);
            status == StatusCode::OK
        })
        .await;
    }
}

/// The application may be the first to use a connection of a pool that it shares; it was then taken for known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_pool_that_reaches_another_server_is_found_out() {
    let (db, other) = (TestDb::own_cluster(&[]).await, TestDb::own_cluster(&[]).await);
    let port = |url: &str| url.parse::<tokio_postgres::Config>().unwrap().get_ports()[0];
    // The same name there, and a schema, but other rows.
    let psql = other.connect().await;
    psql.batch_execute(&format!("CREATE DATABASE {}", db.name())).await.unwrap();
    let there = format!("{}/{}", other.url().rsplit_once('/').unwrap().0, db.name());
    PostgresStore::connect(&there).await.unwrap().migrate().await.unwrap();
    // A name that moves, as in a failover by DNS.
    let target = Arc::new(AtomicU16::new(port(db.url())));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let name = listener.local_addr().unwrap().port();
    let moves = Arc::clone(&target);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let port = moves.load(Ordering::SeqCst);
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _closed = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    let url = db.url().replacen(&format!(":{}/", port(db.url())), &format!(":{name}/"), 1);
    let signed_in = sign_in(&node(db.url()).await, 2).await;
    for (one, application_first) in signed_in.iter().zip([false, true]) {
        target.store(port(db.url()), Ordering::SeqCst);
        let pool = pool(&url, 4);
        let store = PostgresStore::from_pool(pool.clone()).unwrap().listen_url(db.url()).unwrap();
        store.migrate().await.unwrap();
        let node = Sessions::builder(store).access_tokens(tokens()).build().await.unwrap();
        told(&node).await;
        target.store(port(&there), Ordering::SeqCst);
        pool.retain(|_, _| false);
        if application_first {
            drop(pool.get().await.unwrap());
        }
        assert_eq!(ask(&node, one).await, StatusCode::SERVICE_UNAVAILABLE, "{application_first}");
    }
}

/// The time of the layer and that of the handler were two times, one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layer_and_handler_share_one_time() {
    let db = TestDb::new().await;
    let one = sign_in(&node(db.url()).await, 1).await.remove(0);
    let node = node(db.url()).await;
    let lock = "BEGIN; LOCK TABLE device_sessions.sessions IN ACCESS EXCLUSIVE MODE";
    let (first, second, watch) = (db.connect().await, db.connect().await, db.connect().await);
    first.batch_execute(lock).await.unwrap();
    let app = Router::new().nest("/sessions", routes::sessions()).layer(SessionValidationLayer::new(node.clone()));
    let bearer = format!("Bearer {}", one.access_token);
    let request = Request::get("/sessions").header("authorization", bearer).body(Body::empty()).unwrap();
    let asked = Instant::now();
    let answer = tokio::spawn(app.oneshot(request));
    let waiting = |count: i64| {
        let watch = &watch;
        async move {
            let sql =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            watch.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == count
        }
    };
    eventually("the layer reads", || waiting(1)).await;
    let again = tokio::spawn(async move {
        second.batch_execute(lock).await.unwrap();
        second
    });
    eventually("the next lock waits behind it", || waiting(2)).await;
    eventually("most of the layer's time is over", || async { asked.elapsed() > Duration::from_millis(1_500) }).await;
    first.batch_execute("COMMIT").await.unwrap();
    let second = again.await.unwrap();
    assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(asked.elapsed() < Duration::from_millis(4_900), "{:?}", asked.elapsed());
    second.batch_execute("COMMIT").await.unwrap();
}

/// A session that was forgotten and found again was queued again, so the queue grew with the requests.
#[tokio::test]
async fn activity_waits_once_for_each_session() {
    let settings = Sessions::builder(MemoryStore::new()).access_tokens(tokens()).max_cached_sessions(10);
    let node = settings.activity_interval(Duration::from_secs(600)).build().await.unwrap();
    let all = sign_in(&node, 100).await;
    for _ in 0..10 {
        for one in &all {
            assert_eq!(ask(&node, one).await, StatusCode::OK);
        }
    }
    assert_eq!(node.health().queued_activity, 100);
}

/// A waiter looked again so long after its last look, not after what it had looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_that_is_not_told_hears_within_the_bound() {
    let db = TestDb::new().await;
    let elsewhere = node(db.url()).await;
    let bound = Duration::from_secs(4);
    let store = PostgresStore::from_pool(pool(db.url(), 4)).unwrap();
    let node = Sessions::builder(store).access_tokens(tokens()).max_staleness(bound).build().await.unwrap();
    assert_eq!(node.health().coherence, Coherence::Polling);
    assert!(node.health().last_error.is_some_and(|error| error.contains("listen_url")), "and it is said why");
    let one = elsewhere.sign_in(SignIn::new("ahmed")).await.unwrap();
    let began = Instant::now();
    let current: CurrentSession = current(&node, &one).await.1.unwrap();
    eventually("what was read is nearly too old", || async { began.elapsed() > bound * 9 / 10 }).await;
    let waiter = tokio::spawn(current.ended());
    // Somebody else has it read anew, just after the waiter has looked.
    eventually("a new reading", || async { ask(&node, &one).await == StatusCode::OK && began.elapsed() > bound }).await;
    elsewhere.end(EndTarget::One { id: one.session.id, user: None }, EndReason::Logout, None).await.unwrap();
    let acknowledged = Instant::now();
    assert_eq!(waiter.await.unwrap(), EndReason::Logout);
    // The bound, and the time of a read on a busy machine; it was twice the bound before.
    assert!(acknowledged.elapsed() < bound * 3 / 2, "{:?}", acknowledged.elapsed());
}

/// Nobody makes a request meanwhile: a waiter has a timer of its own.
#[tokio::test]
async fn a_waiter_hears_of_expiry() {
    let (short, long) = (Duration::from_secs(2), Duration::from_secs(3_600));
    for (idle, absolute, reason) in [(short, long, EndReason::Idle), (long, short, EndReason::Absolute)] {
        let settings = Sessions::builder(MemoryStore::new()).access_tokens(tokens()).access_token_ttl(long);
        let node = settings.idle_timeout(idle).absolute_lifetime(absolute).build().await.unwrap();
        let one = node.sign_in(SignIn::new("ahmed")).await.unwrap();
        let (status, session) = current(&node, &one).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(session.unwrap().ended().await, reason);
        assert_eq!(ask(&node, &one).await, StatusCode::UNAUTHORIZED);
    }
}
