//! Locked rows, a busy pool, a server that is gone and answers that are lost: bounded waits, 503 and never 401, and
//! back to work by itself. Each beside what careless code does in the same place.

#![cfg(feature = "postgres")]

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::{StatusCode, header};
use axum_device_sessions::{
    EndOutcome, EndReason, EndTarget, ErrorKind, PostgresStore, Session, SessionId, SessionStore, SignedIn,
    store::{Activity, EndRequest},
};
use deadpool_postgres::{Manager, Pool, Runtime, Timeouts};
use tokio_postgres::{Client, NoTls, error::SqlState};

use crate::{
    node::{Node, cold, end_in_row, migrated},
    proxy::Proxy,
    support::{TestDb, connect, eventually},
};

/// Every answer of ours comes after 3.5 s at the latest; the rest is for a machine that is late with it.
const BOUND: Duration = Duration::from_secs(6);

const DIES: &str = "UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'logout' WHERE id = $1";

fn pool_of(db: &TestDb, size: usize) -> Pool {
    let manager = Manager::new(db.url().parse().expect("a url"), NoTls);
    Pool::builder(manager).max_size(size).runtime(Runtime::Tokio1).build().expect("a pool")
}

fn logout(id: SessionId) -> EndRequest {
    EndRequest::new(EndTarget::One { id, user: None }, EndReason::Logout, None)
}

/// Somebody else's transaction that holds this row until it is committed.
async fn lock(client: &Client, id: SessionId) {
    client.batch_execute("BEGIN").await.expect("begin");
    client
        .query("SELECT 1 FROM device_sessions.sessions WHERE id = $1 FOR UPDATE", &[&id.as_uuid()])
        .await
        .expect("lock");
}

/// How many of the database's connections wait for a lock.
async fn waiting(client: &Client) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    client.query_one(sql, &[]).await.expect("counted").get(0)
}

async fn three(db: &Client) -> [SignedIn; 3] {
    cold(db, "ahmed", 3).await.try_into().expect("three")
}

#[tokio::test]
async fn activity_steps_around_a_locked_row() {
    let db = TestDb::new().await;
    let store = migrated(&db).await;
    let (locker, client) = (db.connect().await, db.connect().await);
    let [locked, free, _] = three(&client).await.map(|one| one.session.id);
    let seen = |id| Activity::new(id, Duration::ZERO, None);
    let moved = async |id: SessionId| {
        let session = &store.load(&[id]).await.expect("loaded").sessions[0];
        session.last_activity_at > session.created_at
    };
    lock(&locker, locked).await;
    assert_eq!(store.record_activity(vec![seen(locked), seen(free)]).await.expect("recorded"), [locked]);
    assert!(moved(free).await && !moved(locked).await);

    // The control: the statement that anyone would write waits.
    client.batch_execute("SET lock_timeout = '200ms'").await.expect("set");
    let sql = "UPDATE device_sessions.sessions SET last_activity_at = now() WHERE id = ANY($1)";
    let waited = client.execute(sql, &[&vec![locked.as_uuid(), free.as_uuid()]]).await.expect_err("waits");
    assert_eq!(waited.code(), Some(&SqlState::LOCK_NOT_AVAILABLE));

    locker.batch_execute("COMMIT").await.expect("commit");
    assert_eq!(store.record_activity(vec![seen(locked)]).await.expect("recorded"), []);
    assert!(moved(locked).await);
}

/// The answer to BEGIN stays on its way: the end is at the row all the same. The control is who waits for each answer.
#[tokio::test]
async fn a_transaction_begins_along_with_its_first_statement() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let (locker, client, proxy) = (db.connect().await, db.connect().await, Proxy::to(db.url()).await);
    let url = proxy.url(db.url());
    let store = PostgresStore::connect(&url).await.expect("connected");
    let naive = connect(&url.parse().expect("a url")).await.expect("connected");
    let [ours, by_hand, _] = three(&client).await.map(|one| one.session.id);

    lock(&locker, ours).await;
    let held = proxy.hold("BEGIN ISOLATION");
    let end = tokio::spawn(async move { store.end(logout(ours)).await });
    held.answered().await;
    eventually("it waits for the row", async || waiting(&client).await == 1).await;
    held.release();
    locker.batch_execute("COMMIT").await.expect("commit");
    assert!(matches!(end.await.expect("no panic"), Ok(EndOutcome::Ended(_))));

    lock(&locker, by_hand).await;
    let held = proxy.hold("BEGIN");
    let end = tokio::spawn(async move {
        naive.batch_execute("BEGIN").await.expect("begun");
        naive.execute(DIES, &[&by_hand.as_uuid()]).await.expect("ended");
        naive.batch_execute("COMMIT").await.expect("committed");
    });
    held.answered().await;
    let stands = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' \
                      AND query = 'BEGIN'";
    assert_eq!(client.query(stands, &[]).await.expect("asked").len(), 1, "the control: it waits for an answer");
    assert_eq!(waiting(&client).await, 0);
    held.release();
    locker.batch_execute("COMMIT").await.expect("commit");
    end.await.expect("no panic");
}

