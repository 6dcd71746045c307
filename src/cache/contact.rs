//! When the database last answered, and what was last wrong with it: for a health page, and for nothing else.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crate::clock::Tick;

/// The last contact with the store.
#[derive(Debug)]
pub(crate) struct Contact {
    answered: AtomicU64,
    lost: AtomicU64,
    last_error: Mutex<Option<Arc<str>>>,
}

impl Contact {
    pub(crate) const fn new(answered: Tick) -> Self {
        Self { answered: AtomicU64::new(answered.as_nanos()), lost: AtomicU64::new(0), last_error: Mutex::new(None) }
    }

    pub(crate) fn answered(&self, when_asked: Tick) {
        self.answered.fetch_max(when_asked.as_nanos(), Ordering::AcqRel);
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
