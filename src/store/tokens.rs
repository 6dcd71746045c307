//! Deciding what becomes of tokens, as asked of a store.

use std::fmt::Debug;

use time::OffsetDateTime;

use crate::{
    session::{EndReason, Ended, Session, SessionId},
    token::refresh::State,
};

/// What becomes of a session's tokens, decided under the lock of its row. Opaque.
pub struct Rotate(pub(crate) Box<dyn FnOnce(&Locked) -> Decided + Send>);

impl Debug for Rotate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rotate").finish_non_exhaustive()
    }
}

/// A live row, locked.
#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) session: Session,
    pub(crate) tokens: State,
    pub(crate) now: OffsetDateTime,
}

/// What is to be done with it.
#[derive(Clone, Debug)]
pub(crate) enum Decided {
    /// Tokens of this generation may be handed out; `authenticated`: the user has proved anew who they are.
    Tokens { state: State, authenticated: bool },
    /// The session ends.
    End(EndReason),
    /// Nothing is written.
    Refuse(Refusal),
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Tokens from before a re-authentication or a failover.
    Superseded,
    /// The session has run out.
    RanOut(EndReason),
    /// It looks idle, and that is not certain.
    Doubtful,
}

/// What a [`SessionStore::rotate`](crate::SessionStore::rotate) did. Opaque.
#[derive(Debug)]
pub struct Rotated(pub(crate) Rotation);

#[derive(Debug)]
pub(crate) enum Rotation {
    NotFound,
    /// It had ended before.
    Ended(Ended),
    /// It has ended by this.
    EndedNow(Ended),
    /// Done; the row as it was just before, and its tokens now.
    Tokens(Box<Locked>, State),
    Refused(Refusal),
}

/// A generation of tokens that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InUse {
    /// Of which session.
    pub id: SessionId,
    /// Which generation.
    pub generation: u64,
}

impl InUse {
    /// This generation of this session.
    #[must_use]
    pub const fn new(id: SessionId, generation: u64) -> Self {
        Self { id, generation }
    }
}

/// What a [`SessionStore::confirm`](crate::SessionStore::confirm) did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Confirmed {
    /// Sessions that it ended as `refresh_reuse`: the generation in use had been given up.
    pub ended: Vec<(SessionId, Ended)>,
    /// Not noted: somebody else holds the row just now.
    pub left: Vec<InUse>,
}
