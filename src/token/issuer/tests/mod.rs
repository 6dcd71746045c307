//! Shared by these tests: keys, tokens that no issuer would sign, and an issuer's server that can be slowed and broken.

mod forged;
mod fuzz;
mod keys;
mod logout;
mod server;
mod settings;
mod source;
mod vectors;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{Fetched, ForeignToken, Issuer, Issuers, Outcome, key_set::KeySet};
use crate::{
    clock::{Clock, Tick},
    token::TokenRefusal,
};

pub(super) const ISSUER: &str = "https://id.example";
pub(super) const SESSION: &str = "0191e0a2-7b6c-7def-8123-456789abcdef";

/// A key pair of an issuer.
pub(super) struct TestKey {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) encoding: EncodingKey,
    pub(super) jwk: Value,
}

impl TestKey {
    pub(super) fn es256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        Self {
            kid: kid.into(),
            algorithm: Algorithm::ES256,
            encoding: EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()),
            jwk: json!({ "kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": base64url(x), "y": base64url(y) }),
        }
    }

    pub(super) fn eddsa(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = base64url(pair.public_key().as_ref());
        Self {
            kid: kid.into(),
            algorithm: Algorithm::EdDSA,
            encoding: EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref()),
            jwk: json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x }),
        }
    }

    pub(super) fn rs256(kid: &str) -> Self {
        Self {
            kid: kid.into(),
            algorithm: Algorithm::RS256,
            encoding: vectors::rsa_private(),
            jwk: json!({ "kty": "RSA", "kid": kid, "alg": "RS256", "n": vectors::RSA_N, "e": "AQAB" }),
        }
    }

    pub(super) fn sign(&self, header: &str, claims: &str) -> String {
        self.sign_bytes(header.as_bytes(), claims.as_bytes())
    }

    pub(super) fn sign_bytes(&self, header: &[u8], claims: &[u8]) -> String {
        let message = format!("{}.{}", base64url(header), base64url(claims));
        let _already_installed = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.encoding, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn jwks(keys: &[&TestKey]) -> Value {
    json!({ "keys": keys.iter().map(|key| &key.jwk).collect::<Vec<_>>() })
}

/// The present, in whole seconds: plain jsonwebtoken, the control of these tests, knows no other time.
pub(super) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc().replace_nanosecond(0).unwrap()
}

pub(super) fn issuer() -> Issuer {
    Issuer::new(ISSUER).audience("api")
}

/// That issuer alone, whose keys are known already.
pub(super) fn knowing(issuer: Issuer, keys: &[&TestKey]) -> Issuers {
    let issuers = Issuers::seal(vec![issuer.jwks_url("https://id.example/keys")], None, &Clock::manual()).unwrap();
    learn(&issuers, keys);
    issuers
}

/// As if they had been fetched just now.
pub(super) fn learn(issuers: &Issuers, keys: &[&TestKey]) {
    let source = &issuers.all[0].source;
    let set = KeySet::read(jwks(keys).to_string().as_bytes(), source.accepted()).unwrap();
    source.take(set, Tick::from_nanos(u64::MAX));
}

/// The verdict that needs no asking.
pub(super) fn verify(issuers: &Issuers, token: &str) -> Result<ForeignToken, TokenRefusal> {
    match issuers.verify(token, now()) {
        Some(Outcome::Done(done)) => done,
        Some(Outcome::NeedsKeys(_)) => Err(TokenRefusal::Invalid("TEST: would ask")),
        None => Err(TokenRefusal::Invalid("TEST: of no issuer")),
    }
}

/// As the caller does it: asks if that is needed, and verifies again. `Err` says why the issuer's keys did not help.
pub(super) async fn settle(issuers: &Issuers, token: &str) -> Result<Result<ForeignToken, TokenRefusal>, Fetched> {
    match issuers.verify(token, now()).expect("of this issuer") {
        Outcome::Done(done) => Ok(done),
        Outcome::NeedsKeys(pending) => match pending.wait().await {
            Fetched::Found => Ok(verify(issuers, token)),
            other => Err(other),
        },
    }
}

/// A good token, to be made bad in one place.
#[derive(Clone)]
pub(super) struct Forged {
    pub(super) header: Value,
    pub(super) claims: Value,
}

impl Forged {
    pub(super) fn good(key: &TestKey) -> Self {
        let now = now().unix_timestamp();
        Self {
            header: json!({ "typ": "at+jwt", "alg": key.algorithm, "kid": key.kid }),
            claims: json!({
                "iss": ISSUER, "aud": "api", "sub": "lena", "exp": now + 900, "iat": now, "sid": SESSION,
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

    pub(super) fn sign(&self, key: &TestKey) -> String {
        key.sign(&self.header.to_string(), &self.claims.to_string())
    }

    /// With `extra` put in front of the claims as text: for what a JSON value cannot hold.
    pub(super) fn sign_with_text(&self, key: &TestKey, extra: &str) -> String {
        let claims = self.claims.to_string().replacen('{', &format!("{{{extra},"), 1);
        key.sign(&self.header.to_string(), &claims)
    }
}
