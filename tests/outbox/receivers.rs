//! Receivers that fail, hang, are down, or ask for a pause: order is kept, nobody else waits, and what cannot be delivered is
//! listed.

#![cfg(feature = "postgres")]

mod beside;
mod order;
mod patience;

use axum_device_sessions::{AccessTokens, EndReason, EndTarget, PostgresStore, SessionId, Sessions, SessionsBuilder};
use support::TestDb;

use crate::{notices, outbox, support};

const SECRET: &str = "not a secret: 0123456789abcdefXYZ";

async fn builder(db: &TestDb) -> SessionsBuilder {
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    Sessions::builder(store).access_tokens(AccessTokens::hs256(SECRET).unwrap())
}

async fn end(sessions: &Sessions, id: SessionId) {
    sessions.end(EndTarget::One { id, user: None }, EndReason::RevokedByUser, None).await.unwrap();
}
