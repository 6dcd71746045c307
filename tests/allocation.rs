//! Whoever has no key cannot make us allocate much: whatever is sent as a token, a cookie or a refresh token, what is allocated to
//! refuse it has a bound that does not grow with what was sent. Measured from outside, by an allocator that counts.

#![cfg(feature = "routes")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "support/http.rs"]
mod http;

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::Response;
use axum_device_sessions::{SessionValidationLayer, SigningKey, routes};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{SECRET, in_memory};
use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt, service_fn};

/// The cap on a token.
const CAP: u64 = 8 * 1024;
/// What everybody can have allocated at one time: a header of many short names is read into a map.
const BOUND: u64 = 12 * CAP;
/// The same of a body for the token endpoint, whose cap is 4 KiB: the router, its answer and the boxes of both.
const BODY_BOUND: u64 = CAP;
/// And what our own issuer could, gone mad: claims of many small values, parsed once to see whether they can be.
const SIGNED_BOUND: u64 = 32 * CAP;

struct Measured<'a> {
    runtime: &'a Runtime,
    layer: SessionValidationLayer,
    /// The most that was allocated at one time, by headers and by bodies.
    most: Cell<(u64, u64)>,
}

impl Measured<'_> {
    /// One request with this header: what was allocated at the most, and the status.
    fn header(&self, name: &'static str, value: &[u8]) -> (u64, StatusCode) {
        let mut service = self.layer.layer(service_fn(async |request: Request<Body>| {
            let (mut parts, _) = request.into_parts();
            let session =
                <axum_device_sessions::CurrentSession as axum::extract::FromRequestParts<()>>::from_request_parts(
                    &mut parts,
                    &(),
                );
            let refused = session.await.map(drop).map_err(axum::response::IntoResponse::into_response);
            Ok::<_, Infallible>(refused.map_or_else(|refused| refused, |()| Response::new(Body::empty())))
        }));
        let mut request = Request::new(Body::empty());
        request.headers_mut().insert(name, HeaderValue::from_bytes(value).unwrap());
        let status = Cell::new(StatusCode::OK);
        let info = measure(|| {
            let answer = pin!(service.call(request));
            let Poll::Ready(Ok(answer)) = answer.poll(&mut Context::from_waker(Waker::noop())) else {
                panic!("it waits")
            };
            status.set(answer.status());
        });
        (info.bytes_max, status.get())
    }

    /// One body for `POST /refresh`.
    fn body(&self, body: Vec<u8>) -> (u64, StatusCode) {
        let app: Router = Router::new().merge(routes::auth()).layer(self.layer.clone());
        let request =
            Request::post("/refresh").header("content-type", "application/json").body(Body::from(body)).unwrap();
        let _timers = self.runtime.enter();
        let status = Cell::new(StatusCode::OK);
        let info = measure(|| {
            let answer = pin!(app.oneshot(request));
            let Poll::Ready(Ok(answer)) = answer.poll(&mut Context::from_waker(Waker::noop())) else {
                panic!("it waits")
            };
            status.set(answer.status());
        });
        (info.bytes_max, status.get())
    }

    /// Nobody gets in by it, and it stays within the bound, whether it comes as token or as cookie.
    fn refused_token(&self, token: &[u8]) {
        // HTTP lets no other bytes through; of a cookie's name, anything.
        let token: Vec<u8> =
            token.iter().map(|byte| if *byte < b' ' || *byte == 0x7f { b'.' } else { *byte }).collect();
        for (name, before) in [("authorization", "Bearer "), ("cookie", "a=b; __Host-session="), ("cookie", "")] {
            let (bytes, status) = self.header(name, &[before.as_bytes(), &token].concat());
            assert_eq!(status, StatusCode::UNAUTHORIZED);
            assert!(bytes <= BOUND, "{bytes} bytes for one of {} in {name}", token.len());
            let (most, body) = self.most.get();
            self.most.set((most.max(bytes), body));
        }
    }

    fn refused_body(&self, body: Vec<u8>) {
        let length = body.len();
        let (bytes, status) = self.body(body);
        assert!(status == StatusCode::UNAUTHORIZED || status == StatusCode::BAD_REQUEST, "{status}");
        assert!(bytes <= BODY_BOUND, "{bytes} bytes for a body of {length}");
        let (header, most) = self.most.get();
        self.most.set((header, most.max(bytes)));
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn measured(runtime: &Runtime) -> Measured<'_> {
    let sessions = runtime.block_on(in_memory());
    let measured = Measured { runtime, layer: SessionValidationLayer::new(sessions), most: Cell::default() };
    // What is set up at the first use is nobody's.
    measured.header("authorization", b"Bearer warm.up.AAAA");
    measured.body(b"{}".to_vec());
    measured
}

/// As long as `length`, of three parts, the first of them this header.
fn with_header(header: &str) -> Vec<u8> {
    format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header)).into_bytes()
}

fn many(member: impl Fn(usize) -> String, length: usize) -> String {
    let mut text = String::from("{");
    for count in 0.. {
        let member = member(count);
        if text.len() + member.len() + 2 > length {
            break;
        }
        text.push_str(&member);
        text.push(',');
    }
    text.pop();
    text + "}"
}

