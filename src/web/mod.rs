//! HTTP: the only part that knows axum, tower and http. The request path, top to bottom:
//!
//! 1. [`service`]: a request comes in.
//! 2. [`credential`]: which token it carries. None: straight on, nobody is asked.
//! 3. `sessions/validate.rs`: the token's session, from memory or by a read; judged; touched.
//! 4. [`future`]: the verdict goes into the request's extensions, and the inner service is called.
//! 5. [`extract`]: a handler that takes `CurrentSession` gets it, or [`rejection`] answers.

mod credential;
mod extract;
mod future;
mod layer;
mod rejection;
mod respond;
#[cfg(feature = "routes")]
pub mod routes;
mod service;

#[cfg(fuzzing)]
pub(crate) use self::credential::fuzz as fuzz_credential;
pub use self::{
    extract::{Claims, Client, FreshSession},
    future::ResponseFuture,
    layer::SessionValidationLayer,
    rejection::SessionRejection,
    service::SessionValidation,
};
