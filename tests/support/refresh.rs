//! Refreshing as a client does it, on nodes that share a database; and what the row says of it.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::{Router, body::Body, http::Request, routing::get as to};
use axum_device_sessions::{
    Coherence, CurrentSession, EndOutcome, EndReason, EndTarget, PostgresStore, SessionId, SessionValidationLayer,
    Sessions, SessionsBuilder, SignedIn,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::http::{self, Answer, bearer};
use super::support::{TestDb, eventually};

/// A node: its sessions, and an application with the mounted routes.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) sessions: Sessions,
    pub(crate) app: Router,
    handed_on: Arc<Mutex<Option<CurrentSession>>>,
}

impl Node {
    pub(crate) async fn on(url: &str) -> Self {
        Self::with(url, |builder| builder).await
    }

    /// Activity is written only when asked. Returns when it is told of changes.
    pub(crate) async fn with(url: &str, settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        let store = PostgresStore::connect(url).await.unwrap();
        store.migrate().await.unwrap();
        let builder = http::on(store).activity_interval(Duration::from_secs(3_600));
        let node = Self::of(settings(builder).build().await.unwrap());
        eventually("the node is told of changes", || async { node.sessions.health().coherence == Coherence::Lease })
            .await;
        node
    }

    pub(crate) fn of(sessions: Sessions) -> Self {
        let handed_on = Arc::<Mutex<Option<CurrentSession>>>::default();
        let keep = Arc::clone(&handed_on);
        let current = |current: CurrentSession| async move {
            *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(current);
        };
        let layer = SessionValidationLayer::new(sessions.clone());
        let app = http::app().route("/current", to(current)).layer(layer);
        Self { sessions, app, handed_on }
    }

    pub(crate) async fn sign_in(&self, user: &str) -> SignedIn {
        http::sign_in(&self.sessions, user).await
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Answer {
        refresh(&self.app, refresh_token).await
    }

    /// What a request with this access token is answered, in a line.
    pub(crate) async fn me(&self, access_token: &str) -> String {
        http::get(&self.app, "/me", &[bearer(access_token)]).await.line()
    }

    /// What the handler of a request is given.
    pub(crate) async fn current(&self, access_token: &str) -> CurrentSession {
        assert_eq!(http::get(&self.app, "/current", &[bearer(access_token)]).await.status, 200);
        self.handed_on.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap()
    }

    pub(crate) async fn end(&self, id: SessionId, reason: EndReason) {
        let ended = self.sessions.end(EndTarget::One { id, user: None }, reason, None).await.unwrap();
        assert!(matches!(ended, EndOutcome::Ended(_)), "{ended:?}");
    }
}

/// Two nodes on a database of their own, and a connection to look behind their backs.
pub(crate) async fn two_nodes() -> (TestDb, [Node; 2], Client) {
    let db = TestDb::new().await;
    let nodes = [Node::on(db.url()).await, Node::on(db.url()).await];
    let sql = db.connect().await;
    (db, nodes, sql)
}

/// Returns when `node` has been told of all that happened before. The database tells in the order of commits, and whether
/// a token that was given up is refused cannot be tried out: to be let in with it is a theft.
pub(crate) async fn all_told(teller: &Node, node: &Node) {
    let last = teller.sign_in("the last one").await;
    assert_eq!(node.me(&last.access_token).await, "200 the last one");
    teller.end(last.session.id, EndReason::Logout).await;
    eventually("told", || async { node.me(&last.access_token).await == "401 session_ended logout" }).await;
}

pub(crate) fn refresh_request(refresh_token: &str) -> Request<Body> {
    json_request("/auth/refresh", &json!({ "refresh_token": refresh_token }))
}

pub(crate) fn json_request(path: &str, body: &Value) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}

pub(crate) async fn refresh(app: &Router, refresh_token: &str) -> Answer {
    http::ask_with(app, refresh_request(refresh_token)).await
}

/// The promise (P3).
pub(crate) const DEADLINE: Duration = Duration::from_secs(4);

/// Three at once, of the same token: the second and third wait for the first. (`line` sees to `Retry-After`.)
pub(crate) async fn unavailable(what: &str, node: &Node, refresh_token: &str) {
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let (node, token) = (node.clone(), refresh_token.to_owned());
        tasks.spawn(async move {
            let asked = Instant::now();
            (node.refresh(&token).await.line(), asked.elapsed())
        });
    }
    let answers = tasks.join_all().await;
    println!("{what}: {answers:?}");
    let in_time = |(line, took): &(String, Duration)| line == "503 temporarily_unavailable" && *took < 2 * DEADLINE;
    assert!(answers.iter().all(in_time), "{what}: {answers:?}");
}

