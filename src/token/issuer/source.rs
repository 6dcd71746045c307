//! Where an issuer's keys come from and how long they hold.
//!
//! A fetch is due when one is wanted and the last began a cooldown ago. What anybody asks for in between moves nothing: who
//! sends random `kid`s can cause one fetch a cooldown, and cannot put off the one that finds a new key. A fetch that fails
//! takes nothing away.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use jsonwebtoken::Algorithm;
use tokio::{runtime::Handle, sync::watch};

use super::{fetch::Fetcher, key_set::KeySet};
use crate::{
    clock::{Clock, Tick},
    error::BoxError,
};

/// From the beginning of one fetch to that of the next. Issuers publish a key before they sign with it, so for one that
/// does not it is how long a token of a new key may be refused; a node asks for at most 8,640 key sets a day.
pub(super) const COOLDOWN: Duration = Duration::from_secs(10);

/// Keys are fetched anew after so long, while tokens come: so long may a key be accepted that the issuer took back.
pub(super) const RENEW_AFTER: Duration = Duration::from_secs(600);

/// A `kid` that was not there causes no fetch for so long. Not longer than the cooldown: an issuer may sign with a key before
/// all its servers publish it, and nobody is to be refused for that any longer than must be.
const ABSENT_FOR: Duration = COOLDOWN;

/// So many such `kid`s are remembered, at most 128 bytes each. One that is not costs no more than the cooldown allows.
const MAX_ABSENT: usize = 1_000;

pub(super) struct KeySource {
    issuer: Arc<str>,
    fetcher: Fetcher,
    accepted: Vec<Algorithm>,
    clock: Clock,
    known: ArcSwap<Known>,
    state: Mutex<State>,
}

/// The keys of the last fetch that succeeded.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) keys: KeySet,
    /// Raised whenever a key is taken away: what was verified before may be void.
    pub(super) generation: u64,
    /// When that fetch began; what it found may be as old.
    fetched: Option<Tick>,
}

#[derive(Default)]
struct State {
    /// When the last fetch began.
    started: Option<Tick>,
    /// Fetches since the last that succeeded, one under way included: it counts as failed until it has succeeded.
    failures: u32,
    /// Closed when the last fetch has ended, however it did: nothing is ever sent.
    flight: Option<watch::Receiver<()>>,
    /// Kids that a fetch did not find, and when.
    absent: HashMap<Box<str>, Tick>,
}

impl State {
    /// The fetch that is under way.
    fn flight(&self) -> Option<watch::Receiver<()>> {
        self.flight.clone().filter(|flight| flight.has_changed().is_ok())
    }

    fn started_within(&self, span: Duration, now: Tick) -> bool {
        self.started.is_some_and(|started| now.since(started) < span)
    }

    /// Whether a token of this unknown key is worth a fetch. While fetches fail, what one did not find long ago says
    /// nothing.
    fn is_due_for(&self, kid: &str, now: Tick) -> bool {
        let absent = || self.absent.get(kid).is_some_and(|when| now.since(*when) < ABSENT_FOR);
        !self.started_within(COOLDOWN, now) && (self.failures > 0 || !absent())
    }

    /// Each failure in a row doubles the wait, up to the time after which keys are renewed anyway.
    fn is_due_for_renewal(&self, now: Tick) -> bool {
        let wait = COOLDOWN.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(RENEW_AFTER);
        self.flight().is_none() && !self.started_within(wait, now)
    }

    fn note_absent(&mut self, kid: &str, now: Tick) {
        if self.absent.len() >= MAX_ABSENT {
            self.absent.retain(|_, when| now.since(*when) < ABSENT_FOR);
        }
        if self.absent.len() < MAX_ABSENT {
            self.absent.insert(kid.into(), now);
        }
    }
}

/// What is known of a `kid` without asking.
pub(super) enum LookUp {
    Found(Arc<Known>),
    /// By a fetch that succeeded and began at most a cooldown ago, or when this very `kid` was asked for.
    Unknown,
    /// [`KeySource::ask`] will tell.
    Ask,
}

/// What asking came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// The key is there now: verify again.
    Found,
    /// The issuer has no such key: the token is bad.
    UnknownKid,
    /// The issuer could not be asked, so nothing is known of the token.
    Unavailable,
}

