//! The OpenAPI document: it is one, it is complete, and it is true. Each status and code that it names is produced over real
//! HTTP, and nothing that it does not name was seen.

#![cfg(all(feature = "openapi", feature = "jwks", feature = "postgres"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod answers;
mod checker;
mod complete;
mod control;
mod document;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/idp.rs"]
mod idp;
#[path = "../support/notices.rs"]
mod notices;
mod outer;
#[path = "../support/mod.rs"]
mod support;
mod world;

use axum_device_sessions::routes::OpenApi;
use serde_json::Value;

/// Everything that can be mounted, where [`world`] mounts it.
fn everything() -> OpenApi {
    let with = || -> Result<OpenApi, axum_device_sessions::ConfigError> {
        OpenApi::new()
            .alerts_at("/alerts")?
            .jwks()?
            .admin_at("/admin/sessions")?
            .backchannel_logout_at("/auth/backchannel-logout")
    };
    with().unwrap()
}

/// Method, path and operation of each.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item)| {
        let item: &Value = item;
        let operations = item.as_object().unwrap().iter();
        operations.map(move |(method, operation)| (method.to_uppercase(), String::clone(path), operation))
    };
    paths.iter().flat_map(of).collect()
}
