//! The same device signs in again: its earlier session is replaced, and it is not new.

#![cfg(all(feature = "postgres", feature = "routes"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "known_devices/cookie.rs"]
mod cookie;
#[path = "support/http.rs"]
mod http;
#[path = "known_devices/privacy.rs"]
mod privacy;
#[path = "known_devices/race.rs"]
mod race;
#[path = "known_devices/replaced.rs"]
mod replaced;
#[path = "support/site_of_two.rs"]
mod site;
mod support;

/// An id as an app makes it when it is installed.
const INSTALLED: &str = "8b0f6c2e-1f1d-4f6c-9a5e-7d1c2b3a4f50";
