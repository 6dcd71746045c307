//! Where a device is reached by push: it belongs to a session, serves once more when that ends, and is gone.

#![cfg(all(feature = "postgres", feature = "routes", feature = "test-util"))]

mod farewell;
mod late;
mod privacy;
mod races;
mod routes;

use axum::{
    Router,
    body::Body,
    http::{Method, Request},
};
use axum_device_sessions::{SignIn, SignedIn};
use http::{Answer, Sent, ask_with, bearer};
use notified::{World, caller};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::{http, log, notices, notified, support};

const PATH: &str = "/sessions/current/push-target";

async fn put_text(app: &Router, sent: &[Sent], body: impl Into<Body>) -> Answer {
    let request = Request::builder().method(Method::PUT).uri(PATH).header("content-type", "application/json");
    let request = sent.iter().fold(request, |request, (name, value)| request.header(*name, value));
    ask_with(app, request.body(body.into()).unwrap()).await
}

async fn put(app: &Router, sent: &[Sent], provider: &str, token: &str) -> Answer {
    put_text(app, sent, json!({ "provider": provider, "token": token }).to_string()).await
}

fn by(signed_in: &SignedIn) -> [Sent; 1] {
    [bearer(&signed_in.access_token)]
}

/// All targets that are kept, by their sessions.
async fn kept(sql: &Client) -> Vec<(String, String)> {
    let all = "SELECT session_id::text, token FROM device_sessions.push_targets ORDER BY token, session_id";
    sql.query(all, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The devices that are told when somebody signs in as this user now: the ones that are known, on either store.
async fn reached(world: &World, user: &str, device: &str) -> Vec<String> {
    let before: Vec<_> = world.notices(user).await.iter().map(|notice| notice.id).collect();
    let new = world.sign_in(SignIn::new(user).client(caller(device, None))).await;
    let told = world.since(user, &before).await;
    let target = axum_device_sessions::EndTarget::One { id: new.session.id, user: None };
    world.nodes[0].end(target, axum_device_sessions::EndReason::Logout, None).await.unwrap();
    let pushed = told.split(", ").filter_map(|one| one.strip_prefix("new_login ").map(str::to_owned));
    pushed.collect()
}

/// A problem of this code.
fn is_problem(answer: &Answer, line: &str) {
    assert_eq!(answer.line(), line);
    let problem: Value = answer.json();
    assert!(!problem.to_string().contains("secret-token"), "{problem}");
}
