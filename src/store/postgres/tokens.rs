//! Refresh and its confirmation: decided by the rule, under the lock that ending takes too.

use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};
use uuid::Uuid;

use super::{
    lend::{Lender, Write},
    row,
    sql::Sql,
};
use crate::{
    error::{Error, ErrorKind},
    session::{EndReason, Ended, SessionId},
    store::{Confirmed, Decided, InUse, Locked, Rotate, Rotation},
    token::refresh::{self, Confirmation, State},
};

pub(super) async fn rotate(lender: &Lender, sql: &Sql, id: SessionId, rotate: Rotate) -> Result<Rotation, Error> {
    let write = lender.begin("refreshing a session").await?;
    let Some(locked) = lock(&write, sql, &[id]).await?.pop().transpose()? else {
        write.commit().await?;
        return Ok(Rotation::NotFound);
    };
    if let Some(ended) = &locked.session.ended {
        let ended = ended.clone();
        write.commit().await?;
        return Ok(Rotation::Ended(ended));
    }
    let rotation = match rotate.0(&locked) {
        Decided::Refuse(why) => Rotation::Refused(why),
        Decided::End(reason) => Rotation::EndedNow(end(&write, sql, id, &reason).await?),
        Decided::Tokens { state, authenticated } => {
            if state != locked.tokens || authenticated {
                store(&write, sql, id, &state, authenticated).await?;
            }
            Rotation::Tokens(Box::new(locked), state)
        }
    };
    write.commit().await?;
    Ok(rotation)
}

pub(super) async fn confirm(lender: &Lender, sql: &Sql, used: &[InUse]) -> Result<Confirmed, Error> {
    let write = lender.begin("confirming tokens").await?;
    let ids: Vec<_> = used.iter().map(|used| used.id).collect();
    let held = row::ids(&write.query(&sql.lock_free, &[(&uuids(&ids), Type::UUID_ARRAY)]).await?)?;
    let mut confirmed = Confirmed::default();
    let mut seen = Vec::new();
    // One that cannot be read (somebody wrote something odd into it) is left out: nobody else is to suffer.
    for locked in read(&write, sql, &ids).await?.into_iter().flatten() {
        let id = locked.session.id;
        let mut state = locked.tokens;
        for used in used.iter().filter(|used| used.id == id) {
            match refresh::confirm(&state, used.generation) {
                Confirmation::Known => {}
                // It may be another by the time that the row is free.
                _ if !held.contains(&id) => confirmed.left.push(*used),
                Confirmation::Seen(now) => {
                    seen.push(id.as_uuid());
                    state = now;
                }
                Confirmation::Reuse => {
                    confirmed.ended.push((id, end(&write, sql, id, &EndReason::RefreshReuse).await?));
                    break;
                }
            }
        }
    }
    if !seen.is_empty() {
        write.query(&sql.write_seen, &[(&seen, Type::UUID_ARRAY)]).await?;
    }
    write.commit().await?;
    Ok(confirmed)
}

/// In the order of ids, like all who wait for the locks of several rows.
async fn lock(write: &Write, sql: &Sql, ids: &[SessionId]) -> Result<Vec<Result<Locked, Error>>, Error> {
    write.query(&sql.lock, &[(&uuids(ids), Type::UUID_ARRAY)]).await?;
    read(write, sql, ids).await
}

pub(super) async fn read(write: &Write, sql: &Sql, ids: &[SessionId]) -> Result<Vec<Result<Locked, Error>>, Error> {
    let rows = write.query(&sql.locked, &[(&uuids(ids), Type::UUID_ARRAY)]).await?;
    let locked = |row: &Row| {
        let (session, tokens, now) = (row::session(row)?, row::tokens(row)?, row::get(row, "read_at")?);
        Ok(Locked { session, tokens, now })
    };
    // As for loads: of one odd row nothing is known, and of the schema nothing follows.
    let locked = |row| locked(row).map_err(|error: Error| error.of_kind(ErrorKind::Unavailable));
    Ok(rows.iter().map(locked).collect())
}

fn uuids(ids: &[SessionId]) -> Vec<Uuid> {
    ids.iter().map(SessionId::as_uuid).collect()
}

async fn end(write: &Write, sql: &Sql, id: SessionId, reason: &EndReason) -> Result<Ended, Error> {
    let (reason, by) = (reason.as_str(), None::<&str>);
    let parameters: [(&(dyn ToSql + Sync), Type); 4] =
        [(&id.as_uuid(), Type::UUID), (&None::<&str>, Type::TEXT), (&reason, Type::TEXT), (&by, Type::TEXT)];
    let ended = row::ended_ids(&write.query(&sql.end_one, &parameters).await?)?;
    ended
        .into_iter()
        .next()
        .map(|(_, ended)| ended)
        .ok_or_else(|| Error::unavailable("ending a session", "its lock was lost"))
}

pub(super) async fn store(
    write: &Write,
    sql: &Sql,
    id: SessionId,
    state: &State,
    authenticated: bool,
) -> Result<(), Error> {
    let made = state.rotation;
    let root = made.map(|made| made.root.cast_signed());
    let consumed_at = made.map(|made| row::from_db_time(made.consumed_at));
    let handed_at = made.map(|made| row::from_db_time(made.handed_at));
    let broken_at = state.broken_at.map(row::from_db_time);
    let parameters: [(&(dyn ToSql + Sync), Type); 10] = [
        (&id.as_uuid(), Type::UUID),
        (&state.current.cast_signed(), Type::INT8),
        (&root, Type::INT8),
        (&consumed_at, Type::TIMESTAMPTZ),
        (&handed_at, Type::TIMESTAMPTZ),
        (&made.is_none_or(|made| made.seen), Type::BOOL),
        (&state.at_floor.cast_signed(), Type::INT8),
        (&state.at_root.map(u64::cast_signed), Type::INT8),
        (&broken_at, Type::TIMESTAMPTZ),
        (&authenticated, Type::BOOL),
    ];
    write.query(&sql.write_tokens, &parameters).await.map(drop)
}
