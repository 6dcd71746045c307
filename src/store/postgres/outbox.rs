//! What is to be told. Claims are committed before anything is sent, so no connection waits for a receiver.

use std::{net::IpAddr, time::Duration};

use serde::Deserialize;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};
use uuid::Uuid;

use super::{
    PostgresStore,
    lend::{Lender, Write},
    outbox_sql::OutboxSql,
    row::{self, get},
    seconds,
    sql::Sql,
};
use crate::{
    error::{Error, ErrorKind},
    event::{Event, EventKind, PushTarget},
    session::{DeviceType, EndReason, Session, SessionId, UserId},
    signals::Signal,
    store::{
        Retention, StoreFuture,
        outbox::{
            ALERTS_AN_HOUR, ALERTS_FOR, Alert, Claimed, DeadLetter, Disowned, How, Outbox, Purpose, Registration,
            STREAM, Settled, UNDELIVERED_FOR,
        },
    },
};

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

pub(super) async fn register(lender: &Lender, sql: &OutboxSql, sinks: &[Registration]) -> Result<(), Error> {
    let write = lender.begin(REGISTERING).await?;
    for sink in sinks {
        let events: Vec<_> = sink.wants.events.iter().map(|kind| kind.as_str()).collect();
        let lasts = seconds(sink.lasts);
        let parameters: [Parameter<'_>; 5] = [
            (&sink.name, Type::TEXT),
            (&events, Type::TEXT_ARRAY),
            (&sink.wants.push, Type::TEXT),
            (&sink.wants.mail, Type::BOOL),
            (&lasts, Type::FLOAT8),
        ];
        write.query(&sql.register, &parameters).await?;
    }
    write.commit().await
}

pub(super) async fn unregister(lender: &Lender, sql: &OutboxSql, sink: &str) -> Result<(), Error> {
    let write = lender.begin(REGISTERING).await?;
    write.query(&sql.unregister, &[(&sink, Type::TEXT)]).await?;
    write.query(&sql.forget_sink, &[(&sink, Type::TEXT)]).await?;
    write.commit().await
}

pub(super) async fn claim(
    lender: &Lender,
    sql: &OutboxSql,
    wanted: &[(String, usize)],
    lease: Duration,
) -> Result<Vec<Claimed>, Error> {
    let (sinks, rooms): (Vec<_>, Vec<_>) =
        wanted.iter().map(|(sink, room)| (sink, i64::try_from(*room).unwrap_or(i64::MAX))).unzip();
    let known: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let lease = seconds(lease);
    // Forgotten in a crash of the server, a claim is made twice, which a receiver has to bear anyway.
    let write = lender.begin_lazily_durable(CLAIMING).await?;
    let parameters: [Parameter<'_>; 4] =
        [(&sinks, Type::TEXT_ARRAY), (&rooms, Type::INT8_ARRAY), (&lease, Type::FLOAT8), (&known, Type::TEXT_ARRAY)];
    let rows = write.query(&sql.claim, &parameters).await?;
    write.query(&sql.wait_behind, &parameters[..1]).await?;
    let mut claimed = Vec::with_capacity(rows.len());
    let (mut odd, mut unwanted) = (Vec::new(), Vec::new());
    for row in &rows {
        if get::<Option<bool>>(row, "is_somebody_elses")?.unwrap_or(false) {
            unwanted.push(get::<i64>(row, "seq")?);
            continue;
        }
        match one(row) {
            Ok(one) => claimed.push(one),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a row of the outbox cannot be read");
                odd.push(get::<i64>(row, "seq")?);
            }
        }
    }
    if !unwanted.is_empty() {
        write.query(&sql.delivered, &[(&unwanted, Type::INT8_ARRAY)]).await?;
    }
    if !odd.is_empty() {
        let why = vec!["the row cannot be read"; odd.len()];
        let attempts = vec![0_i32; odd.len()];
        bury(&write, sql, &odd, &attempts, &why).await?;
    }
    write.commit().await?;
    claimed.sort_by_key(|one| one.seq);
    Ok(claimed)
}

