//! What is told, to the letter: names and JSON are a contract with whoever receives them, the same on every store.

#![cfg(all(feature = "jwks", feature = "postgres", feature = "routes", feature = "test-util"))]

mod actors;
mod earlier;
mod foreign;
mod json;
mod odd_rows;
mod rights;
