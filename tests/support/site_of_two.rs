//! An application that signs users in over HTTP, on two nodes, and browsers with a cookie jar that use it.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::time::Duration;

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderValue, Method, Request, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use axum_device_sessions::{
    Claims, Client, Coherence, CurrentSession, Error, FreshSession, PendingSession, PostgresStore, SessionId,
    SessionValidationLayer, Sessions, SessionsBuilder, SignIn, SignInPolicy, Signal, SignedIn,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{self, Answer, Sent, ask_with, bearer, on};
use super::support::{TestDb, eventually};

/// What the login handler is asked for.
#[derive(Deserialize)]
struct Login {
    user: String,
    #[serde(default)]
    cookie: bool,
    #[serde(default)]
    second_factor: bool,
    #[serde(default)]
    claims: Option<Value>,
    #[serde(default)]
    policy: Option<String>,
}

async fn login(State(sessions): State<Sessions>, client: Client, Json(wanted): Json<Login>) -> Result<Response, Error> {
    let sign_in = SignIn::new(wanted.user).client(client);
    let sign_in = if wanted.cookie { sign_in.cookie() } else { sign_in };
    let sign_in = if wanted.second_factor { sign_in.second_factor_to_come() } else { sign_in };
    let sign_in = wanted.claims.iter().fold(sign_in, |sign_in, claims| sign_in.claims(claims));
    let sign_in = match wanted.policy.as_deref() {
        None => sign_in,
        Some(name) => {
            let says = match name {
                "allow" => SignInPolicy::Allow,
                "tell" => SignInPolicy::Tell,
                "second factor" => SignInPolicy::RequireSecondFactor,
                "refuse" => SignInPolicy::Refuse,
                other => panic!("no policy: {other}"),
            };
            sign_in.policy(move |_| says)
        }
    };
    Ok(with_signals(sessions.sign_in(sign_in).await?))
}

/// For the tests to see: they are not in the answer.
fn with_signals(signed_in: SignedIn) -> Response {
    let kinds: Vec<_> = signed_in.signals.iter().map(Signal::kind).collect();
    let mut response = signed_in.into_response();
    response.headers_mut().insert("x-signals", HeaderValue::from_str(&kinds.join(",")).expect("text"));
    response
}

async fn second_factor(State(sessions): State<Sessions>, pending: PendingSession) -> Result<SignedIn, Error> {
    sessions.confirm(&pending).await
}

/// All that takes a session, and the login outside of the layer.
fn application(sessions: &Sessions) -> Router {
    let public = async |session: Option<CurrentSession>| match session {
        Some(session) => session.user_id().to_string(),
        None => "nobody".to_owned(),
    };
    let required = SessionValidationLayer::new(sessions.clone()).required();
    Router::new()
        .route("/name", get(async |session: CurrentSession| session.device().name.clone()))
        .route("/public", get(public))
        .route("/fresh", get(async |FreshSession(session): FreshSession| session.user_id().to_string()))
        .route("/claims", get(async |Claims(claims): Claims<Value>| Json(claims)))
        .route("/required", get(async || "in").route_layer(required))
        .route("/second-factor", post(second_factor))
        .with_state(sessions.clone())
        .merge(http::app())
        .layer(SessionValidationLayer::new(sessions.clone()))
        .merge(Router::new().route("/login", post(login)).with_state(sessions.clone()))
}

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) sessions: Sessions,
    pub(crate) app: Router,
}

impl Node {
    /// Told of changes.
    pub(crate) async fn at(url: &str, settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        let store = PostgresStore::connect(url).await.expect("connects");
        store.migrate().await.expect("migrates");
        let builder = on(store).activity_interval(Duration::from_secs(3_600));
        let node = Self::of(settings(builder).build().await.expect("builds"));
        let told = async || node.sessions.health().coherence == Coherence::Lease;
        eventually("the node is told of changes", told).await;
        node
    }

    pub(crate) fn of(sessions: Sessions) -> Self {
        Self { app: application(&sessions), sessions }
    }

    /// What `/me` answers, in a line.
    pub(crate) async fn me(&self, sent: &[Sent]) -> String {
        http::get(&self.app, "/me", sent).await.line()
    }

