//! Six writers of activity over overlapping sessions, in batches of any order, while users sign out everywhere and sign
//! in again: no deadlock, as the database counts them, no failed call, and every end in time. `SOAK_SECS` (4 by default)
//! is how long it runs; before that the ends run alone, and beside writers that have other sessions, each for half as
//! long: what an end waits for the processor is not what it waits for the writers' locks.
//!
//! The control makes the same load with the statements that one writes first, in the same cluster, until they deadlock.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod support;

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    ops::Range,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum_device_sessions::{
    Device, EndReason, EndTarget, PostgresStore, SessionId, SessionStore, UserId,
    store::{Activity, EndOutcome, EndRequest, NewSession},
};
use support::{TestDb, eventually};
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

const USERS: usize = 40;
const SESSIONS_EACH: usize = 10;
const WRITERS: usize = 6;
const ENDERS: usize = 2;
const BATCH: usize = 300;
/// Every answer of the crate comes within this time.
const ANSWER_WITHIN: Duration = Duration::from_millis(3_500);
/// The naive design usually needs a second.
const GIVE_UP: Duration = Duration::from_secs(60);

fn soak_time() -> Duration {
    Duration::from_secs(std::env::var("SOAK_SECS").map_or(4, |text| text.parse().unwrap()))
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn below(bound: usize) -> usize {
    usize::try_from(random() >> 1).unwrap() % bound
}

fn user(n: usize) -> UserId {
    UserId::from(format!("user-{n}"))
}

/// What the load is put on: each task has a node of its own.
enum Node {
    Ours(PostgresStore),
    /// What is not on trial is done by the crate here too.
    Naive(PostgresStore, Client),
}

impl Node {
    async fn new(db: &TestDb, naive: bool) -> Self {
        let store = PostgresStore::connect(db.url()).await.unwrap();
        if naive { Self::Naive(store, db.connect().await) } else { Self::Ours(store) }
    }

    async fn sign_in(&self, user: UserId) -> Result<SessionId, String> {
        let (Self::Ours(store) | Self::Naive(store, _)) = self;
        // Not the crate's own ids, which grow with time: the order of ids and that of rows in the table must differ, or
        // whoever locks in either is in the order of all others.
        let id = SessionId::from(Uuid::from_u64_pair(random(), random()));
        let new = NewSession::new(id, user, Device::named("Test"), Duration::from_secs(86_400));
        store.create(new).await.map(|session| session.id).map_err(told)
    }

    async fn record(&self, batch: Vec<Activity>) -> Result<(), String> {
        match self {
            Self::Ours(store) => store.record_activity(batch).await.map(drop).map_err(told),
            Self::Naive(_, client) => {
                let done = naive_record(client, &batch).await;
                client.batch_execute(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).await.map_err(told)?;
                done.map_err(told)
            }
        }
    }

    /// The ids that it ended.
    async fn end(&self, user: UserId, keep: Option<SessionId>) -> Result<Vec<SessionId>, String> {
        match self {
            Self::Ours(store) => {
                let target = match keep {
                    Some(keep) => EndTarget::Others { user, keep },
                    None => EndTarget::All { user, caller: None },
                };
                match store.end(EndRequest::new(target, EndReason::Logout, None)).await.map_err(told)? {
                    EndOutcome::Ended(ended) => Ok(ended.into_iter().map(|(id, _)| id).collect()),
                    // The other task was faster.
                    EndOutcome::CallerEnded(Some(_)) => Ok(Vec::new()),
                    other => Err(format!("{other:?}")),
                }
            }
            Self::Naive(_, client) => {
                let sql = "UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'logout' \
                           WHERE user_id = $1 AND ended_at IS NULL AND id IS DISTINCT FROM $2 RETURNING id";
                let keep = keep.map(|keep| keep.as_uuid());
                let ended = client.query(sql, &[&user.as_str(), &keep]).await.map_err(told)?;
                Ok(ended.iter().map(|row| SessionId::from(row.get::<_, Uuid>(0))).collect())
            }
        }
    }
}

/// In chunks, in one transaction, in whatever order they come.
async fn naive_record(client: &Client, batch: &[Activity]) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("BEGIN").await?;
    for chunk in batch.chunks(100) {
        let ids: Vec<_> = chunk.iter().map(|seen| seen.id.as_uuid()).collect();
        let ages: Vec<_> = chunk.iter().map(|seen| seen.age.as_secs_f64()).collect();
        let sql = "UPDATE device_sessions.sessions s SET last_activity_at = now() - age * interval '1 second' \
                   FROM unnest($1::uuid[], $2::float8[]) AS seen (id, age) WHERE s.id = seen.id AND s.ended_at IS NULL";
        client.execute(sql, &[&ids, &ages]).await?;
    }
    Ok(())
}

