//! A request comes in.

use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use axum_core::response::{IntoResponse, Response};
use http::{HeaderMap, Method, Request, header, request::Parts};
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
    sessions::{Caller, CurrentSession, PendingRead, Refusal, Refused, Sessions, Validation, Verdict},
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

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(current) = self.shared.let_in_at_a_glance(Head::of(&request)) {
            request.extensions_mut().insert(Judgement::at_a_glance(current));
            return ResponseFuture::inner(self.inner.call(request), None);
        }
        self.judge_and_call(request)
    }
}

impl<S> SessionValidation<S> {
    /// A function of its own: the few values that most requests take do not have to make room for what this one needs.
    #[inline(never)]
    fn judge_and_call<B>(&mut self, mut request: Request<B>) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>, Response = Response> + Clone,
    {
        let judging = if self.shared.asks_for_parts() {
            let (parts, body) = request.into_parts();
            let judging = self.shared.judge(Head::of_parts(&parts), Some(&parts));
            request = Request::from_parts(parts, body);
            judging
        } else {
            self.shared.judge(Head::of(&request), None)
        };
        match judging {
            Judging::Done(judgement) => match admit(&self.shared, &mut request, judgement) {
                Ok(renewal) => ResponseFuture::inner(self.inner.call(request), renewal),
                Err(refusal) => ResponseFuture::refused(refusal.answer(request)),
            },
            Judging::Read { pending, arrival, began } => {
                // The service that was polled ready is the one to call; the clone takes its place (see tower's docs
                // on `Service`, "Be careful when cloning inner services").
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                let began = began.unwrap_or_else(Instant::now);
                ResponseFuture::reading(*pending, arrival, began, ready, request, Arc::clone(&self.shared))
            }
        }
    }
}

pub(super) enum Judging {
    Done(Judgement),
    /// `began`: when an outer layer began to read for the same request.
    Read {
        pending: Box<PendingRead>,
        arrival: Arrival,
        began: Option<Instant>,
    },
}

impl Shared {
    /// Where nothing that this layer was told asks for more than a look at the token.
    fn plain(&self) -> Option<&Sessions> {
        let has_more = self.strict || self.asks_for_parts() || self.on_reject.is_some();
        match &self.who {
            Who::Sessions(sessions) if !has_more && !sessions.allows_loopback_cookie() => Some(sessions),
            _ => None,
        }
    }

    /// Whether the application has hooks that look at a request.
    fn asks_for_parts(&self) -> bool {
        self.credential.is_some() || self.counts.is_some()
    }

    /// For what nearly every request is: its one credential is a Bearer token, and what let that in before still does. `None` says
    /// nothing: [`Shared::judge`] would come to the same verdict, but has more to ask.
    fn let_in_at_a_glance(&self, head: Head<'_>) -> Option<CurrentSession> {
        let sessions = self.plain()?;
        if head.extensions.get::<Judgement>().is_some() {
            return None;
        }
        let token = credential::bearer_alone(head.headers)?;
        sessions.let_in_again(token, TokenUse::Access, || !opens_a_stream(head), &head)
    }

