//! Last activity: one atomic store a request, and now and then one small statement for all sessions together.

mod writer;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

pub(crate) use self::writer::{Command, Writer};
use crate::{clock::Tick, origin::Whence, seen::LastSeen, session::SessionId};

/// The sessions that were seen since the writer last took them. Bounded by the number of distinct sessions.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    queue: Mutex<Queue>,
    /// How many the writer has taken and could not write yet.
    unwritten: AtomicUsize,
}

type Queue = HashMap<SessionId, Seen>;

/// A session in the queue, with the origin of the touch that queued it.
#[derive(Debug)]
struct Seen {
    session: Arc<LastSeen>,
    whence: Whence,
    /// Keeps the session's state until this is written, where no token does.
    _held: Option<Held>,
}

/// A session's state, as far as it matters here.
pub(crate) type Held = Arc<dyn fmt::Debug + Send + Sync>;

impl Recorder {
    /// Notes that a session was used. Never waits, never fails; the lock is held for one entry or a swap, by nobody who
    /// does I/O.
    ///
    /// `who`: its id, and the origin of the request; asked once an interval.
    pub(crate) fn touch(&self, session: &Arc<LastSeen>, now: Tick, who: impl FnOnce() -> (SessionId, Whence)) {
        self.touch_and_hold(session, now, || (who(), None));
    }

    /// The same of a session that perhaps no token on this node names: what is asked of it meanwhile must find that it was seen.
    pub(crate) fn touch_and_hold(
        &self,
        session: &Arc<LastSeen>,
        now: Tick,
        who: impl FnOnce() -> ((SessionId, Whence), Option<Held>),
    ) {
        if session.touch(now) {
            let ((id, whence), held) = who();
            let seen = Seen { session: Arc::clone(session), whence, _held: held };
            // One that is there is of a state that has been forgotten since, and older.
            self.queue().insert(id, seen);
        }
    }

    /// How many sessions wait to be written; one that was seen again while it waits may count twice.
    pub(crate) fn len(&self) -> usize {
        self.queue().len() + self.unwritten.load(Ordering::Relaxed)
    }

    /// Whether the last flush left something behind: rows may look older than this node knows them to be.
    pub(crate) fn is_behind(&self) -> bool {
        self.unwritten.load(Ordering::Acquire) > 0
    }

    /// Moves the queue to the writer's own. The lock is held for the swap alone, however much there is.
    fn take(&self, unwritten: &mut Queue) {
        let taken = std::mem::take(&mut *self.queue());
        // One that is in both was forgotten and found again, or seen while it was being written: the later one counts.
        unwritten.extend(taken);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
