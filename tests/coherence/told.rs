//! Two nodes on one Postgres: what one of them, or a hand in psql, ends is refused by the other.

use std::time::Duration;

use axum_device_sessions::{Coherence, EndReason, EndTarget, PostgresStore, Sessions, SignIn, SignedIn};
use http::StatusCode;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::{
    cluster::{self, ask, builder, current, node, refused, told},
    naive,
    support::{TestDb, eventually},
};

async fn two_nodes_and_a_session(db: &TestDb) -> (Sessions, Sessions, SignedIn) {
    let (a, b) = (node(db.url()).await, node(db.url()).await);
    let signed_in = a.sign_in(SignIn::new("ahmed")).await.unwrap();
    for node in [&a, &b] {
        assert_eq!(ask(node, &signed_in).await, StatusCode::OK);
    }
    (a, b, signed_in)
}

fn one(signed_in: &SignedIn) -> EndTarget {
    EndTarget::One { id: signed_in.session.id, user: None }
}

#[tokio::test]
async fn an_end_on_one_node_is_refused_by_the_other() {
    let db = TestDb::new().await;
    let (a, b, signed_in) = two_nodes_and_a_session(&db).await;
    let waiter = current(&b, &signed_in).await.1.unwrap().ended();
    a.end(one(&signed_in), EndReason::RevokedByAdmin, None).await.unwrap();
    assert_eq!(ask(&a, &signed_in).await, StatusCode::UNAUTHORIZED, "at once where it was ended");
    refused(&b, &signed_in).await;
    assert_eq!(waiter.await, EndReason::RevokedByAdmin, "whoever waits on the other node hears of it");
}

#[tokio::test]
async fn an_end_by_hand_is_refused_everywhere() {
    let db = TestDb::new().await;
    let psql = db.connect().await;
    for by_hand in [
        "UPDATE device_sessions.sessions SET ended_at = now()",
        "DELETE FROM device_sessions.sessions",
        "TRUNCATE device_sessions.sessions",
        "SET session_replication_role = replica; UPDATE device_sessions.sessions SET ended_at = now()",
    ] {
        let (a, b, signed_in) = two_nodes_and_a_session(&db).await;
        psql.batch_execute(by_hand).await.unwrap();
        refused(&a, &signed_in).await;
        refused(&b, &signed_in).await;
    }
}

/// Ends that happen while nobody listens are found by the readings' age, also one whose transaction was open across
/// the reconnect, and a waiter that makes no requests hears of it as well.
#[tokio::test]
async fn ends_in_the_listeners_gap_are_found() {
    let db = TestDb::new().await;
    let b = builder(db.url()).await.max_staleness(Duration::from_secs(1)).build().await.unwrap();
    told(&b).await;
    let psql = db.connect().await;
    let mut open = db.connect().await;
    let mut early = Vec::new();
    for user in ["ahmed", "lena"] {
        let signed_in = b.sign_in(SignIn::new(user)).await.unwrap();
        let (status, current) = current(&b, &signed_in).await;
        assert_eq!(status, StatusCode::OK);
        early.push((signed_in, current.unwrap().ended()));
    }
    let across = open.transaction().await.unwrap();
    let ended = "UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'limit' WHERE user_id = ";
    across.batch_execute(&format!("{ended} 'lena'")).await.unwrap();
    let lost = b.health().leases_lost;
    // The listener is gone and an end is committed in one transaction: it is never told of it.
    psql.batch_execute(&format!(
        "BEGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = 'axum-device-sessions' AND datname = current_database() \
         AND (query LIKE 'LISTEN%' OR query LIKE '%pg_notify%'); {ended} 'ahmed'; COMMIT"
    ))
    .await
    .unwrap();
    eventually("the node has noticed", || async { b.health().leases_lost > lost }).await;
    told(&b).await;
    across.commit().await.unwrap();
    for (signed_in, waiter) in early {
        refused(&b, &signed_in).await;
        assert_eq!(waiter.await, EndReason::Limit);
    }
}

