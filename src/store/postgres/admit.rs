//! Signing in: one transaction under the user's lock, from which no other sign-in and no "end all" of the user can hide.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};

use super::{
    lend::{Lender, Write},
    outbox, row, seconds,
    sql::Sql,
    tokens,
};
use crate::{
    error::{Error, ErrorKind},
    session::{DeviceKey, Ended, Session, SessionId, UserId},
    signals::Signal,
    store::{
        Admission, Admit, Admitted, Arrival, COUNTRIES_FOR, Comes, DEVICES_OF_A_USER, End, Found, NewSession, SOME,
    },
    token::refresh::State,
};

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

pub(super) async fn admit(lender: &Lender, sql: &Sql, arrival: Arrival, admit: Admit) -> Result<Admitted, Error> {
    let write = lender.begin(SIGNING_IN).await?;
    let (user, arriving, key) = match &arrival.0 {
        Comes::New(new) => (new.user_id.clone(), None, new.device_key),
        Comes::Complete { id, user, device_key, .. } => (user.clone(), Some(*id), *device_key),
    };
    lock_user(&write, sql, &user).await?;
    let live = live(&write, sql, &user, key, arriving, admit.looks_at).await?;
    let mut tokens = None;
    if let Some(id) = arriving {
        // Locked with the others and in their order, if it lives: locked before them, it would wait in a circle with
        // whoever ends these very sessions.
        let read = tokens::read(&write, sql, &[id]).await?.pop().transpose()?;
        let Some(pending) = read.filter(|read| read.session.user_id == user) else {
            return refuse(write, gone()).await;
        };
        if let Some(ended) = pending.session.ended {
            return refuse(write, Error::session_ended(SIGNING_IN, ended.reason)).await;
        }
        tokens = Some(pending.tokens);
    }
    let mut signals = Vec::new();
    let replaces = match &arrival.0 {
        Comes::New(new) => match new.replaces {
            // Of a second factor that nobody showed: what its cookie had overwritten goes in its place.
            Some(held) => held_before(&write, sql, held).await?.0.or(Some(held)),
            None => None,
        },
        Comes::Complete { id, .. } => {
            let (replaces, told) = held_before(&write, sql, *id).await?;
            signals = told;
            replaces
        }
    };
    let found = known(&write, sql, &user, key, Found { tokens, replaces, signals, ..Found::new(live) }).await?;
    let admission = match (admit.decide)(&found) {
        Ok(admission) => admission,
        Err(refused) => return refuse(write, refused).await,
    };
    let by = match &arrival.0 {
        Comes::New(new) => new.id,
        Comes::Complete { id, .. } => *id,
    };
    let (ends, pending_for, new_tokens, tells) = match admission {
        Admission::Pending { lifetime, ends, tells } => (ends, Some(lifetime), None, tells),
        Admission::Full { ends, tokens, tells } => (ends, None, tokens, tells),
    };
    let ended = end(&write, sql, &ends, by).await?;
    let name = found.device.flatten();
    let session = match arrival.0 {
        Comes::New(mut new) => {
            if let Some(name) = name {
                new.device.name = name;
            }
            new.replaces = replaces;
            insert(&write, sql, &new, pending_for, &tells).await?
        }
        Comes::Complete { id, absolute_lifetime, .. } => {
            complete(&write, sql, id, absolute_lifetime, name.as_deref(), new_tokens).await?
        }
    };
    if pending_for.is_none() {
        note(&write, sql, &session).await?;
        outbox::tell_sign_in(&write, &sql.outbox, &session, &tells).await?;
    }
    write.commit().await?;
    Ok(Admitted { session, ended, replaces })
}

/// Nothing has been written yet, and the connection is kept: to be refused is nothing out of the ordinary.
async fn refuse<T>(write: Write, refused: Error) -> Result<T, Error> {
    let _nothing = write.commit().await;
    Err(refused)
}

/// What the row of a pending session remembers.
async fn held_before(write: &Write, sql: &Sql, id: SessionId) -> Result<(Option<SessionId>, Vec<Signal>), Error> {
    let rows = write.query(&sql.held_before, &[(&id.as_uuid(), Type::UUID)]).await?;
    let Some(row) = rows.first() else { return Ok((None, Vec::new())) };
    let replaces = row::get::<Option<uuid::Uuid>>(row, "replaces")?.map(SessionId::from);
    let signals = match row::get(row, "signals")? {
        Some(serde_json::Value::Array(signals)) => signals,
        _ => Vec::new(),
    };
    // One that only newer nodes know is not told.
    Ok((replaces, signals.into_iter().filter_map(|one| serde_json::from_value(one).ok()).collect()))
}

