//! A row as it is kept, in as little room as it takes: a node keeps one for each active session.

use std::{
    collections::HashSet,
    fmt,
    hash::{Hash, Hasher},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    place::Position,
    policy::Deadlines,
    session::{Device, DeviceKey, Ended, Generations, Session, SessionId, UserId},
};

/// What was read of a session, and the deadlines that follow from it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) user_id: UserId,
    pub(crate) device: Arc<Device>,
    place: Option<Arc<Place>>,
    /// Of few sessions.
    rare: Option<Box<Rare>>,
    pub(crate) deadlines: Deadlines,
    generation: u64,
    at_floor: u64,
    created_at: Time,
    last_activity_at: Time,
    absolute_expires_at: Time,
    authenticated_at: Time,
    ip_address: Option<IpAddr>,
    seen: bool,
    pub(crate) pending: bool,
}

/// In nanoseconds since 1970; what is further away than 292 years counts as that.
#[derive(Clone, Copy, Debug)]
struct Time(i64);

#[derive(Default)]
struct Rare {
    claims: Option<Value>,
    metadata: Option<Value>,
    issuer: Option<String>,
    /// Until the second factor has been shown.
    device_key: Option<DeviceKey>,
    ended: Option<Ended>,
    /// Since an answer to a refresh was lost.
    at_root: Option<u64>,
}

/// Claims and metadata are the application's, and may be personal.
impl fmt::Debug for Rare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rare").field("ended", &self.ended).finish_non_exhaustive()
    }
}

#[derive(PartialEq)]
struct Place {
    location: Option<String>,
    country_code: Option<String>,
    position: Option<Position>,
}

impl Row {
    pub(super) fn new(session: Session, deadlines: Deadlines, shared: &Shared) -> Self {
        let Session { location, country_code, position, claims, metadata, issuer, device_key, ended, pending, .. } =
            session;
        let generations = session.generations;
        let device_key = device_key.filter(|_| pending);
        let at_root = generations.at_root;
        let given = claims.is_some() || metadata.is_some() || issuer.is_some();
        let is_rare = given || device_key.is_some() || ended.is_some() || at_root.is_some();
        let is_placed = location.is_some() || country_code.is_some() || position.is_some();
        Self {
            user_id: session.user_id,
            device: shared.devices.one(session.device),
            place: is_placed.then(|| shared.places.one(Place { location, country_code, position })),
            rare: is_rare.then(|| Box::new(Rare { claims, metadata, issuer, device_key, ended, at_root })),
            deadlines,
            generation: generations.current,
            at_floor: generations.at_floor,
            created_at: session.created_at.into(),
            last_activity_at: session.last_activity_at.into(),
            absolute_expires_at: session.absolute_expires_at.into(),
            authenticated_at: session.authenticated_at.into(),
            ip_address: session.ip_address,
            seen: generations.seen,
            pending,
        }
    }

    /// The session that asks, whose id this is: a row is only ever looked at by its own requests.
    pub(crate) fn session(&self, id: SessionId) -> Session {
        let place = self.place.as_deref();
        let rare = self.rare.as_deref();
        Session {
            id,
            user_id: self.user_id.clone(),
            device: (*self.device).clone(),
            ip_address: self.ip_address,
            location: place.and_then(|place| place.location.clone()),
            country_code: place.and_then(|place| place.country_code.clone()),
            position: place.and_then(|place| place.position),
            device_key: rare.and_then(|rare| rare.device_key),
            pending: self.pending,
            created_at: self.created_at.into(),
            last_activity_at: self.last_activity_at.into(),
            expires_at: self.absolute_expires_at.into(),
            absolute_expires_at: self.absolute_expires_at.into(),
            authenticated_at: self.authenticated_at(),
            is_current: true,
            generations: self.generations(),
            claims: rare.and_then(|rare| rare.claims.clone()),
            issuer: rare.and_then(|rare| rare.issuer.clone()),
            metadata: self.metadata().cloned(),
            ended: self.ended().cloned(),
        }
    }

    pub(crate) fn generations(&self) -> Generations {
        let at_root = self.rare.as_ref().and_then(|rare| rare.at_root);
        Generations { current: self.generation, seen: self.seen, at_floor: self.at_floor, at_root }
    }

    pub(crate) fn authenticated_at(&self) -> OffsetDateTime {
        self.authenticated_at.into()
    }

    pub(crate) fn ended(&self) -> Option<&Ended> {
        self.rare.as_ref()?.ended.as_ref()
    }

