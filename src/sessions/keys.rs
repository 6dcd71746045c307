//! The keys that hold now, and changing them while requests are under way.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::Sessions;
use crate::{
    error::ConfigError,
    token::{AccessTokens, TokenKeys},
};

/// Keys, and whether they still hold. Each token that is remembered knows whether the keys that verified it do, so a check that began
/// under the old ones remembers its token for nothing. (Else it would outlive its key: a swap that empties the cache cannot
/// empty it of what is put in a moment later.)
pub(super) struct KeySet {
    pub(super) keys: TokenKeys,
    in_force: Arc<InForce>,
}

/// Whether some keys still hold. All that is kept of them with a token: keys that were replaced are not to stay in memory.
#[derive(Debug, Default)]
pub(super) struct InForce {
    replaced: AtomicBool,
}

impl KeySet {
    pub(super) fn new(keys: TokenKeys) -> Self {
        Self { keys, in_force: Arc::default() }
    }

    pub(super) const fn in_force(&self) -> &Arc<InForce> {
        &self.in_force
    }
}

impl InForce {
    /// Whether what they verified counts.
    pub(super) fn still(&self) -> bool {
        !self.replaced.load(Ordering::Acquire)
    }
}

impl Sessions {
    /// Replaces the keys of access tokens while requests are under way. When it has returned, no request that starts later on
    /// this node gets in with a token of a key that is not among the new ones, remembered or not; and new tokens are signed
    /// with the new signing key. Sessions stay as they are, and so do sockets that are open.
    ///
    /// To sign nobody out: publish, sign, retire, each on every node before the next begins anywhere.
    ///
    /// ```
    /// # use axum_device_sessions::{AccessTokens, ConfigError, Sessions, SigningKey, VerifyingKey};
    /// # fn steps(sessions: Sessions, old: &str, old_public: &str, new: &str, new_public: &str) -> Result<(), ConfigError> {
    /// // Publish: every node accepts the new key, and other services learn of it from `routes::jwks`.
    /// let (signing, next) = (SigningKey::es256_pem(old)?, VerifyingKey::es256_pem(new_public)?);
    /// sessions.replace_keys(AccessTokens::signing_with(signing).also_accept(next))?;
    /// // Wait until they have. Then sign with it, and go on accepting what is out there.
    /// let (signing, last) = (SigningKey::es256_pem(new)?, VerifyingKey::es256_pem(old_public)?);
    /// sessions.replace_keys(AccessTokens::signing_with(signing).also_accept(last))?;
    /// // Wait until the last token of the old key has expired: `access_token_ttl` and the leeway. Then retire it.
    /// sessions.replace_keys(AccessTokens::signing_with(SigningKey::es256_pem(new)?))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Every token is checked once more on its next request. **Refresh tokens are not touched**: they hang on
    /// [`server_secret`](crate::SessionsBuilder::server_secret). It holds for this node and until it restarts: give the same
    /// keys to the other nodes, and to the configuration that the next start reads.
    ///
    /// # Errors
    ///
    /// What `build()` would refuse: keys of one `kid`, HS256 beside the others, a provider that does not work. Besides:
    /// another issuer, audience or leeway than before, or signing where this node only checked (and the other way round), for
    /// only keys change here; and any change where refresh tokens hang on the HS256 secret because no
    /// [`server_secret`](crate::SessionsBuilder::server_secret) was given, since they would be void at the next restart. After an
    /// error the old keys hold.
    pub fn replace_keys(&self, access_tokens: AccessTokens) -> Result<(), ConfigError> {
        let keys = access_tokens.seal()?;
        if self.0.refresh_hangs_on_keys {
            return Err(ConfigError::new(
                "refresh tokens hang on the HS256 secret here, and would be void once it is gone: give it to \
                 `.server_secret(..)` as well, restart, and then change keys",
            ));
        }
        self.0.key_set.load().keys.same_but_for_keys(&keys)?;
        let replaced = self.0.key_set.swap(Arc::new(KeySet::new(keys)));
        replaced.in_force.replaced.store(true, Ordering::Release);
        tracing::info!("the keys of access tokens have been replaced");
        Ok(())
    }

