//! Between the password and the second factor there is no session, only the way to one.

#![cfg(all(feature = "postgres", feature = "routes"))]

mod confirmed;
mod ends;
mod faults;
mod on_issue;
mod opens_nothing;
mod policies;
mod races;
mod replaces;

use std::sync::{Arc, Mutex};

use axum::{Router, http::Method, routing::get as to};
use axum_device_sessions::Error;
use http::{Answer, get};
use serde_json::json;
use site::{Browser, In, Node};

use crate::{gate, http, site, support};

const REQUIRED: &str = "401 second_factor_required";

/// The password was right, and this client has still to show the other factor.
async fn half_in(browser: &mut Browser, node: &Node, user: &str, cookie: bool) -> In {
    let wanted = json!({ "user": user, "cookie": cookie, "second_factor": true });
    let answer = browser.login_with(node, &wanted).await;
    let half = browser.is_in(&answer);
    assert_eq!(half.body["second_factor_required"], true);
    half
}

/// Its second factor is right. A browser has its cookie in the jar; other clients send their token.
async fn confirm(browser: &mut Browser, node: &Node, half: &In) -> Answer {
    let by_cookie = half.body["access_token"].is_null();
    browser.headers = if by_cookie { Vec::new() } else { half.sent.to_vec() };
    let answer = browser.send(&node.app, Method::POST, "/second-factor", None).await;
    browser.headers.clear();
    answer
}

async fn confirmed(browser: &mut Browser, node: &Node, half: &In) -> In {
    let answer = confirm(browser, node, half).await;
    assert_eq!(answer.header(&axum::http::header::CACHE_CONTROL), Some("no-store"));
    browser.is_in(&answer)
}

/// In one line what the row says.
async fn row(sql: &tokio_postgres::Client, id: &str) -> String {
    let select = "SELECT CASE WHEN pending THEN 'pending' ELSE 'full' END || coalesce(' ' || end_reason, '') \
                  FROM device_sessions.sessions WHERE id::text = $1";
    sql.query_one(select, &[&id]).await.unwrap().get(0)
}

/// What a handler that ends in this error is answered.
async fn answer_to(error: Error) -> Answer {
    let slot = Arc::new(Mutex::new(Some(error)));
    let app = Router::new().route("/", to(async move || slot.lock().unwrap().take().unwrap()));
    get(&app, "/", &[]).await
}