/// The flush stands at the first of its rows while others change those that come after.
#[tokio::test]
async fn activity_of_a_row_that_changes_meanwhile_is_written_or_handed_back() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let (holder, client) = (db.connect().await, db.connect().await);
    let mut ids = three(&client).await.map(|one| one.session.id);
    ids.sort_unstable();
    let [first, changed, ended] = ids;
    let stand = format!(
        "CREATE FUNCTION stand() RETURNS trigger LANGUAGE plpgsql AS \
            'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN new; END'; \
         CREATE TRIGGER stand BEFORE UPDATE ON device_sessions.sessions FOR EACH ROW WHEN (old.id = '{}') \
            EXECUTE FUNCTION stand(); \
         ALTER TABLE device_sessions.sessions ENABLE ALWAYS TRIGGER stand",
        first.as_uuid()
    );
    client.batch_execute(&stand).await.expect("made");
    holder.batch_execute("SELECT pg_advisory_lock(7)").await.expect("held");
    // Row by row, as in a large table.
    let plans = "options=-c%20enable_seqscan%3Doff%20-c%20enable_hashjoin%3Doff%20-c%20enable_mergejoin%3Doff";
    let url = format!("{}{}{plans}", db.url(), if db.url().contains('?') { '&' } else { '?' });
    let store = Arc::new(PostgresStore::connect(&url).await.expect("connected"));
    let ip = IpAddr::from([192, 0, 2, 77]);
    let seen = |id| Activity::new(id, Duration::ZERO, Some(ip));
    let before = rows(&store, &ids).await;
    let flush = tokio::spawn({
        let (store, batch) = (Arc::clone(&store), ids.map(seen).to_vec());
        async move { store.record_activity(batch).await }
    });
    // Its first statement gives up after 20 ms; the one after that locks each row, or skips it.
    let stands = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                      AND query LIKE '%SKIP LOCKED%'";
    eventually("the flush stands", async || client.query_one(stands, &[]).await.expect("asked").get::<_, i64>(0) == 1)
        .await;
    let rename = "UPDATE device_sessions.sessions SET device_name = 'Mine' WHERE id = $1";
    client.execute(rename, &[&changed.as_uuid()]).await.expect("nobody holds it");
    client.execute(DIES, &[&ended.as_uuid()]).await.expect("nobody holds it");
    holder.batch_execute("SELECT pg_advisory_unlock(7)").await.expect("released");
    assert_eq!(flush.await.expect("no panic").expect("recorded"), [changed], "what has ended is not left over");

    let after = rows(&store, &ids).await;
    assert!(after[0].last_activity_at > before[0].last_activity_at && after[0].ip_address == Some(ip));
    assert_eq!((after[1].last_activity_at, after[1].ip_address), (before[1].last_activity_at, before[1].ip_address));
    assert_eq!(after[2].last_activity_at, before[2].last_activity_at);
    assert_eq!(store.record_activity(vec![seen(changed)]).await.expect("recorded"), []);
    let after = rows(&store, &ids).await;
    assert!(after[1].last_activity_at > before[1].last_activity_at && after[1].ip_address == Some(ip));
    assert_eq!(after[1].device.name, "Mine", "only what was seen is written");
}

/// In the order of these ids.
async fn rows(store: &PostgresStore, ids: &[SessionId]) -> Vec<Session> {
    let mut rows = store.load(ids).await.expect("loaded").sessions;
    rows.sort_by_key(|row| row.id);
    rows
}

