//! What a client sends: four header lines in every variant, one of them its credential, which may be nobody's.

use std::net::{Ipv4Addr, SocketAddr};

use axum::{
    Extension, Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::{
        HeaderName, HeaderValue, Method, StatusCode,
        header::{ACCEPT, AUTHORIZATION, COOKIE, HOST, SET_COOKIE, USER_AGENT},
    },
    response::Response,
};
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::{Peer, SESSIONS, Variant};

/// The header line by which a client is known.
pub type Credential = (HeaderName, HeaderValue);

pub const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0";
pub const ACCEPTED: &str = "application/json";
pub const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 50_000);

/// Made anew for each call, as a server makes it of what it reads: there each byte of a header line has just been looked at, so
/// that nobody finds it out of the processor's caches.
pub fn request((name, value): &Credential) -> Request {
    let mut request = Request::new(Body::empty());
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("127.0.0.1"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
    headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).expect("it was one"));
    request
}

pub fn bearer(token: &str) -> Credential {
    (AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).expect("a token is ASCII"))
}

/// Has all users sign in at `POST /sign-in/{user}`, and keeps the cookies of the answers as a browser would. Several
/// at a time, so that a database can commit them together.
pub async fn sign_in_all(app: Router) -> Vec<Credential> {
    let sign_ins = stream::iter(0..SESSIONS).map(|user| sign_in(app.clone(), user));
    sign_ins.buffered(16).collect().await
}

async fn sign_in(app: Router, user: usize) -> Credential {
    let mut request = request(&(ACCEPT, HeaderValue::from_static(ACCEPTED)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("/sign-in/{user}").parse().expect("a path");
    request.extensions_mut().insert(ConnectInfo(ADDRESS));
    let answer = app.oneshot(request).await.expect("infallible");
    assert!(answer.status().is_success(), "sign-in was answered with {}", answer.status());
    cookies(&answer)
}

/// What a browser sends after this answer.
pub fn cookies(answer: &Response) -> Credential {
    let cookies = answer.headers().get_all(SET_COOKIE).iter();
    let cookies =
        cookies.map(|line| line.to_str().expect("cookies are ASCII").split(';').next().expect("a first part"));
    let cookies: Vec<_> = cookies.collect();
    assert!(!cookies.is_empty(), "a sign-in sets a cookie");
    (COOKIE, HeaderValue::try_from(cookies.join("; ")).expect("cookies are ASCII"))
}

/// That the first and the last client get "ok", and that somebody unknown does not where the variant has sessions.
pub async fn check(variant: &Variant, peer: &Peer) {
    let app = peer.app.clone().layer(Extension(ConnectInfo(ADDRESS)));
    for credential in [peer.credentials.first(), peer.credentials.last()].into_iter().flatten() {
        let answer = app.clone().oneshot(request(credential)).await.expect("infallible");
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a body in memory").to_bytes();
        assert_eq!((status, body.as_ref()), (StatusCode::OK, b"ok".as_slice()), "{}", variant.name);
    }
    let stranger = (ACCEPT, HeaderValue::from_static(ACCEPTED));
    let answer = app.clone().oneshot(request(&stranger)).await.expect("infallible");
    assert_ne!(answer.status().is_success(), variant.has_sessions, "{} and a stranger", variant.name);
}
