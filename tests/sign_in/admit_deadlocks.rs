//! All that takes locks of a user's sessions and devices, at once and on the same three users: sign-ins that replace and that
//! end others, second factors, "all others", ends by an administrator, refreshes, activity, names, imports, removals. No
//! deadlock, as the database counts them, and no failed call. `SOAK_SECS` (3 by default) is how long it runs.
//!
//! The control signs in as one writes it first, in the same cluster, until that deadlocks.

#![cfg(feature = "postgres")]

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::State, http::Request, routing::get};
use axum_device_sessions::{
    Client as Caller, EndReason, EndTarget, Error, ErrorKind, ImportSession, OnLimit, PendingSession, PostgresStore,
    SessionId, SessionStore, SessionValidationLayer, Sessions, SignIn, SignedIn, UserId,
    store::{Activity, Retention},
};
use time::OffsetDateTime;
use tokio::task::{JoinSet, yield_now};
use tokio_postgres::Client;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{
    cluster,
    support::{TestDb, eventually},
};

const USERS: usize = 3;
const GIVE_UP: Duration = Duration::from_secs(60);

fn soak_time() -> Duration {
    Duration::from_secs(std::env::var("SOAK_SECS").map_or(3, |text| text.parse().unwrap()))
}

fn below(bound: usize) -> usize {
    usize::try_from(RandomState::new().build_hasher().finish() >> 1).unwrap() % bound
}

fn user(n: usize) -> UserId {
    UserId::from(format!("user-{n}"))
}

/// What there was last, of each user, for the others to lay hands on.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<usize, OfUser>>>);

/// Sessions and their refresh tokens.
type OfUser = Vec<(SessionId, String)>;

impl Seen {
    fn add(&self, whose: usize, signed_in: &SignedIn) {
        let mut seen = self.0.lock().unwrap();
        let of_user = seen.entry(whose).or_default();
        of_user.push((signed_in.session.id, signed_in.refresh_token.clone()));
        let old = of_user.len().saturating_sub(12);
        of_user.drain(..old);
    }

    fn all(&self, whose: usize) -> OfUser {
        self.0.lock().unwrap().get(&whose).cloned().unwrap_or_default()
    }

    fn one(&self, whose: usize) -> Option<(SessionId, String)> {
        let all = self.all(whose);
        (!all.is_empty()).then(|| all[below(all.len())].clone())
    }
}

/// One node's part of the load.
#[derive(Clone)]
struct Node {
    sessions: Sessions,
    store: Arc<PostgresStore>,
    confirm: Router,
    seen: Seen,
}

impl Node {
    async fn new(db: &TestDb, seen: &Seen) -> Self {
        let builder = cluster::builder(db.url()).await.max_sessions_per_user(4, OnLimit::EndLeastRecentlyActive);
        let sessions = builder.build().await.unwrap();
        let confirm = |State(sessions): State<Sessions>, pending: PendingSession| async move {
            sessions.confirm(&pending).await.map(|signed_in| signed_in.access_token)
        };
        let confirm = Router::new().route("/", get(confirm)).with_state(sessions.clone());
        let confirm = confirm.layer(SessionValidationLayer::new(sessions.clone()));
        let store = Arc::new(PostgresStore::connect(db.url()).await.unwrap());
        Self { sessions, store, confirm, seen: seen.clone() }
    }

    /// Does this once; says what went wrong that must not.
    async fn run(&self, what: &str, db: &Client) -> Result<(), String> {
        let whose = below(USERS);
        let on_device = || {
            let id = format!("the app on device {}", below(6));
            SignIn::new(user(whose)).client(Caller::new(None, None).device_id(id))
        };
        let done = match what {
            "sign in" => self.sessions.sign_in(on_device()).await.map(|signed_in| self.seen.add(whose, &signed_in)),
            "second factor" => {
                let pending = self.sessions.sign_in(on_device().second_factor_to_come()).await.map_err(told)?;
                self.seen.add(whose, &pending);
                let token = format!("Bearer {}", pending.access_token);
                let request = Request::get("/").header("authorization", token).body(Body::empty()).unwrap();
                let status = self.confirm.clone().oneshot(request).await.unwrap().status().as_u16();
                // Ended by another meanwhile.
                return if matches!(status, 200 | 401) { Ok(()) } else { Err(format!("second factor: {status}")) };
            }
            "end others" => {
                let Some((keep, _)) = self.seen.one(whose) else { return Ok(()) };
                let target = EndTarget::Others { user: user(whose), keep };
                self.sessions.end(target, EndReason::RevokedByUser, None).await.map(drop)
            }
            "end these" => {
                let ids = self.seen.all(whose).iter().map(|(id, _)| *id).collect();
                self.sessions.end(EndTarget::These { ids }, EndReason::RevokedByAdmin, None).await.map(drop)
            }
            "refresh" => {
                let Some((_, token)) = self.seen.one(whose) else { return Ok(()) };
                self.sessions.refresh(&token, None).await.map(drop)
            }
            "rename" => {
                let Some((id, _)) = self.seen.one(whose) else { return Ok(()) };
                self.sessions.rename(&user(whose), id, "A name").await.map(drop)
            }
            "record" => {
                let mut batch: Vec<_> = (0..USERS).flat_map(|whose| self.seen.all(whose)).collect();
                batch.sort_by_cached_key(|_| below(1_000));
                let seen =
                    |(id, _): (SessionId, String)| Activity::new(id, Duration::ZERO, Some([192, 0, 2, 1].into()));
                self.store.record_activity(batch.into_iter().map(seen).collect()).await.map(drop)
            }
            "remove" => {
                // Some devices were last seen long ago.
                let old = "UPDATE device_sessions.devices SET last_seen_at = now() - interval '500 days' WHERE (user_id, key) \
                           IN (SELECT user_id, key FROM device_sessions.devices ORDER BY random() LIMIT 1)";
                db.execute(old, &[]).await.map_err(told)?;
                self.store.purge(Retention::new(Duration::ZERO, Duration::ZERO)).await.map(drop)
            }
            _ => {
                // The same ones for whoever imports in this second, in any order.
                let second = u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap();
                let mut ids: Vec<_> = (0..20).map(|n| SessionId::from(Uuid::from_u64_pair(second, n))).collect();
                ids.sort_by_cached_key(|_| below(1_000));
                let one = |id| ImportSession::new(id, "imported", OffsetDateTime::now_utc());
                self.sessions.import(ids.into_iter().map(one)).await.map(drop)
            }
        };
        match done {
            // Ended by another meanwhile.
            Err(error) if matches!(error.kind(), ErrorKind::SessionEnded | ErrorKind::InvalidToken) => Ok(()),
            done => done.map_err(|error: Error| format!("{what}: {}", told(error))),
        }
    }
}

