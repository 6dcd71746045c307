//! Sessions in a map: for tests, examples and a first try. Nothing survives the process.

mod admit;
mod outbox;

use std::{
    collections::HashMap,
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use self::{
    admit::{Known, exists, row_of},
    outbox::Told,
};
use super::{
    Activity, Admit, Admitted, Arrival, Changes, Confirmed, Decided, EndOutcome, EndRequest, EndTarget, Expire,
    Expired, Imported, InUse, Loaded, Locked, NOWHERE, NewSession, Purged, Retention, Rotate, Rotated, Rotation,
    SessionFilter, SessionStore, StoreFuture, Walked, sealed,
};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind},
    event::EventKind,
    session::{EndReason, Ended, Session, SessionId, UserId},
    token::refresh::{self, Confirmation, State},
};

/// A store in this process's memory, with the same contract as `PostgresStore` but for durability and other nodes.
#[derive(Debug, Default)]
pub struct MemoryStore {
    clock: Clock,
    rows: Mutex<HashMap<SessionId, Session>>,
    /// Of the sessions whose tokens have been refreshed. Locked inside of `rows` only.
    tokens: Mutex<HashMap<SessionId, State>>,
    known: Mutex<Known>,
    /// Locked inside of all the others.
    told: Mutex<Told>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store on a test's clock. Give the same clock to the builder.
    #[cfg(any(test, feature = "test-util"))]
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        Self { clock, ..Self::default() }
    }

    /// A panic elsewhere cannot leave a half-written row: each change below is one assignment.
    fn rows(&self) -> MutexGuard<'_, HashMap<SessionId, Session>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, new: NewSession) -> Result<Session, Error> {
        let now = self.clock.wall();
        let session = row_of(new, now, None);
        let mut rows = self.rows();
        if rows.contains_key(&session.id) {
            return Err(exists());
        }
        self.known.lock().unwrap_or_else(PoisonError::into_inner).has_row(&session.user_id, session.id);
        rows.insert(session.id, session.clone());
        self.told().created(&session, now);
        Ok(session)
    }

    fn end_rows(&self, request: EndRequest) -> EndOutcome {
        let now = self.clock.wall();
        let mut rows = self.rows();
        let is_live = |session: &Session| session.ended.is_none() && session.absolute_expires_at > now;
        let (user, caller, keep) = match request.target {
            EndTarget::One { id, user } => {
                return match rows.get_mut(&id) {
                    Some(row) if user.is_none_or(|user| user == row.user_id) => match &row.ended {
                        Some(ended) => EndOutcome::AlreadyEnded(ended.clone()),
                        None => {
                            let ended = Ended::new(now, request.reason, request.by);
                            EndOutcome::Ended(vec![(id, self.told().end(row, ended, now))])
                        }
                    },
                    _ => EndOutcome::NotFound,
                };
            }
            EndTarget::Others { user, keep } => (user, Some(keep), Some(keep)),
            EndTarget::All { user, caller } => (user, caller, None),
            EndTarget::These { ids } => {
                let ended = Ended::new(now, request.reason, request.by);
                let mut done = Vec::new();
                for id in ids {
                    if let Some(row) = rows.get_mut(&id).filter(|row| row.ended.is_none()) {
                        done.push((id, self.told().end(row, ended.clone(), now)));
                    }
                }
                return EndOutcome::Ended(done);
            }
        };
        if let Some(caller) = caller {
            match rows.get(&caller) {
                Some(row) if row.user_id == user && is_live(row) => {}
                // Of another user's session nothing is told.
                other => {
                    let own = other.filter(|row| row.user_id == user);
                    return EndOutcome::CallerEnded(own.and_then(|row| row.ended.clone()));
                }
            }
        }
        let ended = Ended::new(now, request.reason, request.by);
        let mut done = Vec::new();
        for row in rows.values_mut() {
            if row.user_id == user && is_live(row) && Some(row.id) != keep {
                done.push((row.id, self.told().end(row, ended.clone(), now)));
            }
        }
        EndOutcome::Ended(done)
    }

    fn move_forward(&self, batch: &[Activity]) {
        let now = self.clock.wall();
        let mut rows = self.rows();
        for seen in batch {
            let at = now - seen.age;
            match rows.get_mut(&seen.id) {
                Some(row) if row.ended.is_none() && row.last_activity_at < at => {
                    row.last_activity_at = at;
                    let elsewhere = seen.ip_address.is_some_and(|ip| Some(ip) != row.ip_address);
                    if elsewhere || seen.ip_address.is_some() && row.location.is_none() {
                        let place = seen.location.clone().unwrap_or_default();
                        (row.location, row.position) = (place.text(), place.position);
                        row.country_code = place.country_code;
                    }
                    row.ip_address = seen.ip_address.or(row.ip_address);
                }
                _ => {}
            }
        }
    }

    fn decide(&self, id: SessionId, rotate: Rotate) -> Rotation {
        let now = self.clock.wall();
        let mut rows = self.rows();
        let Some(session) = rows.get_mut(&id) else { return Rotation::NotFound };
        if let Some(ended) = &session.ended {
            return Rotation::Ended(ended.clone());
        }
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let state = tokens.get(&id).copied().unwrap_or_else(State::new);
        let locked = Locked { session: session.clone(), tokens: state, now };
        match rotate.0(&locked) {
            Decided::Refuse(why) => Rotation::Refused(why),
            Decided::End(reason) => Rotation::EndedNow(self.told().end(session, Ended::new(now, reason, None), now)),
            Decided::Tokens { state, authenticated } => {
                let is_new = state.current > session.generations.current;
                session.generations = state.generations();
                if authenticated {
                    session.authenticated_at = now;
                } else if is_new {
                    self.told().changed(EventKind::SessionRefreshed, session, now);
                }
                tokens.insert(id, state);
                Rotation::Tokens(Box::new(locked), state)
            }
        }
    }

    fn note_use(&self, used: &[InUse]) -> Confirmed {
        let mut confirmed = Confirmed::default();
        for used in used {
            let generation = used.generation;
            let noted = Rotate(Box::new(move |locked| match refresh::confirm(&locked.tokens, generation) {
                Confirmation::Known => Decided::Tokens { state: locked.tokens, authenticated: false },
                Confirmation::Seen(state) => Decided::Tokens { state, authenticated: false },
                Confirmation::Reuse => Decided::End(EndReason::RefreshReuse),
            }));
            if let Rotation::EndedNow(ended) = self.decide(used.id, noted) {
                confirmed.ended.push((used.id, ended));
            }
        }
        confirmed
    }

    /// All at once: there is nobody to be considerate of.
    fn end_what_ran_out(&self, request: Expire) -> Expired {
        let now = self.clock.wall();
        let mut ended = Vec::new();
        for row in self.rows().values_mut().filter(|row| row.ended.is_none()) {
            let idle = request.idle.map(|idle| {
                let at = row.last_activity_at + idle.timeout;
                (at, at + idle.allowance, EndReason::Idle)
            });
            let absolute = (row.absolute_expires_at, row.absolute_expires_at, EndReason::Absolute);
            let first = [absolute].into_iter().chain(idle).min_by_key(|(_, due, _)| *due);
            if let Some((at, _, reason)) = first.filter(|(_, due, _)| *due <= now) {
                ended.push((row.id, self.told().end(row, Ended::new(at, reason, None), now)));
            }
        }
        Expired { ended, more: false }
    }

    fn remove_old(&self, retention: Retention) -> Purged {
        let now = self.clock.wall();
        let mut rows = self.rows();
        let before = rows.len();
        let older = |row: &Session, than| row.ended.as_ref().is_some_and(|ended| ended.at < now - than);
        let gone = |row: &Session| row.issuer.is_none() || row.absolute_expires_at < now;
        let old = |row: &Session| older(row, retention.history) && gone(row);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.forget(&rows, old, now);
        self.told().purge(retention, now);
        rows.retain(|_, row| !old(row));
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| rows.contains_key(id));
        let mut scrubbed = 0;
        for row in rows.values_mut().filter(|row| older(row, retention.scrub_after)) {
            row.location = None;
            row.country_code = None;
            row.position = None;
            if row.ip_address.take().is_some() {
                scrubbed += 1;
            }
        }
        Purged { scrubbed, deleted: before - rows.len(), more: false }
    }

    fn read(&self, wanted: impl Fn(&Session) -> bool) -> Loaded {
        let sessions = self.rows().values().filter(|row| wanted(row)).cloned().collect();
        Loaded { sessions, unreadable: Vec::new(), now: self.clock.wall() }
    }
}

