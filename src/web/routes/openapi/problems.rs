//! Every problem code, with its statuses and what it means, and the answers that many routes have in common.

use std::collections::BTreeMap;

use utoipa::openapi::{
    ContentBuilder, Ref, Response, ResponseBuilder, Type,
    schema::{AllOfBuilder, Object, ObjectBuilder},
};

use super::headers;

/// A test compares this with the source and with the README.
const CODES: &[(u16, &str, &str)] = &[
    (400, "invalid_request", "credentials of different sessions, or a request that says nothing meaningful"),
    (401, "missing_token", "no credential was sent: sign in"),
    (401, "invalid_token", "not a token of this service, or its session is not there: forget it, sign in"),
    (401, "token_expired", "right but for its age, or given up: refresh once, do not sign in again"),
    (401, "session_ended", "with `reason`: forget the token, sign in"),
    (401, "second_factor_required", "signed in but for the second factor: ask for it"),
    (401, "fresh_auth_required", "the user must prove who they are once more; how fresh is `max_age` of the challenge"),
    (403, "cross_site_request", "another site made the browser send it with the session's cookie"),
    (403, "sign_in_refused", "the service refused this sign-in"),
    (403, "account_disabled", "this account may not sign in"),
    (404, "session_not_found", "unknown, another user's, or no UUID"),
    (409, "current_session", "the session that asks: use logout"),
    (409, "not_pending", "a second factor for a session that needs none: go on"),
    (409, "session_limit_reached", "with `sessions`: let the user choose which one to sign out"),
    (410, "link_invalid", "the link was used before, or is too old"),
    (422, "invalid_request", "the body, or a value in it, cannot be used"),
    (500, "internal_error", "a mistake in the setup of the service"),
    (503, "temporarily_unavailable", "sessions cannot be checked at the moment: keep the token, try again"),
];

fn meaning(status: u16, code: &str) -> &'static str {
    CODES.iter().find(|known| (known.0, known.1) == (status, code)).map_or("", |(_, _, meaning)| *meaning)
}

/// The schema of `code`.
pub(in super::super::super) fn codes() -> Object {
    let mut names: Vec<_> = CODES.iter().map(|(_, code, _)| *code).collect();
    names.sort_unstable();
    names.dedup();
    let about = CODES.iter().map(|(status, code, meaning)| format!("* {status} `{code}`: {meaning}"));
    let about = about.fold("What is wrong. Stable: decide by it.\n".to_owned(), |all, one| all + "\n" + &one);
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).description(Some(about)).build()
}

/// The codes of one status of one route, each with what it means there.
pub(super) type Causes = BTreeMap<&'static str, &'static str>;

/// These codes, with their usual meaning.
pub(super) fn usual(status: u16, codes: &[&'static str]) -> Causes {
    codes.iter().map(|code| (*code, meaning(status, code))).collect()
}

pub(super) fn response(status: u16, causes: &Causes) -> Response {
    let about: Vec<_> = causes.iter().map(|(code, means)| format!("`{code}`: {means}.")).collect();
    let narrowed = ObjectBuilder::new()
        .property("code", ObjectBuilder::new().schema_type(Type::String).enum_values(Some(causes.keys().copied())));
    let schema = AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(narrowed);
    let response = ResponseBuilder::new()
        .description(about.join("\n\n"))
        .header("Cache-Control", headers::no_store())
        .content("application/problem+json", ContentBuilder::new().schema(Some(schema)).build());
    match status {
        400 => response.header("WWW-Authenticate", headers::maybe_challenge()),
        401 => response.header("WWW-Authenticate", headers::challenge()),
        503 => response.header("Retry-After", headers::retry_after()),
        _ => response,
    }
    .build()
}

/// Without a live session.
pub(super) const UNAUTHORIZED: &[&str] =
    &["missing_token", "invalid_token", "token_expired", "session_ended", "second_factor_required"];

/// What many routes answer, and what handlers of the application do: each is a response of its own in the document.
pub(super) const SHARED: &[(&str, u16, &[&str])] = &[
    ("InvalidRequest", 400, &["invalid_request"]),
    ("Unauthorized", 401, UNAUTHORIZED),
    ("FreshAuthRequired", 401, &["fresh_auth_required"]),
    ("CrossSite", 403, &["cross_site_request"]),
    ("SignInForbidden", 403, &["account_disabled", "cross_site_request", "sign_in_refused"]),
    ("SessionNotFound", 404, &["session_not_found"]),
    ("NotPending", 409, &["not_pending"]),
    ("SessionLimitReached", 409, &["session_limit_reached"]),
    ("LinkInvalid", 410, &["link_invalid"]),
    ("InternalError", 500, &["internal_error"]),
    ("Unavailable", 503, &["temporarily_unavailable"]),
];

/// The shared response that says just this, if there is one.
pub(super) fn shared(status: u16, causes: &Causes) -> Option<Ref> {
    let (name, ..) = SHARED.iter().find(|(_, of, codes)| *of == status && usual(status, codes) == *causes)?;
    Some(Ref::from_response_name(*name))
}
