//! What was ended is refused on every node, in every order in which things may happen.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

#[path = "../support/cluster.rs"]
mod cluster;
#[path = "../support/dropped.rs"]
mod dropped;
#[path = "../support/gate.rs"]
mod gate;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/naive.rs"]
mod naive;
#[path = "../support/node.rs"]
mod node;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/stall.rs"]
mod stall;
#[path = "../support/streams.rs"]
mod streams;
#[path = "../support/mod.rs"]
mod support;

mod cancellation;
mod live_streams;
mod live_streams_http;
mod regressions;
mod regressions_devices;
mod stale_set_race;
mod told;
