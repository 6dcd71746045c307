//! Activity and rows that somebody holds, where a look at the row does not tell: the lock comes between the look and the
//! write. And batches that are more than a statement, over two connections or one.

#![cfg(feature = "postgres")]

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum_device_sessions::{
    EndReason, PostgresStore, SessionId, SessionStore,
    store::{Activity, EndRequest, EndTarget},
};
use deadpool_postgres::{Manager, Pool, Runtime};
use tokio_postgres::{Client, NoTls, error::SqlState};
use uuid::Uuid;

use crate::{
    node::{FLUSHES, cold, count_statements, migrated, statements},
    proxy::Proxy,
    support::{TestDb, connect, eventually},
};

/// All rows are looked at before the first is written.
const PLAN: [&str; 4] = ["enable_nestloop", "enable_hashjoin", "enable_indexscan", "enable_bitmapscan"];

fn seen(id: &SessionId) -> Activity {
    Activity::new(*id, Duration::ZERO, None)
}

async fn sorted(client: &Client, count: usize) -> Vec<SessionId> {
    let mut ids: Vec<_> = cold(client, "ahmed", count).await.iter().map(|one| one.session.id).collect();
    ids.sort_unstable();
    ids
}

async fn lock(client: &Client, id: SessionId) {
    client.batch_execute("BEGIN").await.expect("begin");
    let sql = "SELECT 1 FROM device_sessions.sessions WHERE id = $1 FOR UPDATE";
    client.query_one(sql, &[&id.as_uuid()]).await.expect("locked");
}

/// How many of the database's connections wait for a lock.
async fn waiting(client: &Client) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    client.query_one(sql, &[]).await.expect("counted").get(0)
}

/// Those whose activity has not moved.
async fn unmoved(client: &Client) -> Vec<Uuid> {
    let sql = "SELECT id FROM device_sessions.sessions WHERE last_activity_at <= created_at ORDER BY id";
    client.query(sql, &[]).await.expect("listed").iter().map(|row| row.get(0)).collect()
}

/// The flush has looked at both rows and stands at the first. Somebody takes the next and then wants the first: a circle, if
/// both wait. The statement that anyone would write, and does so with the same look, is the control.
#[tokio::test]
async fn whoever_comes_after_the_look_is_not_waited_for() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let (holder, client) = (db.connect().await, db.connect().await);
    let ids = sorted(&client, 2).await;
    let [first, next] = [0, 1].map(|place: usize| ids[place].as_uuid());
    stand_at(&client, &ids[..1]).await;
    let options = PLAN.map(|setting| format!("-c%20{setting}%3Doff")).join("%20");
    let url = format!("{}{}options={options}", db.url(), if db.url().contains('?') { '&' } else { '?' });

    for naive in [false, true] {
        holder.batch_execute("SELECT pg_advisory_lock(7)").await.expect("held");
        let (url, batch, named) = (url.clone(), ids.iter().map(seen).collect(), ids.clone());
        let by_hand = db.connect().await;
        let flush = tokio::spawn(async move {
            if naive {
                let plan = PLAN.map(|setting| format!("SET {setting} = off;")).join(" ");
                by_hand.batch_execute(&plan).await.expect("set");
                let sql = "UPDATE device_sessions.sessions s SET last_activity_at = now() FROM unnest($1::uuid[]) AS seen (id) \
                           WHERE s.id = seen.id AND (s.xmax = '0' OR s.xmax = s.xmin)";
                let uuids: Vec<_> = named.iter().map(SessionId::as_uuid).collect();
                return by_hand.execute(sql, &[&uuids]).await.map(|_| Vec::new());
            }
            let store = PostgresStore::connect(&url).await.expect("connected");
            Ok(store.record_activity(batch).await.expect("recorded"))
        });
        eventually("the flush stands", async || waiting(&client).await == 1).await;
        let other = db.connect().await;
        lock(&other, ids[1]).await;
        let end = tokio::spawn(async move {
            let rename = "UPDATE device_sessions.sessions SET device_name = 'Mine' WHERE id = $1";
            let ended = other.execute(rename, &[&first]).await;
            (other, ended)
        });
        eventually("the other waits for the first", async || waiting(&client).await == 2).await;
        holder.batch_execute("SELECT pg_advisory_unlock(7)").await.expect("released");

        let left_over = flush.await.expect("no panic");
        let (other, ended) = end.await.expect("no panic");
        if naive {
            let failed = [left_over.err(), ended.err()];
            let deadlock = |error: &tokio_postgres::Error| error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED);
            assert!(failed.iter().flatten().any(deadlock), "the control: {failed:?}");
            return;
        }
        assert_eq!(ended.expect("never in a circle"), 1);
        let left_over = left_over.expect("recorded");
        assert!(left_over.contains(&ids[1]), "{left_over:?}");
        let left_over: Vec<_> = left_over.iter().map(SessionId::as_uuid).collect();
        assert_eq!(unmoved(&client).await, left_over, "what is not handed back has been written");
        other.batch_execute("COMMIT").await.expect("commit");
        let store = migrated(&db).await;
        assert_eq!(store.record_activity(ids.iter().map(seen).collect()).await.expect("recorded"), []);
        assert_eq!(unmoved(&client).await, Vec::<Uuid>::new(), "a row that looks held, and is not, is written");
        assert!(left_over.contains(&next));
    }
}