    /// The verdict on this request, or the read that it takes. `parts`: for the application's hooks, where it has any.
    #[allow(clippy::infallible_destructuring_match, reason = "there is a second variant with `test-util`")]
    fn judge(self: &Arc<Self>, head: Head<'_>, parts: Option<&Parts>) -> Judging {
        let sessions = match &self.who {
            Who::Sessions(sessions) => sessions,
            #[cfg(any(test, feature = "test-util"))]
            Who::Fake(current) => {
                return Judging::Done(Judgement::of(Verdict::Live(current.clone()), Arrival::default(), self));
            }
        };
        let outer = head.extensions.get::<Judgement>().filter(|outer| outer.is_of(sessions));
        if let (Some(outer), None) = (outer, &self.credential) {
            return match &outer.verdict {
                // The same session once more, wherever its token came from. A refusal is evidence already.
                Verdict::Live(current) | Verdict::Pending(current) if self.strict && !outer.is_strict() => {
                    let pending = Box::new(sessions.read_again(current));
                    Judging::Read { pending, arrival: outer.arrival, began: outer.began }
                }
                _ => Judging::Done(outer.taken_over(self)),
            };
        }
        let touch = || match (&self.counts, parts) {
            (Some(counts), Some(parts)) => counts(parts),
            _ => !opens_a_stream(head),
        };
        let on_loopback = is_on_loopback(sessions, head);
        let found;
        let presented = match (&self.credential, parts) {
            (Some(find), Some(parts)) => {
                found = find(parts);
                let one = |token| Presented::One(Credential { token, usage: TokenUse::Access });
                found.as_ref().map(String::as_bytes).map_or(Presented::Nothing, one)
            }
            _ => credential::find(head.headers, on_loopback),
        };
        self.judge_presented(sessions, presented, touch, on_loopback, head)
    }

