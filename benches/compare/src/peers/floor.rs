//! What is there without any sessions: the least that something can cost.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::Request,
    middleware::{Next, from_fn},
    routing::get,
};

use super::{Peer, ours};

/// With what the clients of another one send.
pub fn bare(other: Peer) -> Peer {
    Peer { app: plain(), ..other }
}

/// A layer that hands on one and the same thing: less than this no layer can do that tells a handler whose request it is.
pub async fn extension() -> Peer {
    let app = Router::new().route("/", get(async |_: Extension<Arc<u64>>| "ok")).layer(Extension(Arc::new(7_u64)));
    Peer { app, ..ours::in_memory(ours::hs256()).await }
}

pub async fn from_fn_alone() -> Peer {
    let app = plain().layer(from_fn(async |request: Request, next: Next| next.run(request).await));
    Peer { app, ..ours::in_memory(ours::hs256()).await }
}

fn plain() -> Router {
    Router::new().route("/", get(async || "ok"))
}
