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
    /// `renewal`: where the session's cookie is old enough to be made anew. Nearly never.
    Inner {
        #[pin]
        future: S::Future,
        renewal: Option<Box<Renewal>>,
    },
    Renewing(Pin<Box<dyn Future<Output = Response> + Send>>),
    Refused(Option<Response>),
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
    pub(super) const fn inner(future: S::Future, renewal: Option<Box<Renewal>>) -> Self {
        Self { step: Step::Inner { future, renewal } }
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

    #[expect(clippy::expect_used, reason = "polled after it was ready, as futures must not be")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut step = self.project().step;
        loop {
            let next = match step.as_mut().project() {
                StepProjection::Inner { future, renewal: None } => return future.poll(cx),
                StepProjection::Inner { future, renewal } => {
                    let answered = ready!(future.poll(cx));
                    match (answered, renewal.take()) {
                        (Ok(response), Some(renewal)) if renewal.is_for(&response) => {
                            Step::Renewing(Box::pin(renewal.put_into(response)))
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
                        Ok(renewal) => Step::Inner { future: ready.call(request), renewal },
                        Err(refusal) => Step::Refused(Some(refusal.answer(request))),
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
