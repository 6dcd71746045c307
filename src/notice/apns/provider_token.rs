//! The provider token: a JWT that says whose requests these are.
//!
//! [Establishing a token-based connection to APNs](https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns)

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use super::super::NotDelivered;
use crate::{
    clock::{Clock, Tick},
    error::{BoxError, ConfigError},
    token::pem,
};

/// Apple takes a token for 60 minutes, and calls it too often where it changes within 20: this is as far from the one as from
/// the other.
const RENEWED_AFTER: Duration = Duration::from_secs(40 * 60);
const NOT_WITHIN: Duration = Duration::from_secs(20 * 60);

/// One token at a time, for all deliveries.
pub(super) struct ProviderTokens {
    key: EcdsaKeyPair,
    key_id: String,
    team_id: String,
    pub(super) clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<(HeaderValue, Tick)>,
    /// When Apple has last made us renew one.
    forced: Option<Tick>,
}

impl ProviderTokens {
    pub(super) fn new(key_p8: &[u8], key_id: String, team_id: String) -> Result<Self, ConfigError> {
        let unusable = |cause: BoxError| {
            ConfigError::because(
                "the APNs key cannot be used: give the contents of the `AuthKey_<key id>.p8` file out of Apple's developer \
                 account, a P-256 private key in PKCS#8",
                cause,
            )
        };
        let (_, der) = pem::private(key_p8, pem::Kind::P256).map_err(|why| unusable(why.into()))?;
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).map_err(|why| unusable(why.into()))?;
        Ok(Self { key, key_id, team_id, clock: Clock::default(), state: Mutex::default() })
    }

    /// The token to send, as the value of `authorization`.
    pub(super) fn current(&self) -> Result<HeaderValue, NotDelivered> {
        let now = self.clock.tick();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.token {
            Some((token, made)) if now.since(*made) < RENEWED_AFTER => Ok(token.clone()),
            _ => self.make(&mut state, now),
        }
    }

    /// The one to try instead of one that Apple has called expired. `None` where that has already led to a new one not long
    /// ago: another would be refused like it, and then as one too many.
    pub(super) fn instead_of(&self, refused: &HeaderValue) -> Result<Option<HeaderValue>, NotDelivered> {
        let now = self.clock.tick();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, _)) = &state.token
            && token != refused
        {
            // Another delivery was faster.
            return Ok(Some(token.clone()));
        }
        if state.forced.is_some_and(|at| now.since(at) < NOT_WITHIN) {
            return Ok(None);
        }
        state.forced = Some(now);
        self.make(&mut state, now).map(Some)
    }

    fn make(&self, state: &mut State, now: Tick) -> Result<HeaderValue, NotDelivered> {
        let mut token = self.sign().map_err(NotDelivered::retry)?;
        // Not in anybody's Debug.
        token.set_sensitive(true);
        state.token = Some((token.clone(), now));
        Ok(token)
    }

    fn sign(&self) -> Result<HeaderValue, BoxError> {
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = part(json!({ "alg": "ES256", "kid": self.key_id }));
        let claims = part(json!({ "iss": self.team_id, "iat": self.clock.wall().unix_timestamp() }));
        let signed = format!("{header}.{claims}");
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(HeaderValue::try_from(format!("bearer {signed}.{}", URL_SAFE_NO_PAD.encode(signature)))?)
    }
}
