//! Signatures of Standard Webhooks, symmetric: `v1`, HMAC-SHA256.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::error::ConfigError;

/// As the specification names it, so that neither side takes it for a key of another scheme.
const PREFIX: &str = "whsec_";
const ADVICE: &str = "make one with `echo whsec_$(openssl rand -base64 32)` and give it to the receiver too";

pub(super) struct Secret(hmac::Key);

impl Secret {
    /// `whsec_` and the base64 of 24 to 64 bytes. What is wrong with it is said without repeating any of it.
    pub(super) fn read(text: &str) -> Result<Self, ConfigError> {
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            return Err(ConfigError::new(format!("a webhook's secret begins with `{PREFIX}`: {ADVICE}")));
        };
        // Its error would name a character of the secret.
        let Ok(secret) = STANDARD.decode(encoded) else {
            return Err(ConfigError::new(format!(
                "what follows `{PREFIX}` in a webhook's secret is no base64: {ADVICE}"
            )));
        };
        if !(24..=64).contains(&secret.len()) {
            return Err(ConfigError::new(format!(
                "a webhook's secret has 24 to 64 random bytes and this one has {}: {ADVICE}",
                secret.len()
            )));
        }
        if secret.iter().all(|byte| *byte == secret[0]) {
            return Err(ConfigError::new(format!(
                "this webhook's secret is one byte repeated, so anyone can guess it: {ADVICE}"
            )));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &secret)))
    }

    /// As it stands in `webhook-signature`. Neither the id nor the time may have a full stop in it: it parts them.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.sign("", 0, b"") == other.sign("", 0, b"")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// <https://github.com/standard-webhooks/standard-webhooks>: `libraries/go/webhook_test.go` (and the same in those of
    /// other languages), `libraries/rust/src/lib.rs`.
    #[test]
    fn the_published_examples() {
        for (secret, id, timestamp, body, signature) in [
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                r#"{"email":"test@example.com","username":"test_user"}"#,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
        ] {
            assert_eq!(Secret::read(secret).unwrap().sign(id, timestamp, body.as_bytes()), signature);
        }
    }

    proptest! {
        #[test]
        fn as_the_official_library_signs(
            secret in prop::collection::vec(any::<u8>(), 24..=64),
            id in "[a-zA-Z0-9_-]{1,40}",
            timestamp in 0..i64::from(u32::MAX),
            body in any::<String>(),
        ) {
            prop_assume!(secret.iter().any(|byte| *byte != secret[0]));
            let ours = Secret::read(&format!("whsec_{}", STANDARD.encode(&secret))).unwrap();
            let theirs = standardwebhooks::Webhook::from_bytes(secret).unwrap();
            prop_assert_eq!(
                ours.sign(&id, timestamp, body.as_bytes()),
                theirs.sign(&id, timestamp, body.as_bytes()).unwrap()
            );
        }
    }
}
