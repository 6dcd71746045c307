//! Whether another site made the browser send a request: by tower-http's CSRF layer (`Sec-Fetch-Site`, else `Origin`
//! against `Host`), which is asked for its verdict and wraps nothing, because it is to hold for cookies alone.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use http::{Extensions, HeaderMap, Method, Request, Response, Uri, header, request::Parts};
use tower::Service;
use tower_http::csrf::{CsrfLayer, ProtectionError};
use tower_layer::Layer;

use super::{
    cookie::{self, COOKIE, DEVICE_COOKIE, LOOPBACK_COOKIE, LOOPBACK_DEVICE_COOKIE},
    credential::cookie_of,
};
use crate::{
    config::SessionsBuilder,
    error::ConfigError,
    sessions::{Browser, Sessions},
};

/// A request without its body.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) extensions: &'a Extensions,
}

impl<'a> Head<'a> {
    pub(super) fn of<B>(request: &'a Request<B>) -> Self {
        let (method, uri) = (request.method(), request.uri());
        Self { method, uri, headers: request.headers(), extensions: request.extensions() }
    }

    pub(super) fn of_parts(Parts { method, uri, headers, extensions, .. }: &'a Parts) -> Self {
        Self { method, uri, headers, extensions }
    }

    /// The connection is to become something else, a WebSocket say (RFC 9110 §7.8; RFC 8441).
    fn is_upgrade(self) -> bool {
        self.headers.contains_key(header::UPGRADE) || *self.method == Method::CONNECT
    }
}

/// Whether a request that is authenticated by a cookie is to be refused.
pub(super) fn is_refused(head: Head<'_>, sessions: &Sessions) -> bool {
    let trusted = || head.headers.get(header::ORIGIN).is_some_and(|origin| sessions.trusts(origin.as_bytes()));
    if head.is_upgrade() {
        // No rule of the browser keeps other sites from reading what comes over a WebSocket, and some send it without
        // `Sec-Fetch-Site`: so there has to be an `Origin`, and it alone has to do.
        let named = head.headers.get(header::ORIGIN).is_some_and(|origin| !origin.is_empty());
        let same = is_passed(&Method::POST, head, &FETCH_METADATA) && is_passed(&Method::POST, head, &ORIGIN_ALONE);
        return !(named && same || trusted());
    }
    // These are let through whatever their headers, and most requests are of this kind.
    if matches!(*head.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return false;
    }
    !is_passed(head.method, head, &FETCH_METADATA) && !trusted()
}

/// What there is to know of the browser behind a sign-in.
pub(super) fn browser(head: Head<'_>) -> Browser {
    let on_loopback = cookie::is_on_loopback(head.extensions, head.uri, head.headers);
    Browser {
        // A sign-in changes something, whatever its method.
        cross_site: !is_passed(&Method::POST, head, &FETCH_METADATA),
        origin: head.headers.get(header::ORIGIN).map(|origin| origin.as_bytes().into()),
        on_loopback,
        cookie: cookie_of(head.headers, COOKIE).map(Into::into),
        loopback_cookie: cookie_of(head.headers, LOOPBACK_COOKIE).filter(|_| on_loopback).map(Into::into),
        device: cookie_of(head.headers, DEVICE_COOKIE).map(Into::into),
        loopback_device: cookie_of(head.headers, LOOPBACK_DEVICE_COOKIE).filter(|_| on_loopback).map(Into::into),
    }
}

const FETCH_METADATA: [header::HeaderName; 3] =
    [header::ORIGIN, header::HOST, header::HeaderName::from_static("sec-fetch-site")];
const ORIGIN_ALONE: [header::HeaderName; 2] = [header::ORIGIN, header::HOST];

/// tower-http's verdict, by these headers.
fn is_passed(method: &Method, head: Head<'_>, by: &[header::HeaderName]) -> bool {
    let mut request = Request::new(());
    *request.method_mut() = method.clone();
    *request.uri_mut() = head.uri.clone();
    for name in by {
        if let Some(value) = head.headers.get(name) {
            request.headers_mut().insert(name, value.clone());
        }
    }
    let verdict = pin!(CsrfLayer::new().layer(Passed).call(request));
    match verdict.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => {
            let refused = response.extensions().get::<ProtectionError>();
            if let Some(why) = refused {
                tracing::debug!(why = why as &dyn std::error::Error, "not of this site");
            }
            refused.is_none() && response.status().is_success()
        }
        // It has nothing to wait for; if it ever had, it would have let nobody pass yet.
        Poll::Pending => false,
    }
}

/// The service behind: to be called is all.
#[derive(Clone, Copy)]
struct Passed;

impl Service<Request<()>> for Passed {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}

impl SessionsBuilder {
    /// Another origin whose pages may ask in the name of a user who is signed in by cookie, and sign users in:
    /// `https://app.example.com`, as browsers write it in `Origin`. May be called several times. Default: none but the
    /// service's own. Cross-site requests are refused for cookies only; Bearer tokens need nothing of this.
    ///
    /// A trusted origin can do whatever the user can. `build()` refuses what no browser would send.
    pub fn trusted_origin(self, origin: impl Into<String>) -> Self {
        let origin = origin.into();
        let checked = CsrfLayer::new().add_trusted_origin(&origin);
        self.with_trusted_origin(match checked {
            Ok(_) => Ok(origin),
            Err(cause) => Err(ConfigError::because(
                format!("trusted_origin {origin:?} is no origin: give scheme, host and port alone, as https://app.example.com"),
                cause,
            )),
        })
    }
}
