//! What is settled at a sign-in, from outside.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::process::Quickstart;
use super::support::{TestDb, eventually};
use super::{get, http, login, token};

async fn post(node: &Quickstart, path: &str, credential: &str, body: &Value) -> (StatusCode, Value) {
    let answer = http().post(node.url(path)).bearer_auth(credential).json(body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test]
async fn so_many_sessions_and_no_more() {
    let db = TestDb::new().await;
    let node =
        Quickstart::serving(&[("DATABASE_URL", db.url()), ("MAX_SESSIONS", "2"), ("ON_LIMIT", "end_oldest")]).await;
    let [first, second, third] = [login(&node).await, login(&node).await, login(&node).await];
    let (status, problem) = get(&node, "/me", Some(token(&first))).await;
    assert_eq!((status.as_u16(), &problem["reason"]), (401, &json!("limit")));
    for kept in [&second, &third] {
        assert_eq!(get(&node, "/me", Some(token(kept))).await.0, StatusCode::OK);
    }
    let (_, listed) = get(&node, "/sessions", Some(token(&third))).await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
    // As it is where nobody says what then.
    let by_default = Quickstart::serving(&[("DATABASE_URL", db.url()), ("MAX_SESSIONS", "1")]).await;
    let only = login(&by_default).await;
    let (_, listed) = get(&by_default, "/sessions", Some(token(&only))).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);

    let environment = [("DATABASE_URL", db.url()), ("MAX_SESSIONS", "1"), ("ON_LIMIT", "refuse")];
    let refuses = Quickstart::serving(&environment).await;
    let ahmed = json!({ "username": "ahmed", "password": "demo" });
    let (status, problem) = post(&refuses, "/auth/login", "", &ahmed).await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("session_limit_reached")));
    assert_eq!(problem["sessions"][0]["id"], only["session"]["id"]);
    let ended = node.stop("TERM").await;
    assert!(!ended.output.contains("has no effect"), "{}", ended.output);
}

#[tokio::test]
async fn mia_has_a_second_factor() {
    let db = TestDb::new().await;
    let node = Quickstart::serving(&[("DATABASE_URL", db.url())]).await;
    let mia = json!({ "username": "mia", "password": "demo" });
    let (status, half) = post(&node, "/auth/login", "", &mia).await;
    assert_eq!((status.as_u16(), &half["second_factor_required"]), (200, &json!(true)));
    assert_eq!(half.get("refresh_token"), None);
    let (status, problem) = get(&node, "/me", Some(token(&half))).await;
    assert_eq!((status.as_u16(), &problem["code"]), (401, &json!("second_factor_required")));

    let wrong = post(&node, "/auth/second-factor", token(&half), &json!({ "code": "654321" })).await;
    assert_eq!((wrong.0.as_u16(), &wrong.1["code"]), (401, &json!("wrong_credentials")));
    let (status, full) = post(&node, "/auth/second-factor", token(&half), &json!({ "code": "123456" })).await;
    assert_eq!(status, StatusCode::OK, "{full}");
    assert_eq!(get(&node, "/me", Some(token(&full))).await.1["user"], "mia");
    assert_eq!(full["session"]["id"], half["session"]["id"]);
    let (status, _) = get(&node, "/me", Some(token(&half))).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let ahmed = login(&node).await;
    let (status, problem) = post(&node, "/auth/second-factor", token(&ahmed), &json!({ "code": "123456" })).await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("not_pending")), "nothing to confirm");
}

/// Of proxies that are trusted, and of nobody else.
#[tokio::test]
async fn where_a_client_is() {
    let db = TestDb::new().await;
    let address = async |node: &Quickstart| {
        let request = http().post(node.url("/auth/login")).header("x-forwarded-for", "198.51.100.9, 203.0.113.7");
        let answer = request.json(&json!({ "username": "ahmed", "password": "demo" })).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["session"]["ipAddress"].clone()
    };
    let trusting = [("DATABASE_URL", db.url()), ("TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8")];
    assert_eq!(address(&Quickstart::serving(&trusting).await).await, "203.0.113.7");
    assert_eq!(address(&Quickstart::serving(&[("DATABASE_URL", db.url())]).await).await, "127.0.0.1");
    let elsewhere = [("DATABASE_URL", db.url()), ("TRUSTED_PROXIES", "10.0.0.0/8")];
    assert_eq!(address(&Quickstart::serving(&elsewhere).await).await, "127.0.0.1");
}

/// The first device ever is silent; a client without cookies is a new one each time.
#[tokio::test]
async fn a_second_device_is_told() {
    let db = TestDb::new().await;
    let node = Quickstart::serving(&[("DATABASE_URL", db.url())]).await;
    let first = login(&node).await;
    login(&node).await;
    eventually("both are listed", async || {
        get(&node, "/sessions", Some(token(&first))).await.1.as_array().is_some_and(|list| list.len() == 2)
    })
    .await;
    let ended = node.stop("TERM").await;
    let told: Vec<_> = ended.output.lines().filter(|line| line.starts_with("unusual sign-in of ")).collect();
    assert_eq!(told, ["unusual sign-in of ahmed on Unknown device: new_device"], "{}", ended.output);
}
