//! Reading sessions: together, once, whoever goes away meanwhile.

#![cfg(feature = "postgres")]

#[path = "support/node.rs"]
mod node;
#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use axum_device_sessions::{EndReason, EndTarget, PostgresStore, SessionStore, SignedIn};
use moka::sync::Cache;
use node::{LOADS, Node, cold, count_statements, migrated, statements};
use proxy::Proxy;
use support::TestDb;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio_postgres::Client;

async fn counted(db: &TestDb) -> Client {
    let client = db.connect().await;
    count_statements(&client).await;
    client
}

/// One request each, all at once: on one thread, so all of them have asked before the first load is sent.
async fn all_at_once<'a>(node: &Node, signed_in: impl Iterator<Item = &'a SignedIn>) {
    let requests: JoinSet<_> = signed_in.map(|one| node.get(one)).collect();
    for response in requests.join_all().await {
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_thousand_requests_of_one_session_are_one_statement() {
    let db = TestDb::new().await;
    let node = Node::new(migrated(&db).await).await;
    let client = counted(&db).await;
    let signed_in = cold(&client, "ahmed", 1).await.remove(0);
    all_at_once(&node, std::iter::repeat_n(&signed_in, 1_000)).await;
    assert_eq!(statements(&client, LOADS).await, 1);
    all_at_once(&node, std::iter::repeat_n(&signed_in, 1_000)).await;
    assert_eq!(statements(&client, LOADS).await, 1, "and no more while it is known");

    // The control: who asks for himself.
    let store = Arc::new(PostgresStore::connect(db.url()).await.expect("connect"));
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (store, id) = (Arc::clone(&store), signed_in.session.id);
        tasks.spawn(async move { store.load(&[id]).await.expect("loaded").sessions.len() });
    }
    assert_eq!(tasks.join_all().await.iter().sum::<usize>(), 100);
    assert_eq!(statements(&client, LOADS).await, 101);
}

#[tokio::test]
async fn five_thousand_cold_sessions_are_a_few_statements() {
    let db = TestDb::new().await;
    let node = Node::new(migrated(&db).await).await;
    let client = counted(&db).await;
    let signed_in = cold(&client, "ahmed", 5_000).await;
    all_at_once(&node, signed_in.iter()).await;
    let sent = statements(&client, LOADS).await;
    println!("5,000 cold sessions: {sent} statements");
    assert!(sent <= 5_000 / 256 + 5, "{sent}");
}

/// As after a deployment: everybody comes back, two thousand at a time. `SESSIONS` is how many, 20,000 by default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cold_sessions_are_at_most_six_statements_in_a_thousand() {
    let sessions = std::env::var("SESSIONS").map_or(20_000, |text| text.parse().expect("a number"));
    let db = TestDb::new().await;
    let node = Arc::new(Node::new(migrated(&db).await).await);
    let client = counted(&db).await;
    let waiting = Arc::new(Mutex::new(cold(&client, "ahmed", sessions).await));
    let mut people = JoinSet::new();
    for _ in 0..2_048 {
        let (node, waiting) = (Arc::clone(&node), Arc::clone(&waiting));
        people.spawn(async move {
            loop {
                let next = waiting.lock().expect("no panic").pop();
                let Some(one) = next else { return };
                assert_eq!(node.get(&one).await.status(), StatusCode::OK);
            }
        });
    }
    people.join_all().await;
    let sent = statements(&client, LOADS).await;
    println!("{sessions} cold sessions: {sent} statements");
    assert!(sent * 1_000 <= i64::try_from(sessions).expect("a number") * 6, "{sent}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_many_threads_no_session_is_read_twice() {
    let db = TestDb::new().await;
    // What a busy machine takes seconds for is still to be believed.
    let node =
        Node::with(migrated(&db).await, |builder| builder.max_staleness(std::time::Duration::from_secs(60))).await;
    let client = counted(&db).await;
    let signed_in = cold(&client, "ahmed", 2_000).await;
    all_at_once(&node, signed_in.iter().chain(&signed_in).chain(&signed_in)).await;
    let rows = "SELECT sum(rows)::int8 FROM pg_stat_statements WHERE query LIKE $1 \
                AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    // A request whose thread is held up between its look and its asking may ask again for what has just been read; without one
    // flight for all it would be 6,000.
    let rows = client.query_one(rows, &[&LOADS]).await.expect("counted").get::<_, i64>(0);
    assert!((2_000..=2_020).contains(&rows), "{rows}");
    let sent = statements(&client, LOADS).await;
    println!("2,000 cold sessions, three requests each, two threads: {sent} statements");
    assert!(sent < 500, "{sent}");
}

#[tokio::test]
async fn a_dropped_request_takes_no_load_with_it() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let proxy = Proxy::to(db.url()).await;
    let client = counted(&db).await;
    let signed_in = cold(&client, "ahmed", 1).await.remove(0);
    let node = Node::new(PostgresStore::connect(&proxy.url(db.url())).await.expect("connect")).await;
    let held = proxy.hold("WHERE id = ");
    let first = tokio::spawn(node.get(&signed_in));
    held.answered().await;
    let second = tokio::spawn(node.get(&signed_in));
    first.abort();
    assert!(first.await.expect_err("aborted").is_cancelled());
    held.release();
    assert_eq!(second.await.expect("no panic").status(), StatusCode::OK);
    assert_eq!(statements(&client, LOADS).await, 1, "the one that the first had begun");

    // The control: a load in the future of whoever came first.
    let store = Arc::new(PostgresStore::connect(&proxy.url(db.url())).await.expect("connect"));
    let shared = Arc::new(OnceCell::new());
    let load = || {
        let (store, shared, id) = (Arc::clone(&store), Arc::clone(&shared), signed_in.session.id);
        tokio::spawn(async move {
            shared.get_or_init(|| async { store.load(&[id]).await.expect("loaded").sessions.len() }).await.to_owned()
        })
    };
    let held = proxy.hold("WHERE id = ");
    let first = load();
    held.answered().await;
    let second = load();
    first.abort();
    assert_eq!(second.await.expect("no panic"), 1);
    assert_eq!(statements(&client, LOADS).await, 3, "begun anew");
}

