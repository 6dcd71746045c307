//! What one writes oneself around jsonwebtoken: after the usual tutorial, and with a cache.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::get,
};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio_postgres::NoTls;
use uuid::Uuid;

use super::{
    Peer, SESSIONS,
    client::{Credential, bearer},
};

const SECRET: &[u8] = b"0123456789abcdefghijklmnopqrstuv";
const NAME: &str = "compare";
const TABLE: &str = "CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    last_activity timestamptz NOT NULL DEFAULT now()
)";
const INSERT: &str =
    "INSERT INTO sessions (id, user_id, expires_at) SELECT id, id::text, now() + '14 days' FROM unnest($1::uuid[]) id";
const SELECT: &str = "SELECT user_id FROM sessions WHERE id = $1 AND revoked_at IS NULL AND expires_at > now()";
const UPDATE: &str = "UPDATE sessions SET last_activity = now() WHERE id = $1";

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    session_id: Uuid,
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
}

/// What the handler takes.
#[derive(Debug)]
struct SignedIn {
    _user: String,
}

struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

impl Verifier {
    fn new() -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[NAME]);
        validation.set_audience(&[NAME]);
        Self { key: DecodingKey::from_secret(SECRET), validation }
    }

    fn session(&self, headers: &HeaderMap) -> Option<Uuid> {
        let token = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        Some(jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation).ok()?.claims.session_id)
    }
}

struct Tutorial {
    verifier: Verifier,
    pool: Pool,
}

/// Each request decodes its token, reads its session and notes its last activity.
pub async fn tutorial(url: &str) -> Peer {
    let config = url.parse().expect("a URL of Postgres");
    let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let pool = Pool::builder(manager).max_size(16).build().expect("no time-outs that would need a runtime");
    let ids = ids();
    let client = pool.get().await.expect("the database is there");
    client.batch_execute(TABLE).await.expect("the database is new");
    client.execute(INSERT, &[&ids]).await.expect("the table is empty");
    drop(client);
    let tutorial = Arc::new(Tutorial { verifier: Verifier::new(), pool });
    Peer { app: app().layer(from_fn_with_state(tutorial, as_the_tutorial)), credentials: credentials(&ids) }
}

async fn as_the_tutorial(
    State(tutorial): State<Arc<Tutorial>>,
    mut request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let id = tutorial.verifier.session(request.headers()).ok_or(StatusCode::UNAUTHORIZED)?;
    let session = tutorial.session(id).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    request.extensions_mut().insert(session.ok_or(StatusCode::UNAUTHORIZED)?);
    Ok(next.run(request).await)
}

impl Tutorial {
    async fn session(&self, id: Uuid) -> Result<Option<Arc<SignedIn>>, Box<dyn std::error::Error + Send + Sync>> {
        let client = self.pool.get().await?;
        let select = client.prepare_cached(SELECT).await?;
        let Some(row) = client.query_opt(&select, &[&id]).await? else { return Ok(None) };
        let update = client.prepare_cached(UPDATE).await?;
        client.execute(&update, &[&id]).await?;
        Ok(Some(Arc::new(SignedIn { _user: row.get(0) })))
    }
}

struct Cached {
    verifier: Verifier,
    sessions: Cache<Uuid, Arc<SignedIn>>,
}

/// Each request decodes its token and finds its session in memory. Nobody notes its activity, or hears of its end.
pub async fn cached() -> Peer {
    let cached = Cached { verifier: Verifier::new(), sessions: Cache::new(100_000) };
    let ids = ids();
    for id in &ids {
        cached.sessions.insert(*id, Arc::new(SignedIn { _user: id.to_string() })).await;
    }
    Peer { app: app().layer(from_fn_with_state(Arc::new(cached), with_cache)), credentials: credentials(&ids) }
}

async fn with_cache(
    State(cached): State<Arc<Cached>>,
    mut request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let id = cached.verifier.session(request.headers()).ok_or(StatusCode::UNAUTHORIZED)?;
    let session = cached.sessions.get(&id).await.ok_or(StatusCode::UNAUTHORIZED)?;
    request.extensions_mut().insert(session);
    Ok(next.run(request).await)
}

fn app() -> Router {
    Router::new().route("/", get(async |_: Extension<Arc<SignedIn>>| "ok"))
}

fn ids() -> Vec<Uuid> {
    (0..SESSIONS).map(|_| Uuid::now_v7()).collect()
}

fn credentials(ids: &[Uuid]) -> Vec<Credential> {
    let iat = OffsetDateTime::now_utc().unix_timestamp();
    let key = EncodingKey::from_secret(SECRET);
    let header = Header { kid: Some(NAME.into()), ..Header::new(Algorithm::HS256) };
    let token = |(user, id): (usize, &Uuid)| {
        let (iss, aud) = (NAME.into(), NAME.into());
        let claims = Claims { sub: format!("user-{user}"), session_id: *id, iss, aud, iat, exp: iat + 3_600 };
        bearer(&jsonwebtoken::encode(&header, &claims, &key).expect("a token can be made"))
    };
    ids.iter().enumerate().map(token).collect()
}
