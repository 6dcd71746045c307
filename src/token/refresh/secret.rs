//! Server secrets: the root of everything that this crate signs besides access tokens.

use std::fmt;

use aws_lc_rs::{hkdf, hmac};

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
    pub(crate) fn keys(&self, purpose: &'static str) -> Result<Vec<hmac::Key>, ConfigError> {
        let key = |secret: &Vec<u8>| {
            let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"axum-device-sessions").extract(secret);
            let expanded = root.expand(&[purpose.as_bytes()], hmac::HMAC_SHA256).map(hmac::Key::from);
            expanded.map_err(|_| ConfigError::new("no key can be derived from the server secret"))
        };
        self.0.iter().map(key).collect()
    }
}

impl fmt::Debug for ServerSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSecrets").finish_non_exhaustive()
    }
}
