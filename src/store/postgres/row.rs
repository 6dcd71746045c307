//! From rows to the vocabulary. What cannot happen becomes an error here, never a panic.

use std::net::IpAddr;

use time::OffsetDateTime;
use tokio_postgres::{
    Row,
    types::{FromSql, Type},
};
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
    InOrder::new(row, false).session()
}

/// The columns of a row by name, looked for from where the last one was: a batch has 256 rows of 33 columns, and the driver
/// would look through all names for each.
struct InOrder<'a> {
    row: &'a Row,
    next: usize,
    /// An earlier row of this answer has shown that each column is the next one.
    known: bool,
    /// So far, in this row.
    straight: bool,
}

impl<'a> InOrder<'a> {
    const fn new(row: &'a Row, known: bool) -> Self {
        Self { row, next: 0, known, straight: true }
    }

    fn get<T: FromSql<'a>>(&mut self, name: &str) -> Result<T, Error> {
        if !self.known {
            let columns = self.row.columns();
            if columns.get(self.next).is_none_or(|column| column.name() != name) {
                self.straight = false;
                self.next = columns.iter().position(|column| column.name() == name).unwrap_or(columns.len());
            }
        }
        self.next += 1;
        self.row.try_get(self.next - 1).map_err(unreadable)
    }

    fn session(&mut self) -> Result<Session, Error> {
        let id = self.get::<Uuid>("id")?.into();
        let user_id = UserId::from(self.get::<&str>("user_id")?);
        let device = Device {
            name: self.get("device_name")?,
            kind: DeviceType::from(self.get::<&str>("device_type")?),
            form_factor: self.get::<Option<&str>>("form_factor")?.and_then(FormFactor::from_text),
            os: self.get("os")?,
            os_version: self.get("os_version")?,
            browser: self.get("browser")?,
            browser_version: self.get("browser_version")?,
            model: self.get("model")?,
        };
        let ip_address = self.get::<Option<IpAddr>>("ip_address")?;
        let (location, country_code) = (self.get("location")?, self.get("country_code")?);
        let position = self.position()?;
        let device_key = self.get::<Option<&[u8]>>("device_key")?;
        let pending = self.get("pending")?;
        let (Time(created_at), Time(last_activity_at)) = (self.get("created_at")?, self.get("last_activity_at")?);
        let Time(expires_at) = self.get("expires_at")?;
        let Time(authenticated_at) = self.get("authenticated_at")?;
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
            authenticated_at,
            is_current: false,
            generations: Generations {
                current: self.get::<i64>("generation")?.unsigned_abs(),
                seen: self.get("seen")?,
                at_floor: self.get::<i64>("at_floor")?.unsigned_abs(),
                at_root: self.get::<Option<i64>>("at_root")?.map(i64::unsigned_abs),
            },
            claims: self.get("claims")?,
            issuer: self.get("issuer")?,
            metadata: self.get("metadata")?,
            ended: self.ended()?,
        })
    }

    fn position(&mut self) -> Result<Option<Position>, Error> {
        let (latitude, longitude) = (self.get::<Option<f64>>("latitude")?, self.get::<Option<f64>>("longitude")?);
        let accuracy_km = self.get::<Option<i32>>("accuracy_km")?.and_then(|km| km.try_into().ok());
        Ok(latitude.zip(longitude).and_then(|(latitude, longitude)| Position::new(latitude, longitude, accuracy_km)))
    }

    /// All three in any case: each column is the next one.
    fn ended(&mut self) -> Result<Option<Ended>, Error> {
        let (at, reason) = (self.get::<Option<Time>>("ended_at")?, self.get::<Option<&str>>("end_reason")?);
        let by = self.get("ended_by")?;
        let Some(Time(at)) = at else { return Ok(None) };
        // An end that cannot be read is not taken for none.
        let reason = reason.ok_or_else(|| Error::new(ErrorKind::Schema, "reading a session's end"))?;
        Ok(Some(Ended::new(at, reason.into(), by)))
    }
}

/// Postgres knows times that Rust does not (`infinity`, the year 20000). They are brought near enough, and mean the same.
struct Time(OffsetDateTime);

impl<'a> FromSql<'a> for Time {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        // Microseconds since 2000.
        let micros = i64::from_sql(&Type::INT8, raw)?;
        let seconds = (micros.div_euclid(1_000_000) + EPOCH).clamp(YEAR_1, YEAR_9999);
        let fraction = u32::try_from(micros.rem_euclid(1_000_000))?;
        Ok(Self(OffsetDateTime::from_unix_timestamp(seconds)?.replace_microsecond(fraction)?))
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::TIMESTAMPTZ
    }
}

/// 2000, and the bounds, in seconds since 1970.
const EPOCH: i64 = 946_684_800;
const YEAR_1: i64 = -62_135_596_800;
const YEAR_9999: i64 = 253_370_764_800;

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
    let mut known = false;
    for row in rows {
        let mut columns = InOrder::new(row, known);
        match columns.session() {
            Ok(session) => {
                known = columns.straight;
                loaded.sessions.push(session);
            }
            Err(error) => {
                let id = id(row)?;
                tracing::error!(error = &error as &dyn std::error::Error, session = %id, "a row cannot be read");
                loaded.unreadable.push(id);
            }
        }
    }
    Ok(loaded)
}

pub(super) fn ended(row: &Row) -> Result<Option<Ended>, Error> {
    let Some(Time(at)) = get::<Option<Time>>(row, "ended_at")? else { return Ok(None) };
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
