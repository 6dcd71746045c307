//! What handlers take.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::extract::ConnectInfo;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    layer::{Shared, Who},
    rejection::{Cause, SessionRejection},
};
use crate::sessions::{ANSWER_WITHIN, CurrentSession, PendingSession, Refused, Sessions, Verdict};

/// The layer's verdict on its way to the extractors. A private type: nobody else can put one into a request.
#[derive(Clone)]
pub(crate) struct Judgement {
    pub(super) verdict: Verdict,
    pub(super) arrival: Arrival,
    strict: bool,
    /// Whose word it is. Not for a live session, which knows its own home (unless there is an `on_reject`): the hit path
    /// leaves the layer's reference count alone, which all cores would write to.
    layer: Option<Arc<Shared>>,
    /// When the judging began, where it took a read: the whole answer has to come in time.
    pub(super) began: Option<Instant>,
}

/// How the credential that counts came.
#[derive(Clone, Copy, Default)]
pub(super) struct Arrival {
    pub(super) by_cookie: bool,
    /// By cookie, and another site made the browser send it.
    pub(super) cross_site: bool,
    /// Where a cookie for plain http is allowed.
    pub(super) on_loopback: bool,
}

impl Judgement {
    pub(super) fn of(verdict: Verdict, arrival: Arrival, layer: &Arc<Shared>) -> Self {
        let verdict = match verdict {
            Verdict::Live(current) => Verdict::Live(current.with_loopback(arrival.on_loopback)),
            Verdict::Pending(current) => Verdict::Pending(current.with_loopback(arrival.on_loopback)),
            // Another site may not even sign out with what is left of a session.
            Verdict::Refused(refused) if arrival.cross_site => Verdict::Refused(Refused { named: None, ..refused }),
            other => other,
        };
        // `Claims` may refuse a live session too.
        let may_answer = !matches!(verdict, Verdict::Live(_)) || layer.on_reject.is_some();
        Self { verdict, arrival, strict: layer.strict, layer: may_answer.then(|| Arc::clone(layer)), began: None }
    }

    /// Of a session that has been let in before, by a layer that has nothing to add.
    #[inline]
    pub(super) const fn at_a_glance(current: CurrentSession) -> Self {
        let arrival = Arrival { by_cookie: false, cross_site: false, on_loopback: false };
        Self { verdict: Verdict::Live(current), arrival, strict: false, layer: None, began: None }
    }

    pub(super) fn begun(self, began: Instant) -> Self {
        Self { began: Some(began), ..self }
    }

    /// By when the answer has to be there.
    pub(super) fn deadline(&self) -> Instant {
        self.began.unwrap_or_else(Instant::now) + ANSWER_WITHIN
    }

    /// The same verdict for an inner layer. Its `on_reject` is the nearer one, if it has one.
    pub(super) fn taken_over(&self, layer: &Arc<Shared>) -> Self {
        let nearer = Self::of(self.verdict.clone(), self.arrival, layer);
        let layer = if layer.on_reject.is_some() { nearer.layer } else { self.layer.clone() };
        Self { strict: self.strict, began: self.began, layer, ..nearer }
    }

    pub(super) const fn is_strict(&self) -> bool {
        self.strict
    }

    pub(super) fn is_of(&self, sessions: &Sessions) -> bool {
        self.sessions().is_some_and(|own| Arc::ptr_eq(own.inner(), sessions.inner()))
    }

    /// The handle behind the layer; none behind a fake one.
    pub(super) fn sessions(&self) -> Option<Sessions> {
        match &self.verdict {
            Verdict::Live(current) | Verdict::Pending(current) => {
                current.token().home.upgrade().map(Sessions::from_inner)
            }
            _ => match &self.layer.as_ref()?.who {
                Who::Sessions(sessions) => Some(sessions.clone()),
                #[cfg(any(test, feature = "test-util"))]
                Who::Fake(_) => None,
            },
        }
    }

    /// The live session, or the refusal of whatever else there is.
    #[inline]
    pub(super) fn required(&self) -> Result<CurrentSession, SessionRejection> {
        match &self.verdict {
            Verdict::Live(current) => Ok(current.clone()),
            other => Err(not_live(other)),
        }
    }

    /// A live session by a cookie that another site made the browser send.
    pub(super) fn is_cross_site(&self) -> bool {
        self.arrival.cross_site && matches!(self.verdict, Verdict::Live(_) | Verdict::Pending(_))
    }

    /// Like [`Judgement::required`], but nobody and a refused cookie are `None`.
    fn optional(&self) -> Result<Option<CurrentSession>, SessionRejection> {
        match &self.verdict {
            Verdict::Anonymous => Ok(None),
            Verdict::Refused(_) | Verdict::Pending(_) if self.arrival.by_cookie => Ok(None),
            _ => self.required().map(Some),
        }
    }

