//! The layer as a tower service: readiness, any body, any error, and what its types are.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::{IntoResponse, Response};
use axum_device_sessions::{
    CurrentSession, ResponseFuture, SessionRejection, SessionValidation, SessionValidationLayer, Sessions,
};
use tower::util::BoxCloneService;
use tower::{Layer, Service, ServiceExt};

use crate::http::{in_memory, sign_in};

/// A service that may only be called after it was polled ready, as tower allows; a clone of it is not ready. Its body is
/// a number, its error one of its own.
#[derive(Debug, Default)]
struct Exact {
    ready: bool,
    calls: Arc<Mutex<Vec<u64>>>,
}

impl Clone for Exact {
    fn clone(&self) -> Self {
        Self { ready: false, calls: Arc::clone(&self.calls) }
    }
}

#[derive(Debug, PartialEq)]
struct Broken;

impl Service<Request<u64>> for Exact {
    type Response = Response;
    type Error = Broken;
    type Future = std::future::Ready<Result<Response, Broken>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<u64>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being polled ready");
        self.calls.lock().expect("not poisoned").push(*request.body());
        std::future::ready(if *request.body() == 0 { Err(Broken) } else { Ok("called".into_response()) })
    }
}

fn numbered(number: u64, token: Option<&str>) -> Request<u64> {
    let request = Request::builder();
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    request.body(number).expect("a request")
}

/// On a hit, on a read and without a credential; any body, any error.
#[tokio::test]
async fn calls_the_very_service_that_was_polled_ready() {
    let sessions = in_memory().await;
    let layer = SessionValidationLayer::new(sessions.clone());
    let token = sign_in(&sessions, "ahmed").await.access_token;
    for layer in [layer.clone(), layer.clone().strict(), layer.required()] {
        let inner = Exact::default();
        let calls = Arc::clone(&inner.calls);
        let mut service = layer.layer(inner);
        // One after the other through one service: the first read, then hits (or reads again, where it is strict).
        for number in 1..=3 {
            let response = service.ready().await.unwrap().call(numbered(number, Some(&token))).await.unwrap();
            assert_eq!(response.status(), 200);
        }
        assert_eq!(service.ready().await.unwrap().call(numbered(0, Some(&token))).await.unwrap_err(), Broken);
        let anonymous = service.ready().await.unwrap().call(numbered(4, None)).await.unwrap().status();
        let passed = if anonymous == 200 { vec![1, 2, 3, 0, 4] } else { vec![1, 2, 3, 0] };
        assert_eq!(*calls.lock().unwrap(), passed);
    }
}

/// A service that is busy, or broken for good.
#[derive(Clone, Debug)]
struct Not(Poll<Result<(), &'static str>>);

impl Service<Request<()>> for Not {
    type Response = Response;
    type Error = &'static str;
    type Future = std::future::Ready<Result<Response, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.0
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        unreachable!("never ready")
    }
}

#[tokio::test]
async fn readiness_is_the_inner_services() {
    let layer = SessionValidationLayer::new(in_memory().await);
    for readiness in [Poll::Pending, Poll::Ready(Err("broken")), Poll::Ready(Ok(()))] {
        let mut service = layer.layer(Not(readiness));
        assert_eq!(service.poll_ready(&mut Context::from_waker(Waker::noop())), readiness);
    }
}

/// Two requests through clones of one service at once, as hyper's connections are.
#[tokio::test]
async fn clones_serve_side_by_side() {
    let sessions = in_memory().await;
    let token = sign_in(&sessions, "ahmed").await.access_token;
    let service = SessionValidationLayer::new(sessions).strict().layer(Exact::default());
    let requests = (1..=20).map(|number| {
        let (service, request) = (service.clone(), numbered(number, Some(&token)));
        tokio::spawn(service.oneshot(request))
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
}

/// Compiles, or does not.
#[test]
fn what_the_types_are() {
    fn is<T: Clone + Send + Sync + 'static>() {}
    fn is_send<T: Send>() {}
    is::<SessionValidationLayer>();
    is::<CurrentSession>();
    is::<Option<CurrentSession>>();
    is::<Sessions>();
    is::<SessionValidation<Exact>>();
    is_send::<SessionRejection>();
    is_send::<ResponseFuture<Exact, u64>>();
    is_send::<ResponseFuture<Router, Body>>();
    is_send::<ResponseFuture<BoxCloneService<Request<Body>, Response, Infallible>, Body>>();
}
