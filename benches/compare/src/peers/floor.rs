//! What is there without any sessions: the least that something can cost. Their clients send the same tokens as ours.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::Request,
    middleware::{Next, from_fn},
    routing::get,
};

use super::{Peer, ours};

pub async fn bare() -> Peer {
    Peer { app: plain(), credentials: ours::in_memory(ours::hs256()).await.credentials }
}

/// A layer that hands on one and the same thing: less than this no layer can do that tells a handler whose request it is.
pub async fn extension() -> Peer {
    let app = Router::new().route("/", get(async |_: Extension<Arc<u64>>| "ok")).layer(Extension(Arc::new(7_u64)));
    Peer { app, ..bare().await }
}

pub async fn from_fn_alone() -> Peer {
    let app = plain().layer(from_fn(async |request: Request, next: Next| next.run(request).await));
    Peer { app, ..bare().await }
}

fn plain() -> Router {
    Router::new().route("/", get(async || "ok"))
}
