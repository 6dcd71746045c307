//! When the database last answered, when it came back, and what was last wrong with it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::clock::Tick;

/// The last contact with the store.
#[derive(Debug)]
pub(crate) struct Contact {
    answered: AtomicU64,
    /// When it was first heard of again after a silence; zero before the first one.
    back: AtomicU64,
    /// A silence is longer than this.
    silence: Duration,
    lost: AtomicU64,
    last_error: Mutex<Option<Arc<str>>>,
}

impl Contact {
    pub(crate) const fn new(answered: Tick, silence: Duration) -> Self {
        Self {
            answered: AtomicU64::new(answered.as_nanos()),
            back: AtomicU64::new(0),
            silence,
            lost: AtomicU64::new(0),
            last_error: Mutex::new(None),
        }
    }

    pub(crate) fn answered(&self, when_asked: Tick) {
        let before = self.answered.fetch_max(when_asked.as_nanos(), Ordering::AcqRel);
        if when_asked.since(Tick::from_nanos(before)) > self.silence {
            self.back.fetch_max(when_asked.as_nanos(), Ordering::AcqRel);
        }
    }

    /// Whether it has come back after a silence no longer ago than this: what other nodes have seen meanwhile may not
    /// be written down yet.
    pub(crate) fn came_back_within(&self, span: Duration, now: Tick) -> bool {
        match self.back.load(Ordering::Acquire) {
            0 => false,
            back => now.since(Tick::from_nanos(back)) < span,
        }
    }

    pub(crate) fn last_answer(&self) -> Tick {
        Tick::from_nanos(self.answered.load(Ordering::Acquire))
    }

    pub(crate) fn lost(&self, cause: &Arc<str>) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(cause));
    }

    /// How often the telling of changes broke off, and why the last time.
    pub(crate) fn losses(&self) -> (u64, Option<Arc<str>>) {
        let last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.lost.load(Ordering::Relaxed), last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_noticed_when_it_is_over() {
        let second = Duration::from_secs(1);
        let start = Tick::from_nanos(1_000_000_000);
        let contact = Contact::new(start, 5 * second);
        contact.answered(start.after(4 * second));
        assert!(!contact.came_back_within(20 * second, start.after(5 * second)));
        let back = start.after(30 * second);
        contact.answered(back);
        contact.answered(back.after(second));
        assert!(contact.came_back_within(20 * second, back.after(19 * second)));
        assert!(!contact.came_back_within(20 * second, back.after(20 * second)));
    }
}
