//! Undisturbed: from the acknowledgement of an end on one node to the first refusal on another. `cargo bench --bench
//! end_to_refusal`. Two nodes with runtimes, pools and listeners of their own on one private Postgres (with `fsync`);
//! the second is asked in a loop, without HTTP, so that what is measured is the telling and the reading.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

#[path = "../examples/support/local_postgres.rs"]
mod local_postgres;

use std::time::{Duration, Instant};

use axum::{Router, body::Body, routing::get};
use axum_device_sessions::{
    AccessTokens, Coherence, CurrentSession, EndReason, EndTarget, PostgresStore, SessionValidationLayer, Sessions,
    SignIn,
};
use http::{Request, StatusCode};
use local_postgres::LocalPostgres;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

const ROUNDS: usize = 500;

struct Node {
    runtime: Runtime,
    sessions: Sessions,
}

impl Node {
    fn start(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sessions = runtime.block_on(async {
            let store = PostgresStore::connect(url).await.unwrap();
            store.migrate().await.unwrap();
            let tokens = AccessTokens::hs256("0123456789abcdefghijklmnopqrstuv").unwrap();
            let sessions = Sessions::builder(store).access_tokens(tokens).build().await.unwrap();
            while sessions.health().coherence != Coherence::Lease {
                tokio::task::yield_now().await;
            }
            sessions
        });
        Self { runtime, sessions }
    }
}

fn main() {
    let server = LocalPostgres::start(&[("fsync", "on")]).expect("Postgres' programs are installed");
    let (a, b) = (Node::start(&server.url()), Node::start(&server.url()));
    let app = Router::new()
        .route("/", get(|_: CurrentSession| async {}))
        .layer(SessionValidationLayer::new(b.sessions.clone()));
    let ask = |token: &str| {
        let request = Request::get("/").header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
        b.runtime.block_on(app.clone().oneshot(request)).unwrap().status()
    };
    let (mut seen, mut committed) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let signed_in = a.runtime.block_on(a.sessions.sign_in(SignIn::new("ahmed"))).unwrap();
        assert_eq!(ask(&signed_in.access_token), StatusCode::OK);
        let target = EndTarget::One { id: signed_in.session.id, user: None };
        let asked = Instant::now();
        a.runtime.block_on(a.sessions.end(target, EndReason::Logout, None)).unwrap();
        let acknowledged = Instant::now();
        while ask(&signed_in.access_token) == StatusCode::OK {}
        seen.push(acknowledged.elapsed());
        committed.push(acknowledged - asked);
    }
    println!("{ROUNDS} ends on one node, refused by another:");
    report("from the call of end to its acknowledgement", committed);
    report("from the acknowledgement to the first refusal", seen);
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what}: p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), at(100));
}
