//! What is to be told, in memory: as the triggers of the schema have it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future::ready,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;
use uuid::Uuid;

use super::MemoryStore;
use crate::{
    event::{Event, EventKind, PushTarget, Wants},
    session::{DeviceKey, EndReason, Ended, Session, SessionId, UserId},
    signals::Signal,
    store::{
        Retention, StoreFuture,
        outbox::{
            ALERTS_AN_HOUR, ALERTS_FOR, Alert, Claimed, DeadLetter, Disowned, How, Outbox, Purpose, Registration,
            Settled, UNDELIVERED_FOR,
        },
    },
};

/// Locked inside of the rows only.
#[derive(Debug, Default)]
pub(super) struct Told {
    sinks: BTreeMap<String, (Wants, OffsetDateTime)>,
    letters: BTreeMap<i64, Letter>,
    last: i64,
    targets: HashMap<SessionId, PushTarget>,
    alerts: HashMap<Uuid, Noted>,
    /// Of pending sessions.
    signals: HashMap<SessionId, Vec<Signal>>,
}

#[derive(Debug)]
struct Letter {
    sink: String,
    lane: Uuid,
    purpose: Purpose,
    notice_id: Uuid,
    event: Event,
    created_at: OffsetDateTime,
    attempts: u32,
    due_at: OffsetDateTime,
    dead: Option<(OffsetDateTime, String)>,
}

#[derive(Debug)]
struct Noted {
    alert: Alert,
    device_key: Option<DeviceKey>,
}

impl Told {
    /// A new row; not one that is taken over from another system.
    pub(super) fn created(&mut self, session: &Session, now: OffsetDateTime) {
        if !session.pending {
            self.tell(&event_of(EventKind::SessionCreated, session, now));
        }
    }

    pub(super) fn changed(&mut self, kind: EventKind, session: &Session, now: OffsetDateTime) {
        self.tell(&event_of(kind, session, now));
    }

    /// The one way in which a row ends.
    pub(super) fn end(&mut self, session: &mut Session, ended: Ended, now: OffsetDateTime) -> Ended {
        let reason = ended.reason.clone();
        let event = Event {
            reason: Some(reason.clone()),
            actor: ended.by.clone(),
            ..event_of(EventKind::SessionEnded, session, now)
        };
        session.ended = Some(ended.clone());
        self.signals.remove(&session.id);
        if !session.pending {
            if reason == EndReason::RefreshReuse {
                self.tell(&Event { id: Uuid::now_v7(), kind: EventKind::RefreshReuse, ..event.clone() });
            }
            self.tell(&event);
        }
        let by_itself = [EndReason::Logout, EndReason::Replaced, EndReason::Idle, EndReason::Absolute];
        if let Some(target) = self.targets.remove(&session.id).filter(|_| !by_itself.contains(&reason)) {
            self.push(session.id.as_uuid(), &Purpose::ForceLogout(target), &event);
        }
        Ended { of_pending: session.pending, ..ended }
    }

    /// What is told of a pending session when it is complete.
    pub(super) fn keep_for_later(&mut self, id: SessionId, tells: Vec<Signal>) {
        self.signals.insert(id, tells);
    }

    pub(super) fn kept(&self, id: SessionId) -> Vec<Signal> {
        self.signals.get(&id).cloned().unwrap_or_default()
    }

    /// A sign-in is complete.
    pub(super) fn signed_in(
        &mut self,
        session: &Session,
        tells: Vec<Signal>,
        live: impl Fn(&SessionId) -> bool,
        now: OffsetDateTime,
    ) {
        self.signals.remove(&session.id);
        let is_new = tells.contains(&Signal::NewDevice);
        let is_suspicious = tells.iter().any(|signal| *signal != Signal::NewDevice);
        let unusual = Event { signals: tells, ..event_of(EventKind::LoginNewDevice, session, now) };
        if is_new {
            self.tell(&unusual);
        }
        if is_suspicious {
            self.tell(&Event { id: Uuid::now_v7(), kind: EventKind::LoginSuspicious, ..unusual.clone() });
        }
        if !is_new || !self.is_worth_an_alert(session, &unusual, now) {
            return;
        }
        let alert = Uuid::now_v7();
        let noted = Alert { event: Event { id: alert, signals: Vec::new(), ..unusual.clone() }, disowned: false };
        self.alerts.insert(alert, Noted { alert: noted, device_key: session.device_key });
        let others = self.targets.iter().filter(|(id, _)| **id != session.id && live(id));
        let others: Vec<_> = others.map(|(_, target)| target.clone()).collect();
        for target in others {
            self.push(Uuid::now_v7(), &Purpose::NewLogin(target), &unusual);
        }
        self.push(Uuid::now_v7(), &Purpose::Mail { alert }, &unusual);
    }

