//! The settings of access tokens, and the sealed form of them that signs and checks.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use time::OffsetDateTime;

use super::{
    jwk,
    keys::{SigningKey, VerifyingKey},
    sign::{NewToken, Signer},
    verifier::Verifier,
    verify::TokenUse,
};
use crate::{
    error::ConfigError,
    session::{SessionId, UserId},
};

const DEFAULT_NAME: &str = "axum-device-sessions";

/// RFC 7519 §4.1.4 speaks of "no more than a few minutes"; nodes that keep time need far less.
pub(super) const MAX_LEEWAY: Duration = Duration::from_secs(60);

/// How access tokens are signed and which are accepted.
///
/// ```
/// # use axum_device_sessions::{AccessTokens, ConfigError, SigningKey, VerifyingKey};
/// # fn settings(secret: &[u8], private_pem: &str, public_pem: &str) -> Result<(), ConfigError> {
/// // One service, or several that trust each other with everything:
/// let shared = AccessTokens::hs256(secret)?;
/// // This service signs in and that one only checks:
/// let signs = AccessTokens::signing_with(SigningKey::es256_pem(private_pem)?);
/// let checks = AccessTokens::verify_only(VerifyingKey::es256_pem(public_pem)?);
/// # Ok(())
/// # }
/// ```
///
/// **Changing the key** without signing anybody out: first every node gets the new one with
/// [`also_accept`](Self::also_accept); then it signs and the old one is accepted; the old one goes when the longest token
/// that it signed has expired; with cookies ([`SignIn::cookie`](crate::SignIn::cookie)) after `idle_timeout`, since the answer to
/// any request brings a browser a cookie of the new key. With a restart for each step, or while running by
/// [`Sessions::replace_keys`](crate::Sessions::replace_keys); `docs/keys.md` has the order, the waits and what hangs on an
/// HS256 secret besides: **without a [`server_secret`](crate::SessionsBuilder::server_secret), refresh tokens are signed with it too**.
///
/// Keys are checked as they are made; the rest when the settings of the crate are built: two keys of one `kid`, HS256
/// beside the others, a missing cryptography provider are errors then and not at the first request.
#[derive(Debug)]
#[must_use]
pub struct AccessTokens {
    signing: Option<SigningKey>,
    accepted: Vec<VerifyingKey>,
    issuer: String,
    audience: String,
    leeway: Duration,
}

impl AccessTokens {
    /// Signs and checks with one HS256 secret of 32 bytes or more, the same on every node.
    ///
    /// # Errors
    ///
    /// A weak secret, as [`SigningKey::hs256`].
    pub fn hs256(secret: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        SigningKey::hs256(secret).map(Self::signing_with)
    }

    /// Signs with this key and accepts what it signed.
    pub fn signing_with(key: SigningKey) -> Self {
        let accepted = vec![key.verifying.clone()];
        Self { signing: Some(key), ..Self::accepting(accepted) }
    }

    /// Only accepts tokens that another service signs. Signing in then fails with
    /// [`ErrorKind::CannotSign`](crate::ErrorKind::CannotSign). Where that service is not built on this crate, give the
    /// key the id that it writes ([`VerifyingKey::with_kid`]): a token without a known `kid` is refused.
    pub fn verify_only(key: VerifyingKey) -> Self {
        Self::accepting(vec![key])
    }

    /// No tokens of our own: all are another issuer's.
    #[cfg(feature = "jwks")]
    pub(crate) fn none() -> Self {
        Self::accepting(Vec::new())
    }

    /// Their `iss`, if there are any.
    #[cfg(feature = "jwks")]
    pub(crate) fn name(&self) -> Option<&str> {
        (!self.accepted.is_empty()).then_some(&self.issuer)
    }

    fn accepting(accepted: Vec<VerifyingKey>) -> Self {
        Self {
            signing: None,
            accepted,
            issuer: DEFAULT_NAME.into(),
            audience: DEFAULT_NAME.into(),
            leeway: Duration::from_secs(2),
        }
    }

    /// Accepts the tokens of this key too: the next or the previous one while keys change. May be called several times.
    pub fn also_accept(mut self, key: VerifyingKey) -> Self {
        self.accepted.push(key);
        self
    }

    /// The claim `iss`: written, and required to be equal. Default `axum-device-sessions`. Set it, the same on every node,
    /// where several services share keys, or else a token of one is good for all.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = issuer.into();
        self
    }

    /// The claim `aud`: written, and required to be equal or among the values. Default `axum-device-sessions`. Set it where
    /// several services share keys, as [`issuer`](Self::issuer).
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }

    /// How far the clocks of nodes may differ: a token is accepted for so long after `exp` and before `nbf`. Default 2 s,
    /// at most 60 s. It lengthens the life of every token, so keep it as small as the clocks allow; zero is allowed.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// The HS256 secrets, the signing one first: where no other server secret is given, they are its root as well.
    pub(crate) fn secrets(&self) -> Vec<Vec<u8>> {
        self.accepted.iter().filter_map(VerifyingKey::secret).map(<[u8]>::to_vec).collect()
    }

    /// Whether it makes tokens.
    pub(crate) const fn signs(&self) -> bool {
        self.signing.is_some()
    }

    /// Checks everything that can be checked before a request comes, the cryptography included.
    pub(crate) fn seal(self) -> Result<TokenKeys, ConfigError> {
        if self.issuer.is_empty() || self.audience.is_empty() {
            return Err(ConfigError::new(
                "issuer and audience of access tokens must not be empty: leave them unset or name them",
            ));
        }
        if self.leeway > MAX_LEEWAY {
            return Err(ConfigError::new(format!(
                "a leeway of {:?} is too long: give at most {MAX_LEEWAY:?} and let the nodes keep time (NTP)",
                self.leeway
            )));
        }
        refuse_ambiguous(&self.accepted)?;

        let keys = TokenKeys {
            signer: self.signing.map(Signer::new),
            jwks: jwk::set(&self.accepted),
            accepted: self.accepted.into_iter().map(Verifier::new).collect(),
            issuer: self.issuer,
            audience: self.audience,
            // At most a minute, so it is always representable.
            leeway: time::Duration::try_from(self.leeway).unwrap_or(time::Duration::ZERO),
        };
        tried(|| keys.self_test())?;
        Ok(keys)
    }
}

