//! How a store tells what others change.

use std::{fmt::Debug, sync::Arc};

use crate::{clock::Tick, session::SessionId};

/// How a store tells what others change.
#[derive(Debug)]
#[non_exhaustive]
pub enum Changes {
    /// Nobody else can change anything: this process is the only writer.
    OnlyHere,
    /// The store cannot tell. Whatever was read is believed for `max_staleness` and then read again.
    Untold,
    /// A feed, applied in order by one task.
    Feed(ChangeFeed),
}

/// The receiving end of a feed of changes. Opaque.
pub struct ChangeFeed(pub(crate) tokio::sync::mpsc::Receiver<Change>);

impl Debug for ChangeFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangeFeed").finish_non_exhaustive()
    }
}

/// What a feed says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "only Postgres has a feed"))]
pub(crate) enum Change {
    /// A new connection listens: what was read before it does not count under it.
    Connected,
    /// Everything committed before this instant has been told.
    ToldUpTo(Tick),
    /// This session changed.
    Session(SessionId),
    /// Anything may have changed.
    Everything,
    /// Nothing is told any more, for this reason. `elsewhere`: and what was told came from another server.
    Lost { cause: Arc<str>, elsewhere: bool },
}
