//! HTTP: the only part that knows axum, tower and http. The request path, top to bottom:
//!
//! 1. [`service`]: a request comes in.
//! 2. [`credential`]: which token it carries. None: straight on, nobody is asked.
//!    By cookie: [`csrf`], whether another site sent it.
//! 3. `sessions/validate.rs`: the token's session, from memory or by a read; judged; touched.
//! 4. [`future`]: the verdict goes into the request's extensions, and the inner service is called. On the way back it may
//!    set the [`cookie`] anew.
//! 5. [`extract`]: a handler that takes `CurrentSession` gets it, or [`rejection`] answers.

mod client;
mod cookie;
mod credential;
mod csrf;
mod extract;
mod future;
mod language;
mod layer;
#[cfg(feature = "page")]
mod page;
mod readable;
mod rejection;
mod renewal;
mod respond;
#[cfg(feature = "routes")]
pub mod routes;
mod service;

#[cfg(fuzzing)]
pub(crate) use self::credential::fuzz as fuzz_credential;
pub use self::{
    client::{Client, ClientHints},
    extract::{Claims, FreshSession},
    future::ResponseFuture,
    layer::SessionValidationLayer,
    rejection::SessionRejection,
    service::SessionValidation,
};