/// Installs the cryptography provider of jsonwebtoken and tries it out.
pub(super) fn tried(self_test: impl FnOnce() -> Result<(), String>) -> Result<(), ConfigError> {
    // Where the feature flags of other crates gave jsonwebtoken two providers or none, it would take a placeholder
    // that panics at first use. Whoever installed one before us has chosen, and the self-test shows what it is worth.
    let _already_installed = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    match catch_unwind(AssertUnwindSafe(self_test)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failed)) => Err(ConfigError::new(format!(
            "the cryptography provider that is installed for jsonwebtoken {failed}: install \
             `jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER`, or none"
        ))),
        Err(_panic) => Err(ConfigError::new(
            "jsonwebtoken has no working cryptography provider: some crate of this program enabled both its features \
             `aws_lc_rs` and `rust_crypto`, or none, and used it already. Call \
             `jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default()` first thing in `main`",
        )),
    }
}

/// A token names its key by `kid` alone, so that has to be one key. And with HS256 beside asymmetric keys, a mix-up of
/// secret and public key would let everybody sign.
fn refuse_ambiguous(keys: &[VerifyingKey]) -> Result<(), ConfigError> {
    let mut kids = HashSet::new();
    if let Some(twice) = keys.iter().find(|key| !kids.insert(key.kid())) {
        return Err(ConfigError::new(format!(
            "two keys have the id {:?}: a key that signs is accepted already, so leave it out of `also_accept`; give \
             different keys different ids with `with_kid`",
            twice.kid()
        )));
    }
    let symmetric = keys.iter().filter(|key| key.decoding.family() == AlgorithmFamily::Hmac).count();
    if symmetric != 0 && symmetric != keys.len() {
        return Err(ConfigError::new(
            "HS256 and asymmetric keys (RS256, ES256, EdDSA) cannot be accepted side by side: keep to one sort; to change \
             over, let the old tokens expire or sign everybody in anew",
        ));
    }
    Ok(())
}

/// Signs and checks access tokens; made by [`AccessTokens::seal`], immutable, shared by all requests.
#[derive(Debug)]
pub(crate) struct TokenKeys {
    pub(super) signer: Option<Signer>,
    pub(super) accepted: Vec<Verifier>,
    /// Their public halves, written once.
    jwks: String,
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) leeway: time::Duration,
}

impl TokenKeys {
    /// The public halves of the keys that are accepted, as a JWK set; empty where they are secrets.
    pub(crate) fn jwks(&self) -> &str {
        &self.jwks
    }

    /// Refuses keys that come with other settings than these: what changes is to be the keys alone. Every field is named, so
    /// that a new one cannot be forgotten here.
    pub(crate) fn same_but_for_keys(&self, other: &Self) -> Result<(), ConfigError> {
        let Self { signer, accepted: _, jwks: _, issuer, audience, leeway } = self;
        if (issuer, audience, leeway) != (&other.issuer, &other.audience, &other.leeway) {
            return Err(ConfigError::new(
                "new keys come with the issuer, the audience and the leeway that hold already: these change with a restart",
            ));
        }
        if signer.is_some() != other.can_sign() {
            return Err(ConfigError::new(
                "whether a node signs or only checks tokens is settled when it is built: give new keys of the same sort, or \
                 restart it",
            ));
        }
        Ok(())
    }

    /// Whether tokens can be made here and not only checked.
    pub(crate) const fn can_sign(&self) -> bool {
        self.signer.is_some()
    }

    /// One token there and back, and for every key a signature that is none. Panics where jsonwebtoken does.
    fn self_test(&self) -> Result<(), String> {
        if self.can_sign() {
            let (session_id, user_id, now) = (SessionId::new(), UserId::from("self-test"), OffsetDateTime::now_utc());
            let lifetime = Duration::from_secs(60);
            let new = NewToken {
                usage: TokenUse::Access,
                session_id,
                user_id: &user_id,
                generation: 1,
                issued_at: now,
                lifetime,
                custom: None,
            };
            let token = self.sign(&new).map_err(|_| "cannot sign with this key")?;
            match self.verify(&token, TokenUse::Access, now) {
                Ok(verified) if verified.session_id == session_id => {}
                _ => return Err("does not accept what it signed".into()),
            }
        }
        for Verifier { key, .. } in &self.accepted {
            refuses_no_signature(&key.decoding, key.algorithm)?;
        }
        Ok(())
    }
}

pub(super) fn refuses_no_signature(key: &DecodingKey, algorithm: Algorithm) -> Result<(), String> {
    // Sixty-four bytes are a possible length for ES256 and EdDSA, and a false value for each algorithm.
    let no_signature = "A".repeat(86);
    match jsonwebtoken::crypto::verify(&no_signature, b"self-test", key, algorithm) {
        Ok(false) => Ok(()),
        Ok(true) => Err("accepts a signature that is none".into()),
        Err(_) => Err(format!("cannot check {algorithm:?} signatures")),
    }
}
