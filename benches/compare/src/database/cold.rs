//! A node that knows nobody yet, and all of its users at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::get,
};
use deadpool_postgres::Pool;
use moka::future::Cache;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{
    Server,
    counters::{Counters, Statements},
    float,
    node::{Known, Node, ask, cold},
    quick,
    spread::Spread,
    tutorial::{SELECT, Verifier, pool},
};
use crate::record::{Goal, goal, note, row};

const SECTION: &str = "Cold start";
const REQUESTERS: usize = 2_048;
const POOL: usize = 16;

/// What the rival keeps of a session.
#[derive(Clone)]
struct Kept {
    expires_at: OffsetDateTime,
    ended_at: Option<OffsetDateTime>,
}

/// A cache by the book: a miss is one query, and whoever asks for the same session meanwhile waits for it.
fn rival(url: &str, sessions: usize) -> Router {
    let cache = Cache::new(2 * u64::try_from(sessions).expect("small"));
    let state = (Verifier::new(), pool(url, POOL), cache);
    Router::new().route("/", get(async || "ok")).layer(from_fn_with_state(state, check))
}

type Rival = (Verifier, Pool, Cache<Uuid, Option<Arc<Kept>>>);

async fn check(
    State((verifier, pool, cache)): State<Rival>,
    mut request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let id = verifier.session_of(request.headers())?;
    let kept = cache.get_with(id, load(&pool, id)).await.ok_or(StatusCode::UNAUTHORIZED)?;
    if kept.ended_at.is_some() || kept.expires_at < OffsetDateTime::now_utc() {
        return Err(StatusCode::UNAUTHORIZED);
    }
    request.extensions_mut().insert(kept);
    Ok(next.run(request).await)
}

async fn load(pool: &Pool, id: Uuid) -> Option<Arc<Kept>> {
    let client = pool.get().await.expect("the server is up");
    let select = client.prepare_cached(SELECT).await.expect("plain SQL");
    let row = client.query_opt(&select, &[&id]).await.expect("the server is up")?;
    Some(Arc::new(Kept { expires_at: row.get("expires_at"), ended_at: row.get("ended_at") }))
}

/// What a round brings.
struct Round {
    took: Duration,
    waits: Spread,
    statements: Statements,
}

/// Each session is asked once.
async fn storm(app: &Router, known: &Arc<Vec<Known>>, counters: &Counters) -> Round {
    counters.reset().await;
    let (next, since) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let mut requesters = JoinSet::new();
    for _ in 0..REQUESTERS {
        let (app, known, next) = (app.clone(), Arc::clone(known), Arc::clone(&next));
        requesters.spawn(async move {
            let mut waits = Vec::new();
            while let Some(one) = known.get(next.fetch_add(1, Ordering::Relaxed)) {
                let since = Instant::now();
                assert_eq!(ask(&app, &one.bearer).await, StatusCode::OK);
                waits.push(since.elapsed());
            }
            waits
        });
    }
    let all = requesters.join_all().await;
    let took = since.elapsed();
    let mut waits = Spread::default();
    all.into_iter().flatten().for_each(|wait| waits.add_time(wait));
    Round { took, waits, statements: counters.statements().await }
}

#[derive(Default)]
struct Measured {
    seconds: Spread,
    statements: Spread,
    p50: Spread,
    p99: Spread,
}

impl Measured {
    fn add(&mut self, round: &Round) {
        self.seconds.add(round.took.as_secs_f64());
        self.statements.add(f64::from(i32::try_from(round.statements.loads).expect("few")));
        self.p50.add(round.waits.median() / 1e3);
        self.p99.add(round.waits.percentile(99) / 1e3);
    }

    fn tell(&self, name: &str, sessions: usize) {
        let figures = [
            ("took", self.seconds.median(), "s"),
            ("p10", self.seconds.percentile(10), "s"),
            ("p90", self.seconds.percentile(90), "s"),
            ("sessions", float(sessions) / self.seconds.median(), "1/s"),
            ("statements", self.statements.median(), ""),
            ("p50 wait", self.p50.median(), "ms"),
            ("p99 wait", self.p99.median(), "ms"),
        ];
        row(SECTION, name, &figures);
    }
}

