//! Routes to mount under any prefix, in an application of any state. They find their [`Sessions`](crate::Sessions) in
//! the [`SessionValidationLayer`](crate::SessionValidationLayer) around them.
//!
//! | route | answer | else |
//! |---|---|---|
//! | `GET /sessions` | 200, the user's devices, newest activity first | |
//! | `GET /sessions?state=ended` | 200, those that have ended, the newest end first, with `endedAt` and `endReason` | 400 another state |
//! | `GET /sessions/current` | 200, the session that asks | |
//! | `DELETE /sessions/{id}` | 204, also if it had ended before | 404 unknown or another user's; 409 `current_session` |
//! | `GET /sessions/events` | 200, server-sent events: `ended` with `{"reason": ".."}` when the session ends, then it closes | |
//! | `PUT /sessions/current/push-target` `{"provider": "fcm", "token": ".."}` | 204: this device is told by push when its session is ended elsewhere, and of sign-ins on new devices | 422 a provider that nobody here pushes to |
//! | `DELETE /sessions/current/push-target` | 204, also if there was none | |
//! | `PATCH /sessions/{id}` `{"deviceName": ".."}` | 200, the session | 404 unknown, ended or another user's; 422 |
//! | `DELETE /sessions/others` | 200 `{"revoked": n}` | |
//! | `DELETE /sessions` | 200 `{"revoked": n}`, this one too | |
//! | `POST /auth/refresh` `{"refresh_token": ".."}` | 200, the token response of RFC 6749 §5.1 | 401 `invalid_token`; 401 `session_ended` |
//! | `POST /auth/logout` | 204; takes a live access token, one that has expired but is right otherwise, or `{"refresh_token": ".."}` | 401 without one; 401 `session_ended` if it had ended |
//! | `GET /.well-known/jwks.json` | 200, the public keys as a JWK set; for everybody, and to be kept for 5 minutes | |
//!
//! All but the last answer 401 without a live session, 403 `cross_site_request` to another site's request by cookie, and 503
//! while the database cannot be asked; errors are `application/problem+json` (RFC 9457) with a stable `code`; nothing else
//! may be cached.

mod admin;
mod alerts;
mod auth;
#[cfg(feature = "jwks")]
mod backchannel;
mod events;
mod handlers;
mod keys;
#[cfg(feature = "openapi")]
mod openapi;
mod push;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{delete, get, post, put},
};
use axum_core::extract::FromRequestParts;

pub use self::admin::Administrator;
#[cfg(feature = "openapi")]
pub(super) use self::openapi::codes as openapi_codes;
#[cfg(feature = "openapi")]
pub use self::openapi::{OpenApi, openapi};
#[cfg(feature = "page")]
pub use super::page::{PageStrings, PageTheme};

/// The body of refresh, logout and a new name: some hundred characters, and room.
pub(super) const BODY: usize = 4 * 1024;
/// As long as a token may be, and the name of its field.
#[cfg(feature = "jwks")]
const LOGOUT_TOKEN: usize = 16 * 1024 + 64;

/// The user's own sessions: list them, name them, sign them out. Nest it: `.nest("/sessions", routes::sessions())`.
pub fn sessions<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(handlers::list).delete(handlers::end_all))
        .route("/current", get(handlers::current))
        .route("/current/push-target", put(push::set).delete(push::forget))
        .route("/others", delete(handlers::end_others))
        .route("/events", get(events::events))
        .route("/{id}", delete(handlers::end_one).patch(handlers::rename))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::map_response(handlers::no_store))
}

/// Refresh and logout. Nest it: `.nest("/auth", routes::auth())`. They judge their own credential: a refresh needs no access
/// token, and one that has expired, but is otherwise right, still signs its session out.
pub fn auth<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/logout", post(auth::logout))
        .route("/refresh", post(auth::refresh))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::map_response(handlers::no_store))
}

/// The page behind the link in a mail about a new sign-in: what was told, and the button "No, that was not me". Nest it where
/// [`alert_links`](crate::SessionsBuilder::alert_links) says: `.nest("/alerts", routes::alerts())`. For everybody who has the link: it needs
/// the layer around it, and no session, so not under one that is [`required`](crate::SessionValidationLayer::required).
///
/// | route | answer |
/// |---|---|
/// | `GET /{link}` | 200, a page; it changes nothing, since mail scanners follow links; 410 where the link is too old or none |
/// | `POST /{link}` | 200: the session is ended as `revoked_by_alert`, its device forgotten, the application told (`login.disowned`); 410 the second time |
///
/// For pages of your own there are [`Sessions::alert`](crate::Sessions::alert) and [`Sessions::disown`](crate::Sessions::disown).
pub fn alerts<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/{link}", get(alerts::show).post(alerts::disown))
        .layer(middleware::map_response(handlers::no_store))
}

