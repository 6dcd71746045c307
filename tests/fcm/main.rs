//! Push by FCM, held against a server on the loopback address that speaks Google's two protocols as they are documented: the
//! exchange of a signed assertion for an access token, and messages.

#![cfg(all(feature = "fcm", feature = "test-util"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod account;
mod answers;
mod exchange;
mod flight;
mod google;
mod keys;
mod secrets;
mod sending;

use axum_device_sessions::{EventKind, Message, NotDelivered, Notice, PushTarget};

/// The registration token of the examples in <https://firebase.google.com/docs/cloud-messaging>, at full length.
const TARGET: &str = "bk3RNwTe3H0:CI2k_HHwgIpoDKCIZvvDMExUdFQ3P1-nB4Rk5uS0dKZqXo7vJb2w9yLmTtPzHfGeRcAxQiUsWnVk8O6a1YjC3D5E\
                      APA91bHun4MxP5egoKMwt2KZFBaFUH_1RYqxFFm";

fn target() -> PushTarget {
    PushTarget::new("fcm", TARGET)
}

fn force_logout() -> Notice {
    Notice::fake(EventKind::SessionEnded, Message::ForceLogout { target: target() })
}

fn new_login() -> Notice {
    Notice::fake(EventKind::LoginNewDevice, Message::NewLogin { target: target() })
}

/// Everything that a log could get of it.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{error} {error:?}");
    let mut beneath = error.source();
    while let Some(cause) = beneath {
        text.push_str(&format!(" | {cause} {cause:?}"));
        beneath = cause.source();
    }
    text
}

/// What is to become of the notice, as the worker is told.
fn becomes(error: &NotDelivered) -> String {
    let text = format!("{error:?}");
    let (_, what) = text.split_once("what: ").expect("it is said");
    what.split_once(", cause").expect("a cause").0.to_owned()
}

const RETRY: &str = "Retry { after: None }";
const REFUSED: &str = "Refused";
const GONE: &str = "Gone";

fn after(seconds: u64) -> String {
    format!("Retry {{ after: Some({seconds}s) }}")
}
