//! Sessions begin: signing in, how many of them a user may have, and taking over those of another library.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

#[path = "../support/cluster.rs"]
mod cluster;
#[path = "../support/dropped.rs"]
mod dropped;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/mod.rs"]
mod support;

mod admit_cancellation;
mod admit_deadlocks;
mod admit_faults;
mod import;
mod limit;
mod limit_locks;
mod limit_rules;
mod signing_in;
