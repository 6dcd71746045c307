//! The quickstart as anybody can drive it from outside: what it prints, what it takes, how it stops.

#![expect(clippy::unwrap_used, reason = "a test, its helpers included")]

mod support;

#[path = "support/process.rs"]
mod process;
#[path = "quickstart/signing_in.rs"]
mod signing_in;
#[path = "support/streams.rs"]
mod streams;

use std::time::{Duration, Instant};

use process::Quickstart;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use streams::Events;
use support::{TestDb, eventually};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const SECRET: &str = "the-tests-own-secret-0123456789abcdef";
const PASSWORD: &str = "swordfish";
/// Activity is written at the end alone.
const LATE: (&str, &str) = ("ACTIVITY_INTERVAL_MS", "3600000");

/// With a password. The test's server asks for none, so it is not looked at.
fn url_with_password(db: &TestDb) -> String {
    db.url().replace("postgres@", &format!("postgres:{PASSWORD}@"))
}

fn http() -> Client {
    Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap()
}

async fn login(node: &Quickstart) -> Value {
    let body = json!({ "username": "ahmed", "password": "demo" });
    let answer = http().post(node.url("/auth/login")).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.unwrap()
}

async fn get(node: &Quickstart, path: &str, token: Option<&str>) -> (StatusCode, Value) {
    let request = http().get(node.url(path));
    let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

fn token(login: &Value) -> &str {
    login["access_token"].as_str().unwrap()
}

#[tokio::test]
async fn two_of_them_on_one_database_are_one_cluster_and_stop_cleanly() {
    let db = TestDb::new().await;
    let url = url_with_password(&db);
    // All there is to log, in order to see that no secret is in it.
    let environment = [("DATABASE_URL", url.as_str()), ("SIGNING_SECRET", SECRET), ("RUST_LOG", "trace"), LATE];
    let (a, b) = tokio::join!(Quickstart::serving(&environment), Quickstart::serving(&environment));

    let (on_a, on_b) = (login(&a).await, login(&b).await);
    assert_eq!(get(&b, "/me", Some(token(&on_a))).await.0, StatusCode::OK);
    assert_eq!(get(&a, "/me", Some(token(&on_b))).await.0, StatusCode::OK);
    let (_, devices) = get(&b, "/sessions", Some(token(&on_a))).await;
    assert_eq!(devices.as_array().unwrap().len(), 2, "{devices}");

    let database = db.connect().await;
    let last_activity = async || -> OffsetDateTime {
        let row = "SELECT last_activity_at FROM device_sessions.sessions WHERE id = $1";
        let id: uuid::Uuid = on_a["session"]["id"].as_str().unwrap().parse().unwrap();
        database.query_one(row, &[&id]).await.unwrap().get(0)
    };
    let before = last_activity().await;
    // Activity is kept in steps of some milliseconds: let it make one.
    let since = Instant::now();
    eventually("a later request", || async {
        get(&a, "/me", Some(token(&on_a))).await.0 == StatusCode::OK && since.elapsed() > Duration::from_millis(100)
    })
    .await;
    assert_eq!(last_activity().await, before, "not written by the request itself");

    let secrets = [PASSWORD, SECRET, token(&on_a), token(&on_b)].map(str::to_owned);
    for (node, signal) in [(a, "TERM"), (b, "INT")] {
        let ended = node.stop(signal).await;
        assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
        assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
        for secret in &secrets {
            let line = ended.output.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "{secret} is printed");
        }
        assert!(ended.output.contains(&format!("/{}\n", db.name())), "the store is named: {}", ended.output);
    }
    let moved = last_activity().await - before;
    assert!(moved > Duration::from_millis(80), "written on SIGTERM, to the last: {moved}");
}

#[tokio::test]
async fn a_client_that_never_finishes_its_request_does_not_keep_it() {
    let db = TestDb::new().await;
    let node = Quickstart::serving(&[("DATABASE_URL", db.url())]).await;
    let mut client = TcpStream::connect(node.address()).await.unwrap();
    // It is in the middle of this request once it has asked for the rest.
    client
        .write_all(
            b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
              Content-Length: 100\r\nExpect: 100-continue\r\n\r\n",
        )
        .await
        .unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, *b"HTTP/1.1 100");
    let ended = node.stop("TERM").await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
    assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
}