    fn judge_presented(
        self: &Arc<Self>,
        sessions: &Sessions,
        presented: Presented<'_>,
        touch: impl Fn() -> bool,
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
        let touch = || !arrival.cross_site && touch();
        match sessions.validate(token, usage, self.strict, touch, &head) {
            Validation::Done(verdict) => done(verdict, arrival),
            Validation::Read(pending) => {
                Judging::Read { pending: Box::new(pending.beside(beside)), arrival, began: None }
            }
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

/// Puts the verdict where the extractors find it; and says where the answer may have to carry a new cookie. Or refuses: where
/// a session is required and there is none, and where another site uses somebody's cookie.
pub(super) fn admit<B>(
    shared: &Shared,
    request: &mut Request<B>,
    judgement: Judgement,
) -> Result<Option<Box<Renewal>>, Box<Refusing>> {
    let rejection = if judgement.is_cross_site() {
        Some(SessionRejection::new(Cause::CrossSite))
    } else if shared.required && !is_preflight(request.method(), request.headers()) {
        judgement.required().err()
    } else {
        None
    };
    if let Some(rejection) = rejection {
        return Err(Box::new(Refusing { judgement, rejection }));
    }
    let renewal = Renewal::of(shared, &judgement);
    request.extensions_mut().insert(judgement);
    Ok(renewal)
}

/// The layer's own answer, to be.
pub(super) struct Refusing {
    judgement: Judgement,
    rejection: SessionRejection,
}

impl Refusing {
    pub(super) fn answer<B>(self, request: Request<B>) -> Response {
        let (parts, _body) = request.into_parts();
        self.judgement.answer(self.rejection, &parts).readable(&parts).into_response()
    }
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

#[cfg(test)]
mod tests {
    use axum_core::extract::FromRequestParts as _;
    use http::HeaderValue;
    use tower_layer::Layer as _;

    use super::*;
    use crate::{AccessTokens, Client, EndReason, MemoryStore, SessionValidationLayer, SignIn, store::EndTarget};

    fn request(lines: &[(&'static str, String)]) -> Request<()> {
        let mut request = Request::new(());
        for (name, value) in lines {
            request.headers_mut().append(*name, HeaderValue::try_from(value).unwrap());
        }
        request
    }

    /// What a look says of a request, and what the judge does.
    async fn both(layer: &SessionValidationLayer, request: &Request<()>) -> (Option<CurrentSession>, Judgement) {
        let shared = layer.layer(()).shared;
        let glance = shared.let_in_at_a_glance(Head::of(request));
        let (parts, ()) = request.clone().into_parts();
        let judged = match shared.judge(Head::of_parts(&parts), Some(&parts)) {
            Judging::Done(judgement) => judgement,
            Judging::Read { pending, arrival, .. } => {
                let verdict = pending.finish(Instant::now() + crate::sessions::ANSWER_WITHIN).await;
                Judgement::of(verdict, arrival, &shared)
            }
        };
        (glance, judged)
    }

    #[tokio::test]
    async fn who_is_let_in_at_a_glance_is_let_in_by_the_judge() {
        let tokens = || AccessTokens::hs256("0123456789abcdefghijklmnopqrstuv").unwrap();
        let sessions = Sessions::builder(MemoryStore::new()).access_tokens(tokens()).build().await.unwrap();
        let lena = sessions.sign_in(SignIn::new("lena")).await.unwrap();
        let (mut parts, ()) = request(&[]).into_parts();
        let Ok(client) = Client::from_request_parts(&mut parts, &()).await;
        let ben = sessions.sign_in(SignIn::new("ben").client(client).cookie()).await.unwrap();
        let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
        let ben = ben.into_response();
        let set = ben.headers().get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
        let ben = set.filter_map(|line| line.split(';').next()).find(|pair| pair.starts_with(cookie::COOKIE)).unwrap();
        let cookie = || ("cookie", ben.to_owned());
        let layer = SessionValidationLayer::new(sessions.clone());
        let lena_s = request(&[bearer(&lena.access_token)]);
        // The first is read, the second puts in front.
        for _ in 0..2 {
            assert!(both(&layer, &lena_s).await.0.is_none(), "not seen before");
            both(&layer, &request(&[cookie()])).await;
        }

        let token = &*lena.access_token;
        for (lines, at_a_glance) in [
            (vec![bearer(token)], true),
            (vec![bearer(&format!(" {token} "))], true),
            (vec![("cookie", "theme=dark".into()), bearer(token)], false),
            (vec![("authorization", format!("bearer {token}"))], false),
            (vec![bearer(token), bearer(token)], false),
            (vec![bearer(token), bearer("another")], false),
            (vec![bearer(token), cookie()], false),
            (vec![cookie()], false),
            (vec![bearer(&token[..token.len() - 1])], false),
            (vec![bearer("")], false),
            (vec![], false),
        ] {
            let (glance, judged) = both(&layer, &request(&lines)).await;
            assert_eq!(glance.is_some(), at_a_glance, "{lines:?}");
            if let Some(current) = glance {
                let Verdict::Live(live) = &judged.verdict else { panic!("{lines:?}: {:?}", judged.verdict) };
                assert_eq!((live.id(), live.user_id()), (current.id(), current.user_id()));
                let Arrival { by_cookie, cross_site, on_loopback } = judged.arrival;
                assert!(!(by_cookie || cross_site || on_loopback || judged.is_strict()), "{lines:?}");
            }
        }

        // Whoever asks for more gets the judge.
        for more in [
            layer.clone().strict(),
            layer.clone().counts_as_activity(|_| false),
            layer.clone().credential(|_| None),
            layer.clone().on_reject(|_, _| Response::default()),
        ] {
            assert!(both(&more, &lena_s).await.0.is_none());
        }
        let builder = Sessions::builder(MemoryStore::new()).access_tokens(tokens()).insecure_cookie_on_loopback();
        let on_loopback = builder.build().await.unwrap();
        let ivy = on_loopback.sign_in(SignIn::new("ivy")).await.unwrap();
        let (layer_there, ivy_s) = (SessionValidationLayer::new(on_loopback), request(&[bearer(&ivy.access_token)]));
        for _ in 0..3 {
            assert!(both(&layer_there, &ivy_s).await.0.is_none(), "the judge asks whether it is on loopback");
        }
        let mut judged_before = request(&[bearer(token)]);
        let shared = layer.layer(()).shared;
        judged_before.extensions_mut().insert(Judgement::of(Verdict::Anonymous, Arrival::default(), &shared));
        let (glance, judged) = both(&layer, &judged_before).await;
        assert!(glance.is_none() && matches!(judged.verdict, Verdict::Anonymous), "the outer layer's word holds");

        let target = EndTarget::One { id: lena.session.id, user: None };
        sessions.end(target, EndReason::Logout, None).await.unwrap();
        let (glance, judged) = both(&layer, &lena_s).await;
        assert!(glance.is_none() && matches!(judged.verdict, Verdict::Refused(_)));
    }
}
