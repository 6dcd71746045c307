//! session-guard over Postgres, as its quick start has it.

use axum::{
    Router,
    routing::{get, post},
};
use session_guard::{AuthSession, Guard, GuardError, NewSession, PgStore, Sessions};
use sqlx::PgPool;
use uuid::Uuid;

use super::{Peer, client::sign_in_all};

pub async fn postgres(url: &str) -> Peer {
    let pool = PgPool::connect(url).await.expect("the database is there");
    let guard = Guard::new(PgStore::migrated(pool).await.expect("the database is new"));
    let app = Router::new().route("/", get(async |_: AuthSession<Uuid>| "ok")).layer(guard.layer());
    let sign_in = Router::new().route("/sign-in/{user}", post(sign_in)).with_state(guard);
    Peer { app, credentials: sign_in_all(sign_in).await }
}

async fn sign_in(sessions: Sessions<PgStore>) -> Result<(NewSession, &'static str), GuardError> {
    Ok((sessions.login(&Uuid::new_v4()).await?, "welcome"))
}
