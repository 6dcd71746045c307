//! OpenID Connect Back-Channel Logout 1.0: an issuer says that a session of its own, or everything of a user, has ended.
//! What the token must be, and that it counts once. Receiving it and ending sessions is for the caller.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;

use super::{
    claims::{Common, required, session_id},
    open::Opened,
    sealed::Foreign,
    verify::{Issuers, Outcome},
};
use crate::{
    session::{SessionId, UserId},
    token::{
        claims::{Members, text},
        verify::short_type,
    },
};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The longest `jti`, in bytes.
const MAX_JTI: usize = 255;

/// So many logouts are remembered. Only tokens with an issuer's signature get in.
const MAX_SEEN: usize = 10_000;

/// A logout that an issuer asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Logout {
    pub(crate) issuer: Arc<str>,
    pub(crate) target: LogoutTarget,
    /// Nothing that began later is meant: a replay must not end what was signed in since.
    pub(crate) issued_at: OffsetDateTime,
    /// The issuer's sessions are registered here, so they are told apart by their issuer.
    pub(crate) adopt_for: Option<Duration>,
    jti: Box<str>,
    /// Until when it would be good.
    until: OffsetDateTime,
}

/// What is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogoutTarget {
    /// One session, by `sid`; and whose it is, where that can be told.
    Session { session_id: SessionId, user_id: Option<UserId> },
    /// All of a user's that are of this issuer: a token with `sub` alone (§2.6).
    User(UserId),
}

/// What a logout token comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LogoutOutcome {
    /// End that, then tell [`Issuers::logged_out`].
    End(Logout),
    /// That has been done: the issuer did not get our answer, or somebody else repeats it. Nothing to do; answer 200.
    Repeated,
    /// Not a logout token of that issuer for us: answer 400. Why is for the log.
    Refused(&'static str),
}

impl Issuers {
    /// What a `logout_token` asks for. `None`: it is not even said to be of one of these issuers.
    pub(crate) fn verify_logout(&self, token: &str, now: OffsetDateTime) -> Option<Outcome<LogoutOutcome>> {
        let (_, foreign, unverified) = self.claimed(token)?;
        Some(match unverified.open(foreign, is_logout_type) {
            Ok(Opened::By(_)) => Outcome::Done(match foreign.judge_logout(&unverified.payload, now) {
                Ok(logout) if self.seen_logouts.contains(&logout, now) => LogoutOutcome::Repeated,
                Ok(logout) => LogoutOutcome::End(logout),
                Err(why) => LogoutOutcome::Refused(why),
            }),
            Ok(Opened::NeedsKeys(pending)) => Outcome::NeedsKeys(pending),
            Err(why) => Outcome::Done(LogoutOutcome::Refused(why)),
        })
    }

    /// To be called when the sessions have ended, and not before: an issuer that was answered "could not" comes again with
    /// the same token, and that one must still count.
    pub(crate) fn logged_out(&self, logout: Logout, now: OffsetDateTime) {
        self.seen_logouts.remember(logout, now);
    }
}

/// §2.4 recommends `logout+jwt` and does not demand it: Keycloak wrote `JWT` before version 25, others write nothing. What
/// keeps other tokens out is `events` and the absence of `nonce` (§4.1). Any other type is refused.
fn is_logout_type(typ: Option<&str>) -> bool {
    typ.map(short_type).is_none_or(|typ| typ.eq_ignore_ascii_case("logout+jwt") || typ.eq_ignore_ascii_case("jwt"))
}

impl Foreign {
    /// §2.6, whose signature is good already. `exp` is required since errata set 1 of December 2023; issuers that still leave
    /// it out (Ory Hydra 2.2, Keycloak of before that month) are refused: their tokens could be repeated for ever.
    fn judge_logout(&self, payload: &str, now: OffsetDateTime) -> Result<Logout, &'static str> {
        let claims = Common::read(payload, self, now)?;
        claims.is_for(&self.logout_audiences)?;
        let issued_at = claims.issued_at.ok_or("no `iat`")?;
        if !claims.left.is_positive() {
            return Err("expired");
        }
        required(&claims.members, "events", is_logout_event, "not the event of a logout")?;
        // An ID token has one: it must not pass for a logout.
        if claims.members.get("nonce").is_some() {
            return Err("has a `nonce`");
        }
        let jti = required(&claims.members, "jti", text, "no usable `jti`")?;
        if !(1..=MAX_JTI).contains(&jti.len()) {
            return Err("no usable `jti`");
        }
        let target = match claims.session("sid")? {
            // A mapping may need more than a logout token has: the session is named all the same.
            Some(sid) => {
                LogoutTarget::Session { session_id: session_id(&self.issuer, &sid), user_id: claims.user(self).ok() }
            }
            None => LogoutTarget::User(claims.user(self)?),
        };
        Ok(Logout {
            issuer: Arc::clone(&self.issuer),
            target,
            issued_at,
            adopt_for: self.longest_session,
            jti: jti.as_ref().into(),
            until: now.saturating_add(claims.left),
        })
    }
}

/// An object with the event, which is an object too; usually an empty one.
fn is_logout_event(events: &serde_json::value::RawValue) -> Option<()> {
    let events: Members<'_> = serde_json::from_str(events.get()).ok()?;
    serde_json::from_str::<Members<'_>>(events.get(EVENT)?.get()).ok().map(drop)
}

/// The logouts that were carried out and whose tokens would still be good, by issuer and `jti`.
///
/// On this node only. That another node may carry one out again does no harm: a session ends once, and of a user only ends
/// what began before the token was made.
#[derive(Default)]
pub(super) struct SeenLogouts(Mutex<Seen>);

/// Until when a token would be good, by its issuer and `jti`.
type Seen = HashMap<(Arc<str>, Box<str>), OffsetDateTime>;

impl SeenLogouts {
    fn contains(&self, logout: &Logout, now: OffsetDateTime) -> bool {
        let key = (Arc::clone(&logout.issuer), logout.jti.clone());
        self.seen().get(&key).is_some_and(|until| *until > now)
    }

    fn remember(&self, logout: Logout, now: OffsetDateTime) {
        let Logout { issuer, jti, until, .. } = logout;
        let mut seen = self.seen();
        if seen.len() >= MAX_SEEN {
            seen.retain(|_, until| *until > now);
        }
        // Still full: nothing may be refused for that, so the one goes that could be repeated the least long.
        if seen.len() >= MAX_SEEN {
            let nearest = seen.iter().min_by_key(|(_, until)| **until).map(|(key, _)| key.clone());
            nearest.map(|key| seen.remove(&key));
        }
        seen.insert((issuer, jti), until);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.seen().len()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SeenLogouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeenLogouts").finish_non_exhaustive()
    }
}
