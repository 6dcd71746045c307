//! From rows to the vocabulary. What cannot happen becomes an error here, never a panic.

use std::net::IpAddr;

use time::OffsetDateTime;
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use super::super::Loaded;
use crate::{
    error::{Error, ErrorKind},
    place::Position,
    session::{Device, DeviceKey, DeviceType, Ended, FormFactor, Generations, Session, SessionId, UserId},
    token::refresh::{DbTime, Rotation, State},
};

/// Sessions and how they ended.
pub(super) type Ends = Vec<(SessionId, Ended)>;

/// One row of `sql::COLUMNS`.
pub(super) fn session(row: &Row) -> Result<Session, Error> {
    let text = |column| get::<Option<String>>(row, column);
    let expires_at: OffsetDateTime = get(row, "expires_at")?;
    Ok(Session {
        id: id(row)?,
        user_id: UserId::from(get::<&str>(row, "user_id")?),
        device: Device {
            name: get(row, "device_name")?,
            kind: DeviceType::from(get::<&str>(row, "device_type")?),
            form_factor: get::<Option<&str>>(row, "form_factor")?.and_then(FormFactor::from_text),
            os: text("os")?,
            os_version: text("os_version")?,
            browser: text("browser")?,
            browser_version: text("browser_version")?,
            model: text("model")?,
        },
        ip_address: get::<Option<IpAddr>>(row, "ip_address")?,
        location: text("location")?,
        country_code: text("country_code")?,
        position: position(row)?,
        device_key: get::<Option<&[u8]>>(row, "device_key")?.and_then(|key| key.try_into().ok()).map(DeviceKey),
        pending: get(row, "pending")?,
        created_at: get(row, "created_at")?,
        last_activity_at: get(row, "last_activity_at")?,
        expires_at,
        absolute_expires_at: expires_at,
        authenticated_at: get(row, "authenticated_at")?,
        is_current: false,
        generations: Generations {
            current: generation(row, "generation")?,
            seen: get(row, "seen")?,
            at_floor: generation(row, "at_floor")?,
            at_root: get::<Option<i64>>(row, "at_root")?.map(i64::unsigned_abs),
        },
        claims: get(row, "claims")?,
        issuer: text("issuer")?,
        metadata: get(row, "metadata")?,
        ended: ended(row)?,
    })
}

fn position(row: &Row) -> Result<Option<Position>, Error> {
    let (latitude, longitude) = (get::<Option<f64>>(row, "latitude")?, get::<Option<f64>>(row, "longitude")?);
    let accuracy_km = get::<Option<i32>>(row, "accuracy_km")?.and_then(|km| km.try_into().ok());
    Ok(latitude.zip(longitude).and_then(|(latitude, longitude)| Position::new(latitude, longitude, accuracy_km)))
}

/// What `sql::TOKENS` reads besides.
pub(super) fn tokens(row: &Row) -> Result<State, Error> {
    let time = |column| Ok(get::<Option<OffsetDateTime>>(row, column)?.map(DbTime::from));
    let rotation = match (get::<Option<i64>>(row, "root")?, time("consumed_at")?, time("handed_at")?) {
        (Some(root), Some(consumed_at), Some(handed_at)) => {
            Some(Rotation { root: root.unsigned_abs(), consumed_at, handed_at, seen: get(row, "seen")? })
        }
        _ => None,
    };
    Ok(State {
        current: generation(row, "generation")?,
        rotation,
        at_floor: generation(row, "at_floor")?,
        at_root: get::<Option<i64>>(row, "at_root")?.map(i64::unsigned_abs),
        broken_at: time("broken_at")?,
        ended: ended(row)?.is_some(),
    })
}

/// The database's own times, so they are within range.
pub(super) fn from_db_time(DbTime(micros): DbTime) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Counted up from one.
fn generation(row: &Row, column: &str) -> Result<u64, Error> {
    get::<i64>(row, column).map(i64::unsigned_abs)
}

/// Rows of `sql::COLUMNS`; no rows were read at no particular time.
pub(super) fn loaded(rows: &[Row]) -> Result<Loaded, Error> {
    let now = rows.first().map_or(Ok(OffsetDateTime::now_utc()), |row| get(row, "read_at"))?;
    let mut loaded = Loaded { sessions: Vec::with_capacity(rows.len()), unreadable: Vec::new(), now };
    for row in rows {
        let id = id(row)?;
        match session(row) {
            Ok(session) => loaded.sessions.push(session),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, session = %id, "a row cannot be read");
                loaded.unreadable.push(id);
            }
        }
    }
    Ok(loaded)
}

pub(super) fn ended(row: &Row) -> Result<Option<Ended>, Error> {
    let Some(at) = get::<Option<OffsetDateTime>>(row, "ended_at")? else { return Ok(None) };
    let reason = get::<&str>(row, "end_reason")?.into();
    Ok(Some(Ended::new(at, reason, get(row, "ended_by")?)))
}

pub(super) fn ended_ids(rows: &[Row]) -> Result<Ends, Error> {
    let missing = || Error::new(ErrorKind::Schema, "an ended session was returned without its end");
    let end = |row: &Row| {
        let ended = ended(row)?.ok_or_else(missing)?;
        Ok((id(row)?, Ended { of_pending: get(row, "pending")?, ..ended }))
    };
    rows.iter().map(end).collect()
}

pub(super) fn ids(rows: &[Row]) -> Result<Vec<SessionId>, Error> {
    rows.iter().map(id).collect()
}

pub(super) fn id(row: &Row) -> Result<SessionId, Error> {
    get::<Uuid>(row, "id").map(SessionId::from)
}

pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, Error> {
    row.try_get(column).map_err(|cause| Error::because(ErrorKind::Schema, "reading a session's row", cause))
}
