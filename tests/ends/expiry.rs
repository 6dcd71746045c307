//! Sessions that have run out are marked as ended, with the reason and the moment; whatever a node has seen of a
//! session and could not write down yet keeps it alive.

#![cfg(feature = "postgres")]

use std::time::{Duration, Instant};

use axum_device_sessions::{EndReason, PostgresStore, SessionsBuilder, SignedIn};
use http::StatusCode;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::{
    cluster::current,
    node::{Node, cold, count_statements, end_in_row, migrated, statements},
    stall::{Hold, Stall},
    support::{TestDb, eventually},
};

const MILLI: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_secs(60);

/// Upkeep every 250 ms: it follows the shorter of the two lives, and the rows here are given their own end.
fn short(builder: SessionsBuilder) -> SessionsBuilder {
    builder.idle_timeout(IDLE).absolute_lifetime(5_000 * MILLI).activity_interval(250 * MILLI)
}

async fn another(db: &TestDb, set: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Node {
    Node::with(PostgresStore::connect(db.url()).await.unwrap(), set).await
}

/// As if last used and to end so many seconds from now.
async fn move_to(db: &Client, one: &SignedIn, used: f64, ends: f64) {
    let sql = "UPDATE device_sessions.sessions SET last_activity_at = clock_timestamp() + $2 * interval '1 s', \
               expires_at = clock_timestamp() + $3 * interval '1 s' WHERE id = $1";
    db.execute(sql, &[&one.session.id.as_uuid(), &used, &ends]).await.unwrap();
}

async fn number(db: &Client, sql: &str) -> i64 {
    db.query_one(sql, &[]).await.unwrap().get(0)
}

/// What one writes first; to be rolled back.
async fn naive_sweep(db: &Client, idle: Duration) -> u64 {
    let sql = "UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'idle' \
               WHERE ended_at IS NULL AND last_activity_at < now() - $1 * interval '1 s'";
    db.execute(sql, &[&idle.as_secs_f64()]).await.unwrap()
}

const DAY: f64 = 86_400.0;
const TURNS: &str = "SELECT pg_try_advisory_xact_lock%";
const LOG_ENDS: &str = "CREATE TABLE ends (id uuid); \
    CREATE FUNCTION log_end() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN INSERT INTO public.ends VALUES (NEW.id); RETURN NULL; END $$; \
    CREATE TRIGGER log_end AFTER UPDATE OF ended_at ON device_sessions.sessions \
    FOR EACH ROW WHEN (OLD.ended_at IS NULL) EXECUTE FUNCTION log_end()";

#[tokio::test]
async fn what_runs_out_is_ended_once_with_its_reason_and_moment() {
    let db = TestDb::new().await;
    let a = Node::with(migrated(&db).await, short).await;
    let (b, _c) = (another(&db, short).await, another(&db, short).await);
    let client = db.connect().await;
    client.batch_execute(LOG_ENDS).await.unwrap();
    let rounds = "SELECT (extract(epoch FROM round_done) * 1e6)::int8 FROM device_sessions.upkeep";
    // Last used, absolute end, and what comes of it.
    let cases = [
        (-1.0, DAY, None),
        (-61.0, DAY, Some("idle")),
        (-1.0, -3.0, Some("absolute")),
        (-200.0, -2.0, Some("idle")),
        (-70.0, -15.0, Some("absolute")),
        // Within the allowance of being idle when its life is over.
        (-80.0, -19.9, Some("absolute")),
    ];
    let signed_in = cold(&client, "ahmed", cases.len()).await;
    let mut waiters = Vec::new();
    for one in &signed_in {
        assert!(a.is_let_in(one).await);
        waiters.push(current(&b.sessions, one).await.1.unwrap().ended());
    }
    // What is in the queues is newer than what follows.
    a.sessions.flush_activity().await.unwrap();
    b.sessions.flush_activity().await.unwrap();
    for (one, (used, ends, _)) in signed_in.iter().zip(cases) {
        move_to(&client, one, used, ends).await;
    }
    for ((one, waiter), (used, ends, reason)) in signed_in.iter().zip(waiters).zip(cases) {
        let Some(reason) = reason else { continue };
        eventually("it is ended", async || end_in_row(&client, one.session.id).await.is_some()).await;
        let sql = "SELECT end_reason, ended_by, ended_at = CASE end_reason WHEN 'idle' \
                   THEN last_activity_at + interval '60 s' ELSE expires_at END \
                   FROM device_sessions.sessions WHERE id = $1";
        let row = client.query_one(sql, &[&one.session.id.as_uuid()]).await.unwrap();
        let (found, by, right) = (row.get::<_, String>(0), row.get::<_, Option<String>>(1), row.get::<_, bool>(2));
        assert_eq!((found.as_str(), by, right), (reason, None, true), "{used} {ends}");
        assert_eq!(waiter.await, EndReason::from(reason), "on a node that did not ask");
        assert_eq!((a.status(one).await, b.status(one).await), (StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED));
    }
    for _ in 0..3 {
        let before = number(&client, rounds).await;
        eventually("another round", async || number(&client, rounds).await > before).await;
    }
    let ends = "SELECT count(*) * 100 + count(DISTINCT id) FROM ends";
    assert_eq!(number(&client, ends).await, 505, "each once, and no other");
    assert!(b.is_let_in(&signed_in[0]).await);
}

/// The control: nodes that first look and then end all say that it was them.
#[tokio::test]
async fn three_that_look_and_then_end_end_it_three_times() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let client = db.connect().await;
    move_to(&client, &cold(&client, "ahmed", 1).await[0], -1.0, -1.0).await;
    let mut found = Vec::new();
    for _ in 0..3 {
        let due = "SELECT id FROM device_sessions.sessions WHERE ended_at IS NULL AND expires_at < now()";
        found.push(client.query_one(due, &[]).await.unwrap().get::<_, uuid::Uuid>(0));
    }
    let mut ended = 0;
    for id in found {
        let end = "UPDATE device_sessions.sessions SET ended_at = expires_at, end_reason = 'absolute' WHERE id = $1";
        ended += client.execute(end, &[&id]).await.unwrap();
    }
    assert_eq!(ended, 3);
}