/// What becomes of a server that does not close them is in tests/coherence/live_streams_http.rs.
#[tokio::test]
async fn open_streams_of_events_do_not_keep_it_and_end_cleanly() {
    let db = TestDb::new().await;
    let node = Quickstart::serving(&[("DATABASE_URL", db.url())]).await;
    let ahmed = login(&node).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(Events::open(http().get(node.url("/sessions/events")).bearer_auth(token(&ahmed))).await);
    }
    let ended = node.stop("TERM").await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
    assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
    for stream in streams {
        // Chunk by chunk to the last, and no word of an end.
        assert_eq!(stream.all_it_says().await, "");
    }
}

#[tokio::test]
async fn its_routes_answer_as_promised() {
    let db = TestDb::new().await;
    let node = Quickstart::serving(&[("DATABASE_URL", db.url()), ("LISTEN_URL", db.url())]).await;
    let ahmed = login(&node).await;
    assert_eq!((&ahmed["token_type"], &ahmed["session"]["isCurrent"]), (&json!("Bearer"), &json!(true)));

    let me = json!({
        "user": "ahmed", "sessionId": ahmed["session"]["id"], "deviceName": ahmed["session"]["deviceName"],
    });
    assert_eq!(get(&node, "/me", Some(token(&ahmed))).await, (StatusCode::OK, me));
    assert_eq!(get(&node, "/me", None).await.1["code"], "missing_token");
    assert_eq!(get(&node, "/public", None).await, (StatusCode::OK, json!({ "user": null })));
    assert_eq!(get(&node, "/public", Some(token(&ahmed))).await.1, json!({ "user": "ahmed" }));
    eventually("the node is told of changes, over LISTEN_URL", || async {
        let (status, health) = get(&node, "/health", None).await;
        status == StatusCode::OK && health["coherence"] == "lease"
    })
    .await;

    for (username, password, status) in [
        ("lena", "demo", 200),
        ("sam", "demo", 200),
        ("user-4711", "demo", 200),
        ("ahmed", "Demo", 401),
        ("mallory", "demo", 401),
        ("user-", "demo", 401),
        ("user-+1", "demo", 401),
    ] {
        let body = json!({ "username": username, "password": password });
        // A stale token does not matter here.
        let request = http().post(node.url("/auth/login")).bearer_auth("x.y.z").json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{username} {password}");
        if status == 401 {
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
            assert_eq!(answer.json::<Value>().await.unwrap()["code"], "wrong_credentials");
        }
    }
    let logout = async || http().post(node.url("/auth/logout")).bearer_auth(token(&ahmed)).send().await.unwrap();
    assert_eq!(logout().await.status(), StatusCode::NO_CONTENT);
    assert_eq!(logout().await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_setting_that_makes_no_sense_is_refused() {
    let db = TestDb::new().await;
    for (settings, told) in [
        (&[("MAX_STALENESS_MS", "soon")][..], "MAX_STALENESS_MS is \"soon\""),
        (&[("ACTIVITY_INTERVAL_MS", "1.5")], "ACTIVITY_INTERVAL_MS is"),
        (&[("IDLE_TIMEOUT_MS", "-1")], "IDLE_TIMEOUT_MS is"),
        (&[("ABSOLUTE_LIFETIME_MS", "0")], "ABSOLUTE_LIFETIME_MS is"),
        (&[("ACCESS_TOKEN_TTL_MS", "")], "ACCESS_TOKEN_TTL_MS is empty"),
        (&[("ACCESS_TOKEN_TTL_MS", "18446744073709551615")], "access_token_ttl"),
        (&[("IDLE_TIMEOUT_MS", "2000"), ("ACTIVITY_INTERVAL_MS", "1000")], "activity_interval"),
        (&[("SIGNING_SECRET", "tiny-secret")], "32"),
        (&[("MAX_SESSIONS", "0")], "MAX_SESSIONS is \"0\": give a whole number, 1 or more"),
        (&[("MAX_SESSIONS", "many")], "MAX_SESSIONS is \"many\""),
        (&[("MAX_SESSIONS", "-1")], "MAX_SESSIONS is \"-1\""),
        (&[("MAX_SESSIONS", "4294967296")], "MAX_SESSIONS is"),
        (&[("MAX_SESSIONS", "")], "MAX_SESSIONS is empty"),
        (&[("ON_LIMIT", "refuse")], "ON_LIMIT says what happens at MAX_SESSIONS, which is not set"),
        (&[("MAX_SESSIONS", "2"), ("ON_LIMIT", "Refuse")], "end_least_recently_active, end_oldest or refuse"),
        (&[("TRUSTED_PROXIES", "here")], "TRUSTED_PROXIES"),
        (&[("TRUSTED_PROXIES", "127.0.0.0/8,")], "TRUSTED_PROXIES"),
        (&[("COUNTRY_HEADER", "CF-IPCountry")], "COUNTRY_HEADER is believed of TRUSTED_PROXIES, which is not set"),
        (&[("WEBHOOK_URL", "https://example.com")], "WEBHOOK_URL and WEBHOOK_SECRET are of no use without each other"),
        (&[("WEBHOOK_URL", "http://example.com"), ("WEBHOOK_SECRET", "x")], "https"),
        (&[("BIND", "here")], "BIND is \"here\""),
        (&[("RUST_LOG", "quick=start=x")], "RUST_LOG"),
        (&[("DATABASE_URL", "postgres://u:swordfish@host:port/x")], "DATABASE_URL cannot be read"),
        (&[("DATABASE_URL", "postgres://u:swordfish@127.0.0.1:1/x?sslmode=perhaps")], "sslmode"),
        (&[("DATABASE_URL", "host=127.0.0.1 password=swordfish port=x")], "cannot be read"),
        (&[("LISTEN_URL", "postgres://u:swordfish@host:port/x")], "LISTEN_URL cannot be read"),
    ] {
        let environment = [&[("DATABASE_URL", db.url())], settings].concat();
        let ended = Quickstart::run(&[], &environment).await;
        assert_eq!(ended.status.code(), Some(2), "{settings:?}: {}", ended.output);
        assert!(ended.output.contains(told), "{settings:?}: {}", ended.output);
        assert!(!ended.output.contains("tiny-secret") && !ended.output.contains(PASSWORD), "{}", ended.output);
        assert!(!ended.output.contains("panicked"), "{}", ended.output);
    }
    let ended = Quickstart::run(&["--storey"], &[]).await;
    assert_eq!(ended.status.code(), Some(2), "{}", ended.output);
    assert!(ended.output.contains("usage:"), "{}", ended.output);
}

#[tokio::test]
async fn a_short_life_is_taken_as_given() {
    let db = TestDb::new().await;
    let node = Quickstart::serving(&[
        ("DATABASE_URL", db.url()),
        ("ABSOLUTE_LIFETIME_MS", "8000"),
        ("MAX_STALENESS_MS", "5000"),
    ])
    .await;
    let ahmed = login(&node).await;
    let me = async || get(&node, "/me", Some(token(&ahmed))).await;
    assert_eq!(me().await.0, StatusCode::OK);
    eventually("its absolute lifetime is over", || async { me().await.0 == StatusCode::UNAUTHORIZED }).await;
}

#[tokio::test]
async fn the_story_is_told_to_its_end_also_where_others_tell_it() {
    let db = TestDb::new().await;
    let environment = [("DATABASE_URL", db.url())];
    let story = || Quickstart::run(&["--story"], &environment);
    let (one, another) = tokio::join!(story(), story());
    for told in [one, another] {
        assert_eq!(told.status.code(), Some(0), "{}", told.output);
        assert!(told.output.starts_with("store: postgres at 127.0.0.1:"), "{}", told.output);
        assert!(told.output.contains("In the database it was last active"), "{}", told.output);
        assert!(told.output.ends_with("Every answer was as it should be.\n"), "{}", told.output);
    }
}
