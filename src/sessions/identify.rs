//! From a token to the session that it names: signature and claims, once a token. No database.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

#[cfg(feature = "jwks")]
use super::foreign::Foreign;
use super::{Inner, Refusal, Refused, Sessions, keys::KeySet};
#[cfg(feature = "jwks")]
use crate::token::issuer::PendingKeys;
use crate::{
    cache::State,
    clock::Tick,
    session::{SessionId, UserId},
    token::{TokenUse, VerifiedToken},
};

/// A token that verified, and the state of the session that it names.
pub(crate) struct KnownToken {
    pub(crate) user_id: UserId,
    pub(super) usage: TokenUse,
    /// The refresh generation that it belongs to, if it has one.
    pub(super) generation: Option<u64>,
    /// The second factor of its session was still to come when it was made.
    pub(super) pending: bool,
    used: AtomicBool,
    /// From here on it has expired, leeway included: worked out from `exp` when it was verified, so that a step of the
    /// wall clock neither revives it nor kills it.
    expires: Tick,
    /// From here on a cookie is to be made anew.
    renew_at: Tick,
    /// The whole payload as JSON, where it holds more than this crate's own claims.
    pub(crate) claims: Option<Box<str>>,
    pub(crate) state: Arc<State>,
    #[cfg(feature = "jwks")]
    pub(super) foreign: Option<Foreign>,
    /// Whose it is: a request may pass the layers of several `Sessions`.
    pub(crate) home: Weak<Inner>,
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
            renew_at: Tick::from_nanos(u64::MAX),
            claims: None,
            state,
            #[cfg(feature = "jwks")]
            foreign: None,
            home: Weak::new(),
        }
    }

    /// `true` the first time.
    pub(super) fn is_first_use(&self) -> bool {
        !self.used.load(Ordering::Relaxed) && !self.used.swap(true, Ordering::Relaxed)
    }

    /// Whether it is a cookie that is to be made anew.
    pub(super) fn is_old(&self, now: Tick) -> bool {
        self.renew_at <= now
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

/// Why a token does not (yet) name a session.
#[derive(Debug)]
pub(crate) enum Unidentified {
    Refused(Refused),
    #[cfg(feature = "jwks")]
    NeedsKeys(PendingKeys),
}

impl Sessions {
    /// The session that a token names, if that can be said at once: whether or not the token has expired.
    pub(crate) fn named_by_token(&self, token: &str, usage: TokenUse) -> Option<SessionId> {
        match self.identify(token, usage, self.tick()) {
            Ok(known) => Some(known.state.id()),
            Err(Unidentified::Refused(refused)) => refused.named.map(|(session, _)| session),
            #[cfg(feature = "jwks")]
            Err(Unidentified::NeedsKeys(_)) => None,
        }
    }

    /// The session that a token names, if its signature and its claims are right. No database, no session check.
    pub(super) fn identify(&self, token: &str, usage: TokenUse, now: Tick) -> Result<Arc<KnownToken>, Unidentified> {
        let set = self.0.key_set.load();
        let known = match set.known.get(token) {
            Some(known) if known.usage == usage && self.still_holds(&known) => known,
            _ => self.verify(&set, token, usage, now)?,
        };
        if known.expires <= now {
            let named = (!known.pending).then(|| known.named());
            return Err(Unidentified::Refused(Refused { why: Refusal::TokenExpired, named }));
        }
        Ok(known)
    }

    /// Remembered beside the keys that verified it: these may be replaced just now.
    pub(super) fn verify(
        &self,
        set: &KeySet,
        token: &str,
        usage: TokenUse,
        now: Tick,
    ) -> Result<Arc<KnownToken>, Unidentified> {
        #[cfg(feature = "jwks")]
        if usage == TokenUse::Access
            && let Some(foreign) = self.verify_foreign(set, token, now)
        {
            return foreign;
        }
        match set.keys.verify(token, usage, self.0.clock.wall()) {
            Ok(verified) => Ok(self.remember(
                set,
                token,
                usage,
                verified,
                #[cfg(feature = "jwks")]
                None,
                now,
            )),
            Err(refusal) => Err(Unidentified::Refused(refusal.into())),
        }
    }

    pub(super) fn remember(
        &self,
        set: &KeySet,
        token: &str,
        usage: TokenUse,
        VerifiedToken { session_id, user_id, generation, age, expires_in, pending, of_another_key, claims }: VerifiedToken,
        #[cfg(feature = "jwks")] foreign: Option<Foreign>,
        now: Tick,
    ) -> Arc<KnownToken> {
        let renew_at = match usage {
            TokenUse::Cookie if set.keys.can_sign() => {
                // At once, so that a key which is on its way out is needed for `idle_timeout` and no longer.
                let young = if of_another_key { Duration::ZERO } else { self.0.settings.access_token_ttl };
                now.after(young.saturating_sub(age))
            }
            TokenUse::Cookie | TokenUse::Access | TokenUse::Pending => Tick::from_nanos(u64::MAX),
        };
        let known = Arc::new(KnownToken {
            user_id,
            usage,
            generation,
            pending,
            used: AtomicBool::new(false),
            expires: now.after(expires_in),
            renew_at,
            claims,
            state: self.0.cache.state(session_id),
            #[cfg(feature = "jwks")]
            foreign,
            home: Arc::downgrade(&self.0),
        });
        set.known.insert(token, Arc::clone(&known));
        known
    }

    #[cfg(not(feature = "jwks"))]
    #[expect(clippy::unused_self, reason = "with `jwks`, keys may be taken back")]
    const fn still_holds(&self, _known: &KnownToken) -> bool {
        true
    }
}
