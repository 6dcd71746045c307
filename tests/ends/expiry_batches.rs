//! The walk over live rows that finds the idle ones: in pages, shared by all nodes, stepping around whoever is there.

#![cfg(feature = "postgres")]

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use axum_device_sessions::{
    PostgresStore, SessionId, SessionStore,
    store::{Expire, Expired, Idle},
};
use tokio::time::timeout;
use tokio_postgres::{Client, error::SqlState};

use crate::{
    node::{Node, count_statements, migrated, statements},
    support::{TestDb, eventually},
};

const SECOND: Duration = Duration::from_secs(1);
const PAGES: &str = "SELECT user_id, id, last_activity_at <=%";

/// Live rows of so many users; one in `idle_each` was last used an hour ago.
async fn live(db: &Client, rows: i32, users: i32, idle_each: i32) {
    let sql = "INSERT INTO device_sessions.sessions (id, user_id, last_activity_at, expires_at, device_name, device_type) \
               SELECT gen_random_uuid(), 'user-' || n % $2, \
               CASE WHEN n % $3 = 0 THEN now() - interval '1 hour' ELSE now() END, now() + interval '1 day', 'Test', \
               'other' FROM generate_series(1, $1) AS n";
    db.execute(sql, &[&rows, &users, &idle_each]).await.unwrap();
}

/// Idle after a minute; `every` zero: a round begins whenever it is asked for.
fn a_minute(every: Duration) -> Expire {
    Expire::new(Some(Idle::new(60 * SECOND, SECOND)), every)
}

/// Never longer than it takes to find out that another one is at it.
async fn expire(store: &PostgresStore, request: Expire) -> Expired {
    timeout(10 * SECOND, store.expire(request)).await.expect("it waits for nobody").unwrap()
}

fn ids(expired: &Expired) -> Vec<SessionId> {
    expired.ended.iter().map(|(id, _)| *id).collect()
}

async fn ended(db: &Client) -> i64 {
    let sql = "SELECT count(*) FROM device_sessions.sessions WHERE ended_at IS NOT NULL";
    db.query_one(sql, &[]).await.unwrap().get(0)
}

async fn place(db: &Client) -> Option<(String, uuid::Uuid)> {
    let row = db.query_one("SELECT at_user, at_id FROM device_sessions.upkeep", &[]).await.unwrap();
    Some((row.get::<_, Option<String>>(0)?, row.get(1)))
}

#[tokio::test]
async fn a_round_goes_on_wherever_another_node_left_it() {
    let db = TestDb::new().await;
    let gone = migrated(&db).await;
    let [b, c] = [PostgresStore::connect(db.url()).await.unwrap(), PostgresStore::connect(db.url()).await.unwrap()];
    let client = db.connect().await;
    count_statements(&client).await;
    live(&client, 5_000, 701, 100).await;
    let request = a_minute(3_600 * SECOND);

    let first = expire(&gone, request).await;
    assert!(first.more, "there are more pages");
    let after_first = place(&client).await.unwrap();
    drop(gone);
    let second = expire(&b, request).await;
    let after_second = place(&client).await;
    assert!(second.more && after_second > Some(after_first.clone()), "{after_first:?}, {after_second:?}");
    let third = expire(&c, request).await;
    assert_eq!((third.more, place(&client).await), (false, None), "the end of the round");
    let all: HashSet<_> = [&first, &second, &third].into_iter().flat_map(ids).collect();
    assert_eq!((all.len(), ended(&client).await), (50, 50));
    assert!([&first, &second, &third].iter().all(|page| !page.ended.is_empty()), "spread over the pages");
    let looked_at = "SELECT sum(rows)::int8 FROM pg_stat_statements WHERE query LIKE $1 \
                     AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(client.query_one(looked_at, &[&PAGES]).await.unwrap().get::<_, i64>(0), 5_000, "no row twice");
    // And the next round is not due.
    live(&client, 10, 1, 1).await;
    assert_eq!((ids(&expire(&b, request).await).len(), statements(&client, PAGES).await), (0, 3));
    assert_eq!(ids(&expire(&b, a_minute(Duration::ZERO)).await).len(), 10);
}

