//! Judging a token: first what it costs nothing to refuse, then the signature, then the claims, and `exp` last of all.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use time::OffsetDateTime;

use super::{
    access::TokenKeys,
    claims::{Claims, Members},
    keys::MAX_KID,
    verifier::Verifier,
};
use crate::session::{SessionId, UserId};

/// The longest token that is looked at, in bytes. Servers cap all headers together at 8 to 64 KiB, so a longer one would
/// not arrive; and whoever has no key should not make us decode much.
pub(super) const MAX_TOKEN: usize = 8 * 1024;

/// How far `iat` may lie ahead of this node's clock: clocks of nodes differ. A validly signed token from further ahead
/// means that some clock is wrong, perhaps ours.
pub(super) const MAX_AHEAD: time::Duration = time::Duration::seconds(300);

/// Where a token was found, and so which `typ` it has to have (RFC 8725 §3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenUse {
    /// Outside a cookie: short-lived, `at+jwt`.
    Access,
    /// In the session cookie: as long as the session, `session+jwt`, so that no service takes it for a bearer token.
    Cookie,
    /// In either place, of a session whose second factor is still to come: `pending+jwt`, so that no service takes it for
    /// a credential.
    Pending,
}

impl TokenUse {
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Cookie => "session+jwt",
            Self::Pending => "pending+jwt",
        }
    }

    fn matches(self, typ: &str) -> bool {
        short_type(typ).eq_ignore_ascii_case(self.media_type())
    }
}

/// RFC 7515 §4.1.9: a media type, so in any case, and `application/` may be left out.
pub(super) fn short_type(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.get(..PREFIX.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => &typ[PREFIX.len()..],
        _ => typ,
    }
}

/// A token that is good now.
#[derive(PartialEq, Eq)]
pub(crate) struct VerifiedToken {
    pub(crate) session_id: SessionId,
    pub(crate) user_id: UserId,
    /// The refresh generation that it belongs to; `None` where another issuer's tokens have none.
    pub(crate) generation: Option<u64>,
    /// How long before the given `now` it was issued.
    pub(crate) age: Duration,
    /// How long from the given `now` it stays good: until `exp` plus the leeway. Never zero.
    pub(crate) expires_in: Duration,
    /// The second factor is still to come.
    pub(crate) pending: bool,
    /// Its key is accepted, but it is not the one that signs here.
    pub(crate) of_another_key: bool,
    /// The whole payload as JSON, kept only if it has claims beyond the registered ones.
    pub(crate) claims: Option<Box<str>>,
}

impl fmt::Debug for VerifiedToken {
    /// Without the application's claims: they may say anything about a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("session_id", &self.session_id)
            .field("user_id", &self.user_id)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// Why a token is not good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenRefusal {
    /// Why, for the log. A fixed text: never a part of the token.
    Invalid(&'static str),
    /// All else was right, only `exp` has passed: whose it was can be believed.
    Expired { session_id: SessionId, user_id: UserId },
}

impl From<&'static str> for TokenRefusal {
    fn from(why: &'static str) -> Self {
        Self::Invalid(why)
    }
}

impl TokenKeys {
    /// Whose token it is, if it is one of ours, for this use, and good at `now` (the wall clock).
    pub(crate) fn verify(
        &self,
        token: &str,
        usage: TokenUse,
        now: OffsetDateTime,
    ) -> Result<VerifiedToken, TokenRefusal> {
        if token.len() > MAX_TOKEN {
            return Err("longer than 8 KiB".into());
        }
        let (message, signature) = token.rsplit_once('.').ok_or("not a JWT")?;
        let (header, payload) = message.split_once('.').filter(|(_, rest)| !rest.contains('.')).ok_or("not a JWT")?;

        let (verifier, usage) = match self.known_header(header, usage) {
            Some(known) => known,
            None => self.key_for(&decode(header, "header is not base64url of text")?, usage)?,
        };
        if !verifier.verifies(message, signature) {
            return Err("signature is wrong".into());
        }

        let payload = decode(payload, "payload is not base64url of text")?;
        let of_another_key = self.signer.as_ref().is_some_and(|signer| signer.kid != verifier.key.kid);
        let verified = self.judge(&payload, of_another_key, now).map_err(|refusal| match refusal {
            // There is no other token to be had for it, and whoever holds it may not even sign out.
            TokenRefusal::Expired { .. } if usage == TokenUse::Pending => {
                "on the way to a second factor for too long".into()
            }
            refusal => refusal,
        })?;
        Ok(VerifiedToken { pending: usage == TokenUse::Pending, ..verified })
    }

