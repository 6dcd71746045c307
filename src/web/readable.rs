//! The refusal of another site's request, for whoever sits before it: a form leads to where JSON would stand alone in the
//! window.

use axum_core::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};

use super::language::preferred;

/// The answer as a page, to a request that asks for one; `None` to those of scripts and programs.
pub(super) fn cross_site(parts: &Parts) -> Option<Response> {
    if !wants_html(&parts.headers) {
        return None;
    }
    let best = preferred(&parts.headers, &WORDS, |[language, ..]| language).unwrap_or(0);
    let [language, title, text] = WORDS[best];
    let html = format!(
        "<!doctype html>\n<html lang=\"{language}\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"robots\" content=\"noindex\"></head>\
         <body><main><h1>{title}</h1><p>{text}</p></main></body></html>"
    );
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
        ),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Some((StatusCode::FORBIDDEN, headers, html).into_response())
}

/// Browsers name `text/html` for what is to be shown in a window, and for nothing else. A program that names JSON as well, in
/// whatever order, goes by the `code` of an answer.
fn wants_html(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let kinds = lines.flat_map(|line| line.split(',')).map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let (mut html, mut json) = (false, false);
    for kind in kinds {
        html |= kind.eq_ignore_ascii_case("text/html");
        json |= kind.to_ascii_lowercase().ends_with("json");
    }
    html && !json
}

const WORDS: [[&str; 3]; 2] = [
    [
        "en",
        "This was not done",
        "Another site made your browser send this request, so it was refused. If you did mean it, open the page itself and try again there.",
    ],
    [
        "ru",
        "Действие не выполнено",
        "Запрос отправлен вашим браузером по указанию другого сайта, поэтому он отклонён. Если это были вы, откройте саму страницу и повторите действие на ней.",
    ],
];