#[test]
fn whatever_is_sent_a_bound_holds() {
    let runtime = runtime();
    let measured = measured(&runtime);
    let (message, refresh) = ("x.".repeat(3), "A".repeat(76));
    // What may cost the most: names that go into a map, a text of escapes, deep nesting; just under the cap.
    let room = usize::try_from(CAP).unwrap() * 3 / 4 - 16;
    for header in [
        many(|count| format!(r#""{count:x}":1"#), room),
        many(|count| format!(r#""\u{count:04x}":1"#), room),
        format!(r#"{{"kid":"{}"}}"#, r"\n".repeat(room / 2 - 8)),
        format!(r#"{{"typ":"at+jwt","kid":"{}"}}"#, r"\u0041".repeat(room / 6 - 8)),
        format!(r#"{{"typ":{}"#, "[".repeat(room - 8)),
        format!(r#"{{"x":{}1{}}}"#, "[".repeat(120), "]".repeat(120)),
    ] {
        measured.refused_token(&with_header(&header));
    }
    for text in [message.as_str(), ".", "A", "é", "a=b;", "\u{ff}"] {
        for length in [0, 1, 100, 8 * 1024, 8 * 1024 + 1, 64 * 1024, 1024 * 1024] {
            measured.refused_token(text.repeat(length / text.len() + 1).as_bytes());
        }
    }
    for token in [refresh.clone(), "A".repeat(1024), "\\u0041".repeat(600), "x".repeat(1024 * 1024)] {
        measured.refused_body(format!(r#"{{"refresh_token":"{token}"}}"#).into_bytes());
    }
    for body in [many(|count| format!(r#""{count:x}":1"#), 4_000), format!(r#"{{"x":{}"#, "[".repeat(4_000))] {
        measured.refused_body(body.into_bytes());
    }

    let bytes = (proptest::collection::vec(any::<u8>(), 0..300), 1_usize..4_000);
    TestRunner::new(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })
        .run(&bytes, |(bytes, times)| {
            measured.refused_token(&bytes);
            measured.refused_token(&bytes.repeat(times));
            measured.refused_body(bytes.repeat(times % 20));
            Ok(())
        })
        .unwrap();

    // The control: who decodes first and looks at the size later. It also shows that the counter counts.
    let long = "A".repeat(1024 * 1024);
    let naive = measure(|| drop(URL_SAFE_NO_PAD.decode(&long))).bytes_max;
    assert!(naive > BOUND);
    let (header, body) = measured.most.get();
    println!("at most {header} bytes for a header of up to 1 MiB, {body} for a body; a decoder without a cap: {naive}");
}

/// The one reader that only our own signature opens: it has a bound too.
#[test]
fn so_it_does_for_what_is_signed() {
    let runtime = runtime();
    let measured = measured(&runtime);
    let kid = SigningKey::hs256(SECRET).unwrap().kid().to_owned();
    let header = format!(r#"{{"typ":"at+jwt","alg":"HS256","kid":"{kid}"}}"#);
    let room = usize::try_from(CAP).unwrap() * 3 / 4 - 200;
    let mut most = 0;
    for claims in [
        many(|count| format!(r#""{count:x}":1"#), room),
        many(|count| format!(r#""{count:x}":{{}}"#), room),
        format!(r#"{{"x":[{}0]}}"#, "0,".repeat(room / 2 - 10)),
        format!(r#"{{"x":[{}0]}}"#, r#""a","#.repeat(room / 4 - 10)),
        format!(r#"{{"x":{}1{}}}"#, r#"{"a":"#.repeat(100), "}".repeat(100)),
        format!(r#"{{"aud":[{}"a"]}}"#, r#""a","#.repeat(room / 4 - 10)),
    ] {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(&claims));
        let key = EncodingKey::from_secret(SECRET);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        let token = format!("Bearer {message}.{signature}");
        assert!(token.len() as u64 <= CAP);
        let (bytes, status) = measured.header("authorization", token.as_bytes());
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        most = most.max(bytes);
    }
    assert!(most <= SIGNED_BOUND, "{most} bytes");
    println!("at most {most} bytes for a signed token of 8 KiB");
}

/// What a hit allocates through a whole router, by the number of allocations: what handing anything on to a handler takes, and
/// none more.
#[test]
fn a_hit_allocates_what_an_extension_does() {
    let runtime = runtime();
    let _tasks = runtime.enter();
    let sessions = runtime.block_on(in_memory());
    let token = runtime.block_on(sessions.sign_in(axum_device_sessions::SignIn::new("lena"))).unwrap().access_token;
    let of = |mut app: Router| {
        let mut ask = || {
            let mut request = Request::new(Body::empty());
            let bearer = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
            request.headers_mut().insert("authorization", bearer);
            let allocated =
                measure(|| assert_eq!(runtime.block_on(app.call(request)).unwrap().status(), StatusCode::OK));
            allocated.count_total
        };
        // The first two are no hits of what is looked up first.
        let last = (0..10).map(|_| ask()).last();
        last.unwrap()
    };
    let extension = axum::Extension(std::sync::Arc::new(()));
    let floor = Router::new()
        .route("/", axum::routing::get(async |_: axum::Extension<std::sync::Arc<()>>| {}))
        .layer(extension)
        .with_state(());
    let ours = Router::new()
        .route("/", axum::routing::get(async |_: axum_device_sessions::CurrentSession| {}))
        .layer(SessionValidationLayer::new(sessions.clone()))
        .with_state(());
    let boxed = Router::new()
        .route("/", axum::routing::get(async |_: axum_device_sessions::CurrentSession| {}))
        .layer(SessionValidationLayer::new(sessions.clone()).strict())
        .with_state(());
    let (floor, ours, control) = (of(floor), of(ours), of(boxed));
    println!(
        "allocations of a request: {ours} with a session, {floor} with an extension alone; {control} where it is read"
    );
    assert_eq!(ours, floor);
    assert!(control > floor, "the control: what waits is counted");
}
