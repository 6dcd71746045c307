//! The routes, one by one, in the order of `routes/mod.rs`. What they read and write are the handlers' own types; that every
//! status is answered, and no other, a test finds out (`tests/openapi`).

use serde_json::json;
use utoipa::openapi::{
    ContentBuilder, HttpMethod, ResponseBuilder, Schema,
    schema::{Object, OneOfBuilder},
};

use super::{
    super::{
        admin::{Asked, Done, Matching, Page},
        auth::RefreshToken,
        events::Over,
        handlers::{Changes, Listed, Revoked},
    },
    headers,
    problems::UNAUTHORIZED,
    route::{Route, body, empty, fields, json as answer, list_of, schema, text},
};
use crate::{
    event::PushTarget,
    session::{Session, SessionId},
    web::respond::TokenResponse,
};

const ID: &str = "The id of a session. What is no UUID is not found.";
/// No JSON, or no such field in it.
const NOT_READ: &str = "a body that cannot be read";
const NOT_READ_OR_TWO: &str = "credentials of different sessions; or a body or a query that says nothing meaningful";

pub(super) fn sessions() -> Vec<Route> {
    use HttpMethod::{Delete, Get, Patch, Put};
    let revoked = || answer("How many have ended.", schema::<Revoked>());
    let push = json!({ "provider": "fcm", "token": "the-registration-token-of-the-app" });
    let one = |about| answer(about, schema::<Session>()).build();
    vec![
        Route::new(Get, "/", ("listSessions", "The devices that the user is signed in on"))
            .about("Newest activity first. Of ended ones the newest end first, at most 100.")
            .query::<Listed>(&[])
            .by_session()
            .problem_if(400, "invalid_request", "another `state`; or credentials of different sessions")
            .answers(200, answer("The sessions.", list_of::<Session>()).build()),
        Route::new(Delete, "/", ("endAllSessions", "Sign out everywhere, here too"))
            .by_fresh_session()
            .answers(200, revoked().header("Set-Cookie", headers::cleared_cookie()).build()),
        Route::new(Get, "/current", ("currentSession", "The session that asks"))
            .by_session()
            .answers(200, one("The session.")),
        Route::new(Put, "/current/push-target", ("setPushTarget", "Where this device can be reached by push"))
            .about("It is told when its session is ended elsewhere, and of sign-ins on new devices.")
            .takes(true, "application/json", schema::<PushTarget>(), push)
            .by_session()
            .problem_if(422, "invalid_request", "nobody here pushes to that provider, or its token cannot be one")
            .answers(204, empty("It will be told.").build()),
        Route::new(Delete, "/current/push-target", ("forgetPushTarget", "No more push to this device"))
            .by_session()
            .answers(204, empty("It has none any more.").build()),
        Route::new(Delete, "/others", ("endOtherSessions", "Sign out all other devices"))
            .by_fresh_session()
            .answers(200, revoked().build()),
        Route::new(Get, "/events", ("watchSession", "Hear of the end of the session that asks"))
            .about(
                "Server-sent events. One comes at most: `ended`, whose data is a `SessionOver`; then the stream closes. It also \
                 closes when the service shuts down: come back.",
            )
            .by_session()
            .answers(200, events()),
        Route::new(Delete, "/{id}", ("endSession", "Sign out another device"))
            .in_path("id", ID, schema::<SessionId>())
            .by_fresh_session()
            .problem(404, &["session_not_found"])
            .problem(409, &["current_session"])
            .answers(204, empty("It has ended, now or before.").build()),
        Route::new(Patch, "/{id}", ("renameSession", "Give a device a name"))
            .in_path("id", ID, schema::<SessionId>())
            .by_session()
            .takes(true, "application/json", schema::<Changes>(), json!({ "deviceName": "The phone in the kitchen" }))
            .problem_if(404, "session_not_found", "unknown, ended, another user's, or no UUID")
            .problem(422, &["invalid_request"])
            .answers(200, one("The session, with its new name.")),
    ]
}

fn events() -> utoipa::openapi::Response {
    let example = json!("retry: 3000\n: open\n\nevent: ended\ndata: {\"reason\":\"revoked_by_user\"}\n\n");
    let content = ContentBuilder::new().schema(Some(text())).example(Some(example)).build();
    let over = <Over as utoipa::ToSchema>::name();
    empty(&format!("The stream is open. See `{over}`.")).content("text/event-stream", content).build()
}

