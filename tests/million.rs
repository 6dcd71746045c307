//! A million requests over ten thousand sessions, and what they cost the database: counted by the database itself.
//!
//! The figures in the docs are of `REQUESTS=1000000 cargo test --release --all-features --test million -- --nocapture`;
//! by default it is a tenth of that.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "support/node.rs"]
mod node;
mod support;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use axum_device_sessions::{Coherence, SessionId, SessionsBuilder, SignedIn};
use node::{FLUSHES, LOADS, Node, cold, count_statements, migrated, statements};
use support::{TestDb, eventually};
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

const SESSIONS: usize = 10_000;
/// Of a thousand rows, in one flush of all sessions.
const CHUNKS: i64 = 10;
const CLIENTS: usize = 8;
const INTERVAL: Duration = Duration::from_secs(5);
/// The timer writes down what came before each pause, the shutdown the rest.
const PAUSES: usize = 2;
/// The time that a node keeps moves in steps of 20 ms; the rest is for comparing clocks.
const STEP: i64 = 20_000 + 5_000;

fn requests() -> usize {
    let requests = std::env::var("REQUESTS").map_or(100_000, |text| text.parse().unwrap());
    assert!(requests >= (PAUSES + 1) * SESSIONS, "too few to reach each session before the first pause");
    requests
}

/// Which session the request of this number is of: each of them once, then any.
const fn whose(n: usize) -> usize {
    if n < SESSIONS { n } else { scattered(n) % SESSIONS }
}

/// The same sequence each time, and as good as random.
const fn scattered(n: usize) -> usize {
    let mut x = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x >> 33) as usize
}

/// The database's clock, read once: between these two instants.
struct DatabaseTime {
    sent: Instant,
    micros: i64,
    received: Instant,
}

impl DatabaseTime {
    async fn read(db: &Client) -> Self {
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::int8";
        let sent = Instant::now();
        let micros = db.query_one(sql, &[]).await.unwrap().get(0);
        Self { sent, micros, received: Instant::now() }
    }

    fn at_least(&self) -> i64 {
        self.micros + i64::try_from(self.received.elapsed().as_micros()).unwrap()
    }

    fn at_most(&self) -> i64 {
        self.micros + i64::try_from(self.sent.elapsed().as_micros()).unwrap()
    }
}

/// The requests so far.
struct Load {
    sessions: Vec<SignedIn>,
    last: Vec<Last>,
    time: DatabaseTime,
    sent: AtomicUsize,
}

/// When a session was asked for the last time, and answered: in between lies what must be in its row.
#[derive(Default)]
struct Last {
    asked: AtomicI64,
    answered: AtomicI64,
}

/// How the rows differ from the last requests.
#[derive(Debug, Default)]
struct Compared {
    right: usize,
    too_early: usize,
    too_late: usize,
    /// Microseconds: before the last request was sent, and after it was answered.
    farthest: (i64, i64),
}

