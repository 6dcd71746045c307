//! From a token to the session that it names: signature and claims, once a token. No database.

use std::{
    fmt,
    num::NonZeroU64,
    ops::Deref,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

#[cfg(feature = "jwks")]
use super::foreign::Foreign;
use super::{
    Inner, Refusal, Refused, Sessions,
    keys::{InForce, KeySet},
};
#[cfg(feature = "jwks")]
use crate::token::issuer::PendingKeys;
use crate::{
    cache::{Digest, State},
    clock::Tick,
    session::{SessionId, UserId},
    token::{TokenUse, VerifiedToken},
};

/// A token that verified, and the state of the session that it names.
pub(crate) struct KnownToken {
    pub(crate) user_id: UserId,
    pub(super) usage: TokenUse,
    /// The refresh generation that it belongs to, if it has one.
    generation: Option<NonZeroU64>,
    /// The second factor of its session was still to come when it was made.
    pub(super) pending: bool,
    used: AtomicBool,
    /// From here on it has expired, leeway included: worked out from `exp` when it was verified, so that a step of the
    /// wall clock neither revives it nor kills it.
    pub(super) expires: Tick,
    /// From here on a cookie is to be made anew; in seconds, rounded down.
    renew_at: u32,
    /// The whole payload as JSON, where it holds more than this crate's own claims.
    pub(crate) claims: Option<Payload>,
    pub(crate) state: Arc<State>,
    /// Whether those that verified it hold; none behind a made-up session.
    pub(super) keys: Option<Arc<InForce>>,
    #[cfg(feature = "jwks")]
    pub(super) foreign: Option<Box<Foreign>>,
    /// Whose it is: a request may pass the layers of several `Sessions`.
    pub(crate) home: Weak<Inner>,
}

const A_SECOND: u64 = 1_000_000_000;
/// In 136 years.
const NEVER: u32 = u32::MAX;

/// Text of which few tokens have any: one word here, and the rest behind it.
pub(crate) struct Payload(Box<Box<str>>);

impl Deref for Payload {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl KnownToken {
    #[cfg(any(test, feature = "test-util"))]
    pub(super) fn fake(user_id: UserId, state: Arc<State>) -> Self {
        Self {
            user_id,
            usage: TokenUse::Access,
            generation: None,
            pending: false,
            used: AtomicBool::new(false),
            expires: Tick::from_nanos(u64::MAX),
            renew_at: NEVER,
            claims: None,
            state,
            keys: None,
            #[cfg(feature = "jwks")]
            foreign: None,
            home: Weak::new(),
        }
    }

    pub(super) fn generation(&self) -> Option<u64> {
        self.generation.map(NonZeroU64::get)
    }

    /// `true` the first time.
    pub(super) fn is_first_use(&self) -> bool {
        !self.used.load(Ordering::Relaxed) && !self.used.swap(true, Ordering::Relaxed)
    }

    /// Whether it is good for this use, by what was found when it was verified: until it expires, or its key is taken away.
    fn holds(&self, usage: TokenUse) -> bool {
        self.usage == usage && self.keys.as_ref().is_none_or(|keys| keys.still())
    }

    /// Whether it has not expired.
    pub(super) fn is_current(&self, now: Tick) -> bool {
        now < self.expires
    }

    /// Whether it is a cookie that is to be made anew.
    pub(super) fn is_old(&self, now: Tick) -> bool {
        u64::from(self.renew_at) * A_SECOND <= now.as_nanos()
    }

    pub(crate) fn named(&self) -> (SessionId, UserId) {
        (self.state.id(), self.user_id.clone())
    }
}

/// Claims are the application's, and may be personal.
impl fmt::Debug for KnownToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownToken")
            .field("session", &self.state.id())
            .field("user", &self.user_id)
            .field("usage", &self.usage)
            .finish_non_exhaustive()
    }
}

/// A token that names a session.
pub(super) struct Identified {
    pub(super) known: Arc<KnownToken>,
    /// Where it is not remembered yet.
    new: Option<Digest>,
}

/// Why a token does not (yet) name a session.
#[derive(Debug)]
pub(crate) enum Unidentified {
    Refused(Refused),
    #[cfg(feature = "jwks")]
    NeedsKeys(PendingKeys),
}

impl Sessions {
    /// The session that a token names, if that can be said at once: whether or not the token has expired.
    pub(crate) fn named_by_token(&self, token: &[u8], usage: TokenUse) -> Option<SessionId> {
        match self.identify(token, usage, self.tick()) {
            Ok(known) => Some(known.state.id()),
            Err(Unidentified::Refused(refused)) => refused.named.map(|named| named.0),
            #[cfg(feature = "jwks")]
            Err(Unidentified::NeedsKeys(_)) => None,
        }
    }

