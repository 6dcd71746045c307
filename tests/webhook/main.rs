//! Webhooks over real HTTP: what is sent, byte for byte, and that the official library of Standard Webhooks takes it for
//! genuine; what each answer means; receivers that redirect, hang, or never stop talking; what never gets into a log.

#![cfg(all(feature = "webhook", feature = "test-util"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod answers;
#[cfg(feature = "tls")]
mod certificate;
mod endpoint;
mod example;
mod faults;
#[path = "../support/process.rs"]
mod process;
mod sending;
mod settings;

use axum_device_sessions::{EventKind, Message, NotDelivered, Notice, Webhook};

/// Of the examples that Standard Webhooks publishes.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn webhook(url: &str) -> Webhook {
    Webhook::new(url, SECRET).unwrap()
}

fn ended() -> Notice {
    Notice::fake(EventKind::SessionEnded, Message::Event)
}

/// All that a log could say of it: what it is, as its caller and as a programmer sees it, and every cause.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(|error| format!("{error} | {error:?}")).collect::<Vec<_>>().join("\n")
}

fn refused(failure: &NotDelivered) -> bool {
    failure.to_string() == "cannot be delivered"
}

/// Which pause it asks for. Only the worker has to know, so there is no other way to see it from here.
fn pause(failure: &NotDelivered) -> Option<f64> {
    let shown = format!("{failure:?}");
    assert!(shown.contains("what: Retry { after: "), "{shown}");
    let (_, rest) = shown.split_once("after: Some(")?;
    Some(rest.split_once("s)").unwrap().0.parse().unwrap())
}