    pub(crate) async fn answers(&self, sent: &[Sent], line: &str) {
        eventually(&format!("the node answers {line}"), async || self.me(sent).await == line).await;
    }

    /// Ids of the user's list, as this session is told.
    pub(crate) async fn listed(&self, sent: &[Sent]) -> Vec<String> {
        let answer = http::get(&self.app, "/sessions", sent).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json().as_array().expect("a list").iter().map(id).collect()
    }
}

/// Two nodes on a database of their own, and a connection to look behind their backs.
pub(crate) async fn two(
    settings: impl Fn(SessionsBuilder) -> SessionsBuilder,
) -> (TestDb, [Node; 2], tokio_postgres::Client) {
    let db = TestDb::new().await;
    let nodes = [Node::at(db.url(), &settings).await, Node::at(db.url(), &settings).await];
    let sql = db.connect().await;
    (db, nodes, sql)
}

/// A client that keeps cookies as browsers do, and the access token beside them.
#[derive(Clone, Default)]
pub(crate) struct Browser {
    pub(crate) jar: BTreeMap<String, String>,
    pub(crate) headers: Vec<Sent>,
}

impl Browser {
    pub(crate) fn saying(name: &'static str, value: &str) -> Self {
        Self { headers: vec![(name, value.to_owned())], ..Self::default() }
    }

    pub(crate) async fn send(&mut self, app: &Router, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let cookies: Vec<_> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if cookies.is_empty() { request } else { request.header(header::COOKIE, cookies.join("; ")) };
        let request = self.headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"))
        });
        let request = match body {
            Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        let answer = ask_with(app, request.expect("a request")).await;
        self.keep(&answer);
        answer
    }

    fn keep(&mut self, answer: &Answer) {
        for line in answer.headers.get_all(header::SET_COOKIE) {
            let (name, rest) = line.to_str().expect("text").split_once('=').expect("a name");
            let (value, attributes) = rest.split_once("; ").expect("attributes");
            if attributes.contains("Max-Age=0") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    pub(crate) async fn login_with(&mut self, node: &Node, wanted: &Value) -> Answer {
        self.send(&node.app, Method::POST, "/login", Some(wanted)).await
    }

    /// Signs in, and returns what to send from now on.
    pub(crate) async fn login(&mut self, node: &Node, user: &str, cookie: bool) -> In {
        let answer = self.login_with(node, &json!({ "user": user, "cookie": cookie })).await;
        self.is_in(&answer)
    }

    /// The session of an answer.
    pub(crate) fn is_in(&self, answer: &Answer) -> In {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        let sent = match body["access_token"].as_str() {
            Some(token) => [bearer(token)],
            None => [http::cookie(&self.jar["__Host-session"])],
        };
        let signals = answer.headers.get("x-signals").map(|kinds| kinds.to_str().expect("text").to_owned());
        In { id: id(&body["session"]), sent, signals: signals.unwrap_or_default(), body }
    }

    pub(crate) fn device(&self) -> Option<&str> {
        self.jar.get("__Host-device").map(String::as_str)
    }
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub(crate) struct In {
    pub(crate) id: String,
    pub(crate) sent: [Sent; 1],
    pub(crate) signals: String,
    pub(crate) body: Value,
}

impl In {
    pub(crate) fn session(&self) -> SessionId {
        self.id.parse().expect("an id")
    }
}

fn id(session: &Value) -> String {
    session["id"].as_str().unwrap_or_else(|| panic!("no id: {session}")).to_owned()
}

/// Reason and author of an end, as the row has them.
pub(crate) async fn end_of(sql: &tokio_postgres::Client, id: &str) -> Option<(String, Option<String>)> {
    let select = "SELECT ended_at IS NOT NULL, end_reason, ended_by FROM device_sessions.sessions WHERE id::text = $1";
    let row = sql.query_one(select, &[&id]).await.expect("a row");
    row.get::<_, bool>(0).then(|| (row.get(1), row.get(2)))
}

/// One number.
pub(crate) async fn count(sql: &tokio_postgres::Client, query: &str) -> i64 {
    sql.query_one(query, &[]).await.expect("a number").get(0)
}