/// A statement that updates one of these rows stands until whoever holds the advisory lock 7 lets it go.
async fn stand_at(client: &Client, rows: &[SessionId]) {
    let rows: Vec<_> = rows.iter().map(|id| format!("'{}'", id.as_uuid())).collect();
    let stand = format!(
        "CREATE OR REPLACE FUNCTION stand() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS \
            'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN new; END'; \
         CREATE TRIGGER stand BEFORE UPDATE OF last_activity_at ON device_sessions.sessions \
            FOR EACH ROW WHEN (old.id IN ({})) EXECUTE FUNCTION stand()",
        rows.join(", ")
    );
    client.batch_execute(&stand).await.expect("made");
}

fn pool_of(db: &TestDb, size: usize) -> Pool {
    let manager = Manager::new(db.url().parse().expect("a url"), NoTls);
    Pool::builder(manager).max_size(size).runtime(Runtime::Tokio1).build().expect("a pool")
}

/// Half of a pool of four is for writes. The control: two flushes of one row each, which take both.
#[tokio::test]
async fn a_large_batch_leaves_room_for_an_end() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let (holder, client) = (db.connect().await, db.connect().await);
    let ids = sorted(&client, 2_500).await;
    stand_at(&client, &[ids[10], ids[2_400]]).await;
    let store = Arc::new(PostgresStore::from_pool(pool_of(&db, 4)).expect("a store"));
    for (name, batches) in [("lena", vec![&ids[..]]), ("ben", vec![&ids[10..11], &ids[2_400..2_401]])] {
        let alone = batches.len() == 1;
        let other = cold(&client, name, 1).await[0].session.id;
        holder.batch_execute("SELECT pg_advisory_lock(7)").await.expect("held");
        let flush = |batch: &[SessionId]| {
            let (store, batch) = (Arc::clone(&store), batch.iter().map(seen).collect());
            tokio::spawn(async move { store.record_activity(batch).await })
        };
        let flushes: Vec<_> = batches.iter().map(|batch| flush(batch)).collect();
        let stands = i64::try_from(flushes.len()).expect("few");
        eventually("they stand", async || waiting(&client).await == stands).await;
        let request = EndRequest::new(EndTarget::One { id: other, user: None }, EndReason::Logout, None);
        let ended = store.end(request).await;
        holder.batch_execute("SELECT pg_advisory_unlock(7)").await.expect("released");
        assert_eq!(ended.is_ok(), alone, "{name}: {ended:?}");
        for flush in flushes {
            assert_eq!(flush.await.expect("no panic").expect("recorded"), []);
        }
    }
}

/// The answer to the statement stays on its way, as where a network or a node hangs: its rows are free all the same. The control
/// is a node that sends COMMIT when it has the answer.
#[tokio::test]
async fn a_flush_holds_no_lock_while_its_node_waits_for_an_answer() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let client = db.connect().await;
    let ids = sorted(&client, 2).await;
    let proxy = Proxy::to(db.url()).await;
    let url = proxy.url(db.url());
    let store = PostgresStore::connect(&url).await.expect("connected");
    let naive = connect(&url.parse().expect("a url")).await.expect("connected");
    let is_free = async |id: SessionId| {
        let sql =
            "SELECT 1 FROM device_sessions.sessions WHERE id = $1 AND last_activity_at > created_at FOR UPDATE NOWAIT";
        client.query_opt(sql, &[&id.as_uuid()]).await.is_ok_and(|row| row.is_some())
    };

    let held = proxy.hold("SET last_activity_at");
    let batch = vec![seen(&ids[0])];
    let flush = tokio::spawn(async move { store.record_activity(batch).await });
    held.answered().await;
    eventually("written and free", async || is_free(ids[0]).await).await;
    assert!(!flush.is_finished(), "its node does not know yet");
    held.release();
    assert_eq!(flush.await.expect("no panic").expect("recorded"), []);

    let id = ids[1].as_uuid();
    let held = proxy.hold("SET last_activity_at");
    let by_hand = async {
        naive.batch_execute("BEGIN").await.expect("begun");
        let sql = format!("UPDATE device_sessions.sessions SET last_activity_at = now() WHERE id = '{id}'");
        naive.batch_execute(&sql).await.expect("written");
        naive.batch_execute("COMMIT").await.expect("committed");
    };
    let look = async {
        held.answered().await;
        let sql = "SELECT 1 FROM device_sessions.sessions WHERE id = $1 FOR UPDATE NOWAIT";
        let refused = client.query_opt(sql, &[&id]).await.expect_err("the control: locked");
        assert_eq!(refused.code(), Some(&SqlState::LOCK_NOT_AVAILABLE));
        held.release();
    };
    tokio::join!(by_hand, look);
    assert!(is_free(ids[1]).await);
}

