//! Two nodes on one Postgres: what one of them, or a hand in psql, ends is refused by the other.

mod support;

use axum::{Router, body::Body, routing::get};
use axum_device_sessions::{
    AccessTokens, Coherence, CurrentSession, EndReason, EndTarget, PostgresStore, SessionValidationLayer, Sessions,
    SignIn, SignedIn,
};
use http::{Request, StatusCode};
use support::{TestDb, eventually};
use tower::ServiceExt as _;

const SECRET: [u8; 32] = *b"0123456789abcdefghijklmnopqrstuv";

async fn node(db: &TestDb) -> Sessions {
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    let sessions = Sessions::builder(store).access_tokens(AccessTokens::hs256(SECRET).unwrap()).build().await.unwrap();
    eventually("the node is told of changes", || async { sessions.health().coherence == Coherence::Lease }).await;
    sessions
}

/// What a request with this token is answered by this node.
async fn ask(sessions: &Sessions, token: &str) -> StatusCode {
    let app = Router::new()
        .route("/", get(|_: CurrentSession| async {}))
        .layer(SessionValidationLayer::new(sessions.clone()));
    let request = Request::get("/").header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
    app.oneshot(request).await.unwrap().status()
}

async fn two_nodes_and_a_session(db: &TestDb) -> (Sessions, Sessions, SignedIn) {
    let (a, b) = (node(db).await, node(db).await);
    let signed_in = a.sign_in(SignIn::new("ahmed")).await.unwrap();
    for node in [&a, &b] {
        assert_eq!(ask(node, &signed_in.access_token).await, StatusCode::OK);
    }
    (a, b, signed_in)
}

async fn refused(node: &Sessions, signed_in: &SignedIn) {
    eventually("the other node refuses", || async {
        ask(node, &signed_in.access_token).await == StatusCode::UNAUTHORIZED
    })
    .await;
}

#[tokio::test]
async fn an_end_on_one_node_is_refused_by_the_other() {
    let db = TestDb::new().await;
    let (a, b, signed_in) = two_nodes_and_a_session(&db).await;
    let ended = b.ended_of(&signed_in).await;
    let target = EndTarget::One { id: signed_in.session.id, user: None };
    a.end(target, EndReason::RevokedByAdmin, None).await.unwrap();
    assert_eq!(ask(&a, &signed_in.access_token).await, StatusCode::UNAUTHORIZED, "at once where it was ended");
    refused(&b, &signed_in).await;
    assert_eq!(ended.await, EndReason::RevokedByAdmin, "whoever waits on the other node hears of it");
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

/// Helps the tests above to a future of the kind that a WebSocket handler would hold.
trait EndedOf {
    async fn ended_of(&self, signed_in: &SignedIn) -> std::pin::Pin<Box<dyn Future<Output = EndReason> + Send>>;
}

impl EndedOf for Sessions {
    async fn ended_of(&self, signed_in: &SignedIn) -> std::pin::Pin<Box<dyn Future<Output = EndReason> + Send>> {
        use std::sync::{Arc, Mutex};
        let slot: Arc<Mutex<Option<CurrentSession>>> = Arc::default();
        let keep = Arc::clone(&slot);
        let app = Router::new()
            .route("/", get(|current: CurrentSession| async move { *keep.lock().unwrap() = Some(current) }))
            .layer(SessionValidationLayer::new(self.clone()));
        let token = &signed_in.access_token;
        let request = Request::get("/").header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
        assert_eq!(app.oneshot(request).await.unwrap().status(), StatusCode::OK);
        let current = slot.lock().unwrap().take().unwrap();
        Box::pin(current.ended())
    }
}
