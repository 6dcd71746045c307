//! Tokens of many sessions without signing each of them in: copies of a real one, re-signed with its own key.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::Value;
use uuid::Uuid;

/// A token of ours taken apart: its header as it stands, and its claims to be changed.
#[derive(Clone)]
pub struct Forge {
    header: String,
    claims: Value,
    key: EncodingKey,
    algorithm: Algorithm,
}

impl Forge {
    /// Of an HS256 token and its secret.
    pub fn of(token: &str, secret: &str) -> Self {
        Self::with(token, EncodingKey::from_secret(secret.as_bytes()), Algorithm::HS256)
    }

    pub fn with(token: &str, key: EncodingKey, algorithm: Algorithm) -> Self {
        let mut parts = token.split('.');
        let (header, payload) = (parts.next().expect("a header"), parts.next().expect("a payload"));
        let claims = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
        Self { header: header.into(), claims: serde_json::from_slice(&claims).expect("JSON"), key, algorithm }
    }

    /// The same token of another session.
    pub fn token(&self, user: &str, session: Uuid) -> String {
        let mut claims = self.claims.clone();
        claims["sub"] = user.into();
        claims["session_id"] = session.to_string().into();
        self.sign(claims)
    }

    /// Another token of the same session.
    pub fn again(&self) -> String {
        self.sign(self.claims.clone())
    }

    fn sign(&self, mut claims: Value) -> String {
        claims["jti"] = Uuid::new_v4().to_string().into();
        let message = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).expect("its own key");
        format!("{message}.{signature}")
    }
}