    /// What `SignIn::claims` gave.
    pub(crate) fn given_claims(&self) -> serde_json::Map<String, Value> {
        self.rare.as_ref().and_then(|rare| rare.claims.as_ref()?.as_object().cloned()).unwrap_or_default()
    }

    pub(crate) fn metadata(&self) -> Option<&Value> {
        self.rare.as_ref()?.metadata.as_ref()
    }

    #[cfg(feature = "jwks")]
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.rare.as_ref()?.issuer.as_deref()
    }
}

impl From<OffsetDateTime> for Time {
    fn from(time: OffsetDateTime) -> Self {
        let nanos = time.unix_timestamp_nanos();
        Self(nanos.try_into().unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }))
    }
}

impl From<Time> for OffsetDateTime {
    fn from(Time(nanos): Time) -> Self {
        // Every one of them is within the years that this can name.
        Self::from_unix_timestamp_nanos(nanos.into()).unwrap_or(Self::UNIX_EPOCH)
    }
}

/// What many rows have in common, once.
#[derive(Debug, Default)]
pub(super) struct Shared {
    devices: Pool<Device>,
    places: Pool<Place>,
}

/// Values of which equal ones are kept once, for as long as somebody has them.
#[derive(Debug)]
struct Pool<T>(Mutex<Pooled<T>>);

#[derive(Debug)]
struct Pooled<T> {
    all: HashSet<Arc<T>>,
    /// When so many are there, those that nobody has any more are dropped.
    tidy_at: usize,
}

const TIDY_AT: usize = 1_024;

impl<T: Eq + Hash> Pool<T> {
    fn one(&self, value: T) -> Arc<T> {
        let mut pooled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pooled.all.get(&value) {
            return Arc::clone(known);
        }
        if pooled.all.len() >= pooled.tidy_at {
            pooled.all.retain(|one| Arc::strong_count(one) > 1);
            // So that tidying costs each newcomer the same, however many there are.
            pooled.tidy_at = TIDY_AT.max(2 * pooled.all.len());
        }
        let value = Arc::new(value);
        pooled.all.insert(Arc::clone(&value));
        value
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::new(Pooled { all: HashSet::new(), tidy_at: TIDY_AT }))
    }
}

/// As that of a session: without the point on the globe.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.location).finish()
    }
}

/// No coordinate is NaN ([`Position::new`]).
impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.location.hash(state);
        self.country_code.hash(state);
        if let Some(Position { latitude, longitude, accuracy_km }) = self.position {
            // Both zeros are equal, and so must be their hashes.
            ((latitude + 0.0).to_bits(), (longitude + 0.0).to_bits(), accuracy_km).hash(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_equal_is_there_once_and_goes_with_its_last_holder() {
        let pool = Pool::default();
        let held: Vec<_> = (0..10).map(|n| pool.one(n)).collect();
        assert!(Arc::ptr_eq(&held[3], &pool.one(3)));
        for n in 0..10 * TIDY_AT {
            pool.one(n);
        }
        let left = pool.0.lock().unwrap().all.len();
        assert!((held.len()..=TIDY_AT).contains(&left), "{left}");
        assert!(Arc::ptr_eq(&held[3], &pool.one(3)), "those that somebody has are still there");
    }

    #[test]
    fn a_session_comes_back_as_it_was_read() {
        let shared = Shared::default();
        let plain = Session::fake("ahmed".into());
        let full = Session {
            location: Some("Moscow, Russia".into()),
            country_code: Some("RU".into()),
            position: Position::new(55.75, 37.61, Some(20)),
            ip_address: Some([203, 0, 113, 7].into()),
            claims: Some(serde_json::json!({ "roles": ["admin"] })),
            metadata: Some(serde_json::json!(7)),
            issuer: Some("https://issuer.example".into()),
            device_key: Some(DeviceKey([7; 32])),
            pending: true,
            ended: Some(Ended::new(OffsetDateTime::now_utc(), crate::EndReason::Logout, None)),
            ..Session::fake("lena".into())
        };
        for session in [plain, full] {
            let lives =
                crate::policy::Lifetimes { idle: std::time::Duration::MAX, idle_allowance: std::time::Duration::ZERO };
            let deadlines = Deadlines::of(&session, session.created_at, crate::clock::Tick::from_nanos(1), lives);
            let id = session.id;
            assert!(Row::new(session.clone(), deadlines, &shared).session(id) == session);
        }
    }
}
