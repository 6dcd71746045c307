//! Reading rows: one flight for a session at a time, and flights that pile up go out together.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::runtime::Handle;

use super::{
    contact::Contact,
    flight::{Flight, Found, Landed, Pilot},
    reading::{Known, Reading},
    row::{Row, Shared},
    state::State,
    trust::Trust,
};
use crate::{
    clock::{Clock, Tick},
    error::{Error, ErrorKind},
    policy::{Deadlines, Lifetimes},
    session::{EndReason, Session, SessionId, UserId},
    store::{Loaded, SessionStore},
    telemetry,
};

/// Bounds of what a failing or cold database is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadLimits {
    /// Of one batch. Less than `max_staleness`, so that what it brings may still be believed.
    pub(crate) timeout: Duration,
    /// A reading is made anew after this time, whatever the lease says.
    pub(crate) max_age: Duration,
}

/// See `SessionCache::read`.
pub(super) async fn read(loader: &Arc<Loader>, state: &Arc<State>, user: Option<&UserId>, strict: bool) -> Found {
    for _ in 0..ATTEMPTS {
        let (flight, in_time) = join(loader, state, user, strict);
        let Some(Landed { found, void }) = flight.landed.wait().await else { break };
        let reading = found.clone()?;
        // In time: the read began after we asked. Else it is an entry like any other: told of no change, young enough.
        if in_time || (!void && loader.trust.believes(&reading, loader.clock.tick()) && state.stands(&reading)) {
            return Ok(reading);
        }
    }
    Err(Arc::new(Error::new(ErrorKind::Unavailable, "a session changed faster than it could be read")))
}

/// A late comer to a flight that turns out void takes the next one, whose read begins after he joined.
const ATTEMPTS: usize = 3;

/// The flight to wait for, and whether its query will be sent after this call.
fn join(loader: &Arc<Loader>, state: &Arc<State>, user: Option<&UserId>, strict: bool) -> (Arc<Flight>, bool) {
    let mut flights = state.flights();
    let Some(current) = flights.current() else {
        let pilot = Pilot::new(state, user);
        let flight = pilot.flight();
        flights.begin(Arc::clone(&flight));
        drop(flights);
        loader.submit(pilot);
        return (flight, true);
    };
    if !current.is_sent() {
        return (Arc::clone(current), true);
    }
    if !strict && !current.void.load(Ordering::Relaxed) {
        return (Arc::clone(current), false);
    }
    let next = current.next().get_or_insert_with(|| Pilot::new(state, user)).flight();
    (next, true)
}

/// Sends flights to the store: at once when it is idle, else together with what has piled up behind the batches under
/// way. No timer, so an idle system adds no wait and a cold one makes few statements.
#[derive(Debug)]
pub(super) struct Loader {
    store: Arc<dyn SessionStore>,
    clock: Clock,
    trust: Arc<Trust>,
    contact: Arc<Contact>,
    lives: Lifetimes,
    limits: LoadLimits,
    queue: Mutex<Queue>,
    /// The last batch has failed.
    failing: AtomicBool,
    shared: Shared,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Pilot>,
    batches: usize,
}

/// More ids in a batch bring nothing more, and neither do more connections (measured: `benches/compare`, `cold`).
const IDS_A_BATCH: usize = 256;
const BATCHES: usize = 3;
const AFTER_FAILURE: Duration = Duration::from_millis(50);

impl Loader {
    pub(super) fn new(
        store: Arc<dyn SessionStore>,
        clock: Clock,
        (trust, contact): (Arc<Trust>, Arc<Contact>),
        lives: Lifetimes,
        limits: LoadLimits,
    ) -> Self {
        let (queue, failing, shared) = Default::default();
        Self { store, clock, trust, contact, lives, limits, queue, failing, shared }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In a task of its own: the request that asked first may be dropped, and the others go on waiting.
    fn submit(self: &Arc<Self>, flight: Pilot) {
        let mut queue = self.queue();
        queue.waiting.push_back(flight);
        if queue.batches < BATCHES {
            queue.batches += 1;
            drop(queue);
            let slot = Slot { loader: Arc::clone(self), taken: true };
            // Without a runtime (it is shutting down) the slot is dropped here, and says so to whoever waits.
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(slot.run());
            }
        }
    }

    fn row(
        &self,
        mut session: Session,
        user: Option<&UserId>,
        database_now: time::OffsetDateTime,
        started: Tick,
    ) -> Row {
        let deadlines = Deadlines::of(&session, database_now, started, self.lives);
        if let Some(same) = user.filter(|user| **user == session.user_id) {
            session.user_id = same.clone();
        }
        Row::new(session, deadlines, &self.shared)
    }

    /// Once for an outage, not once for a batch.
    fn note_failure(&self, error: &Error, sessions: usize) {
        telemetry::load_failed();
        if self.failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(error = error as &dyn std::error::Error, sessions, "still cannot load");
        } else {
            tracing::warn!(error = error as &dyn std::error::Error, sessions, "cannot load");
        }
    }
}

/// The right to run one batch at a time. Given back when nothing waits, or by whatever ends its task.
struct Slot {
    loader: Arc<Loader>,
    taken: bool,
}

