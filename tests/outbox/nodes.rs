//! Several nodes, and who is registered: they share the work, nobody is told twice where nothing fails, and nothing is
//! written for nobody.

#![cfg(feature = "postgres")]

mod registered;
mod streams;

use std::collections::HashSet;

use axum_device_sessions::{
    AccessTokens, EndReason, EndTarget, EventKind, PostgresStore, SessionId, Sessions, SessionsBuilder, SignIn, Wants,
};
use notices::Told;
use support::{TestDb, eventually};
use tokio::task::JoinSet;

use crate::{notices, outbox, support};

const SECRET: &str = "not a secret: 0123456789abcdefXYZ";
const SESSIONS: usize = 60;
/// Few enough that none waits long for a connection.
const CLIENTS: usize = 12;

async fn builder_in(url: &str, schema: &str) -> SessionsBuilder {
    let store = PostgresStore::connect(url).await.unwrap().schema(schema).unwrap();
    store.migrate().await.unwrap();
    Sessions::builder(store).access_tokens(AccessTokens::hs256(SECRET).unwrap())
}

async fn builder(db: &TestDb) -> SessionsBuilder {
    builder_in(db.url(), "device_sessions").await
}

async fn end(sessions: &Sessions, id: SessionId) {
    sessions.end(EndTarget::One { id, user: None }, EndReason::RevokedByUser, None).await.unwrap();
}

fn lives() -> Wants {
    Wants::events([EventKind::SessionCreated, EventKind::SessionEnded])
}

/// Three nodes with a notifier each; which of them told what. The role's defaults are what breaks careless code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_share_the_work_and_tell_nothing_twice() {
    let db = TestDb::new().await;
    let hostile = format!(
        "ALTER DATABASE {0} SET default_transaction_isolation = 'repeatable read'; \
         ALTER DATABASE {0} SET search_path = 'pg_temp'; ALTER DATABASE {0} SET timezone = 'Asia/Kathmandu'",
        db.name()
    );
    db.connect().await.batch_execute(&hostile).await.unwrap();
    let elsewhere = Told::of(lives());
    let other = builder_in(db.url(), "other_sessions").await.notify("test", elsewhere.clone()).build().await.unwrap();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let told = Told::of(lives());
        nodes.push((builder(&db).await.notify("test", told.clone()).build().await.unwrap(), told));
    }
    let mut work = JoinSet::new();
    for client in 0..CLIENTS {
        let nodes: Vec<_> = nodes.iter().map(|(node, _)| node.clone()).collect();
        work.spawn(async move {
            for n in (client..SESSIONS).step_by(CLIENTS) {
                let id = nodes[n % 3].sign_in(SignIn::new(format!("user-{n}"))).await.unwrap().session.id;
                end(&nodes[(n + 1) % 3], id).await;
            }
        });
    }
    work.join_all().await;
    let sql = db.connect().await;
    eventually("nothing is left", async || outbox::letters(&sql).await == 0).await;
    let per_node: Vec<_> = nodes.iter().map(|(_, told)| told.notices().len()).collect();
    println!("{} events, told by three nodes: {per_node:?}", 2 * SESSIONS);
    assert_eq!(per_node.iter().sum::<usize>(), 2 * SESSIONS, "each once");
    assert!(per_node.iter().all(|told| *told > 0), "all of them work");
    let ids: HashSet<_> = nodes.iter().flat_map(|(_, told)| told.notices()).map(|notice| notice.id).collect();
    assert_eq!(ids.len(), 2 * SESSIONS);
    // Who uses another schema of the same database is told of that one alone.
    let id = other.sign_in(SignIn::new("elsewhere")).await.unwrap().session.id;
    let notices = elsewhere.count(1).await;
    assert_eq!(notices[0].event.session_id, id);
    assert_eq!(nodes.iter().map(|(_, told)| told.notices().len()).sum::<usize>(), 2 * SESSIONS);
}

/// A row that somebody has locked is in nobody's way.
#[tokio::test]
async fn what_another_one_is_at_is_passed_over() {
    let db = TestDb::new().await;
    let told = Told::of(lives());
    let idle = builder(&db).await.notify("test", told.clone()).build().await.unwrap();
    idle.shutdown().await.unwrap();
    idle.sign_in(SignIn::new("locked")).await.unwrap();
    let mut locking = db.connect().await;
    let lock = locking.transaction().await.unwrap();
    lock.execute("SELECT FROM device_sessions.outbox FOR UPDATE", &[]).await.unwrap();
    let sessions = builder(&db).await.notify("test", told.clone()).build().await.unwrap();
    sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    assert_eq!(told.count(1).await[0].event.user_id.as_str(), "ahmed");
    lock.rollback().await.unwrap();
    // Whoever had it changed nothing, and tells nobody.
    sessions.sign_in(SignIn::new("lena")).await.unwrap();
    told.count(3).await;
}
