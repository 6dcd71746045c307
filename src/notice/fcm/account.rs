//! The service account: its key file, and what it signs.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::{error::ConfigError, token::rsa_pair};

/// What of a [key file](https://cloud.google.com/iam/docs/keys-create-delete) is needed.
pub(super) struct ServiceAccount {
    pub(super) project: String,
    /// Where assertions are exchanged; as it stands in the file, since it is their audience too.
    pub(super) token_uri: String,
    email: String,
    key: RsaKeyPair,
    key_id: String,
}

/// All that sending takes ([OAuth 2.0 scopes](https://developers.google.com/identity/protocols/oauth2/scopes#fcm)).
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// The longest that is accepted ([claims](https://developers.google.com/identity/protocols/oauth2/service-account)).
const LIFETIME: Duration = Duration::HOUR;

#[derive(Deserialize)]
struct KeyFile {
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    token_uri: String,
}

impl ServiceAccount {
    pub(super) fn read(json: &str) -> Result<Self, ConfigError> {
        #[derive(Deserialize)]
        struct Kind {
            r#type: String,
        }
        // The parser's own texts may quote what they stumble over, the private key for instance.
        let unreadable = |error: serde_json::Error| {
            let place = format!("line {} column {}", error.line(), error.column());
            ConfigError::because(format!("this is no key file of a service account: {INSTEAD}"), place)
        };
        if serde_json::from_str::<Kind>(json).map_err(unreadable)?.r#type != "service_account" {
            return Err(ConfigError::new(format!("this file is of another type than `service_account`: {INSTEAD}")));
        }
        let KeyFile { project_id, private_key_id, private_key, client_email, token_uri } =
            serde_json::from_str(json).map_err(unreadable)?;
        // It becomes a part of a URL. Old ones have a domain before them: `example.com:shop`.
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if project_id.trim_matches('.').is_empty() || !project_id.chars().all(named) {
            return Err(ConfigError::new(format!("the service account's `project_id` cannot be one: {INSTEAD}")));
        }
        if private_key_id.is_empty() || client_email.is_empty() {
            return Err(ConfigError::new(format!(
                "the service account's `private_key_id` or `client_email` is empty: {INSTEAD}"
            )));
        }
        let key = rsa_pair(private_key.as_bytes()).map_err(|cause| {
            ConfigError::because(format!("the service account's `private_key` cannot be used: {INSTEAD}"), cause)
        })?;
        Ok(Self { project: project_id, token_uri, email: client_email, key, key_id: private_key_id })
    }

    /// Says who we are, for an hour: a JWT for the grant of RFC 7523 §2.1. `None` where it cannot be signed.
    pub(super) fn assertion(&self, now: OffsetDateTime) -> Option<String> {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_uri,
            "iat": now.unix_timestamp(),
            "exp": (now + LIFETIME).unix_timestamp(),
        });
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).ok()?;
        Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

const INSTEAD: &str = "take the JSON that the Firebase console makes (Project settings, Service accounts, Generate new \
                       private key), unchanged";
