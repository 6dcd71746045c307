//! A node dies under traffic: `kill -9` loses at most one interval of activity, SIGTERM loses none. Real processes, real
//! HTTP; times are the database's.

use std::{collections::HashMap, sync::Arc, time::Duration};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    process::Quickstart,
    support::{TestDb, eventually},
};

const SESSIONS: usize = 16;
/// Of the node that is killed.
const SHORT: Duration = Duration::from_millis(500);
/// No timer fires during the test: what is written was written by the shutdown.
const LONG: Duration = Duration::from_secs(60);
/// From the moment at which the writer takes the queue until its statement has committed, on a busy machine.
const FLUSH: Duration = Duration::from_secs(2);
/// The time of a session moves in steps of 20 ms; the rest is rounding.
const STEP: Duration = Duration::from_millis(21);

/// Of each session, between which times (microseconds) each of its answered requests was under way.
type Answered = HashMap<Uuid, Vec<(i64, i64)>>;

async fn now(db: &Client) -> i64 {
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::int8";
    db.query_one(sql, &[]).await.unwrap().get(0)
}

fn micros(span: Duration) -> i64 {
    span.as_micros().try_into().unwrap()
}

/// Puts traffic on a node for two seconds and goes on while a signal ends it. When the signal was sent, what was
/// answered until the node was gone, and what is in the rows then.
async fn run(db: &TestDb, interval: Duration, signal: &str) -> (i64, Answered, HashMap<Uuid, i64>) {
    let interval = interval.as_millis().to_string();
    let settings = [("DATABASE_URL", db.url()), ("IDLE_TIMEOUT_MS", "3600000"), ("ACTIVITY_INTERVAL_MS", &interval)];
    let node = Quickstart::serving(&settings).await;
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    let client = Arc::new(db.connect().await);
    let mut traffic = JoinSet::new();
    for user in 0..SESSIONS {
        let body = json!({ "username": format!("user-{user}"), "password": "demo" });
        let login: Value = http.post(node.url("/auth/login")).json(&body).send().await.unwrap().json().await.unwrap();
        let id: Uuid = login["session"]["id"].as_str().unwrap().parse().unwrap();
        let token = login["access_token"].as_str().unwrap().to_owned();
        let (http, client, me) = (http.clone(), Arc::clone(&client), node.url("/me"));
        traffic.spawn(async move {
            let mut answered = Vec::new();
            loop {
                let sent = now(&client).await;
                let Ok(answer) = http.get(&me).bearer_auth(&token).send().await else { return (id, answered) };
                assert_eq!(answer.status(), StatusCode::OK);
                answered.push((sent, now(&client).await));
            }
        });
    }
    let began = now(&client).await;
    eventually("five seconds of traffic", async || now(&client).await > began + 5_000_000).await;
    let signalled = now(&client).await;
    node.stop(signal).await;
    let answered = traffic.join_all().await.into_iter().collect();
    eventually("its last statement has ended", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'axum-device-sessions'";
        client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0
    })
    .await;
    let sql = "SELECT id, (extract(epoch FROM last_activity_at) * 1e6)::int8 FROM device_sessions.sessions";
    let rows = client.query(sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    (signalled, answered, rows)
}

/// The sessions whose row lacks a request that was answered by `until`; and by how much the worst is behind its last.
fn behind(answered: &Answered, rows: &HashMap<Uuid, i64>, until: i64) -> (usize, Duration) {
    let lacks = |(id, requests): &(&Uuid, &Vec<(i64, i64)>)| {
        let newest = requests.iter().filter(|(_, answered)| *answered <= until).map(|(sent, _)| *sent).max();
        newest.expect("requests all the time") - micros(STEP) > rows[*id]
    };
    let late = |(id, requests): (&Uuid, &Vec<(i64, i64)>)| requests.last().unwrap().0 - rows[id];
    let worst = answered.iter().map(late).max().unwrap().max(0);
    (answered.iter().filter(lacks).count(), Duration::from_micros(worst.unsigned_abs()))
}

fn requests(answered: &Answered) -> usize {
    answered.values().map(Vec::len).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_at_most_one_interval() {
    for _ in 0..2 {
        let db = TestDb::new().await;
        let (killed, answered, rows) = run(&db, SHORT, "KILL").await;
        let written = killed - micros(SHORT) - micros(FLUSH);
        let (lacking, worst) = behind(&answered, &rows, written);
        println!(
            "killed: {} requests, the worst session lost {worst:?} of an interval of {SHORT:?}",
            requests(&answered)
        );
        assert_eq!(lacking, 0, "older than an interval and not written: {worst:?}");
    }
    // The control: a node that writes once a minute lost more than that of each session.
    let db = TestDb::new().await;
    let (killed, answered, rows) = run(&db, LONG, "KILL").await;
    let (lacking, worst) = behind(&answered, &rows, killed - micros(SHORT) - micros(FLUSH));
    println!("the control: {lacking} of {SESSIONS} sessions lack what is older, the worst {worst:?}");
    assert_eq!(lacking, SESSIONS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_loses_nothing() {
    // The control is the same without the shutdown.
    for (signal, lost) in [("TERM", 0), ("KILL", SESSIONS)] {
        let db = TestDb::new().await;
        let (_, answered, rows) = run(&db, LONG, signal).await;
        let (lacking, worst) = behind(&answered, &rows, i64::MAX);
        println!("SIG{signal}: {} requests, {lacking} sessions are behind, the worst {worst:?}", requests(&answered));
        assert_eq!(lacking, lost, "the last request answered is in the row");
    }
}