    /// As [`Self::key_for`] of a header that was written by this crate, to the letter and for this use; `None` for any other.
    fn known_header(&self, encoded: &str, usage: TokenUse) -> Option<(&Verifier, TokenUse)> {
        let known = |verifier: &'_ Verifier| verifier.written_for(encoded);
        let (verifier, written_for) = self.accepted.iter().find_map(|verifier| Some((verifier, known(verifier)?)))?;
        (written_for == usage || written_for == TokenUse::Pending).then_some((verifier, written_for))
    }

    /// The key that the header names, and what the token is for, if the header asks for nothing that this crate does not do. Keys come from our own
    /// list alone: `jku`, `jwk` and `x5u` would let the token bring its own.
    fn key_for(&self, header: &str, usage: TokenUse) -> Result<(&Verifier, TokenUse), &'static str> {
        let header: Members<'_> =
            serde_json::from_str(header).map_err(|_| "header is no object or names a member twice")?;
        // RFC 7515 §4.1.11: an extension that is critical and not understood. We understand none.
        if header.get("crit").is_some() {
            return Err("critical header extension");
        }
        let typ = header.text("typ");
        let usage = [usage, TokenUse::Pending].into_iter().find(|one| typ.as_ref().is_some_and(|typ| one.matches(typ)));
        let usage = usage.ok_or("not the `typ` that belongs here")?;
        let kid = header.text("kid").filter(|kid| kid.len() <= MAX_KID).ok_or("no usable `kid`")?;
        let verifier = self.accepted.iter().find(|one| one.key.kid == kid).ok_or("`kid` of no known key")?;
        // The key says the algorithm and the token only repeats it, so `none` or another family never gets a say.
        let algorithm = header.text("alg").and_then(|alg| alg.parse::<Algorithm>().ok());
        if algorithm != Some(verifier.key.algorithm) {
            return Err("not the algorithm of its key");
        }
        Ok((verifier, usage))
    }

    fn judge(&self, payload: &str, of_another_key: bool, now: OffsetDateTime) -> Result<VerifiedToken, TokenRefusal> {
        let claims = Claims::read(payload)?;
        if claims.issuer != self.issuer {
            return Err("another issuer".into());
        }
        if !claims.audience.iter().any(|one| *one == self.audience) {
            return Err("another audience".into());
        }
        if claims.not_before.is_some_and(|from| from - now > self.leeway) {
            return Err("not valid yet".into());
        }
        if claims.expires_at <= claims.issued_at {
            return Err("expires before it is issued".into());
        }
        let Claims { session_id, user_id, generation, issued_at, expires_at, has_custom, .. } = claims;
        // RFC 7519 §4.1.4: not accepted "on or after" that time; here, that time and the leeway.
        let left = expires_at - now + self.leeway;
        // A token that is right in all but the time says nothing against its session, and the clock that is wrong may be
        // ours: the client is to get a new token, not to sign in again.
        if !left.is_positive() || issued_at - now > MAX_AHEAD {
            return Err(TokenRefusal::Expired { session_id, user_id });
        }
        Ok(VerifiedToken {
            session_id,
            user_id,
            generation,
            age: (now - issued_at).try_into().unwrap_or_default(),
            expires_in: left.unsigned_abs(),
            pending: false,
            of_another_key,
            claims: has_custom.then(|| payload.into()),
        })
    }
}

pub(super) fn decode(part: &str, otherwise: &'static str) -> Result<String, &'static str> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| otherwise)?;
    String::from_utf8(bytes).map_err(|_| otherwise)
}