fn one(row: &Row) -> Result<Claimed, Error> {
    let odd = || Error::new(ErrorKind::Schema, "reading a row of the outbox");
    let target = || -> Result<PushTarget, Error> {
        let (provider, token) = (get::<Option<String>>(row, "provider")?, get::<Option<String>>(row, "token")?);
        Ok(PushTarget::new(provider.ok_or_else(odd)?, token.ok_or_else(odd)?))
    };
    let purpose = match get::<&str>(row, "purpose")? {
        "event" => Purpose::Event,
        "force_logout" => Purpose::ForceLogout(target()?),
        "new_login" => Purpose::NewLogin(target()?),
        "mail" => Purpose::Mail { alert: get::<Option<Uuid>>(row, "alert_id")?.ok_or_else(odd)? },
        _ => return Err(odd()),
    };
    Ok(Claimed {
        seq: get(row, "seq")?,
        sink: get(row, "sink")?,
        notice_id: get(row, "notice_id")?,
        event: event(row)?,
        purpose,
        attempt: get::<i32>(row, "attempts")?.unsigned_abs(),
    })
}

fn event(row: &Row) -> Result<Event, Error> {
    let odd = |cause: &'static str| Error::because(ErrorKind::Schema, "reading an event", cause);
    let kind = get::<&str>(row, "kind")?.parse().map_err(|_| odd("its kind is not known"))?;
    let details: serde_json::Value = get(row, "details")?;
    let details: Details = serde_json::from_value(details).map_err(|_| odd("its details cannot be read"))?;
    Ok(Event {
        id: get(row, "event_id")?,
        kind,
        at: get(row, "at")?,
        user_id: UserId::from(get::<&str>(row, "user_id")?),
        session_id: SessionId::from(get::<Uuid>(row, "session_id")?),
        device_name: details.device_name,
        device_type: DeviceType::from(details.device_type.as_str()),
        ip_address: details.ip_address,
        location: details.location,
        country_code: details.country_code,
        reason: details.reason.as_deref().map(EndReason::from),
        actor: details.actor,
        // One at a time: a kind that only newer nodes know spoils nothing else.
        signals: details.signals.into_iter().filter_map(|one| serde_json::from_value(one).ok()).collect(),
    })
}

/// `details_of` in the schema, and what is told besides.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Details {
    device_name: String,
    device_type: String,
    ip_address: Option<IpAddr>,
    location: Option<String>,
    country_code: Option<String>,
    reason: Option<String>,
    actor: Option<String>,
    signals: Vec<serde_json::Value>,
}

