//! Who is told of a sign-in, and of which: a table, on every store; and what cannot be said in a table.

#![cfg(all(feature = "postgres", feature = "routes", feature = "test-util"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "support/http.rs"]
mod http;
#[path = "support/notices.rs"]
mod notices;
#[path = "support/notified.rs"]
mod notified;
#[path = "alerts/races.rs"]
mod races;
mod support;
#[path = "alerts/table.rs"]
mod table;
#[path = "alerts/told.rs"]
mod told;