pub async fn run(server: &Server) {
    let (count, rounds) = if quick() { (10_000, 3) } else { (100_000, 7) };
    // The schema has to be there before the rows.
    Node::start(&server.url(), |builder| builder).await.stop().await;
    let counters = Counters::new(server.connect().await).await;
    let known = Arc::new(cold(&counters.0, count).await);
    let unvacuumed = "ALTER TABLE device_sessions.sessions SET (autovacuum_enabled = off)";
    counters.0.batch_execute(unvacuumed).await.expect("ours to set");
    let (mut ours, mut pooled) = (Measured::default(), Measured::default());
    for round in 0..rounds {
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                let node = Node::start(&server.url(), |builder| builder).await;
                ours.add(&storm(&node.app, &known, &counters).await);
                node.stop().await;
            } else {
                pooled.add(&storm(&rival(&server.url(), count), &known, &counters).await);
            }
        }
    }
    ours.tell("ours", count);
    pooled.tell("one query a miss through a pool of 16", count);
    let statements = ours.statements.median() * 100_000.0 / float(count);
    goal(SECTION, "statements for 100 k sessions", statements, "", Goal::AtMost(600.0));
    let ratio = pooled.seconds.median() / ours.seconds.median();
    goal(SECTION, "one query a miss through a pool of 16 / ours", ratio, "×", Goal::AtLeast(3.5));
    one_by_one(server, &known).await;
    note(
        SECTION,
        &format!(
            "{REQUESTERS} requesters ask for {count} sessions, each once, through the whole Router in process, {rounds} rounds of each in turn; a \
         new `Sessions` on a new store (pool of 10) in each round, which is told of changes before the first request. The rival: \
         jsonwebtoken, moka's `get_with`, a deadpool of {POOL} with a prepared SELECT of the four columns it needs. Both pools make their \
         connections as they need them. All rows are in the server's memory, and \
         out of autovacuum's reach: each round's activity is written when its node stops, outside of what is measured."
        ),
    );
}

/// The first miss of an idle system, so many times, beside a round trip for the same row.
async fn one_by_one(server: &Server, known: &[Known]) {
    let (warm, misses) = if quick() { (50, 100) } else { (50, 500) };
    let node = Node::start(&server.url(), |builder| builder).await;
    let client = server.connect().await;
    let (mut ours, mut plain) = (Spread::default(), Spread::default());
    for (n, one) in known[..warm + misses].iter().enumerate() {
        let mut times = [Duration::ZERO; 2];
        for turn in [n % 2, 1 - n % 2] {
            let since = Instant::now();
            if turn == 0 {
                assert_eq!(ask(&node.app, &one.bearer).await, StatusCode::OK);
            } else {
                let sql = "SELECT * FROM device_sessions.sessions WHERE id = $1";
                let rows = client.query_typed(sql, &[(&one.id, Type::UUID)]).await.expect("the server is up");
                assert_eq!(rows.len(), 1);
            }
            times[turn] = since.elapsed();
        }
        if n >= warm {
            ours.add_time(times[0]);
            plain.add_time(times[1]);
        }
    }
    node.stop().await;
    for (name, times) in
        [("a single miss of an idle system: ours", &ours), ("plain query_typed of the same row", &plain)]
    {
        let figures = [
            ("p50", times.median(), "µs"),
            ("p10", times.percentile(10), "µs"),
            ("p90", times.percentile(90), "µs"),
            ("p99", times.percentile(99), "µs"),
        ];
        row(SECTION, name, &figures);
    }
    let what = "a single miss of an idle system, of a plain round trip (no batching window)";
    goal(SECTION, what, ours.median() / plain.median(), "×", Goal::AtMost(2.0));
}
