//! Judging another issuer's access token.

use std::{fmt, sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey};
use time::OffsetDateTime;

use super::{
    claims::{Common, required, session_id},
    logout::SeenLogouts,
    open::{Opened, PendingKeys},
    sealed::Foreign,
    settings::Issuer,
};
use crate::{
    clock::Clock,
    error::ConfigError,
    session::{SessionId, UserId},
    token::{
        access::{refuses_no_signature, tried},
        claims::text,
        verify::TokenRefusal,
    },
};

/// A token of another issuer that is good now.
#[derive(PartialEq, Eq)]
pub(crate) struct ForeignToken {
    pub(crate) issuer: Arc<str>,
    /// In the issuer's ids.
    pub(crate) subject: Box<str>,
    /// In the application's ids.
    pub(crate) user_id: UserId,
    /// In the issuer's ids.
    pub(crate) sid: Box<str>,
    pub(crate) session_id: SessionId,
    /// How long from the given `now` it stays good: until `exp` plus the leeway. Never zero.
    pub(crate) expires_in: Duration,
    /// The whole payload as JSON.
    pub(crate) claims: Box<str>,
    /// For [`Issuers::holds`].
    pub(crate) stamp: KeyStamp,
    /// Its session is to be registered if it is unknown, for so long.
    pub(crate) adopt_for: Option<Duration>,
}

impl fmt::Debug for ForeignToken {
    /// Without the claims: they may say anything about a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignToken")
            .field("issuer", &self.issuer)
            .field("session_id", &self.session_id)
            .field("user_id", &self.user_id)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// By which keys a token was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyStamp {
    issuer: usize,
    generation: u64,
}

/// What a token comes to.
#[derive(Debug)]
pub(crate) enum Outcome<T> {
    Done(T),
    /// Its key is not known here. Wait, and if it was found verify again.
    NeedsKeys(PendingKeys),
}

/// All other issuers whose tokens are accepted.
#[derive(Debug)]
pub(crate) struct Issuers {
    pub(super) all: Vec<Foreign>,
    pub(super) seen_logouts: SeenLogouts,
}

impl Issuers {
    /// `own` is the `iss` of the application's own tokens, if it has any: they are the tokens of an issuer too.
    pub(crate) fn seal(issuers: Vec<Issuer>, own: Option<&str>, clock: &Clock) -> Result<Self, ConfigError> {
        let mut names: Vec<&str> = own.into_iter().chain(issuers.iter().map(|issuer| &*issuer.issuer)).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ConfigError::new(format!(
                "two issuers of the name {:?}: a token says only its `iss`, so give each once, and another `issuer` to \
                 the application's own access tokens",
                twice[0]
            )));
        }
        let several = names.len() > 1;
        if let Some(unmapped) = issuers.iter().find(|issuer| several && !issuer.is_mapped()) {
            return Err(ConfigError::new(format!(
                "issuer {:?} is not the only one, and the same `sub` may be two people: say whose its tokens are with \
                 `user`, even if that is `|claims| Some(claims.subject().into())`",
                unmapped.issuer
            )));
        }
        tried(|| refuses_no_signature(&DecodingKey::from_ec_der(&P256_GENERATOR), Algorithm::ES256))?;
        let all = issuers.into_iter().map(|issuer| issuer.seal(clock.clone())).collect::<Result<_, _>>()?;
        Ok(Self { all, seen_logouts: SeenLogouts::default() })
    }

    /// Whose session and user it is, if it is a token of one of these issuers. `None`: it does not claim to be.
    pub(crate) fn verify(
        &self,
        token: &str,
        now: OffsetDateTime,
    ) -> Option<Outcome<Result<ForeignToken, TokenRefusal>>> {
        let (index, foreign, unverified) = self.claimed(token)?;
        Some(match unverified.open(foreign, |typ| foreign.accepts_type(typ)) {
            Ok(Opened::By(known)) => {
                let stamp = KeyStamp { issuer: index, generation: known.generation };
                Outcome::Done(foreign.judge(&unverified.payload, stamp, now))
            }
            Ok(Opened::NeedsKeys(pending)) => Outcome::NeedsKeys(pending),
            Err(why) => Outcome::Done(Err(why.into())),
        })
    }

    /// Whether what was verified then still is: no key has been taken back since. For remembered tokens, on each use; it
    /// also renews keys that are old, which nothing else would do while every token is remembered.
    pub(crate) fn holds(&self, stamp: KeyStamp) -> bool {
        self.all.get(stamp.issuer).is_some_and(|foreign| foreign.source.current().generation == stamp.generation)
    }
}

impl Foreign {
    fn judge(&self, payload: &str, stamp: KeyStamp, now: OffsetDateTime) -> Result<ForeignToken, TokenRefusal> {
        let claims = Common::read(payload, self, now)?;
        // A security event token (RFC 8417), such as a logout token: signed by the same keys, about the same person, and
        // no access token.
        if claims.members.get("events").is_some() {
            return Err("an event and no access token".into());
        }
        if !self.audiences.is_empty() {
            claims.is_for(&self.audiences)?;
        }
        if !self.parties.is_empty() {
            let name = if claims.members.get("azp").is_some() { "azp" } else { "client_id" };
            let party = required(&claims.members, name, text, "no usable `azp` or `client_id`")?;
            if !self.parties.iter().any(|ours| *ours == party) {
                return Err("issued to another client".into());
            }
        }
        if !self.required.iter().all(|(name, value)| claims.members.text(name).is_some_and(|found| found == **value)) {
            return Err("without a claim that is required".into());
        }
        let sid = claims.session(&self.session_claim)?.ok_or("no session id")?;
        let session_id = session_id(&self.issuer, &sid);
        let user_id = claims.user(self)?;
        // A token that is right in all but the time says nothing against its session.
        if !claims.left.is_positive() {
            return Err(TokenRefusal::Expired { session_id, user_id });
        }
        Ok(ForeignToken {
            issuer: Arc::clone(&self.issuer),
            subject: claims.subject.as_deref().unwrap_or_default().into(),
            user_id,
            sid: sid.as_ref().into(),
            session_id,
            expires_in: claims.left.unsigned_abs(),
            claims: payload.into(),
            stamp,
            adopt_for: self.longest_session,
        })
    }
}

/// The base point of P-256, for a key to try the library with.
const P256_GENERATOR: [u8; 65] = [
    0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03,
    0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe,
    0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce,
    0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];
