//! Signing in, as the store does it: one transaction, in which the user's lock is held while it is decided.

use std::{fmt::Debug, time::Duration};

use time::OffsetDateTime;

use super::NewSession;
use crate::{
    error::Error,
    session::{DeviceKey, EndReason, Ended, Session, SessionId, UserId},
    signals::Signal,
    token::refresh::State,
};

/// Who comes in. Opaque.
#[derive(Clone, Debug)]
pub struct Arrival(pub(crate) Comes);

#[derive(Clone, Debug)]
pub(crate) enum Comes {
    /// Somebody signs in: a new row.
    New(Box<NewSession>),
    /// The second factor of a pending session has been checked.
    Complete {
        /// Which session.
        id: SessionId,
        /// Whose.
        user: UserId,
        /// What its device is known by.
        device_key: Option<DeviceKey>,
        /// How long it may live from now on.
        absolute_lifetime: Duration,
    },
}

/// How it is decided what becomes of an [`Arrival`]. Opaque.
pub struct Admit {
    /// How many of the live sessions are needed, the newest first, beside that of the device and pending ones; `None`: all.
    pub(crate) looks_at: Option<usize>,
    pub(crate) decide: Box<Decide>,
}

type Decide = dyn FnOnce(&Found) -> Result<Admission, Error> + Send;

impl Debug for Admit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admit").finish_non_exhaustive()
    }
}

/// What there is of a user, read under their lock.
#[derive(Debug)]
pub(crate) struct Found {
    /// Live by their rows; pending ones too, and the one that arrives if it has a row.
    pub(crate) live: Vec<Session>,
    /// The tokens of the one that arrives, if it has a row.
    pub(crate) tokens: Option<State>,
    /// The session that its browser had before, whosever that is.
    pub(crate) replaces: Option<SessionId>,
    /// What was unusual when it arrived, if it has a row.
    pub(crate) signals: Vec<Signal>,
    /// The user has known devices.
    pub(crate) has_devices: bool,
    /// This one is, and may have a name of its owner's.
    pub(crate) device: Option<Option<String>>,
    /// Where the user signed in from, within [`COUNTRIES_FOR`].
    pub(crate) countries: Vec<String>,
    /// When the user was last seen on any device, as far as is known.
    pub(crate) last_seen_at: Option<OffsetDateTime>,
    pub(crate) now: OffsetDateTime,
}

impl Found {
    pub(crate) fn new(live: Vec<Session>) -> Self {
        Self {
            live,
            tokens: None,
            replaces: None,
            signals: Vec::new(),
            has_devices: false,
            device: None,
            countries: Vec::new(),
            last_seen_at: None,
            now: OffsetDateTime::UNIX_EPOCH,
        }
    }
}

/// What is to be done, and what others are told when it is a session. To refuse is an error, and leaves nothing.
#[derive(Debug)]
pub(crate) enum Admission {
    /// The row is added, and is not a session before the second factor.
    Pending { lifetime: Duration, ends: Vec<End>, tells: Vec<Signal> },
    /// It is a session; these are the tokens of one that was pending.
    Full { ends: Vec<End>, tokens: Option<State>, tells: Vec<Signal> },
}

/// A session that ends for it.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) id: SessionId,
    pub(crate) reason: EndReason,
    /// When it ran out, if that is why.
    pub(crate) at: Option<OffsetDateTime>,
}

/// Somebody is in.
#[derive(Debug)]
#[non_exhaustive]
pub struct Admitted {
    /// The session.
    pub session: Session,
    /// Those that ended for it.
    pub ended: Vec<(SessionId, Ended)>,
    /// The one that its browser had before, where the row was to remember that.
    pub replaces: Option<SessionId>,
}

/// For so long a country counts as known after a sign-in from it.
pub(crate) const COUNTRIES_FOR: Duration = Duration::from_secs(180 * 24 * 60 * 60);
/// As many devices of a user are kept, those last seen: whoever sends no cookie back is a new one each time.
pub(crate) const DEVICES_OF_A_USER: usize = 100;
/// So long after it was last seen, a device is forgotten. Browsers keep no cookie for longer (RFC 6265bis §5.5).
pub(crate) const DEVICE_FOR: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// Sessions that are looked at where there is no limit to keep: those of a person, and not of a service account.
pub(crate) const SOME: usize = 100;
