//! One state for one session. Tokens, requests and the cache all hold the same one, so an end reaches them all.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use super::{
    flight::Flights,
    reading::{Known, Reading},
    standing::Place,
};
use crate::{
    clock::Tick,
    seen::LastSeen,
    session::{Ended, SessionId, UserId},
};

/// Everything that this node knows of one session.
#[derive(Debug)]
pub(crate) struct State {
    id: SessionId,
    /// Empty: to be read.
    reading: ArcSwapOption<Reading>,
    /// Sticky: an end is for ever.
    ended: OnceLock<Box<Ended>>,
    seen: Arc<LastSeen>,
    /// Reads under way, and places in front. Its lock also decides whether a reading is stored or void.
    flights: Mutex<Flights>,
    registry: Weak<Registry>,
}

impl State {
    pub(crate) const fn id(&self) -> SessionId {
        self.id
    }

    pub(crate) fn reading(&self) -> Option<Arc<Reading>> {
        self.reading.load_full()
    }

    /// Whose it is, if it has been read.
    pub(super) fn user(&self) -> Option<UserId> {
        match &self.reading()?.known {
            Known::Row(row) => Some(row.user_id.clone()),
            Known::Missing => None,
        }
    }

    /// Whether nothing has been told, or read, that takes its place.
    pub(super) fn stands(&self, reading: &Reading) -> bool {
        self.seen.standing() == reading.number()
    }

    /// Before what was judged by this reading is put into that place: it counts there for as long as the reading stands. `false`:
    /// it does not stand any more.
    pub(crate) fn stand_in_front(&self, reading: &Reading, place: Place) -> bool {
        // Under the lock under which the next one takes its place.
        let mut flights = self.flights();
        let stands = self.stands(reading);
        if stands {
            flights.stand_in_front(place);
        }
        stands
    }

    pub(crate) fn ended(&self) -> Option<&Ended> {
        self.ended.get().map(AsRef::as_ref)
    }

    pub(crate) const fn seen(&self) -> &Arc<LastSeen> {
        &self.seen
    }

    /// It has ended, and that is known for certain.
    pub(super) fn end(&self, ended: &Ended) {
        self.remember_end(ended);
        self.distrust();
    }

    /// `true` the first time.
    pub(super) fn remember_end(&self, ended: &Ended) -> bool {
        self.ended.get().is_none() && self.ended.set(Box::new(ended.clone())).is_ok()
    }

    /// What was read so far, or is being read, does not count any more.
    pub(super) fn distrust(&self) {
        let mut flights = self.flights();
        flights.make_void();
        self.seen.none_stands();
        flights.leave_front();
        let gone = self.reading.swap(None);
        drop(flights);
        drop(gone);
        self.wake_waiters();
    }

    /// Tells when something about the session changes. Looked at after this, the session shows whatever had changed before.
    pub(crate) fn changed(&self) -> Arc<Notify> {
        self.flights().changed()
    }

    /// Those who wait for the end look again. To be called after what they are to see.
    pub(super) fn wake_waiters(&self) {
        let changed = self.flights().waited_for();
        if let Some(changed) = changed {
            changed.notify_waiters();
        }
    }

    /// Whether it is the caller who makes its cookie anew: one, and not again for a while, however that turns out.
    pub(crate) fn begin_renewal(&self, now: Tick, pause: Duration) -> bool {
        self.seen.begin_renewal(now, pause)
    }

    /// Stores what a flight found. The caller has made sure, under this lock, that it is not void.
    pub(super) fn store(&self, flights: &mut Flights, reading: &Arc<Reading>) -> Option<Arc<Reading>> {
        reading.stand_as(self.seen.another_stands());
        flights.leave_front();
        self.reading.swap(Some(Arc::clone(reading)))
    }

    /// A panic under this lock can leave a flight that nobody finishes; its waiters are then told so.
    pub(super) fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.forget(self.id);
        }
    }
}

/// Finds the state of a session. It keeps none alive.
#[derive(Debug)]
pub(super) struct Registry {
    shards: Box<[Mutex<Shard>]>,
    made: AtomicU64,
}

type Shard = HashMap<SessionId, Weak<State>>;

