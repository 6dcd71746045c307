//! The application is asked at each refresh: what it says is in the token, what it does not know is 503 and rotates
//! nothing, and whom it refuses is signed out.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::io;
use std::sync::{Arc, Mutex};

use axum::{Router, routing::get as to};
use axum_device_sessions::{
    Claims, EndReason, Issue, MemoryStore, PostgresStore, SessionValidationLayer, SessionsBuilder,
};
use deadpool_postgres::{Manager, Pool, Runtime};
use tokio_postgres::NoTls;

use crate::{
    http::{self, bearer, get},
    refresh::{
        self, DEADLINE, Node, Pair, end_reason, generation_of, past_the_grace, tokens_in_row, unavailable, whole_row,
    },
    support::{TestDb, eventually},
};

const AWAY: &str = "503 temporarily_unavailable";

/// What the application says of a user.
#[derive(Clone, Copy)]
enum Says {
    Role(&'static str),
    No,
    DoesNotKnow,
    Nothing,
}

fn asking(says: &Arc<Mutex<Says>>) -> impl FnOnce(SessionsBuilder) -> SessionsBuilder + use<> {
    let says = Arc::clone(says);
    move |builder| {
        builder.on_issue(move |_| {
            let says = *says.lock().unwrap();
            async move {
                match says {
                    Says::Role(role) => Ok(Issue::with_claims(&serde_json::json!({ "role": role }))?),
                    Says::No => Ok(Issue::refuse()),
                    Says::DoesNotKnow => Err(io::Error::other("the directory is away").into()),
                    Says::Nothing => std::future::pending().await,
                }
            }
        })
    }
}

async fn role(node: &Node, access_token: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Role {
        role: String,
    }
    let app = Router::new()
        .route("/", to(|Claims(Role { role }): Claims<Role>| async move { role }))
        .layer(SessionValidationLayer::new(node.sessions.clone()));
    get(&app, "/", &[bearer(access_token)]).await.line()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_is_asked_at_each_refresh() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let says = Arc::new(Mutex::new(Says::Role("reader")));
    let say = |what| *says.lock().unwrap() = what;
    let nodes = [Node::with(db.url(), asking(&says)).await, Node::with(db.url(), asking(&says)).await];
    let signed_in = nodes[0].sign_in("ahmed").await;
    let id = signed_in.session.id;
    assert_eq!(role(&nodes[0], &signed_in.access_token).await, "200 reader");

    say(Says::Role("admin"));
    let second = Pair::of(&nodes[1].refresh(&signed_in.refresh_token).await);
    assert_eq!(role(&nodes[0], &second.access).await, "200 admin", "as fresh as the token");
    assert_eq!(role(&nodes[0], &signed_in.access_token).await, "200 reader", "and as old");
    eventually("confirmed", || async { refresh::is_seen(&sql, id).await }).await;

    let before = whole_row(&sql, id).await;
    say(Says::DoesNotKnow);
    unavailable("on_issue fails", &nodes[0], &second.refresh).await;
    say(Says::Nothing);
    unavailable("on_issue hangs", &nodes[1], &second.refresh).await;
    assert_eq!(whole_row(&sql, id).await, before, "nothing was rotated");

    past_the_grace(&sql, id).await;
    say(Says::Role("reader"));
    let third = Pair::of(&nodes[0].refresh(&second.refresh).await);
    assert_eq!(role(&nodes[1], &third.access).await, "200 reader");
    assert_eq!(tokens_in_row(&sql, id).await.split(',').next(), Some("3 of 2"));

    say(Says::No);
    assert_eq!(nodes[0].refresh(&third.refresh).await.line(), "401 session_ended account_disabled");
    assert_eq!(end_reason(&sql, id).await.as_deref(), Some("account_disabled"));
    for node in &nodes {
        eventually("told", || async { node.me(&third.access).await == "401 session_ended account_disabled" }).await;
        assert_eq!(node.refresh(&third.refresh).await.line(), "401 session_ended account_disabled");
    }
}

/// Of a session that has ended by something else, where this node has not heard of it.
#[tokio::test]
async fn a_disabled_account_does_not_change_why_a_session_had_ended() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let says = Arc::new(Mutex::new(Says::Role("reader")));
    // Told of nothing.
    let store = PostgresStore::from_pool(pool_of(&db)).unwrap();
    store.migrate().await.unwrap();
    let node = Node::of(asking(&says)(http::on(store)).build().await.unwrap());
    let [ended, deleted] = [node.sign_in("ahmed").await, node.sign_in("ahmed").await];
    for signed_in in [&ended, &deleted] {
        assert_eq!(node.me(&signed_in.access_token).await, "200 ahmed");
    }
    let elsewhere = Node::on(db.url()).await;
    elsewhere.end(ended.session.id, EndReason::Logout).await;
    sql.execute("DELETE FROM device_sessions.sessions WHERE id = $1", &[&deleted.session.id.as_uuid()]).await.unwrap();
    *says.lock().unwrap() = Says::No;
    assert_eq!(node.refresh(&ended.refresh_token).await.line(), "401 session_ended logout");
    assert_eq!(node.refresh(&deleted.refresh_token).await.line(), "401 invalid_token");
}

fn pool_of(db: &TestDb) -> Pool {
    let manager = Manager::new(db.url().parse().unwrap(), NoTls);
    Pool::builder(manager).max_size(4).runtime(Runtime::Tokio1).build().unwrap()
}

/// In paused time: whoever waits behind an `on_issue` that hangs is answered in time, too.
#[tokio::test(start_paused = true)]
async fn an_application_that_never_answers_holds_nobody_up_for_longer() {
    let says = Arc::new(Mutex::new(Says::Role("reader")));
    let sessions = asking(&says)(http::on(MemoryStore::new())).build().await.unwrap();
    let node = Node::of(sessions);
    let signed_in = node.sign_in("ahmed").await;
    *says.lock().unwrap() = Says::Nothing;
    let asked = tokio::time::Instant::now();
    let answers = tokio::join!(node.refresh(&signed_in.refresh_token), node.refresh(&signed_in.refresh_token));
    assert_eq!((answers.0.line().as_str(), answers.1.line().as_str()), (AWAY, AWAY));
    assert!(asked.elapsed() < DEADLINE, "{:?}", asked.elapsed());
    *says.lock().unwrap() = Says::Role("reader");
    let pair = Pair::of(&node.refresh(&signed_in.refresh_token).await);
    assert_eq!(generation_of(&pair.refresh), 2, "nothing was rotated meanwhile");
}
