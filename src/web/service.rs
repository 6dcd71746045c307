//! A request comes in.

use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use axum_core::response::{IntoResponse, Response};
use http::{Extensions, HeaderMap, Method, Request, header};
use tokio::time::Instant;
use tower::Service;

use super::{
    credential::{self, Credential, Presented},
    extract::{Judgement, peer, user_agent},
    future::ResponseFuture,
    layer::{Shared, Who},
};
use crate::{
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
                Ok(request) => ResponseFuture::inner(self.inner.call(request)),
                Err(refused) => ResponseFuture::refused(*refused),
            },
            Judging::Read { pending, by_cookie, began } => {
                // The service that was polled ready is the one to call; the clone takes its place (see tower's docs
                // on `Service`, "Be careful when cloning inner services").
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                let began = began.unwrap_or_else(Instant::now);
                ResponseFuture::reading(pending, by_cookie, began, ready, request, Arc::clone(&self.shared))
            }
        }
    }
}

pub(super) enum Judging {
    Done(Judgement),
    /// `began`: when an outer layer began to read for the same request.
    Read {
        pending: PendingRead,
        by_cookie: bool,
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
                return (request, Judging::Done(Judgement::of(Verdict::Live(current.clone()), false, self)));
            }
        };
        let outer = request.extensions().get::<Judgement>().filter(|outer| outer.is_of(sessions));
        if let (Some(outer), None) = (outer, &self.credential) {
            let judging = match &outer.verdict {
                // The same session once more, wherever its token came from. A refusal is evidence already.
                Verdict::Live(current) if self.strict && !outer.is_strict() => Judging::Read {
                    pending: sessions.read_again(current),
                    by_cookie: outer.by_cookie,
                    began: outer.began,
                },
                _ => Judging::Done(outer.taken_over(self)),
            };
            return (request, judging);
        }
        if self.credential.is_none() && self.counts.is_none() {
            let presented = credential::find(request.headers());
            let head = Head { headers: request.headers(), extensions: request.extensions() };
            let judging = self.judge_presented(sessions, presented, true, &head);
            return (request, judging);
        }
        let (parts, body) = request.into_parts();
        let touch = self.counts.as_ref().is_none_or(|counts| counts(&parts));
        let found;
        let presented = match &self.credential {
            Some(find) => {
                found = find(&parts);
                let one = |token| Presented::One(Credential { token, usage: TokenUse::Access });
                found.as_deref().map_or(Presented::Nothing, one)
            }
            None => credential::find(&parts.headers),
        };
        let head = Head { headers: &parts.headers, extensions: &parts.extensions };
        let judging = self.judge_presented(sessions, presented, touch, &head);
        (Request::from_parts(parts, body), judging)
    }

    fn judge_presented(
        self: &Arc<Self>,
        sessions: &Sessions,
        presented: Presented<'_>,
        touch: bool,
        head: &Head<'_>,
    ) -> Judging {
        let refused = |why| Verdict::Refused(Refused { why, named: None });
        let done = |verdict, by_cookie| Judging::Done(Judgement::of(verdict, by_cookie, self));
        let Credential { token, usage } = match presented {
            Presented::Nothing => return done(Verdict::Anonymous, false),
            Presented::Conflict => return done(refused(Refusal::TwoCredentials), false),
            Presented::Both { header, cookie } if disagree(sessions, header, cookie) => {
                return done(refused(Refusal::TwoCredentials), false);
            }
            Presented::Both { header, .. } => header,
            Presented::One(one) => one,
        };
        let by_cookie = usage == TokenUse::Cookie;
        match sessions.validate(token, usage, self.strict, touch, head) {
            Validation::Done(verdict) => done(verdict, by_cookie),
            Validation::Read(pending) => Judging::Read { pending, by_cookie, began: None },
        }
    }
}

/// Who is calling.
struct Head<'a> {
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl Caller for Head<'_> {
    fn ip_address(&self) -> Option<IpAddr> {
        peer(self.extensions)
    }

    fn user_agent(&self) -> Option<String> {
        user_agent(self.headers)
    }
}

/// Whether header and cookie name different sessions. A token that does not verify names none, and does not count.
fn disagree(sessions: &Sessions, header: Credential<'_>, cookie: Credential<'_>) -> bool {
    let named = |credential: Credential<'_>| sessions.named_by_token(credential.token, credential.usage);
    matches!((named(header), named(cookie)), (Some(header), Some(cookie)) if header != cookie)
}

/// Puts the verdict where the extractors find it; or, where a session is required and there is none, answers.
pub(super) fn admit<B>(
    shared: &Shared,
    mut request: Request<B>,
    judgement: Judgement,
) -> Result<Request<B>, Box<Response>> {
    if shared.required
        && !is_preflight(request.method(), request.headers())
        && let Err(rejection) = judgement.required()
    {
        let (parts, _body) = request.into_parts();
        let answer = judgement.answer(rejection, &parts);
        return Err(Box::new(answer.into_response()));
    }
    request.extensions_mut().insert(judgement);
    Ok(request)
}

fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}