/// The page of a user's devices: to look through, name, and sign out; for sessions by cookie ([`SignIn::cookie`](crate::SignIn::cookie)). One
/// line mounts it, under any prefix:
///
/// ```
/// # use axum::Router;
/// # use axum_device_sessions::{ConfigError, Sessions, SessionValidationLayer, routes::{self, PageTheme}};
/// # fn app(sessions: Sessions) -> Result<Router, ConfigError> {
/// let theme = PageTheme::new("Example").login_url("/sign-in?next={page}")?;
/// Ok(Router::new()
///     .nest("/account/devices", routes::page(theme))
///     .layer(SessionValidationLayer::new(sessions)))
/// # }
/// ```
///
/// HTML made by the server, that works without scripts and loads nothing from elsewhere; `docs/page.md` has what it shows and what it
/// promises. Not under a layer that is [`required`](crate::SessionValidationLayer::required): that one would answer visitors
/// who are not signed in with JSON, before the page can send them to sign in.
///
/// | route | answer |
/// |---|---|
/// | `GET /` | 200, the list: this device first, then the newest activity |
/// | `POST /rename` `id`, `name`; `POST /sign-out` `id` | 303 back to the list, which says what was done |
/// | `POST /sign-out-others`, `POST /sign-out-everywhere` | 200, a page that asks whether that is meant; with `confirmed` 303 |
/// | `POST /log-out` | 303 to [`login_url`](PageTheme::login_url), the cookie cleared |
/// | `GET /events` | as that of [`sessions`] |
/// | `GET /page.css`, `GET /page.js` | 200, the same for everybody |
///
/// Without a live session: 303 to `login_url`. While the database cannot be asked: 503 with `Retry-After`, the cookie kept. All
/// of it is HTML, 404 and 405 excepted.
#[cfg(feature = "page")]
pub fn page<S: Clone + Send + Sync + 'static>(theme: PageTheme) -> Router<S> {
    super::page::router(theme, get(events::events))
}

/// The receiver of OpenID Connect Back-Channel Logout: `POST /` with a form `logout_token=..`. Nest it where the identity
/// provider is told to send to: `.nest("/auth/backchannel-logout", routes::backchannel_logout())`.
///
/// A valid token of an issuer ([`accept_tokens_of`](crate::SessionsBuilder::accept_tokens_of)) ends the session that its `sid` names, or
/// without `sid` all of its user's that began before it, as `logout`: 200, also where there was nothing to end. Anything
/// else is 400 `invalid_request`; 503 where the issuer's keys or the database could not be asked, and the provider may come
/// again. It needs no session, and needs to be reachable by the provider alone.
#[cfg(feature = "jwks")]
pub fn backchannel_logout<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", post(backchannel::logout))
        .layer(DefaultBodyLimit::max(LOGOUT_TOKEN))
        .layer(middleware::map_response(handlers::no_store))
}

/// The public halves of the keys whose tokens are accepted, for services that check tokens by themselves (RFC 7517): empty with
/// HS256, whose secret is nobody's business. Merge it at the root, since the path is the well-known one; it needs the layer
/// around it, as the others do, but no session:
///
/// ```
/// # use axum::Router;
/// # use axum_device_sessions::{Sessions, SessionValidationLayer, routes};
/// # fn app(sessions: Sessions) -> Router {
/// Router::new()
///     .merge(routes::jwks()) // GET /.well-known/jwks.json
///     .layer(SessionValidationLayer::new(sessions))
/// # }
/// ```
///
/// Those services learn that a token is signed by us and has not expired, and not that its session has ended. The answer may be
/// kept for 5 minutes (`Cache-Control: public, max-age=300`): so long is a new key published before anybody signs with it.
/// Not under a layer that is [`required`](crate::SessionValidationLayer::required), which would ask them for a session.
pub fn jwks<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/.well-known/jwks.json", get(keys::jwks))
}

/// The sessions of everybody, for administrators. Nest it somewhere: `.nest("/admin/sessions", routes::admin_routes::<Staff, _>())`.
///
/// There is no way to mount it without a guard: `G` is an extractor of yours that lets in administrators only, and says
/// who they are.
///
/// ```
/// # use axum::{Router, extract::FromRequestParts, http::{StatusCode, request::Parts}, response::{IntoResponse, Response}};
/// # use axum_device_sessions::{Claims, Sessions, SessionValidationLayer, routes::{self, Administrator}};
/// #[derive(serde::Deserialize)]
/// struct Staff {
///     sub: String,
///     roles: Vec<String>,
/// }
///
/// impl<S: Send + Sync> FromRequestParts<S> for Staff {
///     type Rejection = Response;
///
///     async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
///         let claims = Claims::<Staff>::from_request_parts(parts, state).await;
///         let Claims(staff) = claims.map_err(IntoResponse::into_response)?;
///         let is_admin = staff.roles.iter().any(|role| role == "session-admin");
///         if is_admin { Ok(staff) } else { Err(StatusCode::FORBIDDEN.into_response()) }
///     }
/// }
///
/// impl Administrator for Staff {
///     fn actor(&self) -> String {
///         format!("staff: {}", self.sub)
///     }
/// }
///
/// # fn app(sessions: Sessions) -> Router {
/// Router::new()
///     .nest("/admin/sessions", routes::admin_routes::<Staff, _>())
///     .layer(SessionValidationLayer::new(sessions))
/// # }
/// ```
///
/// | route | answer |
/// |---|---|
/// | `GET /?user=&deviceName=&deviceType=&network=&createdBefore=&after=` | 200 `{"sessions": [..], "next": id or null}`: live sessions, each with its `userId`; all of the parameters may be left out; `after` takes `next` for the next page |
/// | `POST /end` `{"reason": "revoked_by_admin", "user": "ahmed"}` | 200 `{"ended": n, "more": false}`; repeat it while `more` |
///
/// The body of `POST /end` names the same conditions as the query, and `ids`; or else `"everyone": true`. With
/// `"dryRun": true` it ends none and answers `{"matching": n}`. A body or a query that says nothing meaningful is 400.
pub fn admin_routes<G, S>() -> Router<S>
where
    G: Administrator + FromRequestParts<S> + Send + 'static,
    S: Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/", get(admin::list::<G>))
        .route("/end", post(admin::end::<G>))
        .layer(middleware::map_response(handlers::no_store))
}