pub(super) async fn settle(lender: &Lender, sql: &OutboxSql, settled: Vec<Settled>) -> Result<(), Error> {
    let mut done = Vec::new();
    let (mut again, mut attempts, mut pauses, mut whys) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut dead, mut dead_attempts, mut dead_whys) = (Vec::new(), Vec::new(), Vec::new());
    let mut released = Vec::new();
    let (mut providers, mut tokens) = (Vec::new(), Vec::new());
    for Settled { seq, attempt, how } in settled {
        let attempt = i32::try_from(attempt).unwrap_or(i32::MAX);
        match how {
            How::Delivered => done.push(seq),
            How::Gone(target) => {
                done.push(seq);
                providers.push(target.provider);
                tokens.push(target.token);
            }
            How::Again { after, why } => {
                again.push(seq);
                attempts.push(attempt);
                pauses.push(seconds(after));
                whys.push(why);
            }
            How::Released => released.push((seq, attempt)),
            How::Dead { why } => {
                dead.push(seq);
                dead_attempts.push(attempt);
                dead_whys.push(why);
            }
        }
    }
    // As for claims: what a crash of the server forgets is delivered once more.
    let write = lender.begin_lazily_durable(SETTLING).await?;
    if !done.is_empty() {
        write.query(&sql.delivered, &[(&done, Type::INT8_ARRAY)]).await?;
    }
    if !again.is_empty() {
        let parameters: [Parameter<'_>; 4] = [
            (&again, Type::INT8_ARRAY),
            (&attempts, Type::INT4_ARRAY),
            (&pauses, Type::FLOAT8_ARRAY),
            (&whys, Type::TEXT_ARRAY),
        ];
        write.query(&sql.again, &parameters).await?;
        write.query(&sql.wait_for_the_first, &[(&again, Type::INT8_ARRAY)]).await?;
    }
    if !released.is_empty() {
        let (seqs, attempts): (Vec<_>, Vec<_>) = released.into_iter().unzip();
        write.query(&sql.release, &[(&seqs, Type::INT8_ARRAY), (&attempts, Type::INT4_ARRAY)]).await?;
    }
    if !dead.is_empty() {
        let whys: Vec<_> = dead_whys.iter().map(String::as_str).collect();
        bury(&write, sql, &dead, &dead_attempts, &whys).await?;
    }
    if !providers.is_empty() {
        write.query(&sql.forget_targets, &[(&providers, Type::TEXT_ARRAY), (&tokens, Type::TEXT_ARRAY)]).await?;
    }
    write.commit().await
}

