//! Tokens of other issuers, and what those say of their users' sessions.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

#[path = "../support/accepting.rs"]
mod accepting;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/idp.rs"]
mod idp;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/stall.rs"]
mod stall;
#[path = "../support/mod.rs"]
mod support;

mod accepted;
mod adopting;
mod adopting_faults;
mod backchannel_logout;
mod backchannel_refused;
mod issuer_keys;
