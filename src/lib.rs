//! Signed-in devices for axum: a user sees where they are signed in, and can sign a lost phone out. It is refused on
//! its next request, on every node.
//!
//! A login makes a row in Postgres and an access token (a JWT) that carries the row's id. [`SessionValidationLayer`]
//! checks the session on every request, from memory: in the steady state no request reads the database. Handlers take
//! [`CurrentSession`]; [`routes`] lists the user's devices and ends them.
//!
//! ```
//! use axum::{Json, Router, body::Body, extract::State, http::Request, routing::{get, post}};
//! use axum_device_sessions::{
//!     AccessTokens, Client, CurrentSession, Error, MemoryStore, SessionValidationLayer,
//!     Sessions, SignIn, SignedIn, routes,
//! };
//! use http_body_util::BodyExt;
//! use tower::ServiceExt;
//!
//! // Called for live sessions alone. Without one the answer is 401.
//! async fn me(session: CurrentSession) -> String {
//!     format!("{} on {}", session.user_id(), session.device().name)
//! }
//!
//! // Checking the password is the application's own affair. The access token is in the answer.
//! async fn login(
//!     State(sessions): State<Sessions>,
//!     client: Client,
//!     Json(user): Json<String>,
//! ) -> Result<SignedIn, Error> {
//!     sessions.sign_in(SignIn::new(user).client(client)).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In production: `PostgresStore::connect(&url)`, `migrate()`, a secret that all nodes share.
//! let sessions = Sessions::builder(MemoryStore::new())
//!     .access_tokens(AccessTokens::hs256("an example; take 32 random bytes or more")?)
//!     .build()
//!     .await?;
//! let app = Router::new()
//!     .route("/me", get(me))
//!     .nest("/sessions", routes::sessions()) // list, end one, end all others, end all
//!     .nest("/auth", routes::auth()) // logout
//!     .layer(SessionValidationLayer::new(sessions.clone()))
//!     .route("/auth/login", post(login)) // after the layer, so outside of it
//!     .with_state(sessions.clone());
//!
//! // Sign in, as a browser would.
//! let login = Request::post("/auth/login")
//!     .header("content-type", "application/json")
//!     .header("user-agent", "Mozilla/5.0 (Windows NT 10.0) Chrome/140.0.0.0 Safari/537.36")
//!     .body(Body::from(r#""ahmed""#))?;
//! let answer = app.clone().oneshot(login).await?.into_body().collect().await?.to_bytes();
//! let answer: serde_json::Value = serde_json::from_slice(&answer)?;
//! let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap_or_default());
//!
//! let with_token = |path: &str| Request::get(path).header("authorization", &bearer).body(Body::empty());
//!
//! // A request with the token.
//! let answer = app.clone().oneshot(with_token("/me")?).await?.into_body().collect().await?.to_bytes();
//! assert_eq!(&answer[..], b"ahmed on Chrome on Windows");
//!
//! // The list of devices.
//! let answer = app.clone().oneshot(with_token("/sessions")?).await?.into_body().collect().await?;
//! let devices: serde_json::Value = serde_json::from_slice(&answer.to_bytes())?;
//! assert_eq!(devices[0]["deviceName"], "Chrome on Windows");
//! assert_eq!(devices[0]["isCurrent"], true);
//!
//! // Signed out: the next request with that token is refused.
//! let logout = Request::post("/auth/logout").header("authorization", &bearer);
//! assert_eq!(app.clone().oneshot(logout.body(Body::empty())?).await?.status(), 204);
//! assert_eq!(app.oneshot(with_token("/me")?).await?.status(), 401);
//!
//! sessions.shutdown().await?; // when the server has stopped: writes down the last activity
//! # Ok(())
//! # }
//! ```
//!
//! # The layer judges, the extractor refuses
//!
//! **The layer alone protects nothing.** It finds out whose session a request carries and calls the inner service
//! either way, so that login, logout and public pages work with a stale token on the request. What protects a route is
//! one of these:
//!
//! | | live session | no credential | refused token | database away, and nothing in memory to judge by |
//! |---|---|---|---|---|
//! | [`CurrentSession`] as an argument | the handler runs | 401 | 401 | 503 |
//! | [`Option<CurrentSession>`](CurrentSession) as an argument | `Some` | `None` | 401; `None` if it was a cookie | 503 |
//! | [`SessionValidationLayer::required`] | inner service called | 401 | 401 | 503 |
//! | neither | inner service called | inner service called | inner service called | inner service called |
//!
//! One thing the layer always answers itself: 403 to a request that another site made the browser send with the session's
//! cookie, where it may change something (see [`SignIn::cookie`]).
//!
//! 401 is only ever said on evidence: a bad token, or a row that has ended, has run out or is not there. "Could not
//! find out" is 503 with `Retry-After`: the client keeps its token. [`SessionRejection`] has the codes.
//!
//! # The way of a request
//!
//! 1. **Credential.** `Authorization: Bearer ..`, or the session cookie. None: the request goes straight on.
//! 2. **Token.** Signature and claims are checked once, then the token is remembered until it expires.
//! 3. **Session.** Is what is in memory still to be believed? Postgres tells each node of changes, and a lease says up
//!    to when it has told all. If not, the row is read, together with all others that are wanted just then.
//! 4. **Judge.** Ended, idle for too long, too old? On every request, so that a session in memory expires on time.
//! 5. **Touch.** The time of the request is noted, and written for all sessions together every few seconds.
//! 6. **Handler.** It takes the session out of the request.
//!
//! After [`Sessions::end`] has returned, no later request on that node is let in with that session, and on other nodes
//! none later than [`max_staleness`](SessionsBuilder::max_staleness) (5 s), usually within milliseconds.
//!
//! # Where to read on
//!
//! * Settings, each with its default and its reason: [`SessionsBuilder`].
//! * Where sessions are kept: `PostgresStore` (feature `postgres`), [`MemoryStore`] for tests and a first try.
//! * Keys, and how to change them: [`AccessTokens`], [`Sessions::replace_keys`], `docs/keys.md`.
//! * Claims of the application in the token: [`SignIn::claims`], [`Claims`], [`SessionsBuilder::on_issue`].
//! * Pages, with scripts or without: [`SignIn::cookie`], [`Sessions::sign_out`]; one that is ready: `routes::page`, `docs/page.md`.
//! * What clients for the web, iOS and Android do with each code: `docs/clients.md`. All of the routes for programs: `routes::OpenApi`,
//!   `docs/openapi.md`.
//! * Known devices, limits, unusual sign-ins, a second factor: [`Client`], [`SignIn`],
//!   [`SessionsBuilder::max_sessions_per_user`], [`PendingSession`], `docs/devices.md`.
//! * WebSockets and long jobs: [`CurrentSession::ended`].
//! * Telling people and systems what happened: [`SessionsBuilder::notify`], [`Notifier`], [`Event`], `docs/notices.md`.
//! * Your own tests: the feature `test-util`, with `CurrentSession::fake`, `SessionValidationLayer::fake` and
//!   `Sessions::in_memory`.
//! * What is promised when things fail, the schema, the threat model, and what is **not there yet**: `README.md` and `docs/` of the repository.
//!
//! # Features
//!
//! | feature | default | brings |
//! |---|---|---|
//! | `postgres` | yes | `PostgresStore`, `store::MIGRATIONS` |
//! | `routes` | yes | [`routes`] |
//! | `page` | no | `routes::page`: the page of a user's devices, ready to mount |
//! | `jwks` | no | `Issuer`: tokens of an identity provider, by its published keys; back-channel logout |
//! | `geoip` | no | `GeoIp`: places of addresses, out of a MaxMind-format file of your own |
//! | `tls` | no | `sslmode=require` and `sslmode=verify-full` in Postgres URLs, by rustls |
//! | `openapi` | no | `routes::OpenApi`, `routes::openapi`: the OpenAPI 3.1 document of the mounted routes |
//! | `metrics` | no | counters and histograms through the `metrics` facade |
//! | `webhook` | no | `Webhook`: tells other systems what happens, signed by Standard Webhooks |
//! | `fcm` | no | `Fcm`: tells Android devices, by Firebase Cloud Messaging |
//! | `apns` | no | `Apns`: tells Apple's devices |
//! | `email` | no | `Email`: tells people of new sign-ins, by SMTP |
//! | `test-util` | no | a manual [`Clock`] and the fakes, for tests |
//!
//! A feature adds API or a dependency; it never changes what a request does.

