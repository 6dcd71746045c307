//! One lease: one atomic deadline.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Tick;

/// Holds while its deadline lies ahead. Zero is final.
#[derive(Debug)]
pub(crate) struct LeaseCell {
    deadline: AtomicU64,
    /// What was committed before this has been told. Stays when the lease is lost.
    told_up_to: AtomicU64,
}

impl LeaseCell {
    pub(super) const fn dropped() -> Self {
        Self::until(DROPPED)
    }

    /// Of a new connection, before its first beat has come back.
    pub(super) const fn not_yet() -> Self {
        Self::until(NOT_YET)
    }

    pub(super) const fn for_ever() -> Self {
        Self::until(u64::MAX)
    }

    const fn until(deadline: u64) -> Self {
        Self { deadline: AtomicU64::new(deadline), told_up_to: AtomicU64::new(0) }
    }

    pub(super) fn deadline(&self) -> Tick {
        Tick::from_nanos(self.deadline.load(Ordering::Acquire))
    }

    pub(super) fn holds(&self, now: Tick) -> bool {
        self.deadline() > now
    }

    /// Moves the deadline forward, unless the cell has been dropped: a renewal that is late must not revive it.
    pub(super) fn renew(&self, told_up_to: Tick, until: Tick) {
        let forward = |deadline: u64| (deadline != DROPPED && deadline < until.as_nanos()).then_some(until.as_nanos());
        if self.deadline.fetch_update(Ordering::AcqRel, Ordering::Acquire, forward).is_ok() {
            self.told_up_to.fetch_max(told_up_to.as_nanos(), Ordering::AcqRel);
        }
    }

    pub(super) fn drop_for_good(&self) {
        self.deadline.store(DROPPED, Ordering::Release);
    }

    pub(super) fn told_up_to(&self) -> Tick {
        Tick::from_nanos(self.told_up_to.load(Ordering::Acquire))
    }
}

const DROPPED: u64 = 0;
/// A cell that nobody has renewed yet holds at no instant.
const NOT_YET: u64 = 1;
