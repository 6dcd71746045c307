//! The store in Postgres: its schema, its connections, and both gone wrong.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

#[path = "../support/cluster.rs"]
mod cluster;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/naive.rs"]
mod naive;
#[path = "../support/node.rs"]
mod node;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/world.rs"]
mod world;

mod admit;
mod durability;
mod faults;
mod forgets;
mod migration;
mod pgbouncer;
mod postgres;
mod tls;
