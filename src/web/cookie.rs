//! The session cookie as it is set and taken back: always with the same attributes, or it would be another one
//! (RFC 6265bis §5.7).

use std::time::Duration;

use axum_core::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use http::{Extensions, HeaderMap, HeaderValue, StatusCode, Uri, header, uri::Authority};

use super::extract::peer;
use crate::sessions::{SessionCookie, SetDeviceCookie, SignedOut};

/// The session cookie. `__Host-` binds it to this host: it cannot be set by a sibling domain (RFC 6265bis §4.1.3.2).
pub(super) const COOKIE: &str = "__Host-session";
/// Its double for plain http on this very machine, where that is allowed. Without `Secure` it cannot have the prefix.
pub(super) const LOOPBACK_COOKIE: &str = "session-on-loopback";

/// What a browser is known by as a device. It opens nothing: it stays when the session ends, so that the next sign-in is
/// none of a new device.
pub(super) const DEVICE_COOKIE: &str = "__Host-device";
pub(super) const LOOPBACK_DEVICE_COOKIE: &str = "device-on-loopback";
/// Browsers keep no cookie for longer than 400 days (RFC 6265bis §5.5); each sign-in begins anew.
const DEVICE_FOR: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Sets that.
pub(super) fn set_device(headers: &mut HeaderMap, SetDeviceCookie { cookie, on_loopback }: &SetDeviceCookie) {
    write(headers, [DEVICE_COOKIE, LOOPBACK_DEVICE_COOKIE], &cookie.value, DEVICE_FOR, *on_loopback);
}

/// Sets it.
pub(super) fn set(headers: &mut HeaderMap, SessionCookie { token, max_age, on_loopback }: &SessionCookie) {
    write(headers, [COOKIE, LOOPBACK_COOKIE], token, *max_age, *on_loopback);
}

/// Whether this answer says itself what becomes of it.
pub(super) fn is_set_by(headers: &HeaderMap) -> bool {
    let ours = |line: &HeaderValue| {
        let name = line.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        name == COOKIE.as_bytes() || name == LOOPBACK_COOKIE.as_bytes()
    };
    headers.get_all(header::SET_COOKIE).iter().any(ours)
}

/// 204, where there is nothing else to say.
impl IntoResponse for SignedOut {
    fn into_response(self) -> Response {
        (self, StatusCode::NO_CONTENT).into_response()
    }
}

impl IntoResponseParts for SignedOut {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        write(parts.headers_mut(), [COOKIE, LOOPBACK_COOKIE], "", Duration::ZERO, self.on_loopback);
        parts.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(parts)
    }
}

#[expect(clippy::expect_used, reason = "a token is base64url and dots, the rest is ours")]
fn write(headers: &mut HeaderMap, [name, loopback_name]: [&str; 2], token: &str, max_age: Duration, on_loopback: bool) {
    let mut append = |name: &str, secure: &str| {
        // Whole seconds, rounded down: it goes no later than its session.
        let seconds = max_age.as_secs();
        let line = format!("{name}={token}; Max-Age={seconds}; Path=/; {secure}HttpOnly; SameSite=Lax");
        let mut value = HeaderValue::try_from(line).expect("visible ASCII");
        value.set_sensitive(true);
        headers.append(header::SET_COOKIE, value);
    };
    append(name, "Secure; ");
    if on_loopback {
        append(loopback_name, "");
    }
}

/// From this very machine, by its address, and meant for it, by its name. Both: a proxy on this machine connects from
/// loopback too, and a name alone can be written by anybody.
pub(super) fn is_on_loopback(extensions: &Extensions, uri: &Uri, headers: &HeaderMap) -> bool {
    let from_here = peer(extensions).is_some_and(|address| address.is_loopback());
    let named = |host: &Authority| ["localhost", "127.0.0.1", "[::1]"].contains(&host.host());
    let in_header = || headers.get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    from_here && uri.authority().cloned().or_else(in_header).is_some_and(|host| named(&host))
}
