//! The notifier for APNs against a stand-in that speaks HTTP/2 and judges as Apple documents.

#![allow(clippy::unwrap_used, reason = "a test")]
#![cfg(feature = "apns")]

mod answers;
mod apple;
mod connection;
mod judge;
mod provider_tokens;
mod requests;
mod secrets;
mod tls;
mod wire;

use std::{error::Error, fmt::Write as _};

use apple::{Apple, KEY_ID, TEAM_ID, TOPIC};
use axum_device_sessions::{Apns, Clock, EventKind, Message, NotDelivered, Notice, PushTarget};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};

/// The device token of Apple's example, see `requests.rs`.
const DEVICE: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";

/// Apple, a notifier that sends to it, and their clocks.
struct World {
    apple: Apple,
    key: KeyPair,
    clock: Clock,
    apns: Apns,
}

impl World {
    async fn new() -> Self {
        Self::with_streams(100).await
    }

    /// So many requests at once on one connection.
    async fn with_streams(streams: u32) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let apple = Apple::start(key.public_key_raw(), streams).await;
        let clock = Clock::manual();
        let apns = another(&apple.url, &key).clock(clock.clone());
        Self { apple, key, clock, apns }
    }

    /// Time passes, here and in Cupertino.
    fn pass(&self, minutes: u64) {
        self.clock.advance(std::time::Duration::from_secs(minutes * 60));
        self.apple.pass(i64::try_from(minutes).unwrap() * 60);
    }
}

fn another(url: &str, key: &KeyPair) -> Apns {
    Apns::new(key.serialize_pem(), KEY_ID, TEAM_ID, TOPIC).unwrap().endpoint(url).unwrap()
}

fn force_logout(device: &str) -> Notice {
    Notice::fake(EventKind::SessionEnded, Message::ForceLogout { target: PushTarget::new("apns", device) })
}

fn new_login(device: &str) -> Notice {
    Notice::fake(EventKind::LoginNewDevice, Message::NewLogin { target: PushTarget::new("apns", device) })
}

/// Everything that a log could get to see of an error.
fn whole(error: &NotDelivered) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, " {error} {error:?}").unwrap();
        cause = error.source();
    }
    text
}