impl sealed::Sealed for MemoryStore {}

impl SessionStore for MemoryStore {
    fn check(&self) -> StoreFuture<'_, ()> {
        Box::pin(ready(Ok(())))
    }

    fn create(&self, new: NewSession) -> StoreFuture<'_, Session> {
        Box::pin(ready(self.insert(new)))
    }

    fn admit(&self, arrival: Arrival, admit: Admit) -> StoreFuture<'_, Admitted> {
        Box::pin(ready(self.let_in(arrival, admit)))
    }

    fn rename<'a>(&'a self, id: SessionId, user: &'a UserId, name: &'a str) -> StoreFuture<'a, Option<Session>> {
        Box::pin(ready(Ok(self.give_name(id, user, name))))
    }

    fn import(&self, rows: Vec<Imported>) -> StoreFuture<'_, usize> {
        Box::pin(ready(Ok(self.take_over(rows))))
    }

    fn load<'a>(&'a self, ids: &'a [SessionId]) -> StoreFuture<'a, Loaded> {
        let rows = self.rows();
        let sessions = ids.iter().filter_map(|id| rows.get(id)).cloned().collect();
        Box::pin(ready(Ok(Loaded { sessions, unreadable: Vec::new(), now: self.clock.wall() })))
    }

    fn list<'a>(&'a self, user: &'a UserId) -> StoreFuture<'a, Loaded> {
        let now = self.clock.wall();
        let live = |row: &Session| row.user_id == *user && row.ended.is_none() && row.absolute_expires_at > now;
        Box::pin(ready(Ok(self.read(live))))
    }

    fn history<'a>(&'a self, user: &'a UserId, within: Duration, limit: usize) -> StoreFuture<'a, Loaded> {
        let since = self.clock.wall() - within;
        let recent = |row: &Session| row.ended.as_ref().is_none_or(|ended| ended.at >= since);
        // What was never complete must not push out what was.
        let mut loaded = self.read(|row| row.user_id == *user && !row.pending && recent(row));
        let (mut ended, live): (Vec<_>, Vec<_>) = loaded.sessions.into_iter().partition(|row| row.ended.is_some());
        ended.sort_by_key(|row| std::cmp::Reverse(row.ended.as_ref().map(|ended| ended.at)));
        ended.truncate(limit);
        loaded.sessions = [ended, live].concat();
        Box::pin(ready(Ok(loaded)))
    }

    fn walk<'a>(&'a self, filter: &'a SessionFilter, after: Option<SessionId>) -> StoreFuture<'a, Walked> {
        let now = self.clock.wall();
        let rows = self.rows();
        let key = |row: &Session| (row.user_id.clone(), row.id);
        let after = match after.map(|id| rows.get(&id).map(key)) {
            Some(None) => return Box::pin(ready(Err(Error::new(ErrorKind::InvalidInput, NOWHERE)))),
            after => after.flatten(),
        };
        let live = |row: &&Session| row.ended.is_none() && row.absolute_expires_at > now;
        let mut meant: Vec<_> = rows.values().filter(live).filter(|row| filter.matches(row)).map(key).collect();
        meant.retain(|key| after.as_ref().is_none_or(|after| key > after));
        meant.sort_unstable();
        Box::pin(ready(Ok(Walked { matching: meant.into_iter().map(|(_, id)| id).collect(), next: None })))
    }

    fn end(&self, request: EndRequest) -> StoreFuture<'_, EndOutcome> {
        Box::pin(ready(Ok(self.end_rows(request))))
    }

    fn record_activity(&self, batch: Vec<Activity>) -> StoreFuture<'_, Vec<SessionId>> {
        self.move_forward(&batch);
        Box::pin(ready(Ok(Vec::new())))
    }

    fn rotate(&self, id: SessionId, rotate: Rotate) -> StoreFuture<'_, Rotated> {
        Box::pin(ready(Ok(Rotated(self.decide(id, rotate)))))
    }

    fn confirm(&self, used: Vec<InUse>) -> StoreFuture<'_, Confirmed> {
        Box::pin(ready(Ok(self.note_use(&used))))
    }

    fn expire(&self, request: Expire) -> StoreFuture<'_, Expired> {
        Box::pin(ready(Ok(self.end_what_ran_out(request))))
    }

    fn purge(&self, retention: Retention) -> StoreFuture<'_, Purged> {
        Box::pin(ready(Ok(self.remove_old(retention))))
    }

    fn changes(&self, _clock: &Clock, _max_staleness: Duration) -> Changes {
        Changes::OnlyHere
    }
}