#[tokio::test]
async fn what_waits_behind_a_lock_to_be_written_is_not_idle() {
    let db = TestDb::new().await;
    let node = Node::with(migrated(&db).await, short).await;
    let elsewhere = another(&db, |b| b).await;
    let (client, here, there) = (db.connect().await, db.connect().await, db.connect().await);
    count_statements(&client).await;
    let signed_in = cold(&client, "ahmed", 2).await;
    eventually("upkeep has begun", async || statements(&client, TURNS).await > 2).await;
    for _ in 0..5 {
        assert!(node.is_let_in(&signed_in[0]).await && elsewhere.is_let_in(&signed_in[1]).await);
        for (locker, one) in [(&here, &signed_in[0]), (&there, &signed_in[1])] {
            locker.batch_execute("BEGIN").await.unwrap();
            move_to(locker, one, -70.0, DAY).await;
        }
        // Seen again under the lock, whatever the writers did meanwhile.
        assert!(node.is_let_in(&signed_in[0]).await && elsewhere.is_let_in(&signed_in[1]).await);
        node.sessions.flush_activity().await.unwrap();
        assert!(node.sessions.health().queued_activity > 0, "left over");
        // The control: the row says idle.
        here.batch_execute("SAVEPOINT control").await.unwrap();
        assert_eq!(naive_sweep(&here, IDLE).await, 1);
        here.batch_execute("ROLLBACK TO control").await.unwrap();
        there.batch_execute("COMMIT").await.unwrap();
        elsewhere.sessions.flush_activity().await.unwrap();
        here.batch_execute("COMMIT").await.unwrap();
        let turns = statements(&client, TURNS).await;
        eventually("the sweeper has looked", async || statements(&client, TURNS).await > turns + 3).await;
        for one in &signed_in {
            assert_eq!(end_in_row(&client, one.session.id).await, None);
            assert!(node.is_let_in(one).await);
        }
    }
}

