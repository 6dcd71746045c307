//! What stands on the other side of a webhook: it makes sure who sent it, takes each event once, and prints it.
//!
//! ```sh
//! export WEBHOOK_SECRET=whsec_$(openssl rand -base64 32)    # the sender has the same
//! cargo run --example webhook_receiver
//! ```
//!
//! | environment | meaning |
//! |---|---|
//! | `WEBHOOK_SECRET` | what the sender signs with; required |
//! | `BIND` | where to listen, if not at 127.0.0.1:3001 |
//!
//! It needs nothing of this crate: any sender will do that follows [Standard Webhooks](https://www.standardwebhooks.com),
//! and any language. What `verify` does is in that project's libraries too; here it is in the open.

#![expect(clippy::print_stdout, reason = "it talks to people in a terminal")]

use std::{
    collections::{HashSet, VecDeque},
    env,
    error::Error as StdError,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::hmac;
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

/// Either way, in seconds. What somebody has recorded cannot be sent again later than this.
const TOLERANCE: u64 = 5 * 60;
/// An event has less than one KiB.
const LARGEST: usize = 64 * 1024;
/// How many ids are remembered.
const REMEMBERED: usize = 10_000;

struct Receiver {
    key: hmac::Key,
    seen: Mutex<Seen>,
}

/// The whole of it, the id and the time included, must be signed by whoever has the secret, and just now. Returns the id.
fn verify<'a>(key: &hmac::Key, headers: &'a HeaderMap, body: &[u8]) -> Option<&'a str> {
    let text = |name| headers.get(name)?.to_str().ok();
    let (id, timestamp) = (text("webhook-id")?, text("webhook-timestamp")?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    if now.abs_diff(timestamp.parse().ok()?) > TOLERANCE {
        return None;
    }
    // The bytes as they came: JSON that is read and written again may differ.
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    // Several while the sender changes its secret. `hmac::verify` takes as long for a wrong one as for the right one.
    let genuine = text("webhook-signature")?
        .split(' ')
        .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok())
        .any(|signature| hmac::verify(key, &signed, &signature).is_ok());
    genuine.then_some(id)
}

/// The sender takes 2xx for "I have it", and tries again after anything else.
async fn receive(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Some(id) = verify(&receiver.key, &headers, &body) else { return StatusCode::UNAUTHORIZED };
    let Ok(event) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    let mut seen = receiver.seen.lock().unwrap_or_else(PoisonError::into_inner);
    // Said before, but the answer was lost on its way.
    if seen.has(id) {
        return StatusCode::NO_CONTENT;
    }
    // Here an application does its work, or puts it in a queue if it takes longer than a second or so. Types that it does
    // not know it passes over. As JSON: nothing that a user has written can pretend to be another line.
    println!("{} {}", event["type"], event["data"]);
    seen.add(id);
    StatusCode::NO_CONTENT
}

/// The ids of what was taken. An application that must not do its work twice, not even after a restart, has them in a
/// unique column and adds them in the transaction that does the work.
#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    oldest_first: VecDeque<String>,
}

impl Seen {
    fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    fn add(&mut self, id: &str) {
        if self.oldest_first.len() == REMEMBERED
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.ids.insert(id.to_owned());
        self.oldest_first.push_back(id.to_owned());
    }
}

/// `whsec_` and base64.
fn key() -> Result<hmac::Key, &'static str> {
    let secret = env::var("WEBHOOK_SECRET").map_err(|_| "WEBHOOK_SECRET is not set: give it the sender's secret")?;
    let secret = secret.strip_prefix("whsec_").and_then(|encoded| STANDARD.decode(encoded).ok());
    let secret = secret.filter(|secret| secret.len() >= 24);
    let secret = secret.ok_or("WEBHOOK_SECRET is not `whsec_` and the base64 of 24 bytes or more")?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &secret))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let receiver = Arc::new(Receiver { key: key()?, seen: Mutex::default() });
    let app = Router::new().route("/webhook", post(receive)).layer(DefaultBodyLimit::max(LARGEST)).with_state(receiver);
    let bind = env::var("BIND").unwrap_or_else(|_| "127.0.0.1:3001".to_owned());
    let listener = tokio::net::TcpListener::bind(&bind).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let stop = async { _ = tokio::signal::ctrl_c().await };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    Ok(())
}
