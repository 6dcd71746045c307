//! axum-login: a session of tower-sessions, and the user of it asked for on each request.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    routing::{get, post},
};
use axum_login::{AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, UserId};
use time::Duration;
use tower_sessions::{Expiry, MemoryStore, SessionManagerLayer, SessionStore};
use tower_sessions_sqlx_store::sqlx::{self, PgPool};

use super::{Peer, SESSIONS, client::sign_in_all, tower_sessions::store};

/// As long as a hash of Argon2 is.
const PASSWORD_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[derive(Clone, Debug)]
struct User {
    id: i64,
    password: String,
}

impl AuthUser for User {
    type Id = i64;

    fn id(&self) -> i64 {
        self.id
    }

    fn session_auth_hash(&self) -> &[u8] {
        self.password.as_bytes()
    }
}

#[derive(Clone, Debug)]
struct Table(PgPool);

impl AuthnBackend for Table {
    type User = User;
    type Credentials = i64;
    type Error = sqlx::Error;

    async fn authenticate(&self, user: i64) -> Result<Option<User>, sqlx::Error> {
        self.get_user(&user).await
    }

    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<User>, sqlx::Error> {
        let row = sqlx::query_as("SELECT * FROM users WHERE id = $1").bind(id).fetch_optional(&self.0).await?;
        Ok(row.map(|(id, _, password): (i64, String, String)| User { id, password }))
    }
}

#[derive(Clone, Debug)]
struct Map(Arc<HashMap<i64, User>>);

impl AuthnBackend for Map {
    type User = User;
    type Credentials = i64;
    type Error = Infallible;

    async fn authenticate(&self, user: i64) -> Result<Option<User>, Infallible> {
        self.get_user(&user).await
    }

    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<User>, Infallible> {
        Ok(self.0.get(id).cloned())
    }
}

pub async fn postgres(url: &str) -> Peer {
    let pool = PgPool::connect(url).await.expect("the database is there");
    let table = "CREATE TABLE users (id bigint PRIMARY KEY, username text NOT NULL UNIQUE, password text NOT NULL)";
    sqlx::query(table).execute(&pool).await.expect("the database is new");
    let users = "INSERT INTO users SELECT id, 'user-' || id, $1 FROM generate_series(0, $2) id";
    let last = i64::try_from(SESSIONS).expect("not that many");
    sqlx::query(users).bind(PASSWORD_HASH).bind(last).execute(&pool).await.expect("the table is empty");
    peer(Table(pool), store(url).await).await
}

pub async fn memory() -> Peer {
    let user = |id| User { id, password: PASSWORD_HASH.into() };
    let users = (0..).take(SESSIONS).map(|id| (id, user(id))).collect();
    peer(Map(Arc::new(users)), MemoryStore::default()).await
}

async fn peer<B, S>(backend: B, store: S) -> Peer
where
    B: AuthnBackend<Credentials = i64> + 'static,
    S: SessionStore + Clone,
{
    let sessions = SessionManagerLayer::new(store).with_secure(false);
    let sessions = sessions.with_expiry(Expiry::OnInactivity(Duration::days(14)));
    let layer = AuthManagerLayerBuilder::new(backend, sessions).build();
    let sign_in = Router::new().route("/sign-in/{user}", post(sign_in::<B>)).layer(layer.clone());
    let app = Router::new().route("/", get(handler::<B>)).layer(layer);
    Peer { app, credentials: sign_in_all(sign_in).await }
}

async fn sign_in<B: AuthnBackend<Credentials = i64>>(mut session: AuthSession<B>, Path(user): Path<i64>) -> StatusCode {
    match session.authenticate(user).await {
        Ok(Some(user)) if session.login(&user).await.is_ok() => StatusCode::NO_CONTENT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn handler<B: AuthnBackend>(session: AuthSession<B>) -> Result<&'static str, StatusCode> {
    session.user.map(|_| "ok").ok_or(StatusCode::UNAUTHORIZED)
}
