//! What a client does with its own credential: renew it, give it back. Each judges for itself what it is sent; a stale access
//! token beside a refresh token does not matter.

use axum::{Json, extract::Request};
use axum_core::response::{IntoResponse, Response};
use http::{StatusCode, request::Parts};
use serde::Deserialize;

use super::{
    super::{
        extract::{Judgement, peer},
        rejection::{Cause, SessionRejection},
    },
    handlers::{ClearCookie, Handle, had_ended, invalid_request},
};
use crate::{
    error::Error,
    session::{EndReason, SessionId, UserId},
    sessions::{Refusal, Refused, Verdict, by},
    store::{EndOutcome, EndTarget},
};

/// RFC 6749 §6 asks for a form, which this is not; its names hold.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RefreshRequest, description = "A refresh token, as the last token response brought it."))]
pub(super) struct RefreshToken {
    refresh_token: String,
}

pub(super) async fn refresh(mut handle: Handle, request: Request) -> Result<Response, Error> {
    let whence = handle.sessions.whence(peer(request.extensions()), request.headers());
    let Ok(Json(RefreshToken { refresh_token })) = handle.sent(request).await else {
        return Ok(invalid_request("the body is JSON: {\"refresh_token\": \"..\"}"));
    };
    let refreshing = handle.sessions.refresh_from(&refresh_token, whence);
    by(handle.deadline, "refreshing a session", refreshing).await.map(IntoResponse::into_response)
}

/// Takes a live access token, an expired one with a good signature, or else a refresh token.
pub(super) async fn logout(
    mut handle: Handle,
    ClearCookie(clear): ClearCookie,
    request: Request,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let (session, user) = match named_by_credential(&parts) {
        Ok((session, user)) => (session, Some(user)),
        Err(rejection) => {
            let sent = handle.sent::<RefreshToken>(Request::from_parts(parts, body)).await;
            match sent.ok().and_then(|Json(sent)| handle.sessions.named_by(&sent.refresh_token)) {
                Some(session) => (session, None),
                None => return Ok(rejection.into_response()),
            }
        }
    };
    let target = EndTarget::One { id: session, user };
    Ok(match handle.end(target, EndReason::Logout, session).await? {
        EndOutcome::Ended(_) => (clear, StatusCode::NO_CONTENT).into_response(),
        EndOutcome::AlreadyEnded(ended) => had_ended(&ended),
        EndOutcome::NotFound | EndOutcome::CallerEnded(_) => SessionRejection::new(Cause::InvalidToken).into_response(),
    })
}

/// The session that a validly signed access token names, live or with an expired token.
fn named_by_credential(parts: &Parts) -> Result<(SessionId, UserId), SessionRejection> {
    let judgement = Judgement::from_parts(parts)?;
    if let Verdict::Refused(Refused { why: Refusal::TokenExpired, named: Some(named) }) = &judgement.verdict {
        return Ok((**named).clone());
    }
    if let Verdict::Pending(pending) = &judgement.verdict {
        return Ok((pending.id(), pending.user_id().clone()));
    }
    match judgement.required() {
        Ok(current) => Ok((current.id(), current.user_id().clone())),
        Err(rejection) => Err(judgement.answer(rejection, parts)),
    }
}
