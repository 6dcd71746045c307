//! The service account's key.

use std::sync::LazyLock;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde_json::Value;

/// One key pair for all tests: making one takes a while.
pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(Keys::new);

/// A key pair: as PEM, and as jsonwebtoken takes it.
pub(crate) struct Keys {
    pub(crate) private: String,
    pub(crate) public: String,
    signing: EncodingKey,
    pub(crate) verifying: DecodingKey,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
        Self {
            private: pem("PRIVATE KEY", private.as_ref()),
            public: pem("PUBLIC KEY", public.as_ref()),
            // The PKCS #1 key within, behind a header that has one length for all keys of this size.
            signing: EncodingKey::from_rsa_der(&private.as_ref()[26..]),
            verifying: DecodingKey::from_rsa_raw_components(
                n.big_endian_without_leading_zero(),
                e.big_endian_without_leading_zero(),
            ),
        }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// These claims as the account signs them, by other code than that which is tested.
pub(crate) fn signed(claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &KEYS.signing).unwrap()
}