/// For sessions that somebody else signs in: nothing is looked at.
pub(super) async fn create(lender: &Lender, sql: &Sql, new: NewSession) -> Result<Session, Error> {
    let write = lender.begin(SIGNING_IN).await?;
    // Whoever ends all sessions of this user waits for this one, and then ends it too.
    lock_user(&write, sql, &new.user_id).await?;
    let session = insert(&write, sql, &new, None, &[]).await?;
    write.commit().await?;
    Ok(session)
}

async fn lock_user(write: &Write, sql: &Sql, user: &UserId) -> Result<(), Error> {
    write.query(&sql.lock_user, &[(&user.as_str(), Type::TEXT)]).await.map(drop)
}

/// The user's live rows, locked in the order of their ids and then read: a row read while waiting would be of before.
async fn live(
    write: &Write,
    sql: &Sql,
    user: &UserId,
    key: Option<DeviceKey>,
    arriving: Option<SessionId>,
    looks_at: Option<usize>,
) -> Result<Vec<Session>, Error> {
    let (user, key) = (user.as_str(), bytes(key.as_ref()));
    let arriving = arriving.map(|id| id.as_uuid());
    let at_most = looks_at.map(|some| i64::try_from(some).unwrap_or(i64::MAX));
    let parameters: [Parameter<'_>; 4] =
        [(&user, Type::TEXT), (&key, Type::BYTEA), (&arriving, Type::UUID), (&at_most, Type::INT8)];
    let locked = row::ids(&write.query(&sql.lock_arriving, &parameters).await?)?;
    if locked.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = locked.iter().map(SessionId::as_uuid).collect();
    let rows = write.query(&sql.load_many, &[(&ids, Type::UUID_ARRAY)]).await?;
    // One that cannot be read is no session that anybody gets in with.
    let loaded = row::loaded(&rows)?;
    Ok(loaded.sessions.into_iter().filter(|session| session.ended.is_none()).collect())
}

async fn known(write: &Write, sql: &Sql, user: &UserId, key: Option<DeviceKey>, found: Found) -> Result<Found, Error> {
    let (user, key, within) = (user.as_str(), bytes(key.as_ref()), seconds(COUNTRIES_FOR));
    let some = i64::try_from(SOME).unwrap_or(i64::MAX);
    let parameters: [Parameter<'_>; 4] =
        [(&user, Type::TEXT), (&key, Type::BYTEA), (&within, Type::FLOAT8), (&some, Type::INT8)];
    let rows = write.query(&sql.known, &parameters).await?;
    let row = rows.first().ok_or_else(|| Error::new(ErrorKind::Schema, "a SELECT of one row returned none"))?;
    let name = row::get::<Option<String>>(row, "name")?;
    Ok(Found {
        device: row::get::<bool>(row, "known")?.then_some(name),
        has_devices: row::get(row, "any")?,
        countries: row::get(row, "countries")?,
        last_seen_at: row::get(row, "last_seen_at")?,
        now: row::get(row, "read_at")?,
        ..found
    })
}

async fn end(write: &Write, sql: &Sql, ends: &[End], by: SessionId) -> Result<Vec<(SessionId, Ended)>, Error> {
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = ends.iter().map(|end| end.id.as_uuid()).collect();
    let reasons: Vec<_> = ends.iter().map(|end| end.reason.as_str()).collect();
    let times: Vec<_> = ends.iter().map(|end| end.at).collect();
    let by = by.to_string();
    let parameters: [Parameter<'_>; 4] =
        [(&ids, Type::UUID_ARRAY), (&reasons, Type::TEXT_ARRAY), (&times, Type::TIMESTAMPTZ_ARRAY), (&by, Type::TEXT)];
    row::ended_ids(&write.query(&sql.end_for, &parameters).await?)
}

async fn insert(
    write: &Write,
    sql: &Sql,
    new: &NewSession,
    pending: Option<Duration>,
    tells: &[Signal],
) -> Result<Session, Error> {
    let id = new.id.as_uuid();
    let lifetime = seconds(pending.unwrap_or(new.absolute_lifetime));
    let device = &new.device;
    let (kind, form) = (device.kind.as_str(), device.form_factor.map(|form| form.as_str()));
    let user = new.user_id.as_str();
    let place = Place::of(new.location.as_ref());
    let key = bytes(new.device_key.as_ref());
    let pending = pending.is_some();
    let replaces = new.replaces.filter(|_| pending).map(|id| id.as_uuid());
    let unusual = |cause| Error::because(ErrorKind::InvalidInput, SIGNING_IN, cause);
    let tells = (pending && !tells.is_empty()).then(|| serde_json::to_value(tells).map_err(unusual)).transpose()?;
    let parameters: [Parameter<'_>; 25] = [
        (&id, Type::UUID),
        (&user, Type::TEXT),
        (&lifetime, Type::FLOAT8),
        (&device.name, Type::TEXT),
        (&kind, Type::TEXT),
        (&form, Type::TEXT),
        (&device.os, Type::TEXT),
        (&device.os_version, Type::TEXT),
        (&device.browser, Type::TEXT),
        (&device.browser_version, Type::TEXT),
        (&device.model, Type::TEXT),
        (&new.user_agent, Type::TEXT),
        (&new.ip_address, Type::INET),
        (&new.metadata, Type::JSONB),
        (&new.issuer, Type::TEXT),
        (&new.claims, Type::JSONB),
        (&place.text, Type::TEXT),
        (&place.country_code, Type::TEXT),
        (&place.latitude, Type::FLOAT8),
        (&place.longitude, Type::FLOAT8),
        (&place.accuracy_km, Type::INT4),
        (&key, Type::BYTEA),
        (&pending, Type::BOOL),
        (&replaces, Type::UUID),
        (&tells, Type::JSONB),
    ];
    let rows = write.query(&sql.insert, &parameters).await?;
    let session = rows.first().map(row::session).transpose()?;
    session.ok_or_else(|| Error::new(ErrorKind::Schema, "an inserted session was not returned"))
}

async fn complete(
    write: &Write,
    sql: &Sql,
    id: SessionId,
    lifetime: Duration,
    name: Option<&str>,
    state: Option<State>,
) -> Result<Session, Error> {
    let uuid = id.as_uuid();
    let parameters: [Parameter<'_>; 3] = [(&uuid, Type::UUID), (&seconds(lifetime), Type::FLOAT8), (&name, Type::TEXT)];
    write.query(&sql.complete, &parameters).await?;
    if let Some(state) = state {
        tokens::store(write, sql, id, &state, true).await?;
    }
    let rows = write.query(&sql.load_one, &[(&uuid, Type::UUID)]).await?;
    rows.first().map(row::session).transpose()?.ok_or_else(gone)
}

/// The device and the country are known from now on.
async fn note(write: &Write, sql: &Sql, session: &Session) -> Result<(), Error> {
    let user = session.user_id.as_str();
    if let Some(key) = bytes(session.device_key.as_ref()) {
        let others = i64::try_from(DEVICES_OF_A_USER - 1).unwrap_or(i64::MAX);
        let parameters: [Parameter<'_>; 3] = [(&user, Type::TEXT), (&key, Type::BYTEA), (&others, Type::INT8)];
        write.query(&sql.note_device, &parameters).await?;
    }
    if let Some(country) = &session.country_code {
        write.query(&sql.note_country, &[(&user, Type::TEXT), (country, Type::TEXT)]).await?;
    }
    Ok(())
}

/// A new name for a session and for the device below it; `None` where there is no such live session of this user.
pub(super) async fn rename(
    lender: &Lender,
    sql: &Sql,
    id: SessionId,
    user: &UserId,
    name: &str,
) -> Result<Option<Session>, Error> {
    let write = lender.begin("renaming a session").await?;
    let parameters: [Parameter<'_>; 3] =
        [(&id.as_uuid(), Type::UUID), (&user.as_str(), Type::TEXT), (&name, Type::TEXT)];
    let rows = write.query(&sql.rename, &parameters).await?;
    let session = rows.first().map(row::session).transpose()?;
    write.commit().await?;
    Ok(session)
}

/// A place as columns.
#[derive(Default)]
pub(super) struct Place {
    pub(super) text: Option<String>,
    pub(super) country_code: Option<String>,
    pub(super) latitude: Option<f64>,
    pub(super) longitude: Option<f64>,
    pub(super) accuracy_km: Option<i32>,
}

impl Place {
    pub(super) fn of(location: Option<&crate::place::Location>) -> Self {
        let Some(location) = location else { return Self::default() };
        let position = location.position;
        Self {
            text: location.text(),
            country_code: location.country_code.clone(),
            latitude: position.map(|position| position.latitude),
            longitude: position.map(|position| position.longitude),
            accuracy_km: position.and_then(|position| position.accuracy_km?.try_into().ok()),
        }
    }
}

fn bytes(key: Option<&DeviceKey>) -> Option<&[u8]> {
    key.map(|key| &key.0[..])
}

fn gone() -> Error {
    Error::new(ErrorKind::InvalidToken, SIGNING_IN)
}

const SIGNING_IN: &str = "adding a session";