/// An attempt of zero stands for whichever it was.
async fn bury(write: &Write, sql: &OutboxSql, seqs: &[i64], attempts: &[i32], whys: &[&str]) -> Result<(), Error> {
    let parameters: [Parameter<'_>; 3] =
        [(&seqs, Type::INT8_ARRAY), (&attempts, Type::INT4_ARRAY), (&whys, Type::TEXT_ARRAY)];
    write.query(&sql.bury, &parameters).await.map(drop)
}

pub(super) async fn dead_letters(
    lender: &Lender,
    sql: &OutboxSql,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<DeadLetter>, Error> {
    let mut after = after.map_or(-1, |after| i64::try_from(after).unwrap_or(i64::MAX));
    let at_most = i64::try_from(limit).unwrap_or(i64::MAX);
    let client = lender.borrow(LOOKING).await?;
    loop {
        let rows = client.query(LOOKING, &sql.dead_letters, &[(&after, Type::INT8), (&at_most, Type::INT8)]).await?;
        // One that cannot be read has been logged, or is a newer version's.
        let letters: Vec<_> = rows.iter().filter_map(|row| dead_letter(row).ok()).collect();
        match rows.last() {
            // Nothing but those: it must not look like the end.
            Some(last) if letters.is_empty() && rows.len() == limit => after = get(last, "seq")?,
            _ => {
                client.give_back();
                return Ok(letters);
            }
        }
    }
}

fn dead_letter(row: &Row) -> Result<DeadLetter, Error> {
    let Claimed { seq, sink, event, purpose, attempt, .. } = one(row)?;
    Ok(DeadLetter {
        id: seq.unsigned_abs(),
        notifier: sink,
        purpose: purpose.as_str(),
        event,
        attempts: attempt,
        failed_at: get(row, "dead_at")?,
        error: get::<Option<String>>(row, "last_error")?.unwrap_or_default(),
    })
}

pub(super) async fn deliver_again(lender: &Lender, sql: &OutboxSql, ids: &[u64]) -> Result<usize, Error> {
    let ids: Vec<_> = ids.iter().filter_map(|id| i64::try_from(*id).ok()).collect();
    let write = lender.begin(SETTLING).await?;
    let revived = write.query(&sql.deliver_again, &[(&ids, Type::INT8_ARRAY)]).await?.len();
    write.commit().await?;
    Ok(revived)
}

pub(super) async fn set_push_target(
    lender: &Lender,
    sql: &OutboxSql,
    id: SessionId,
    target: Option<PushTarget>,
) -> Result<bool, Error> {
    let write = lender.begin("setting a push target").await?;
    let uuid = id.as_uuid();
    // An end takes this lock too: a target is never left behind by one that ends meanwhile.
    let is_live = !write.query(&sql.lock_live, &[(&uuid, Type::UUID)]).await?.is_empty();
    if is_live {
        let (provider, token) = target.map(|target| (target.provider, target.token)).unzip();
        if provider.is_some() {
            write.query(&sql.lock_target, &[(&provider, Type::TEXT), (&token, Type::TEXT)]).await?;
        }
        let parameters: [Parameter<'_>; 3] = [(&uuid, Type::UUID), (&provider, Type::TEXT), (&token, Type::TEXT)];
        write.query(&sql.forget_target, &parameters).await?;
        if provider.is_some() {
            write.query(&sql.set_target, &parameters).await?;
        }
    }
    write.commit().await?;
    Ok(is_live)
}

/// What was unusual about a sign-in that is complete: the events, and those who are to know.
pub(super) async fn tell_sign_in(
    write: &Write,
    sql: &OutboxSql,
    session: &Session,
    tells: &[Signal],
) -> Result<(), Error> {
    let unusual = |cause| Error::because(ErrorKind::InvalidInput, "telling what is unusual", cause);
    let signals = serde_json::json!({ "signals": serde_json::to_value(tells).map_err(unusual)? });
    let id = session.id.as_uuid();
    let is_new = tells.contains(&Signal::NewDevice);
    let is_suspicious = tells.iter().any(|signal| *signal != Signal::NewDevice);
    // Of one event, whoever is told of it.
    let (new, suspicious) = (Uuid::now_v7(), Uuid::now_v7());
    let kinds = [(EventKind::LoginNewDevice, new, is_new), (EventKind::LoginSuspicious, suspicious, is_suspicious)];
    for (kind, event, _) in kinds.into_iter().filter(|(.., is_told)| *is_told) {
        let kind = kind.as_str();
        let parameters: [Parameter<'_>; 4] =
            [(&id, Type::UUID), (&kind, Type::TEXT), (&signals, Type::JSONB), (&event, Type::UUID)];
        write.query(&sql.tell, &parameters).await?;
    }
    if is_new {
        let alert = Uuid::now_v7();
        let parameters: [Parameter<'_>; 5] = [
            (&id, Type::UUID),
            (&signals, Type::JSONB),
            (&new, Type::UUID),
            (&alert, Type::UUID),
            (&ALERTS_AN_HOUR, Type::INT8),
        ];
        write.query(&sql.alert, &parameters).await?;
    }
    Ok(())
}

pub(super) async fn look_at_alert(lender: &Lender, sql: &OutboxSql, id: Uuid) -> Result<Option<Alert>, Error> {
    let client = lender.borrow(LOOKING).await?;
    let rows = client.query(LOOKING, &sql.look_at_alert, &[(&id, Type::UUID)]).await?;
    client.give_back();
    let alert = |row| Ok(Alert { event: event(row)?, disowned: get(row, "disowned")? });
    rows.first().map(alert).transpose()
}

pub(super) async fn disown(lender: &Lender, sql: &Sql, id: Uuid) -> Result<Option<Disowned>, Error> {
    let (lock_user, sql) = (&sql.lock_user, &sql.outbox);
    let write = lender.begin("disowning a sign-in").await?;
    // Not along with the statement that spends the link: by itself, without the end that it is for, that could not be asked for again.
    write.batch("SELECT 1").await?;
    let rows = write.query(&sql.disown, &[(&id, Type::UUID)]).await?;
    let Some(alert) = rows.first() else {
        write.commit().await?;
        return Ok(None);
    };
    let session_id: Uuid = get(alert, "session_id")?;
    let user_id: String = get(alert, "user_id")?;
    // What signs in on this device meanwhile either ends too, or comes after it and finds it unknown.
    write.query(lock_user, &[(&user_id, Type::TEXT)]).await?;
    let parameters: [Parameter<'_>; 3] = [(&session_id, Type::UUID), (&user_id, Type::TEXT), (&id, Type::UUID)];
    let ended = row::ended_ids(&write.query(&sql.end_disowned, &parameters).await?)?;
    write.query(&sql.forget_device, &[(&id, Type::UUID)]).await?;
    let kind = EventKind::LoginDisowned.as_str();
    write.query(&sql.tell_disowned, &[(&id, Type::UUID), (&kind, Type::TEXT)]).await?;
    write.commit().await?;
    let (user_id, session_id) = (UserId::from(user_id), SessionId::from(session_id));
    Ok(Some(Disowned { user_id, session_id, ended }))
}

/// A batch of what is old, whoever was to be told of it. Says how many rows went.
pub(super) async fn purge(write: &Write, sql: &OutboxSql, retention: Retention, batch: i64) -> Result<usize, Error> {
    for gone in write.query(&sql.forget_sinks, &[]).await? {
        // A process that read events for itself is not there to read them any more.
        let name = get::<&str>(&gone, "name")?;
        if name.starts_with(STREAM) {
            write.query(&sql.forget_sink, &[(&name, Type::TEXT)]).await?;
        }
    }
    let dead = seconds(retention.scrub_after);
    let (waiting, alerts) = (dead.max(seconds(UNDELIVERED_FOR)), seconds(ALERTS_FOR));
    let mut most = 0;
    for (sql, older) in [(&sql.forget_letters, waiting), (&sql.forget_dead_letters, dead), (&sql.forget_alerts, alerts)]
    {
        most = most.max(write.query(sql, &[(&older, Type::FLOAT8), (&batch, Type::INT8)]).await?.len());
    }
    Ok(most)
}

impl Outbox for PostgresStore {
    fn register(&self, sinks: Vec<Registration>) -> StoreFuture<'_, ()> {
        Box::pin(async move { register(&self.lender, &self.sql.outbox, &sinks).await })
    }

    fn unregister<'a>(&'a self, sink: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(unregister(&self.lender, &self.sql.outbox, sink))
    }

    fn claim(&self, wanted: Vec<(String, usize)>, lease: Duration) -> StoreFuture<'_, Vec<Claimed>> {
        Box::pin(async move { claim(&self.lender, &self.sql.outbox, &wanted, lease).await })
    }

    fn settle(&self, settled: Vec<Settled>) -> StoreFuture<'_, ()> {
        Box::pin(settle(&self.lender, &self.sql.outbox, settled))
    }

    fn dead_letters(&self, after: Option<u64>, limit: usize) -> StoreFuture<'_, Vec<DeadLetter>> {
        Box::pin(dead_letters(&self.lender, &self.sql.outbox, after, limit))
    }

    fn deliver_again(&self, ids: Vec<u64>) -> StoreFuture<'_, usize> {
        Box::pin(async move { deliver_again(&self.lender, &self.sql.outbox, &ids).await })
    }

    fn set_push_target(&self, id: SessionId, target: Option<PushTarget>) -> StoreFuture<'_, bool> {
        Box::pin(set_push_target(&self.lender, &self.sql.outbox, id, target))
    }

    fn alert(&self, id: Uuid) -> StoreFuture<'_, Option<Alert>> {
        Box::pin(look_at_alert(&self.lender, &self.sql.outbox, id))
    }

    fn disown(&self, id: Uuid) -> StoreFuture<'_, Option<Disowned>> {
        Box::pin(disown(&self.lender, &self.sql, id))
    }
}

const REGISTERING: &str = "registering who is to be told";
const CLAIMING: &str = "claiming what is to be told";
const SETTLING: &str = "noting what has been told";
const LOOKING: &str = "looking at what is to be told";
