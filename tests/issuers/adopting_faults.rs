//! Registering a session of another issuer when an answer of the database is late or lost, or the client goes away: bounded,
//! never 401, and done the next time, once.

#![cfg(all(feature = "jwks", feature = "postgres", feature = "routes"))]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_postgres::{Client, NoTls, error::SqlState};

use crate::{
    accepting::{LONGEST, Node, node_at, of, rows},
    idp::{self, Idp},
    proxy::Proxy,
    support::{TestDb, eventually},
};

/// The promise (P3).
const DEADLINE: Duration = Duration::from_secs(4);
const AWAY: &str = "503 temporarily_unavailable";
/// What of it may be lost: the row, and whether it was kept.
const STEPS: [&str; 2] = ["INSERT INTO", "COMMIT\0"];

async fn behind(proxy: &Proxy, db: &TestDb, idp: &Idp) -> Arc<Node> {
    let issuer = of(idp).adopt_sessions(LONGEST);
    let url = proxy.url(db.url());
    let node = node_at(&url, |builder| {
        // No flush falls into it: it ends in COMMIT too.
        builder.accept_tokens_of(issuer).activity_interval(Duration::from_secs(3_600))
    });
    Arc::new(node.await)
}

/// Transactions in which nothing goes on.
async fn open(sql: &Client) -> i64 {
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND state LIKE 'idle in transaction%'";
    sql.query_one(open, &[]).await.unwrap().get(0)
}

async fn is_let_in_once(node: &Node, sql: &Client, token: &str, rows_then: usize) {
    eventually("it is let in", || async {
        let line = node.me(token).await;
        assert!(line == "200 lena" || line == AWAY, "{line}");
        line == "200 lena"
    })
    .await;
    assert_eq!(rows(sql).await.len(), rows_then);
    eventually("no transaction is open", || async { open(sql).await == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let proxy = Proxy::to(db.url()).await;
    let (node, sql) = (behind(&proxy, &db, &idp).await, db.connect().await);
    for (turn, step) in STEPS.into_iter().enumerate() {
        let token = idp.sign("lena", &format!("lost at {step}"));
        let held = proxy.hold(step);
        let asking = tokio::spawn({
            let (node, token) = (Arc::clone(&node), token.clone());
            async move { node.me(&token).await }
        });
        held.answered().await;
        held.cut();
        let line = asking.await.unwrap();
        assert!(line == "200 lena" || line == AWAY, "{line}");
        is_let_in_once(&node, &sql, &token, turn + 1).await;
    }
    // Naively it is added again.
    let again = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
                 SELECT id, user_id, expires_at, device_name, device_type FROM device_sessions.sessions LIMIT 1";
    let error = sql.execute(again, &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION), "an error 500 for as long as the token is good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_late() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let proxy = Proxy::to(db.url()).await;
    let (node, sql) = (behind(&proxy, &db, &idp).await, db.connect().await);
    for (turn, step) in STEPS.into_iter().enumerate() {
        let token = idp.sign("lena", &format!("late at {step}"));
        let held = proxy.hold(step);
        let asked = Instant::now();
        assert_eq!(node.me(&token).await, AWAY);
        assert!(asked.elapsed() < DEADLINE, "{:?}", asked.elapsed());
        held.release();
        is_let_in_once(&node, &sql, &token, turn + 1).await;
    }
    let (naive, connection) = tokio_postgres::connect(&proxy.url(db.url()), NoTls).await.unwrap();
    tokio::spawn(connection);
    let _held = proxy.hold("naive");
    let naive = tokio::time::timeout(DEADLINE, naive.simple_query("SELECT 'naive'"));
    assert!(naive.await.is_err(), "naively it waits for as long as it takes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let proxy = Proxy::to(db.url()).await;
    let (node, sql) = (behind(&proxy, &db, &idp).await, db.connect().await);
    for (turn, step) in STEPS.into_iter().enumerate() {
        let token = idp.sign("lena", &format!("gone at {step}"));
        let held = proxy.hold(step);
        let asking = tokio::spawn({
            let (node, token) = (Arc::clone(&node), token.clone());
            async move { node.me(&token).await }
        });
        held.answered().await;
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        held.release();
        is_let_in_once(&node, &sql, &token, turn + 1).await;
    }
    // Naively on a connection that goes back to its pool as it is.
    let pooled = db.connect().await;
    let naive = async {
        pooled.batch_execute("BEGIN; LOCK device_sessions.sessions IN ROW EXCLUSIVE MODE").await.unwrap();
        std::future::pending::<()>().await;
    };
    let gone = async {
        eventually("it has begun", || async { open(&sql).await == 1 }).await;
    };
    tokio::select! { () = naive => {} () = gone => {} }
    assert_eq!(open(&sql).await, 1, "naively it stays open");
}

/// Keeps nobody waiting but the first requests of that session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_being_added_by_somebody_else() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let proxy = Proxy::to(db.url()).await;
    let (node, other, sql) = (behind(&proxy, &db, &idp).await, db.connect().await, db.connect().await);
    let sid = idp::unique();
    let (token, known) = (idp.sign("lena", &sid), idp.sign("lena", "known"));
    assert_eq!(node.me(&known).await, "200 lena");
    // Another node's transaction that does not come to its end.
    let insert = format!(
        "BEGIN; INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type, issuer) \
         VALUES ('{sid}', 'lena', now() + interval '1 day', 'Elsewhere', 'other', '{}')",
        idp.url
    );
    other.batch_execute(&insert).await.unwrap();
    let asked = Instant::now();
    assert_eq!(node.me(&token).await, AWAY);
    assert!(asked.elapsed() < DEADLINE, "{:?}", asked.elapsed());
    for _ in 0..100 {
        assert_eq!(node.me(&known).await, "200 lena");
    }
    other.batch_execute("COMMIT").await.unwrap();
    is_let_in_once(&node, &sql, &token, 2).await;
    assert!(rows(&sql).await.iter().any(|row| row.device == "Elsewhere"), "theirs stands");
}