#[tokio::test]
async fn an_end_waits_for_a_lock_so_long_and_no_longer_and_does_all_or_nothing() {
    let db = TestDb::new().await;
    let node = Node::new(migrated(&db).await).await;
    let (locker, naive, client) = (db.connect().await, db.connect().await, db.connect().await);
    let signed_in = three(&client).await;
    let ids = signed_in.each_ref().map(|one| one.session.id);
    lock(&locker, ids[2]).await;
    // The control: it waits as long as the lock is held.
    let naive = tokio::spawn(async move { naive.execute(DIES, &[&ids[2].as_uuid()]).await });
    eventually("the control waits", async || waiting(&client).await == 1).await;

    let targets = [
        EndTarget::One { id: ids[2], user: Some("ahmed".into()) },
        EndTarget::Others { user: "ahmed".into(), keep: ids[0] },
        EndTarget::All { user: "ahmed".into(), caller: None },
    ];
    for target in targets {
        let started = Instant::now();
        let error = node.sessions.end(target.clone(), EndReason::RevokedByUser, None).await.expect_err("locked");
        println!("{target:?}: {error} after {:?}", started.elapsed());
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
        // It tries again in the background, and gives up.
        eventually("nobody but the control waits", async || waiting(&client).await == 1).await;
        for (signed_in, id) in signed_in.iter().zip(ids) {
            assert_eq!(end_in_row(&client, id).await, None, "nothing half done");
            assert!(node.is_let_in(signed_in).await);
        }
    }
    assert!(!naive.is_finished());
    locker.batch_execute("COMMIT").await.expect("commit");
    naive.await.expect("no panic").expect("at last");
    let rest = EndTarget::Others { user: "ahmed".into(), keep: ids[0] };
    match node.sessions.end(rest, EndReason::RevokedByUser, None).await.expect("free") {
        EndOutcome::Ended(done) => assert_eq!(done.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[1]]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn two_devices_that_sign_each_other_out_leave_one() {
    let db = TestDb::new().await;
    let store = migrated(&db).await;
    let client = db.connect().await;
    let others = |keep| EndRequest::new(EndTarget::Others { user: "ahmed".into(), keep }, EndReason::Logout, None);
    for _ in 0..20 {
        let [a, b, third] = three(&client).await.map(|one| one.session.id);
        let (first, second) = tokio::join!(store.end(others(a)), store.end(others(b)));
        let outcomes = [first.expect("ended"), second.expect("ended")];
        assert!(outcomes.iter().any(|outcome| matches!(outcome, EndOutcome::Ended(done) if done.len() == 2)));
        assert!(outcomes.iter().any(|outcome| matches!(outcome, EndOutcome::CallerEnded(Some(_)))), "{outcomes:?}");
        let left = store.list(&"ahmed".into()).await.expect("listed").sessions;
        assert!(left.len() == 1 && left[0].id != third, "{left:?}");
        store.end(logout(left[0].id)).await.expect("ended");
    }
    // The control: look whether the caller is live, then end the rest; nothing makes the two wait for each other.
    let ids = three(&client).await.map(|one| one.session.id);
    let both = [db.connect().await, db.connect().await];
    for (connection, id) in both.iter().zip(ids) {
        connection.batch_execute("BEGIN").await.expect("begin");
        let live = "SELECT ended_at IS NULL FROM device_sessions.sessions WHERE id = $1";
        assert!(connection.query_one(live, &[&id.as_uuid()]).await.expect("read").get::<_, bool>(0));
    }
    for (connection, id) in both.iter().zip(ids) {
        let rest = "UPDATE device_sessions.sessions SET ended_at = now() WHERE user_id = 'ahmed' AND id <> $1";
        connection.execute(rest, &[&id.as_uuid()]).await.expect("ended");
        connection.batch_execute("COMMIT").await.expect("commit");
    }
    assert!(store.list(&"ahmed".into()).await.expect("listed").sessions.is_empty(), "the control leaves none");
}

#[tokio::test]
async fn loads_never_queue_behind_writes_that_wait() {
    let db = TestDb::new().await;
    let pool = pool_of(&db, 2);
    migrated(&db).await;
    let node = Node::new(PostgresStore::from_pool(pool.clone()).expect("two will do")).await;
    let (locker, client) = (db.connect().await, db.connect().await);
    let signed_in = three(&client).await;
    let ids = signed_in.each_ref().map(|one| one.session.id);
    lock(&locker, ids[0]).await;
    let ends: Vec<_> = (0..4)
        .map(|_| {
            let sessions = node.sessions.clone();
            let target = EndTarget::One { id: ids[0], user: None };
            tokio::spawn(async move { sessions.end(target, EndReason::Logout, None).await })
        })
        .collect();
    eventually("an end waits", async || waiting(&client).await == 1).await;
    for one in &signed_in {
        assert!(node.is_let_in(one).await);
    }
    assert_eq!(waiting(&client).await, 1, "all the while");
    for end in ends {
        assert_eq!(end.await.expect("no panic").expect_err("locked").kind(), ErrorKind::Unavailable);
    }

    // The control: writers that take what they can get.
    let naive: Vec<_> = (0..2)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.get().await.expect("free").execute(DIES, &[&ids[0].as_uuid()]).await })
        })
        .collect();
    eventually("both wait", async || waiting(&client).await == 2).await;
    let wait = Timeouts { wait: Some(Duration::from_millis(200)), ..Timeouts::default() };
    assert!(pool.timeout_get(&wait).await.is_err(), "nothing is left for a load");
    locker.batch_execute("COMMIT").await.expect("commit");
    for end in naive {
        end.await.expect("no panic").expect("ended");
    }
}

