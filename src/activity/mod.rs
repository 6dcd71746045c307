//! Last activity: one atomic store a request, and now and then one small statement for all sessions together.

mod writer;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(crate) use self::writer::{Command, Writer};
use crate::{clock::Tick, seen::LastSeen};

/// The sessions that were seen since the writer last took them. Bounded by the number of distinct sessions.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<Seen>>);

/// A session in the queue, with the address of the touch that queued it.
#[derive(Debug)]
struct Seen {
    session: Arc<LastSeen>,
    ip_address: Option<IpAddr>,
}

impl Recorder {
    /// Notes that a session was used. Never waits, never fails; the lock is held for a push or a swap, by nobody who
    /// does I/O.
    pub(crate) fn touch(&self, session: &Arc<LastSeen>, now: Tick, ip_address: impl FnOnce() -> Option<IpAddr>) {
        if session.touch(now) {
            let ip_address = ip_address();
            self.queue().push(Seen { session: Arc::clone(session), ip_address });
        }
    }

    /// How many sessions wait to be written.
    pub(crate) fn len(&self) -> usize {
        self.queue().len()
    }

    fn take_all(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.queue())
    }

    /// What could not be written stays, unless a newer touch has queued it meanwhile.
    fn put_back(&self, seen: impl IntoIterator<Item = Seen>) {
        let kept: Vec<_> = seen.into_iter().filter(|seen| seen.session.put_back()).collect();
        self.queue().extend(kept);
    }

    /// What the writer has not come to.
    fn keep(&self, seen: Vec<Seen>) {
        self.queue().extend(seen);
    }

    fn queue(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
