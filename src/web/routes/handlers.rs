//! Each: parse, ask `Sessions`, answer.

use axum::{
    Json,
    extract::{
        FromRequest, Path, Query, Request,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
};
use axum_core::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use super::super::{
    credential,
    extract::Judgement,
    rejection::{Cause, Problem, SessionRejection},
    respond::json,
};
use crate::{
    error::{Error, ErrorKind},
    session::{EndReason, Ended, Session, SessionId},
    sessions::{CurrentSession, Sessions, SignedOut, by},
    store::{EndOutcome, EndTarget},
};

/// The handle behind the layer, and the time that is left for its answer.
pub(super) struct Handle {
    pub(super) sessions: Sessions,
    pub(super) deadline: Instant,
}

impl Handle {
    /// What the client sends as JSON. The time that it takes for that is not ours: it does not count.
    pub(super) async fn sent<T: DeserializeOwned>(&mut self, request: Request) -> Result<Json<T>, JsonRejection> {
        let asked = Instant::now();
        let sent = Json::from_request(request, &()).await;
        self.deadline += asked.elapsed();
        sent
    }

    async fn list(&self, current: &CurrentSession) -> Result<Vec<Session>, Error> {
        by(self.deadline, "listing sessions", self.sessions.list(current.user_id(), Some(current.id()))).await
    }

    async fn history(&self, current: &CurrentSession) -> Result<Vec<Session>, Error> {
        by(self.deadline, "listing ended sessions", self.sessions.history(current.user_id())).await
    }

    pub(super) async fn end(
        &self,
        target: EndTarget,
        reason: EndReason,
        caller: SessionId,
    ) -> Result<EndOutcome, Error> {
        by(self.deadline, "ending sessions", self.sessions.end(target, reason, Some(caller.to_string()))).await
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Handle {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let judgement = Judgement::from_parts(parts)?;
        let sessions = judgement.sessions().ok_or_else(|| SessionRejection::new(Cause::NoStore))?;
        Ok(Self { sessions, deadline: judgement.deadline() })
    }
}

/// `?state=ended` asks for those that have ended.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct Listed {
    /// Those that live, or those that have ended (the newest end first, at most 100).
    #[serde(default)]
    state: State,
}

/// Which sessions.
#[derive(Deserialize, Default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SessionState))]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    #[default]
    Active,
    Ended,
}

/// The session that asks, for ending others: fresh, where the application wants that.
pub(super) struct Ender(CurrentSession);

impl<S: Send + Sync> FromRequestParts<S> for Ender {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let judgement = Judgement::from_parts(parts)?;
        let current = match judgement.sessions().and_then(|sessions| sessions.require_fresh()) {
            Some(at_most) => judgement.required_fresh(at_most).await,
            None => judgement.required(),
        };
        current.map(Self).map_err(|rejection| judgement.answer(rejection, parts))
    }
}

pub(super) async fn list(
    current: CurrentSession,
    handle: Handle,
    listed: Result<Query<Listed>, QueryRejection>,
) -> Result<Response, Error> {
    let Ok(Query(Listed { state })) = listed else {
        return Ok(invalid_request("state is `active` or `ended`"));
    };
    let sessions = match state {
        State::Active => handle.list(&current).await?,
        State::Ended => handle.history(&current).await?,
    };
    Ok(json(&sessions))
}

pub(super) async fn current(current: CurrentSession) -> Response {
    json(&current.session())
}

/// The last one: the prefix that the application mounts this under may have parameters of its own.
pub(super) fn last(path: Result<Parameters, PathRejection>) -> Option<String> {
    path.ok().and_then(|Path(mut parameters)| parameters.pop()).map(|(_, value)| value)
}

pub(super) type Parameters = Path<Vec<(String, String)>>;

fn named(path: Result<Parameters, PathRejection>) -> Option<SessionId> {
    last(path)?.parse().ok()
}