async fn assert_unavailable(node: &Node, signed_in: &SignedIn) {
    let started = Instant::now();
    let response = node.get(signed_in).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    assert!(!response.headers().contains_key(header::SET_COOKIE), "no cookie is taken back");
    assert!(!response.headers().contains_key(header::WWW_AUTHENTICATE));
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
}

/// The check as one would write it first: whoever cannot be found is not signed in.
async fn naive_check(pool: &Pool, id: SessionId) -> StatusCode {
    let Ok(client) = pool.get().await else { return StatusCode::UNAUTHORIZED };
    let sql = "SELECT 1 FROM device_sessions.sessions WHERE id = $1 AND ended_at IS NULL";
    match client.query_opt(sql, &[&id.as_uuid()]).await.ok().flatten() {
        Some(_) => StatusCode::OK,
        None => StatusCode::UNAUTHORIZED,
    }
}

#[tokio::test]
async fn an_exhausted_pool_is_503_until_it_is_not() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let pool = pool_of(&db, 2);
    let store = PostgresStore::from_pool(pool.clone()).expect("a store");
    let node = Node::with(store, |builder| builder.max_staleness(Duration::from_secs(60))).await;
    let [known, unknown, _] = three(&db.connect().await).await;
    assert!(node.is_let_in(&known).await);

    let taken = [pool.get().await.expect("free"), pool.get().await.expect("free")];
    // The control: deadpool's own defaults wait for ever.
    let naive = tokio::spawn(async move { naive_check(&pool, known.session.id).await });
    assert_unavailable(&node, &unknown).await;
    assert!(node.is_let_in(&known).await, "what is in memory is still believed");
    let error = node.sessions.list(&"ahmed".into(), None).await.expect_err("no connection");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let target = EndTarget::All { user: "ahmed".into(), caller: None };
    let error = node.sessions.end(target, EndReason::Logout, None).await.expect_err("no connection");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!naive.is_finished());

    drop(taken);
    assert!(node.is_let_in(&unknown).await, "at once");
    assert_eq!(naive.await.expect("no panic"), StatusCode::OK);
}