/// The control: a cache that listens, and connects again when it has lost its connection, does not hear of an end that
/// was committed while nobody listened. It lets the session in for ever.
#[tokio::test]
async fn the_naive_design_misses_ends_in_the_gap() {
    let db = TestDb::new().await;
    let address = naive::serve(db.url(), Some(db.url())).await;
    let http = reqwest::Client::new();
    let body = serde_json::json!({ "username": "ahmed" });
    let signed_in = http.post(format!("{address}/auth/login")).json(&body).send().await.unwrap();
    let token = signed_in.json::<serde_json::Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
    let ask = || async { http.get(format!("{address}/me")).bearer_auth(&token).send().await.unwrap().status() };
    assert_eq!(ask().await, StatusCode::OK);
    let psql = db.connect().await;
    let listeners = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'";
    let listens = || async { !psql.query(&format!("SELECT pid {listeners}"), &[]).await.unwrap().is_empty() };
    eventually("it listens", listens).await;
    psql.batch_execute(&format!(
        "BEGIN; SELECT pg_terminate_backend(pid) {listeners}; UPDATE device_sessions.sessions SET ended_at = now(); COMMIT"
    ))
    .await
    .unwrap();
    eventually("it has lost its connection", || async { !listens().await }).await;
    eventually("it listens again", listens).await;
    assert_eq!(ask().await, StatusCode::OK, "and lets the ended session in");
}

/// NOTIFY takes a lock of the whole database at commit: only what validation reads is worth it.
#[tokio::test]
async fn signing_in_activity_and_the_purge_notify_nothing() {
    let db = TestDb::new().await;
    let a = node(db.url()).await;
    let mut told = Told::listen(&db).await;
    let signed_in = a.sign_in(SignIn::new("ahmed")).await.unwrap();
    let other = a.sign_in(SignIn::new("lena")).await.unwrap();
    assert_eq!(ask(&a, &signed_in).await, StatusCode::OK);
    a.flush_activity().await.unwrap();
    assert_eq!(told.so_far().await, Vec::<String>::new());
    a.end(one(&signed_in), EndReason::Logout, None).await.unwrap();
    assert_eq!(told.so_far().await, [signed_in.session.id.to_string()], "an end notifies once");
    a.end(one(&signed_in), EndReason::Logout, None).await.unwrap();
    told.client
        .batch_execute("UPDATE device_sessions.sessions SET ended_at = now(), metadata = metadata")
        .await
        .unwrap();
    assert_eq!(told.so_far().await, [other.session.id.to_string()], "and only where something has changed");
    told.client.batch_execute("DELETE FROM device_sessions.sessions").await.unwrap();
    assert_eq!(told.so_far().await, Vec::<String>::new(), "the purge deletes ended rows");
}

#[tokio::test]
async fn the_end_of_100_000_sessions_is_told_to_the_last() {
    let db = TestDb::new().await;
    drop(node(db.url()).await);
    let mut told = Told::listen(&db).await;
    told.client
        .batch_execute(
            "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
             SELECT gen_random_uuid(), 'ahmed', now() + interval '1 day', 'Test', 'other' \
             FROM generate_series(1, 100000)",
        )
        .await
        .unwrap();
    told.client.batch_execute("UPDATE device_sessions.sessions SET ended_at = now()").await.unwrap();
    let mut all = std::collections::HashSet::new();
    while all.len() < 100_000 {
        all.insert(told.heard.recv().await.unwrap());
    }
}

/// A stranger that listens to the channel.
struct Told {
    client: Client,
    heard: tokio::sync::mpsc::UnboundedReceiver<String>,
}

impl Told {
    async fn listen(db: &TestDb) -> Self {
        let config: tokio_postgres::Config = db.url().parse().unwrap();
        let (client, mut connection) = config.connect(NoTls).await.unwrap();
        let (say, heard) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(told) = message {
                    let _gone = say.send(told.payload().to_owned());
                }
            }
        });
        client.batch_execute("LISTEN device_sessions_changes; LISTEN barrier").await.unwrap();
        Self { client, heard }
    }

    /// Everything that was notified before this call: a notification of our own comes after all of them.
    async fn so_far(&mut self) -> Vec<String> {
        self.client.batch_execute("NOTIFY barrier, 'barrier'").await.unwrap();
        let mut found = Vec::new();
        loop {
            match self.heard.recv().await.unwrap() {
                barrier if barrier == "barrier" => return found,
                told => found.push(told),
            }
        }
    }
}