#![cfg_attr(docsrs, feature(doc_cfg))]

/// The words beside the code: what of them is Rust is compiled.
#[cfg(all(doctest, feature = "postgres", feature = "routes", feature = "test-util"))]
mod words {
    #[cfg(feature = "page")]
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../CONTRIBUTING.md")]
    struct Contributing;
    #[doc = include_str!("../SECURITY.md")]
    struct Security;
    #[doc = include_str!("../docs/consistency.md")]
    struct Consistency;
    #[doc = include_str!("../docs/database.md")]
    struct Database;
    #[doc = include_str!("../docs/devices.md")]
    struct Devices;
    #[doc = include_str!("../docs/refresh.md")]
    struct Refresh;
    #[doc = include_str!("../docs/keys.md")]
    struct Keys;
    #[doc = include_str!("../docs/streams.md")]
    struct Streams;
    #[doc = include_str!("../docs/notices.md")]
    struct Notices;
    #[cfg(feature = "webhook")]
    #[doc = include_str!("../docs/webhook.md")]
    struct Webhooks;
    #[cfg(feature = "fcm")]
    #[doc = include_str!("../docs/fcm.md")]
    struct Fcm;
    #[cfg(feature = "apns")]
    #[doc = include_str!("../docs/apns.md")]
    struct Apns;
    #[cfg(feature = "email")]
    #[doc = include_str!("../docs/email.md")]
    struct Email;
    #[cfg(feature = "jwks")]
    #[doc = include_str!("../docs/issuers.md")]
    struct Issuers;
    #[cfg(feature = "openapi")]
    #[doc = include_str!("../docs/openapi.md")]
    struct OpenApi;
    #[cfg(feature = "page")]
    #[doc = include_str!("../docs/page.md")]
    struct Page;
    #[doc = include_str!("../docs/request-path.md")]
    struct RequestPath;
}

