//! Sessions to fill a database with, and a node of an application on it, asked without a network.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, StatusCode, header},
    routing::get,
};
use axum_device_sessions::{
    AccessTokens, Coherence, CurrentSession, MemoryStore, PostgresStore, SessionValidationLayer, Sessions,
    SessionsBuilder, SignIn, SignedIn,
};
use tokio_postgres::Client;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::eventually;

pub const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";

pub struct Node {
    pub sessions: Sessions,
    pub app: Router,
}

impl Node {
    /// As a service starts: a store, its schema, `Sessions`; ready when it is told of changes.
    pub async fn start(url: &str, settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        let store = PostgresStore::connect(url).await.expect("the server is up");
        store.migrate().await.expect("ours to migrate");
        let sessions = settings(Sessions::builder(store).access_tokens(keys())).build().await.expect("they agree");
        eventually("it is told of changes", async || sessions.health().coherence == Coherence::Lease).await;
        let app = Router::new()
            .route("/", get(async |_: CurrentSession| "ok"))
            .layer(SessionValidationLayer::new(sessions.clone()));
        Self { sessions, app }
    }

    /// Its connections end a little later: see `Counters::all_told`.
    pub async fn stop(self) {
        self.sessions.shutdown().await.expect("the server is up");
    }
}

fn keys() -> AccessTokens {
    AccessTokens::hs256(SECRET).expect("32 bytes")
}

/// One request through all of the application.
pub async fn ask(app: &Router, bearer: &HeaderValue) -> StatusCode {
    let request = Request::get("/").header(header::AUTHORIZATION, bearer).body(Body::empty()).expect("a request");
    app.clone().oneshot(request).await.expect("infallible").status()
}

/// A session, and the header of its requests.
#[derive(Clone, Debug)]
pub struct Known {
    pub id: Uuid,
    pub bearer: HeaderValue,
}

impl From<&SignedIn> for Known {
    fn from(signed_in: &SignedIn) -> Self {
        Self { id: signed_in.session.id.as_uuid(), bearer: bearer(&signed_in.access_token) }
    }
}

pub fn bearer(token: &str) -> HeaderValue {
    HeaderValue::try_from(format!("Bearer {token}")).expect("a token")
}

/// Sign-ins that no node has seen: the tokens from a `Sessions` in memory with the same key, the rows straight into the
/// database. A hundred thousand real sign-ins would take minutes, and nothing is measured of them.
pub async fn cold(client: &Client, count: usize) -> Vec<Known> {
    let elsewhere = Sessions::builder(MemoryStore::new())
        .access_tokens(keys())
        .access_token_ttl(Duration::from_secs(3_600))
        .build()
        .await
        .expect("they agree");
    let mut known = Vec::with_capacity(count);
    let mut users = Vec::with_capacity(count);
    for n in 0..count {
        let user = format!("user-{n}");
        known.push(Known::from(&elsewhere.sign_in(SignIn::new(user.clone())).await.expect("in memory")));
        users.push(user);
    }
    let ids: Vec<_> = known.iter().map(|one| one.id).collect();
    let sql = format!("{INSERT} unnest($1::uuid[], $2::text[]) AS one (id, user_id)");
    client.execute(&sql, &[&ids, &users]).await.expect("migrated");
    client.batch_execute("VACUUM ANALYZE device_sessions.sessions").await.expect("ours to vacuum");
    known
}

/// What a browser's row holds, seen an hour ago. Ends in FROM.
pub const INSERT: &str = "INSERT INTO device_sessions.sessions (id, user_id, created_at, last_activity_at, expires_at, \
    device_name, device_type, form_factor, os, os_version, browser, browser_version, user_agent, ip_address) \
    SELECT id, user_id, now() - interval '1 h', now() - interval '1 h', now() + interval '90 days', \
    'Chrome on Windows', 'web', 'desktop', 'Windows', '10', 'Chrome', '140.0.0.0', \
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36', \
    '192.0.2.7' FROM";
