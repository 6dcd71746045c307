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

use super::{extract::Judgement, layer::Shared, service::admit};
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
    Reading { verdict: Pin<Box<dyn Future<Output = Verdict> + Send>>, waiting: Option<Waiting<S, B>> },
    Inner(#[pin] S::Future),
    Refused(Option<Response>),
}

/// A request that waits for its verdict.
struct Waiting<S, B> {
    ready: S,
    request: Request<B>,
    by_cookie: bool,
    shared: Arc<Shared>,
    began: Instant,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) const fn inner(future: S::Future) -> Self {
        Self { step: Step::Inner(future) }
    }

    pub(super) const fn refused(response: Response) -> Self {
        Self { step: Step::Refused(Some(response)) }
    }

    pub(super) fn reading(
        pending: PendingRead,
        by_cookie: bool,
        began: Instant,
        ready: S,
        request: Request<B>,
        shared: Arc<Shared>,
    ) -> Self {
        let verdict = Box::pin(pending.finish(began + ANSWER_WITHIN));
        Self { step: Step::Reading { verdict, waiting: Some(Waiting { ready, request, by_cookie, shared, began }) } }
    }
}

impl<S, B> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response>,
{
    type Output = Result<Response, S::Error>;

    #[expect(clippy::expect_used, reason = "polled after it was ready, as futures must not be")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut step = self.project().step;
        loop {
            let next = match step.as_mut().project() {
                StepProjection::Inner(future) => return future.poll(cx),
                StepProjection::Refused(response) => {
                    return Poll::Ready(Ok(response.take().expect("not polled again")));
                }
                StepProjection::Reading { verdict, waiting } => {
                    let verdict = ready!(verdict.as_mut().poll(cx));
                    let Waiting { mut ready, request, by_cookie, shared, began } =
                        waiting.take().expect("not polled again");
                    let judgement = Judgement::of(verdict, by_cookie, &shared).begun(began);
                    match admit(&shared, request, judgement) {
                        Ok(request) => Step::Inner(ready.call(request)),
                        Err(refused) => Step::Refused(Some(*refused)),
                    }
                }
            };
            step.set(next);
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
