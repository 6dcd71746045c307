//! `SessionValidationLayer`: what each combination of credential and handler is answered, and where a layer can stand.

use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get as to};
use axum_device_sessions::{
    Claims, CurrentSession, EndReason, EndTarget, PostgresStore, SessionId, SessionRejection, SessionValidationLayer,
    Sessions,
};
use tower::ServiceBuilder;

use crate::{
    http::{ACCESS, COOKIE, LONG_AGO, Sent, Token, ask, bearer, cookie, get, in_memory, on, sign_in},
    support::{TestDb, eventually},
};

/// What the handlers say whose route is refused or not.
async fn session(session: CurrentSession) -> String {
    session.user_id().to_string()
}

async fn optional(session: Option<CurrentSession>) -> String {
    session.map_or("nobody".to_owned(), |session| session.user_id().to_string())
}

async fn open() -> &'static str {
    "open"
}

fn to_login(rejection: &SessionRejection, _: &http::request::Parts) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/login")], rejection.code()).into_response()
}

/// One route for each way to ask for a session.
fn every_way(sessions: &Sessions) -> Router {
    let layer = SessionValidationLayer::new(sessions.clone());
    Router::new()
        .route("/session", to(session).layer(layer.clone()))
        .route("/optional", to(optional).layer(layer.clone()))
        .route("/open", to(open).layer(layer.clone()))
        .route("/required", to(open).layer(layer.clone().required()))
        .route("/replaced", to(session).layer(layer.clone().on_reject(to_login)))
        .route("/required-replaced", to(open).layer(layer.required().on_reject(to_login)))
}

/// One credential and its answers: to `CurrentSession`, to `Option<CurrentSession>`, and to the first by a node that
/// knows nothing yet while the database is down. The other ways to ask follow from the first.
struct Row {
    credential: &'static str,
    sent: Vec<Sent>,
    session: &'static str,
    optional: &'static str,
    database_down: &'static str,
}

