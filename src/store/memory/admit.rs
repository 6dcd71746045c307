//! Signing in, in memory: all under the lock of the rows.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::PoisonError,
    time::Duration,
};

use time::OffsetDateTime;

use super::MemoryStore;
use crate::{
    error::{Error, ErrorKind},
    event::EventKind,
    session::{DeviceKey, Ended, Generations, Session, SessionId, UserId},
    store::{
        Admission, Admit, Admitted, Arrival, COUNTRIES_FOR, Comes, DEVICE_FOR, DEVICES_OF_A_USER, Found, Imported,
        NewSession, SOME,
    },
    token::refresh::State,
};

/// What outlives sessions. Locked inside of the rows only.
#[derive(Debug, Default)]
pub(super) struct Known {
    devices: HashMap<(UserId, DeviceKey), KnownDevice>,
    countries: HashMap<(UserId, String), OffsetDateTime>,
    /// Of pending sessions.
    replaces: HashMap<SessionId, SessionId>,
    /// Each user's rows, the newest last.
    rows: HashMap<UserId, BTreeSet<SessionId>>,
}

#[derive(Debug)]
struct KnownDevice {
    name: Option<String>,
    last_seen_at: OffsetDateTime,
    /// The last session on it.
    session: SessionId,
}

impl Known {
    fn look_up(&self, user: &UserId, key: Option<DeviceKey>, now: OffsetDateTime, found: Found) -> Found {
        let own = || self.devices.iter().filter(|((owner, _), _)| owner == user).map(|(_, device)| device);
        let device = key.and_then(|key| self.devices.get(&(user.clone(), key)));
        let recent =
            |((owner, _), at): &(&(UserId, String), &OffsetDateTime)| owner == user && **at > now - COUNTRIES_FOR;
        Found {
            has_devices: own().next().is_some(),
            device: device.map(|device| device.name.clone()),
            countries: self.countries.iter().filter(recent).map(|((_, country), _)| country.clone()).collect(),
            last_seen_at: found.last_seen_at.max(own().map(|device| device.last_seen_at).max()),
            now,
            ..found
        }
    }

    /// It was somebody else's.
    pub(super) fn forget_device(&mut self, user: &UserId, key: DeviceKey) {
        self.devices.remove(&(user.clone(), key));
    }

    /// A row of this user is there from now on.
    pub(super) fn has_row(&mut self, user: &UserId, id: SessionId) {
        self.rows.entry(user.clone()).or_default().insert(id);
    }

    fn note(&mut self, session: &Session, now: OffsetDateTime) {
        let user = &session.user_id;
        if let Some(key) = session.device_key {
            let device = self.devices.entry((user.clone(), key));
            let new = || KnownDevice { name: None, last_seen_at: now, session: session.id };
            let device = device.or_insert_with(new);
            device.last_seen_at = now;
            device.session = session.id;
            let others = self.devices.iter().filter(|((owner, other), _)| owner == user && *other != key);
            let mut others: Vec<_> = others.collect();
            others.sort_by_key(|(_, device)| std::cmp::Reverse(device.last_seen_at));
            let old: Vec<_> = others.iter().skip(DEVICES_OF_A_USER - 1).map(|(id, _)| (*id).clone()).collect();
            old.iter().for_each(|id| drop(self.devices.remove(id)));
        }
        if let Some(country) = &session.country_code {
            self.countries.insert((user.clone(), country.clone()), now);
        }
    }

    /// What its rows are deleted for says something of the device still.
    pub(super) fn forget(
        &mut self,
        rows: &HashMap<SessionId, Session>,
        goes: impl Fn(&Session) -> bool,
        now: OffsetDateTime,
    ) {
        for row in rows.values().filter(|row| goes(row) && !row.pending) {
            if let Some(key) = row.device_key
                && let Some(device) = self.devices.get_mut(&(row.user_id.clone(), key))
            {
                device.last_seen_at = device.last_seen_at.max(row.last_activity_at);
            }
        }
        for row in rows.values().filter(|row| goes(row)) {
            if let Some(own) = self.rows.get_mut(&row.user_id) {
                own.remove(&row.id);
            }
        }
        self.rows.retain(|_, own| !own.is_empty());
        let live = rows.values().filter(|row| row.ended.is_none());
        let in_use: HashSet<_> = live.filter_map(|row| Some((row.user_id.clone(), row.device_key?))).collect();
        self.devices.retain(|id, device| device.last_seen_at >= now - DEVICE_FOR || in_use.contains(id));
        self.replaces.retain(|id, _| rows.get(id).is_some_and(|row| row.ended.is_none()));
        self.countries.retain(|_, at| *at >= now - COUNTRIES_FOR);
    }
}