impl KeySource {
    pub(super) fn new(issuer: Arc<str>, fetcher: Fetcher, accepted: Vec<Algorithm>, clock: Clock) -> Arc<Self> {
        let (known, state) = (ArcSwap::default(), Mutex::default());
        Arc::new(Self { issuer, fetcher, accepted, clock, known, state })
    }

    /// Waits for the fetch that is under way, if one is.
    #[cfg(test)]
    pub(super) async fn landed(&self) {
        let flight = self.state().flight();
        if let Some(mut flight) = flight {
            let _ended = flight.changed().await;
        }
    }

    #[cfg(test)]
    pub(super) fn accepted(&self) -> &[Algorithm] {
        &self.accepted
    }

    /// Whether any key of this algorithm would be kept.
    pub(super) fn accepts(&self, algorithm: Algorithm) -> bool {
        self.accepted.contains(&algorithm)
    }

    pub(super) fn look_up(self: &Arc<Self>, kid: &str) -> LookUp {
        let known = self.current();
        if known.keys.get(kid).is_some() {
            return LookUp::Found(known);
        }
        let state = self.state();
        // Again, under the lock: a fetch may just have landed.
        let known = self.known.load_full();
        if known.keys.get(kid).is_some() {
            return LookUp::Found(known);
        }
        let idle = state.flight().is_none() && state.failures == 0;
        if idle && !state.is_due_for(kid, self.clock.tick()) { LookUp::Unknown } else { LookUp::Ask }
    }

    /// The keys that hold now. Old ones are used and renewed behind the request's back.
    pub(super) fn current(self: &Arc<Self>) -> Arc<Known> {
        let known = self.known.load_full();
        let now = self.clock.tick();
        if known.fetched.is_some_and(|fetched| now.since(fetched) >= RENEW_AFTER) {
            self.renew(now);
        }
        known
    }

    /// Joins the fetch that is under way, or begins one if it is due, and says what is known of this `kid` then.
    ///
    /// # Cancel safety
    ///
    /// The fetch is a task of its own and goes on for whoever else waits.
    pub(super) async fn ask(self: &Arc<Self>, kid: &str) -> Fetched {
        let flight = {
            let mut state = self.state();
            let now = self.clock.tick();
            match state.flight() {
                Some(flight) => Some(flight),
                None if self.known.load().keys.get(kid).is_some() => None,
                None => state.is_due_for(kid, now).then(|| self.start(&mut state, now)),
            }
        };
        if let Some(mut flight) = flight {
            let _ended = flight.changed().await;
        }
        let mut state = self.state();
        if self.known.load().keys.get(kid).is_some() {
            Fetched::Found
        } else if state.failures > 0 {
            Fetched::Unavailable
        } else {
            state.note_absent(kid, self.clock.tick());
            Fetched::UnknownKid
        }
    }

    /// Off the path of requests, so it needs a runtime and does without where there is none.
    fn renew(self: &Arc<Self>, now: Tick) {
        let mut state = self.state();
        if state.is_due_for_renewal(now) && Handle::try_current().is_ok() {
            drop(self.start(&mut state, now));
        }
    }

    fn start(self: &Arc<Self>, state: &mut State, now: Tick) -> watch::Receiver<()> {
        let (told, flight) = watch::channel(());
        state.started = Some(now);
        state.failures = state.failures.saturating_add(1);
        state.flight = Some(flight.clone());
        let source = Arc::clone(self);
        tokio::spawn(async move {
            let read = source.fetcher.fetch().await.and_then(|body| Ok(KeySet::read(&body, &source.accepted)?));
            match read {
                Ok(keys) => source.take(keys, now),
                Err(error) => source.tell(&error),
            }
            drop(told);
        });
        flight
    }

    pub(super) fn take(&self, keys: KeySet, fetched: Tick) {
        let mut state = self.state();
        let earlier = self.known.load();
        let generation = earlier.generation + u64::from(!keys.keeps_all_of(&earlier.keys));
        tracing::debug!(issuer = &*self.issuer, ?keys, generation, "keys of an issuer");
        self.known.store(Arc::new(Known { keys, generation, fetched: Some(fetched) }));
        state.failures = 0;
    }

    fn tell(&self, error: &BoxError) {
        let error: &(dyn std::error::Error + 'static) = &**error;
        tracing::warn!(issuer = &*self.issuer, error, "the keys of an issuer could not be fetched; those known go on");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySource").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
