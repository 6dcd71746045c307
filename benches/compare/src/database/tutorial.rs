//! What one writes first: the token is decoded, the row read and its last activity written, at each request.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::get,
};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;
use tokio_postgres::NoTls;
use uuid::Uuid;

use super::node::SECRET;

#[derive(Debug, Deserialize)]
pub struct Claims {
    pub session_id: Uuid,
}

/// Checks signature, expiry and audience, as jsonwebtoken's documentation shows it.
#[derive(Clone)]
pub struct Verifier(Arc<(DecodingKey, Validation)>);

impl Verifier {
    #[allow(clippy::new_without_default, reason = "it has a key")]
    pub fn new() -> Self {
        let mut validation = Validation::default();
        validation.set_audience(&["axum-device-sessions"]);
        validation.set_issuer(&["axum-device-sessions"]);
        Self(Arc::new((DecodingKey::from_secret(SECRET.as_bytes()), validation)))
    }

    pub fn session_of(&self, headers: &HeaderMap) -> Result<Uuid, StatusCode> {
        let token = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.0.0, &self.0.1);
        decoded.map(|token| token.claims.session_id).map_err(|_| StatusCode::UNAUTHORIZED)
    }
}

/// A pool as deadpool's documentation shows it.
pub fn pool(url: &str, size: usize) -> Pool {
    let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(url.parse().expect("a URL"), NoTls, config);
    Pool::builder(manager).max_size(size).build().expect("they agree")
}

pub const SELECT: &str = "SELECT id, user_id, expires_at, ended_at FROM device_sessions.sessions WHERE id = $1";
pub const UPDATE: &str = "UPDATE device_sessions.sessions SET last_activity_at = now() WHERE id = $1";

pub fn app(pool: Pool) -> Router {
    let state = (Verifier::new(), pool);
    Router::new().route("/", get(async || "ok")).layer(from_fn_with_state(state, check))
}

async fn check(
    State((verifier, pool)): State<(Verifier, Pool)>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let id = verifier.session_of(request.headers())?;
    live(&pool, id).await.ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(next.run(request).await)
}

async fn live(pool: &Pool, id: Uuid) -> Option<()> {
    let client = pool.get().await.expect("the server is up");
    let select = client.prepare_cached(SELECT).await.expect("plain SQL");
    let row = client.query_opt(&select, &[&id]).await.expect("the server is up")?;
    let ended: Option<time::OffsetDateTime> = row.get("ended_at");
    let expires: time::OffsetDateTime = row.get("expires_at");
    if ended.is_some() || expires < time::OffsetDateTime::now_utc() {
        return None;
    }
    let update = client.prepare_cached(UPDATE).await.expect("plain SQL");
    client.execute(&update, &[&id]).await.expect("the server is up");
    Some(())
}
