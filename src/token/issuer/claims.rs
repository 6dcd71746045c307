//! What an issuer's token says, once its signature is good.

use std::{borrow::Cow, fmt};

use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use super::sealed::Foreign;
use crate::{
    session::{SessionId, UserId},
    token::{
        claims::{Members, audience, seconds, text, user_id},
        verify::MAX_AHEAD,
    },
};

/// The claims of a token of another [`Issuer`](crate::Issuer), verified, for the mapping to a user.
pub struct IssuerClaims<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    pub(super) all: &'a Map<String, Value>,
}

impl IssuerClaims<'_> {
    /// Who issued it: `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.issuer
    }

    /// Whom it is about, in the issuer's own ids: `sub`. Unique within the issuer alone.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.subject
    }

    /// Any claim by its name, as it stands in the token.
    #[must_use]
    pub fn get(&self, claim: &str) -> Option<&Value> {
        self.all.get(claim)
    }
}

/// Claims may be personal.
impl fmt::Debug for IssuerClaims<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerClaims").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// What access tokens and logout tokens have in common, judged but for `aud`.
pub(super) struct Common<'a> {
    pub(super) members: Members<'a>,
    pub(super) all: Map<String, Value>,
    pub(super) subject: Option<Cow<'a, str>>,
    pub(super) issued_at: Option<OffsetDateTime>,
    /// How long it is good from now on, leeway included; nothing left if it is not.
    pub(super) left: time::Duration,
}

/// A claim that has to be there, or why there is none: a fixed text, so that no part of a token can get into a log.
pub(super) fn required<'a, T>(
    members: &Members<'a>,
    name: &str,
    read: impl Fn(&'a serde_json::value::RawValue) -> Option<T>,
    otherwise: &'static str,
) -> Result<T, &'static str> {
    members.get(name).and_then(read).ok_or(otherwise)
}

/// A claim that may be missing but not malformed.
fn optional<'a, T>(
    members: &Members<'a>,
    name: &str,
    read: impl Fn(&'a serde_json::value::RawValue) -> Option<T>,
    otherwise: &'static str,
) -> Result<Option<T>, &'static str> {
    members.get(name).map(|raw| read(raw).ok_or(otherwise)).transpose()
}

impl<'a> Common<'a> {
    pub(super) fn read(payload: &'a str, foreign: &Foreign, now: OffsetDateTime) -> Result<Self, &'static str> {
        let members: Members<'a> =
            serde_json::from_str(payload).map_err(|_| "claims are no object or name one twice")?;
        // What cannot be parsed at all (nested too deep, a number out of range) is a bad token and not an error in a
        // handler.
        let all = serde_json::from_str(payload).map_err(|_| "claims cannot be read")?;
        if required(&members, "iss", text, "no usable `iss`")? != *foreign.issuer {
            return Err("another issuer");
        }
        let expires_at = required(&members, "exp", seconds, "no usable `exp`")?;
        let issued_at = optional(&members, "iat", seconds, "unusable `iat`")?;
        if optional(&members, "nbf", seconds, "unusable `nbf`")?.is_some_and(|from| from - now > foreign.leeway) {
            return Err("not valid yet");
        }
        if issued_at.is_some_and(|issued_at| expires_at <= issued_at) {
            return Err("expires before it is issued");
        }
        // As for our own: from further ahead than clocks of nodes differ, some clock is wrong, perhaps ours.
        let ahead = issued_at.is_some_and(|issued_at| issued_at - now > MAX_AHEAD);
        let left = if ahead { time::Duration::ZERO } else { expires_at - now + foreign.leeway };
        let subject = optional(&members, "sub", text, "unusable `sub`")?;
        if subject.as_ref().is_some_and(|subject| !(1..=UserId::MAX_LEN).contains(&subject.len())) {
            return Err("unusable `sub`");
        }
        Ok(Self { members, all, subject, issued_at, left })
    }

    /// RFC 7519 §4.1.3: one of ours must be it or among it.
    pub(super) fn is_for(&self, ours: &[String]) -> Result<(), &'static str> {
        let theirs = required(&self.members, "aud", audience, "no usable `aud`")?;
        if theirs.iter().any(|one| ours.iter().any(|ours| ours == one)) { Ok(()) } else { Err("another audience") }
    }

    /// Who that is in the application's ids.
    pub(super) fn user(&self, foreign: &Foreign) -> Result<UserId, &'static str> {
        let subject = self.subject.as_deref().ok_or("no `sub`")?;
        let user = match &foreign.user {
            Some(mapping) => mapping(&IssuerClaims { issuer: &foreign.issuer, subject, all: &self.all })
                .ok_or("a user that the application does not want")?,
            None => required(&self.members, "sub", user_id, "unusable `sub`")?,
        };
        let usable = (1..=UserId::MAX_LEN).contains(&user.as_str().len()) && !user.as_str().contains('\0');
        if usable { Ok(user) } else { Err("mapped to an unusable user id") }
    }

    /// The issuer's id of the session, as it stands there.
    pub(super) fn session(&self, claim: &str) -> Result<Option<Cow<'a, str>>, &'static str> {
        let sid = optional(&self.members, claim, text, "unusable session id")?;
        match &sid {
            Some(sid) if !(1..=MAX_SID).contains(&sid.len()) => Err("unusable session id"),
            _ => Ok(sid),
        }
    }
}

/// The longest session id of an issuer, in bytes. Those that are known have 22 to 44.
const MAX_SID: usize = 255;

/// Of ids that are no UUIDs. Chosen once; another one would turn every such session into another.
const NAMESPACE: Uuid = Uuid::from_u128(0xbeb4_4869_80a1_4ce3_b326_6700_b844_0a04);

/// A UUID is taken as it is. Anything else becomes one: version 5 of the issuer and the id, with a separator that neither
/// has (an issuer with control characters is refused in the settings), so that no two pairs run together.
pub(super) fn session_id(issuer: &str, sid: &str) -> SessionId {
    let id = Uuid::try_parse(sid)
        .unwrap_or_else(|_| Uuid::new_v5(&NAMESPACE, [issuer.as_bytes(), &[0x1f], sid.as_bytes()].concat().as_slice()));
    SessionId::from(id)
}