impl Slot {
    async fn run(mut self) {
        while let Some(mut batch) = self.next_batch() {
            let loader = &self.loader;
            let ids = batch.send();
            telemetry::batch(ids.len());
            // In this order: sent, lease, time, query. A change told from here on makes the flights void, and one
            // told before is in what the query sees.
            let (cell, started) = (loader.trust.cell(), loader.clock.tick());
            let answer = tokio::time::timeout(loader.limits.timeout, loader.store.load(&ids)).await;
            match answer.unwrap_or_else(|late| Err(Error::unavailable("loading sessions", late))) {
                Ok(Loaded { sessions, unreadable, now }) => {
                    loader.contact.answered(started);
                    loader.failing.store(false, Ordering::Relaxed);
                    let reading = |id, known| {
                        let read_again_at = started.after(jittered(loader.limits.max_age, id));
                        Ok(Arc::new(Reading::new(known, started, Arc::clone(&cell), read_again_at)))
                    };
                    for session in sessions {
                        let id = session.id;
                        batch.land(&ids, id, |flight| {
                            reading(id, Known::Row(loader.row(session, flight.user.as_ref(), now, started)))
                        });
                    }
                    let error = || Arc::new(Error::new(ErrorKind::Unavailable, "reading a session's row"));
                    unreadable.into_iter().for_each(|id| batch.land(&ids, id, |_| Err(error())));
                    batch.land_rest(|flight| reading(flight.state.id(), Known::Missing));
                }
                Err(error) => {
                    loader.note_failure(&error, ids.len());
                    let error = Arc::new(error);
                    batch.land_rest(|_| Err(Arc::clone(&error)));
                    // A database that refuses at once is not asked as fast as it refuses.
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Giving the slot back and the look into the queue are one step, so that no flight waits for nobody.
    fn next_batch(&mut self) -> Option<Batch> {
        let mut queue = self.loader.queue();
        if queue.waiting.is_empty() {
            queue.batches -= 1;
            self.taken = false;
            return None;
        }
        let count = queue.waiting.len().min(IDS_A_BATCH);
        let flights = queue.waiting.drain(..count).map(Some).collect();
        Some(Batch { loader: Arc::clone(&self.loader), flights })
    }
}

/// Its task was dropped or has panicked. Where no other is left, nobody would come for those who wait.
impl Drop for Slot {
    fn drop(&mut self) {
        if !self.taken {
            return;
        }
        let mut queue = self.loader.queue();
        queue.batches -= 1;
        let flights = if queue.batches == 0 { queue.waiting.drain(..).map(Some).collect() } else { Vec::new() };
        drop(queue);
        drop(Batch { loader: Arc::clone(&self.loader), flights });
    }
}

/// So that sessions read at the same moment are not read again at the same moment: up to a tenth earlier.
fn jittered(max_age: Duration, id: SessionId) -> Duration {
    max_age - max_age / 10 * u32::from(id.as_uuid().as_bytes()[14]) / 255
}

/// Flights on their way. Dropped before they have landed (a panic in a store, a runtime that shuts down), their waiters
/// are told that nothing was learnt.
struct Batch {
    loader: Arc<Loader>,
    /// Those that have not landed yet. Each stays until it has, whatever panics on the way.
    flights: Vec<Option<Pilot>>,
}

impl Batch {
    /// The ids to ask for, in the order of the flights from now on.
    fn send(&mut self) -> Vec<SessionId> {
        self.flights.sort_by_cached_key(|flight| flight.as_ref().map(|Pilot(flight)| flight.state.id()));
        let sent = |Pilot(flight): &Pilot| {
            let _flights = flight.state.flights();
            flight.sent.store(true, Ordering::Relaxed);
            flight.state.id()
        };
        self.flights.iter().flatten().map(sent).collect()
    }

    /// The one of this id, among those that were sent for.
    fn land(&mut self, ids: &[SessionId], id: SessionId, found: impl FnOnce(&Flight) -> Found) {
        let place = ids.binary_search(&id).ok().and_then(|at| self.flights.get_mut(at));
        if let Some(place) = place {
            land_in(&self.loader, place, found);
        }
    }

    fn land_rest(&mut self, mut found: impl FnMut(&Flight) -> Found) {
        for place in &mut self.flights {
            land_in(&self.loader, place, &mut found);
        }
    }
}

fn land_in(loader: &Arc<Loader>, place: &mut Option<Pilot>, found: impl FnOnce(&Flight) -> Found) {
    if let Some(Pilot(flight)) = place {
        land(loader, flight, found(flight));
        *place = None;
    }
}

fn land(loader: &Arc<Loader>, flight: &Arc<Flight>, found: Found) {
    let state = &flight.state;
    let mut flights = state.flights();
    if flights.land(flight).is_none() {
        return; // Landed before.
    }
    let void = flight.void.load(Ordering::Relaxed);
    let next = flight.next().take();
    let ended = match found.as_ref().map(|reading| &reading.known) {
        Ok(Known::Row(row)) => row.ended(),
        _ => None,
    };
    // Before anybody is told: whoever hears of the end must find that nothing stands that would let the session in.
    let is_news = ended.is_some_and(|ended| state.remember_end(ended));
    let replaced = match &found {
        Ok(reading) if !void => state.store(&mut flights, reading),
        _ => None,
    };
    flights.go_on(next.as_ref().map(Pilot::flight));
    drop(flights);
    drop(replaced);
    if let Some(next) = next {
        loader.submit(next);
    }
    if let Some(ended) = ended.filter(|_| is_news) {
        state.wake_waiters();
        // Of a session that this node has let in: how long did the news take? By two clocks, so about. What runs out
        // is no news.
        let ran_out = matches!(ended.reason, EndReason::Idle | EndReason::Absolute);
        if state.seen().at().is_some() && !ran_out {
            telemetry::end_seen((loader.clock.wall() - ended.at).try_into().unwrap_or_default());
        }
    }
    let _ = flight.landed.set(Some(Landed { found, void }));
}

impl Drop for Batch {
    fn drop(&mut self) {
        let error = || Arc::new(Error::new(ErrorKind::Unavailable, "loading sessions was interrupted"));
        self.land_rest(|_| Err(error()));
    }
}
