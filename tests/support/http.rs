//! Requests to a router, what it answered, and tokens signed by hand.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fmt::Display;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum_device_sessions::{
    AccessTokens, CurrentSession, MemoryStore, Sessions, SessionsBuilder, SignIn, SignedIn, SigningKey, routes,
};
use http_body_util::BodyExt;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tower::ServiceExt;

/// The key of every `Sessions` here, so that a test can sign what it likes.
pub(crate) const SECRET: &[u8] = b"a secret of the tests, long enough for HS256";

/// A setup on this store with [`SECRET`].
pub(crate) fn on(store: impl axum_device_sessions::SessionStore) -> SessionsBuilder {
    Sessions::builder(store).access_tokens(AccessTokens::hs256(SECRET).expect("a good secret"))
}

/// In memory, with [`SECRET`].
pub(crate) async fn in_memory() -> Sessions {
    on(MemoryStore::new()).build().await.expect("the defaults")
}

/// A session of this user, as a login handler makes it.
pub(crate) async fn sign_in(sessions: &Sessions, user: &str) -> SignedIn {
    sessions.sign_in(SignIn::new(user)).await.expect("signs in")
}

/// The application that most tests ask: the mounted routes and one handler of its own.
pub(crate) fn app() -> Router {
    Router::new()
        .route("/me", axum::routing::get(|session: CurrentSession| async move { session.user_id().to_string() }))
        .nest("/sessions", routes::sessions())
        .nest("/auth", routes::auth())
}

/// A header to send.
pub(crate) type Sent = (&'static str, String);

pub(crate) fn bearer(token: impl AsRef<str>) -> Sent {
    ("authorization", format!("Bearer {}", token.as_ref()))
}

pub(crate) fn cookie(token: impl AsRef<str>) -> Sent {
    ("cookie", format!("__Host-session={}", token.as_ref()))
}

/// One request through the router.
pub(crate) async fn ask(app: &Router, method: Method, uri: &str, sent: &[Sent]) -> Answer {
    let request = Request::builder().method(method).uri(uri);
    let request = sent.iter().fold(request, |request, (name, value)| request.header(*name, value));
    ask_with(app, request.body(Body::empty()).expect("a request")).await
}

pub(crate) async fn get(app: &Router, uri: &str, sent: &[Sent]) -> Answer {
    ask(app, Method::GET, uri, sent).await
}

pub(crate) async fn delete(app: &Router, uri: &str, sent: &[Sent]) -> Answer {
    ask(app, Method::DELETE, uri, sent).await
}

pub(crate) async fn post(app: &Router, uri: &str, sent: &[Sent]) -> Answer {
    ask(app, Method::POST, uri, sent).await
}

pub(crate) async fn ask_with(app: &Router, request: Request<Body>) -> Answer {
    let Ok(response) = app.clone().oneshot(request).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The value of a header that comes at most once.
    pub(crate) fn header(&self, name: &header::HeaderName) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().expect("a header of text"));
        assert_eq!(values.next(), None, "{name} comes twice");
        value
    }

    /// In one line: the status, and the body where it is one of the application's, the code and reason of a problem.
    ///
    /// Also checks what every problem must be, so no test has to.
    pub(crate) fn line(&self) -> String {
        let status = self.status.as_u16();
        if self.header(&header::CONTENT_TYPE) != Some("application/problem+json") {
            assert_eq!(self.header(&header::WWW_AUTHENTICATE), None);
            return format!("{status} {}", self.text()).trim().to_owned();
        }
        let problem = self.check_problem();
        let code = problem["code"].as_str().expect("a code");
        match problem["reason"].as_str() {
            Some(reason) => format!("{status} {code} {reason}"),
            None => format!("{status} {code}"),
        }
    }

    /// RFC 9457 with a code; RFC 6750 §3; not to be cached; nothing in it that is not meant for clients.
    fn check_problem(&self) -> Value {
        let problem = self.json();
        let code = problem["code"].as_str().expect("a code");
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["title"], self.status.canonical_reason().expect("a known status"));
        assert!(problem["detail"].is_string());
        let known = ["type", "title", "status", "code", "detail", "reason", "sessions"];
        assert!(problem.as_object().expect("an object").keys().all(|key| known.contains(&key.as_str())), "{problem}");
        assert_eq!(problem.get("reason").is_some(), code == "session_ended", "{problem}");
        assert_eq!(problem.get("sessions").is_some(), code == "session_limit_reached", "{problem}");

        assert_eq!(self.header(&header::CACHE_CONTROL), Some("no-store"));
        let challenge = match (self.status.as_u16(), code) {
            (401, "missing_token") => Some(r#"Bearer realm="sessions""#),
            // With a max_age that is the test's: see tests/refresh/fresh.rs.
            (401, "fresh_auth_required") => self.header(&header::WWW_AUTHENTICATE),
            (401, "second_factor_required") => {
                Some(r#"Bearer realm="sessions", error="insufficient_user_authentication""#)
            }
            (401, _) => Some(r#"Bearer realm="sessions", error="invalid_token""#),
            // Of a request whose credentials contradict each other; not of a form with a bad field.
            (400, _) if problem["detail"].as_str().expect("text").contains("credentials") => {
                Some(r#"Bearer realm="sessions", error="invalid_request""#)
            }
            _ => None,
        };
        assert_eq!(self.header(&header::WWW_AUTHENTICATE), challenge, "{problem}");
        let retry_after = self.header(&header::RETRY_AFTER).map(|seconds| seconds.parse::<u32>().expect("seconds"));
        assert_eq!(retry_after.is_some_and(|seconds| seconds > 0), self.status == 503, "{problem}");
        problem
    }
}

/// What a token says; by default a good access token for an hour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) typ: &'a str,
    pub(crate) user: &'a str,
    /// Seconds from now; negative: expired.
    pub(crate) expires_in: i64,
}

pub(crate) const ACCESS: Token<'_> = Token { typ: "at+jwt", user: "ahmed", expires_in: 3_600 };
/// What a session cookie holds.
pub(crate) const COOKIE: Token<'_> = Token { typ: "session+jwt", ..ACCESS };
/// Long enough ago for any leeway.
pub(crate) const LONG_AGO: i64 = -3_600;

impl Token<'_> {
    /// Signed with [`SECRET`].
    pub(crate) fn of(self, session: impl Display + Copy) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let now = i64::try_from(now).expect("not that far in the future");
        let expires_at = now + self.expires_in;
        let claims = json!({
            "iss": "axum-device-sessions", "aud": "axum-device-sessions", "sub": self.user, "exp": expires_at,
            "iat": now.min(expires_at - 60), "jti": "by hand", "session_id": session.to_string(),
        });
        let kid = SigningKey::hs256(SECRET).expect("a good secret").kid().to_owned();
        let header = Header { typ: Some(self.typ.to_owned()), kid: Some(kid), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET)).expect("signs")
    }
}
