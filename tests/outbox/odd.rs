//! The outbox in odd conditions: rows written by hand or by a newer version, processes that die again and again, roles, old
//! backlogs, settings at their bounds. None of them stops the others.

#![cfg(feature = "postgres")]

mod backlog;
mod rights;
mod rows;

use axum_device_sessions::{AccessTokens, EventKind, PostgresStore, Sessions, SessionsBuilder, Wants};
use support::TestDb;

use crate::{notices, outbox, support};

const SECRET: &str = "not a secret: 0123456789abcdefXYZ";

async fn store(db: &TestDb) -> PostgresStore {
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    store
}

async fn builder(db: &TestDb) -> SessionsBuilder {
    Sessions::builder(store(db).await).access_tokens(AccessTokens::hs256(SECRET).unwrap())
}

fn creations() -> Wants {
    Wants::events([EventKind::SessionCreated])
}
