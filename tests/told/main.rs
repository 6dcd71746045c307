//! Who is told of what: a sign-in that somebody should know of, its link, the devices by push, the application by events.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

#[path = "../support/accepting.rs"]
mod accepting;
#[path = "../support/gate.rs"]
mod gate;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/idp.rs"]
mod idp;
#[path = "../support/log.rs"]
mod log;
#[path = "../support/notices.rs"]
mod notices;
#[path = "../support/notified.rs"]
mod notified;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/mod.rs"]
mod support;

mod alert_links;
mod alerts;
mod events;
mod notifiers;
mod push_targets;