#[tokio::test]
async fn a_store_without_an_address_to_listen_at_polls() {
    let db = TestDb::new().await;
    node(db.url()).await;
    let config: tokio_postgres::Config = db.url().parse().unwrap();
    let pool = deadpool_postgres::Pool::builder(deadpool_postgres::Manager::new(config, NoTls)).build().unwrap();
    let store = PostgresStore::from_pool(pool).unwrap();
    let b = Sessions::builder(store)
        .access_tokens(cluster::tokens())
        .max_staleness(Duration::from_millis(500))
        .build()
        .await
        .unwrap();
    assert_eq!(b.health().coherence, Coherence::Polling);
    let signed_in = b.sign_in(SignIn::new("ahmed")).await.unwrap();
    let waiter = current(&b, &signed_in).await.1.unwrap().ended();
    db.connect().await.batch_execute("UPDATE device_sessions.sessions SET ended_at = now()").await.unwrap();
    refused(&b, &signed_in).await;
    assert_eq!(waiter.await, EndReason::RevokedByAdmin);
    eventually("healthy", async || b.health().healthy).await;
}

#[tokio::test]
async fn missing_triggers_are_found_and_said() {
    let db = TestDb::new().await;
    drop(node(db.url()).await);
    let psql = db.connect().await;
    let table = "ALTER TABLE device_sessions.sessions";
    for (break_it, mend_it) in [
        (format!("{table} DISABLE TRIGGER tell_update"), format!("{table} ENABLE ALWAYS TRIGGER tell_update")),
        (format!("{table} ENABLE TRIGGER tell_delete"), format!("{table} ENABLE ALWAYS TRIGGER tell_delete")),
    ] {
        psql.batch_execute(&break_it).await.unwrap();
        let b = builder(db.url()).await.build().await.unwrap();
        eventually("it is said", || async {
            b.health().last_error.is_some_and(|error| error.contains("trigger tell_"))
        })
        .await;
        assert_eq!(b.health().coherence, Coherence::Polling);
        psql.batch_execute(&mend_it).await.unwrap();
        told(&b).await;
    }
}

/// What is told there says nothing about what is read here.
#[tokio::test]
async fn a_listener_in_another_database_is_not_believed() {
    let (here, there) = (TestDb::new().await, TestDb::new().await);
    drop(node(there.url()).await);
    let store = PostgresStore::connect(here.url()).await.unwrap().listen_url(there.url()).unwrap();
    store.migrate().await.unwrap();
    let b = Sessions::builder(store)
        .access_tokens(cluster::tokens())
        .max_staleness(Duration::from_millis(500))
        .build()
        .await
        .unwrap();
    eventually("it is found out", || async {
        b.health().last_error.is_some_and(|error| error.contains("another server or database"))
    })
    .await;
    assert_eq!(b.health().coherence, Coherence::Polling);
    let signed_in = b.sign_in(SignIn::new("ahmed")).await.unwrap();
    assert_eq!(ask(&b, &signed_in).await, StatusCode::OK);
    here.connect().await.batch_execute("UPDATE device_sessions.sessions SET ended_at = now()").await.unwrap();
    refused(&b, &signed_in).await;
}

/// A standby answers with the past: it is an error like a database that is away, and no reason to poll it.
#[tokio::test]
async fn a_standby_is_not_asked() {
    let db = TestDb::own_cluster(&[]).await;
    let b = builder(db.url()).await.max_staleness(Duration::from_millis(500)).build().await.unwrap();
    told(&b).await;
    let signed_in = b.sign_in(SignIn::new("ahmed")).await.unwrap();
    assert_eq!(ask(&b, &signed_in).await, StatusCode::OK);
    let (server, signal) = (db.server(), db.server().data_dir().join("standby.signal"));
    server.stop_fast();
    std::fs::write(&signal, "").unwrap();
    server.start_again().unwrap();
    let psql = db.connect().await;
    let recovers: bool = psql.query_one("SELECT pg_is_in_recovery()", &[]).await.unwrap().get(0);
    assert!(recovers, "the control: it is there, and reads would succeed");
    psql.query("SELECT id FROM device_sessions.sessions", &[]).await.unwrap();
    eventually("what is in memory may not be believed any more", || async {
        ask(&b, &signed_in).await == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    eventually("it is said", || async { b.health().last_error.is_some_and(|error| error.contains("standby")) }).await;
    assert_eq!(ask(&b, &signed_in).await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!b.health().healthy);
    assert!(PostgresStore::connect(db.url()).await.is_err());
    server.stop_fast();
    std::fs::remove_file(&signal).unwrap();
    server.start_again().unwrap();
    eventually("the primary is back", || async { ask(&b, &signed_in).await == StatusCode::OK }).await;
    told(&b).await;
}