fn row(
    credential: &'static str,
    sent: impl Into<Vec<Sent>>,
    [session, optional, database_down]: [&'static str; 3],
) -> Row {
    Row { credential, sent: sent.into(), session, optional, database_down }
}

async fn check(app: &Router, row: &Row, session: &str, optional: &str, when: &str) {
    let says = async |path: &str| {
        let asked = Instant::now();
        let line = get(app, path, &row.sent).await.line();
        assert!(asked.elapsed() < Duration::from_secs(4), "{}, {when}: {path} took too long", row.credential);
        line
    };
    let refusal = (!session.starts_with("200")).then(|| session.split(' ').nth(1).expect("a code"));
    let required = if refusal.is_some() { session } else { "200 open" };
    let code = refusal.unwrap_or_default();
    let (replaced, required_replaced) = match refusal {
        Some(_) => (format!("303 {code}"), format!("303 {code}")),
        None => (session.to_owned(), "200 open".to_owned()),
    };
    for (path, expected) in [
        ("/session", session),
        ("/optional", optional),
        ("/open", "200 open"),
        ("/required", required),
        ("/replaced", &replaced),
        ("/required-replaced", &required_replaced),
    ] {
        assert_eq!(says(path).await, expected, "{}, {when}: {path}", row.credential);
    }
}

#[tokio::test]
async fn what_each_credential_is_answered() {
    let db = TestDb::own_cluster(&[]).await;
    let node = async || {
        let store = PostgresStore::connect(db.url()).await.unwrap();
        store.migrate().await.unwrap();
        on(store).build().await.unwrap()
    };
    // Two nodes on one database. The second is asked nothing before the database is down, so it has nothing in memory.
    let (up, down) = (node().await, node().await);

    let live = sign_in(&up, "ahmed").await;
    let other = sign_in(&up, "ahmed").await.session.id;
    let ended = sign_in(&up, "ahmed").await;
    let target = EndTarget::One { id: ended.session.id, user: None };
    up.end(target, EndReason::RevokedByUser, None).await.unwrap();
    let (id, live, ended_id, ended) = (live.session.id, live.access_token, ended.session.id, ended.access_token);
    let unknown = SessionId::new();
    let lenas = |token: Token<'static>| Token { user: "lena", ..token }.of(id);
    let expired = |token: Token<'static>| Token { expires_in: LONG_AGO, ..token }.of(id);

    const LIVE: [&str; 3] = ["200 ahmed", "200 ahmed", "503 temporarily_unavailable"];
    // What has to be read can only be refused once it has been read.
    const ENDED: [&str; 3] =
        ["401 session_ended revoked_by_user", "401 session_ended revoked_by_user", "503 temporarily_unavailable"];
    const NOT_OURS: [&str; 3] = ["401 invalid_token", "401 invalid_token", "503 temporarily_unavailable"];
    // These are refused by what they are themselves.
    const NONE: [&str; 3] = ["401 missing_token", "200 nobody", "401 missing_token"];
    const INVALID: [&str; 3] = ["401 invalid_token", "401 invalid_token", "401 invalid_token"];
    const EXPIRED: [&str; 3] = ["401 token_expired", "401 token_expired", "401 token_expired"];
    const CONTRADICTION: [&str; 3] = ["400 invalid_request", "400 invalid_request", "400 invalid_request"];
    // A browser cannot take a refused cookie back, so it does not stand in the way of an open page.
    let of_a_cookie = |[session, _, down]: [&'static str; 3]| [session, "200 nobody", down];

    let rows = [
        row("none", [], NONE),
        row("another scheme", [("authorization", "Basic dTpw".to_owned())], NONE),
        row("another cookie", [("cookie", "theme=dark".to_owned())], NONE),
        row("live Bearer", [bearer(&live)], LIVE),
        row("live Bearer signed by hand", [bearer(ACCESS.of(id))], LIVE),
        row("the same Bearer twice", [bearer(&live), bearer(&live)], LIVE),
        row("live cookie", [cookie(COOKIE.of(id))], LIVE),
        row("expired Bearer", [bearer(expired(ACCESS))], EXPIRED),
        row("expired cookie", [cookie(expired(COOKIE))], of_a_cookie(EXPIRED)),
        row("ended Bearer", [bearer(&ended)], ENDED),
        row("ended cookie", [cookie(COOKIE.of(ended_id))], of_a_cookie(ENDED)),
        row("garbage Bearer", [bearer("garbage")], INVALID),
        row("empty Bearer", [("authorization", "Bearer".to_owned())], INVALID),
        row("garbage cookie", [cookie("garbage")], of_a_cookie(INVALID)),
        row("oversize Bearer", [bearer("x".repeat(9_000))], INVALID),
        row("a cookie's token as Bearer", [bearer(COOKIE.of(id))], INVALID),
        row("an access token as cookie", [cookie(&live)], of_a_cookie(INVALID)),
        row("session of nobody, Bearer", [bearer(ACCESS.of(unknown))], NOT_OURS),
        row("session of nobody, cookie", [cookie(COOKIE.of(unknown))], of_a_cookie(NOT_OURS)),
        row("session of another user, Bearer", [bearer(lenas(ACCESS))], NOT_OURS),
        row("session of another user, cookie", [cookie(lenas(COOKIE))], of_a_cookie(NOT_OURS)),
        row("no session id", [bearer(ACCESS.of("not-a-uuid"))], INVALID),
        row("two different Bearers", [bearer(&live), bearer(ACCESS.of(other))], CONTRADICTION),
        row("two different Bearers of one session", [bearer(&live), bearer(ACCESS.of(id))], CONTRADICTION),
        row("header and cookie of one session", [bearer(&live), cookie(COOKIE.of(id))], LIVE),
        row("expired header, live cookie of one session", [bearer(expired(ACCESS)), cookie(COOKIE.of(id))], EXPIRED),
        row("live header, expired cookie of one session", [bearer(&live), cookie(expired(COOKIE))], LIVE),
        row("header and cookie of two sessions", [bearer(&live), cookie(COOKIE.of(other))], CONTRADICTION),
        row("live header, cookie of an ended session", [bearer(&live), cookie(COOKIE.of(ended_id))], CONTRADICTION),
        row("live header, garbage cookie", [bearer(&live), cookie("garbage")], LIVE),
        row("garbage header, live cookie", [bearer("garbage"), cookie(COOKIE.of(id))], INVALID),
        row("another scheme, live cookie", [("authorization", "Basic dTpw".to_owned()), cookie(COOKIE.of(id))], LIVE),
    ];

    let app = every_way(&up);
    for row in &rows {
        check(&app, row, row.session, row.optional, "from the database").await;
        check(&app, row, row.session, row.optional, "from memory").await;
    }

    db.server().stop_immediate();
    let app = every_way(&down);
    for row in &rows {
        // 401 here means that the token itself is the evidence; whoever has to be looked up is told to try again.
        let optional = if row.database_down.starts_with("503") { row.database_down } else { row.optional };
        check(&app, row, row.database_down, optional, "database down").await;
    }

    db.server().start_again().unwrap();
    let sent = [bearer(&live)];
    eventually("the database answers again", async || get(&app, "/session", &sent).await.status == 200).await;
    for row in &rows {
        check(&app, row, row.session, row.optional, "database back").await;
    }
}

/// The layer can be put wherever axum and tower take one.
#[tokio::test]
async fn where_a_layer_can_stand() {
    let sessions = in_memory().await;
    let layer = || SessionValidationLayer::new(sessions.clone());
    let router = || Router::new().route("/me", to(session));
    let token = sign_in(&sessions, "ahmed").await.access_token;
    for (place, path, app) in [
        ("Router::layer", "/me", router().layer(layer())),
        ("Router::route_layer", "/me", router().route_layer(layer())),
        ("MethodRouter::layer", "/me", Router::new().route("/me", to(session).layer(layer()))),
        ("MethodRouter::route_layer", "/me", Router::new().route("/me", to(session).route_layer(layer()))),
        ("ServiceBuilder", "/me", router().layer(ServiceBuilder::new().layer(layer()))),
        (
            "ServiceBuilder, around",
            "/me",
            Router::new().fallback_service(ServiceBuilder::new().layer(layer()).service(router())),
        ),
        ("inside of a nest", "/in/me", Router::new().nest("/in", router().layer(layer()))),
        ("outside of a nest", "/in/me", Router::new().nest("/in", router()).layer(layer())),
        (
            "outside of two nests",
            "/a/b/me",
            Router::new().nest("/a", Router::new().nest("/b", router())).layer(layer()),
        ),
        ("outside of a nested service", "/in/me", Router::new().nest_service("/in", router()).layer(layer())),
        ("merged", "/me", Router::new().merge(router().layer(layer()))),
        ("fallback", "/any/where", Router::new().fallback(session).layer(layer())),
        ("fallback of a nest", "/in/any", Router::new().nest("/in", Router::new().fallback(session)).layer(layer())),
        ("twice", "/me", router().layer(layer()).layer(layer())),
        ("any method", "/me", Router::new().route("/me", any(session)).layer(layer())),
    ] {
        assert_eq!(get(&app, path, &[bearer(&token)]).await.line(), "200 ahmed", "{place}");
        assert_eq!(get(&app, path, &[]).await.line(), "401 missing_token", "{place}");
    }
}

/// 404 and 405 are the router's; a layer on routes has no say in them.
#[tokio::test]
async fn a_required_session_on_routes_leaves_404_alone() {
    let required = SessionValidationLayer::new(in_memory().await).required();
    let router = || Router::new().route("/me", to(open));
    assert_eq!(get(&router().route_layer(required.clone()), "/nowhere", &[]).await.status, 404);
    assert_eq!(get(&router().layer(required), "/nowhere", &[]).await.line(), "401 missing_token");
}

#[tokio::test]
async fn a_missing_layer_is_named() {
    let app = Router::new()
        .route("/session", to(session))
        .route("/optional", to(optional))
        .route("/claims", to(|_: Claims<serde_json::Value>| async {}));
    for path in ["/session", "/optional", "/claims"] {
        let answer = get(&app, path, &[bearer("whatever")]).await;
        assert_eq!(answer.line(), "500 internal_error", "{path}");
        assert!(answer.text().contains("SessionValidationLayer"), "{}", answer.text());
    }
}

/// A mistake in the setup must not look like an anonymous visitor.
#[tokio::test]
async fn a_layer_below_the_handler_or_elsewhere_is_a_missing_one() {
    let layer = SessionValidationLayer::new(in_memory().await).on_reject(to_login);
    let app = Router::new().route("/inside", to(session).layer(layer)).route("/beside", to(session));
    assert_eq!(get(&app, "/inside", &[]).await.status, 303);
    assert_eq!(get(&app, "/beside", &[]).await.line(), "500 internal_error");
}

#[tokio::test]
async fn a_preflight_passes_a_required_session() {
    let sessions = in_memory().await;
    let app = Router::new().route("/", any(open)).layer(SessionValidationLayer::new(sessions).required());
    let origin = ("origin", "https://app.example".to_owned());
    let wants = ("access-control-request-method", "DELETE".to_owned());
    for (method, sent, answer) in [
        (Method::OPTIONS, vec![origin.clone(), wants.clone()], "200 open"),
        (Method::OPTIONS, vec![origin.clone()], "401 missing_token"),
        (Method::OPTIONS, vec![wants.clone()], "401 missing_token"),
        (Method::OPTIONS, vec![], "401 missing_token"),
        (Method::GET, vec![origin, wants], "401 missing_token"),
    ] {
        assert_eq!(ask(&app, method.clone(), "/", &sent).await.line(), answer, "{method} {sent:?}");
    }
}

/// The request must not pass a required session as a preflight and then reach a handler as somebody.
#[tokio::test]
async fn a_preflight_is_nobody() {
    let app = Router::new().route("/", any(session)).layer(SessionValidationLayer::new(in_memory().await).required());
    let sent = [("origin", "https://app.example".to_owned()), ("access-control-request-method", "GET".to_owned())];
    assert_eq!(ask(&app, Method::OPTIONS, "/", &sent).await.line(), "401 missing_token");
}

/// Refused requests are nobody's activity.
#[tokio::test]
async fn only_live_sessions_are_active() {
    let sessions = in_memory().await;
    let app = every_way(&sessions);
    let signed_in = sign_in(&sessions, "ahmed").await;
    let id = signed_in.session.id;
    let lenas = Token { user: "lena", ..ACCESS }.of(id);
    let expired = Token { expires_in: LONG_AGO, ..ACCESS }.of(id);
    for token in [lenas, expired, COOKIE.of(id), "garbage".to_owned()] {
        assert_eq!(get(&app, "/session", &[bearer(token)]).await.status, 401);
        assert_eq!(sessions.health().queued_activity, 0);
    }
    assert_eq!(get(&app, "/session", &[bearer(signed_in.access_token)]).await.status, 200);
    assert_eq!(sessions.health().queued_activity, 1);
}
