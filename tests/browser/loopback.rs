//! The way out for development over plain http: on this very machine and nowhere else.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request};
use axum_device_sessions::SessionsBuilder;

use super::http::{Answer, Sent, ask_with};
use super::{at_rest, header, set_cookies, set_token, site};

async fn from(app: &Router, peer: Option<&str>, method: Method, path: &str, sent: &[Sent]) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let mut request = sent.iter().fold(request, |request, (name, value)| request.header(*name, value));
    if let Some(peer) = peer {
        request = request.extension(ConnectInfo(peer.parse::<SocketAddr>().expect("an address")));
    }
    ask_with(app, request.body(Body::empty()).expect("a request")).await
}

const BOTH: [&str; 2] = [
    "__Host-session=TOKEN; Max-Age=7776000; Path=/; Secure; HttpOnly; SameSite=Lax",
    "session-on-loopback=TOKEN; Max-Age=7776000; Path=/; HttpOnly; SameSite=Lax",
];
const BOTH_CLEARED: [&str; 2] = [
    "__Host-session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax",
    "session-on-loopback=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax",
];

const DEVICE: [&str; 2] = [
    "__Host-device=TOKEN; Max-Age=34560000; Path=/; Secure; HttpOnly; SameSite=Lax",
    "device-on-loopback=TOKEN; Max-Age=34560000; Path=/; HttpOnly; SameSite=Lax",
];

#[tokio::test]
async fn only_from_this_machine_to_this_machine() {
    let (sessions, _clock) = at_rest(SessionsBuilder::insecure_cookie_on_loopback).await;
    let (plain, _clock) = at_rest(|builder| builder).await;
    for (peer, host, here) in [
        (Some("127.0.0.1:4711"), "localhost:3000", true),
        (Some("127.8.9.1:4711"), "localhost", true),
        (Some("[::1]:4711"), "[::1]:3000", true),
        (Some("[::ffff:127.0.0.1]:4711"), "127.0.0.1:3000", true),
        // A proxy on this machine, with the name that it was asked for.
        (Some("127.0.0.1:4711"), "app.example", false),
        (Some("127.0.0.1:4711"), "localhost.app.example", false),
        (Some("127.0.0.1:4711"), "localhost@app.example", false),
        (Some("192.0.2.7:4711"), "localhost:3000", false),
        (Some("192.0.2.7:4711"), "app.example", false),
        // Not served with `into_make_service_with_connect_info`.
        (None, "localhost:3000", false),
    ] {
        let name = format!("{peer:?} {host}");
        let sent = [header("host", host)];
        for (sessions, here) in [(&sessions, here), (&plain, false)] {
            let app = site(sessions);
            let answer = from(&app, peer, Method::POST, "/login", &sent).await;
            let set = set_cookies(&answer);
            let (sessions_cookies, devices) = set.split_at(if here { 2 } else { 1 });
            assert_eq!(sessions_cookies, if here { &BOTH[..] } else { &BOTH[..1] }, "{name}");
            assert_eq!(devices, if here { &DEVICE[..] } else { &DEVICE[..1] }, "{name}");
            let token = set_token(&answer).unwrap();

            // Safari has only this one.
            let with = [header("host", host), header("cookie", &format!("session-on-loopback={token}"))];
            let line = if here { "200 ahmed" } else { "401 missing_token" };
            assert_eq!(from(&app, peer, Method::GET, "/page", &with).await.line(), line, "{name}");
            if here {
                let answer = from(&app, peer, Method::POST, "/reauthenticate", &with).await;
                assert_eq!(set_cookies(&answer), BOTH, "{name}");
                let token = set_token(&answer).unwrap();
                let with = [header("host", host), header("cookie", &format!("session-on-loopback={token}"))];
                let again = from(&app, peer, Method::POST, "/login", &with).await;
                assert_eq!(from(&app, peer, Method::GET, "/page", &with).await.line(), "401 session_ended replaced");
                let token = set_token(&again).unwrap();
                let with = [header("host", host), header("cookie", &format!("session-on-loopback={token}"))];
                let path = if host.starts_with('l') { "/sign-out" } else { "/auth/logout" };
                let answer = from(&app, peer, Method::POST, path, &with).await;
                assert_eq!(set_cookies(&answer), BOTH_CLEARED, "{name}");
            } else {
                // Nor does it end anything, or stand in the way.
                assert_eq!(from(&app, peer, Method::POST, "/login", &with).await.status, 200, "{name}");
                let with = [header("host", host), header("cookie", &format!("__Host-session={token}"))];
                assert_eq!(from(&app, peer, Method::GET, "/page", &with).await.line(), "200 ahmed", "{name}");
            }
        }
    }
}
