//! Ending sessions, as asked of a store.

use crate::session::{EndReason, Ended, SessionId, UserId};

/// Which sessions to end, why and on whose word.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndRequest {
    /// Which.
    pub target: EndTarget,
    /// Why.
    pub reason: EndReason,
    /// On whose word: the id of the session that asks, or a name the application gives.
    pub by: Option<String>,
}

impl EndRequest {
    /// A request.
    #[must_use]
    pub const fn new(target: EndTarget, reason: EndReason, by: Option<String>) -> Self {
        Self { target, reason, by }
    }
}

/// Which sessions to end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EndTarget {
    /// One session; of this user only, if one is given.
    One {
        /// Which.
        id: SessionId,
        /// Another user's counts as not found.
        user: Option<UserId>,
    },
    /// All live sessions of a user but the one that asks, which must itself be live.
    Others {
        /// Whose.
        user: UserId,
        /// The one that asks and stays.
        keep: SessionId,
    },
    /// All live sessions of a user.
    All {
        /// Whose.
        user: UserId,
        /// The session that asks, which must itself be live; `None` when the application does.
        caller: Option<SessionId>,
    },
    /// These, whoever's they are: those of them that are live.
    These {
        /// Which.
        ids: Vec<SessionId>,
    },
}

/// What an [`EndRequest`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndOutcome {
    /// These were ended by this request (none is fine for a request that names no single session).
    Ended(Vec<(SessionId, Ended)>),
    /// The one named had ended before; this is how.
    AlreadyEnded(Ended),
    /// The one named does not exist, or is another user's.
    NotFound,
    /// The session that asked had ended (`Some`) or does not exist, so nothing was done.
    CallerEnded(Option<Ended>),
}