#[tokio::test]
async fn while_a_node_cannot_write_activity_it_calls_nobody_idle() {
    let db = TestDb::new().await;
    let node = Node::with(migrated(&db).await, short).await;
    let client = db.connect().await;
    count_statements(&client).await;
    let signed_in = cold(&client, "ahmed", 3).await;
    let [used, unused, old] = &signed_in[..] else { panic!("three") };
    eventually("upkeep has begun", async || statements(&client, TURNS).await > 2).await;
    let stall = "CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF current_setting('application_name') LIKE 'axum%' THEN RAISE 'stalled'; END IF; RETURN NEW; END $$; \
                 CREATE TRIGGER stall BEFORE UPDATE OF last_activity_at ON device_sessions.sessions \
                 FOR EACH ROW EXECUTE FUNCTION stall()";
    client.batch_execute(stall).await.unwrap();
    assert!(node.is_let_in(used).await);
    node.sessions.flush_activity().await.expect_err("stalled");
    move_to(&client, used, -70.0, DAY).await;
    move_to(&client, unused, -70.0, DAY).await;
    move_to(&client, old, -1.0, -1.0).await;
    let turns = statements(&client, TURNS).await;
    eventually("the sweeper has looked", async || statements(&client, TURNS).await > turns + 4).await;
    assert_eq!(
        [end_in_row(&client, used.session.id).await, end_in_row(&client, unused.session.id).await],
        [None, None]
    );
    // Of this no activity could tell otherwise.
    assert_eq!(end_in_row(&client, old.session.id).await.as_deref(), Some("absolute"));
    // The control.
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(naive_sweep(&client, IDLE).await, 2);
    client.batch_execute("ROLLBACK").await.unwrap();

    client.batch_execute("DROP TRIGGER stall ON device_sessions.sessions").await.unwrap();
    eventually("the unused one is ended", async || end_in_row(&client, unused.session.id).await.is_some()).await;
    assert_eq!(end_in_row(&client, used.session.id).await, None);
    assert!(node.is_let_in(used).await);
}

/// Used on one node while the database was away; the other one has nothing to write and could sweep at once.
#[tokio::test]
async fn what_was_used_during_an_outage_is_not_ended_after_it() {
    const IDLE: Duration = Duration::from_secs(3);
    let db = TestDb::own_cluster(&[]).await;
    migrated(&db).await;
    let network = Stall::to(db.url()).await;
    let (mut nodes, url) = (Vec::new(), network.url(db.url()));
    for _ in 0..3 {
        let set = |b| short(b).idle_timeout(IDLE).max_staleness(1_000 * MILLI);
        nodes.push(Node::with(PostgresStore::connect(&url).await.unwrap(), set).await);
    }
    let busy = &nodes[0];
    let mut used = cold(&db.connect().await, "ahmed", 10).await;
    let unused = used.pop().unwrap();
    let since = Instant::now();
    let use_them = async || {
        // Together: while the database is away each waits.
        let mut requests = JoinSet::new();
        used.iter().for_each(|one| drop(requests.spawn(busy.get(one))));
        for answer in requests.join_all().await {
            assert_ne!(answer.status(), StatusCode::UNAUTHORIZED, "after {:.1?}", since.elapsed());
        }
    };
    use_them().await;
    assert!(busy.is_let_in(&unused).await);
    busy.sessions.flush_activity().await.unwrap();
    db.server().stop_immediate();
    let stopped = Instant::now();
    eventually("the outage is longer than the idle timeout and its allowance", async || {
        use_them().await;
        stopped.elapsed() > IDLE + 1_500 * MILLI
    })
    .await;
    // So that the control comes first.
    network.hold(Hold::Everything);
    db.server().start_again().unwrap();
    let client = db.connect().await;
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(naive_sweep(&client, IDLE).await, 10, "the control ends them all");
    client.batch_execute("ROLLBACK").await.unwrap();
    network.hold(Hold::Nothing);
    eventually("the sweeper is at work again", async || {
        use_them().await;
        end_in_row(&client, unused.session.id).await.is_some()
    })
    .await;
    let wrong = "SELECT count(*) FROM device_sessions.sessions WHERE ended_at IS NOT NULL";
    assert_eq!(number(&client, wrong).await, 1);
    for one in &used {
        assert!(busy.is_let_in(one).await);
    }
}
