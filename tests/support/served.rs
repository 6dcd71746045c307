//! An application on a real socket, and requests sent to it byte by byte: what is said of an address must have come over a
//! connection.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum_device_sessions::{Client, Error, SessionValidationLayer, Sessions, SessionsBuilder, SignIn, SignedIn};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use super::http::{app, on};
use super::support::TestDb;
use axum_device_sessions::PostgresStore;

/// Headers to send.
pub(crate) type Sent<'a> = &'a [(&'a str, &'a str)];

/// A node that writes activity when asked, on this database.
pub(crate) async fn node(db: &TestDb, settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Sessions {
    let store = PostgresStore::connect(db.url()).await.expect("connects");
    store.migrate().await.expect("migrates");
    let builder = on(store).activity_interval(std::time::Duration::from_secs(3_600));
    settings(builder).build().await.expect("builds")
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
}

/// The mounted routes, a login, and what is known of the caller's address.
pub(crate) fn site(sessions: &Sessions) -> Router {
    async fn login(State(sessions): State<Sessions>, client: Client) -> Result<SignedIn, Error> {
        sessions.sign_in(SignIn::new("ahmed").client(client)).await
    }
    async fn ip(State(sessions): State<Sessions>, client: Client) -> String {
        json!(sessions.ip_address_of(&client)).to_string()
    }
    /// The control: as it is often done.
    async fn leftmost(headers: HeaderMap) -> String {
        let first = |text: &str| text.split(',').next().map(|first| first.trim().to_owned());
        json!(headers.get("x-forwarded-for").and_then(|value| first(value.to_str().ok()?))).to_string()
    }
    Router::new()
        .route("/login", post(login))
        .route("/ip", get(ip))
        .route("/leftmost", get(leftmost))
        .with_state(sessions.clone())
        .merge(app())
        .layer(SessionValidationLayer::new(sessions.clone()))
}

impl Served {
    pub(crate) async fn start(sessions: &Sessions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("bound");
        let service = site(sessions).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { address }
    }

    pub(crate) async fn without_connect_info(sessions: &Sessions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("bound");
        let service = site(sessions);
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { address }
    }

    /// One request over a connection of its own; its status and its body.
    pub(crate) async fn send(&self, line: &str, sent: Sent<'_>, body: &str) -> (u16, Value) {
        self.send_from(IpAddr::from([127, 0, 0, 1]), line, sent, body).await
    }

    /// The same from another address of this machine.
    pub(crate) async fn send_from(&self, from: IpAddr, line: &str, sent: Sent<'_>, body: &str) -> (u16, Value) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("an address of loopback");
        let mut connection = socket.connect(self.address).await.expect("it listens");
        let headers: String = sent.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n{headers}\r\n{body}"
        );
        connection.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {line}: {answer:?}"));
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        (status, serde_json::from_str(body).unwrap_or_else(|_| json!(body)))
    }

    pub(crate) async fn sign_in(&self, sent: Sent<'_>) -> Value {
        let (status, answer) = self.send("POST /login", sent, "").await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// A request with the session of this sign-in.
    pub(crate) async fn ask(&self, line: &str, signed_in: &Value, sent: Sent<'_>) -> Value {
        let bearer = format!("Bearer {}", signed_in["access_token"].as_str().expect("a token"));
        let (status, answer) = self.send(line, &[&[("authorization", &*bearer)], sent].concat(), "").await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// What the list says of the session of this sign-in.
    pub(crate) async fn listed(&self, signed_in: &Value) -> Value {
        let list = self.ask("GET /sessions", signed_in, &[]).await;
        let own = list.as_array().expect("a list").iter().find(|one| one["id"] == signed_in["session"]["id"]);
        own.expect("it is in the list").clone()
    }

    /// The address by which the application would limit attempts.
    pub(crate) async fn ip(&self, sent: Sent<'_>) -> Value {
        self.send("GET /ip", sent, "").await.1
    }
}
