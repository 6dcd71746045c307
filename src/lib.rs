//! stub
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod activity;
mod cache;
mod clock;
mod config;
mod device;
mod error;
mod policy;
mod seen;
mod session;
mod sessions;
mod store;
mod telemetry;
mod token;
mod web;

pub use clock::Clock;
pub use config::SessionsBuilder;
pub use error::{ConfigError, Error, ErrorKind};
pub use session::{Device, DeviceType, EndReason, Ended, FormFactor, Session, SessionId, UserId};
pub use sessions::{Coherence, CurrentSession, Health, Issue, Issuing, Sessions, SignIn, SignedIn};
pub use store::{
    Activity, ChangeFeed, Changes, EndOutcome, EndRequest, EndTarget, Loaded, MemoryStore, NewSession, SessionStore,
    StoreFuture,
};
#[cfg(feature = "postgres")]
pub use store::{MIGRATIONS, Migration, PostgresStore};
pub use token::{AccessTokens, SigningKey, VerifyingKey};
#[cfg(feature = "routes")]
pub use web::routes;
pub use web::{Claims, Client, ResponseFuture, SessionRejection, SessionValidation, SessionValidationLayer};