/// `moka`'s future cache panics in innocent waiters after 200 of these.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_that_go_away_disturb_nobody() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let proxy = Proxy::to(db.url()).await;
    let client = counted(&db).await;
    let signed_in = cold(&client, "ahmed", 1).await.remove(0);
    let node = Node::new(PostgresStore::connect(&proxy.url(db.url())).await.expect("connect")).await;
    let held = proxy.hold("WHERE id = ");
    let mut waiting: JoinSet<_> = (0..20).map(|_| node.get(&signed_in)).collect();
    held.answered().await;
    let mut gone = 0;
    for _ in 0..20 {
        let crowd: Vec<_> = (0..50).map(|_| tokio::spawn(node.get(&signed_in))).collect();
        tokio::task::yield_now().await;
        crowd.iter().for_each(tokio::task::JoinHandle::abort);
        for request in crowd {
            gone += usize::from(request.await.is_err_and(|error| error.is_cancelled()));
        }
    }
    assert_eq!(gone, 1_000);
    held.release();
    while let Some(response) = waiting.join_next().await {
        assert_eq!(response.expect("no panic").status(), StatusCode::OK);
    }
    assert!(node.is_let_in(&signed_in).await);
    assert_eq!(statements(&client, LOADS).await, 1);

    // The control: each leader that goes away makes the next one begin anew.
    let (shared, begun) = (Arc::new(OnceCell::<usize>::new()), Arc::new(AtomicUsize::new(0)));
    for _ in 0..1_000 {
        let (shared, begun) = (Arc::clone(&shared), Arc::clone(&begun));
        let (asked, has_asked) = tokio::sync::oneshot::channel();
        let leader = tokio::spawn(async move {
            let load = async {
                begun.fetch_add(1, Ordering::SeqCst);
                asked.send(()).expect("somebody waits");
                std::future::pending().await
            };
            shared.get_or_init(|| load).await.to_owned()
        });
        has_asked.await.expect("asked");
        leader.abort();
        assert!(leader.await.is_err());
    }
    assert_eq!(begun.load(Ordering::SeqCst), 1_000);
}

const CAPACITY: u64 = 10;

#[tokio::test]
async fn a_cache_that_is_too_small_costs_reads_and_nothing_else() {
    let db = TestDb::new().await;
    let store = migrated(&db).await;
    let node = Node::with(store, |builder| builder.max_cached_sessions(CAPACITY)).await;
    let client = counted(&db).await;
    let signed_in = cold(&client, "ahmed", 100).await;
    for one in &signed_in[..50] {
        assert!(node.is_let_in(one).await);
        let target = EndTarget::One { id: one.session.id, user: None };
        node.sessions.end(target, EndReason::Logout, None).await.expect("ended");
        assert!(!node.is_let_in(one).await);
    }
    let before = statements(&client, LOADS).await;
    for _ in 0..10 {
        for (place, one) in signed_in.iter().enumerate() {
            assert_eq!(node.is_let_in(one).await, place >= 50, "{place}");
        }
    }
    let reads = statements(&client, LOADS).await - before;
    println!("1,000 requests over 100 sessions with room for {CAPACITY}: {reads} reads");
    assert!(reads > 500, "evicted sessions are read again: {reads}");
    // Nobody who comes later is kept out by those who were here often, and are here no more.
    let (hot, late) = (&signed_in[50..60], cold(&client, "lena", 20).await);
    for one in hot.iter().cycle().take(1_000) {
        assert!(node.is_let_in(one).await);
    }
    let before = statements(&client, LOADS).await;
    for one in &late {
        assert!(node.is_let_in(one).await);
        for still_here in hot[..5].iter().cycle().take(100) {
            assert!(node.is_let_in(still_here).await);
        }
        assert!(node.is_let_in(one).await);
    }
    let reads = statements(&client, LOADS).await - before;
    println!("20 newcomers with two requests each: {reads} reads");
    assert!(reads <= 25, "each is read once: {reads}");
}

/// The control: with moka's default policy a full and busy cache turns newcomers away.
#[test]
fn moka_left_to_itself_turns_newcomers_away() {
    let cache = Cache::new(CAPACITY);
    for hot in 0..CAPACITY {
        cache.insert(hot, ());
    }
    for _ in 0..50 {
        for hot in 0..CAPACITY {
            assert!(cache.get(&hot).is_some());
        }
        cache.run_pending_tasks();
    }
    let mut missed = 0;
    for late in 100..130 {
        cache.insert(late, ());
        cache.run_pending_tasks();
        missed += usize::from(cache.get(&late).is_none());
    }
    println!("moka's default policy: {missed} of 30 newcomers turned away");
    assert!(missed > 15, "{missed}");
}