    /// The public halves of the keys whose tokens are accepted now, as a JWK set (RFC 7517 §5): what other services need in
    /// order to check tokens, and nothing that signs. With HS256 it is empty. `routes::jwks` serves it; this is for
    /// applications that serve it from elsewhere.
    #[must_use]
    pub fn jwks(&self) -> String {
        self.0.key_set.load().keys.jwks().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use arc_swap::ArcSwap;

    use super::*;
    use crate::{
        MemoryStore, SessionsBuilder, SignIn, SigningKey, VerifyingKey,
        cache::TokenCache,
        sessions::{Refusal, identify::Unidentified},
        token::TokenUse,
    };

    const OLD: &[u8] = b"the old secret, of 33 bytes or so";
    const NEW: &[u8] = b"the new secret, of 33 bytes or so";
    const ROOT: &[u8] = b"a server secret of its own, 32 and more bytes";

    fn builder(secret: &[u8]) -> SessionsBuilder {
        Sessions::builder(MemoryStore::new()).access_tokens(AccessTokens::hs256(secret).unwrap())
    }

    async fn signed_in() -> (Sessions, String) {
        let sessions = builder(OLD).server_secret(ROOT).build().await.unwrap();
        let token = sessions.sign_in(SignIn::new("lena")).await.unwrap().access_token;
        (sessions, token)
    }

    fn is_accepted(sessions: &Sessions, token: &str) -> bool {
        match sessions.identify(token.as_bytes(), TokenUse::Access, sessions.tick()) {
            Ok(_) => true,
            Err(refused) => {
                assert!(matches!(refused, Unidentified::Refused(refused) if refused.why == Refusal::InvalidToken));
                false
            }
        }
    }

    #[tokio::test]
    async fn a_remembered_token_goes_with_its_key() {
        let (sessions, old_token) = signed_in().await;
        assert!(is_accepted(&sessions, &old_token) && is_accepted(&sessions, &old_token));
        let both = || AccessTokens::hs256(NEW).unwrap().also_accept(VerifyingKey::hs256(OLD).unwrap());
        sessions.replace_keys(both()).unwrap();
        let new_token = sessions.sign_in(SignIn::new("lena")).await.unwrap().access_token;
        assert!(is_accepted(&sessions, &old_token) && is_accepted(&sessions, &new_token));
        sessions.replace_keys(AccessTokens::hs256(NEW).unwrap()).unwrap();
        assert!(!is_accepted(&sessions, &old_token));
        assert!(is_accepted(&sessions, &new_token));
    }

    /// The race, forced: a request has the old keys in hand while they are replaced, and remembers its token after that.
    #[tokio::test]
    async fn a_check_that_began_under_the_old_keys_is_not_remembered_under_the_new() {
        let (sessions, token) = signed_in().await;
        let in_hand = sessions.0.key_set.load_full();
        sessions.replace_keys(AccessTokens::hs256(NEW).unwrap()).unwrap();
        let known = sessions.verify(&in_hand, token.as_bytes(), TokenUse::Access, sessions.tick()).unwrap();
        let digest = sessions.0.tokens.digest(token.as_bytes());
        sessions.0.tokens.insert(digest, Arc::clone(&known));
        assert!(sessions.0.tokens.get(digest).is_some_and(|one| Arc::ptr_eq(&one, &known)), "remembered");
        assert!(!is_accepted(&sessions, &token), "by keys that do not hold any more");

        // The control: keys that are swapped and a cache that is emptied, one after the other; the same order of steps.
        let naive =
            (ArcSwap::from_pointee(AccessTokens::hs256(OLD).unwrap().seal().unwrap()), TokenCache::new(100).unwrap());
        let digest = naive.1.digest(token.as_bytes());
        naive.1.insert(digest, Arc::clone(&known));
        let in_hand = naive.0.load_full();
        naive.0.store(Arc::new(AccessTokens::hs256(NEW).unwrap().seal().unwrap()));
        naive.1.forget_all();
        assert!(naive.1.get(digest).is_none());
        assert!(in_hand.verify(&token, TokenUse::Access, sessions.0.clock.wall()).is_ok());
        naive.1.insert(digest, known);
        assert!(naive.1.get(digest).is_some(), "let in by a key that is gone, until it expires");
    }

    #[tokio::test]
    async fn only_keys_change_and_a_refusal_changes_nothing() {
        let (sessions, token) = signed_in().await;
        let new = || AccessTokens::hs256(NEW).unwrap();
        let second = std::time::Duration::from_secs(1);
        for (tokens, says) in [
            (new().also_accept(VerifyingKey::hs256(NEW).unwrap()), "two keys"),
            (new().issuer("another"), "change with a restart"),
            (new().audience("another"), "change with a restart"),
            (new().leeway(second), "change with a restart"),
            (new().leeway(100 * second), "too long"),
            (AccessTokens::verify_only(VerifyingKey::hs256(NEW).unwrap()), "signs or only checks"),
        ] {
            let error = sessions.replace_keys(tokens).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(is_accepted(&sessions, &token));

        let checks = AccessTokens::verify_only(VerifyingKey::hs256(OLD).unwrap());
        let checks = Sessions::builder(MemoryStore::new()).access_tokens(checks).build().await.unwrap();
        assert!(checks.replace_keys(new()).unwrap_err().to_string().contains("signs or only checks"));
        checks.replace_keys(AccessTokens::verify_only(VerifyingKey::hs256(NEW).unwrap())).unwrap();
    }

    /// Refresh tokens of this node would be read by no node that has restarted since.
    #[tokio::test]
    async fn keys_that_refresh_tokens_hang_on_are_not_replaced() {
        let sessions = builder(OLD).build().await.unwrap();
        let next = || AccessTokens::signing_with(SigningKey::hs256(NEW).unwrap());
        assert!(sessions.replace_keys(next()).unwrap_err().to_string().contains("server_secret"));

        // What the text says: the same secret, named as what it is. Nothing that is out there is lost.
        let refresh_token = sessions.sign_in(SignIn::new("lena")).await.unwrap().refresh_token;
        let restarted = builder(OLD).server_secret(OLD).build().await.unwrap();
        restarted.replace_keys(next()).unwrap();
        assert!(restarted.named_by(&refresh_token).is_some());
        // The control: what becomes of them where the new secret is simply given at the next start.
        assert!(builder(NEW).build().await.unwrap().named_by(&refresh_token).is_none());
    }
}
