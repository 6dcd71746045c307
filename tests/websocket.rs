//! `examples/websocket.rs` as a process, one node of two: who is let in, and what a socket is closed with.

#![cfg(all(feature = "postgres", feature = "routes"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/process.rs"]
mod process;
#[path = "support/streams.rs"]
mod streams;
mod support;

use std::time::{Duration, Instant};

use axum_device_sessions::{EndReason, EndTarget, Sessions, SignIn, SignedIn};
use cluster::node;
use futures_util::{SinkExt, StreamExt};
use process::Quickstart;
use serde_json::json;
use streams::{Events, client, ended, within_patience};
use support::TestDb;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, handshake::client::Response, http::HeaderValue},
};

/// That of `cluster::tokens`.
const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";

async fn example(db: &TestDb) -> Quickstart {
    Quickstart::example("websocket", &[("DATABASE_URL", db.url()), ("SIGNING_SECRET", SECRET)]).await
}

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Connects, or says with what it was refused.
    async fn try_open(node: &Quickstart, path: &str, sent: &[(&'static str, &str)]) -> Result<(Self, Response), u16> {
        let mut request = node.url(path).replacen("http", "ws", 1).into_client_request().unwrap();
        for (name, value) in sent {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        match within_patience("the handshake", connect_async(request)).await {
            Ok((socket, response)) => Ok((Self(socket), response)),
            Err(Error::Http(refused)) => Err(refused.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    async fn open(node: &Quickstart, signed_in: &SignedIn) -> Self {
        let offered = format!("bearer, {}", signed_in.access_token);
        Self::try_open(node, "/ws/token", &[("sec-websocket-protocol", &offered)]).await.unwrap().0
    }

    /// The next message that is no ping.
    async fn next(&mut self) -> Option<Message> {
        loop {
            match within_patience("a message", self.0.next()).await? {
                Ok(Message::Ping(_)) => {}
                Ok(message) => return Some(message),
                Err(broken) => panic!("{broken}"),
            }
        }
    }

    async fn echoes(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
        assert_eq!(self.next().await, Some(Message::text(text)));
    }

    /// Code and reason of the closing frame, which is the last there is.
    async fn closed(&mut self) -> (u16, String) {
        let Some(Message::Close(Some(frame))) = self.next().await else { panic!("no closing frame with a code") };
        assert_eq!(self.next().await, None, "closed in full, by both");
        (frame.code.into(), frame.reason.to_string())
    }
}

async fn end(sessions: &Sessions, signed_in: &SignedIn, reason: EndReason) {
    sessions.end(EndTarget::One { id: signed_in.session.id, user: None }, reason, None).await.unwrap();
}

#[tokio::test]
async fn who_is_let_in() {
    let db = TestDb::new().await;
    let (a, b) = (node(db.url()).await, example(&db).await);
    let token = a.sign_in(SignIn::new("ahmed")).await.unwrap().access_token;
    let (bearer, offered) = (format!("Bearer {token}"), format!("bearer, {token}"));
    let (query, in_query) = (format!("/ws?access_token={token}"), format!("/ws/token?token={token}"));
    let sign_in = client().post(b.url("/sign-in")).header("origin", b.url("")).header("sec-fetch-site", "same-origin");
    let sign_in = sign_in.json(&json!({ "username": "lena", "password": "demo", "cookie": true }));
    let answer = sign_in.send().await.unwrap();
    let cookies = answer.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    let cookie = cookies.filter_map(|value| value.split(';').next()).find(|pair| pair.starts_with("__Host-session="));
    let (cookie, own, other) = (cookie.unwrap(), b.url(""), "https://evil.example");

    let opened = Socket::try_open(&b, "/ws/token", &[("sec-websocket-protocol", &offered)]).await;
    let (mut socket, response) = opened.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "bearer", "and never the token");
    socket.echoes("hello").await;
    for (sent, status) in [
        (&[("cookie", cookie), ("origin", own.as_str())][..], None),
        (&[("cookie", cookie), ("origin", other)], Some(403)),
        (&[("cookie", cookie)], Some(403)),
        (&[("authorization", &bearer)], None),
        (&[], Some(401)),
    ] {
        let opened = Socket::try_open(&b, "/ws", sent).await;
        assert_eq!(opened.as_ref().err().copied(), status, "{sent:?}");
        if let Ok((mut socket, _)) = opened {
            socket.echoes("hello").await;
        }
    }
    for (path, sent) in [
        (query.as_str(), &[][..]),
        (in_query.as_str(), &[]),
        ("/ws/token", &[("sec-websocket-protocol", "bearer, x.y.z")]),
        ("/ws/token", &[("sec-websocket-protocol", "bearer")]),
        // What another site could make a browser send.
        ("/ws/token", &[("cookie", cookie), ("origin", other)]),
    ] {
        assert_eq!(Socket::try_open(&b, path, sent).await.err(), Some(401), "{path} {sent:?}");
    }
}

#[tokio::test]
async fn it_is_closed_when_its_session_ends_on_the_other_node() {
    let db = TestDb::new().await;
    let (a, b) = (node(db.url()).await, example(&db).await);
    let long = "é".repeat(200);
    for (reason, told) in [
        (EndReason::RevokedByUser, "revoked_by_user"),
        (EndReason::CredentialChange, "credential_change"),
        (EndReason::Other(long.as_str().into()), &long[..60]),
    ] {
        let signed_in = a.sign_in(SignIn::new("ahmed")).await.unwrap();
        let (mut socket, mut of_other) = (Socket::open(&b, &signed_in).await, {
            let other = a.sign_in(SignIn::new("ahmed")).await.unwrap();
            Socket::open(&b, &other).await
        });
        end(&a, &signed_in, reason).await;
        assert_eq!(socket.closed().await, (4001, told.to_owned()));
        of_other.echoes("still here").await;
    }
}

/// What it cannot send must not keep it from ending.
#[tokio::test]
async fn a_client_that_reads_nothing_is_closed_too() {
    let db = TestDb::new().await;
    let (a, b) = (node(db.url()).await, example(&db).await);
    let signed_in = a.sign_in(SignIn::new("ahmed")).await.unwrap();
    let mut socket = Socket::open(&b, &signed_in).await;
    let echo = Message::binary(vec![0; 1 << 20]);
    // Until the node takes no more, as it waits for us to read.
    while tokio::time::timeout(Duration::from_millis(500), socket.0.send(echo.clone())).await.is_ok() {}
    end(&a, &signed_in, EndReason::RevokedByAdmin).await;
    let stopped = b.stop("INT").await;
    assert_eq!(stopped.status.code(), Some(0), "nobody is waited for: {}", stopped.output);
}

#[tokio::test]
async fn a_restart_says_to_come_back() {
    let db = TestDb::new().await;
    let (a, b) = (node(db.url()).await, example(&db).await);
    let signed_in = a.sign_in(SignIn::new("ahmed")).await.unwrap();
    let (mut socket, stream) = (Socket::open(&b, &signed_in).await, Events::of(&b.url(""), &signed_in).await);
    let (closed, stopped) = tokio::join!(socket.closed(), b.stop("INT"));
    assert_eq!(closed, (1012, "restarting".to_owned()));
    assert_eq!(stream.all_it_says().await, "");
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.output);
}

/// From the acknowledgement of the end on one node to what a client of the other hears. Printed, and not held to anything.
#[tokio::test]
async fn how_long_it_takes() {
    const ENDS: usize = 200;
    let db = TestDb::new().await;
    let (a, b) = (node(db.url()).await, example(&db).await);
    let (mut by_stream, mut by_socket) = (Vec::new(), Vec::new());
    for _ in 0..ENDS {
        let signed_in = a.sign_in(SignIn::new("ahmed")).await.unwrap();
        let (stream, mut socket) = (Events::of(&b.url(""), &signed_in).await, Socket::open(&b, &signed_in).await);
        let stream = tokio::spawn(async move { (stream.all_it_says().await, Instant::now()) });
        let socket = tokio::spawn(async move { (socket.next().await, Instant::now()) });
        end(&a, &signed_in, EndReason::RevokedByAdmin).await;
        let since = Instant::now();
        let ((said, heard), (closed, closed_at)) = (stream.await.unwrap(), socket.await.unwrap());
        assert_eq!(said, ended("revoked_by_admin"));
        assert!(matches!(closed, Some(Message::Close(Some(_)))));
        // It may be heard before the end is acknowledged to whoever ended it.
        by_stream.push(heard.saturating_duration_since(since));
        by_socket.push(closed_at.saturating_duration_since(since));
    }
    for (name, times) in [("server-sent event", &mut by_stream), ("closing frame", &mut by_socket)] {
        times.sort();
        println!("{name}: p50 {:?}, p99 {:?}", times[ENDS / 2], times[ENDS * 99 / 100]);
    }
}
