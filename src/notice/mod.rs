//! Telling people and systems what happened.

#[cfg(feature = "apns")]
mod apns;
mod delivery;
#[cfg(feature = "email")]
mod email;
#[cfg(feature = "fcm")]
mod fcm;
mod stream;
#[cfg(feature = "webhook")]
mod webhook;
#[cfg(any(feature = "webhook", feature = "fcm", feature = "apns"))]
mod wire;
mod worker;

use std::{fmt, pin::Pin, time::Duration};

#[cfg(feature = "apns")]
pub use self::apns::Apns;
#[cfg(feature = "email")]
pub use self::email::{Email, MailText, NewLoginMail};
#[cfg(feature = "fcm")]
pub use self::fcm::Fcm;
#[cfg(feature = "webhook")]
pub use self::webhook::Webhook;
pub(crate) use self::worker::{Desk, Links, Sink, Worker, register};
pub use self::{
    delivery::Delivery,
    stream::{EventStream, MissedEvents},
};
use crate::{
    error::BoxError,
    event::{Notice, Wants},
};

/// Delivers notices somewhere: a provider of push, a mail server, an audit log of the application's own.
///
/// The features `webhook`, `fcm`, `apns` and `email` bring one each; this is how to write another:
///
/// ```
/// # use axum_device_sessions::{EventKind, NotDelivered, Notice, Notifier, Wants};
/// # struct Queue;
/// # impl Queue { async fn put(&self, _: String) -> Result<(), std::io::Error> { Ok(()) } }
/// struct Audit(Queue);
///
/// impl Notifier for Audit {
///     fn wants(&self) -> Wants {
///         Wants::events([EventKind::SessionCreated, EventKind::SessionEnded])
///     }
///
///     async fn deliver(&self, notice: &Notice) -> Result<(), NotDelivered> {
///         let json = serde_json::to_string(&notice.event).map_err(NotDelivered::refused)?;
///         self.0.put(json).await.map_err(NotDelivered::retry)
///     }
/// }
/// ```
pub trait Notifier: Send + Sync + 'static {
    /// Which notices it is for. Asked once, by `build()`.
    fn wants(&self) -> Wants;

    /// Delivers one. `Ok` is said when the receiver has it: it is not delivered again, unless this process dies in the very
    /// moment. It is dropped where it takes longer than [`Delivery::timeout`](crate::Delivery::timeout), and then tried again.
    ///
    /// # Errors
    ///
    /// [`NotDelivered`] says what is to become of it.
    fn deliver(&self, notice: &Notice) -> impl Future<Output = Result<(), NotDelivered>> + Send;
}

/// The same, for any of them.
pub(crate) trait Deliver: Send + Sync {
    fn wants(&self) -> Wants;

    fn deliver<'a>(&'a self, notice: &'a Notice) -> Delivering<'a>;
}

type Delivering<'a> = Pin<Box<dyn Future<Output = Result<(), NotDelivered>> + Send + 'a>>;

impl<N: Notifier> Deliver for N {
    fn wants(&self) -> Wants {
        Notifier::wants(self)
    }

    fn deliver<'a>(&'a self, notice: &'a Notice) -> Delivering<'a> {
        Box::pin(Notifier::deliver(self, notice))
    }
}

/// A notice did not get to its receiver, and what is to become of it. Its cause is logged, and kept where it was the last
/// attempt: it must not hold a secret.
#[derive(Debug)]
pub struct NotDelivered {
    pub(crate) what: Undelivered,
    pub(crate) cause: BoxError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undelivered {
    Retry { after: Option<Duration> },
    Refused,
    Gone,
}

impl NotDelivered {
    /// It may work later: tried again, with growing pauses, [`Delivery::attempts`](crate::Delivery::attempts) times in all.
    pub fn retry(cause: impl Into<BoxError>) -> Self {
        Self { what: Undelivered::Retry { after: None }, cause: cause.into() }
    }

    /// The same, and the receiver says for how long nothing is to be sent to it (`Retry-After`): nothing is, as far as this
    /// node is concerned. At most an hour of that is kept to.
    pub fn retry_after(pause: Duration, cause: impl Into<BoxError>) -> Self {
        Self { what: Undelivered::Retry { after: Some(pause) }, cause: cause.into() }
    }

    /// It will never work, whatever is tried: a mistake in the settings or the message. Kept among the undelivered.
    pub fn refused(cause: impl Into<BoxError>) -> Self {
        Self { what: Undelivered::Refused, cause: cause.into() }
    }

    /// The provider says that the target is there no more, the app removed for instance: the target is deleted.
    pub fn gone(cause: impl Into<BoxError>) -> Self {
        Self { what: Undelivered::Gone, cause: cause.into() }
    }
}

impl fmt::Display for NotDelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.what {
            Undelivered::Retry { .. } => "not delivered",
            Undelivered::Refused => "cannot be delivered",
            Undelivered::Gone => "the target is gone",
        })
    }
}

impl std::error::Error for NotDelivered {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.cause)
    }
}