mod activity;
mod cache;
mod clock;
mod config;
mod device;
mod error;
mod event;
mod fields;
mod html;
mod network;
mod notice;
mod origin;
mod place;
mod policy;
mod seen;
mod session;
mod sessions;
mod signals;
pub mod store;
mod telemetry;
mod token;
mod web;

/// Entrances for `fuzz/`, a crate of its own. Not there in any build but its.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    /// Reads these bytes as an access token.
    pub fn access_token(bytes: &[u8]) {
        crate::token::fuzzing::access_token(bytes);
    }

    /// Reads these bytes as a refresh token.
    pub fn refresh_token(bytes: &[u8]) {
        crate::token::fuzzing::refresh_token(bytes);
    }

    /// Looks for a credential in these bytes.
    pub fn cookie(bytes: &[u8]) {
        crate::web::fuzz_credential(bytes);
    }
}

pub use clock::Clock;
pub use config::SessionsBuilder;
pub use error::{ConfigError, Error, ErrorKind};
pub use event::{Event, EventKind, Message, Notice, PushTarget, UnknownKind, Wants};
pub use network::Network;
#[cfg(feature = "apns")]
pub use notice::Apns;
#[cfg(feature = "fcm")]
pub use notice::Fcm;
#[cfg(feature = "webhook")]
pub use notice::Webhook;
pub use notice::{Delivery, EventStream, MissedEvents, NotDelivered, Notifier};
#[cfg(feature = "email")]
pub use notice::{Email, MailText, NewLoginMail};
#[cfg(feature = "geoip")]
pub use origin::GeoIp;
pub use origin::{ClientIp, Locator};
pub use place::{Location, Position};
pub use policy::{OnLimit, SessionLimit};
pub use session::{Device, DeviceType, EndReason, Ended, FormFactor, Session, SessionId, UserId};
pub use sessions::{
    Admin, Coherence, CurrentSession, Health, ImportSession, Issue, Issuing, PendingSession, SessionPage, Sessions,
    SignIn, SignInPolicy, SignedIn, SignedOut, TokenPair,
};
pub use signals::Signal;
#[cfg(feature = "postgres")]
#[doc(inline)]
pub use store::PostgresStore;
#[doc(inline)]
pub use store::{Alert, DeadLetter, Disowned, EndOutcome, EndTarget, MemoryStore, SessionFilter, SessionStore};
pub use token::{AccessTokens, SigningKey, VerifyingKey};
#[cfg(feature = "jwks")]
pub use token::{Issuer, IssuerClaims};
#[cfg(feature = "routes")]
pub use web::routes;
pub use web::{
    Claims, Client, ClientHints, FreshSession, ResponseFuture, SessionRejection, SessionValidation,
    SessionValidationLayer,
};
