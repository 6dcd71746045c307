//! Sessions end: by their user, by an admin, by themselves; and what is kept of them.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

#[path = "../support/cluster.rs"]
mod cluster;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/node.rs"]
mod node;
#[path = "../support/site.rs"]
mod site;
#[path = "../support/stall.rs"]
mod stall;
#[path = "../support/mod.rs"]
mod support;

mod admin;
mod admin_ends;
mod admin_routes;
mod expiry;
mod expiry_batches;
mod history;
mod lifetimes;
mod logout;
mod retention;
