//! Server secrets: the root of everything that this crate signs besides access tokens.

use std::fmt;

use aws_lc_rs::{hkdf, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::error::ConfigError;

/// As long as the hash (RFC 2104 §3), and as access tokens ask of HS256.
const MIN_SECRET: usize = 32;

/// The first makes, all of them verify.
#[derive(Clone)]
pub(crate) struct ServerSecrets(Vec<Vec<u8>>);

impl ServerSecrets {
    /// # Errors
    ///
    /// None at all, one under 32 bytes, or one of equal bytes.
    pub(crate) fn new(secrets: Vec<Vec<u8>>) -> Result<Self, ConfigError> {
        let weak = |secret: &&Vec<u8>| secret.len() < MIN_SECRET || secret.windows(2).all(|pair| pair[0] == pair[1]);
        if secrets.is_empty() || secrets.iter().any(|secret| weak(&secret)) {
            return Err(ConfigError::new(
                "a server secret has 32 random bytes or more: `openssl rand -base64 48` makes one",
            ));
        }
        Ok(Self(secrets))
    }

    /// A key for each secret, for one purpose alone (HKDF, RFC 5869, with the purpose as its `info`): what is signed for one
    /// purpose is good for no other.
    fn keys(&self, purpose: &'static str) -> Result<Vec<hmac::Key>, ConfigError> {
        let key = |secret: &Vec<u8>| {
            let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"axum-device-sessions").extract(secret);
            let expanded = root.expand(&[purpose.as_bytes()], hmac::HMAC_SHA256).map(hmac::Key::from);
            expanded.map_err(|_| ConfigError::new("no key can be derived from the server secret"))
        };
        self.0.iter().map(key).collect()
    }
}

/// Texts that only the holders of a secret can make: some bytes and their HMAC-SHA256, in base64url.
pub(crate) struct Seal {
    makes: hmac::Key,
    /// That one among them.
    accepted: Vec<hmac::Key>,
}

const MAC: usize = 32;

impl Seal {
    pub(crate) fn new(secrets: &ServerSecrets, purpose: &'static str) -> Result<Self, ConfigError> {
        let accepted = secrets.keys(purpose)?;
        let makes = accepted.first().cloned().ok_or_else(|| ConfigError::new("no server secret"))?;
        Ok(Self { makes, accepted })
    }

    /// The text of these bytes: the same each time.
    pub(crate) fn seal(&self, body: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode([body, hmac::sign(&self.makes, body).as_ref()].concat())
    }

    /// The bytes of a text, if there are so many and the MAC is right by any of the keys. Compared in constant time.
    pub(crate) fn open<const N: usize>(&self, text: &str) -> Option<[u8; N]> {
        // Nothing longer is looked at.
        if text.len() != ((N + MAC) * 4).div_ceil(3) {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (body, mac) = bytes.split_at_checked(N)?;
        self.accepted.iter().find(|key| hmac::verify(key, body, mac).is_ok())?;
        body.try_into().ok()
    }
}

/// Keys.
impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSecrets").finish_non_exhaustive()
    }
}