    fn is_worth_an_alert(&self, session: &Session, event: &Event, now: OffsetDateTime) -> bool {
        let own = self.alerts.values().filter(|noted| noted.alert.event.user_id == session.user_id);
        let lately = |within: Duration| own.clone().filter(move |noted| noted.alert.event.at > now - within);
        let looks_the_same = |told: &Event| {
            (&told.device_name, &told.device_type, told.ip_address, &told.location)
                == (&event.device_name, &event.device_type, event.ip_address, &event.location)
        };
        let same = |noted: &Noted| {
            !noted.alert.disowned
                && noted.device_key == session.device_key
                && (session.device_key.is_some() || looks_the_same(&noted.alert.event))
        };
        let in_an_hour = lately(Duration::from_secs(60 * 60)).count();
        let anybody = self.sinks.values().any(|(wants, until)| *until > now && (wants.push.is_some() || wants.mail));
        anybody
            && i64::try_from(in_an_hour).is_ok_and(|told| told < ALERTS_AN_HOUR)
            && !lately(Duration::from_secs(24 * 60 * 60)).any(same)
    }

    /// Those who are registered for events of its kind.
    fn tell(&mut self, event: &Event) {
        self.push(event.session_id.as_uuid(), &Purpose::Event, event);
    }

    fn push(&mut self, lane: Uuid, purpose: &Purpose, event: &Event) {
        let wants = |wants: &Wants| match purpose {
            Purpose::Event => wants.events.contains(&event.kind),
            Purpose::ForceLogout(target) | Purpose::NewLogin(target) => wants.push.as_ref() == Some(&target.provider),
            Purpose::Mail { .. } => wants.mail,
        };
        let sinks = self.sinks.iter().filter(|(_, (wanted, until))| wants(wanted) && *until > event.at);
        for sink in sinks.map(|(name, _)| name) {
            self.last += 1;
            let letter = Letter {
                sink: sink.clone(),
                lane,
                purpose: purpose.clone(),
                notice_id: Uuid::now_v7(),
                event: event.clone(),
                created_at: event.at,
                attempts: 0,
                due_at: event.at,
                dead: None,
            };
            self.letters.insert(self.last, letter);
        }
    }

    fn claim(
        &mut self,
        wanted: &[(String, usize)],
        lease: Duration,
        is_of: impl Fn(&SessionId, &UserId) -> bool,
        now: OffsetDateTime,
    ) -> Vec<Claimed> {
        let mut claimed = Vec::new();
        // A device that has become somebody else's meanwhile must not hear of the sign-in.
        let targets = &self.targets;
        self.letters.retain(|_, letter| match &letter.purpose {
            Purpose::NewLogin(target) if letter.dead.is_none() && letter.due_at <= now => {
                !targets.iter().any(|(id, other)| other == target && !is_of(id, &letter.event.user_id))
            }
            _ => true,
        });
        for (sink, room) in wanted {
            let mut lanes = HashSet::new();
            let own = self.letters.iter_mut().filter(|(_, letter)| letter.sink == *sink && letter.dead.is_none());
            let first = own.filter(|(_, letter)| lanes.insert(letter.lane));
            for (seq, letter) in first.filter(|(_, letter)| letter.due_at <= now).take(*room) {
                letter.attempts += 1;
                letter.due_at = now + lease;
                claimed.push(Claimed {
                    seq: *seq,
                    sink: sink.clone(),
                    notice_id: letter.notice_id,
                    event: letter.event.clone(),
                    purpose: letter.purpose.clone(),
                    attempt: letter.attempts,
                });
            }
        }
        claimed
    }

    fn settle(&mut self, Settled { seq, attempt, how }: Settled, now: OffsetDateTime) {
        match how {
            How::Delivered => drop(self.letters.remove(&seq)),
            How::Gone(target) => {
                self.letters.remove(&seq);
                self.targets.retain(|_, other| *other != target);
            }
            How::Again { .. } | How::Released | How::Dead { .. } => {
                let Some(letter) = self.letters.get_mut(&seq).filter(|letter| letter.attempts == attempt) else {
                    return;
                };
                match how {
                    How::Again { after, .. } => letter.due_at = now + after,
                    How::Dead { why } => letter.dead = Some((now, why)),
                    _ => {
                        letter.attempts -= 1;
                        letter.due_at = now;
                    }
                }
            }
        }
    }

    pub(super) fn purge(&mut self, retention: Retention, now: OffsetDateTime) {
        self.sinks.retain(|_, (_, until)| *until > now);
        let waiting = retention.scrub_after.max(UNDELIVERED_FOR);
        self.letters.retain(|_, letter| {
            let kept = if letter.dead.is_some() { retention.scrub_after } else { waiting };
            letter.created_at >= now - kept
        });
        self.alerts.retain(|_, noted| noted.alert.event.at >= now - ALERTS_FOR);
    }
}

fn event_of(kind: EventKind, session: &Session, at: OffsetDateTime) -> Event {
    Event {
        id: Uuid::now_v7(),
        kind,
        at,
        user_id: session.user_id.clone(),
        session_id: session.id,
        device_name: session.device.name.clone(),
        device_type: session.device.kind,
        ip_address: session.ip_address,
        location: session.location.clone(),
        country_code: session.country_code.clone(),
        reason: None,
        actor: None,
        signals: Vec::new(),
    }
}

