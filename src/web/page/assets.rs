//! The two files of the page. In its own routes, so that its policy needs to let nothing else through.

use axum_core::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

/// A file, and what its content is known by.
pub(super) struct Asset {
    kind: &'static str,
    text: String,
    pub(super) version: String,
}

impl Asset {
    pub(super) fn new(kind: &'static str, text: String) -> Self {
        let version = format!("{:016x}", fnv(text.as_bytes()));
        Self { kind, text, version }
    }

    /// For ever where it is asked for by its version, as the page does: another one has another address. Else it is to be
    /// asked for each time, and 304 as long as it is the same.
    pub(super) fn answer(&self, uri: &Uri, headers: &HeaderMap) -> Response {
        let is_versioned = uri.query().and_then(|query| query.strip_prefix("v=")) == Some(&self.version);
        let kept = if is_versioned { "public, max-age=31536000, immutable" } else { "no-cache" };
        let tag = format!("\"{}\"", self.version);
        let has_it = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
        // A proxy may have made the tag a weak one (RFC 9110 §13.1.2).
        let has_it = has_it.flat_map(|line| line.split(',')).any(|sent| sent.trim().trim_start_matches("W/") == tag);
        let common: [(HeaderName, HeaderValue); 2] = [
            (header::CACHE_CONTROL, HeaderValue::from_static(kept)),
            (header::ETAG, HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))),
        ];
        if has_it {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        (common, [(header::CONTENT_TYPE, self.kind)], self.text.clone()).into_response()
    }
}

/// FNV-1a: a change is to be noticed, nobody is to be kept out by it.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
