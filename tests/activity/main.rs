//! When a session was last seen: what counts, how it is written down, and what becomes of it when something breaks.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

#[path = "../support/gate.rs"]
mod gate;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/node.rs"]
mod node;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/stall.rs"]
mod stall;
#[path = "../support/mod.rs"]
mod support;

mod crash;
mod idle_two_nodes;
mod locks;
mod model;
mod outage;
mod what_counts;
mod written;
