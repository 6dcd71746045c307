//! Activity updates stay on their page and touch no index (HOT): counted by the database, after a soak of rounds over
//! every row, and over one row in a hundred. `SOAK_SECS` (3 by default) is how long each of them runs.
//!
//! The same rounds over the table as one writes it first (no room on its pages, or an index to find idle sessions by)
//! are the control.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod support;

use std::{
    fmt,
    time::{Duration, Instant},
};

use axum_device_sessions::{PostgresStore, SessionId, SessionStore, store::Activity};
use support::{TestDb, eventually};
use tokio::sync::Mutex;
use tokio_postgres::Client;

/// One soak at a time. A snapshot waits for every transaction of the whole server that writes, and what waits for a snapshot
/// is not removed: beside the long flushes of the other test these rows, which change some thousand times as often as in
/// life, would find no room.
static ALONE: Mutex<()> = Mutex::const_new(());

const ROWS: usize = 20_000;
/// As the crate sends them.
const CHUNK: usize = 1_000;
/// The first round finds the room that `fillfactor` left; only from the second on must it be made again.
const ROUNDS: i64 = 4;

fn soak_time() -> Duration {
    Duration::from_secs(std::env::var("SOAK_SECS").map_or(3, |text| text.parse().unwrap()))
}

#[derive(Clone, Copy)]
enum Table {
    Ours,
    Full,
    Indexed,
}

impl Table {
    const fn change(self) -> &'static str {
        match self {
            Self::Ours => "",
            Self::Full => "ALTER TABLE device_sessions.sessions SET (fillfactor = 100)",
            Self::Indexed => "CREATE INDEX ON device_sessions.sessions (last_activity_at)",
        }
    }
}

/// What `pg_stat_user_tables` counted during the rounds.
struct Updates {
    rounds: i64,
    all: i64,
    hot: i64,
}

impl Updates {
    async fn so_far(db: &Client) -> (i64, i64) {
        let sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables \
                   WHERE schemaname = 'device_sessions' AND relname = 'sessions'";
        let row = db.query_one(sql, &[]).await.unwrap();
        (row.get(0), row.get(1))
    }

    fn share(&self) -> f64 {
        percent(self.hot, self.all)
    }
}

impl fmt::Display for Updates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} % HOT of {} updates in {} rounds", self.share(), self.all, self.rounds)
    }
}

fn percent(part: i64, all: i64) -> f64 {
    let per_mille = i32::try_from(part * 1_000 / all.max(1)).unwrap();
    f64::from(per_mille) / 10.0
}

/// Sign-ins of an hour ago, with what a browser's row holds.
async fn seed(db: &Client) -> Vec<SessionId> {
    let ids: Vec<_> = (0..ROWS).map(|_| SessionId::new()).collect();
    let insert = "INSERT INTO device_sessions.sessions (id, user_id, created_at, last_activity_at, expires_at, \
                  device_name, device_type, os, os_version, browser, browser_version, user_agent, ip_address) \
                  SELECT id, 'user-' || n % 7000, now() - interval '1 h', now() - interval '1 h', \
                  now() + interval '90 days', 'Chrome on Windows', 'web', 'Windows', '10', 'Chrome', '140.0.0.0', \
                  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                  Chrome/140.0.0.0 Safari/537.36', '192.0.2.7' FROM unnest($1::uuid[]) WITH ORDINALITY AS new (id, n)";
    let uuids: Vec<_> = ids.iter().map(SessionId::as_uuid).collect();
    db.execute(insert, &[&uuids]).await.unwrap();
    ids
}

/// Rounds over one row in so many, for as long as the soak lasts.
async fn soak(table: Table, one_in: usize) -> Updates {
    let db = TestDb::new().await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    let client = db.connect().await;
    client.batch_execute(table.change()).await.unwrap();
    // Its ANALYZE would hold a snapshot, for which old versions have to stay.
    client.batch_execute("ALTER TABLE device_sessions.sessions SET (autovacuum_enabled = off)").await.unwrap();
    let active: Vec<_> = seed(&client).await.into_iter().step_by(one_in).collect();
    let before = Updates::so_far(&client).await;
    let (mut rounds, since) = (0, Instant::now());
    while rounds < ROUNDS || since.elapsed() < soak_time() {
        for chunk in active.chunks(CHUNK) {
            // Seen just now, and so later than in the round before: every row moves.
            let batch = chunk.iter().map(|id| Activity::new(*id, Duration::ZERO, None)).collect();
            assert_eq!(store.record_activity(batch).await.unwrap(), [], "nobody locks them");
        }
        rounds += 1;
    }
    // A backend reports what it counted when it ends, if not before.
    drop(store);
    let sent = rounds * i64::try_from(active.len()).unwrap();
    eventually("all updates are counted", async || Updates::so_far(&client).await.0 - before.0 >= sent).await;
    let after = Updates::so_far(&client).await;
    let updates = Updates { rounds, all: after.0 - before.0, hot: after.1 - before.1 };
    assert_eq!(updates.all, sent, "each round moves each of its rows once");
    updates
}

#[tokio::test]
async fn every_row_is_active() {
    let _alone = ALONE.lock().await;
    let ours = soak(Table::Ours, 1).await;
    println!("every row of {ROWS} active: {ours}");
    for (name, table) in [("fillfactor 100", Table::Full), ("an index on last_activity_at", Table::Indexed)] {
        let control = soak(table, 1).await;
        println!("every row active, with {name}: {control}");
        assert!(control.share() < 50.0, "the control: {control}");
    }
    assert!(ours.share() >= 95.0, "{ours}");
}

#[tokio::test]
async fn one_row_in_a_hundred_is_active() {
    let _alone = ALONE.lock().await;
    let ours = soak(Table::Ours, 100).await;
    println!("1 % of {ROWS} rows active: {ours}");
    // Not `Full`: so few rows soon find room among the dead versions of their own.
    let control = soak(Table::Indexed, 100).await;
    println!("1 % of rows active, with an index on last_activity_at: {control}");
    assert!(control.share() < 50.0, "the control: {control}");
    assert!(ours.share() >= 95.0, "{ours}");
}
