//! A receiver: keeps what it got, and answers as it is told.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, Response, StatusCode},
};
use http_body_util::BodyExt;
use standardwebhooks::Webhook as Verifier;
use tokio::net::TcpListener;

/// Makes an answer.
type Answer = Arc<dyn Fn() -> Response<Body> + Send + Sync>;

pub(crate) struct Endpoint {
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
    pub(crate) got: Arc<Mutex<Vec<Received>>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Endpoint {
    /// With 204.
    pub(crate) async fn content() -> Self {
        Self::status(204).await
    }

    pub(crate) async fn status(status: u16) -> Self {
        Self::with(status, &[]).await
    }

    pub(crate) async fn with(status: u16, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self::answering(move || {
            let answer = Response::builder().status(StatusCode::from_u16(status).unwrap());
            let answer = headers.iter().fold(answer, |answer, (name, value)| answer.header(*name, *value));
            answer.body(Body::empty()).unwrap()
        })
        .await
    }

    pub(crate) async fn answering(answer: impl Fn() -> Response<Body> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (got, answer): (Arc<Mutex<Vec<_>>>, Answer) = (Arc::default(), Arc::new(answer));
        let keeps = Arc::clone(&got);
        let app = Router::new().fallback(async move |request: Request<Body>| {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let target = parts.uri.to_string();
            keeps.lock().unwrap().push(Received { method: parts.method, target, headers: parts.headers, body });
            answer()
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, got }
    }

    pub(crate) fn got(&self) -> Vec<Received> {
        self.got.lock().unwrap().clone()
    }

    /// The only one.
    pub(crate) fn one(&self) -> Received {
        let [one] = self.got().try_into().unwrap();
        one
    }
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// By the official library.
    pub(crate) fn verify(&self, secret: &str) -> Result<(), String> {
        Verifier::new(secret).unwrap().verify(&self.body, &self.headers).map_err(|error| error.to_string())
    }
}