pub(super) async fn end_one(
    Ender(current): Ender,
    handle: Handle,
    path: Result<Parameters, PathRejection>,
) -> Result<Response, Error> {
    let Some(id) = named(path) else { return Ok(not_found()) };
    if id == current.id() {
        let detail = "this is the session that asks: use logout";
        return Ok(Problem::new(StatusCode::CONFLICT, "current_session", detail).into_response());
    }
    let target = EndTarget::One { id, user: Some(current.user_id().clone()) };
    Ok(match handle.end(target, EndReason::RevokedByUser, current.id()).await? {
        EndOutcome::Ended(_) | EndOutcome::AlreadyEnded(_) => StatusCode::NO_CONTENT.into_response(),
        EndOutcome::NotFound | EndOutcome::CallerEnded(_) => not_found(),
    })
}

/// `deviceName` and nothing else: the rest is not the user's to change.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Rename, description = "What a device is to be called."))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Changes {
    /// 1 to 64 characters, none of them a control character.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
    device_name: String,
}

pub(super) async fn rename(
    current: CurrentSession,
    mut handle: Handle,
    path: Result<Parameters, PathRejection>,
    request: Request,
) -> Result<Response, Error> {
    let Some(id) = named(path) else { return Ok(not_found()) };
    let Ok(Json(Changes { device_name })) = handle.sent(request).await else {
        return Ok(unprocessable("the body is JSON: {\"deviceName\": \"..\"}"));
    };
    let renaming = handle.sessions.rename(current.user_id(), id, &device_name);
    match by(handle.deadline, "renaming a session", renaming).await {
        Ok(Some(mut session)) => {
            session.is_current = id == current.id();
            Ok(json(&session))
        }
        Ok(None) => Ok(not_found()),
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            Ok(unprocessable("deviceName has 1 to 64 characters, none of them a control character"))
        }
        Err(error) => Err(error),
    }
}

pub(super) async fn end_others(Ender(current): Ender, handle: Handle) -> Result<Response, Error> {
    let target = EndTarget::Others { user: current.user_id().clone(), keep: current.id() };
    Ok(revoked(handle.end(target, EndReason::RevokedByUser, current.id()).await?))
}

pub(super) async fn end_all(
    Ender(current): Ender,
    handle: Handle,
    ClearCookie(clear): ClearCookie,
) -> Result<Response, Error> {
    let target = EndTarget::All { user: current.user_id().clone(), caller: Some(current.id()) };
    let answer = revoked(handle.end(target, EndReason::RevokedByUser, current.id()).await?);
    Ok(if answer.status().is_success() { (clear, answer).into_response() } else { answer })
}

/// Takes the session cookie back, with the attributes that it was set with, where the request carried one.
pub(super) struct ClearCookie(pub(super) Option<SignedOut>);

impl<S: Send + Sync> FromRequestParts<S> for ClearCookie {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let on_loopback = Judgement::from_parts(parts).is_ok_and(|judgement| judgement.arrival.on_loopback);
        Ok(Self(credential::has_cookie(&parts.headers, on_loopback).then_some(SignedOut { on_loopback })))
    }
}

/// How many sessions have ended.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct Revoked {
    revoked: usize,
}

fn revoked(outcome: EndOutcome) -> Response {
    match outcome {
        EndOutcome::Ended(ended) => json(&Revoked { revoked: ended.len() }),
        EndOutcome::CallerEnded(Some(ended)) | EndOutcome::AlreadyEnded(ended) => had_ended(&ended),
        EndOutcome::CallerEnded(None) | EndOutcome::NotFound => {
            SessionRejection::new(Cause::InvalidToken).into_response()
        }
    }
}

pub(super) fn had_ended(ended: &Ended) -> Response {
    SessionRejection::new(Cause::SessionEnded(ended.reason.clone())).into_response()
}

/// The same for an id that nobody has and for one that somebody else has.
fn not_found() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "session_not_found", "there is no such session").into_response()
}

pub(super) fn invalid_request(detail: &'static str) -> Response {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_request", detail).into_response()
}

pub(super) fn unprocessable(detail: &'static str) -> Response {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail).into_response()
}

/// Also for the answers that axum makes by itself (405).
pub(super) async fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
