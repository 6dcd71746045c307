//! Expiry and retention, a batch a call, by one node at a time.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{
    lend::{Lender, Write},
    outbox, row, seconds,
    sql::Sql,
};
use crate::{
    error::Error,
    store::{COUNTRIES_FOR, DEVICE_FOR, Expire, Expired, Idle, Purged, Retention},
};

/// Rows that a batch ends, scrubs or deletes: locked for milliseconds, since others wait for them.
const BATCH: i64 = 500;
/// Live rows that a batch looks at.
const PAGE: i64 = 2_000;

pub(super) async fn expire(lender: &Lender, sql: &Sql, request: Expire) -> Result<Expired, Error> {
    let write = lender.begin("ending sessions that have run out").await?;
    let Some(turn) = Turn::take(&write, sql, request.every).await? else {
        write.commit().await?;
        return Ok(Expired::default());
    };
    let (timeout, allowance) = request.idle.map(|idle| (seconds(idle.timeout), seconds(idle.allowance))).unzip();
    let absolute: [(&(dyn ToSql + Sync), Type); 3] =
        [(&timeout, Type::FLOAT8), (&allowance, Type::FLOAT8), (&BATCH, Type::INT8)];
    let mut ended = row::ended_ids(&write.query(&sql.expire_absolute, &absolute).await?)?;
    let mut more = i64::try_from(ended.len()).is_ok_and(|ended| ended == BATCH);
    if let Some(idle) = request.idle.filter(|_| turn.due) {
        let (idle, on_the_way) = turn.look_at_a_page(&write, sql, idle).await?;
        ended.extend(idle);
        more |= on_the_way;
    }
    write.commit().await?;
    Ok(Expired { ended, more })
}

/// The right to do upkeep until the transaction ends, and where the walk stands.
struct Turn {
    after: (String, Uuid),
    due: bool,
}

impl Turn {
    /// `None`: another node is at it.
    async fn take(write: &Write, sql: &Sql, every: Duration) -> Result<Option<Self>, Error> {
        let every = seconds(every);
        let turn = write.query(&sql.upkeep_turn, &[(&every, Type::FLOAT8)]).await?;
        let Some(turn) = turn.first() else {
            write.batch(&sql.upkeep_begin).await?;
            return Ok(None);
        };
        if !row::get::<bool>(turn, "ours")? {
            return Ok(None);
        }
        let user = row::get::<Option<String>>(turn, "at_user")?.unwrap_or_default();
        let id = row::get::<Option<Uuid>>(turn, "at_id")?.unwrap_or_default();
        Ok(Some(Self { after: (user, id), due: row::get(turn, "due")? }))
    }

    /// Ends what is idle among the next live rows. Says whether the round goes on.
    async fn look_at_a_page(&self, write: &Write, sql: &Sql, idle: Idle) -> Result<(row::Ends, bool), Error> {
        let (timeout, allowance) = (seconds(idle.timeout), seconds(idle.allowance));
        let (user, id) = &self.after;
        let spans: [(&(dyn ToSql + Sync), Type); 2] = [(&timeout, Type::FLOAT8), (&allowance, Type::FLOAT8)];
        let place: [(&(dyn ToSql + Sync), Type); 3] = [(user, Type::TEXT), (id, Type::UUID), (&PAGE, Type::INT8)];
        let page = write.query(&sql.live_page, &[&spans[..], &place[..]].concat()).await?;
        let mut due = Vec::new();
        for live in &page {
            if row::get(live, "due")? {
                due.push(row::get::<Uuid>(live, "id")?);
            }
        }
        let mut ended = Vec::new();
        if !due.is_empty() {
            let due: [(&(dyn ToSql + Sync), Type); 1] = [(&due, Type::UUID_ARRAY)];
            ended = row::ended_ids(&write.query(&sql.expire_idle, &[&spans[..], &due[..]].concat()).await?)?;
        }
        let full = i64::try_from(page.len()).is_ok_and(|looked_at| looked_at == PAGE);
        let last = page.last().filter(|_| full);
        let user = last.map(|live| row::get::<String>(live, "user_id")).transpose()?;
        let id = last.map(|live| row::get::<Uuid>(live, "id")).transpose()?;
        write.query(&sql.upkeep_moved, &[(&user, Type::TEXT), (&id, Type::UUID)]).await?;
        Ok((ended, full))
    }
}

pub(super) async fn purge(lender: &Lender, sql: &Sql, retention: Retention) -> Result<Purged, Error> {
    let write = lender.begin("removing old sessions").await?;
    if Turn::take(&write, sql, Duration::ZERO).await?.is_none() {
        write.commit().await?;
        return Ok(Purged::default());
    }
    let (scrub_after, history) = (seconds(retention.scrub_after), seconds(retention.history));
    let scrub: [(&(dyn ToSql + Sync), Type); 3] =
        [(&scrub_after, Type::FLOAT8), (&history, Type::FLOAT8), (&BATCH, Type::INT8)];
    let scrubbed = write.query(&sql.scrub, &scrub).await?.len();
    // On its own: who may not delete shall scrub all the same.
    write.commit().await?;
    let write = lender.begin("removing old sessions").await?;
    if Turn::take(&write, sql, Duration::ZERO).await?.is_none() {
        write.commit().await?;
        return Ok(Purged { scrubbed, ..Purged::default() });
    }
    let deleted = write.query(&sql.delete, &[(&history, Type::FLOAT8), (&BATCH, Type::INT8)]).await?.len();
    let (device_for, countries_for) = (seconds(DEVICE_FOR), seconds(COUNTRIES_FOR));
    let devices = write.query(&sql.forget_devices, &[(&device_for, Type::FLOAT8), (&BATCH, Type::INT8)]).await?.len();
    let countries =
        write.query(&sql.forget_countries, &[(&countries_for, Type::FLOAT8), (&BATCH, Type::INT8)]).await?.len();
    let told = outbox::purge(&write, &sql.outbox, retention, BATCH).await?;
    write.commit().await?;
    let more = [scrubbed, deleted, devices, countries, told]
        .into_iter()
        .any(|rows| i64::try_from(rows).is_ok_and(|rows| rows == BATCH));
    Ok(Purged { scrubbed, deleted, more })
}
