//! What becomes of a sign-in: decided under the lock of the user, by what is there already.

use std::sync::{Arc, OnceLock};

use super::{Inner, sign_in::OnSignals};
use crate::{
    error::{Error, ErrorKind},
    origin::Whence,
    place::Location,
    policy::{self, Counted, Deadlines, make_room},
    session::{DeviceKey, DeviceType, EndReason, Session, SessionId, UserId},
    signals::{Attempt, Past, Signal, signals},
    store::{Admission, Admit, End, Found, SOME},
    token::refresh,
};

/// What the application makes of the signals of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignInPolicy {
    /// The user is in, and nobody is told of anything unusual.
    Allow,
    /// The user is in, and it is told: in the log, as an event, and where the device is new to the user's other devices
    /// and by mail.
    Tell,
    /// The user is in when a second factor has been checked, and then it is told: the session is pending, see
    /// [`PendingSession`](crate::PendingSession).
    RequireSecondFactor,
    /// Nobody is in: [`ErrorKind::SignInRefused`].
    Refuse,
}

/// Somebody who wants in.
pub(super) struct Arriving {
    pub(super) inner: Arc<Inner>,
    pub(super) id: SessionId,
    pub(super) user: UserId,
    pub(super) kind: DeviceType,
    pub(super) key: Option<DeviceKey>,
    pub(super) whence: Whence,
    pub(super) location: Option<Location>,
    pub(super) failures: u32,
    /// Whatever the signals are.
    pub(super) second_factor: bool,
    /// `None` for one whose second factor has been checked: it was asked before.
    pub(super) policy: Option<OnSignals>,
    /// What came out of it besides.
    pub(super) signals: Arc<OnceLock<Vec<Signal>>>,
}