pub(super) fn auth() -> Vec<Route> {
    let token = json!({ "refresh_token": "AZrM8wXq.." });
    vec![
        Route::new(HttpMethod::Post, "/logout", ("logout", "Sign out this device"))
            .about(
                "Takes a live access token, one that has expired but is right otherwise, the cookie, or a refresh token in \
                 the body.",
            )
            .takes(false, "application/json", schema::<RefreshToken>(), token.clone())
            .credentials(true)
            .same_site()
            .problem(400, &["invalid_request"])
            .problem(401, &["missing_token", "invalid_token", "token_expired", "session_ended"])
            .problem(503, &["temporarily_unavailable"])
            .answers(204, empty("It has ended.").header("Set-Cookie", headers::cleared_cookie()).build()),
        Route::new(HttpMethod::Post, "/refresh", ("refresh", "New tokens for a refresh token"))
            .about("Use a refresh token once, one request at a time, and store the new one before using it.")
            .takes(true, "application/json", schema::<RefreshToken>(), token)
            .open()
            .same_site()
            .problem_if(400, "invalid_request", NOT_READ)
            .problem(401, &["invalid_token", "session_ended"])
            .problem(503, &["temporarily_unavailable"])
            .answers(200, answer("The new tokens.", schema::<TokenResponse<'_>>()).build()),
    ]
}

pub(super) fn alerts() -> Vec<Route> {
    use HttpMethod::{Get, Post};
    let page = |about| body(about, "text/html", text());
    let route = |method, words| {
        Route::new(method, "/{link}", words)
            .in_path("link", "The secret part of the link in the mail.", text())
            .open()
            .same_site()
            .problem(503, &["temporarily_unavailable"])
            .answers(410, page("A page: the link was used, or is too old.").build())
    };
    vec![
        route(Get, ("showAlert", "A page for people: what was told of a sign-in"))
            .about("It changes nothing, since mail scanners follow links.")
            .answers(200, page("The page, with a button.").build()),
        route(Post, ("disownSignIn", "It was somebody else: sign it out"))
            .answers(200, page("A page: it is signed out.").build()),
    ]
}

pub(super) fn keys() -> Vec<Route> {
    let set = Object::builder().description(Some("A JWK set (RFC 7517 §5)."));
    let set = set.property("keys", utoipa::openapi::ArrayBuilder::new().items(Object::new())).required("keys");
    let answer = ResponseBuilder::new()
        .description("The keys; none where tokens are signed with a secret.")
        .header("Cache-Control", headers::kept_for_a_while())
        .content("application/json", ContentBuilder::new().schema(Some(set)).build());
    let words = ("publicKeys", "The public keys that tokens are checked with");
    vec![Route::new(HttpMethod::Get, "/.well-known/jwks.json", words).open().answers(200, answer.build())]
}

#[cfg(feature = "jwks")]
pub(super) fn backchannel_logout() -> Vec<Route> {
    use super::super::backchannel::LogoutToken;

    let words = ("backchannelLogout", "An identity provider says that somebody has logged out");
    vec![
        Route::new(HttpMethod::Post, "/", words)
            .about("OpenID Connect Back-Channel Logout 1.0.")
            .takes(
                true,
                "application/x-www-form-urlencoded",
                schema::<LogoutToken>(),
                json!({ "logout_token": "eyJhbGci.." }),
            )
            .open()
            .same_site()
            .problem_if(400, "invalid_request", "the logout token is not there, or is not valid")
            .problem(503, &["temporarily_unavailable"])
            .answers(200, empty("Done, or there was nothing to do.").build()),
    ]
}

/// The guard is the application's: what it answers is its own affair.
pub(super) fn admin() -> Vec<Route> {
    const GUARDED: &str = "For those whom the guard of the application lets in. What it answers to others, with 401 and 403, is its own affair.";
    let route = |method, path, words| {
        Route::new(method, path, words)
            .about(GUARDED)
            .credentials(false)
            .same_site()
            .problem_if(400, "invalid_request", NOT_READ_OR_TWO)
            .problem(401, UNAUTHORIZED)
            .problem(503, &["temporarily_unavailable"])
    };
    // One type for both: some of it is for the one, some for the other.
    let mut whose: Object = fields::<Asked>();
    whose.properties.remove("after");
    whose.required = vec!["reason".to_owned()];
    let done = OneOfBuilder::new().item(schema::<Done>()).item(schema::<Matching>());
    vec![
        route(HttpMethod::Get, "/", ("adminListSessions", "Live sessions, whoever's"))
            .query::<Asked>(&["ids", "reason", "everyone", "dryRun"])
            .answers(200, answer("A page of them.", schema::<Page>()).build())
            .answers(403, empty("The guard of the application refused.").build()),
        route(HttpMethod::Post, "/end", ("adminEndSessions", "End sessions, whoever's"))
            .takes(
                true,
                "application/json",
                Schema::Object(whose),
                json!({ "reason": "revoked_by_admin", "user": "ahmed" }),
            )
            .answers(200, answer("What was done, or would be.", done).build()),
    ]
}
