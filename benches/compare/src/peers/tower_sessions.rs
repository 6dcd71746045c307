//! tower-sessions, with one value in each session, which the handler reads.

use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    routing::{get, post},
};
use time::Duration;
use tower_sessions::{CachingSessionStore, Expiry, MemoryStore, Session, SessionManagerLayer, SessionStore};
use tower_sessions_moka_store::MokaStore;
use tower_sessions_sqlx_store::{PostgresStore, sqlx::PgPool};

use super::{Peer, client::sign_in_all};

const KEY: &str = "user";

/// Whether each request writes its session: only that keeps alive a session that is used but not changed.
#[derive(Clone, Copy, Debug)]
pub enum Save {
    IfChanged,
    Always,
}

pub async fn memory(save: Save) -> Peer {
    peer(MemoryStore::default(), save).await
}

pub async fn postgres(url: &str, save: Save) -> Peer {
    peer(store(url).await, save).await
}

/// Postgres behind a cache that has room for all, as ours has.
pub async fn caching(url: &str, save: Save) -> Peer {
    peer(CachingSessionStore::new(MokaStore::new(Some(100_000)), store(url).await), save).await
}

pub async fn store(url: &str) -> PostgresStore {
    let store = PostgresStore::new(PgPool::connect(url).await.expect("the database is there"));
    store.migrate().await.expect("the database is new");
    store
}

async fn peer<S: SessionStore + Clone>(store: S, save: Save) -> Peer {
    let layer = SessionManagerLayer::new(store)
        .with_secure(false)
        .with_expiry(Expiry::OnInactivity(Duration::days(14)))
        .with_always_save(matches!(save, Save::Always));
    let sign_in = Router::new().route("/sign-in/{user}", post(sign_in)).layer(layer.clone());
    let app = Router::new().route("/", get(handler)).layer(layer);
    Peer { app, credentials: sign_in_all(sign_in).await }
}

async fn sign_in(session: Session, Path(user): Path<usize>) {
    session.insert(KEY, format!("user-{user}")).await.expect("a string");
}

async fn handler(session: Session) -> Result<&'static str, StatusCode> {
    match session.get::<String>(KEY).await {
        Ok(Some(_)) => Ok("ok"),
        Ok(None) => Err(StatusCode::UNAUTHORIZED),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
