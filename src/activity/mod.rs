//! Last activity: one atomic store a request, and now and then one small statement for all sessions together.

mod writer;

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(crate) use self::writer::{Command, Writer};
use crate::{clock::Tick, seen::LastSeen, session::SessionId};

/// The sessions that were seen since the writer last took them. Bounded by the number of distinct sessions.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<HashMap<SessionId, Seen>>);

/// A session in the queue, with the address of the touch that queued it.
#[derive(Debug)]
struct Seen {
    session: Arc<LastSeen>,
    ip_address: Option<IpAddr>,
}

impl Recorder {
    /// Notes that a session was used. Never waits, never fails; the lock is held for one entry or a swap, by nobody who
    /// does I/O.
    pub(crate) fn touch(&self, session: &Arc<LastSeen>, now: Tick, ip_address: impl FnOnce() -> Option<IpAddr>) {
        if session.touch(now) {
            let seen = Seen { session: Arc::clone(session), ip_address: ip_address() };
            // One that is there is of a state that has been forgotten since, and older.
            self.queue().insert(session.id(), seen);
        }
    }

    /// How many sessions wait to be written.
    pub(crate) fn len(&self) -> usize {
        self.queue().len()
    }

    fn take_all(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.queue()).into_values().collect()
    }

    /// What could not be written stays, unless a newer touch has queued the session meanwhile.
    fn put_back(&self, seen: impl IntoIterator<Item = Seen>) {
        let mut queue = self.queue();
        for seen in seen {
            if let Entry::Vacant(place) = queue.entry(seen.session.id()) {
                seen.session.put_back();
                place.insert(seen);
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, HashMap<SessionId, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
