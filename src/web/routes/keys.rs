//! What other services check our tokens with.

use axum_core::response::{IntoResponse, Response};
use http::header;

use super::handlers::Handle;

/// How long others may keep the set, and so how long a new key is published before anybody signs with it. Short enough to
/// wait for, long enough that nobody asks with every token.
const KEPT: &str = "public, max-age=300";

/// `application/json`, which is what the large issuers send and so what every library takes; RFC 7517 §8.5.1 registers
/// `application/jwk-set+json` and asks nobody to insist on it.
pub(super) async fn jwks(handle: Handle) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, KEPT)];
    (headers, handle.sessions.jwks()).into_response()
}
