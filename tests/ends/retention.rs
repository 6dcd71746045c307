//! Rows of sessions that ended long ago lose what is personal, and then go: in small batches, told to nobody, around
//! whoever holds one of them, and on and on whatever fails in between.

#![cfg(feature = "postgres")]

use std::{
    future::poll_fn,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum_device_sessions::{
    EndReason, EndTarget, MemoryStore, PostgresStore, Sessions, SessionsBuilder, store::Retention, store::SessionStore,
};
use tokio_postgres::{AsyncMessage, Client, NoTls, error::SqlState};

use crate::{
    node::{self, Node, migrated},
    support::{TestDb, eventually},
};

const DAY: Duration = Duration::from_secs(86_400);
const TWO_AND_FOUR_WEEKS: Retention =
    Retention::new(Duration::from_secs(14 * 86_400), Duration::from_secs(28 * 86_400));

/// So many rows of this user, with all that a row can tell; ended so many days ago, or live and as old.
async fn rows(db: &Client, user: &str, count: i32, days: f64, ended: bool) {
    let sql = "INSERT INTO device_sessions.sessions (id, user_id, created_at, last_activity_at, expires_at, ended_at, \
               end_reason, device_name, device_type, user_agent, ip_address, location, country_code) \
               SELECT gen_random_uuid(), $1, now() - interval '900 days', now() - $3 * interval '1 day', \
               now() + interval '1 day', CASE WHEN $4 THEN now() - $3 * interval '1 day' END, \
               CASE WHEN $4 THEN 'logout' END, 'Chrome on Windows', 'web', 'Mozilla/5.0', '192.0.2.1', \
               'Moscow, Russia', 'RU' FROM generate_series(1, $2) AS n";
    db.execute(sql, &[&user, &count, &days, &ended]).await.unwrap();
}

/// For each user in order: rows, and how many of them still tell address, User-Agent, place, country, device.
async fn left(db: &Client) -> Vec<(String, [i64; 6])> {
    let sql = "SELECT user_id, count(*), count(ip_address), count(user_agent), count(location), count(country_code), \
               count(device_name) FILTER (WHERE device_name = 'Chrome on Windows') \
               FROM device_sessions.sessions GROUP BY 1 ORDER BY 1";
    let rows = db.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), [1, 2, 3, 4, 5, 6].map(|column| row.get(column)))).collect()
}

