//! Last activity: at most one atomic store a request, and now and then one small statement for all sessions together.

mod writer;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use indexmap::IndexMap;

pub(crate) use self::writer::{Command, Writer};
use crate::{clock::Tick, origin::Whence, seen::LastSeen, session::SessionId};

/// The sessions that were seen since the writer last took them. Bounded by the number of distinct sessions.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// In parts, by id: none of them is asked for by everybody, or grows for long.
    queue: [Mutex<Queue>; PARTS],
    /// How many the writer has taken and could not write yet.
    unwritten: AtomicUsize,
    /// How many times it has taken some: a chunk each.
    taken: AtomicU64,
}

const PARTS: usize = 32;

/// In one piece besides a table of places: where many wait, what counts is room, and a hash table of them would be half empty.
type Queue = IndexMap<SessionId, Seen>;

/// A session in the queue, with the origin of the touch that queued it.
#[derive(Debug)]
struct Seen {
    session: Arc<LastSeen>,
    whence: Whence,
    /// Keeps the session's state until this is written, where no token does. In a box, since few need it.
    _held: Option<Box<Held>>,
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
            let seen = Seen { session: Arc::clone(session), whence, _held: held.map(Box::new) };
            // One that is there is of a state that has been forgotten since, and older.
            let older = lock(&self.queue[part_of(id)]).insert(id, seen);
            drop(older);
        }
    }

    /// How many times the writer has taken some. Raised after each: the next request of any of these queues it again.
    #[inline]
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// How many sessions wait to be written; one that was seen again while it waits may count twice.
    pub(crate) fn len(&self) -> usize {
        self.queue.iter().map(|part| lock(part).len()).sum::<usize>() + self.unwritten.load(Ordering::Relaxed)
    }

    /// Whether the last flush left something behind: rows may look older than this node knows them to be.
    pub(crate) fn is_behind(&self) -> bool {
        self.unwritten.load(Ordering::Acquire) > 0
    }

    /// Moves the queue to the writer's own. Each lock is held for the swap alone, however much there is.
    fn take(&self, unwritten: &mut Queue) {
        for part in &self.queue {
            let taken = std::mem::take(&mut *lock(part));
            // One that is in both was forgotten and found again, or seen while it was being written: the later one counts.
            unwritten.extend(taken);
        }
    }
}

fn part_of(id: SessionId) -> usize {
    // The last bits of a UUID of any version are random enough to spread.
    usize::from(id.as_uuid().as_bytes()[15]) % PARTS
}

fn lock(part: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_waits_takes_little_room() {
        // Beside the id and its hash.
        assert!(size_of::<Seen>() <= 40, "{}", size_of::<Seen>());
    }
}