/// What a client has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Pair {
    /// The tokens of a refresh that succeeded.
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text());
        Self::in_body(&answer.json())
    }

    pub(crate) fn in_body(body: &Value) -> Self {
        let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token") }
    }
}

impl From<&SignedIn> for Pair {
    fn from(signed_in: &SignedIn) -> Self {
        Self { access: signed_in.access_token.clone(), refresh: signed_in.refresh_token.clone() }
    }
}

/// The generation that a refresh token names: version, session, generation, MAC.
pub(crate) fn generation_of(refresh_token: &str) -> u64 {
    let token = URL_SAFE_NO_PAD.decode(refresh_token).unwrap();
    u64::from_be_bytes(token[17..25].try_into().unwrap())
}

/// The payload of an access token.
pub(crate) fn payload(access_token: &str) -> Value {
    let payload = access_token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// In one line what the row says of the tokens, as in `2 of 1, seen, floor 1`.
pub(crate) async fn tokens_in_row(sql: &Client, id: SessionId) -> String {
    let select = "SELECT generation || coalesce(' of ' || root, '') || CASE WHEN seen THEN ', seen' ELSE '' END || \
                  ', floor ' || at_floor || coalesce(' but ' || at_root, '') \
                  FROM device_sessions.sessions WHERE id = $1";
    sql.query_one(select, &[&id.as_uuid()]).await.unwrap().get(0)
}

/// The whole row, to see that nothing has changed.
pub(crate) async fn whole_row(sql: &Client, id: SessionId) -> String {
    let select = "SELECT s::text FROM device_sessions.sessions s WHERE id = $1";
    sql.query_one(select, &[&id.as_uuid()]).await.unwrap().get(0)
}

pub(crate) async fn end_reason(sql: &Client, id: SessionId) -> Option<String> {
    let select = "SELECT end_reason FROM device_sessions.sessions WHERE id = $1";
    sql.query_one(select, &[&id.as_uuid()]).await.unwrap().get(0)
}

pub(crate) async fn is_seen(sql: &Client, id: SessionId) -> bool {
    let select = "SELECT seen FROM device_sessions.sessions WHERE id = $1";
    sql.query_one(select, &[&id.as_uuid()]).await.unwrap().get(0)
}

/// Time passes for the rule: the grace is ten seconds.
pub(crate) async fn past_the_grace(sql: &Client, id: SessionId) {
    let update = "UPDATE device_sessions.sessions SET consumed_at = consumed_at - interval '11 s', \
                  handed_at = handed_at - interval '11 s', broken_at = broken_at - interval '11 s' WHERE id = $1";
    assert_eq!(sql.execute(update, &[&id.as_uuid()]).await.unwrap(), 1);
}

/// Waits until so many backends of this database wait for a lock.
pub(crate) async fn waiting_for_locks(sql: &Client, count: i64) {
    let select = "SELECT count(*) FROM pg_stat_activity \
                  WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually(&format!("{count} wait for a lock"), || async {
        sql.query_one(select, &[]).await.unwrap().get::<_, i64>(0) == count
    })
    .await;
}

/// Refresh as one writes it first: read the row, compare, write a new random token. Whatever goes wrong is "signed out".
pub(crate) mod naive {
    use tokio_postgres::Client;
    use uuid::Uuid;

    /// A table with one session, and its token.
    pub(crate) async fn table(sql: &Client) -> Uuid {
        let create = "CREATE TABLE naive (token uuid NOT NULL, ended bool NOT NULL DEFAULT false)";
        sql.batch_execute(create).await.unwrap();
        let first = Uuid::now_v7();
        sql.execute("INSERT INTO naive VALUES ($1)", &[&first]).await.unwrap();
        first
    }

    /// Whether this token would do, as the row has it now.
    pub(crate) async fn read(sql: &Client, presented: Uuid) -> bool {
        let row = sql.query_one("SELECT token, ended FROM naive", &[]).await;
        row.is_ok_and(|row| row.get::<_, Uuid>(0) == presented && !row.get::<_, bool>(1))
    }

    pub(crate) async fn write(sql: &Client) -> Option<Uuid> {
        let successor = Uuid::now_v7();
        sql.execute("UPDATE naive SET token = $1", &[&successor]).await.ok()?;
        Some(successor)
    }

    pub(crate) async fn refresh(sql: &Client, presented: Uuid) -> Option<Uuid> {
        if read(sql, presented).await { write(sql).await } else { None }
    }
}