async fn count(db: &Client) -> i64 {
    db.query_one("SELECT count(*) FROM device_sessions.sessions", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn what_is_personal_goes_first_and_then_the_row() {
    let db = TestDb::new().await;
    let (store, client) = (migrated(&db).await, db.connect().await);
    for (user, days, ended) in
        [("a: live", 400.0, false), ("b: young", 13.9, true), ("c: older", 14.1, true), ("d: old", 27.9, true)]
    {
        rows(&client, user, 3, days, ended).await;
    }
    rows(&client, "e: too old", 3, 28.1, true).await;
    let purged = store.purge(TWO_AND_FOUR_WEEKS).await.unwrap();
    assert_eq!((purged.scrubbed, purged.deleted, purged.more), (6, 3, false));
    let expected =
        [("a: live", [3; 6]), ("b: young", [3; 6]), ("c: older", [3, 0, 0, 0, 0, 3]), ("d: old", [3, 0, 0, 0, 0, 3])];
    assert_eq!(left(&client).await, expected.map(|(user, left)| (user.to_owned(), left)));
    let again = store.purge(TWO_AND_FOUR_WEEKS).await.unwrap();
    assert_eq!((again.scrubbed, again.deleted, again.more), (0, 0, false));
}

#[tokio::test]
async fn it_goes_in_batches() {
    let db = TestDb::new().await;
    let (store, client) = (migrated(&db).await, db.connect().await);
    rows(&client, "ahmed", 1_200, 20.0, true).await;
    rows(&client, "lena", 1_200, 40.0, true).await;
    for expected in [(500, 500, true), (500, 500, true), (200, 200, false)] {
        let purged = store.purge(TWO_AND_FOUR_WEEKS).await.unwrap();
        assert_eq!((purged.scrubbed, purged.deleted, purged.more), expected);
    }
    assert_eq!(left(&client).await, [("ahmed".to_owned(), [1_200, 0, 0, 0, 0, 1_200])]);
}

#[tokio::test]
async fn a_row_that_somebody_holds_stays_for_the_next_time() {
    let db = TestDb::new().await;
    let store = migrated(&db).await;
    let (client, holder) = (db.connect().await, db.connect().await);
    rows(&client, "ahmed", 10, 20.0, true).await;
    rows(&client, "lena", 10, 40.0, true).await;
    holder.batch_execute("BEGIN").await.unwrap();
    let lock = "SELECT DISTINCT ON (user_id) id FROM device_sessions.sessions";
    let ids: Vec<uuid::Uuid> = holder.query(lock, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let lock = "SELECT 1 FROM device_sessions.sessions WHERE id = ANY($1) FOR SHARE";
    holder.execute(lock, &[&ids]).await.unwrap();
    let purged = store.purge(TWO_AND_FOUR_WEEKS).await.unwrap();
    assert_eq!((purged.scrubbed, purged.deleted), (9, 9));
    // The control waits for it.
    client.batch_execute("SET lock_timeout = '200ms'").await.unwrap();
    let naive = "DELETE FROM device_sessions.sessions WHERE ended_at < now() - interval '28 days'";
    assert_eq!(client.execute(naive, &[]).await.unwrap_err().code(), Some(&SqlState::LOCK_NOT_AVAILABLE));
    holder.batch_execute("COMMIT").await.unwrap();
    let purged = store.purge(TWO_AND_FOUR_WEEKS).await.unwrap();
    assert_eq!((purged.scrubbed, purged.deleted), (1, 1));
}

/// A notification for each of a million rows would be a lock of the whole database for each.
#[tokio::test]
async fn nobody_is_told() {
    let db = TestDb::new().await;
    let (store, client) = (migrated(&db).await, db.connect().await);
    let config: tokio_postgres::Config = db.url().parse().unwrap();
    let (listener, mut connection) = config.connect(NoTls).await.unwrap();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(one) = message {
                told.send(one.payload().to_owned()).unwrap();
            }
        }
    });
    listener.batch_execute("LISTEN device_sessions_changes").await.unwrap();
    rows(&client, "ahmed", 5, 20.0, true).await;
    rows(&client, "lena", 5, 40.0, true).await;
    rows(&client, "sam", 1, 40.0, false).await;
    let purged = store.purge(TWO_AND_FOUR_WEEKS).await.unwrap();
    assert_eq!((purged.scrubbed, purged.deleted), (5, 5));
    client.batch_execute("NOTIFY device_sessions_changes, 'marker'").await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), "marker", "nothing before it");
    // The control: whatever a request would be judged by is told.
    client.batch_execute("DELETE FROM device_sessions.sessions WHERE user_id = 'sam'").await.unwrap();
    assert_eq!(heard.recv().await.unwrap().len(), 36);
}

/// What the crate logs, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn warnings(&self) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap()).matches("; will try again").count()
    }

    async fn warns_again(&self, why: &str) {
        let before = self.warnings();
        eventually(why, async || self.warnings() > before).await;
    }
}

#[tokio::test]
async fn the_task_survives_what_goes_wrong() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    // This runtime has one thread: the task logs here as well.
    let _guard = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    let db = TestDb::own_cluster(&[]).await;
    migrated(&db).await;
    let client = db.connect().await;
    let grant = "CREATE ROLE app LOGIN; GRANT USAGE ON SCHEMA device_sessions TO app; \
                 GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA device_sessions TO app";
    client.batch_execute(grant).await.unwrap();
    let store = PostgresStore::connect(&db.url().replace("postgres@", "app@")).await.unwrap();
    let set = |b: SessionsBuilder| b.absolute_lifetime(Duration::from_secs(5)).activity_interval(DAY / 864_000);
    let _node = Node::with(store, set).await;
    rows(&client, "ahmed", 1, 40.0, true).await;
    eventually("the task is at work", async || count(&client).await == 0).await;

    client.batch_execute("REVOKE DELETE ON device_sessions.sessions FROM app").await.unwrap();
    rows(&client, "ahmed", 1, 40.0, true).await;
    log.warns_again("it may not").await;
    db.server().stop_immediate();
    log.warns_again("there is nobody to ask").await;
    db.server().start_again().unwrap();
    let client = db.connect().await;
    assert_eq!(count(&client).await, 1);
    let holder = db.connect().await;
    let lock = "BEGIN; LOCK TABLE device_sessions.sessions IN SHARE MODE; \
                GRANT DELETE ON device_sessions.sessions TO app";
    holder.batch_execute(lock).await.unwrap();
    log.warns_again("it waits too long for a lock").await;
    assert_eq!(count(&client).await, 1);
    holder.batch_execute("COMMIT").await.unwrap();
    eventually("it goes on", async || count(&client).await == 0).await;
}