    /// The live session, if its user has proved who they are no longer ago than this. What is in memory may be of before
    /// that, so a refusal is read again first.
    pub(super) async fn required_fresh(&self, at_most: Duration) -> Result<CurrentSession, SessionRejection> {
        let current = self.required()?;
        if current.is_fresh(at_most) {
            return Ok(current);
        }
        if !current.was_just_read()
            && let Some(sessions) = self.sessions()
        {
            let verdict = sessions.read_again(&current).finish(self.deadline()).await;
            let again = match (&verdict, SessionRejection::of(&verdict)) {
                (_, Some(rejection)) => return Err(rejection),
                (Verdict::Live(again), None) if again.is_fresh(at_most) => return Ok(again.clone()),
                _ => SessionRejection::new(Cause::FreshAuthRequired(at_most)),
            };
            return Err(again);
        }
        Err(SessionRejection::new(Cause::FreshAuthRequired(at_most)))
    }

    pub(super) fn answer(&self, rejection: SessionRejection, parts: &Parts) -> SessionRejection {
        rejection.with_answer(self.layer.as_ref().and_then(|layer| layer.on_reject.as_ref()), parts)
    }

    #[inline]
    pub(super) fn from_parts(parts: &Parts) -> Result<&Self, SessionRejection> {
        parts.extensions.get::<Self>().ok_or_else(no_layer)
    }
}

// Apart, so that what a handler of a live session takes is small enough to be inlined.

#[cold]
fn not_live(verdict: &Verdict) -> SessionRejection {
    SessionRejection::of(verdict).unwrap_or_else(no_layer)
}

#[cold]
fn no_layer() -> SessionRejection {
    SessionRejection::new(Cause::LayerMissing)
}

impl<S: Send + Sync> FromRequestParts<S> for CurrentSession {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let judgement = Judgement::from_parts(parts)?;
        judgement.required().map_err(|rejection| judgement.answer(rejection, parts))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for CurrentSession {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Self::Rejection> {
        let judgement = Judgement::from_parts(parts)?;
        judgement.optional().map_err(|rejection| judgement.answer(rejection, parts))
    }
}

/// The live session of a user who has proved who they are a short while ago: at sign-in, or since, by
/// [`Sessions::reauthenticated`]. For changing a password, adding a passkey, showing a key.
///
/// How long ago at most is [`require_fresh`](crate::SessionsBuilder::require_fresh), or 10 minutes where that is not set. An older one
/// is answered 401 `fresh_auth_required` with `error="insufficient_user_authentication"` and `max_age` (RFC 9470 §3): let the
/// user prove who they are, call `reauthenticated`, repeat the request.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an extractor is there to be taken apart")]
pub struct FreshSession(pub CurrentSession);

impl<S: Send + Sync> FromRequestParts<S> for FreshSession {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let judgement = Judgement::from_parts(parts)?;
        let at_most = judgement.sessions().map_or(Duration::MAX, |sessions| sessions.fresh_for());
        judgement.required_fresh(at_most).await.map(Self).map_err(|rejection| judgement.answer(rejection, parts))
    }
}

/// The application's own claims in the access token of a live session, read as `T`. Those of `on_issue` are as old as the
/// token, those given at sign-in as old as the session.
/// A token whose claims are not a `T` was issued before they were what they are now: it is answered as
/// `token_expired`, so that the client gets a new one. Claims that were given at sign-in come again as they are: where `T`
/// changes, let it read their old form too (`#[serde(default)]`).
///
/// ```
/// # use axum_device_sessions::Claims;
/// #[derive(serde::Deserialize)]
/// struct Roles {
///     roles: Vec<String>,
/// }
///
/// async fn admin(Claims(Roles { roles }): Claims<Roles>) -> String {
///     roles.join(", ")
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "an extractor is there to be taken apart")]
pub struct Claims<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Claims<T> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let judgement = Judgement::from_parts(parts)?;
        let read = judgement.required().and_then(|current| {
            let payload = current.token().claims.as_deref().unwrap_or("{}");
            serde_json::from_str(payload).map(Self).map_err(|error| {
                // Its Display may quote a claim's value.
                tracing::debug!(line = error.line(), column = error.column(), "claims are not what the handler takes");
                SessionRejection::new(Cause::TokenExpired)
            })
        });
        read.map_err(|rejection| judgement.answer(rejection, parts))
    }
}

/// The session of somebody who has still to show a second factor; 401 for everybody else.
impl<S: Send + Sync> FromRequestParts<S> for PendingSession {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let judgement = Judgement::from_parts(parts)?;
        let rejection = match &judgement.verdict {
            Verdict::Pending(current) => return Ok(Self::new(current.clone())),
            // The code was sent twice, say.
            Verdict::Live(_) => SessionRejection::new(Cause::NotPending),
            other => SessionRejection::of(other).unwrap_or_else(|| SessionRejection::new(Cause::InvalidToken)),
        };
        Err(judgement.answer(rejection, parts))
    }
}

/// The address at the other end of the connection, where the server was started with
/// `into_make_service_with_connect_info`.
pub(super) fn peer(extensions: &http::Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip().to_canonical())
}
