//! Where the device of the session that asks can be reached.

use axum::{Json, extract::Request};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;

use super::{
    super::rejection::{Cause, SessionRejection},
    handlers::{Handle, unprocessable},
};
use crate::{
    error::{Error, ErrorKind},
    event::PushTarget,
    sessions::{CurrentSession, by},
};

pub(super) async fn set(current: CurrentSession, mut handle: Handle, request: Request) -> Result<Response, Error> {
    let Ok(Json(target)) = handle.sent::<PushTarget>(request).await else {
        return Ok(unprocessable("the body is JSON: {\"provider\": \"fcm\", \"token\": \"..\"}"));
    };
    reach(&current, &handle, Some(target)).await
}

pub(super) async fn forget(current: CurrentSession, handle: Handle) -> Result<Response, Error> {
    reach(&current, &handle, None).await
}

async fn reach(current: &CurrentSession, handle: &Handle, target: Option<PushTarget>) -> Result<Response, Error> {
    let reaching = handle.sessions.set_push_target(current.id(), target);
    match by(handle.deadline, "setting a push target", reaching).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            Ok(unprocessable("this service does not push to that provider, or its token cannot be one"))
        }
        // It has ended just now.
        Err(error) if error.kind() == ErrorKind::InvalidToken => {
            Ok(SessionRejection::new(Cause::InvalidToken).into_response())
        }
        Err(error) => Err(error),
    }
}
