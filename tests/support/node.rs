//! A node of an application: sessions, the routes around them, and requests without a network.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::future::Future;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use axum::{Router, routing::get};
use axum_device_sessions::{
    AccessTokens, CurrentSession, PostgresStore, SessionId, SessionStore, SessionValidationLayer, Sessions,
    SessionsBuilder, SignIn, SignedIn, routes,
};
use tokio_postgres::Client;
use tower::ServiceExt;

use super::support::TestDb;

/// The same on every node, so a token of one is good on all.
pub(crate) const SECRET: &str = "not a secret: 0123456789abcdefXYZ";

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) sessions: Sessions,
    app: Router,
}

impl Node {
    /// With the defaults, but that activity is written only when asked.
    pub(crate) async fn new(store: impl SessionStore) -> Self {
        Self::with(store, |builder| builder).await
    }

    pub(crate) async fn with(
        store: impl SessionStore,
        settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    ) -> Self {
        let builder = Sessions::builder(store)
            .access_tokens(AccessTokens::hs256(SECRET).expect("a key"))
            .activity_interval(Duration::from_secs(3_600));
        let sessions = settings(builder).build().await.expect("a node");
        let app = Router::new()
            .route("/me", get(|session: CurrentSession| async move { session.id().to_string() }))
            .route(
                "/strict",
                get(|_: CurrentSession| async {}).layer(SessionValidationLayer::new(sessions.clone()).strict()),
            )
            .nest("/sessions", routes::sessions())
            .layer(SessionValidationLayer::new(sessions.clone()));
        Self { sessions, app }
    }

    pub(crate) async fn sign_in(&self, user: &str) -> SignedIn {
        self.sessions.sign_in(SignIn::new(user)).await.expect("sign in")
    }

    /// A request to a page that needs a session.
    pub(crate) fn get(&self, signed_in: &SignedIn) -> impl Future<Output = Response> + Send + use<> {
        self.request("GET", "/me", signed_in)
    }

    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        signed_in: &SignedIn,
    ) -> impl Future<Output = Response> + Send + use<> {
        let bearer = format!("Bearer {}", signed_in.access_token);
        let request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, bearer);
        let request = request.body(Body::empty()).expect("a request");
        let app = self.app.clone();
        async move { app.oneshot(request).await.expect("infallible") }
    }

    pub(crate) async fn status(&self, signed_in: &SignedIn) -> StatusCode {
        self.get(signed_in).await.status()
    }

    pub(crate) async fn is_let_in(&self, signed_in: &SignedIn) -> bool {
        match self.status(signed_in).await {
            StatusCode::OK => true,
            StatusCode::UNAUTHORIZED => false,
            other => panic!("neither let in nor refused: {other}"),
        }
    }
}

/// A store on the test's database, with its schema.
pub(crate) async fn migrated(db: &TestDb) -> PostgresStore {
    let store = PostgresStore::connect(db.url()).await.expect("connect");
    store.migrate().await.expect("migrate");
    store
}

/// Sign-ins that no node has seen: tokens from a node with a store of its own, rows written straight to the database.
pub(crate) async fn cold(db: &Client, user: &str, count: usize) -> Vec<SignedIn> {
    let elsewhere = Node::new(axum_device_sessions::MemoryStore::new()).await;
    let mut signed_in = Vec::with_capacity(count);
    for _ in 0..count {
        signed_in.push(elsewhere.sign_in(user).await);
    }
    let ids: Vec<_> = signed_in.iter().map(|one| one.session.id.as_uuid()).collect();
    let sql = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
               SELECT id, $2, now() + interval '1 day', 'Test', 'other' FROM unnest($1::uuid[]) AS id";
    db.execute(sql, &[&ids, &user]).await.expect("insert");
    signed_in
}

/// How often statements like this have run in the test's database.
pub(crate) async fn statements(db: &Client, like: &str) -> i64 {
    let sql = "SELECT coalesce(sum(calls), 0)::int8 FROM pg_stat_statements WHERE query LIKE $1 \
               AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    db.query_one(sql, &[&like]).await.expect("count").get(0)
}

/// Switches the counting on.
pub(crate) async fn count_statements(db: &Client) {
    db.batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await.expect("pg_stat_statements");
}

/// Every statement that loads sessions, one or many.
pub(crate) const LOADS: &str = "SELECT id, user_id%WHERE id = %";
/// The statement that writes activity.
pub(crate) const FLUSHES: &str = "WITH seen AS%";

/// The end of a session and its cause, as the row has them.
pub(crate) async fn end_in_row(db: &Client, id: SessionId) -> Option<String> {
    let sql = "SELECT end_reason FROM device_sessions.sessions WHERE id = $1";
    db.query_one(sql, &[&id.as_uuid()]).await.expect("the row").get(0)
}
