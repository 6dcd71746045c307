//! What is told, to the letter: names and JSON are a contract with whoever receives them, the same on every store.

#![cfg(all(feature = "jwks", feature = "postgres", feature = "routes", feature = "test-util"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "support/accepting.rs"]
mod accepting;
#[path = "events/actors.rs"]
mod actors;
#[path = "events/earlier.rs"]
mod earlier;
#[path = "events/foreign.rs"]
mod foreign;
#[path = "support/http.rs"]
mod http;
#[path = "support/idp.rs"]
mod idp;
#[path = "events/json.rs"]
mod json;
#[path = "support/notices.rs"]
mod notices;
#[path = "support/notified.rs"]
mod notified;
#[path = "events/odd_rows.rs"]
mod odd_rows;
#[path = "events/rights.rs"]
mod rights;
mod support;
