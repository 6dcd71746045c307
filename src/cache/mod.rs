//! What this node knows of sessions, and how far it may believe it.
//!
//! * [`reading`], [`lease`], [`trust`]: a reading is believed while the lease under which it was read holds, or for a
//!   bounded time.
//! * [`state`]: one state for a session, whoever holds it; readings are stored by flights alone.
//! * [`flight`]: misses go out together, in spawned tasks; a change that overtakes a reading makes it void.
//! * [`front`], [`tokens`]: what is known of tokens, those that are asked for most and all others.
//! * [`standing`]: what becomes of a place in front when a session changes.
//!
//! Each token holds its session's state, and moka holds the tokens, and nothing more: it has no say in what is true. Its own `get_with` family loses the
//! race between a load and an invalidation (see `tests/coherence/stale_set_race.rs`).

mod contact;
mod flight;
mod front;
mod lease;
mod loader;
mod reading;
mod row;
mod standing;
mod state;
mod tokens;
mod trust;

use std::{sync::Arc, time::Duration};

pub(crate) use self::{
    contact::Contact,
    front::{Front, OfToken},
    loader::LoadLimits,
    reading::{Known, Reading},
    row::Row,
    state::State,
    tokens::{Digest, TokenCache},
    trust::{Belief, Trust},
};
use self::{loader::Loader, state::Registry};
use crate::{
    clock::{Clock, Tick},
    error::Error,
    policy::Lifetimes,
    session::{Ended, SessionId, UserId},
    store::{Change, SessionStore},
    telemetry,
};

/// Every session that this node knows.
#[derive(Debug)]
pub(crate) struct SessionCache {
    registry: Arc<Registry>,
    loader: Arc<Loader>,
    trust: Arc<Trust>,
    contact: Arc<Contact>,
}

impl SessionCache {
    pub(crate) fn new(
        store: Arc<dyn SessionStore>,
        clock: Clock,
        trust: Arc<Trust>,
        lives: Lifetimes,
        limits: LoadLimits,
    ) -> Self {
        let contact = Arc::new(Contact::new(clock.tick(), trust.max_staleness().min(lives.longest_silence())));
        let told = (Arc::clone(&trust), Arc::clone(&contact));
        let loader = Arc::new(Loader::new(store, clock, told, lives, limits));
        Self { registry: Arc::new(Registry::new()), loader, trust, contact }
    }

    /// The one state of this session. It lasts for as long as somebody holds it: the tokens that are remembered do.
    pub(crate) fn state(&self, id: SessionId) -> Arc<State> {
        self.registry.find_or_make(id)
    }

    /// The reading to judge by, if there is one that may still be believed.
    pub(crate) fn believed(&self, state: &State, now: Tick) -> Option<Arc<Reading>> {
        let reading = state.reading()?;
        if !self.trust.believes(&reading, now) {
            telemetry::trust_expired();
            return None;
        }
        // A change, and then a beat, may have been applied since the reading was taken: the beat must not vouch for it.
        state.stands(&reading).then_some(reading)
    }

    /// Whether a reading of a row may be judged by, to be asked again and again.
    pub(crate) fn belief(&self, reading: Arc<Reading>) -> Belief {
        self.trust.belief(reading)
    }

    /// Until when this reading may be believed if nothing more is heard.
    pub(crate) fn believed_until(&self, reading: &Reading) -> Tick {
        self.trust.believed_until(reading)
    }

    /// The reading to judge by although the database cannot be asked, for so much longer than it may be believed.
    pub(crate) fn tolerated(&self, state: &State, now: Tick, grace: Duration) -> Option<Arc<Reading>> {
        let reading = state.reading().filter(|_| !grace.is_zero())?;
        (self.trust.tolerates(&reading, now, grace) && state.stands(&reading)).then_some(reading)
    }