/// A statement has to wait for one before it: its rows are as old as they were when they were handed over. The control is when its
/// transaction began, which is what an age of nothing would make of them.
#[tokio::test]
async fn what_a_statement_waits_for_is_no_activity() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let (holder, client) = (db.connect().await, db.connect().await);
    let ids = sorted(&client, 1_500).await;
    stand_at(&client, &[ids[10], ids[1_400]]).await;
    // One after the other.
    let store = PostgresStore::from_pool(pool_of(&db, 2)).expect("a store");
    holder.batch_execute("SELECT pg_advisory_lock(7)").await.expect("held");
    let batch = ids.iter().map(seen).collect();
    let flush = tokio::spawn(async move { store.record_activity(batch).await });
    eventually("the first stands", async || waiting(&client).await == 1).await;
    let later = "SELECT clock_timestamp() > (SELECT max(xact_start) FROM pg_stat_activity \
                     WHERE datname = current_database() AND wait_event_type = 'Lock') + interval '300 ms'";
    eventually("time passes", async || client.query_one(later, &[]).await.expect("asked").get(0)).await;
    let released = "SELECT pg_advisory_unlock(7), clock_timestamp(), pg_advisory_lock(7)";
    let released: SystemTime = holder.query_one(released, &[]).await.expect("released").get(1);
    eventually("the second stands", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                       AND xact_start > $1 AND query LIKE '%last_activity_at%'";
        client.query_one(sql, &[&released]).await.expect("asked").get::<_, i64>(0) == 1
    })
    .await;
    holder.batch_execute("SELECT pg_advisory_unlock(7)").await.expect("released");
    assert_eq!(flush.await.expect("no panic").expect("recorded"), []);
    let written = "SELECT last_activity_at FROM device_sessions.sessions WHERE id = $1";
    let written: SystemTime = client.query_one(written, &[&ids[1_400].as_uuid()]).await.expect("there").get(0);
    assert!(written < released, "{:?} too new", written.duration_since(released));
}

#[tokio::test]
async fn a_large_batch_is_written_and_handed_back_as_a_whole() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let (first, second, client) = (db.connect().await, db.connect().await, db.connect().await);
    count_statements(&client).await;
    // Where half of it is a single connection, the statements take turns.
    for store in [migrated(&db).await, PostgresStore::from_pool(pool_of(&db, 2)).expect("two will do")] {
        client.batch_execute("TRUNCATE device_sessions.sessions").await.expect("emptied");
        let ids = sorted(&client, 2_500).await;
        let held = [ids[7], ids[2_400]];
        lock(&first, held[0]).await;
        lock(&second, held[1]).await;
        let before = statements(&client, FLUSHES).await;
        let left_over = store.record_activity(ids.iter().map(seen).collect()).await.expect("recorded");
        assert_eq!(left_over.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(held));
        assert_eq!(unmoved(&client).await, held.map(|id| id.as_uuid()));
        assert_eq!(statements(&client, FLUSHES).await - before, 5, "three, and one more for each that met a lock");
        for locker in [&first, &second] {
            locker.batch_execute("COMMIT").await.expect("commit");
        }
        let before = statements(&client, FLUSHES).await;
        assert_eq!(store.record_activity(held.iter().map(seen).collect()).await.expect("recorded"), []);
        assert_eq!(unmoved(&client).await, Vec::<Uuid>::new());
        assert_eq!(statements(&client, FLUSHES).await - before, 2, "they had been locked last by somebody else");
        let before = statements(&client, FLUSHES).await;
        assert_eq!(store.record_activity(ids.iter().map(seen).collect()).await.expect("recorded"), []);
        assert_eq!(statements(&client, FLUSHES).await - before, 3, "and then by us");
    }
}
