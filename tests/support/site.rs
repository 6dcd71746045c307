//! An application with the mounted routes on a real Postgres, and what its answers are held to.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use axum::Router;
use axum::http::header;
use axum_device_sessions::{
    EndReason, EndTarget, PostgresStore, SessionId, SessionValidationLayer, Sessions, SignedIn,
};
use serde_json::Value;
use tokio_postgres::Client;

use super::http::{Answer, Sent, app, bearer, get, on, sign_in};
use super::support::TestDb;

/// An application on a database of its own.
pub(crate) struct Site {
    pub(crate) app: Router,
    pub(crate) sessions: Sessions,
    /// Looks into the database behind the crate's back.
    pub(crate) sql: Client,
    _db: TestDb,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let db = TestDb::new().await;
        let store = PostgresStore::connect(db.url()).await.expect("connects");
        store.migrate().await.expect("migrates");
        let sessions = on(store).build().await.expect("builds");
        let app = app().layer(SessionValidationLayer::new(sessions.clone()));
        Self { app, sessions, sql: db.connect().await, _db: db }
    }

    pub(crate) async fn sign_in(&self, user: &str) -> SignedIn {
        sign_in(&self.sessions, user).await
    }

    pub(crate) async fn end(&self, id: SessionId, reason: EndReason) {
        let target = EndTarget::One { id, user: None };
        self.sessions.end(target, reason, Some("the test".to_owned())).await.expect("ends");
    }

    /// Reason and author of a session's end, as the row has it.
    pub(crate) async fn end_of(&self, id: SessionId) -> Option<(String, Option<String>)> {
        let sql = "SELECT ended_at IS NOT NULL, end_reason, ended_by FROM device_sessions.sessions WHERE id = $1";
        let row = self.sql.query_one(sql, &[&id.as_uuid()]).await.expect("a row");
        row.get::<_, bool>(0).then(|| (row.get(1), row.get(2)))
    }

    pub(crate) async fn is_live(&self, signed_in: &SignedIn) -> bool {
        get(&self.app, "/me", &auth(signed_in)).await.status == 200
    }
}

pub(crate) fn auth(signed_in: &SignedIn) -> [Sent; 1] {
    [bearer(&signed_in.access_token)]
}

pub(crate) fn one(id: impl std::fmt::Display) -> String {
    format!("/sessions/{id}")
}

pub(crate) fn ids(list: &Answer) -> Vec<String> {
    let list = list.json();
    list.as_array().expect("an array").iter().map(|session| session["id"].as_str().expect("an id").to_owned()).collect()
}

/// 204: nothing at all in the body, and not to be cached.
pub(crate) fn assert_no_content(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.text()), (204, ""));
    assert_eq!(answer.header(&header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(answer.header(&header::CONTENT_TYPE), None);
}

pub(crate) fn assert_json(answer: &Answer, expected: &Value) {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header(&header::CONTENT_TYPE), Some("application/json"));
    assert_eq!(answer.header(&header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(&answer.json(), expected);
}