fn told(error: impl std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

#[derive(Default)]
struct Done {
    batches: usize,
    sign_ins: usize,
    /// How long each took that ended something.
    ends: Vec<Duration>,
    failed: Vec<String>,
}

impl Done {
    fn quantile(&self, percent: usize) -> Duration {
        let mut ends = self.ends.clone();
        ends.sort_unstable();
        ends.get(ends.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
    }

    fn line(&self) -> String {
        let [p50, p99, most] = [50, 99, 100].map(|percent| self.quantile(percent));
        let (ends, batches, sign_ins) = (self.ends.len(), self.batches, self.sign_ins);
        let failed = self.failed.len();
        format!(
            "{batches} batches, {ends} ends (p50 {p50:.1?}, p99 {p99:.1?}, longest {most:.1?}), {sign_ins} sign-ins, {failed} failed"
        )
    }
}

/// Ten sessions a user; an ended one's place is taken by the next sign-in.
type Places = Arc<Mutex<Vec<SessionId>>>;

/// The sessions of these users.
async fn people(db: &TestDb, users: Range<usize>) -> Places {
    let node = Node::new(db, false).await;
    let mut sessions = Vec::new();
    for whose in users.flat_map(|whose| [whose; SESSIONS_EACH]) {
        sessions.push(node.sign_in(user(whose)).await.unwrap());
    }
    Arc::new(Mutex::new(sessions))
}

/// Until then, batches of up to 300 of the 400 sessions in any order.
async fn write(node: Node, places: Places, done: Arc<Mutex<Done>>, until: Instant) {
    while Instant::now() < until {
        let mut ids = places.lock().unwrap().clone();
        ids.sort_by_cached_key(|_| random());
        ids.truncate(BATCH - below(BATCH / 2));
        let age = |_: &SessionId| Duration::from_micros(below(1_000_000) as u64);
        let batch = ids.iter().map(|id| Activity::new(*id, age(id), None)).collect();
        let recorded = node.record(batch).await;
        let mut done = done.lock().unwrap();
        match recorded {
            Ok(()) => done.batches += 1,
            Err(error) => done.failed.push(error),
        }
    }
}

/// Until then, "sign out everywhere" and "all others" of one user after the other, who then signs in again.
async fn end(node: Node, places: Places, done: Arc<Mutex<Done>>, until: Instant) {
    while Instant::now() < until {
        let whose = below(USERS);
        let keep = places.lock().unwrap()[whose * SESSIONS_EACH + below(SESSIONS_EACH)];
        let since = Instant::now();
        let ended = node.end(user(whose), (below(2) == 0).then_some(keep)).await;
        let took = since.elapsed();
        match ended {
            Ok(ended) if ended.is_empty() => {}
            Ok(ended) => {
                done.lock().unwrap().ends.push(took);
                for old in ended {
                    let new = node.sign_in(user(whose)).await;
                    let mut done = done.lock().unwrap();
                    match new {
                        Ok(new) => {
                            done.sign_ins += 1;
                            places
                                .lock()
                                .unwrap()
                                .iter_mut()
                                .filter(|place| **place == old)
                                .for_each(|place| *place = new);
                        }
                        Err(error) => done.failed.push(error),
                    }
                }
            }
            Err(error) => done.lock().unwrap().failed.push(error),
        }
    }
}

/// Ends and writes for so long; and the deadlocks meanwhile.
async fn run(db: &TestDb, ended: &Places, written: Option<&Places>, naive: bool, lasts: Duration) -> (Done, i64) {
    let watch = db.connect().await;
    let before = counted(&watch).await;
    let done: Arc<Mutex<Done>> = Arc::default();
    let mut nodes = Vec::new();
    for _ in 0..WRITERS + ENDERS {
        nodes.push(Node::new(db, naive).await);
    }
    let until = Instant::now() + lasts;
    let mut tasks = JoinSet::new();
    for node in nodes.split_off(WRITERS) {
        tasks.spawn(end(node, Arc::clone(ended), Arc::clone(&done), until));
    }
    for node in nodes {
        if let Some(written) = written {
            tasks.spawn(write(node, Arc::clone(written), Arc::clone(&done), until));
        }
    }
    // A panic in one of them is passed on.
    tasks.join_all().await;
    let done = std::mem::take(&mut *done.lock().unwrap());
    // A backend reports what it counted when it ends, if not before: no count of deadlocks is to be believed earlier.
    eventually("the nodes' connections have ended", async || others(&watch).await == 0).await;
    let transactions = i64::try_from(done.batches + done.ends.len() + done.sign_ins).unwrap();
    eventually("all is counted", async || counted(&watch).await.0 - before.0 >= transactions).await;
    (done, counted(&watch).await.1 - before.1)
}

/// Committed transactions and deadlocks, in the test's database.
async fn counted(db: &Client) -> (i64, i64) {
    let sql = "SELECT xact_commit, deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let row = db.query_one(sql, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

async fn others(db: &Client) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    db.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_and_ends_never_deadlock() {
    // Looked for at once: with the default of a second, a deadlock would hide the ones after it.
    let db = TestDb::own_cluster(&[("deadlock_timeout", "20ms")]).await;
    PostgresStore::connect(db.url()).await.unwrap().migrate().await.unwrap();
    let (places, apart) = (people(&db, 0..USERS).await, people(&db, USERS..2 * USERS).await);

    let (alone, deadlocks_alone) = run(&db, &places, None, false, soak_time() / 2).await;
    println!("ends alone: {}, {deadlocks_alone} deadlocks", alone.line());
    let (beside, deadlocks_beside) = run(&db, &places, Some(&apart), false, soak_time() / 2).await;
    println!("beside {WRITERS} writers to others: {}, {deadlocks_beside} deadlocks", beside.line());
    let (ours, deadlocks) = run(&db, &places, Some(&places), false, soak_time()).await;
    println!("{WRITERS} writers to the same sessions: {}, {deadlocks} deadlocks", ours.line());
    for (what, before) in [("alone", &alone), ("beside writers to others", &beside)] {
        let ratio = |percent| ours.quantile(percent).as_secs_f64() / before.quantile(percent).as_secs_f64();
        println!("an end takes {:.1} times as long as {what} (p99: {:.1})", ratio(50), ratio(99));
    }

    let since = Instant::now();
    let (mut naive, mut naive_deadlocks) = (Done::default(), 0);
    while naive_deadlocks == 0 && since.elapsed() < GIVE_UP {
        (naive, naive_deadlocks) = run(&db, &places, Some(&places), true, Duration::from_secs(1)).await;
    }
    println!("naive, within {:.1?}: {}, {naive_deadlocks} deadlocks", since.elapsed(), naive.line());
    assert!(naive_deadlocks > 0, "the control: this load makes deadlocks");
    assert!(!naive.failed.is_empty(), "and whoever is chosen fails");

    for (done, deadlocks) in [(&alone, deadlocks_alone), (&beside, deadlocks_beside), (&ours, deadlocks)] {
        assert_eq!(deadlocks, 0);
        assert_eq!(done.failed, Vec::<String>::new());
        assert!(!done.ends.is_empty() && done.quantile(100) < ANSWER_WITHIN, "{}", done.line());
    }
    assert!(ours.batches > WRITERS, "{}", ours.line());
}
