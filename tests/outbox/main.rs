//! What is to be told and has not been yet: several nodes that share it, receivers that fail, processes that die, odd rows.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

#[path = "../support/notices.rs"]
mod notices;
#[path = "../support/outbox.rs"]
mod outbox;
#[path = "../support/mod.rs"]
mod support;

mod crash;
mod nodes;
mod odd;
mod receivers;
