//! Sessions begin: signing in, how many of them a user may have, and taking over those of another library.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

#[path = "../support/cluster.rs"]
mod cluster;
#[path = "../support/dropped.rs"]
mod dropped;
#[path = "../support/gate.rs"]
mod gate;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/site_of_two.rs"]
mod site;
#[path = "../support/mod.rs"]
mod support;

mod admit_cancellation;
mod admit_deadlocks;
mod admit_faults;
mod import;
mod known_devices;
mod limit;
mod limit_locks;
mod limit_rules;
mod second_factor;
mod signals;
mod signing_in;
