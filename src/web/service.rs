//! A request comes in.

use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use axum_core::response::{IntoResponse, Response};
use http::{HeaderMap, Method, Request, header};
use tokio::time::Instant;
use tower::Service;

use super::{
    cookie,
    credential::{self, Credential, Presented},
    csrf::{self, Head},
    extract::{Arrival, Judgement, peer},
    future::ResponseFuture,
    layer::{Shared, Who},
    rejection::{Cause, SessionRejection},
    renewal::Renewal,
};
use crate::{
    fields::Fields,
    sessions::{Caller, PendingRead, Refusal, Refused, Sessions, Validation, Verdict},
    token::TokenUse,
};

/// The service that [`SessionValidationLayer`](super::SessionValidationLayer) makes.
#[derive(Clone, Debug)]
pub struct SessionValidation<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> SessionValidation<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, B> Service<Request<B>> for SessionValidation<S>
where
    S: Service<Request<B>, Response = Response> + Clone,
{
    type Response = Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (request, judging) = self.shared.judge(request);
        match judging {
            Judging::Done(judgement) => match admit(&self.shared, request, judgement) {
                Ok(Admitted { request, renewal }) => ResponseFuture::inner(self.inner.call(request), renewal),
                Err(refused) => ResponseFuture::refused(*refused),
            },
            Judging::Read { pending, arrival, began } => {
                // The service that was polled ready is the one to call; the clone takes its place (see tower's docs
                // on `Service`, "Be careful when cloning inner services").
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                let began = began.unwrap_or_else(Instant::now);
                ResponseFuture::reading(pending, arrival, began, ready, request, Arc::clone(&self.shared))
            }
        }
    }
}

pub(super) enum Judging {
    Done(Judgement),
    /// `began`: when an outer layer began to read for the same request.
    Read {
        pending: PendingRead,
        arrival: Arrival,
        began: Option<Instant>,
    },
}

impl Shared {
    /// The verdict on this request, or the read that it takes.
    #[allow(clippy::infallible_destructuring_match, reason = "there is a second variant with `test-util`")]
    fn judge<B>(self: &Arc<Self>, request: Request<B>) -> (Request<B>, Judging) {
        let sessions = match &self.who {
            Who::Sessions(sessions) => sessions,
            #[cfg(any(test, feature = "test-util"))]
            Who::Fake(current) => {
                return (
                    request,
                    Judging::Done(Judgement::of(Verdict::Live(current.clone()), Arrival::default(), self)),
                );
            }
        };
        let outer = request.extensions().get::<Judgement>().filter(|outer| outer.is_of(sessions));
        if let (Some(outer), None) = (outer, &self.credential) {
            let judging = match &outer.verdict {
                // The same session once more, wherever its token came from. A refusal is evidence already.
                Verdict::Live(current) | Verdict::Pending(current) if self.strict && !outer.is_strict() => {
                    Judging::Read { pending: sessions.read_again(current), arrival: outer.arrival, began: outer.began }
                }
                _ => Judging::Done(outer.taken_over(self)),
            };
            return (request, judging);
        }
        if self.credential.is_none() && self.counts.is_none() {
            let head = Head::of(&request);
            let on_loopback = is_on_loopback(sessions, head);
            let presented = credential::find(head.headers, on_loopback);
            let judging = self.judge_presented(sessions, presented, !opens_a_stream(head), on_loopback, head);
            return (request, judging);
        }
        let (parts, body) = request.into_parts();
        let head = Head::of_parts(&parts);
        let touch = self.counts.as_ref().map_or_else(|| !opens_a_stream(head), |counts| counts(&parts));
        let on_loopback = is_on_loopback(sessions, head);
        let found;
        let presented = match &self.credential {
            Some(find) => {
                found = find(&parts);
                let one = |token| Presented::One(Credential { token, usage: TokenUse::Access });
                found.as_deref().map_or(Presented::Nothing, one)
            }
            None => credential::find(head.headers, on_loopback),
        };
        let judging = self.judge_presented(sessions, presented, touch, on_loopback, head);
        (Request::from_parts(parts, body), judging)
    }

    fn judge_presented(
        self: &Arc<Self>,
        sessions: &Sessions,
        presented: Presented<'_>,
        touch: bool,
        on_loopback: bool,
        head: Head<'_>,
    ) -> Judging {
        let refused = |why| Verdict::Refused(Refused { why, named: None });
        let done = |verdict, arrival| Judging::Done(Judgement::of(verdict, arrival, self));
        let mut arrival = Arrival { on_loopback, ..Arrival::default() };
        // A token that does not verify names no session, and does not count.
        let named = |credential: Credential<'_>| sessions.named_by_token(credential.token, credential.usage);
        let mut beside = None;
        let Credential { token, usage } = match presented {
            Presented::Nothing => return done(Verdict::Anonymous, arrival),
            Presented::Conflict => return done(refused(Refusal::TwoCredentials), arrival),
            Presented::Both { header, cookie } => {
                beside = named(cookie);
                if beside.is_some_and(|cookie| named(header).is_some_and(|header| header != cookie)) {
                    return done(refused(Refusal::TwoCredentials), arrival);
                }
                header
            }
            Presented::One(one) => one,
        };
        arrival.by_cookie = usage == TokenUse::Cookie;
        arrival.cross_site = arrival.by_cookie && csrf::is_refused(head, sessions);
        // What another site does is not the user's activity.
        let touch = touch && !arrival.cross_site;
        match sessions.validate(token, usage, self.strict, touch, &head) {
            Validation::Done(verdict) => done(verdict, arrival),
            Validation::Read(pending) => Judging::Read { pending: pending.beside(beside), arrival, began: None },
        }
    }
}

/// Who is calling.
impl Caller for Head<'_> {
    fn peer(&self) -> Option<IpAddr> {
        peer(self.extensions)
    }

    fn fields(&self) -> &dyn Fields {
        self.headers
    }
}

/// A request on its way to the inner service.
pub(super) struct Admitted<B> {
    pub(super) request: Request<B>,
    /// Where the answer may have to carry a new cookie.
    pub(super) renewal: Option<Box<Renewal>>,
}

/// Puts the verdict where the extractors find it. Or answers:
/// where a session is required and there is none, and where another site uses somebody's cookie.
pub(super) fn admit<B>(
    shared: &Shared,
    mut request: Request<B>,
    judgement: Judgement,
) -> Result<Admitted<B>, Box<Response>> {
    let refused = if judgement.is_cross_site() {
        Some(SessionRejection::new(Cause::CrossSite))
    } else if shared.required && !is_preflight(request.method(), request.headers()) {
        judgement.required().err()
    } else {
        None
    };
    if let Some(rejection) = refused {
        let (parts, _body) = request.into_parts();
        let answer = judgement.answer(rejection, &parts).readable(&parts);
        return Err(Box::new(answer.into_response()));
    }
    let renewal = Renewal::of(shared, &judgement);
    request.extensions_mut().insert(judgement);
    Ok(Admitted { request, renewal })
}

fn is_on_loopback(sessions: &Sessions, head: Head<'_>) -> bool {
    sessions.allows_loopback_cookie() && cookie::is_on_loopback(head.extensions, head.uri, head.headers)
}

/// An `EventSource`, which says nothing else (WHATWG HTML §9.2.2): opened again by the browser itself whenever it breaks off,
/// so it is no sign of anybody being there.
fn opens_a_stream(head: Head<'_>) -> bool {
    *head.method == Method::GET && head.headers.get(header::ACCEPT).is_some_and(|kind| kind == "text/event-stream")
}

fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}
