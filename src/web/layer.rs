//! What a developer adds: the layer and its choices.

use std::{fmt, sync::Arc};

use axum_core::response::Response;
use http::request::Parts;
use tower_layer::Layer;

use super::{rejection::SessionRejection, service::SessionValidation};
use crate::sessions::Sessions;
#[cfg(any(test, feature = "test-util"))]
use crate::{session::UserId, sessions::CurrentSession};

/// Checks the session of every request that passes through it.
///
/// **The layer judges, the extractor refuses.** The layer alone protects nothing: it finds out whose session a request
/// carries and calls your handler either way, so that login, logout and public pages work with a stale token on the
/// request. A handler that takes [`CurrentSession`](crate::CurrentSession) is called for live sessions alone; or
/// [`required`](Self::required) makes the layer itself refuse the rest.
///
/// ```
/// # use axum::{Router, routing::get};
/// # use axum_device_sessions::{CurrentSession, Sessions, SessionValidationLayer};
/// # fn app(sessions: Sessions) -> Router {
/// Router::new()
///     .route("/me", get(|session: CurrentSession| async move { session.user_id().to_string() }))
///     .layer(SessionValidationLayer::new(sessions))
/// # }
/// ```
///
/// A request that is authenticated by the cookie of [`SignIn::cookie`](crate::SignIn::cookie), may change something (any
/// method but GET, HEAD, OPTIONS; any upgrade) and was sent by another site's page is answered 403 `cross_site_request`,
/// whatever the handler takes; as a small page where it is shown to somebody (`Accept: text/html`). Tokens in a header are not
/// concerned.
///
/// Put it outside of the routes it is for ([`axum::Router::layer`]) and inside of CORS. Cloning is cheap, and nothing
/// is spawned, opened or cached when it is applied: axum applies a layer once for each route.
///
/// An inner layer of the same [`Sessions`] takes over the verdict of an outer one: the request is judged once, and
/// counts as activity once; its own `required`, `strict` and `on_reject` still hold.
#[derive(Clone)]
#[must_use = "a layer does nothing until it is added to a router"]
pub struct SessionValidationLayer(Arc<Shared>);

/// What the layer, its services and its rejections share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) who: Who,
    pub(crate) required: bool,
    pub(crate) strict: bool,
    pub(crate) credential: Option<CredentialFn>,
    pub(crate) counts: Option<CountsFn>,
    pub(crate) on_reject: Option<OnReject>,
}

#[derive(Clone)]
pub(crate) enum Who {
    Sessions(Sessions),
    #[cfg(any(test, feature = "test-util"))]
    Fake(CurrentSession),
}

pub(crate) type CredentialFn = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;
pub(crate) type CountsFn = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;
pub(crate) type OnReject = Arc<dyn Fn(&SessionRejection, &Parts) -> Response + Send + Sync>;

impl SessionValidationLayer {
    /// A layer that judges every request and refuses none.
    pub fn new(sessions: Sessions) -> Self {
        Self::of(Who::Sessions(sessions))
    }

    /// A layer under which every request has a live session of this user, for tests of handlers. There is no store
    /// behind it: the mounted routes that need one answer 500.
    #[cfg(any(test, feature = "test-util"))]
    pub fn fake(user: impl Into<UserId>) -> Self {
        Self::of(Who::Fake(CurrentSession::fake(user)))
    }

    fn of(who: Who) -> Self {
        Self(Arc::new(Shared { who, required: false, strict: false, credential: None, counts: None, on_reject: None }))
    }

    /// Refuses requests without a live session itself, before any handler. CORS preflights pass: they never carry
    /// credentials (Fetch standard, CORS-preflight fetch).
    ///
    /// Add it by `route_layer`, or unknown paths are answered 401 in place of 404; and not around `routes::auth()`,
    /// whose logout takes an expired token.
    pub fn required(self) -> Self {
        self.with(|shared| shared.required = true)
    }

    /// Judges by the database on every request, by a read that begins after the request did: for the few routes where
    /// even `max_staleness` is too long. Costs a read a request, and 503 while the database is away.
    pub fn strict(self) -> Self {
        self.with(|shared| shared.strict = true)
    }

    /// Takes the access token from somewhere else than `Authorization` and the session cookie, for instance from
    /// `Sec-WebSocket-Protocol`. `None` is "no credential". Not from the query string: URLs end up in logs.
    pub fn credential(self, find: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        self.with(|shared| shared.credential = Some(Arc::new(find)))
    }

    /// Which requests count as activity. Default: all but those of an `EventSource` (`GET` with `Accept: text/event-stream`),
    /// which browsers repeat for as long as the page is open. What a page does by itself, such as polling, should not keep a
    /// session alive that nobody uses.
    ///
    /// ```
    /// # use axum::{Router, extract::MatchedPath, routing::get};
    /// # use axum_device_sessions::{Sessions, SessionValidationLayer};
    /// # fn app(sessions: Sessions) -> Router {
    /// # let (polling, pages) = (Router::new(), Router::new());
    /// let layer = SessionValidationLayer::new(sessions);
    /// // A router whose requests never count ..
    /// polling.layer(layer.clone().counts_as_activity(|_| false))
    ///     // .. and one where the client says which do.
    ///     .merge(pages.layer(layer.counts_as_activity(|request| !request.headers.contains_key("x-background"))))
    /// # }
    /// ```
    ///
    /// It is asked only where the answer matters: not for each of the requests of a session that come within 20 ms of one another.
    ///
    /// The outermost layer of the same [`Sessions`] decides: it is the one that judges. A request that does not count is
    /// checked like any other, and is refused once the session is idle.
    pub fn counts_as_activity(self, counts: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.with(|shared| shared.counts = Some(Arc::new(counts)))
    }

    /// Replaces the answer to a refused request, for example by a redirect to a login page. Keep 503 a 503: the
    /// database being away says nothing about the user.
    pub fn on_reject(self, answer: impl Fn(&SessionRejection, &Parts) -> Response + Send + Sync + 'static) -> Self {
        self.with(|shared| shared.on_reject = Some(Arc::new(answer)))
    }

    fn with(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl<S> Layer<S> for SessionValidationLayer {
    type Service = SessionValidation<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionValidation::new(inner, Arc::clone(&self.0))
    }
}

impl fmt::Debug for SessionValidationLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionValidationLayer").field(&self.0).finish()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("required", &self.required).field("strict", &self.strict).finish_non_exhaustive()
    }
}