#[tokio::test]
async fn a_stopped_database_is_503_and_never_401_until_it_is_back() {
    let db = TestDb::own_cluster(&[]).await;
    let proxy = Proxy::to(db.url()).await;
    migrated(&db).await;
    let store = PostgresStore::connect(&proxy.url(db.url())).await.expect("connect");
    // Short, so that what is known is soon not believed any more.
    let node = Node::with(store, |builder| builder.max_staleness(Duration::from_secs(4))).await;
    let [known, unknown, caught] = three(&db.connect().await).await;
    let pool = pool_of(&db, 2);
    assert!(node.is_let_in(&known).await);
    assert_eq!(naive_check(&pool, known.session.id).await, StatusCode::OK);

    // One request is under way when it happens.
    let held = proxy.hold("WHERE id = ");
    let under_way = tokio::spawn(node.get(&caught));
    held.answered().await;
    db.server().stop_immediate();
    assert_eq!(under_way.await.expect("no panic").status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(held);
    assert_unavailable(&node, &unknown).await;
    eventually("the known one is not believed any more", async || {
        let status = node.status(&known).await;
        assert_ne!(status, StatusCode::UNAUTHORIZED);
        status == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    assert_unavailable(&node, &caught).await;
    // The control signs everybody out.
    assert_eq!(naive_check(&pool, known.session.id).await, StatusCode::UNAUTHORIZED);

    db.server().start_again().expect("start again");
    for one in [&known, &unknown, &caught] {
        eventually("let in again, the same node", async || {
            let status = node.status(one).await;
            assert_ne!(status, StatusCode::UNAUTHORIZED);
            status == StatusCode::OK
        })
        .await;
    }
    let target = EndTarget::One { id: known.session.id, user: None };
    node.sessions.end(target, EndReason::Logout, None).await.expect("ended");
    assert!(!node.is_let_in(&known).await);
}

#[tokio::test]
async fn an_end_whose_acknowledgement_is_lost_still_holds() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let client = db.connect().await;
    let proxy = Proxy::to(db.url()).await;
    let connect = async || PostgresStore::connect(&proxy.url(db.url())).await.expect("connect");
    for way in 0..3 {
        let node = Node::new(connect().await).await;
        let signed_in = three(&client).await;
        let [caller, doomed, _] = signed_in.each_ref().map(|one| one.session.id);
        let user = "ahmed".into();
        let target = match way {
            0 => EndTarget::One { id: doomed, user: None },
            1 => EndTarget::Others { user, keep: caller },
            _ => EndTarget::All { user, caller: Some(caller) },
        };
        for one in &signed_in {
            assert!(node.is_let_in(one).await);
        }
        let held = proxy.hold("COMMIT\0");
        let sessions = node.sessions.clone();
        let end = {
            let target = target.clone();
            tokio::spawn(async move { sessions.end(target, EndReason::Logout, None).await })
        };
        held.answered().await;
        held.cut();
        println!("{target:?}: {:?}", end.await.expect("no panic").expect("ended, by the second try"));
        assert!(!node.is_let_in(&signed_in[1]).await, "{target:?}");
        assert_eq!(node.is_let_in(&signed_in[0]).await, way < 2, "{target:?}");
        let all = EndTarget::All { user: "ahmed".into(), caller: None };
        node.sessions.end(all, EndReason::Logout, None).await.expect("ended");
    }
    // The control: one try fails, although it worked.
    let [one, ..] = three(&client).await;
    let (store, id) = (connect().await, one.session.id);
    let held = proxy.hold("COMMIT\0");
    let end = tokio::spawn(async move { store.end(logout(id)).await });
    held.answered().await;
    held.cut();
    assert_eq!(end.await.expect("no panic").expect_err("lost").kind(), ErrorKind::Unavailable);
    assert_eq!(end_in_row(&client, id).await.as_deref(), Some("logout"));
}

#[tokio::test]
async fn a_server_that_never_answers_is_not_waited_for() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let client = db.connect().await;
    let proxy = Proxy::to(db.url()).await;
    let node = Node::new(PostgresStore::connect(&proxy.url(db.url())).await.expect("connect")).await;
    let [one, ..] = three(&client).await;
    // The control: a query with no bound, for as long as all of this takes.
    let naive = proxy.hold("naive");
    let config: tokio_postgres::Config = proxy.url(db.url()).parse().expect("a url");
    let (unbounded, connection) = config.connect(NoTls).await.expect("connect");
    tokio::spawn(connection);
    let waits = tokio::spawn(async move { unbounded.query("SELECT 'naive'", &[]).await.map(|rows| rows.len()) });
    naive.answered().await;

    let held = proxy.hold("WHERE user_id = ");
    let started = Instant::now();
    let error = node.sessions.list(&"ahmed".into(), None).await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(started.elapsed() < BOUND, "list: {:?}", started.elapsed());
    drop(held);

    let held = proxy.hold("WHERE id = ");
    assert_unavailable(&node, &one).await;
    drop(held);

    let held = proxy.hold("UPDATE device_sessions.sessions SET ended_at");
    let started = Instant::now();
    let target = EndTarget::One { id: one.session.id, user: None };
    let ended = node.sessions.end(target, EndReason::Logout, None).await;
    println!("end, its first try unanswered: {ended:?} after {:?}", started.elapsed());
    assert!(started.elapsed() < BOUND, "end: {:?}", started.elapsed());
    drop(held);
    assert!(!waits.is_finished());
    drop(naive);
    assert_eq!(waits.await.expect("no panic").expect("answered"), 1);
}
