//! Reading rows: one flight for a session at a time, and flights that pile up go out together.
//!
//! The race that this file exists for: a flight reads "live", the session ends, the flight stores "live". Whoever
//! learns of a change marks the flight void, under the lock in which a landing flight decides whether to store. Void
//! or not, its reading may answer those who had asked *before* it was sent: they might as well have been a moment
//! quicker.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch};

use super::{
    contact::Contact,
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

/// Reads under way for one session.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// In a box: sessions are many, and those that are being read few.
    current: Option<Box<Flying>>,
}

impl Flights {
    /// A change was told. What has not been sent yet will see it anyway.
    pub(super) fn make_void(&mut self) {
        if let Some(flying) = &mut self.current {
            flying.void = flying.sent;
        }
    }
}

#[derive(Debug)]
struct Flying {
    flight: Arc<Flight>,
    sent: bool,
    void: bool,
    /// For those who need a read that begins after this one was sent.
    next: Option<Arc<Flight>>,
}

impl Flying {
    fn new(flight: Arc<Flight>) -> Box<Self> {
        Box::new(Self { flight, sent: false, void: false, next: None })
    }
}

#[derive(Debug)]
pub(super) struct Flight {
    state: Arc<State>,
    /// Of the token that asked first: mostly the row's, and then kept once.
    user: Option<UserId>,
    landed: watch::Sender<Option<Landed>>,
}

#[derive(Clone, Debug)]
struct Landed {
    found: Result<Arc<Reading>, Arc<Error>>,
    void: bool,
}

impl Flight {
    fn new(state: &Arc<State>, user: Option<&UserId>) -> Arc<Self> {
        Arc::new(Self { state: Arc::clone(state), user: user.cloned(), landed: watch::Sender::new(None) })
    }
}

/// See `SessionCache::read`.
pub(super) async fn read(
    loader: &Arc<Loader>,
    state: &Arc<State>,
    user: Option<&UserId>,
    strict: bool,
) -> Result<Arc<Reading>, Arc<Error>> {
    for _ in 0..ATTEMPTS {
        let (mut landing, in_time) = join(loader, state, user, strict);
        let landed = landing.wait_for(Option::is_some).await.ok().and_then(|landed| landed.clone());
        let Some(Landed { found, void }) = landed else { break };
        let reading = found?;
        // In time: the read began after we asked. Else it is an entry like any other: told of no change, young enough.
        if in_time || (!void && loader.trust.believes(&reading, loader.clock.tick()) && state.stands(&reading)) {
            return Ok(reading);
        }
    }
    Err(Arc::new(Error::new(ErrorKind::Unavailable, "a session changed faster than it could be read")))
}

/// A late comer to a flight that turns out void takes the next one, whose read begins after he joined.
const ATTEMPTS: usize = 3;

/// The landing to wait for, and whether its query will be sent after this call.
fn join(
    loader: &Arc<Loader>,
    state: &Arc<State>,
    user: Option<&UserId>,
    strict: bool,
) -> (watch::Receiver<Option<Landed>>, bool) {
    let mut flights = state.flights();
    let Some(flying) = &mut flights.current else {
        let flight = Flight::new(state, user);
        let landing = flight.landed.subscribe();
        flights.current = Some(Flying::new(Arc::clone(&flight)));
        drop(flights);
        loader.submit(flight);
        return (landing, true);
    };
    if !flying.sent {
        return (flying.flight.landed.subscribe(), true);
    }
    if !strict && !flying.void {
        return (flying.flight.landed.subscribe(), false);
    }
    let next = flying.next.get_or_insert_with(|| Flight::new(state, user));
    (next.landed.subscribe(), true)
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
    waiting: VecDeque<Arc<Flight>>,
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
    fn submit(self: &Arc<Self>, flight: Arc<Flight>) {
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

    fn known(
        &self,
        row: Option<Session>,
        user: Option<&UserId>,
        database_now: time::OffsetDateTime,
        started: Tick,
    ) -> Known {
        row.map_or(Known::Missing, |mut session| {
            let deadlines = Deadlines::of(&session, database_now, started, self.lives);
            if let Some(same) = user.filter(|user| **user == session.user_id) {
                session.user_id = same.clone();
            }
            Known::Row(Row::new(session, deadlines, &self.shared))
        })
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
        while let Some(batch) = self.next_batch() {
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
                    let mut rows: HashMap<_, _> = sessions.into_iter().map(|row| (row.id, row)).collect();
                    batch.land(|Flight { state, user, .. }| {
                        let id = state.id();
                        if unreadable.contains(&id) {
                            return Err(Arc::new(Error::new(ErrorKind::Unavailable, "reading a session's row")));
                        }
                        let known = loader.known(rows.remove(&id), user.as_ref(), now, started);
                        let read_again_at = started.after(jittered(loader.limits.max_age, id));
                        Ok(Arc::new(Reading::new(known, started, Arc::clone(&cell), read_again_at)))
                    });
                }
                Err(error) => {
                    loader.note_failure(&error, ids.len());
                    let error = Arc::new(error);
                    batch.land(|_| Err(Arc::clone(&error)));
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
        let flights = queue.waiting.drain(..count).collect();
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
        let flights = if queue.batches == 0 { queue.waiting.drain(..).collect() } else { Vec::new() };
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
    flights: Vec<Arc<Flight>>,
}

impl Batch {
    fn send(&self) -> Vec<SessionId> {
        let sent = |flight: &Arc<Flight>| {
            if let Some(flying) = &mut flight.state.flights().current {
                flying.sent = true;
            }
            flight.state.id()
        };
        self.flights.iter().map(sent).collect()
    }

    fn land(mut self, mut found: impl FnMut(&Flight) -> Result<Arc<Reading>, Arc<Error>>) {
        // Each stays in the batch until it has landed, whatever panics on the way.
        while let Some(flight) = self.flights.last().cloned() {
            self.land_one(&flight, found(&flight));
            self.flights.pop();
        }
    }

    fn land_one(&self, flight: &Arc<Flight>, found: Result<Arc<Reading>, Arc<Error>>) {
        let state = &flight.state;
        let mut flights = state.flights();
        let Some(landing) = flights.current.take_if(|flying| Arc::ptr_eq(&flying.flight, flight)) else {
            return; // Landed before.
        };
        let Flying { void, next, .. } = *landing;
        let ended = match found.as_ref().map(|reading| &reading.known) {
            Ok(Known::Row(row)) => row.ended(),
            _ => None,
        };
        // Before anybody is told: whoever hears of the end must find that nothing stands that would let the session in.
        let is_news = ended.is_some_and(|ended| state.remember_end(ended));
        let replaced = match &found {
            Ok(reading) if !void => state.store(reading),
            _ => None,
        };
        flights.current = next.clone().map(Flying::new);
        drop(flights);
        drop(replaced);
        if let Some(ended) = ended.filter(|_| is_news) {
            state.changed().notify_waiters();
            // Of a session that this node has let in: how long did the news take? By two clocks, so about. What runs out
            // is no news.
            let ran_out = matches!(ended.reason, EndReason::Idle | EndReason::Absolute);
            if state.seen().at().is_some() && !ran_out {
                telemetry::end_seen((self.loader.clock.wall() - ended.at).try_into().unwrap_or_default());
            }
        }
        flight.landed.send_replace(Some(Landed { found, void }));
        if let Some(next) = next {
            self.loader.submit(next);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let error = || Arc::new(Error::new(ErrorKind::Unavailable, "loading sessions was interrupted"));
        for flight in std::mem::take(&mut self.flights) {
            self.land_one(&flight, Err(error()));
        }
    }
}
