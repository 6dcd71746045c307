//! Whether a request is one that APNs would take, by Apple's table.

use std::collections::HashSet;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use uuid::Uuid;

use crate::apple::{KEY_ID, Seen, TEAM_ID, TOPIC};

type Refused = (u16, &'static str);

/// What is known of the one who sends.
pub(crate) struct Provider {
    key: Vec<u8>,
    /// The token in use, and since when.
    token: Option<(String, i64)>,
    expired: HashSet<String>,
}

/// Which device it is for.
pub(crate) fn judge<'a>(seen: &'a Seen, doubled: bool, provider: &mut Provider, now: i64) -> Result<&'a str, Refused> {
    if seen.method != "POST" {
        return Err((405, "MethodNotAllowed"));
    }
    let device = seen.path.strip_prefix("/3/device/").ok_or((404, "BadPath"))?;
    if device.is_empty() || !device.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err((400, "BadDeviceToken"));
    }
    let header = |name: &str| seen.headers.get(name).map_or("", String::as_str);
    let token = header("authorization").strip_prefix("bearer ").ok_or((403, "MissingProviderToken"))?;
    provider.authenticate(token, now)?;
    let id = header("apns-id");
    let rules = [
        (doubled, (400, "DuplicateHeaders")),
        (header("apns-topic") != TOPIC, (400, "TopicDisallowed")),
        (Uuid::parse_str(id).is_err() || id.len() != 36 || id != id.to_lowercase(), (400, "BadMessageId")),
        (header("apns-expiration").parse::<u64>().is_err(), (400, "BadExpirationDate")),
        (!matches!(header("apns-push-type"), "alert" | "background"), (400, "InvalidPushType")),
        (header("apns-collapse-id").len() > 64, (400, "BadCollapseId")),
        (seen.body.is_empty(), (400, "PayloadEmpty")),
        (seen.body.len() > 4_096, (413, "PayloadTooLarge")),
    ];
    if let Some((_, refused)) = rules.into_iter().find(|(broken, _)| *broken) {
        return Err(refused);
    }
    match (header("apns-push-type"), header("apns-priority")) {
        ("background", "5") | ("alert", "1" | "5" | "10") => Ok(device),
        _ => Err((400, "BadPriority")),
    }
}

impl Provider {
    pub(crate) fn with_key(key: &[u8]) -> Self {
        Self { key: key.to_vec(), token: None, expired: HashSet::new() }
    }

    /// Takes the present token for expired.
    pub(crate) fn expire(&mut self) {
        let (token, _) = self.token.take().unwrap();
        self.expired.insert(token);
    }

    /// Not by the code under test, nor with its clock.
    fn authenticate(&mut self, token: &str, now: i64) -> Result<(), Refused> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| (403, "InvalidProviderToken"))?;
        let mut rules = Validation::new(Algorithm::ES256);
        rules.required_spec_claims.clear();
        rules.validate_exp = false;
        let claims = jsonwebtoken::decode::<Value>(token, &DecodingKey::from_ec_der(&self.key), &rules)
            .map_err(|_| (403, "InvalidProviderToken"))?
            .claims;
        let issued_at = claims["iat"].as_i64().ok_or((403, "InvalidProviderToken"))?;
        // A minute for clocks that differ.
        if header.kid.as_deref() != Some(KEY_ID) || claims["iss"] != TEAM_ID || issued_at > now + 60 {
            return Err((403, "InvalidProviderToken"));
        }
        if now - issued_at > 3_600 || self.expired.contains(token) {
            return Err((403, "ExpiredProviderToken"));
        }
        match &self.token {
            Some((known, _)) if known == token => {}
            Some((_, since)) if now - since < 1_200 => return Err((429, "TooManyProviderTokenUpdates")),
            _ => self.token = Some((token.to_owned(), now)),
        }
        Ok(())
    }
}
