//! Trading a refresh token for a new pair: what the database holds then, what clients hear, and every way in which it is cut short.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

#[path = "../support/dropped.rs"]
mod dropped;
#[path = "../support/gate.rs"]
mod gate;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/refresh.rs"]
mod refresh;
#[path = "../support/stall.rs"]
mod stall;
#[path = "../support/mod.rs"]
mod support;

mod cancellation;
mod claims;
mod confirmation;
mod faults;
mod fresh;
mod lost_answer;
mod on_issue;
mod over_http;
mod reauthentication;
mod rotation;
mod secrets;
mod settings;