#[tokio::test]
async fn from_sign_in_to_nothing() {
    let db = TestDb::new().await;
    let set = |b: SessionsBuilder| {
        let b = b.absolute_lifetime(Duration::from_secs(5)).activity_interval(Duration::from_millis(100));
        b.scrub_after(Duration::from_secs(2)).history(Duration::from_secs(4))
    };
    let node = Node::with(migrated(&db).await, set).await;
    let client = db.connect().await;
    rows(&client, "ahmed", 1, 0.0, false).await;
    rows(&client, "lena", 1, 0.0, false).await;
    assert_eq!(left(&client).await.len(), 2);
    let all = EndTarget::All { user: "ahmed".into(), caller: None };
    node.sessions.end(all, EndReason::Logout, None).await.unwrap();
    let told = async || left(&client).await.into_iter().find(|(user, _)| user == "ahmed").map(|(_, left)| left);
    assert_eq!(told().await, Some([1; 6]));
    eventually("what is personal goes", async || told().await == Some([1, 0, 0, 0, 0, 1])).await;
    assert_eq!(node.sessions.history(&"ahmed".into()).await.unwrap().len(), 1, "the history tells of it");
    eventually("the row goes", async || told().await.is_none()).await;
    assert_eq!(node.sessions.history(&"ahmed".into()).await.unwrap(), []);
    assert_eq!(left(&client).await, [("lena".to_owned(), [1; 6])]);
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_refused() {
    let build = async |history: Duration, scrub_after: Option<Duration>| {
        let builder = Sessions::builder(MemoryStore::new())
            .access_tokens(axum_device_sessions::AccessTokens::hs256(node::SECRET).unwrap())
            .history(history);
        let builder = scrub_after.into_iter().fold(builder, SessionsBuilder::scrub_after);
        builder.build().await.map(drop).map_err(|error| error.to_string())
    };
    for (history, scrub_after) in [(DAY, DAY), (DAY, Duration::ZERO), (Duration::ZERO, Duration::ZERO)] {
        assert_eq!(build(history, Some(scrub_after)).await, Ok(()));
    }
    assert_eq!(build(DAY, None).await, Ok(()), "by itself it is never longer");
    for (history, scrub_after) in [(DAY, DAY + Duration::from_millis(1)), (200 * 366 * DAY, DAY)] {
        let refused = build(history, Some(scrub_after)).await.unwrap_err();
        assert!(refused.contains("scrub_after") && refused.contains("at most history"), "{refused}");
    }
}

/// A role that may not delete, and a short history for sessions of another issuer, whose ended rows stay: what is personal
/// goes all the same.
#[tokio::test]
async fn what_may_not_go_is_scrubbed_all_the_same() {
    let db = TestDb::new().await;
    let (store, client) = (migrated(&db).await, db.connect().await);
    rows(&client, "to be scrubbed", 3, 10.0, true).await;
    rows(&client, "to be deleted", 1, 20.0, true).await;
    let may_not = "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'permission denied'; END $$; \
                   CREATE TRIGGER no BEFORE DELETE ON device_sessions.sessions FOR EACH ROW EXECUTE FUNCTION no()";
    client.batch_execute(may_not).await.unwrap();
    let short = Retention::new(Duration::from_secs(7 * 86_400), Duration::from_secs(15 * 86_400));
    assert!(store.purge(short).await.is_err());
    assert!(left(&client).await.contains(&("to be scrubbed".to_owned(), [3, 0, 0, 0, 0, 3])));
    rows(&client, "adopted", 3, 20.0, true).await;
    let adopted = "UPDATE device_sessions.sessions SET issuer = 'https://id.example', expires_at = now() + interval '90 days' \
                   WHERE user_id = 'adopted'";
    client.execute(adopted, &[]).await.unwrap();
    client.batch_execute("DROP TRIGGER no ON device_sessions.sessions").await.unwrap();
    let same = Retention::new(Duration::from_secs(7 * 86_400), Duration::from_secs(7 * 86_400));
    store.purge(same).await.unwrap();
    assert_eq!(left(&client).await, [("adopted".to_owned(), [3, 0, 0, 0, 0, 3])]);
}
