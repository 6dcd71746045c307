//! What a sign-in is answered (RFC 6749 §5.1).

use std::convert::Infallible;

use axum_core::{
    body::Body,
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};
use http::{HeaderValue, header};
use serde::Serialize;

use super::cookie;
use crate::{
    session::Session,
    sessions::{SignedIn, TokenPair},
};

/// The token response of RFC 6749 §5.1.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct TokenResponse<'a> {
    /// For `Authorization: Bearer`.
    access_token: &'a str,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Whole seconds, rounded down: a client that trusts it is never late.
    expires_in: u64,
    /// Good for one use. Not there while the second factor is still to come.
    #[serde(skip_serializing_if = "str::is_empty")]
    refresh_token: &'a str,
    /// The token opens nothing yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    second_factor_required: Option<bool>,
    /// After a sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    session: Option<&'a Session>,
}

/// What a sign-in by cookie is answered: the credential is in the cookie alone.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct CookieResponse<'a> {
    session: &'a Session,
    /// The cookie opens nothing yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    second_factor_required: Option<bool>,
}

impl IntoResponse for SignedIn {
    fn into_response(self) -> Response {
        let second_factor_required = self.pending.then_some(true);
        let body = match &self.cookie {
            Some(_) => json(&CookieResponse { session: &self.session, second_factor_required }),
            None => json(&TokenResponse {
                access_token: &self.access_token,
                token_type: "Bearer",
                expires_in: self.expires_in.as_secs(),
                refresh_token: &self.refresh_token,
                second_factor_required,
                session: Some(&self.session),
            }),
        };
        (self, body).into_response()
    }
}

/// The answer to a refresh.
impl IntoResponse for TokenPair {
    fn into_response(self) -> Response {
        json(&TokenResponse {
            access_token: &self.access_token,
            token_type: "Bearer",
            expires_in: self.expires_in.as_secs(),
            refresh_token: &self.refresh_token,
            second_factor_required: None,
            session: None,
        })
    }
}

/// The headers alone, for a handler with a body of its own: `(signed_in, Redirect::to("/"))`.
impl IntoResponseParts for SignedIn {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        let headers = parts.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(cookie) = &self.cookie {
            cookie::set(headers, cookie);
        }
        if let Some(device) = &self.device_cookie {
            cookie::set_device(headers, device);
        }
        Ok(parts)
    }
}

/// A JSON answer that no cache may keep.
pub(super) fn json(body: &impl Serialize) -> Response {
    // Maps with text keys only: there is nothing here that JSON cannot hold.
    let mut response = Response::new(Body::from(serde_json::to_vec(body).unwrap_or_default()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
