//! What a refused request is answered (RFC 6750 §3, RFC 9457). What went wrong inside goes to `tracing`, never here.

use std::{borrow::Cow, fmt, time::Duration};

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::{Serialize, Serializer};

use super::{layer::OnReject, readable};
use crate::{
    error::{Error, ErrorKind},
    session::{EndReason, Session},
    sessions::{Refusal, Verdict},
};

/// Why a request was refused, and the answer to it.
#[derive(Debug)]
#[must_use = "return it: it is the response"]
pub struct SessionRejection {
    cause: Cause,
    replaced_by: Option<Box<Response>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    LayerMissing,
    #[cfg_attr(not(feature = "routes"), expect(dead_code, reason = "only the routes need a store"))]
    NoStore,
    MissingToken,
    InvalidToken,
    TokenExpired,
    SessionEnded(EndReason),
    TwoCredentials,
    SecondFactorRequired,
    /// The second factor was to be checked of a session that needs none.
    NotPending,
    /// The user must have proved who they are no longer ago than this.
    FreshAuthRequired(Duration),
    CrossSite,
    Unavailable,
}

impl SessionRejection {
    pub(super) const fn new(cause: Cause) -> Self {
        Self { cause, replaced_by: None }
    }

    /// `None` for a live session.
    pub(super) fn of(verdict: &Verdict) -> Option<Self> {
        Some(Self::new(match verdict {
            Verdict::Live(_) => return None,
            Verdict::Pending(_) => Cause::SecondFactorRequired,
            Verdict::Anonymous => Cause::MissingToken,
            Verdict::Unavailable => Cause::Unavailable,
            Verdict::Refused(refused) => match &refused.why {
                Refusal::InvalidToken => Cause::InvalidToken,
                Refusal::TokenExpired => Cause::TokenExpired,
                Refusal::SessionEnded(reason) => Cause::SessionEnded(reason.clone()),
                Refusal::TwoCredentials => Cause::TwoCredentials,
            },
        }))
    }

    /// The application's answer in place of ours. A mistake in the setup stays visible.
    pub(super) fn with_answer(mut self, on_reject: Option<&OnReject>, parts: &Parts) -> Self {
        if !matches!(self.cause, Cause::LayerMissing | Cause::NoStore) {
            self.replaced_by = on_reject.map(|answer| Box::new(answer(&self, parts)));
        }
        self
    }

    /// As a page, where somebody would be left with JSON in the window: their form was refused.
    pub(super) fn readable(mut self, parts: &Parts) -> Self {
        if self.cause == Cause::CrossSite && self.replaced_by.is_none() {
            self.replaced_by = readable::cross_site(parts).map(Box::new);
        }
        self
    }

    /// The status of our answer: 401, 400 for contradicting credentials, 409 for a second factor that is not needed, 403 for a request by cookie that another site
    /// made the browser send, 503 where the database could not be asked,
    /// 500 where the layer is missing.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self.cause {
            Cause::LayerMissing | Cause::NoStore => StatusCode::INTERNAL_SERVER_ERROR,
            Cause::TwoCredentials => StatusCode::BAD_REQUEST,
            Cause::NotPending => StatusCode::CONFLICT,
            Cause::CrossSite => StatusCode::FORBIDDEN,
            Cause::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Cause::MissingToken
            | Cause::InvalidToken
            | Cause::TokenExpired
            | Cause::SessionEnded(_)
            | Cause::SecondFactorRequired
            | Cause::FreshAuthRequired(_) => StatusCode::UNAUTHORIZED,
        }
    }

    /// The stable code of the answer's body.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.cause {
            Cause::LayerMissing | Cause::NoStore => "internal_error",
            Cause::MissingToken => "missing_token",
            Cause::InvalidToken => "invalid_token",
            Cause::TokenExpired => "token_expired",
            Cause::SessionEnded(_) => "session_ended",
            Cause::TwoCredentials => "invalid_request",
            Cause::SecondFactorRequired => "second_factor_required",
            Cause::NotPending => "not_pending",
            Cause::FreshAuthRequired(_) => "fresh_auth_required",
            Cause::CrossSite => "cross_site_request",
            Cause::Unavailable => "temporarily_unavailable",
        }
    }

    /// Why the session ended, where it has.
    #[must_use]
    pub const fn end_reason(&self) -> Option<&EndReason> {
        match &self.cause {
            Cause::SessionEnded(reason) => Some(reason),
            _ => None,
        }
    }

    /// RFC 6750 §3: no `error` where nothing was sent that could be wrong.
    fn challenge(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self.cause {
            Cause::LayerMissing | Cause::NoStore | Cause::CrossSite | Cause::NotPending | Cause::Unavailable => {
                return None;
            }
            Cause::MissingToken => r#"Bearer realm="sessions""#,
            Cause::TwoCredentials => r#"Bearer realm="sessions", error="invalid_request""#,
            Cause::InvalidToken | Cause::TokenExpired | Cause::SessionEnded(_) => {
                r#"Bearer realm="sessions", error="invalid_token""#
            }
            // RFC 9470 §3.
            Cause::SecondFactorRequired => r#"Bearer realm="sessions", error="insufficient_user_authentication""#,
            Cause::FreshAuthRequired(at_most) => {
                let error = r#"Bearer realm="sessions", error="insufficient_user_authentication""#;
                return Some(format!(r#"{error}, max_age="{}""#, at_most.as_secs()).into());
            }
        }))
    }

    const fn detail(&self) -> &'static str {
        match self.cause {
            Cause::LayerMissing => "`SessionValidationLayer` is missing: add it around this route",
            Cause::NoStore => "there is no store behind `SessionValidationLayer::fake`",
            Cause::MissingToken => "sign in first",
            Cause::InvalidToken => "the access token is not valid: sign in again",
            Cause::TokenExpired => "the access token has expired: get a new one",
            Cause::SessionEnded(_) => "the session has ended: sign in again",
            Cause::TwoCredentials => "the request carries credentials of different sessions: send one",
            Cause::SecondFactorRequired => "the second factor is still to come",
            Cause::NotPending => "this session is complete: it needs no second factor",
            Cause::FreshAuthRequired(_) => "prove once more who you are: this needs a fresh sign-in",
            Cause::CrossSite => "another site made the browser send this request: open the page itself",
            Cause::Unavailable => "sessions cannot be checked at the moment: keep your token and try again",
        }
    }
}

