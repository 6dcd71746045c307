//! How a node is doing, for the people who run it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use serde::Serialize;

use super::{Inner, Sessions};

/// How a node is doing. Serialises as a small JSON object for a health page. It names no user and no secret, but
/// `last_error` is the database's own text and may name its host and role: not for the world.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Health {
    /// Whether the database was heard of within `max_staleness`. While it is not, requests are answered 503 as soon as
    /// what is in memory may not be believed any more.
    pub healthy: bool,
    /// How this node learns of changes made elsewhere.
    pub coherence: Coherence,
    /// For how long what is in memory may be believed without hearing anything more, in milliseconds; 0 unless
    /// `coherence` is `lease`. It falls by a third of `max_staleness` from beat to beat.
    pub lease_left_ms: u64,
    /// How often the telling of changes broke off, or could not be begun, since the start.
    pub leases_lost: u64,
    /// Why, the last time.
    pub last_error: Option<Arc<str>>,
    /// Sessions that this node knows.
    pub cached_sessions: usize,
    /// Sessions that it has forgotten since the start, for want of room (`max_cached_sessions`) or of use.
    pub forgotten_sessions: u64,
    /// Sessions whose activity waits to be written.
    pub queued_activity: usize,
}

/// How a node learns of changes made elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Coherence {
    /// It is told of each one (`LISTEN`), and knows up to when it has been told all: no reads while nothing changes.
    Lease,
    /// It is not told, and reads each session in use again every `max_staleness`.
    Polling,
    /// There is no elsewhere: the store is this process's own.
    Alone,
}

impl Sessions {
    /// How this node is doing. Asks nobody, so it can be called as often as you like.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.health()
    }
}

impl Inner {
    fn health(&self) -> Health {
        let now = self.clock.tick();
        let lease_left = self.cache.lease_left(now);
        let coherence = match lease_left {
            _ if self.alone => Coherence::Alone,
            Some(_) => Coherence::Lease,
            None => Coherence::Polling,
        };
        let (leases_lost, last_error) = self.cache.contact().losses();
        Health {
            healthy: coherence != Coherence::Polling || self.heard_within(self.settings.max_staleness),
            coherence,
            lease_left_ms: lease_left
                .filter(|_| !self.alone)
                .map_or(0, |left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            leases_lost,
            last_error,
            cached_sessions: self.cache.len(),
            forgotten_sessions: self.cache.forgotten(),
            queued_activity: self.recorder.len(),
        }
    }

    pub(super) fn heard_within(&self, span: Duration) -> bool {
        self.clock.tick().since(self.cache.contact().last_answer()) < span
    }
}

/// Asks the database whether it is there when nobody else has for a while: without a lease and without requests an
/// idle node would not know; and beats may be further apart than what counts as a `silence`. Ends with the last handle.
pub(super) async fn keep_in_contact(inner: Weak<Inner>, max_staleness: Duration, silence: Duration) {
    let pause = silence / 3;
    loop {
        tokio::time::sleep(pause).await;
        let Some(inner) = inner.upgrade() else { return };
        if inner.heard_within(pause) {
            continue;
        }
        let asked = inner.clock.tick();
        let answer = inner.store.check();
        match tokio::time::timeout(max_staleness, answer).await {
            Ok(Ok(())) => inner.cache.contact().answered(asked),
            Ok(Err(error)) => tracing::debug!(error = &error as &dyn std::error::Error, "no contact"),
            Err(_late) => tracing::debug!("no contact in time"),
        }
    }
}
