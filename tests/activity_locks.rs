//! Activity and rows that somebody holds, where a look at the row does not tell: the lock comes between the look and the
//! write. And batches that are more than a statement, over two connections or one.

#![cfg(feature = "postgres")]

#[path = "support/node.rs"]
mod node;
mod support;

use std::{collections::BTreeSet, time::Duration};

use axum_device_sessions::{PostgresStore, SessionId, SessionStore, store::Activity};
use deadpool_postgres::{Manager, Pool, Runtime};
use node::{FLUSHES, cold, count_statements, migrated, statements};
use support::{TestDb, eventually};
use tokio_postgres::{Client, NoTls, error::SqlState};
use uuid::Uuid;

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
    let stand = format!(
        "CREATE FUNCTION stand() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS \
            'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN new; END'; \
         CREATE TRIGGER stand BEFORE UPDATE OF last_activity_at ON device_sessions.sessions \
            FOR EACH ROW WHEN (old.id = '{first}') EXECUTE FUNCTION stand()"
    );
    client.batch_execute(&stand).await.expect("made");
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

#[tokio::test]
async fn a_large_batch_is_written_and_handed_back_as_a_whole() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let (first, second, client) = (db.connect().await, db.connect().await, db.connect().await);
    count_statements(&client).await;
    let manager = Manager::new(db.url().parse().expect("a url"), NoTls);
    // Where half of it is a single connection, the statements take turns.
    let pool = Pool::builder(manager).max_size(2).runtime(Runtime::Tokio1).build().expect("a pool");
    for store in [migrated(&db).await, PostgresStore::from_pool(pool).expect("two will do")] {
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
