//! Where the link in a mail leads. Whoever follows it has shown nothing but the mail, and programs follow links in mails too:
//! GET shows, and only POST does something.

use axum::extract::rejection::PathRejection;
use axum_core::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use time::{OffsetDateTime, UtcOffset};

use super::handlers::{Handle, Parameters, last};
use crate::{
    error::{Error, ErrorKind},
    event::Event,
    html::escaped,
    sessions::by,
};

/// What was told, and a button.
pub(super) async fn show(handle: Handle, path: Result<Parameters, PathRejection>) -> Result<Response, Error> {
    let link = last(path).unwrap_or_default();
    match by(handle.deadline, "looking at a sign-in", handle.sessions.alert(&link)).await {
        Ok(alert) if alert.disowned => Ok(page(StatusCode::OK, "Reported", REPORTED)),
        Ok(alert) => Ok(page(StatusCode::OK, "Was this you?", &question(&alert.event))),
        Err(error) if error.kind() == ErrorKind::InvalidLink => Ok(page(StatusCode::GONE, "Too late", TOO_LATE)),
        Err(error) => Err(error),
    }
}

/// It was somebody else.
pub(super) async fn disown(handle: Handle, path: Result<Parameters, PathRejection>) -> Result<Response, Error> {
    let link = last(path).unwrap_or_default();
    match by(handle.deadline, "disowning a sign-in", handle.sessions.disown(&link)).await {
        Ok(_) => Ok(page(StatusCode::OK, "Signed out", DONE)),
        Err(error) if error.kind() == ErrorKind::InvalidLink => Ok(page(StatusCode::GONE, "Too late", TOO_LATE)),
        Err(error) => Err(error),
    }
}

fn question(event: &Event) -> String {
    let place = [event.location.clone(), event.ip_address.map(|ip| ip.to_string())];
    let place: Vec<_> = place.into_iter().flatten().collect();
    let place = if place.is_empty() { "unknown".to_owned() } else { place.join(", ") };
    let at = readable(event.at);
    format!(
        "<dl><dt>Device</dt><dd>{}</dd><dt>Place</dt><dd>{}</dd><dt>Time</dt><dd>{at}</dd></dl>\
         <p>If this was you, there is nothing to do.</p>\
         <form method=\"post\"><button>No, that was not me: sign it out</button></form>",
        escaped(&event.device_name),
        escaped(&place),
    )
}

/// "4 October 2026, 08:05 UTC": the reader's time zone is not known.
fn readable(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    format!("{} {} {}, {:02}:{:02} UTC", at.day(), at.month(), at.year(), at.hour(), at.minute())
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title}</title></head>\
         <body><main><h1>{title}</h1>{body}</main></body></html>"
    );
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        // Nothing is loaded, nothing runs, nobody frames it.
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"),
        ),
        // Its address is a secret. Not `no-referrer`: with that, browsers send the form with `Origin: null`, as another site's
        // would be; from one that is signed in here and knows no `Sec-Fetch-Site` it would be refused.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, html).into_response()
}

const DONE: &str = "<p>That device is signed out.</p><p><strong>Change your password now</strong>: whoever it was \
    knew it.</p>";
const REPORTED: &str = "<p>You have reported this sign-in, and that device is signed out.</p>\
    <p>If you have not changed your password since, do it now.</p>";
const TOO_LATE: &str = "<p>This link does not work any more.</p>\
    <p>If you do not know a sign-in, change your password and sign that device out in your list of devices.</p>";
