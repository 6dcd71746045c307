//! The same device signs in again: its earlier session is replaced, and it is not new.

#![cfg(all(feature = "postgres", feature = "routes"))]

mod cookie;
mod privacy;
mod race;
mod replaced;

/// An id as an app makes it when it is installed.
const INSTALLED: &str = "8b0f6c2e-1f1d-4f6c-9a5e-7d1c2b3a4f50";
