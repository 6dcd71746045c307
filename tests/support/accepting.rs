//! Nodes of a service that signs nobody in: it accepts the tokens of an identity provider.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, header},
};
use axum_device_sessions::{
    Coherence, Issuer, PostgresStore, SessionId, SessionValidationLayer, Sessions, SessionsBuilder, routes,
};
use tokio_postgres::Client;

use super::{
    http::{Answer, app, ask_with, bearer, get},
    idp::{API, Idp},
    support::{TestDb, eventually},
};

/// The longest that a session lasts there.
pub(crate) const LONGEST: Duration = Duration::from_secs(10 * 3_600);

pub(crate) struct Node {
    pub(crate) app: Router,
    pub(crate) sessions: Sessions,
}

/// Its tokens, for this application.
pub(crate) fn of(idp: &Idp) -> Issuer {
    Issuer::new(idp.url.as_str()).audience(API)
}

/// A node that registers the sessions of this provider, and is told of changes.
pub(crate) async fn adopting(db: &TestDb, idp: &Idp) -> Node {
    node(db, |builder| builder.accept_tokens_of(of(idp).adopt_sessions(LONGEST))).await
}

pub(crate) async fn node(db: &TestDb, settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Node {
    node_at(db.url(), settings).await
}

/// The same by another way to the database.
pub(crate) async fn node_at(url: &str, settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Node {
    let store = PostgresStore::connect(url).await.expect("connects");
    store.migrate().await.expect("migrates");
    let sessions = settings(Sessions::builder(store)).build().await.expect("builds");
    eventually("the node is told of changes", || async { sessions.health().coherence == Coherence::Lease }).await;
    let app = app()
        .nest("/backchannel-logout", routes::backchannel_logout())
        .layer(SessionValidationLayer::new(sessions.clone()));
    Node { app, sessions }
}

impl Node {
    /// What a page that needs a session answers.
    pub(crate) async fn me(&self, token: &str) -> String {
        get(&self.app, "/me", &[bearer(token)]).await.line()
    }

    /// The same request, by a browser at an address.
    pub(crate) async fn me_by(&self, token: &str, user_agent: &str, address: SocketAddr) -> String {
        let (name, value) = bearer(token);
        let request = Request::get("/me").header(name, value).header(header::USER_AGENT, user_agent);
        let request = request.extension(ConnectInfo(address)).body(Body::empty()).expect("a request");
        ask_with(&self.app, request).await.line()
    }

    pub(crate) async fn logged_out(&self, logout_token: &str) -> Answer {
        self.post_logout("application/x-www-form-urlencoded", format!("logout_token={logout_token}")).await
    }

    pub(crate) async fn post_logout(&self, content_type: &str, body: String) -> Answer {
        let request = Request::post("/backchannel-logout").header(header::CONTENT_TYPE, content_type);
        ask_with(&self.app, request.body(Body::from(body)).expect("a request")).await
    }

    pub(crate) async fn refuses(&self, token: &str, line: &str) {
        eventually("the node refuses", || async { self.me(token).await == line }).await;
    }
}

/// Everything of a row that these tests look at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: SessionId,
    pub(crate) user: String,
    pub(crate) device: String,
    pub(crate) address: Option<String>,
    pub(crate) issuer: Option<String>,
    /// Reason and author of its end.
    pub(crate) ended: Option<(String, Option<String>)>,
}

/// All rows, the oldest first.
pub(crate) async fn rows(sql: &Client) -> Vec<Row> {
    let query = "SELECT id, user_id, device_name, host(ip_address), issuer, ended_at IS NOT NULL, end_reason, ended_by \
                 FROM device_sessions.sessions ORDER BY created_at, id";
    let row = |row: &tokio_postgres::Row| Row {
        id: SessionId::from(row.get::<_, uuid::Uuid>(0)),
        user: row.get(1),
        device: row.get(2),
        address: row.get(3),
        issuer: row.get(4),
        ended: row.get::<_, bool>(5).then(|| (row.get(6), row.get(7))),
    };
    sql.query(query, &[]).await.expect("rows").iter().map(row).collect()
}

/// As if it had been signed in by hand, or by another version.
pub(crate) async fn put_in(sql: &Client, id: SessionId, user: &str) {
    let insert = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
                  VALUES ($1, $2, now() + interval '1 day', 'By hand', 'other')";
    sql.execute(insert, &[&id.as_uuid(), &user]).await.expect("inserted");
}

/// As if all of them had begun so long ago.
pub(crate) async fn began_minutes_ago(sql: &Client, minutes: i32) {
    let update = "UPDATE device_sessions.sessions SET created_at = created_at - $1 * interval '1 minute'";
    sql.execute(update, &[&f64::from(minutes)]).await.expect("updated");
}