impl MemoryStore {
    pub(super) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_sign_in(&self, id: Uuid) -> Option<Disowned> {
        let now = self.clock.wall();
        let mut rows = self.rows();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = self.told();
        let noted = told.alerts.get_mut(&id).filter(|noted| !noted.alert.disowned)?;
        noted.alert.disowned = true;
        let (event, key) = (noted.alert.event.clone(), noted.device_key);
        let same = |row: &Session| row.id == event.session_id || key.is_some() && row.device_key == key;
        let live = rows.values_mut().filter(|row| row.ended.is_none() && row.user_id == event.user_id && same(row));
        let how = Ended::new(now, EndReason::RevokedByAlert, Some("the alert".to_owned()));
        let ended = live.map(|row| (row.id, told.end(row, how.clone(), now))).collect();
        if let Some(key) = key {
            known.forget_device(&event.user_id, key);
        }
        told.tell(&Event { kind: EventKind::LoginDisowned, at: now, ..event.clone() });
        Some(Disowned { user_id: event.user_id, session_id: event.session_id, ended })
    }

    fn reach(&self, id: SessionId, target: Option<PushTarget>) -> bool {
        let now = self.clock.wall();
        let rows = self.rows();
        let live = |row: &Session| row.ended.is_none() && !row.pending && row.absolute_expires_at > now;
        if !rows.get(&id).is_some_and(live) {
            return false;
        }
        let mut told = self.told();
        told.targets.retain(|session, other| *session != id && target.as_ref() != Some(other));
        told.targets.extend(target.map(|target| (id, target)));
        true
    }
}

impl Outbox for MemoryStore {
    fn register(&self, sinks: Vec<Registration>) -> StoreFuture<'_, ()> {
        let now = self.clock.wall();
        let mut told = self.told();
        for Registration { name, wants, lasts } in sinks {
            let until = told.sinks.get(&name).map_or(now + lasts, |(_, until)| (*until).max(now + lasts));
            told.sinks.insert(name, (wants, until));
        }
        Box::pin(ready(Ok(())))
    }

    fn unregister<'a>(&'a self, sink: &'a str) -> StoreFuture<'a, ()> {
        let mut told = self.told();
        told.sinks.remove(sink);
        told.letters.retain(|_, letter| letter.sink != sink || letter.dead.is_some());
        Box::pin(ready(Ok(())))
    }

    fn claim(&self, wanted: Vec<(String, usize)>, lease: Duration) -> StoreFuture<'_, Vec<Claimed>> {
        let (rows, now) = (self.rows(), self.clock.wall());
        let is_of = |id: &SessionId, user: &UserId| rows.get(id).is_some_and(|row| row.user_id == *user);
        Box::pin(ready(Ok(self.told().claim(&wanted, lease, is_of, now))))
    }

    fn settle(&self, settled: Vec<Settled>) -> StoreFuture<'_, ()> {
        let (mut told, now) = (self.told(), self.clock.wall());
        settled.into_iter().for_each(|one| told.settle(one, now));
        Box::pin(ready(Ok(())))
    }

    fn dead_letters(&self, after: Option<u64>, limit: usize) -> StoreFuture<'_, Vec<DeadLetter>> {
        let told = self.told();
        let dead = told.letters.iter().filter_map(|(seq, letter)| {
            let (failed_at, error) = letter.dead.clone()?;
            Some(DeadLetter {
                id: seq.unsigned_abs(),
                notifier: letter.sink.clone(),
                purpose: letter.purpose.as_str(),
                event: letter.event.clone(),
                attempts: letter.attempts,
                failed_at,
                error,
            })
        });
        let dead = dead.filter(|letter| after.is_none_or(|after| letter.id > after)).take(limit).collect();
        Box::pin(ready(Ok(dead)))
    }

    fn deliver_again(&self, ids: Vec<u64>) -> StoreFuture<'_, usize> {
        let (mut told, now) = (self.told(), self.clock.wall());
        let mut count = 0;
        for id in ids {
            let letter = i64::try_from(id).ok().and_then(|seq| told.letters.get_mut(&seq));
            if let Some(letter) = letter.filter(|letter| letter.dead.is_some()) {
                (letter.dead, letter.attempts) = (None, 0);
                (letter.due_at, letter.created_at) = (now, now);
                count += 1;
            }
        }
        Box::pin(ready(Ok(count)))
    }

    fn set_push_target(&self, id: SessionId, target: Option<PushTarget>) -> StoreFuture<'_, bool> {
        Box::pin(ready(Ok(self.reach(id, target))))
    }

    fn alert(&self, id: Uuid) -> StoreFuture<'_, Option<Alert>> {
        Box::pin(ready(Ok(self.told().alerts.get(&id).map(|noted| noted.alert.clone()))))
    }

    fn disown(&self, id: Uuid) -> StoreFuture<'_, Option<Disowned>> {
        Box::pin(ready(Ok(self.forget_sign_in(id))))
    }
}
