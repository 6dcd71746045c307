//! At most three sessions of a user, exactly: twelve clients sign one user in sixty times each on three nodes, and whoever
//! looks meanwhile, at whatever moment, never sees a fourth. Under each isolation level that a role may have as its default.
//!
//! The control does with plain SQL what one writes first, in a transaction: count, end the oldest, insert.

#![cfg(feature = "postgres")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum_device_sessions::{OnLimit, Sessions, SignIn, UserId};
use http::StatusCode;
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::{Client, NoTls, error::SqlState};
use uuid::Uuid;

use crate::{
    cluster::{self, ask, told},
    support::{self, TestDb},
};

const LIMIT: usize = 3;
const NODES: usize = 3;
const CLIENTS: usize = 12;
const EACH: usize = 60;
const ISOLATIONS: [&str; 3] = ["read committed", "repeatable read", "serializable"];

/// A role whose transactions are of this isolation unless they say otherwise, and the URL by which it connects.
async fn role(db: &TestDb, isolation: &str) -> String {
    let (admin, name) = (db.connect().await, format!("limited_{}", db.name()));
    let make = format!(
        "CREATE ROLE {name} LOGIN; GRANT ALL ON DATABASE {0} TO {name}; \
         ALTER ROLE {name} SET default_transaction_isolation = '{isolation}'",
        db.name()
    );
    admin.batch_execute(&make).await.unwrap();
    let url = db.url().replacen("//postgres@", &format!("//{name}@"), 1);
    let shown = connect(&url).await.query_one("SHOW transaction_isolation", &[]).await.unwrap();
    assert_eq!(shown.get::<_, &str>(0), isolation);
    url
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Counts the live rows again and again, each time in one snapshot, until it is told to stop. How often each count was seen.
struct Observer {
    stop: Arc<AtomicBool>,
    counting: JoinHandle<BTreeMap<i64, usize>>,
}

impl Observer {
    fn of(client: Client) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked_to = Arc::clone(&stop);
        let counting = tokio::spawn(async move {
            let mut seen = BTreeMap::new();
            let live = "SELECT count(*) FROM device_sessions.sessions WHERE user_id = 'ahmed' AND ended_at IS NULL";
            let live = client.prepare(live).await.unwrap();
            while !asked_to.load(Ordering::Relaxed) {
                *seen.entry(client.query_one(&live, &[]).await.unwrap().get(0)).or_default() += 1;
            }
            seen
        });
        Self { stop, counting }
    }

    async fn saw(self) -> BTreeMap<i64, usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.counting.await.unwrap()
    }
}

#[tokio::test]
async fn a_fourth_session_is_never_seen() {
    for isolation in ISOLATIONS {
        let db = TestDb::new().await;
        let url = role(&db, isolation).await;
        #[cfg(feature = "metrics")]
        let (counted, _guard) = metered::start();
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            let builder = cluster::builder(&url).await;
            nodes.push(builder.max_sessions_per_user(3, OnLimit::EndOldest).build().await.unwrap());
            told(&nodes[nodes.len() - 1]).await;
        }
        let observer = Observer::of(db.connect().await);
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let node: Sessions = nodes[client % NODES].clone();
            clients.spawn(async move {
                let mut last = None;
                for _ in 0..EACH {
                    let signed_in = node.sign_in(SignIn::new("ahmed")).await.unwrap();
                    last = Some((node.clone(), signed_in));
                }
                last.unwrap()
            });
        }
        let last = clients.join_all().await;
        let saw = observer.saw().await;
        let sql = db.connect().await;
        let all = i64::try_from(CLIENTS * EACH).unwrap();
        let limit = i64::try_from(LIMIT).unwrap();
        let rows = sql.query_one(ROWS, &[]).await.unwrap();
        let [count, live, ended, by_itself, before_itself, by_an_older] =
            [0, 1, 2, 3, 4, 5].map(|column| rows.get::<_, i64>(column));
        println!(
            "{isolation}: {count} rows, {live} live, {ended} ended as limit; how often so many were seen: {saw:?}"
        );
        assert!(saw.keys().all(|count| *count <= limit), "{isolation}: {saw:?}");
        assert!(saw.values().sum::<usize>() > CLIENTS, "it has looked while they signed in: {saw:?}");
        assert_eq!((count, live, ended), (all, limit, all - limit), "every sign-in came in, and every other ended");
        assert_eq!((by_itself, before_itself, by_an_older), (0, 0, 0), "the newcomer is never the one that ends");
        assert_eq!(nodes[0].list(&UserId::from("ahmed"), None).await.unwrap().len(), LIMIT);
        #[cfg(feature = "metrics")]
        assert_eq!(metered::ended(&counted), BTreeMap::from([("limit".to_owned(), ended.unsigned_abs())]), "each once");
        // A token is as good as its row says, on the node that gave it.
        for (node, signed_in) in last {
            let id = signed_in.session.id.as_uuid();
            let live = "SELECT ended_at IS NULL FROM device_sessions.sessions WHERE id = $1";
            let live: bool = sql.query_one(live, &[&id]).await.unwrap().get(0);
            let expected = if live { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            support::eventually("the node knows", || async { ask(&node, &signed_in).await == expected }).await;
        }
    }
}

