//! Each: ask `Sessions`, answer. What changes something leads back to the list by 303, so that a reload does it once.

use axum::extract::{Query, Request, rejection::QueryRejection};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;

use super::{
    views::{Device, List, Notice, Past, Question},
    visit::{Ender, Visit, Visitor, html},
};
use crate::{
    error::{Error, ErrorKind},
    session::{EndReason, Ended, SessionId},
    sessions::{SignedOut, by},
    store::{EndOutcome, EndTarget},
};

/// `?done=signed_out`: what the page has done just before.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    done: String,
}

pub(super) async fn list(visit: Visit, visitor: Visitor, told: Result<Query<Told>, QueryRejection>) -> Response {
    let Visitor { current, sessions, deadline } = &visitor;
    let listing = by(*deadline, "listing sessions", sessions.list(current.user_id(), Some(current.id())));
    let looking_back = by(*deadline, "listing ended sessions", sessions.history(current.user_id()));
    let (mut live, ended) = match tokio::try_join!(listing, looking_back) {
        Ok(both) => both,
        Err(error) => return visit.failed(error),
    };
    // Else the newest activity first, as it is.
    live.sort_by_key(|session| !session.is_current);
    let t = &*visit.strings;
    let now = visitor.now();
    let done = told.map(|Query(told)| told.done).unwrap_or_default();
    let view = List {
        page: &visit.page,
        here: &visit.here,
        t,
        now: super::times::iso(now),
        notice: Notice::of(&done, t),
        devices: live.iter().map(|session| Device::of(session, t, now)).collect(),
        history: ended.iter().take(HISTORY).filter_map(|session| Past::of(session, t, now)).collect(),
    };
    html(StatusCode::OK, &view)
}

/// Somebody reloads, or goes back to, what only a form leads to.
pub(super) async fn home(visit: Visit) -> Response {
    visit.home(None)
}

pub(super) async fn rename(visit: Visit, mut visitor: Visitor, request: Request) -> Response {
    let sent = visitor.sent(request).await;
    let Ok(id) = sent.id.parse::<SessionId>() else { return visit.home(Some("gone")) };
    let renaming = visitor.sessions.rename(visitor.current.user_id(), id, &sent.name);
    match by(visitor.deadline, "renaming a session", renaming).await {
        Ok(Some(_)) => visit.home(Some("renamed")),
        Ok(None) => visit.home(Some("gone")),
        Err(error) if error.kind() == ErrorKind::InvalidInput => visit.home(Some("name")),
        Err(error) => visit.failed(error),
    }
}

/// It asks nothing first: whoever is signed out by mistake signs in again.
pub(super) async fn sign_out(visit: Visit, Ender(mut visitor): Ender, request: Request) -> Response {
    let sent = visitor.sent(request).await;
    // The same for an id that nobody has and for one that somebody else has.
    let Ok(id) = sent.id.parse::<SessionId>() else { return visit.home(Some("gone")) };
    if id == visitor.current.id() {
        return visit.home(Some("current"));
    }
    let target = EndTarget::One { id, user: Some(visitor.current.user_id().clone()) };
    match end(&visitor, target).await {
        Ok(EndOutcome::Ended(_)) => visit.home(Some("signed_out")),
        Ok(_) => visit.home(Some("gone")),
        Err(error) => visit.failed(error),
    }
}

pub(super) async fn sign_out_others(visit: Visit, Ender(mut visitor): Ender, request: Request) -> Response {
    if visitor.sent(request).await.confirmed.is_empty() {
        return others(&visit);
    }
    let target = EndTarget::Others { user: visitor.current.user_id().clone(), keep: visitor.current.id() };
    match end(&visitor, target).await {
        Ok(EndOutcome::Ended(_)) => visit.home(Some("others")),
        Ok(outcome) => visit.leave(ended_before(&outcome)),
        Err(error) => visit.failed(error),
    }
}

pub(super) async fn sign_out_everywhere(visit: Visit, Ender(mut visitor): Ender, request: Request) -> Response {
    if visitor.sent(request).await.confirmed.is_empty() {
        return everywhere(&visit);
    }
    let target = EndTarget::All { user: visitor.current.user_id().clone(), caller: Some(visitor.current.id()) };
    match end(&visitor, target).await {
        Ok(EndOutcome::Ended(_)) => {
            let clear = SignedOut::of(&visitor.current);
            (clear, visit.leave(Some(&EndReason::RevokedByUser))).into_response()
        }
        Ok(outcome) => visit.leave(ended_before(&outcome)),
        Err(error) => visit.failed(error),
    }
}

/// Who reloads a question is asked again.
pub(super) async fn ask_others(visit: Visit, _: Visitor) -> Response {
    others(&visit)
}

/// The same.
pub(super) async fn ask_everywhere(visit: Visit, _: Visitor) -> Response {
    everywhere(&visit)
}

pub(super) async fn log_out(visit: Visit, visitor: Visitor) -> Response {
    let signing_out = visitor.sessions.sign_out(&visitor.current);
    match by(visitor.deadline, "signing out", signing_out).await {
        Ok(clear) => (clear, visit.leave(Some(&EndReason::Logout))).into_response(),
        Err(error) => visit.failed(error),
    }
}

async fn end(visitor: &Visitor, target: EndTarget) -> Result<EndOutcome, Error> {
    let ending = visitor.sessions.end(target, EndReason::RevokedByUser, Some(visitor.current.id().to_string()));
    by(visitor.deadline, "ending sessions", ending).await
}

/// The session that asks had ended meanwhile.
fn ended_before(outcome: &EndOutcome) -> Option<&EndReason> {
    match outcome {
        EndOutcome::CallerEnded(Some(Ended { reason, .. })) | EndOutcome::AlreadyEnded(Ended { reason, .. }) => {
            Some(reason)
        }
        _ => None,
    }
}

fn others(visit: &Visit) -> Response {
    let t = &*visit.strings;
    let [title, text, button] = [&t.ask_others_title, &t.ask_others, &t.ask_others_button];
    question(visit, "sign-out-others", [title, text, button])
}

fn everywhere(visit: &Visit) -> Response {
    let t = &*visit.strings;
    let [title, text, button] = [&t.ask_everywhere_title, &t.ask_everywhere, &t.ask_everywhere_button];
    question(visit, "sign-out-everywhere", [title, text, button])
}

fn question(visit: &Visit, action: &'static str, [title, text, button]: [&str; 3]) -> Response {
    let (page, here, t) = (&*visit.page, &visit.here, &*visit.strings);
    html(StatusCode::OK, &Question { page, here, t, title, text, action, button })
}

/// As many as somebody looks through; the JSON list has more.
const HISTORY: usize = 20;
