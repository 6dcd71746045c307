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
    let mut columns = InOrder { row, next: 0 };
    let id = columns.get::<Uuid>("id")?.into();
    let user_id = UserId::from(columns.get::<&str>("user_id")?);
    let device = Device {
        name: columns.get("device_name")?,
        kind: DeviceType::from(columns.get::<&str>("device_type")?),
        form_factor: columns.get::<Option<&str>>("form_factor")?.and_then(FormFactor::from_text),
        os: columns.get("os")?,
        os_version: columns.get("os_version")?,
        browser: columns.get("browser")?,
        browser_version: columns.get("browser_version")?,
        model: columns.get("model")?,
    };
    let ip_address = columns.get::<Option<IpAddr>>("ip_address")?;
    let (location, country_code) = (columns.get("location")?, columns.get("country_code")?);
    let position = position(&mut columns)?;
    let device_key = columns.get::<Option<&[u8]>>("device_key")?;
    let pending = columns.get("pending")?;
    let (created_at, last_activity_at) = (columns.get("created_at")?, columns.get("last_activity_at")?);
    let expires_at: OffsetDateTime = columns.get("expires_at")?;
    Ok(Session {
        id,
        user_id,
        device,
        ip_address,
        location,
        country_code,
        position,
        device_key: device_key.and_then(|key| key.try_into().ok()).map(DeviceKey),
        pending,
        created_at,
        last_activity_at,
        expires_at,
        absolute_expires_at: expires_at,
        authenticated_at: columns.get("authenticated_at")?,
        is_current: false,
        generations: Generations {
            current: columns.get::<i64>("generation")?.unsigned_abs(),
            seen: columns.get("seen")?,
            at_floor: columns.get::<i64>("at_floor")?.unsigned_abs(),
            at_root: columns.get::<Option<i64>>("at_root")?.map(i64::unsigned_abs),
        },
        claims: columns.get("claims")?,
        issuer: columns.get("issuer")?,
        metadata: columns.get("metadata")?,
        ended: ended(row)?,
    })
}

/// The columns of a row by name, looked for from where the last one was: a batch has 256 rows of 33 columns, and the driver
/// would look through all names for each.
struct InOrder<'a> {
    row: &'a Row,
    next: usize,
}

impl<'a> InOrder<'a> {
    fn get<T: FromSql<'a>>(&mut self, name: &str) -> Result<T, Error> {
        let columns = self.row.columns();
        if columns.get(self.next).is_none_or(|column| column.name() != name) {
            self.next = columns.iter().position(|column| column.name() == name).unwrap_or(columns.len());
        }
        self.next += 1;
        self.row.try_get(self.next - 1).map_err(unreadable)
    }
}

fn position(columns: &mut InOrder<'_>) -> Result<Option<Position>, Error> {
    let (latitude, longitude) = (columns.get::<Option<f64>>("latitude")?, columns.get::<Option<f64>>("longitude")?);
    let accuracy_km = columns.get::<Option<i32>>("accuracy_km")?.and_then(|km| km.try_into().ok());
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
    row.try_get(column).map_err(unreadable)
}

fn unreadable(cause: tokio_postgres::Error) -> Error {
    Error::because(ErrorKind::Schema, "reading a session's row", cause)
}
