//! What an answer of APNs means.
//!
//! [Handling notification responses from APNs](https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns)

use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::super::NotDelivered;
use super::super::wire::{failed, wishes};

pub(super) enum Failure {
    /// Another provider token may help; with what APNs said.
    StaleProviderToken(String),
    Other(NotDelivered),
}

impl Failure {
    pub(super) fn into_error(self) -> NotDelivered {
        match self {
            Self::StaleProviderToken(cause) => {
                NotDelivered::retry(format!("{cause}, and the token is new: is this machine's clock right?"))
            }
            Self::Other(error) => error,
        }
    }
}

impl From<NotDelivered> for Failure {
    fn from(error: NotDelivered) -> Self {
        Self::Other(error)
    }
}

/// Of a refusal's JSON: `{"reason":"Unregistered","timestamp":1508249865488}`. The time is in milliseconds, and of 410 alone.
#[derive(Default)]
struct Refusal {
    reason: String,
    timestamp: Option<u64>,
}

const MAX_BODY: usize = 4_096;

pub(super) async fn judge(mut response: Response) -> Result<(), Failure> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let wish = wishes(&response);
    let refusal = refusal(&mut response).await;
    let mut cause = format!("APNs answered {} {}", status.as_u16(), refusal.reason);
    if let Some(since) = refusal.timestamp {
        cause.push_str(&format!(" (since {since} ms)"));
    }
    Err(match (status.as_u16(), refusal.reason.as_str()) {
        // Unregistered, ExpiredToken; or a token that never was one, or of the other service.
        (410, _) | (400, "BadDeviceToken") => NotDelivered::gone(cause).into(),
        (403, "ExpiredProviderToken") => Failure::StaleProviderToken(cause),
        // Good keys have had it for up to an hour (ostinelli/apnotic#109), so have new ones; and a mistake may be mended before
        // the attempts are used up. The other: the connection has been idle for too long, and the next one is another.
        (403, "InvalidProviderToken") | (400, "IdleTimeout") => NotDelivered::retry(cause).into(),
        // Of this device alone: no reason to spare all others.
        (429, "TooManyRequests") => NotDelivered::retry(cause).into(),
        _ => failed(status, wish, cause).into(),
    })
}

/// Whatever cannot be read has no reason: then the status decides.
async fn refusal(response: &mut Response) -> Refusal {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > MAX_BODY {
            return Refusal::default();
        }
        body.extend_from_slice(&chunk);
    }
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    let reason = json.get("reason").and_then(Value::as_str).unwrap_or_default();
    // It goes to the log.
    if reason.len() > 64 || !reason.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Refusal::default();
    }
    Refusal { reason: reason.to_owned(), timestamp: json.get("timestamp").and_then(Value::as_u64) }
}
