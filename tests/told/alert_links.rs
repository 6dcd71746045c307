//! "No, that was not me": the link in the mail. GET shows, POST does, once; and nobody else's link does anything.

#![cfg(all(feature = "postgres", feature = "routes", feature = "test-util"))]

mod faults;
mod page;
mod refused;
mod used;

use axum::{Router, http::Method};
use http::{Answer, Sent, ask};

use crate::{gate, http, log, notices, notified, proxy, support};

/// What a scanner of mails does with a link: all that it thinks harmless, as it likes and as often.
async fn scan(app: &Router, uri: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    for (method, header) in [
        (Method::GET, ("user-agent", "a scanner")),
        (Method::HEAD, ("user-agent", "a scanner")),
        (Method::GET, ("sec-purpose", "prefetch;prerender")),
        (Method::GET, ("accept", "application/json")),
        (Method::OPTIONS, ("origin", "https://mail.example.com")),
        (Method::GET, ("range", "bytes=0-99")),
        (Method::GET, ("user-agent", "another one")),
    ] {
        let sent: [Sent; 1] = [(header.0, header.1.to_owned())];
        answers.push(ask(app, method, uri, &sent).await);
    }
    answers
}

async fn get(app: &Router, link: &str) -> Answer {
    http::get(app, &format!("/alerts/{link}"), &[]).await
}

async fn post(app: &Router, link: &str) -> Answer {
    http::post(app, &format!("/alerts/{link}"), &[]).await
}
