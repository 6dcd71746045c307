//! How often a request allocates, by an allocator that counts: bare, with one extension handed on, through an empty
//! `from_fn`, and with a session. `cargo run --release --bin allocations`.

use std::sync::Arc;

use allocation_counter::measure;
use axum::{
    Extension, Router,
    body::Body,
    extract::Request,
    http::HeaderValue,
    middleware::{Next, from_fn},
    routing::get,
};
use axum_device_sessions::{AccessTokens, CurrentSession, MemoryStore, SessionValidationLayer, Sessions, SignIn};
use compare::record::{Goal, goal, note, row};
use tokio::runtime::Runtime;
use tower::Service as _;

const SECTION: &str = "Allocations";

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let tokens = AccessTokens::hs256("0123456789abcdefghijklmnopqrstuv").expect("32 bytes");
    let builder = Sessions::builder(MemoryStore::new()).access_tokens(tokens);
    let sessions = runtime.block_on(builder.build()).expect("the defaults agree");
    let token = runtime.block_on(sessions.sign_in(SignIn::new("lena"))).expect("in memory").access_token;
    let plain = Router::new().route("/", get(async || "ok"));
    let extension = Router::new().route("/", get(async |_: Extension<Arc<()>>| "ok")).layer(Extension(Arc::new(())));
    let from_fn = plain.clone().layer(from_fn(async |request: Request, next: Next| next.run(request).await));
    let layer = SessionValidationLayer::new(sessions);
    let ours = Router::new().route("/", get(async |_: CurrentSession| "ok")).layer(layer);
    let mut counted = Vec::new();
    for (name, app) in [("bare", plain), ("extension", extension), ("from_fn", from_fn), ("ours", ours)] {
        let (count, bytes) = of(&runtime, app.with_state(()), &token);
        row(SECTION, name, &[("allocations", count, ""), ("allocated", bytes, "B")]);
        counted.push(count);
    }
    goal(
        SECTION,
        "allocations of a hit, beyond those of a bare extension",
        counted[3] - counted[1],
        "",
        Goal::AtMost(0.0),
    );
    note(SECTION, "One request through the whole router, after nine like it; making the request is not counted.");
}

/// Number and bytes of the tenth request's.
fn of(runtime: &Runtime, mut app: Router, token: &str) -> (f64, f64) {
    let mut last = (0.0, 0.0);
    for _ in 0..10 {
        let mut request = Request::new(Body::empty());
        let bearer = HeaderValue::try_from(format!("Bearer {token}")).expect("a token");
        request.headers_mut().insert("authorization", bearer);
        let info = measure(|| {
            let answer = runtime.block_on(app.call(request)).expect("infallible");
            assert_eq!(answer.status(), 200);
        });
        let float = |count: u64| f64::from(u32::try_from(count).expect("few"));
        last = (float(info.count_total), float(info.bytes_total));
    }
    last
}