    /// Reads the row, together with whoever else asks for it; with `strict`, by a query that is sent after this call. `user`: whose
    /// it should be, as far as is known.
    ///
    /// # Errors
    ///
    /// The database's, shared by all who waited for it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the read goes on for the others.
    pub(crate) async fn read(
        &self,
        state: &Arc<State>,
        user: Option<&UserId>,
        strict: bool,
    ) -> Result<Arc<Reading>, Arc<Error>> {
        loader::read(&self.loader, state, user, strict).await
    }

    /// After a local end has been committed, before its caller is told: from here on nobody gets in.
    pub(crate) fn mark_ended(&self, id: SessionId, ended: &Ended) {
        if let Some(state) = self.registry.find(id) {
            state.end(ended);
        }
    }

    /// Somebody says that this session changed: whatever was read so far does not count.
    pub(crate) fn mark_stale(&self, id: SessionId) {
        if let Some(state) = self.registry.find(id) {
            state.distrust();
        }
    }

    /// Any session of this user may have changed.
    pub(crate) fn mark_user_stale(&self, user: &UserId) {
        for state in self.registry.all() {
            // What has not been read may be under way.
            if state.user().is_none_or(|known| known == *user) {
                state.distrust();
            }
        }
    }

    /// Anything may have changed.
    pub(crate) fn mark_all_stale(&self) {
        for state in self.registry.all() {
            state.distrust();
        }
    }

    /// The newest request of this session that this node has seen.
    pub(crate) fn last_seen(&self, id: SessionId) -> Option<Tick> {
        self.registry.find(id).and_then(|state| state.seen().at())
    }

    /// One change that the store tells of. Called in order, by one task.
    pub(crate) fn apply(&self, change: &Change) {
        match change {
            Change::Session(id) => {
                telemetry::told();
                self.mark_stale(*id);
            }
            Change::Everything => {
                telemetry::told();
                self.mark_all_stale();
            }
            Change::Connected => {
                self.trust.new_lease();
                // Those who wait for an end make no requests: let them look for what was missed.
                self.registry.all().for_each(|state| state.wake_waiters());
            }
            Change::ToldUpTo(sent) => {
                self.trust.renew(*sent);
                self.contact.answered(*sent);
            }
            Change::Lost { cause, elsewhere } => {
                // Else it is simply not renewed: what was told up to the last beat stays told.
                if *elsewhere {
                    self.trust.end_lease();
                }
                self.contact.lost(cause);
                telemetry::lease_lost();
            }
        }
    }

    /// How many sessions are known.
    pub(crate) fn len(&self) -> usize {
        self.registry.len()
    }

    /// How many sessions have been forgotten, for want of room or of use.
    pub(crate) fn forgotten(&self) -> u64 {
        self.registry.made().saturating_sub(self.registry.len() as u64)
    }

    pub(crate) fn contact(&self) -> &Contact {
        &self.contact
    }

    /// How long until what was read has to be read again, at the least.
    pub(crate) fn lease_left(&self, now: Tick) -> Option<Duration> {
        self.trust.lease_left(now)
    }
}

/// A state in no registry and a reading of this row, for `CurrentSession::fake`.
#[cfg(any(test, feature = "test-util"))]
pub(crate) fn fake(session: crate::session::Session) -> (Arc<State>, Belief) {
    let state = Arc::new(Registry::new()).find_or_make(session.id);
    let started = Tick::from_nanos(1);
    let trust = Trust::for_ever(Duration::MAX);
    let read_again_at = Tick::from_nanos(u64::MAX);
    let lives = Lifetimes { idle: Duration::MAX, idle_allowance: Duration::ZERO };
    let deadlines = crate::policy::Deadlines::of(&session, session.created_at, started, lives);
    let row = Row::new(session, deadlines, &row::Shared::default());
    let reading = Arc::new(Reading::new(Known::Row(row), started, trust.cell(), read_again_at));
    let belief = trust.belief(reading);
    (state, belief)
}