#[tokio::test]
async fn three_nodes_share_the_rounds() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let client = db.connect().await;
    count_statements(&client).await;
    let log = "CREATE TABLE rounds (at timestamptz); CREATE FUNCTION log_round() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN INSERT INTO public.rounds VALUES (clock_timestamp()); RETURN NULL; END $$; \
               CREATE TRIGGER log_round AFTER UPDATE ON device_sessions.upkeep FOR EACH ROW \
               WHEN (NEW.at_id IS NULL) EXECUTE FUNCTION log_round()";
    client.batch_execute(log).await.unwrap();
    live(&client, 5_000, 701, 100).await;
    let since = Instant::now();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let store = PostgresStore::connect(db.url()).await.unwrap();
        let set = |b: axum_device_sessions::SessionsBuilder| {
            b.idle_timeout(60 * SECOND).absolute_lifetime(5 * SECOND).activity_interval(SECOND / 4)
        };
        nodes.push(Node::with(store, set).await);
    }
    let rounds = async || client.query_one("SELECT count(*) FROM rounds", &[]).await.unwrap().get::<_, i64>(0);
    eventually("six rounds", async || rounds().await >= 6).await;
    let (before, pages, after) = (rounds().await, statements(&client, PAGES).await, rounds().await);
    println!("{before} rounds of three pages in {:.1?}: {pages} statements", since.elapsed());
    assert!((before * 3..=after * 3 + 3).contains(&pages), "{before}..{after} rounds, {pages} pages");
    let due = i64::try_from(since.elapsed().as_millis() / 250).unwrap();
    assert!(after <= due + 1, "no more often for there being three: {after} in {due}");
    assert_eq!(ended(&client).await, 50);
}

#[tokio::test]
async fn whoever_comes_second_does_nothing_and_does_not_wait() {
    let db = TestDb::new().await;
    let store = migrated(&db).await;
    let other = PostgresStore::connect(db.url()).await.unwrap();
    let (client, holder) = (db.connect().await, db.connect().await);
    live(&client, 800, 50, 1).await;
    let take = "SELECT pg_advisory_xact_lock(hashtextextended('device_sessions upkeep', 0))";
    holder.batch_execute("BEGIN").await.unwrap();
    holder.execute(take, &[]).await.unwrap();
    let nothing = expire(&store, a_minute(Duration::ZERO)).await;
    assert_eq!((ids(&nothing), nothing.more, ended(&client).await), (Vec::new(), false, 0));
    // The control waits.
    client.batch_execute("SET statement_timeout = '200ms'").await.unwrap();
    let late = client.execute(take, &[]).await.unwrap_err();
    assert_eq!(late.code(), Some(&SqlState::QUERY_CANCELED));
    client.batch_execute("RESET statement_timeout").await.unwrap();
    holder.batch_execute("COMMIT").await.unwrap();

    let request = a_minute(3_600 * SECOND);
    let (one, two) = tokio::join!(expire(&store, request), expire(&other, request));
    let mut both = [ids(&one), ids(&two)].concat();
    both.sort_unstable();
    both.dedup();
    assert_eq!((both.len(), ended(&client).await), (800, 800));
    assert!(one.ended.is_empty() || two.ended.is_empty(), "one of them did it all");
}

#[tokio::test]
async fn rows_that_somebody_holds_come_next_time() {
    let db = TestDb::new().await;
    let store = migrated(&db).await;
    let (client, holder) = (db.connect().await, db.connect().await);
    live(&client, 20, 5, 1).await;
    let expired = "UPDATE device_sessions.sessions SET expires_at = now() - interval '1 s', last_activity_at = now() \
                   WHERE id IN (SELECT id FROM device_sessions.sessions ORDER BY id LIMIT 10)";
    client.execute(expired, &[]).await.unwrap();
    holder.batch_execute("BEGIN").await.unwrap();
    let lock = "SELECT id FROM device_sessions.sessions WHERE ended_at IS NULL AND \
                (id = (SELECT id FROM device_sessions.sessions ORDER BY id LIMIT 1) \
                OR id = (SELECT id FROM device_sessions.sessions ORDER BY id DESC LIMIT 1)) FOR NO KEY UPDATE";
    assert_eq!(holder.query(lock, &[]).await.unwrap().len(), 2, "one of each kind");
    let done = expire(&store, a_minute(Duration::ZERO)).await;
    let idle = |expired: &Expired| expired.ended.iter().filter(|(_, ended)| ended.reason.as_str() == "idle").count();
    assert_eq!((done.ended.len(), idle(&done)), (18, 9));
    // The control waits for them, and ends nobody.
    client.batch_execute("SET lock_timeout = '200ms'").await.unwrap();
    let naive = "UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'idle' WHERE ended_at IS NULL";
    let late = client.execute(naive, &[]).await.unwrap_err();
    assert_eq!(late.code(), Some(&SqlState::LOCK_NOT_AVAILABLE));
    holder.batch_execute("COMMIT").await.unwrap();
    let done = expire(&store, a_minute(Duration::ZERO)).await;
    assert_eq!((done.ended.len(), idle(&done)), (2, 1));
}

#[tokio::test]
async fn an_emptied_table_of_upkeep_heals() {
    let db = TestDb::new().await;
    let store = migrated(&db).await;
    let client = db.connect().await;
    for (round, empty) in ["DELETE FROM device_sessions.upkeep", "TRUNCATE device_sessions.upkeep"].iter().enumerate() {
        live(&client, 3, 1, 1).await;
        client.batch_execute(empty).await.unwrap();
        eventually("it is ended", async || {
            expire(&store, a_minute(3_600 * SECOND)).await;
            ended(&client).await == 3 * (i64::try_from(round).unwrap() + 1)
        })
        .await;
    }
}
