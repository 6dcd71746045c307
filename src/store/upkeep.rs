//! Expiry and retention, as asked of a store.

use std::time::Duration;

use crate::session::{Ended, SessionId};

/// When a session has run out.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Expire {
    /// The idle timeout; `None` ends by the absolute lifetime alone.
    pub idle: Option<Idle>,
    /// How often all live rows are looked at for idle ones, by all nodes together.
    pub every: Duration,
}

impl Expire {
    /// Of which idle timeout, and how often.
    #[must_use]
    pub const fn new(idle: Option<Idle>, every: Duration) -> Self {
        Self { idle, every }
    }
}

/// When a session is idle.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Idle {
    /// So long after its last activity it ends ..
    pub timeout: Duration,
    /// .. but it is marked so much later: activity that is not written down yet may save it.
    pub allowance: Duration,
}

impl Idle {
    /// A timeout, and how much later it is acted on.
    #[must_use]
    pub const fn new(timeout: Duration, allowance: Duration) -> Self {
        Self { timeout, allowance }
    }
}

/// What a batch of [`SessionStore::expire`](crate::SessionStore::expire) did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Expired {
    /// Ended by it, with reason `idle` or `absolute` and the time at which they ran out.
    pub ended: Vec<(SessionId, Ended)>,
    /// Whether there is another batch to do now.
    pub more: bool,
}

/// For how long rows of ended sessions are kept.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Retention {
    /// So long after the end the address, the place and the User-Agent go.
    pub scrub_after: Duration,
    /// So long after the end the row goes.
    pub history: Duration,
}

impl Retention {
    /// Scrubbed after this, deleted after that.
    #[must_use]
    pub const fn new(scrub_after: Duration, history: Duration) -> Self {
        Self { scrub_after, history }
    }
}

/// What a batch of [`SessionStore::purge`](crate::SessionStore::purge) did.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Purged {
    /// Rows that lost their address, place and User-Agent.
    pub scrubbed: usize,
    /// Rows deleted.
    pub deleted: usize,
    /// Whether there is another batch to do now.
    pub more: bool,
}
