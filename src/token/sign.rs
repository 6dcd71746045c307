//! Making a token.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    access::TokenKeys,
    claims::{Claims, is_reserved},
    keys::{SigningKey, VerifyingKey},
    verify::{MAX_TOKEN, TokenUse},
};
use crate::{
    error::{Error, ErrorKind},
    session::{SessionId, UserId},
};

const DOING: &str = "signing an access token";

/// What a token is to say.
#[derive(Debug)]
pub(crate) struct NewToken<'a> {
    pub(crate) usage: TokenUse,
    pub(crate) session_id: SessionId,
    pub(crate) user_id: &'a UserId,
    /// The refresh generation that it belongs to.
    pub(crate) generation: u64,
    pub(crate) issued_at: OffsetDateTime,
    /// Tokens count whole seconds: the end is rounded up, so it lives at least this long and at least a second.
    pub(crate) lifetime: Duration,
    pub(crate) custom: Option<&'a Map<String, Value>>,
}

/// A signing key ready for use. The header is the same for all its tokens of one use, so it is encoded once.
pub(super) struct Signer {
    encoding: EncodingKey,
    algorithm: Algorithm,
    pub(super) kid: String,
    access_header: String,
    cookie_header: String,
    pending_header: String,
}

impl Signer {
    pub(super) fn new(key: SigningKey) -> Self {
        let algorithm = key.verifying.algorithm;
        let [access_header, cookie_header, pending_header] =
            [TokenUse::Access, TokenUse::Cookie, TokenUse::Pending].map(|usage| header(&key.verifying, usage));
        Self { encoding: key.encoding, algorithm, kid: key.verifying.kid, access_header, cookie_header, pending_header }
    }

    fn header(&self, usage: TokenUse) -> &str {
        match usage {
            TokenUse::Access => &self.access_header,
            TokenUse::Cookie => &self.cookie_header,
            TokenUse::Pending => &self.pending_header,
        }
    }
}

/// The header of the tokens of a key, encoded.
pub(super) fn header(key: &VerifyingKey, usage: TokenUse) -> String {
    let header = serde_json::json!({ "typ": usage.media_type(), "alg": key.algorithm, "kid": key.kid });
    URL_SAFE_NO_PAD.encode(header.to_string())
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Payload<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    exp: i64,
    iat: i64,
    jti: Uuid,
    session_id: SessionId,
    #[serde(rename = "gen")]
    generation: u64,
    #[serde(flatten)]
    custom: Option<&'a Map<String, Value>>,
}

impl TokenKeys {
    /// The header of its tokens, encoded.
    #[cfg(any(test, fuzzing))]
    pub(super) fn header(&self, usage: TokenUse) -> &str {
        self.signer.as_ref().map_or("", |signer| signer.header(usage))
    }

    /// A signed access token (`typ: at+jwt`), one for the session cookie (`session+jwt`), or one for the
    /// way to the second factor (`pending+jwt`).
    ///
    /// `CannotSign` without a signing key; `InvalidClaims` for custom claims of a reserved name or too large ones, an
    /// unusable user id, a time that cannot be written. What it returns, [`TokenKeys::verify`] accepts.
    pub(crate) fn sign(&self, new: &NewToken<'_>) -> Result<String, Error> {
        let Some(signer) = &self.signer else {
            return Err(Error::new(ErrorKind::CannotSign, "signing an access token with keys that only verify"));
        };
        new.custom.map_or(Ok(()), check_names)?;
        let payload = serde_json::to_string(&Payload {
            iss: &self.issuer,
            aud: &self.audience,
            sub: new.user_id.as_str(),
            exp: expires_at(new)?,
            iat: new.issued_at.unix_timestamp(),
            jti: Uuid::now_v7(),
            session_id: new.session_id,
            generation: new.generation,
            custom: new.custom,
        })
        .map_err(|cause| Error::because(ErrorKind::InvalidClaims, DOING, cause))?;
        // By the same reader, so that no token goes out that every node would refuse.
        Claims::read(&payload).map_err(|why| Error::because(ErrorKind::InvalidClaims, DOING, why))?;

        let message = format!("{}.{}", signer.header(new.usage), URL_SAFE_NO_PAD.encode(&payload));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &signer.encoding, signer.algorithm)
            .map_err(|cause| Error::because(ErrorKind::CannotSign, DOING, cause))?;
        let token = format!("{message}.{signature}");
        if token.len() > MAX_TOKEN {
            return Err(too_large());
        }
        Ok(token)
    }
}

/// For claims that no token is made with yet: whether they could be in one.
pub(crate) fn check_claims(custom: &Map<String, Value>) -> Result<(), Error> {
    check_names(custom)?;
    let text = serde_json::to_string(custom).map_err(|cause| Error::because(ErrorKind::InvalidClaims, DOING, cause))?;
    if URL_SAFE_NO_PAD.encode(text).len() > MAX_TOKEN { Err(too_large()) } else { Ok(()) }
}

fn check_names(custom: &Map<String, Value>) -> Result<(), Error> {
    if custom.keys().any(|name| is_reserved(name)) {
        return Err(Error::new(
            ErrorKind::InvalidClaims,
            "custom claims must not be named iss, aud, sub, exp, iat, nbf, jti, session_id or gen",
        ));
    }
    Ok(())
}

fn too_large() -> Error {
    Error::new(ErrorKind::InvalidClaims, "the custom claims make the access token longer than 8 KiB")
}

/// Seconds since 1970, rounded up and after `iat`, which is rounded down.
fn expires_at(new: &NewToken<'_>) -> Result<i64, Error> {
    let end = time::Duration::try_from(new.lifetime).ok().and_then(|lifetime| new.issued_at.checked_add(lifetime));
    let end =
        end.ok_or_else(|| Error::new(ErrorKind::InvalidClaims, "the lifetime of the access token is too long"))?;
    let rounded = end.unix_timestamp() + i64::from(end.nanosecond() > 0);
    Ok(rounded.max(new.issued_at.unix_timestamp() + 1))
}
