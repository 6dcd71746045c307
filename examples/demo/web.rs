//! What all pages have in common: the frame, the headers, the files.

use axum::{
    Router,
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};

/// A user's name and a device's are what strangers say.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

pub(crate) fn page(title: &str, body: &str) -> Html<String> {
    Html(format!(
        r#"<!doctype html>
<html lang="en"><head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title} · Demo</title>
<link rel="stylesheet" href="/assets/demo.css"><link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<script type="module" src="/assets/demo.js"></script>
</head><body>{body}</body></html>"#
    ))
}

/// Nothing from elsewhere, nothing inline, nobody's frame; and no page of a session in a cache.
pub(crate) async fn hardened(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) fn assets<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let file = |content_type: &'static str, text: &'static str| {
        get(move || async move {
            let headers = [(header::CONTENT_TYPE, content_type), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
            (headers, text).into_response()
        })
    };
    Router::new()
        .route("/assets/demo.css", file("text/css; charset=utf-8", include_str!("demo.css")))
        .route("/assets/demo.js", file("text/javascript; charset=utf-8", include_str!("demo.js")))
        .route("/assets/icon.svg", file("image/svg+xml", include_str!("icon.svg")))
}

/// Why somebody was signed out, in words for them.
pub(crate) fn because(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "logout" => "You have signed out.",
        "revoked_by_user" => "You signed this device out from another one.",
        "revoked_by_admin" => "An administrator signed this device out.",
        "revoked_by_alert" => "You said that this sign-in was not you.",
        "replaced" => "This device has signed in anew.",
        "limit" => "You signed in on more devices than you may.",
        "idle" => "This device was not used for long.",
        "absolute" => "It was time to sign in again.",
        "refresh_reuse" => "A key of this device was used twice: somebody may have copied it.",
        "credential_change" => "Your password has changed.",
        "account_disabled" => "This account is disabled.",
        _ => return None,
    })
}
