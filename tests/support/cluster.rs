//! Nodes in this process: a `Sessions` each, on one database, asked through a router.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::{Arc, Mutex};

use axum::{Router, body::Body, routing::get};
use axum_device_sessions::{
    AccessTokens, Coherence, CurrentSession, PostgresStore, SessionValidationLayer, Sessions, SessionsBuilder, SignedIn,
};
use http::{Request, StatusCode};

use super::support::eventually;

/// The same on every node, as in production.
pub(crate) fn tokens() -> AccessTokens {
    AccessTokens::hs256("0123456789abcdefghijklmnopqrstuv").unwrap()
}

/// A node whose schema is there, not started yet.
pub(crate) async fn builder(url: &str) -> SessionsBuilder {
    let store = PostgresStore::connect(url).await.unwrap();
    store.migrate().await.unwrap();
    Sessions::builder(store).access_tokens(tokens())
}

/// A node that is told of changes.
pub(crate) async fn node(url: &str) -> Sessions {
    let sessions = builder(url).await.build().await.unwrap();
    told(&sessions).await;
    sessions
}

pub(crate) async fn told(sessions: &Sessions) {
    eventually("the node is told of changes", || async { sessions.health().coherence == Coherence::Lease }).await;
}

/// What a request with this token is answered by this node.
pub(crate) async fn ask(sessions: &Sessions, signed_in: &SignedIn) -> StatusCode {
    current(sessions, signed_in).await.0
}

/// The same, with what the handler was given.
pub(crate) async fn current(sessions: &Sessions, signed_in: &SignedIn) -> (StatusCode, Option<CurrentSession>) {
    let slot: Arc<Mutex<Option<CurrentSession>>> = Arc::default();
    let keep = Arc::clone(&slot);
    let app = Router::new()
        .route("/", get(|current: CurrentSession| async move { *keep.lock().unwrap() = Some(current) }))
        .layer(SessionValidationLayer::new(sessions.clone()));
    let token = format!("Bearer {}", signed_in.access_token);
    let request = Request::get("/").header("authorization", token).body(Body::empty()).unwrap();
    let status = tower::ServiceExt::oneshot(app, request).await.unwrap().status();
    let current = slot.lock().unwrap().take();
    (status, current)
}

pub(crate) async fn refused(node: &Sessions, signed_in: &SignedIn) {
    eventually("the node refuses", || async { ask(node, signed_in).await == StatusCode::UNAUTHORIZED }).await;
}