impl fmt::Display for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for SessionRejection {}

impl IntoResponse for SessionRejection {
    fn into_response(mut self) -> Response {
        if let Some(response) = self.replaced_by.take() {
            return *response;
        }
        let mut problem = Problem::new(self.status(), self.code(), self.detail());
        problem.challenge = self.challenge();
        match &self.cause {
            Cause::LayerMissing | Cause::NoStore => tracing::error!("{}", self.detail()),
            Cause::SessionEnded(reason) => problem.reason = Some(reason.clone()),
            _ => {}
        }
        problem.into_response()
    }
}

/// An error (RFC 9457) with a stable `code`, never to be cached.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct Problem {
    /// Always `about:blank`: `code` tells problems apart.
    r#type: &'static str,
    /// The name of the status.
    title: &'static str,
    /// The status of the answer.
    #[serde(serialize_with = "as_number")]
    #[cfg_attr(feature = "openapi", schema(value_type = u16))]
    status: StatusCode,
    /// What is wrong. Stable: decide by it.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::routes::openapi_codes))]
    code: &'static str,
    /// The same in words, for developers.
    detail: &'static str,
    /// Why the session ended: with `session_ended` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    reason: Option<EndReason>,
    /// Those that there are, the newest activity first: with `session_limit_reached` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    sessions: Option<Vec<Session>>,
    #[serde(skip)]
    challenge: Option<Cow<'static, str>>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        let title = status.canonical_reason().unwrap_or_default();
        let (reason, sessions, challenge) = (None, None, None);
        Self { r#type: "about:blank", title, status, code, detail, reason, sessions, challenge }
    }
}

fn as_number<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Texts and sessions: there is nothing here that JSON cannot hold.
        let mut response = Response::new(Body::from(serde_json::to_vec(&self).unwrap_or_default()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(Ok(challenge)) = self.challenge.as_deref().map(HeaderValue::from_str) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            // A failover takes seconds, a busy pool less: soon, but not at once.
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}

/// So that a login handler can end in `Ok(sessions.sign_in(..).await?)`.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code, detail) = match self.kind() {
            ErrorKind::Unavailable => {
                tracing::warn!(error = &self as &dyn std::error::Error, "answered with 503");
                return SessionRejection::new(Cause::Unavailable).into_response();
            }
            ErrorKind::InvalidToken => return SessionRejection::new(Cause::InvalidToken).into_response(),
            ErrorKind::SessionEnded => {
                let cause = self.end_reason().map_or(Cause::InvalidToken, |reason| Cause::SessionEnded(reason.clone()));
                return SessionRejection::new(cause).into_response();
            }
            ErrorKind::CrossSite => return SessionRejection::new(Cause::CrossSite).into_response(),
            ErrorKind::SessionLimit => {
                let mut there = self.sessions().to_vec();
                there.sort_by_key(|session| (std::cmp::Reverse(session.last_activity_at), session.id));
                let detail = "you are signed in on as many devices as you may: sign one of them out first";
                let problem = Problem::new(StatusCode::CONFLICT, "session_limit_reached", detail);
                return Problem { sessions: Some(there), ..problem }.into_response();
            }
            ErrorKind::SignInRefused => {
                (StatusCode::FORBIDDEN, "sign_in_refused", "this sign-in is unusual, and was refused")
            }
            ErrorKind::InvalidLink => (StatusCode::GONE, "link_invalid", "this link does not work any more"),
            ErrorKind::Refused => (StatusCode::FORBIDDEN, "account_disabled", "this account may not sign in"),
            ErrorKind::InvalidInput => {
                (StatusCode::BAD_REQUEST, "invalid_request", "a value that was sent cannot be used")
            }
            ErrorKind::Schema | ErrorKind::InvalidClaims | ErrorKind::CannotSign | ErrorKind::Misuse => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the service is not set up correctly")
            }
        };
        if status.is_server_error() {
            tracing::error!(error = &self as &dyn std::error::Error, "answered with 500");
        }
        Problem::new(status, code, detail).into_response()
    }
}
