//! This crate, with the settings of its README.

#[path = "../../../../tests/support/keys.rs"]
mod keys;

use axum::{
    Router,
    extract::{Path, State},
    routing::{get, post},
};
use axum_device_sessions::{
    AccessTokens, Client, CurrentSession, MemoryStore, PostgresStore, SessionValidationLayer, Sessions,
    SessionsBuilder, SignIn, SignedIn,
};
use futures_util::{StreamExt as _, stream};
use keys::{Algorithm, Pair};

use super::{
    Peer, SESSIONS,
    client::{bearer, sign_in_all},
};

const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";

pub fn hs256() -> AccessTokens {
    AccessTokens::hs256(SECRET).expect("32 bytes")
}

pub fn rs256() -> AccessTokens {
    Pair::new(Algorithm::Rs256).signs()
}

pub fn es256() -> AccessTokens {
    Pair::new(Algorithm::Es256).signs()
}

pub fn eddsa() -> AccessTokens {
    Pair::new(Algorithm::EdDsa).signs()
}

/// Tokens in the `Authorization` header; sessions in memory.
pub async fn in_memory(tokens: AccessTokens) -> Peer {
    by_bearer(start(Sessions::builder(MemoryStore::new()), tokens).await).await
}

/// Tokens in the `Authorization` header; sessions in Postgres, if there is one.
pub async fn by_header(database: Option<&str>) -> Peer {
    by_bearer(start(stored(database).await, hs256()).await).await
}

/// The session cookie.
pub async fn by_cookie(database: Option<&str>) -> Peer {
    let sessions = start(stored(database).await, hs256()).await;
    let sign_in = Router::new().route("/sign-in/{user}", post(sign_in)).with_state(sessions.clone());
    Peer { app: app(&sessions), credentials: sign_in_all(sign_in).await }
}

async fn sign_in(State(sessions): State<Sessions>, Path(user): Path<usize>, client: Client) -> SignedIn {
    sessions.sign_in(SignIn::new(name(user)).client(client).cookie()).await.expect("the store is there")
}

async fn by_bearer(sessions: Sessions) -> Peer {
    let sign_ins = stream::iter(0..SESSIONS).map(async |user| {
        let signed_in = sessions.sign_in(SignIn::new(name(user))).await.expect("the store is there");
        bearer(&signed_in.access_token)
    });
    Peer { app: app(&sessions), credentials: sign_ins.buffered(16).collect().await }
}

fn app(sessions: &Sessions) -> Router {
    Router::new().route("/", get(async |_: CurrentSession| "ok")).layer(SessionValidationLayer::new(sessions.clone()))
}

async fn stored(database: Option<&str>) -> SessionsBuilder {
    let Some(url) = database else { return Sessions::builder(MemoryStore::new()) };
    let store = PostgresStore::connect(url).await.expect("the database is there");
    store.migrate().await.expect("the database is new");
    Sessions::builder(store)
}

async fn start(builder: SessionsBuilder, tokens: AccessTokens) -> Sessions {
    builder.access_tokens(tokens).server_secret(SECRET).build().await.expect("the defaults agree")
}

fn name(user: usize) -> String {
    format!("user-{user}")
}