    /// The session that a token names, if its signature and its claims are right. No database, no session check.
    pub(super) fn identify(&self, token: &[u8], usage: TokenUse, now: Tick) -> Result<Arc<KnownToken>, Unidentified> {
        let identified = self.recognise(token, usage, now)?;
        self.remember(&identified);
        Ok(identified.known)
    }

    /// As [`Self::identify`]; what is new is for the caller to remember, or to put in front: in both places it would take twice
    /// the room and the time.
    pub(super) fn recognise(&self, token: &[u8], usage: TokenUse, now: Tick) -> Result<Identified, Unidentified> {
        let identified = match self.0.front.find(token, |live| self.still_holds(live.token(), usage)) {
            Some(live) => Identified { known: Arc::clone(live.token()), new: None },
            None => {
                let digest = self.0.tokens.digest(token);
                match self.0.tokens.get(digest) {
                    Some(known) if self.still_holds(&known, usage) => Identified { known, new: None },
                    _ => {
                        let known = self.verify(&self.0.key_set.load(), token, usage, now)?;
                        Identified { known, new: Some(digest) }
                    }
                }
            }
        };
        let known = &identified.known;
        if !known.is_current(now) {
            let named = (!known.pending).then(|| Box::new(known.named()));
            return Err(Unidentified::Refused(Refused { why: Refusal::TokenExpired, named }));
        }
        Ok(identified)
    }

    pub(super) fn remember(&self, Identified { known, new }: &Identified) {
        if let Some(digest) = new {
            self.0.tokens.insert(*digest, Arc::clone(known));
        }
    }

    /// Whether a token that was verified before need not be verified again for this use.
    pub(super) fn still_holds(&self, known: &KnownToken, usage: TokenUse) -> bool {
        known.holds(usage) && self.issuer_still_holds(known)
    }

    /// It knows the keys that verified it: these may be replaced just now.
    pub(super) fn verify(
        &self,
        set: &KeySet,
        token: &[u8],
        usage: TokenUse,
        now: Tick,
    ) -> Result<Arc<KnownToken>, Unidentified> {
        // Whatever is no text is no token.
        let token = std::str::from_utf8(token).unwrap_or_default();
        #[cfg(feature = "jwks")]
        if usage == TokenUse::Access
            && let Some(foreign) = self.verify_foreign(set, token, now)
        {
            return foreign;
        }
        match set.keys.verify(token, usage, self.0.clock.wall()) {
            Ok(verified) => Ok(self.known(
                set,
                usage,
                verified,
                #[cfg(feature = "jwks")]
                None,
                now,
            )),
            Err(refusal) => Err(Unidentified::Refused(refusal.into())),
        }
    }

    pub(super) fn known(
        &self,
        set: &KeySet,
        usage: TokenUse,
        VerifiedToken { session_id, user_id, generation, age, expires_in, pending, of_another_key, claims }: VerifiedToken,
        #[cfg(feature = "jwks")] foreign: Option<Foreign>,
        now: Tick,
    ) -> Arc<KnownToken> {
        let renew_at = match usage {
            TokenUse::Cookie if set.keys.can_sign() => {
                // At once, so that a key which is on its way out is needed for `idle_timeout` and no longer.
                let young = if of_another_key { Duration::ZERO } else { self.0.settings.access_token_ttl };
                let at = now.after(young.saturating_sub(age));
                u32::try_from(at.as_nanos() / A_SECOND).unwrap_or(NEVER)
            }
            TokenUse::Cookie | TokenUse::Access | TokenUse::Pending => NEVER,
        };
        Arc::new(KnownToken {
            user_id,
            usage,
            // Counted from one.
            generation: generation.map(|generation| NonZeroU64::new(generation).unwrap_or(NonZeroU64::MIN)),
            pending,
            used: AtomicBool::new(false),
            expires: now.after(expires_in),
            renew_at,
            claims: claims.map(|claims| Payload(Box::new(claims))),
            state: self.0.cache.state(session_id),
            keys: Some(Arc::clone(set.in_force())),
            #[cfg(feature = "jwks")]
            foreign: foreign.map(Box::new),
            home: Arc::downgrade(&self.0),
        })
    }

    #[cfg(not(feature = "jwks"))]
    #[expect(clippy::unused_self, reason = "with `jwks`, keys may be taken back")]
    const fn issuer_still_holds(&self, _known: &KnownToken) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node keeps one for each active session: with two counts, and what the allocator adds, 96 bytes (112 with `jwks`).
    #[test]
    fn what_is_kept_of_a_token_takes_little_room() {
        let foreign = if cfg!(feature = "jwks") { size_of::<usize>() } else { 0 };
        assert!(size_of::<KnownToken>() <= 72 + foreign, "{}", size_of::<KnownToken>());
    }
}