/// All, live, ended for the limit; and of these by their own sign-in, before they began, by a sign-in before theirs.
const ROWS: &str = "SELECT count(*), count(*) FILTER (WHERE ended_at IS NULL), count(*) FILTER (WHERE end_reason = 'limit'), \
    count(*) FILTER (WHERE ended_by = id::text), count(*) FILTER (WHERE ended_at < created_at), \
    count(*) FILTER (WHERE (SELECT created_at FROM device_sessions.sessions c WHERE c.id::text = s.ended_by) < created_at) \
    FROM device_sessions.sessions s";

#[cfg(feature = "metrics")]
mod metered {
    use super::BTreeMap;
    use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

    /// This runtime has one thread: its tasks count here as well.
    pub(super) fn start() -> (Snapshotter, metrics::LocalRecorderGuard<'static>) {
        // For as long as the test: there are three of them.
        let recorder = Box::leak(Box::new(DebuggingRecorder::new()));
        (recorder.snapshotter(), metrics::set_default_local_recorder(recorder))
    }

    /// How many sessions ended, by reason.
    pub(super) fn ended(snapshotter: &Snapshotter) -> BTreeMap<String, u64> {
        let mut ended = BTreeMap::new();
        for (key, _, _, value) in snapshotter.snapshot().into_vec() {
            if let ("device_sessions_ended_total", DebugValue::Counter(count)) = (key.key().name(), value) {
                let reason = key.key().labels().next().map(|label| label.value().to_owned());
                *ended.entry(reason.unwrap_or_default()).or_default() += count;
            }
        }
        ended
    }
}

/// Whether it came in, and how many live sessions it had found.
async fn naive_sign_in(client: &Client) -> Result<usize, tokio_postgres::Error> {
    let user = "ahmed";
    let live = "SELECT id FROM device_sessions.sessions WHERE user_id = $1 AND ended_at IS NULL ORDER BY created_at";
    let there: Vec<Uuid> = client.query(live, &[&user]).await?.iter().map(|row| row.get(0)).collect();
    let doomed = &there[..(there.len() + 1).saturating_sub(LIMIT)];
    let end = "UPDATE device_sessions.sessions SET ended_at = clock_timestamp(), end_reason = 'limit' \
               WHERE id = ANY($1) AND ended_at IS NULL";
    client.execute(end, &[&doomed]).await?;
    let insert = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
                  VALUES (gen_random_uuid(), $1, now() + interval '1 day', 'Naive', 'other')";
    client.execute(insert, &[&user]).await?;
    client.batch_execute("COMMIT").await?;
    Ok(there.len())
}

#[tokio::test]
async fn without_the_lock_there_are_more() {
    for isolation in ISOLATIONS {
        let db = TestDb::new().await;
        let url = role(&db, isolation).await;
        drop(cluster::builder(&url).await);
        let observer = Observer::of(db.connect().await);
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let client = connect(&url).await;
            clients.spawn(async move {
                let (mut most, mut refused) = (0, 0);
                for _ in 0..EACH {
                    // Whom the database refuses tries again, as one is told to.
                    loop {
                        client.batch_execute("BEGIN").await.unwrap();
                        match naive_sign_in(&client).await {
                            Ok(found) => break most = most.max(found),
                            Err(error) => {
                                let again = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
                                assert!(error.code().is_some_and(|code| again.contains(code)), "{error:?}");
                                client.batch_execute("ROLLBACK").await.unwrap();
                                refused += 1;
                            }
                        }
                    }
                }
                (most, refused)
            });
        }
        let done = clients.join_all().await;
        let saw = observer.saw().await;
        // Seen by the observer, or found by one of them.
        let seen = saw.keys().max().map_or(0, |count| usize::try_from(*count).unwrap());
        let most = done.iter().map(|(most, _)| *most).max().unwrap().max(seen);
        let refused: usize = done.iter().map(|(_, refused)| refused).sum();
        println!("naive, {isolation}: up to {most} live, {refused} refused by the database; seen: {saw:?}");
        // The stricter levels refuse most of those who are in each other's way, and not always all.
        if isolation == "read committed" {
            assert!(most > LIMIT, "the control: this load is enough to exceed the limit");
        } else {
            assert!(most > LIMIT || refused > 0, "the control: they were in each other's way");
        }
    }
}