impl Arriving {
    pub(super) fn admit(self) -> Admit {
        let looks_at = match (&self.inner.settings.session_limit, &self.location) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(SOME),
            // There is nothing to compare with.
            (None, None) => Some(0),
        };
        Admit { looks_at, decide: Box::new(move |found| self.decide(found)) }
    }

    fn decide(mut self, found: &Found) -> Result<Admission, Error> {
        let id = self.id;
        let others = || found.live.iter().filter(move |session| session.id != id);
        let (mut ends, live) = self.without_run_out(others().filter(|session| !session.pending), found);
        let pending = others().filter(|session| session.pending);
        if let Some(tokens) = &found.tokens {
            if !found.live.iter().any(|session| session.id == self.id && session.pending) {
                return Err(Error::new(ErrorKind::InvalidToken, "completing a session that is not pending"));
            }
            ends.extend(self.make_room(&live, found)?);
            let tokens = refresh::rotate_by_server(tokens, found.now.into());
            return Ok(Admission::Full { ends, tokens, tells: found.signals.clone() });
        }
        let (asked, tells) = self.judge(&live, found);
        match asked {
            SignInPolicy::Refuse => Err(Error::new(ErrorKind::SignInRefused, "the application refused the sign-in")),
            SignInPolicy::RequireSecondFactor => {
                let lifetime = self.inner.pending_for();
                Ok(Admission::Pending { lifetime, ends: too_many(pending), tells })
            }
            SignInPolicy::Allow | SignInPolicy::Tell => {
                ends.extend(self.make_room(&live, found)?);
                Ok(Admission::Full { ends, tokens: None, tells })
            }
        }
    }

    /// The sessions that have not run out; and those that have and are not marked yet, which are no sessions any more, and
    /// must not come back.
    fn without_run_out<'a>(
        &self,
        live: impl Iterator<Item = &'a Session>,
        found: &Found,
    ) -> (Vec<End>, Vec<&'a Session>) {
        let (inner, now) = (&self.inner, self.inner.clock.tick());
        // Without a limit nothing is counted, and marking them is not a sign-in's business.
        let certain = inner.settings.session_limit.is_some() && !inner.idle_is_doubtful(now);
        let mut ends = Vec::new();
        let mut left = Vec::new();
        for session in live {
            let deadlines = Deadlines::of(session, found.now, now, inner.settings.lives);
            match policy::run_out(deadlines, inner.cache.last_seen(session.id), now, inner.settings.lives) {
                Some(EndReason::Idle) if certain => ends.push(End {
                    id: session.id,
                    reason: EndReason::Idle,
                    at: Some(policy::expires_at(session, inner.settings.lives).min(found.now)),
                }),
                // Not to be listed, nor to be counted, and over for good by its own row.
                Some(EndReason::Absolute) => {}
                _ => left.push(session),
            }
        }
        (ends, left)
    }

    /// What the application makes of what is unusual, and what of that others are told when the user is in.
    fn judge(&mut self, live: &[&Session], found: &Found) -> (SignInPolicy, Vec<Signal>) {
        let live: Vec<_> = live.iter().map(|session| (*session).clone()).collect();
        let past = Past {
            live: &live,
            has_devices: found.has_devices,
            device_is_known: found.device.is_some(),
            countries: &found.countries,
            last_seen_at: found.last_seen_at,
        };
        let attempt =
            Attempt { ip_address: self.whence.ip_address, location: self.location.as_ref(), failures: self.failures };
        let signals = signals(&past, &attempt, found.now);
        let default = if signals.is_empty() { SignInPolicy::Allow } else { SignInPolicy::Tell };
        let asked = self.policy.take().map_or(default, |policy| policy(&signals));
        if asked == SignInPolicy::Tell {
            let kinds: Vec<_> = signals.iter().map(Signal::kind).collect();
            tracing::info!(user = %self.user, session = %self.id, ?kinds, "an unusual sign-in");
        }
        let tells = if asked == SignInPolicy::Allow { Vec::new() } else { signals.clone() };
        let _first = self.signals.set(signals);
        match asked {
            SignInPolicy::Allow | SignInPolicy::Tell if self.second_factor => {
                (SignInPolicy::RequireSecondFactor, tells)
            }
            asked => (asked, tells),
        }
    }

    /// The device's earlier session goes in any case; others go where there are too many.
    fn make_room(&self, live: &[&Session], found: &Found) -> Result<Vec<End>, Error> {
        let end = |id, reason| End { id, reason, at: None };
        // Of the same device; or the one in the cookie that is overwritten, also where the browser is not known again.
        let same = |session: &Session| {
            self.key.is_some() && session.device_key == self.key || found.replaces == Some(session.id)
        };
        let replaced = live.iter().filter(|session| same(session));
        let mut ends: Vec<_> = replaced.map(|session| end(session.id, EndReason::Replaced)).collect();
        let Some((limit, on_limit)) = &self.inner.settings.session_limit else { return Ok(ends) };
        let Some((limit, kind)) = limit.of(&self.user, self.kind) else { return Ok(ends) };
        let now = self.inner.clock.tick();
        let counted = |session: &&&Session| !same(session) && kind.is_none_or(|kind| session.device.kind == kind);
        let there: Vec<&Session> = live.iter().filter(counted).copied().collect();
        let count = |session: &Session| {
            let seen = self.inner.cache.last_seen(session.id).map(|seen| found.now - now.since(seen));
            Counted {
                id: session.id,
                created_at: session.created_at,
                last_seen_at: seen.map_or(session.last_activity_at, |seen| seen.max(session.last_activity_at)),
            }
        };
        let Some(gone) = make_room(there.iter().copied().map(count).collect(), limit, *on_limit) else {
            let there = there.iter().map(|session| {
                let seen = self.inner.cache.last_seen(session.id);
                self.inner.up_to_date((*session).clone(), seen, now, found.now)
            });
            return Err(Error::session_limit(there.collect()));
        };
        ends.extend(gone.into_iter().map(|id| end(id, EndReason::Limit)));
        Ok(ends)
    }
}

/// The oldest of the pending ones, so that with the new one there are no more than [`PENDING_OF_A_USER`].
fn too_many<'a>(pending: impl Iterator<Item = &'a Session>) -> Vec<End> {
    let mut pending: Vec<_> = pending.collect();
    pending.sort_by_key(|session| (std::cmp::Reverse(session.created_at), session.id));
    let end = |session: &&Session| End { id: session.id, reason: EndReason::Limit, at: None };
    pending.iter().skip(PENDING_OF_A_USER - 1).map(end).collect()
}

/// Whoever has the password could fill the table.
const PENDING_OF_A_USER: usize = 5;
