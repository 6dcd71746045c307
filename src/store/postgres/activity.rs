//! Last activity, of many sessions at once.
//!
//! To lock each row first, so as to skip those that somebody holds, costs a seventh of it all, and there is hardly ever anybody.
//! So rows that nobody seems to hold are updated straight away. Whoever comes in the instant between the look and the write
//! is waited for no longer than 20 ms: less than the second after which Postgres looks for a deadlock, and more than it takes two
//! that make the table larger to get out of each other's way. Only then, or where rows looked held, is each locked first, or skipped.
//!
//! The first try is sent in one go, from BEGIN to COMMIT: a lock lasts as long as the server takes, and not until
//! the node has had an answer. Should the network stop in the middle of it, the server gives up after 5 s.

use tokio::time::Instant;
use tokio_postgres::types::{ToSql, Type};

use super::{admit::Place, lend::Lender, row, seconds};
use crate::{error::Error, session::SessionId, store::Activity};

#[derive(Debug)]
pub(super) struct ActivitySql {
    plain: Statements,
    /// Where some session of a batch has a place.
    located: Statements,
    left_over: String,
}

#[derive(Debug)]
struct Statements {
    free: String,
    lockable: String,
}

pub(super) async fn record(lender: &Lender, sql: &ActivitySql, batch: &[Activity]) -> Result<Vec<SessionId>, Error> {
    let handed_over = Instant::now();
    // A session that was forgotten and found again since the last flush is in the batch twice, and an UPDATE of two
    // sources takes any: the newest counts.
    let mut newest: Vec<_> = batch.iter().collect();
    newest.sort_by_key(|seen| (seen.id, seen.age));
    newest.dedup_by_key(|seen| seen.id);
    if newest.len() > ROWS && lender.has_spare_writes() {
        let (some, others) = newest.split_at(newest.len().div_ceil(2 * ROWS) * ROWS);
        let (some, others) =
            tokio::join!(in_turn(lender, sql, some, handed_over), in_turn(lender, sql, others, handed_over));
        return Ok([some?, others?].concat());
    }
    in_turn(lender, sql, &newest, handed_over).await
}

async fn in_turn(
    lender: &Lender,
    sql: &ActivitySql,
    newest: &[&Activity],
    handed_over: Instant,
) -> Result<Vec<SessionId>, Error> {
    let mut left_over = Vec::new();
    for chunk in newest.chunks(ROWS) {
        left_over.extend(write(lender, sql, chunk, handed_over).await?);
    }
    Ok(left_over)
}

async fn write(
    lender: &Lender,
    sql: &ActivitySql,
    newest: &[&Activity],
    handed_over: Instant,
) -> Result<Vec<SessionId>, Error> {
    // Ages were true when they were handed over: what the statements before took is no activity. Asked before the transaction has
    // its `now()`, so that no row gets older than it is.
    let older = handed_over.elapsed();
    let ids: Vec<_> = newest.iter().map(|seen| seen.id.as_uuid()).collect();
    let ages: Vec<_> = newest.iter().map(|seen| seconds(seen.age + older)).collect();
    let addresses: Vec<_> = newest.iter().map(|seen| seen.ip_address).collect();
    let located = newest.iter().any(|seen| seen.location.is_some());
    let whence = if located { newest } else { &[] };
    let places: Vec<_> = whence.iter().map(|seen| Place::of(seen.location.as_ref())).collect();
    let texts: Vec<_> = places.iter().map(|place| place.text.as_deref()).collect();
    let countries: Vec<_> = places.iter().map(|place| place.country_code.as_deref()).collect();
    let latitudes: Vec<_> = places.iter().map(|place| place.latitude).collect();
    let longitudes: Vec<_> = places.iter().map(|place| place.longitude).collect();
    let accuracies: Vec<_> = places.iter().map(|place| place.accuracy_km).collect();
    let all: [(&(dyn ToSql + Sync), Type); 8] = [
        (&ids, Type::UUID_ARRAY),
        (&ages, Type::FLOAT8_ARRAY),
        (&addresses, Type::INET_ARRAY),
        (&texts, Type::TEXT_ARRAY),
        (&countries, Type::TEXT_ARRAY),
        (&latitudes, Type::FLOAT8_ARRAY),
        (&longitudes, Type::FLOAT8_ARRAY),
        (&accuracies, Type::INT4_ARRAY),
    ];
    let (statements, parameters) = if located { (&sql.located, &all[..]) } else { (&sql.plain, &all[..3]) };

    let at_once = lender.write_unless_held(RECORDING, &statements.free, parameters).await?;
    // All of them, as a rule: only otherwise is it worth asking what became of the rest.
    if at_once.written == u64::try_from(ids.len()).ok() {
        return Ok(Vec::new());
    }
    // By the same `now()`: what has been written is not older than itself.
    let at = (&at_once.at as &(dyn ToSql + Sync), Type::FLOAT8);
    let lookup = [parameters[0].clone(), parameters[1].clone(), at.clone()];
    let lent = lender.borrow(RECORDING).await?;
    let mut left_over = lent.query(RECORDING, &sql.left_over, &lookup).await?;
    lent.give_back();
    if !left_over.is_empty() {
        let write = lender.begin_lazily_durable(RECORDING).await?;
        write.execute(&statements.lockable, &[parameters, &[at]].concat()).await?;
        left_over = write.query(&sql.left_over, &lookup).await?;
        write.commit().await?;
    }
    row::ids(&left_over)
}

