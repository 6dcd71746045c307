//! The layer, its extractors and its routes, and what they are told of a request.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/http.rs"]
mod http;
#[path = "../support/keys.rs"]
mod keys;
#[path = "../support/mmdb.rs"]
mod mmdb;
#[path = "../support/served.rs"]
mod served;
#[path = "../support/site.rs"]
mod site;
#[path = "../support/mod.rs"]
mod support;

mod checks;
mod client_ip;
mod config;
mod fakes;
mod jwks;
mod location;
mod locator;
mod nested;
mod routes;
mod service;
