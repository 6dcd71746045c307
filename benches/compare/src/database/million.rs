//! A million requests over ten thousand sessions: what the database is asked, and what it writes.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, http::StatusCode};
use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::{
    Server,
    counters::{Counters, Statements},
    eventually, float,
    node::{Known, Node, ask, cold},
    quick, scattered, tutorial,
};
use crate::record::{Goal, goal, note, row};

const SECTION: &str = "Database";
const SESSIONS: usize = 10_000;
/// Rows that the crate sends in one statement.
const CHUNK: usize = 1_000;
const CLIENTS: usize = 8;
const INTERVALS: usize = 2;
const TUTORIAL: usize = 10_000;

/// Each of them once in every interval, then any.
fn whose(n: usize) -> usize {
    if n < SESSIONS { n } else { scattered(n) % SESSIONS }
}

pub async fn run(server: &Server) {
    let (requests, interval) = if quick() { (100_000, 3) } else { (1_000_000, 10) };
    let node = Node::start(&server.url(), |builder| builder.activity_interval(Duration::from_secs(interval))).await;
    let counters = Counters::new(server.connect().await).await;
    let known = Arc::new(cold(&counters.0, SESSIONS).await);
    // Warm: each session is read, and its first activity written.
    all_of(&node.app, &known, SESSIONS).await;
    node.sessions.flush_activity().await.expect("the server is up");
    let warm = i64::try_from(SESSIONS).expect("small");
    eventually("the rows written so far are counted", async || counters.updates().await.all == warm).await;

    let each = requests / INTERVALS;
    let expected = INTERVALS * SESSIONS.min(each).div_ceil(CHUNK);
    let active: usize = (0..INTERVALS).map(|_| (0..each).map(whose).collect::<HashSet<_>>().len()).sum();
    // The timer has just flushed: a whole interval lies ahead. That one wrote a row.
    let since = counters.now().await;
    assert_eq!(ask(&node.app, &known[0].bearer).await, StatusCode::OK);
    written(&counters, &known[..1], since).await;
    let before = warm + 1;
    counters.reset().await;
    let (began, wal) = (Instant::now(), counters.wal().await);
    let mut busy = Duration::ZERO;
    for _ in 0..INTERVALS {
        let (since, asked) = (counters.now().await, Instant::now());
        all_of(&node.app, &known, each).await;
        busy += asked.elapsed();
        eventually("the timer has begun", async || node.sessions.health().queued_activity == 0).await;
        written(&counters, &known, since).await;
    }
    let wal = counters.wal().await - wal;
    let (took, ours) = (began.elapsed(), counters.statements().await);

    counters.reset().await;
    let idle_wal = counters.wal().await;
    tokio::time::sleep(took).await;
    let idle_wal = counters.wal().await - idle_wal;
    let idle = counters.statements().await;
    node.stop().await;
    counters.all_told().await;
    let rows = counters.updates().await.all - before;

    tell(requests, interval, busy, &ours, rows, wal - idle_wal);
    let figures =
        [("statements", number(idle.all), ""), ("WAL", number(idle_wal), "B"), ("in", took.as_secs_f64(), "s")];
    row(SECTION, "ours, idle for as long (subtracted from its WAL)", &figures);
    one_after_the_other(server, &counters, &known, requests).await;
    goal(SECTION, "statements that read sessions, of all warm requests", number(ours.loads), "", Goal::AtMost(0.0));
    let share = number(ours.flushes) / float(expected);
    goal(SECTION, "statements that write activity / chunks of 1,000 expected", share, "", Goal::AtMost(1.0));
    goal(
        SECTION,
        "rows written / sessions active in the intervals",
        number(rows) / float(active),
        "",
        Goal::AtMost(1.0),
    );
    note(
        SECTION,
        &format!(
            "{requests} requests over {SESSIONS} sessions by {CLIENTS} tasks through the whole Router in process, in {INTERVALS} \
         activity intervals of {interval} s (the crate shortens each by up to a fifth): each interval's requests are sent at full \
         speed right after a flush, then its own flush by the timer is awaited. So {expected} chunks and {active} rows are what has \
         to be written. Statements are counted by pg_stat_statements, rows by pg_stat_user_tables, WAL by its insert position. \
         What is no load and no flush is BEGIN, SET, `now()` and COMMIT around a flush, the look into the outbox and the listener's beat."
        ),
    );
    note(
        SECTION,
        &format!(
            "The tutorial design decodes the token, reads the row and writes its last activity at each request (jsonwebtoken, deadpool with \
         10 connections, prepared statements): {TUTORIAL} requests by {CLIENTS} tasks on the same table, scaled to {requests}."
        ),
    );
}

fn tell(requests: usize, interval: u64, busy: Duration, ours: &Statements, rows: i64, wal: i64) {
    let figures = [
        ("statements", number(ours.all), ""),
        ("that read sessions", number(ours.loads), ""),
        ("that write activity", number(ours.flushes), ""),
        ("BEGIN, SET, COMMIT", number(ours.around), ""),
        ("rows written", number(rows), ""),
        ("WAL", number(wal), "B"),
        ("requests", float(requests) / busy.as_secs_f64(), "1/s"),
    ];
    row(SECTION, &format!("ours, {requests} requests in {INTERVALS} intervals of {interval} s"), &figures);
}

/// All of these have been seen since then, and their rows say so.
async fn written(counters: &Counters, known: &[Known], since: OffsetDateTime) {
    let ids: Vec<_> = known.iter().map(|one| one.id).collect();
    let sql = "SELECT count(*) FROM device_sessions.sessions WHERE id = ANY($1) AND last_activity_at < $2";
    eventually("the timer has it written", async || {
        let rows = counters.0.query_one(sql, &[&ids, &since]).await.expect("migrated");
        rows.get::<_, i64>(0) == 0
    })
    .await;
}

async fn one_after_the_other(server: &Server, counters: &Counters, known: &Arc<Vec<Known>>, requests: usize) {
    let before = counters.updates().await.all;
    let app = tutorial::app(tutorial::pool(&server.url(), 10));
    // Its connections are made and its statements prepared.
    all_of(&app, known, 100).await;
    counters.reset().await;
    let (wal, since) = (counters.wal().await, Instant::now());
    all_of(&app, known, TUTORIAL).await;
    let took = since.elapsed();
    let (wal, statements) = (counters.wal().await - wal, counters.statements().await);
    drop(app);
    counters.all_told().await;
    let rows = counters.updates().await.all - before - 100;
    let scale = float(requests) / float(TUTORIAL);
    let figures = [
        ("statements", number(statements.all) * scale, ""),
        ("rows written", number(rows) * scale, ""),
        ("WAL", number(wal) * scale, "B"),
        ("requests", float(TUTORIAL) / took.as_secs_f64(), "1/s"),
    ];
    row(SECTION, &format!("tutorial design, {TUTORIAL} requests scaled to {requests}"), &figures);
}

/// So many requests, from several tasks.
async fn all_of(app: &Router, known: &Arc<Vec<Known>>, count: usize) {
    let sent = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (app, known, sent) = (app.clone(), Arc::clone(known), Arc::clone(&sent));
        clients.spawn(async move {
            loop {
                let n = sent.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return;
                }
                assert_eq!(ask(&app, &known[whose(n)].bearer).await, StatusCode::OK);
                // A hit never waits, and would leave the node's own tasks no room.
                tokio::task::yield_now().await;
            }
        });
    }
    clients.join_all().await;
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
const fn number(count: i64) -> f64 {
    count as f64
}
