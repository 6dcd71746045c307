//! axum_session over Postgres, with one value in each session, which the handler reads.

use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    routing::{get, post},
};
use axum_session::{Session, SessionConfig, SessionLayer, SessionStore};
use axum_session_sqlx::SessionPgPool;
use sqlx::PgPool;

use super::{Peer, client::sign_in_all};

const KEY: &str = "user";

pub async fn postgres(url: &str) -> Peer {
    let pool = PgPool::connect(url).await.expect("the database is there");
    let config = SessionConfig::default().with_table_name("sessions_table");
    let store = SessionStore::<SessionPgPool>::new(Some(pool.into()), config).await.expect("the database is new");
    let layer = SessionLayer::new(store);
    let sign_in = Router::new().route("/sign-in/{user}", post(sign_in)).layer(layer.clone());
    let app = Router::new().route("/", get(handler)).layer(layer);
    Peer { app, credentials: sign_in_all(sign_in).await }
}

async fn sign_in(session: Session<SessionPgPool>, Path(user): Path<usize>) {
    session.set(KEY, format!("user-{user}"));
}

async fn handler(session: Session<SessionPgPool>) -> Result<&'static str, StatusCode> {
    session.get::<String>(KEY).map(|_| "ok").ok_or(StatusCode::UNAUTHORIZED)
}
