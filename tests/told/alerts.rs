//! Who is told of a sign-in, and of which: a table, on every store; and what cannot be said in a table.

#![cfg(all(feature = "postgres", feature = "routes", feature = "test-util"))]

mod races;
mod table;
mod told;