impl ActivitySql {
    pub(super) fn new(table: &str) -> Self {
        Self {
            plain: Statements::new(table, false),
            located: Statements::new(table, true),
            left_over: format!(
                "SELECT s.id FROM ( \
                    SELECT unnest($1::uuid[]) AS id, to_timestamp($3) - unnest($2::float8[]) * interval '1 second' AS at \
                 ) AS seen JOIN {table} s USING (id) WHERE s.ended_at IS NULL AND s.last_activity_at < seen.at"
            ),
        }
    }
}

/// They are planned anew each time, so they say no more than they must. Where no session of a batch has a place (`located`),
/// none is sent, and a new address is one without a place.
impl Statements {
    fn new(table: &str, located: bool) -> Self {
        let places = if located {
            ", unnest($4::text[]) AS location, unnest($5::text[]) AS country_code, unnest($6::float8[]) AS latitude, \
             unnest($7::float8[]) AS longitude, unnest($8::int4[]) AS accuracy_km"
        } else {
            ""
        };
        let seen = |now: &str| {
            format!(
                "WITH seen AS ( \
                    SELECT unnest($1::uuid[]) AS id, {now} - unnest($2::float8[]) * interval '1 second' AS at, \
                        unnest($3::inet[]) AS ip{places} \
                 ) UPDATE {table} s"
            )
        };
        let set =
            |from: &str| format!("SET last_activity_at = {from}.at, ip_address = coalesce({from}.ip, s.ip_address)");
        let place = |from: &str, new: &str| {
            let place = ["location", "country_code", "latitude", "longitude", "accuracy_km"].map(|column| {
                let there = if located { format!("{from}.{column}") } else { "NULL".to_owned() };
                format!(", {column} = CASE WHEN {new} THEN {there} ELSE s.{column} END")
            });
            place.concat()
        };
        let new = "seen.ip IS NOT NULL AND (s.location IS NULL OR seen.ip IS DISTINCT FROM s.ip_address)";
        let due = "s.ended_at IS NULL AND s.last_activity_at < seen.at";
        // Without places a row keeps what it has, as a rule nothing: one that loses a place is left to the other statement, and none of
        // the rest pays for asking five times.
        let (place_of_free, keeps) = if located {
            (place("seen", new), String::new())
        } else {
            (String::new(), format!(" AND (s.location IS NULL AND s.latitude IS NULL OR ({new}) IS NOT TRUE)"))
        };
        Self {
            // A row's `xmax` is whoever locks or replaces it, or was the last to. Its own writer, who often locked it first, has
            // committed if it is to be seen at all.
            free: format!(
                "{} {}{place_of_free} FROM seen WHERE s.id = seen.id AND {due} AND (s.xmax = '0' OR s.xmax = s.xmin){keeps}",
                seen("now()"),
                set("seen")
            ),
            // Never waits for a lock. No row is looked up twice, as the version that `held` has locked is found by its
            // place; one that was changed between the snapshot and the lock is not to be seen at its new place, and stays
            // as it is too.
            lockable: format!(
                "{} {}{} FROM ( \
                    SELECT s.ctid AS version, seen.*, {new} AS new FROM seen JOIN {table} s USING (id) WHERE {due} \
                    FOR NO KEY UPDATE OF s SKIP LOCKED \
                 ) AS held WHERE s.ctid = held.version AND s.id = held.id",
                seen(if located { "to_timestamp($9)" } else { "to_timestamp($4)" }),
                set("held"),
                place("held", "new")
            ),
        }
    }
}

/// A statement. More are written by two backends at once, unless that would keep others from writing.
const ROWS: usize = 1_000;
const RECORDING: &str = "recording activity";
