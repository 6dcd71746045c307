//! In the steady state requests cost the database nothing: counted by the database itself.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a test, its helpers included")]

mod support;

#[path = "support/process.rs"]
mod process;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use process::Quickstart;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use support::{TestDb, can_count_statements, eventually};
use tokio::task::JoinSet;

const SESSIONS: usize = 100;
const REQUESTS: usize = 10_000;
const CLIENTS: usize = 8;

/// The crate's default.
const ACTIVITY_INTERVAL: Duration = Duration::from_secs(10);

/// For a flush to fall into it; and longer than the 5 s of `max_staleness`, for which a reading would be believed for
/// its age alone, without the lease.
const LONG_ENOUGH: Duration = Duration::from_secs(15);

/// Statements of this database, the most frequent first.
struct Counted(Vec<(String, i64)>);

impl Counted {
    async fn now(database: &tokio_postgres::Client) -> Self {
        let sql = "SELECT query, calls FROM pg_stat_statements \
                   WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY calls DESC";
        let rows = database.query(sql, &[]).await.unwrap();
        Self(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    fn calls(&self, which: impl Fn(&str) -> bool) -> i64 {
        self.0.iter().filter(|(query, _)| which(query)).map(|(_, calls)| calls).sum()
    }

    /// Whatever touches sessions and is not the activity statement.
    fn session_statements(&self) -> i64 {
        self.calls(|query| query.contains("device_sessions.sessions") && !is_activity(query) && !is_outbox(query))
    }

    fn outbox_statements(&self) -> i64 {
        self.calls(is_outbox)
    }

    fn activity_statements(&self) -> i64 {
        self.calls(is_activity)
    }

    fn print(&self) {
        for (query, calls) in &self.0 {
            let query: String = query.split_whitespace().collect::<Vec<_>>().join(" ");
            println!("{calls:>8}  {query}");
        }
    }
}

fn is_activity(query: &str) -> bool {
    query.trim_start().starts_with("WITH seen AS")
}

/// Whether somebody is to be told of something.
fn is_outbox(query: &str) -> bool {
    query.contains("device_sessions.outbox")
}

async fn me(http: &Client, url: &str, token: &str) {
    let answer = http.get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    // Read to the end, or else the connection cannot be used again.
    answer.bytes().await.unwrap();
}

#[tokio::test]
async fn ten_thousand_requests_read_no_session() {
    assert!(can_count_statements(), "this test needs pg_stat_statements (its package is often postgresql-contrib)");
    let db = TestDb::new().await;
    let database = db.connect().await;
    database.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let node = Quickstart::serving(&[("DATABASE_URL", db.url())]).await;
    let http = || Client::builder().no_proxy().build().unwrap();
    let client = http();
    eventually("the node is told of changes", || async {
        let health: Value = client.get(node.url("/health")).send().await.unwrap().json().await.unwrap();
        health["coherence"] == "lease"
    })
    .await;

    let mut tokens = Vec::new();
    for n in 0..SESSIONS {
        let body = json!({ "username": format!("user-{n}"), "password": "demo" });
        let answer = client.post(node.url("/auth/login")).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        tokens.push(answer["access_token"].as_str().unwrap().to_owned());
    }
    let url = node.url("/me");
    for token in &tokens {
        me(&client, &url, token).await;
    }
    let warm = Counted::now(&database).await;
    // The control: what must not be there below is there to be counted here.
    assert!(warm.calls(|query| query.starts_with("SELECT id, user_id")) > 0, "each session is read once");

    let reset = "SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database WHERE datname = current_database()";
    database.execute(reset, &[]).await.unwrap();
    let since = Instant::now();
    let (asked, tokens) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokens));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (http, url, asked, tokens) = (http(), url.clone(), Arc::clone(&asked), Arc::clone(&tokens));
        clients.spawn(async move {
            while asked.load(Ordering::Relaxed) < REQUESTS || since.elapsed() < LONG_ENOUGH {
                let n = asked.fetch_add(1, Ordering::Relaxed);
                me(&http, &url, &tokens[n % SESSIONS]).await;
            }
        });
    }
    // A panic in one of them is passed on.
    clients.join_all().await;
    let counted = Counted::now(&database).await;
    let elapsed = since.elapsed();

    println!("{} requests over {SESSIONS} sessions in {elapsed:.1?}; statements:", asked.load(Ordering::Relaxed));
    counted.print();
    assert_eq!(counted.session_statements(), 0, "session statements in the steady state");
    // One statement a flush, as all sessions fit into one chunk; the interval is shortened by up to a fifth.
    let flushes = elapsed.as_secs_f64() / (ACTIVITY_INTERVAL.as_secs_f64() * 0.8) + 1.0;
    let activity = i32::try_from(counted.activity_statements()).unwrap();
    assert!((1.0..=flushes).contains(&f64::from(activity)), "{activity} activity statements, {flushes} flushes");

    // Looked for every five seconds, less up to a fifth, however many requests there are; a look is two statements.
    let looks = elapsed.as_secs_f64() / 4.0 + 1.0;
    let looked = i32::try_from(counted.outbox_statements()).unwrap();
    assert!(f64::from(looked) <= 2.0 * looks, "{looked} statements of the outbox, {looks} looks");

    let ended = node.stop("TERM").await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
    let sql = "SELECT count(*) FROM device_sessions.sessions WHERE last_activity_at > created_at + interval '5 s'";
    let recorded: i64 = database.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(recorded, 100, "for all that, the activity of every session is in the database");
}