impl Compared {
    async fn with_rows(db: &Client, load: &Load) -> Self {
        let sql = "SELECT id, (extract(epoch FROM last_activity_at) * 1e6)::int8 FROM device_sessions.sessions";
        let rows: HashMap<Uuid, i64> =
            db.query(sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
        let mut compared = Self::default();
        for (one, last) in load.sessions.iter().zip(&load.last) {
            let at = rows[&one.session.id.as_uuid()];
            let (asked, answered) = (last.asked.load(Ordering::Relaxed), last.answered.load(Ordering::Relaxed));
            compared.farthest = (compared.farthest.0.max(asked - at), compared.farthest.1.max(at - answered));
            // A flush tells how old the request is, and the database gets to know a little later.
            let late = i64::try_from(INTERVAL.as_micros()).unwrap();
            match at {
                at if at < asked - STEP => compared.too_early += 1,
                at if at > answered + late => compared.too_late += 1,
                _ => compared.right += 1,
            }
        }
        compared
    }
}

/// Statements to this database but for the test's own, the most frequent first.
async fn all_statements(db: &Client) -> Vec<(String, i64)> {
    let sql = "SELECT query, calls FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_%' \
               AND query NOT LIKE '%extract(%' AND dbid = (SELECT oid FROM pg_database \
               WHERE datname = current_database()) ORDER BY calls DESC";
    db.query(sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Versions of rows that were written, once all backends but this one have ended and so have told.
async fn rows_written(db: &Client) -> i64 {
    let ended = "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() \
                 AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    eventually("the node's connections have ended", async || db.query_one(ended, &[]).await.unwrap().get(0)).await;
    let written =
        "SELECT n_tup_upd FROM pg_stat_user_tables WHERE schemaname = 'device_sessions' AND relname = 'sessions'";
    db.query_one(written, &[]).await.unwrap().get(0)
}

async fn node(db: &TestDb, interval: Duration) -> Node {
    // A read that the machine holds up for seconds is not what this is about.
    let patient = |builder: SessionsBuilder| builder.activity_interval(interval).load_timeout(Duration::from_secs(4));
    let node = Node::with(migrated(db).await, patient).await;
    eventually("told of changes", async || node.sessions.health().coherence == Coherence::Lease).await;
    node
}

/// All requests up to this number, from several tasks.
async fn ask(load: &Arc<Load>, node: &Node, until: usize) {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (load, node) = (Arc::clone(load), node.clone());
        clients.spawn(async move {
            let next = |n| (n < until).then_some(n + 1);
            while let Ok(n) = load.sent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
                let (one, last) = (&load.sessions[whose(n)], &load.last[whose(n)]);
                last.asked.fetch_max(load.time.at_least(), Ordering::Relaxed);
                assert_eq!(node.status(one).await, StatusCode::OK);
                last.answered.fetch_max(load.time.at_most(), Ordering::Relaxed);
                // A hit does no I/O, and a task that never waits leaves the node's own no room.
                tokio::task::yield_now().await;
            }
        });
    }
    // A panic in one of them is passed on.
    clients.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_requests_are_a_batch_an_interval() {
    let db = TestDb::new().await;
    let node = node(&db, INTERVAL).await;
    let client = db.connect().await;
    let sessions = cold(&client, "ahmed", SESSIONS).await;
    let last = (0..SESSIONS).map(|_| Last::default()).collect();
    let load = Load { sessions, last, time: DatabaseTime::read(&client).await, sent: AtomicUsize::new(0) };
    let load = Arc::new(load);
    count_statements(&client).await;
    let reset = "SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database WHERE datname = current_database()";
    client.execute(reset, &[]).await.unwrap();

    let since = Instant::now();
    let (mut took, mut active) = (Duration::ZERO, 0);
    for part in 0..=PAUSES {
        let [from, until] = [part, part + 1].map(|part| requests() * part / (PAUSES + 1));
        active += (from..until).map(whose).collect::<HashSet<_>>().len();
        let began = Instant::now();
        ask(&load, &node, until).await;
        took += began.elapsed();
        if part < PAUSES {
            eventually("the timer has all of it written", async || {
                node.sessions.health().queued_activity == 0
                    && Compared::with_rows(&client, &load).await.right == SESSIONS
            })
            .await;
        }
    }
    // The control, and what a crash at this moment would lose: the last part is not written yet.
    let unwritten = Compared::with_rows(&client, &load).await;
    node.sessions.shutdown().await.unwrap();
    let elapsed = since.elapsed();
    assert_eq!(node.sessions.health().queued_activity, 0);
    let compared = Compared::with_rows(&client, &load).await;
    let (loads, writes) = (statements(&client, LOADS).await, statements(&client, FLUSHES).await);
    let all = all_statements(&client).await;
    drop(node);
    let rows = rows_written(&client).await;

    let rate = f64::from(u32::try_from(requests()).unwrap()) / took.as_secs_f64();
    let around = all.iter().filter(|(query, _)| ["BEGIN", "SET", "COMMIT"].iter().any(|word| query.starts_with(word)));
    let around: i64 = around.map(|(_, calls)| calls).sum();
    let total: i64 = all.iter().map(|(_, calls)| calls).sum();
    let asked = requests();
    println!(
        "{asked} requests over {SESSIONS} sessions: {total} statements ({rate:.0} requests/s, {elapsed:.1?} in all)"
    );
    println!("{loads} of them loads, {writes} of activity, which wrote {rows} rows, {around} BEGIN, SET and COMMIT:");
    for (query, calls) in &all {
        let query: String = query.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(90).collect();
        println!("{calls:>8}  {query}");
    }
    println!("before the shutdown: {unwritten:?}");
    println!("after it: {compared:?}");

    assert_eq!(load.sent.load(Ordering::Relaxed), requests());
    // The interval is shortened by up to a fifth. One flush more for what was begun, and one for the shutdown.
    let flushes = i64::try_from(elapsed.as_millis() / (INTERVAL.as_millis() * 4 / 5)).unwrap() + 2;
    assert!((CHUNKS..=flushes * CHUNKS).contains(&writes), "{writes} statements, {flushes} flushes");
    // A session that is active in a part is written after it, and once more for each flush in the middle of it.
    let [active, sessions] = [active, SESSIONS].map(|count| i64::try_from(count).unwrap());
    assert!((active..=flushes * sessions).contains(&rows), "{rows} rows, {active} active, {flushes} flushes");
    assert!(loads <= sessions, "each session is read once: {loads}");
    assert!(unwritten.too_early > 0, "the control: {unwritten:?}");
    assert_eq!(compared.right, SESSIONS, "{compared:?}");

    // The other control: a hundredth of a million, each written as it comes, is more than all that.
    for n in 0..requests() / 100 {
        let id = load.sessions[scattered(n) % SESSIONS].session.id.as_uuid();
        let sql = "UPDATE device_sessions.sessions SET last_activity_at = clock_timestamp() WHERE id = $1";
        client.execute(sql, &[&id]).await.unwrap();
    }
    let naive = statements(&client, "UPDATE device_sessions.sessions SET last_activity_at%").await;
    assert!(naive > flushes * CHUNKS, "the control: {naive} statements");
}

/// Which version of each row is there: a write that changes nothing is seen as well.
async fn versions(db: &Client) -> HashMap<Uuid, String> {
    let rows = db.query("SELECT id, xmin::text FROM device_sessions.sessions", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn changed(before: &HashMap<Uuid, String>, after: &HashMap<Uuid, String>) -> HashSet<SessionId> {
    after.iter().filter(|(id, version)| before[id] != **version).map(|(id, _)| SessionId::from(*id)).collect()
}

/// Interval by interval, driven by hand: the rows that are written are the sessions that were seen, each once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interval_writes_the_rows_that_were_active_in_it() {
    let db = TestDb::new().await;
    let node = node(&db, Duration::from_secs(3_600)).await;
    let client = db.connect().await;
    let sessions = cold(&client, "ahmed", SESSIONS).await;
    let mut total = 0;
    for requests in [20_000, 3_000, 100, 1, 0] {
        let before = versions(&client).await;
        let mut active = HashSet::new();
        for n in 0..requests {
            let one = &sessions[scattered(requests + n) % SESSIONS];
            assert_eq!(node.status(one).await, StatusCode::OK);
            active.insert(one.session.id);
        }
        node.sessions.flush_activity().await.unwrap();
        let written = changed(&before, &versions(&client).await);
        println!("{requests} requests of {} sessions: {} rows written", active.len(), written.len());
        assert!(written == active, "{} rows, {} sessions", written.len(), active.len());
        total += i64::try_from(active.len()).unwrap();
    }
    node.sessions.shutdown().await.unwrap();
    drop(node);
    assert_eq!(rows_written(&client).await, total, "none of them twice");

    // The control: a node that writes down all it knows, seen or not.
    let before = versions(&client).await;
    client.execute("UPDATE device_sessions.sessions SET last_activity_at = last_activity_at", &[]).await.unwrap();
    assert_eq!(changed(&before, &versions(&client).await).len(), SESSIONS, "is found out");
}
