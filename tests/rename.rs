//! `PATCH /sessions/{id}`: a name of the owner's, which stays with the device.

#![cfg(all(feature = "postgres", feature = "routes"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "support/gate.rs"]
mod gate;
#[path = "support/http.rs"]
mod http;
#[path = "rename/names.rs"]
mod names;
#[path = "rename/outage.rs"]
mod outage;
#[path = "support/site_of_two.rs"]
mod site;
mod support;
#[path = "rename/whose.rs"]
mod whose;

use axum::{
    Router,
    body::Body,
    http::{Request, header},
};
use http::{Answer, Sent, ask_with};
use serde_json::{Value, json};

async fn patch(app: &Router, id: &str, body: impl Into<Body>, sent: &[Sent]) -> Answer {
    let request = Request::patch(format!("/sessions/{id}")).header(header::CONTENT_TYPE, "application/json");
    let request = sent.iter().fold(request, |request, (name, value)| request.header(*name, value));
    let answer = ask_with(app, request.body(body.into()).unwrap()).await;
    assert_eq!(answer.header(&header::CACHE_CONTROL), Some("no-store"));
    answer
}

async fn rename(app: &Router, id: &str, name: impl Into<Value>, sent: &[Sent]) -> Answer {
    patch(app, id, json!({ "deviceName": name.into() }).to_string(), sent).await
}
