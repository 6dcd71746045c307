//! The hit path and nothing else, so many times: for `perf record` and for callgrind. `hit VARIANT REQUESTS [SESSIONS]`;
//! variants: `bare`, `extension`, `from_fn`, `ours`, and each with `-cookie` for a browser's credential. Instructions of one
//! request: those of a run less those of a run of half the requests, divided by the difference (the program `instructions`
//! does it).

use std::{hint::black_box, sync::Arc};

use axum::{
    Extension, Router,
    body::Body,
    extract::{FromRequestParts as _, Request},
    http::HeaderValue,
    middleware::{Next, from_fn},
    response::IntoResponse as _,
    routing::get,
};
use axum_device_sessions::{
    AccessTokens, Client, CurrentSession, MemoryStore, SessionValidationLayer, Sessions, SignIn,
};
use compare::peers::client;
use tower::Service as _;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let variant = arguments.next().expect("a variant");
    let requests: usize = arguments.next().expect("a number of requests").parse().expect("a number");
    let sessions: usize = arguments.next().map_or(100, |text| text.parse().expect("a number"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(&variant, requests, sessions));
}

async fn run(variant: &str, requests: usize, count: usize) {
    let tokens = AccessTokens::hs256("0123456789abcdefghijklmnopqrstuv").expect("32 bytes");
    let sessions =
        Sessions::builder(MemoryStore::new()).access_tokens(tokens).build().await.expect("the defaults agree");
    let (variant, by_cookie) = variant.strip_suffix("-cookie").map_or((variant, false), |variant| (variant, true));
    let mut credentials = Vec::new();
    for n in 0..count {
        let user = SignIn::new(format!("user-{n}"));
        credentials.push(if by_cookie {
            let (mut parts, ()) = axum::http::Request::new(()).into_parts();
            let Ok(browser) = Client::from_request_parts(&mut parts, &()).await;
            let signed_in = sessions.sign_in(user.client(browser).cookie()).await.expect("in memory");
            client::cookies(&signed_in.into_response())
        } else {
            client::bearer(&sessions.sign_in(user).await.expect("in memory").access_token)
        });
    }
    let plain = Router::new().route("/", get(async || "ok"));
    let mut app: Router = match variant {
        "bare" => plain,
        "extension" => {
            Router::new().route("/", get(async |_: Extension<Arc<u64>>| "ok")).layer(Extension(Arc::new(7_u64)))
        }
        "from_fn" => plain.layer(from_fn(async |request: Request, next: Next| next.run(request).await)),
        "ours" => Router::new()
            .route("/", get(async |_: CurrentSession| "ok"))
            .layer(SessionValidationLayer::new(sessions.clone())),
        other => panic!("no variant {other}"),
    };
    // As `axum::serve` does: else each call makes its handlers' routes anew.
    app = app.with_state(());
    for n in 0..2 * count + requests {
        let mut request = Request::new(Body::empty());
        let headers = request.headers_mut();
        headers.insert("host", HeaderValue::from_static("app.example.com"));
        headers.insert("user-agent", HeaderValue::from_static("Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0"));
        headers.insert("accept", HeaderValue::from_static("application/json"));
        let (name, value) = &credentials[n.wrapping_mul(7_919) % count];
        headers.insert(name, value.clone());
        let answer = app.call(request).await.expect("infallible");
        assert_eq!(answer.status(), 200);
        black_box(answer);
    }
}
