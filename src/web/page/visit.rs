//! A request to the page: how to answer it, and whose it is.

use std::{convert::Infallible, sync::Arc};

use askama::Template;
use axum::{
    Form,
    extract::{FromRequest, NestedPath, OriginalUri, Request},
};
use axum_core::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{
    super::{
        extract::Judgement,
        language::preferred,
        rejection::{Cause, SessionRejection},
    },
    Page,
    address::Home,
    strings::Strings,
    views::Message,
};
use crate::{
    error::{Error, ErrorKind},
    session::EndReason,
    sessions::{CurrentSession, Sessions},
};

/// How to answer: in which words, and with which links.
pub(super) struct Visit {
    pub(super) page: Arc<Page>,
    pub(super) strings: Arc<Strings>,
    pub(super) here: Home,
}

impl FromRequestParts<Arc<Page>> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, page: &Arc<Page>) -> Result<Self, Infallible> {
        Ok(Self::of(parts, page))
    }
}

impl Visit {
    fn of(parts: &Parts, page: &Arc<Page>) -> Self {
        let offered = &page.strings;
        let best = preferred(&parts.headers, offered, |strings| &strings.language).unwrap_or(0);
        // As it was before the prefix was taken away.
        let original = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
        // `nest("/devices/", ..)` has no page at `/devices`.
        let has_slash = parts.extensions.get::<NestedPath>().is_some_and(|prefix| prefix.as_str().ends_with('/'));
        let here = Home::of(original.path(), parts.uri.path() != "/", has_slash);
        Self { page: Arc::clone(page), strings: Arc::clone(&offered[best]), here }
    }

    /// Back to the list, where `done` is told. A fixed word, never something that was sent.
    pub(super) fn home(&self, done: Option<&'static str>) -> Response {
        see_other(&done.map_or_else(|| self.here.home.clone(), |done| format!("{}?done={done}", self.here.home)))
    }

    /// There is no session any more.
    pub(super) fn leave(&self, reason: Option<&EndReason>) -> Response {
        let reason = reason.map_or("", EndReason::as_str);
        match &self.page.login {
            Some(login) => see_other(&login.to(&self.here.path, reason)),
            None => {
                let t = &*self.strings;
                self.message(StatusCode::UNAUTHORIZED, &t.signed_out_title, &t.signed_out, None)
            }
        }
    }

    fn prove_it(&self) -> Response {
        if let Some(address) = &self.page.reauthenticate {
            return see_other(&address.to(&self.here.path, ""));
        }
        let t = &*self.strings;
        let login = self.page.login.as_ref().map(|login| login.to(&self.here.path, ""));
        let way_on = login.as_deref().map(|login| (&*t.sign_in, login)).unwrap_or((&t.back, &self.here.home));
        self.message(StatusCode::FORBIDDEN, &t.fresh_title, &t.fresh, Some(way_on))
    }

    /// Nothing has been learnt about the session: its cookie stays.
    fn unavailable(&self) -> Response {
        let t = &*self.strings;
        let way_on = Some((&*t.try_again, &*self.here.home));
        let mut answer = self.message(StatusCode::SERVICE_UNAVAILABLE, &t.unavailable_title, &t.unavailable, way_on);
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        answer
    }

    fn refused(&self, rejection: SessionRejection) -> Response {
        let status = rejection.status();
        match rejection.code() {
            "fresh_auth_required" => self.prove_it(),
            _ if status == StatusCode::UNAUTHORIZED => self.leave(rejection.end_reason()),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => self.unavailable(),
            // Mistakes in the setup are for whoever makes them.
            _ if status.is_server_error() => rejection.into_response(),
            _ => self.invalid(status),
        }
    }

    pub(super) fn failed(&self, error: Error) -> Response {
        match error.kind() {
            ErrorKind::Unavailable => {
                tracing::warn!(error = &error as &dyn std::error::Error, "answered with 503");
                self.unavailable()
            }
            ErrorKind::SessionEnded => self.leave(error.end_reason()),
            ErrorKind::InvalidInput => self.invalid(StatusCode::BAD_REQUEST),
            _ => error.into_response(),
        }
    }

    fn invalid(&self, status: StatusCode) -> Response {
        let t = &*self.strings;
        self.message(status, &t.invalid_title, &t.invalid, Some((&t.back, &self.here.home)))
    }

    fn message(&self, status: StatusCode, title: &str, text: &str, way_on: Option<(&str, &str)>) -> Response {
        let (page, here, t) = (&*self.page, &self.here, &*self.strings);
        html(status, &Message { page, here, t, title, text, way_on })
    }
}

pub(super) fn html(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the page cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// 303, so that what comes next is a GET (RFC 9110 §15.4.4). The address may be a relative one (§10.2.2).
fn see_other(address: &str) -> Response {
    match HeaderValue::try_from(address) {
        Ok(address) => (StatusCode::SEE_OTHER, [(header::LOCATION, address)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The live session that asks, and the time that is left for its answer. Whoever has none is answered as [`Visit`] says.
pub(super) struct Visitor {
    pub(super) current: CurrentSession,
    pub(super) sessions: Sessions,
    pub(super) deadline: Instant,
}

impl FromRequestParts<Arc<Page>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, page: &Arc<Page>) -> Result<Self, Response> {
        let found = Judgement::from_parts(parts).and_then(|judgement| {
            let current = judgement.required()?;
            let sessions = judgement.sessions().ok_or_else(|| SessionRejection::new(Cause::NoStore))?;
            Ok(Self { current, sessions, deadline: judgement.deadline() })
        });
        found.map_err(|rejection| Visit::of(parts, page).refused(rejection))
    }
}

impl Visitor {
    /// What a form sends; nothing, where that cannot be read. The time that it takes to arrive is not ours.
    pub(super) async fn sent(&mut self, request: Request) -> Sent {
        let asked = Instant::now();
        let sent = Form::<Sent>::from_request(request, &()).await;
        self.deadline += asked.elapsed();
        sent.map(|Form(sent)| sent).unwrap_or_default()
    }

    /// What is a moment ago is so by the clock that wrote it down: the database's.
    pub(super) fn now(&self) -> OffsetDateTime {
        self.current.session().last_activity_at
    }
}

/// A [`Visitor`] who is about to end sessions: who has proved who they are a short while ago, where the application wants that.
pub(super) struct Ender(pub(super) Visitor);

impl FromRequestParts<Arc<Page>> for Ender {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, page: &Arc<Page>) -> Result<Self, Response> {
        let visitor = Visitor::from_request_parts(parts, page).await?;
        let Some(at_most) = visitor.sessions.require_fresh() else { return Ok(Self(visitor)) };
        let fresh = match Judgement::from_parts(parts) {
            Ok(judgement) => judgement.required_fresh(at_most).await,
            Err(missing) => Err(missing),
        };
        match fresh {
            Ok(current) => Ok(Self(Visitor { current, ..visitor })),
            Err(rejection) => Err(Visit::of(parts, page).refused(rejection)),
        }
    }
}

/// The fields of all forms.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) confirmed: String,
}
