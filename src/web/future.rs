//! The way from the verdict to the inner service. On a hit it starts inside the inner service, and nothing is boxed.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum_core::response::Response;
use http::Request;
use pin_project::pin_project;
use tokio::time::Instant;
use tower::Service;

use super::{
    extract::{Arrival, Judgement},
    layer::Shared,
    renewal::Renewal,
    service::admit,
};
use crate::sessions::{ANSWER_WITHIN, PendingRead, Verdict};

/// The response to a request that passes through [`SessionValidation`](super::SessionValidation).
#[pin_project]
pub struct ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    #[pin]
    step: Step<S, B>,
}

#[pin_project(project = StepProjection)]
enum Step<S, B>
where
    S: Service<Request<B>>,
{
    Reading {
        verdict: Pin<Box<dyn Future<Output = Verdict> + Send>>,
        /// In a box, since it holds the request: hits have no use for the room.
        waiting: Option<Box<Waiting<S, B>>>,
    },
    Inner(#[pin] S::Future),
    /// The session's cookie is old enough to be made anew. Nearly never.
    InnerAndRenewal {
        #[pin]
        future: S::Future,
        renewal: Option<Box<Renewal>>,
    },
    Renewing(Pin<Box<dyn Future<Output = Response> + Send>>),
    Refused(Option<Response>),
}

impl<S, B> Step<S, B>
where
    S: Service<Request<B>>,
{
    #[inline]
    fn inner(future: S::Future, renewal: Option<Box<Renewal>>) -> Self {
        match renewal {
            None => Self::Inner(future),
            renewal => Self::InnerAndRenewal { future, renewal },
        }
    }
}

/// A request that waits for its verdict.
struct Waiting<S, B> {
    ready: S,
    request: Request<B>,
    arrival: Arrival,
    shared: Arc<Shared>,
    began: Instant,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    #[inline]
    pub(super) fn inner(future: S::Future, renewal: Option<Box<Renewal>>) -> Self {
        Self { step: Step::inner(future, renewal) }
    }

    pub(super) const fn refused(response: Response) -> Self {
        Self { step: Step::Refused(Some(response)) }
    }

    pub(super) fn reading(
        pending: PendingRead,
        arrival: Arrival,
        began: Instant,
        ready: S,
        request: Request<B>,
        shared: Arc<Shared>,
    ) -> Self {
        let verdict = Box::pin(pending.finish(began + ANSWER_WITHIN));
        let waiting = Some(Box::new(Waiting { ready, request, arrival, shared, began }));
        Self { step: Step::Reading { verdict, waiting } }
    }
}

impl<S, B> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response>,
{
    type Output = Result<Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut step = self.project().step;
        match step.as_mut().project() {
            StepProjection::Inner(future) => future.poll(cx),
            _ => step.poll_others(cx),
        }
    }
}

impl<S, B> Step<S, B>
where
    S: Service<Request<B>, Response = Response>,
{
    /// Apart, so that what a hit goes through is little code: there are services whose code alone fills the processor's cache.
    #[inline(never)]
    #[expect(clippy::expect_used, reason = "polled after it was ready, as futures must not be")]
    fn poll_others(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Response, S::Error>> {
        loop {
            let next = match self.as_mut().project() {
                StepProjection::Inner(future) => return future.poll(cx),
                StepProjection::InnerAndRenewal { future, renewal } => {
                    let answered = ready!(future.poll(cx));
                    match (answered, renewal.take()) {
                        (Ok(response), Some(renewal)) if renewal.is_for(&response) => {
                            Self::Renewing(Box::pin(renewal.put_into(response)))
                        }
                        (answered, _) => return Poll::Ready(answered),
                    }
                }
                StepProjection::Renewing(response) => return response.as_mut().poll(cx).map(Ok),
                StepProjection::Refused(response) => {
                    return Poll::Ready(Ok(response.take().expect("not polled again")));
                }
                StepProjection::Reading { verdict, waiting } => {
                    let verdict = ready!(verdict.as_mut().poll(cx));
                    let Waiting { mut ready, mut request, arrival, shared, began } =
                        *waiting.take().expect("not polled again");
                    let judgement = Judgement::of(verdict, arrival, &shared).begun(began);
                    match admit(&shared, &mut request, judgement) {
                        Ok(renewal) => Self::inner(ready.call(request), renewal),
                        Err(refusal) => Self::Refused(Some(refusal.answer(request))),
                    }
                }
            };
            self.set(next);
        }
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
