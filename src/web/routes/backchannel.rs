//! An identity provider says that somebody has logged out (OpenID Connect Back-Channel Logout 1.0 §2.5 to §2.8).

use axum::{Form, extract::rejection::FormRejection};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;

use super::handlers::{Handle, invalid_request};
use crate::error::{Error, ErrorKind};

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = LogoutRequest))]
pub(super) struct LogoutToken {
    /// OpenID Connect Back-Channel Logout 1.0 §2.4.
    logout_token: String,
}

pub(super) async fn logout(handle: Handle, sent: Result<Form<LogoutToken>, FormRejection>) -> Result<Response, Error> {
    let Ok(Form(LogoutToken { logout_token })) = sent else {
        return Ok(invalid_request("the body is a form with one logout_token"));
    };
    match handle.sessions.backchannel_logout(&logout_token, handle.deadline).await {
        Ok(()) => Ok(StatusCode::OK.into_response()),
        // §2.8: 400, whatever is wrong with it.
        Err(error) if error.kind() == ErrorKind::InvalidToken => Ok(invalid_request("the logout token is not valid")),
        Err(error) => Err(error),
    }
}