impl Registry {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), made: AtomicU64::new(0) }
    }

    pub(super) fn find(&self, id: SessionId) -> Option<Arc<State>> {
        // Cloned out, so that a last reference is never dropped under the lock, which `State::drop` takes.
        let found = self.shard(id).get(&id).cloned();
        found.and_then(|state| state.upgrade())
    }

    pub(super) fn find_or_make(self: &Arc<Self>, id: SessionId) -> Arc<State> {
        let mut shard = self.shard(id);
        if let Some(state) = shard.get(&id).and_then(Weak::upgrade) {
            return state;
        }
        let state = Arc::new(State {
            id,
            reading: ArcSwapOption::empty(),
            ended: OnceLock::new(),
            seen: Arc::default(),
            flights: Mutex::default(),
            registry: Arc::downgrade(self),
        });
        shard.insert(id, Arc::downgrade(&state));
        drop(shard);
        self.made.fetch_add(1, Ordering::Relaxed);
        state
    }

    /// All states there are, shard by shard. One that is made meanwhile has read nothing yet.
    pub(super) fn all(&self) -> impl Iterator<Item = Arc<State>> + '_ {
        self.shards.iter().flat_map(|shard| {
            let found: Vec<_> = shard.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
            found.into_iter().filter_map(|state| state.upgrade())
        })
    }

    /// How many states there have been.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// A state is gone. Its place may already hold another of the same session, which stays.
    fn forget(&self, id: SessionId) {
        let mut shard = self.shard(id);
        if shard.get(&id).is_some_and(|state| state.strong_count() == 0) {
            shard.remove(&id);
        }
    }

    fn shard(&self, id: SessionId) -> MutexGuard<'_, Shard> {
        // The last bits of a UUID of any version are random enough to spread; the map inside is keyed.
        let place = usize::from(id.as_uuid().as_bytes()[15]) % SHARDS;
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::{
        super::{front::Front, lease::LeaseCell},
        *,
    };

    fn read(state: &State) -> Arc<Reading> {
        let never = Tick::from_nanos(u64::MAX);
        let reading = Arc::new(Reading::new(Known::Missing, Tick::ZERO, Arc::new(LeaseCell::for_ever()), never));
        state.store(&mut state.flights(), &reading);
        reading
    }

    #[test]
    fn there_is_one_state_of_a_session_and_it_goes_with_its_last_holder() {
        let registry = Arc::new(Registry::new());
        let id = SessionId::new();
        let one = registry.find_or_make(id);
        let two = registry.find_or_make(id);
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!(registry.all().count(), 1);
        drop((one, two));
        assert!(registry.find(id).is_none());
        assert!(registry.shard(id).is_empty(), "nothing left behind");
    }

    /// A node keeps one of each for every active session; the allocator adds 8 bytes to what is asked of it and rounds up to 16.
    #[test]
    fn what_is_kept_of_a_session_takes_little_room() {
        const COUNTS: usize = 16;
        for (what, size, at_most) in [
            ("state", size_of::<State>(), 88),
            ("reading", size_of::<Reading>(), 184),
            ("last seen", size_of::<LastSeen>(), 40),
        ] {
            assert!(size + COUNTS <= at_most, "{what}: {size}");
        }
        // Of those that are, or were, in front.
        assert!(Flights::size_of_asked() <= 72);
    }

    /// A change at each point of the way to the front. The controls are one who does not ask whether the reading stands, and one who
    /// tells of the place when it is there.
    #[test]
    fn what_was_judged_stands_in_front_for_as_long_as_its_reading() {
        let state = Arc::new(Registry::new()).find_or_make(SessionId::new());
        let token = b"header.payload.a-signature-of-some-length";
        let ended = Ended::new(time::OffsetDateTime::now_utc(), crate::EndReason::Logout, None);
        let end = || state.end(&ended);
        let read_again = || drop(read(&state));
        for change in [&(|| state.distrust()) as &dyn Fn(), &end, &read_again] {
            let front = Front::new(1_000);
            let stands = || front.find_standing(token, |()| true).is_some();

            let reading = read(&state);
            front.offer(token, |place| state.stand_in_front(&reading, place).then_some(()));
            assert!(stands());
            change();
            assert!(!stands(), "changed after it");

            let reading = read(&state);
            front.offer(token, |place| {
                assert!(state.stand_in_front(&reading, place));
                change();
                Some(())
            });
            assert!(!stands(), "changed on the way");

            let reading = read(&state);
            change();
            front.offer(token, |place| state.stand_in_front(&reading, place).then_some(()));
            assert!(!stands(), "changed before it");

            front.offer(token, |place| {
                state.flights().stand_in_front(place);
                Some(())
            });
            assert!(stands(), "the control that does not ask");
            let reading = read(&state);
            let mut later = None;
            front.offer(token, |place| {
                later = Some(place);
                Some(())
            });
            assert!(state.stands(&reading));
            change();
            state.flights().stand_in_front(later.unwrap());
            assert!(stands(), "the control that tells of the place when it is there");
        }
    }

    #[test]
    fn an_end_is_sticky() {
        let registry = Arc::new(Registry::new());
        let state = registry.find_or_make(SessionId::new());
        let at = time::OffsetDateTime::now_utc();
        state.end(&Ended::new(at, crate::EndReason::Logout, None));
        state.end(&Ended::new(at, crate::EndReason::Idle, None));
        assert_eq!(state.ended().map(|ended| &ended.reason), Some(&crate::EndReason::Logout));
    }
}
