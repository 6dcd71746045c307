//! Shared by the tests of this module: keys, and tokens that `TokenKeys::sign` would never make.

mod differential;
mod forged;
mod fuzz;
mod keys;
mod provider;
mod rfc;
mod round_trip;
mod rules;
mod times;
mod vectors;

use std::{sync::LazyLock, time::Duration};

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeyPair as RsaPair, KeySize},
    signature::KeyPair,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{AccessTokens, NewToken, TokenKeys, TokenRefusal, TokenUse, VerifiedToken};
use crate::session::{SessionId, UserId};

pub(super) const SECRET: &[u8] = b"a test secret of exactly 33 bytes";
pub(super) const SESSION: &str = "0191e0a2-7b6c-7def-8123-456789abcdef";

/// Private and public PEM of one RSA key, made once: it takes a while.
pub(super) static RSA: LazyLock<(String, String)> = LazyLock::new(|| {
    let pair = RsaPair::generate(KeySize::Rsa2048).unwrap();
    (
        pem("PRIVATE KEY", pair.as_der().unwrap().as_ref()),
        pem("PUBLIC KEY", pair.public_key().as_der().unwrap().as_ref()),
    )
});

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    pem_of(label, &STANDARD.encode(der))
}

/// As files have it: lines of 64 characters.
pub(super) fn pem_of(label: &str, body: &str) -> String {
    let lines: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

pub(super) fn hs256() -> TokenKeys {
    AccessTokens::hs256(SECRET).unwrap().seal().unwrap()
}

/// The present, in whole seconds: plain jsonwebtoken, the control of these tests, knows no other time.
pub(super) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc().replace_nanosecond(0).unwrap()
}

pub(super) fn new_token<'a>(user_id: &'a UserId, issued_at: OffsetDateTime) -> NewToken<'a> {
    let session_id: SessionId = SESSION.parse().unwrap();
    NewToken {
        usage: TokenUse::Access,
        session_id,
        user_id,
        generation: 1,
        issued_at,
        lifetime: Duration::from_secs(900),
        custom: None,
    }
}

pub(super) fn sign(keys: &TokenKeys) -> String {
    keys.sign(&new_token(&UserId::from("lena"), now())).unwrap()
}

pub(super) fn verify(keys: &TokenKeys, token: &str) -> Result<VerifiedToken, TokenRefusal> {
    keys.verify(token, TokenUse::Access, now())
}

/// A good token, taken apart, to be made bad in one place and signed properly with `SECRET`.
#[derive(Clone)]
pub(super) struct Forged {
    pub(super) header: Value,
    pub(super) claims: Value,
}

impl Forged {
    pub(super) fn good() -> Self {
        let now = now().unix_timestamp();
        Self {
            header: json!({ "typ": "at+jwt", "alg": "HS256", "kid": super::SigningKey::hs256(SECRET).unwrap().kid() }),
            claims: json!({
                "iss": "axum-device-sessions", "aud": "axum-device-sessions", "sub": "lena", "exp": now + 900, "iat": now,
                "jti": "1", "session_id": SESSION,
            }),
        }
    }

    pub(super) fn header(mut self, name: &str, value: Value) -> Self {
        self.header[name] = value;
        self
    }

    pub(super) fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims[name] = value;
        self
    }

    pub(super) fn without_header(mut self, name: &str) -> Self {
        self.header.as_object_mut().unwrap().remove(name).unwrap();
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(name).unwrap();
        self
    }

    pub(super) fn sign(&self) -> String {
        sign_text(&self.header.to_string(), &self.claims.to_string())
    }

    /// With `extra` put in front of the claims as text: for what a JSON value cannot hold.
    pub(super) fn sign_with_text(&self, extra: &str) -> String {
        sign_text(&self.header.to_string(), &self.claims.to_string().replacen('{', &format!("{{{extra},"), 1))
    }
}

pub(super) fn sign_text(header: &str, claims: &str) -> String {
    sign_bytes(header.as_bytes(), claims.as_bytes(), SECRET)
}

pub(super) fn sign_bytes(header: &[u8], claims: &[u8], secret: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    // As `seal` does it: these tests must not be the ones that let jsonwebtoken choose.
    let _already_installed = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// The control: what `set_issuer` and `set_audience` alone let through.
pub(super) fn naive_accepts(token: &str) -> bool {
    naive_accepts_with(token, &DecodingKey::from_secret(SECRET), Algorithm::HS256)
}

pub(super) fn naive_accepts_with(token: &str, key: &DecodingKey, algorithm: Algorithm) -> bool {
    let _already_installed = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&["axum-device-sessions"]);
    validation.set_audience(&["axum-device-sessions"]);
    jsonwebtoken::decode::<Value>(token, key, &validation).is_ok()
}
