//! What the notifiers that speak HTTP have in common.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, Response, StatusCode, header::RETRY_AFTER, redirect};

use super::NotDelivered;
use crate::error::ConfigError;

/// Nothing is followed: a redirect would carry what is sent to somebody else. The caller's timeout bounds the whole.
pub(super) fn client(builder: ClientBuilder) -> Result<Client, ConfigError> {
    builder
        .redirect(redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .user_agent(concat!("axum-device-sessions/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|cause| ConfigError::because("the HTTP client cannot be made", cause))
}

/// The receiver's own wish, by `Retry-After` (RFC 9110 §10.2.3).
pub(super) fn wishes(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// What a status other than success means, where the receiver's own rules say nothing else.
pub(super) fn failed(status: StatusCode, wish: Option<Duration>, cause: String) -> NotDelivered {
    let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    match wish {
        Some(pause) if passing => NotDelivered::retry_after(pause, cause),
        _ if passing => NotDelivered::retry(cause),
        _ => NotDelivered::refused(cause),
    }
}