impl MemoryStore {
    pub(super) fn let_in(&self, arrival: Arrival, admit: Admit) -> Result<Admitted, Error> {
        let now = self.clock.wall();
        let mut rows = self.rows();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (user, key) = match &arrival.0 {
            Comes::New(new) if rows.contains_key(&new.id) => return Err(exists()),
            Comes::New(new) => (new.user_id.clone(), new.device_key),
            Comes::Complete { id, user, device_key, .. } => {
                let row = rows.get(id).filter(|row| row.user_id == *user);
                let row = row.ok_or_else(|| Error::new(ErrorKind::InvalidToken, "adding a session"))?;
                if let Some(ended) = &row.ended {
                    return Err(Error::session_ended("adding a session", ended.reason.clone()));
                }
                (user.clone(), *device_key)
            }
        };
        let of_device = key.and_then(|key| known.devices.get(&(user.clone(), key))).map(|device| device.session);
        // As Postgres does, which has an index for each of these.
        let far = if admit.looks_at.is_some() && of_device.is_none() { SOME } else { usize::MAX };
        let own = known.rows.get(&user).into_iter().flatten().rev().filter_map(|id| rows.get(id));
        let newest: Vec<_> = own.take(far).collect();
        let wanted = |(at, row): &(usize, &&Session)| {
            admit.looks_at.is_none_or(|some| *at < some) || row.pending || Some(row.id) == of_device
        };
        let live = |row: &&&Session| row.ended.is_none() && row.absolute_expires_at > now;
        let live = newest.iter().enumerate().filter(wanted).map(|(_, row)| row).filter(live);
        let mut found = Found::new(live.copied().cloned().collect());
        let seen = newest.iter().take(SOME).filter(|row| !row.pending).map(|row| row.last_activity_at);
        found.last_seen_at = seen.max();
        if let Comes::Complete { id, .. } = &arrival.0 {
            let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            found.tokens = Some(tokens.get(id).copied().unwrap_or_else(State::new));
            found.signals = self.told().kept(*id);
        }
        found.replaces = match &arrival.0 {
            // Of a second factor that nobody showed: what its cookie had overwritten goes in its place.
            Comes::New(new) => new.replaces.map(|held| known.replaces.get(&held).copied().unwrap_or(held)),
            Comes::Complete { id, .. } => known.replaces.get(id).copied(),
        };
        let replaces = found.replaces;
        let found = known.look_up(&user, key, now, found);
        let admission = (admit.decide)(&found)?;
        let (ends, pending_for, tokens, tells) = match admission {
            Admission::Pending { lifetime, ends, tells } => (ends, Some(lifetime), None, tells),
            Admission::Full { ends, tokens, tells } => (ends, None, tokens, tells),
        };
        let mut told = self.told();
        let by = match &arrival.0 {
            Comes::New(new) => new.id,
            Comes::Complete { id, .. } => *id,
        };
        let mut ended = Vec::new();
        for end in ends {
            if let Some(row) = rows.get_mut(&end.id).filter(|row| row.ended.is_none()) {
                let by = end.at.is_none().then(|| by.to_string());
                ended.push((end.id, told.end(row, Ended::new(end.at.unwrap_or(now), end.reason, by), now)));
            }
        }
        let name = found.device.flatten();
        let mut session = match arrival.0 {
            Comes::New(new) => {
                if let (Some(replaces), true) = (replaces, pending_for.is_some()) {
                    known.replaces.insert(new.id, replaces);
                }
                row_of(*new, now, pending_for)
            }
            Comes::Complete { id, absolute_lifetime, .. } => {
                let row = rows.get_mut(&id).ok_or_else(exists)?;
                row.pending = false;
                row.absolute_expires_at = now + absolute_lifetime;
                row.expires_at = row.absolute_expires_at;
                row.last_activity_at = now;
                row.authenticated_at = now;
                if let Some(state) = tokens {
                    row.generations = state.generations();
                    self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(id, state);
                }
                known.replaces.remove(&id);
                row.clone()
            }
        };
        if let Some(name) = name {
            session.device.name = name;
        }
        if pending_for.is_none() {
            known.note(&session, now);
        }
        known.has_row(&session.user_id, session.id);
        rows.insert(session.id, session.clone());
        if session.pending {
            told.keep_for_later(session.id, tells);
        } else {
            let own = |row: &Session| row.user_id == session.user_id && row.absolute_expires_at > now;
            let live = |id: &SessionId| rows.get(id).is_some_and(|row| own(row) && row.ended.is_none() && !row.pending);
            told.created(&session, now);
            told.signed_in(&session, tells, live, now);
        }
        Ok(Admitted { session, ended, replaces })
    }

    pub(super) fn give_name(&self, id: SessionId, user: &UserId, name: &str) -> Option<Session> {
        let now = self.clock.wall();
        let mut rows = self.rows();
        let row = rows.get_mut(&id).filter(|row| {
            row.user_id == *user && row.ended.is_none() && !row.pending && row.absolute_expires_at > now
        })?;
        if row.device.name != name {
            name.clone_into(&mut row.device.name);
            self.told().changed(EventKind::SessionRenamed, row, now);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = row.device_key.and_then(|key| known.devices.get_mut(&(user.clone(), key))) {
            device.name = Some(name.to_owned());
        }
        Some(row.clone())
    }

    pub(super) fn take_over(&self, imported: Vec<Imported>) -> usize {
        let now = self.clock.wall();
        let mut rows = self.rows();
        let before = rows.len();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for Imported { new, created_at, last_activity_at } in imported {
            if !rows.contains_key(&new.id) {
                known.has_row(&new.user_id, new.id);
            }
            rows.entry(new.id).or_insert_with(|| {
                let row = row_of(new, created_at.min(now), None);
                Session { last_activity_at: last_activity_at.min(now), ..row }
            });
        }
        rows.len() - before
    }
}

pub(super) fn row_of(new: NewSession, now: OffsetDateTime, pending_for: Option<Duration>) -> Session {
    let absolute = now + pending_for.unwrap_or(new.absolute_lifetime);
    let location = new.location.unwrap_or_default();
    Session {
        id: new.id,
        user_id: new.user_id,
        device: new.device,
        ip_address: new.ip_address,
        location: location.text(),
        country_code: location.country_code,
        position: location.position,
        device_key: new.device_key,
        pending: pending_for.is_some(),
        created_at: now,
        last_activity_at: now,
        expires_at: absolute,
        absolute_expires_at: absolute,
        authenticated_at: now,
        is_current: false,
        generations: Generations::FIRST,
        claims: new.claims,
        issuer: new.issuer,
        metadata: new.metadata,
        ended: None,
    }
}

pub(super) fn exists() -> Error {
    Error::new(ErrorKind::InvalidInput, "a session of this id exists")
}