fn told(error: impl std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Each twice at once, on two nodes.
const LOAD: [&str; 12] = [
    "sign in",
    "sign in",
    "sign in",
    "second factor",
    "second factor",
    "end others",
    "end these",
    "refresh",
    "rename",
    "record",
    "remove",
    "import",
];

async fn deadlocks(db: &Client) -> i64 {
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    db.query_one(sql, &[]).await.unwrap().get(0)
}

async fn others(db: &Client) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    db.query_one(sql, &[]).await.unwrap().get(0)
}

/// Sign-ins that lock as they go: what is too much in the order in which it was used, then the new one.
async fn naive(db: &Client, whose: usize) -> Result<(), tokio_postgres::Error> {
    db.batch_execute("BEGIN").await?;
    let live = "SELECT id FROM device_sessions.sessions WHERE user_id = $1 AND ended_at IS NULL ORDER BY random()";
    let live = db.query(live, &[&user(whose).as_str()]).await?;
    for row in live.iter().skip(1) {
        let end = "UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'limit' WHERE id = $1";
        db.execute(end, &[&row.get::<_, Uuid>(0)]).await?;
    }
    let insert = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
                  SELECT gen_random_uuid(), $1, now() + interval '1 day', 'Naive', 'other' FROM generate_series(1, 4)";
    db.execute(insert, &[&user(whose).as_str()]).await?;
    db.batch_execute("COMMIT").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_waits_in_a_circle() {
    // Looked for at once: with the default of a second, a deadlock would hide the ones after it.
    let db = TestDb::own_cluster(&[("deadlock_timeout", "20ms")]).await;
    let watch = db.connect().await;
    let (seen, mut tasks) = (Seen::default(), JoinSet::new());
    let nodes = [Node::new(&db, &seen).await, Node::new(&db, &seen).await];
    let until = Instant::now() + soak_time();
    for node in &nodes {
        for what in LOAD {
            let (node, sql) = (node.clone(), db.connect().await);
            tasks.spawn(async move {
                let (mut count, mut failed) = (0_usize, Vec::new());
                while Instant::now() < until {
                    count += 1;
                    failed.extend(node.run(what, &sql).await.err());
                    // Before the first sign-in some have nothing to do: they must not keep the two threads to themselves.
                    yield_now().await;
                }
                (what, count, failed)
            });
        }
    }
    let (mut counts, mut failed) = (BTreeMap::<_, usize>::new(), Vec::new());
    for (what, count, wrong) in tasks.join_all().await {
        *counts.entry(what).or_default() += count;
        failed.extend(wrong);
    }
    for node in nodes {
        node.sessions.shutdown().await.unwrap();
    }
    // A backend reports what it counted when it ends, if not before.
    eventually("the nodes' connections have ended", async || others(&watch).await == 0).await;
    println!("{counts:?}: {} deadlocks, {} failed", deadlocks(&watch).await, failed.len());
    let ours = deadlocks(&watch).await;

    let since = Instant::now();
    while deadlocks(&watch).await == ours && since.elapsed() < GIVE_UP {
        let mut tasks = JoinSet::new();
        for n in 0..8 {
            let client = db.connect().await;
            tasks.spawn(async move {
                for round in 0..30 {
                    if naive(&client, (n + round) % USERS).await.is_err() {
                        client.batch_execute("ROLLBACK").await.unwrap();
                    }
                }
            });
        }
        tasks.join_all().await;
        eventually("the connections have ended", async || others(&watch).await == 0).await;
    }
    println!("naive, within {:.1?}: {} deadlocks", since.elapsed(), deadlocks(&watch).await - ours);
    assert!(deadlocks(&watch).await > ours, "the control: such a load makes deadlocks");

    assert_eq!((ours, failed), (0, Vec::new()));
    assert!(counts.values().all(|count| *count > 0), "{counts:?}");
}
