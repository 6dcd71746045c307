//! The database is away under traffic: no request waits for the writing of activity, nothing of it is lost, and what is
//! kept of it is bounded by the number of sessions. `SOAK_SECS` (4 by default) is how long the database stays away.

use std::{
    collections::{BTreeMap, HashMap},
    env, fs,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use axum_device_sessions::{PostgresStore, SignedIn};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::{
    node::{Node, cold, migrated},
    stall::{Hold, Stall},
    support::{TestDb, eventually},
};

const SESSIONS: usize = 500;
/// What a machine that is busy with other tests may add to a request that waits for nothing.
const SLOWEST: Duration = Duration::from_millis(500);
const STATEMENT: Duration = Duration::from_secs(1);
/// Steps of 20 ms, and two clocks of one machine.
const STEP: i64 = 30_000;
const INTERVAL: Duration = Duration::from_millis(500);

/// The memory of the process is looked at: one at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn away() -> Duration {
    Duration::from_secs(env::var("SOAK_SECS").map_or(4, |text| text.parse().unwrap()))
}

/// The database's time at some instant of ours: nobody can be asked while it is away.
struct Anchor(Instant, i64);

impl Anchor {
    async fn new(db: &Client) -> Self {
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::int8";
        let micros = db.query_one(sql, &[]).await.unwrap().get(0);
        // However late the answer: what is worked out from this is too early then, which asks for less.
        Self(Instant::now(), micros)
    }

    fn micros(&self, at: Instant) -> i64 {
        self.1 + i64::try_from((at - self.0).as_micros()).unwrap()
    }
}

#[derive(Debug, Default)]
struct Traffic {
    /// How many took so many microseconds. Not a list: it would be what grows.
    took: BTreeMap<u128, usize>,
    last: HashMap<Uuid, Instant>,
    most_queued: usize,
}

impl Traffic {
    /// One request of each session.
    async fn round(&mut self, node: &Node, signed_in: &[SignedIn]) {
        for one in signed_in {
            let request = node.get(one);
            let sent = Instant::now();
            let status = request.await.status();
            *self.took.entry(sent.elapsed().as_micros()).or_default() += 1;
            assert_eq!(status, StatusCode::OK, "known, and believed for a minute");
            self.last.insert(one.session.id.as_uuid(), sent);
        }
        self.most_queued = self.most_queued.max(node.sessions.health().queued_activity);
        tokio::task::yield_now().await;
    }

    fn count(&self) -> usize {
        self.took.values().sum()
    }

    /// Median, 99th percentile and slowest, in microseconds.
    fn told(&self) -> [u128; 3] {
        [500, 990, 1_000].map(|per_mille| {
            let mut left = (self.count() * per_mille).div_ceil(1_000);
            let enough = |(_, count): &(&u128, &usize)| {
                left = left.saturating_sub(**count);
                left == 0
            };
            *self.took.iter().find(enough).expect("there were some").0
        })
    }
}

/// Kilobytes of this process in memory.
fn resident() -> i64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<i64>().unwrap() * 4
}

/// The control: what most do, an UPDATE within the request. Whether it was written, and how long the request waited.
async fn naive(db: &Client, one: &SignedIn) -> (bool, Duration) {
    let sql = "UPDATE device_sessions.sessions SET last_activity_at = clock_timestamp() WHERE id = $1";
    let sent = Instant::now();
    let id = one.session.id.as_uuid();
    let written = tokio::time::timeout(STATEMENT, db.execute(sql, &[&id])).await;
    (matches!(written, Ok(Ok(1))), sent.elapsed())
}

/// Traffic before and during an outage, then the rows. How long the naive request waited during it.
async fn outage(
    name: &str,
    db: &TestDb,
    url: &str,
    take_away: impl AsyncFnOnce(),
    bring_back: impl AsyncFnOnce(),
) -> Duration {
    let _alone = ALONE.lock().await;
    migrated(db).await;
    let store = PostgresStore::connect(url).await.unwrap();
    let node = Node::with(store, |builder| {
        builder.activity_interval(INTERVAL).max_staleness(away() + Duration::from_secs(60))
    })
    .await;
    let client = db.connect().await;
    let (naive_client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let signed_in = cold(&client, "ahmed", SESSIONS).await;
    let for_naive = cold(&client, "lena", 1).await.remove(0);
    Traffic::default().round(&node, &signed_in).await;

    let (anchor, mut before) = (Anchor::new(&client).await, Traffic::default());
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        before.round(&node, &signed_in).await;
    }
    let (written, naive_before) = naive(&naive_client, &for_naive).await;
    assert!(written);

    take_away().await;
    let (began, mut during, mut settled) = (Instant::now(), Traffic::default(), None);
    let waiting = tokio::spawn(async move { naive(&naive_client, &for_naive).await });
    while began.elapsed() < away() {
        // After a while half of them fall silent: only what failed to be written knows of them.
        let asking = if settled.is_some() { &signed_in[..SESSIONS / 2] } else { &signed_in };
        during.round(&node, asking).await;
        if began.elapsed() > away() / 4 {
            settled.get_or_insert_with(resident);
        }
    }
    let grown = resident() - settled.unwrap();
    let (written, naive_during) = waiting.await.unwrap();
    assert!(!written, "the control: what the request could not write is gone with it");
    bring_back().await;

    let (count, told) = (during.count(), during.told());
    println!("{name}: p50, p99, max in µs before {:?}, during {told:?} of {count} requests", before.told());
    println!("{name}: naive before {naive_before:?}, during {naive_during:?}");
    println!(
        "{name}: at most {} of {SESSIONS} queued, resident {grown:+} kB after its first quarter",
        during.most_queued
    );
    // But for some that the machine itself holds up.
    assert!(told[1] < SLOWEST.as_micros(), "no request waits: {told:?}");
    assert!(count > 10 * SESSIONS, "the control: a queue of requests would be long, {count}");
    // Twice: one that is seen again while it is being written counts in both places.
    assert!((1..=2 * SESSIONS).contains(&during.most_queued), "bounded by the sessions: {}", during.most_queued);
    assert!(grown < 4 * 1_024, "flat: {grown} kB");

    let lacking = async || {
        let Ok((client, connection)) = tokio_postgres::connect(db.url(), NoTls).await else { return SESSIONS };
        tokio::spawn(connection);
        let sql = "SELECT id, (extract(epoch FROM last_activity_at) * 1e6)::int8 FROM device_sessions.sessions";
        let rows: HashMap<Uuid, i64> =
            client.query(sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
        during.last.iter().filter(|(id, last)| anchor.micros(**last) - STEP > rows[*id]).count()
    };
    let back = Instant::now();
    eventually("the last request of each session is written, without a restart", async || lacking().await == 0).await;
    println!("{name}: all written {:?} after the return", back.elapsed());
    eventually("nothing is left to write", async || node.sessions.health().queued_activity == 0).await;
    naive_during
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_swallows_everything_and_no_request_waits() {
    let db = TestDb::new().await;
    let stall = Stall::to(db.url()).await;
    let url = stall.url(db.url());
    let hold = async || stall.hold(Hold::Everything);
    let waited = outage("black hole", &db, &url, hold, async || stall.hold(Hold::Nothing)).await;
    assert!(waited >= STATEMENT, "the control: an UPDATE in the request keeps it waiting, {waited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_stopped_and_nothing_is_lost() {
    let db = TestDb::own_cluster(&[]).await;
    let server = db.server();
    let stop = async || server.stop_immediate();
    outage("stopped", &db, db.url(), stop, async || server.start_again().unwrap()).await;
}
