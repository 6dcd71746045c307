//! The application's say in what goes into a token, and whether there is to be one.

use std::pin::Pin;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Inner;
use crate::{
    error::{BoxError, Error, ErrorKind},
    session::{SessionId, UserId},
};

/// The token that [`on_issue`](crate::SessionsBuilder::on_issue) is asked about.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Issuing {
    user_id: UserId,
    session_id: SessionId,
}

impl Issuing {
    /// Whose it will be.
    #[must_use]
    pub const fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// The session that it will name.
    #[must_use]
    pub const fn session_id(&self) -> SessionId {
        self.session_id
    }
}

/// The application's answer to "may this token be issued?".
#[derive(Debug)]
pub struct Issue(Option<Map<String, Value>>);

impl Issue {
    /// Yes, with no further claims.
    #[must_use]
    pub fn allow() -> Self {
        Self(Some(Map::new()))
    }

    /// Yes, with these claims: anything that serialises to a JSON object.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidClaims`] where it does not.
    pub fn with_claims(claims: &impl Serialize) -> Result<Self, Error> {
        object(claims, "claims must serialise to a JSON object").map(|claims| Self(Some(claims)))
    }

    /// No: the account is disabled.
    #[must_use]
    pub const fn refuse() -> Self {
        Self(None)
    }
}

pub(crate) type OnIssue =
    Box<dyn Fn(Issuing) -> Pin<Box<dyn Future<Output = Result<Issue, BoxError>> + Send>> + Send + Sync>;

impl Inner {
    /// The claims of a new token: those given at sign-in, and over them what `on_issue` says now.
    pub(super) async fn claims_for(
        &self,
        user_id: &UserId,
        session_id: SessionId,
        mut given: Map<String, Value>,
    ) -> Result<Map<String, Value>, Error> {
        let Some(on_issue) = &self.on_issue else { return Ok(given) };
        let asked = on_issue(Issuing { user_id: user_id.clone(), session_id });
        let answer = asked
            .await
            // Ours (claims that are no object) say themselves what to make of them.
            .map_err(|cause| {
                cause.downcast().map_or_else(|cause| Error::unavailable("asking on_issue", cause), |own| *own)
            })?;
        given.extend(answer.0.ok_or_else(|| Error::new(ErrorKind::Refused, "on_issue refused the user"))?);
        Ok(given)
    }
}

pub(super) fn object(claims: &impl Serialize, doing: &'static str) -> Result<Map<String, Value>, Error> {
    match serde_json::to_value(claims) {
        Ok(Value::Object(claims)) => Ok(claims),
        Ok(_) => Err(Error::new(ErrorKind::InvalidClaims, doing)),
        Err(cause) => Err(Error::because(ErrorKind::InvalidClaims, doing, cause)),
    }
}

/// The application's own data for a row; null is none.
pub(super) fn metadata(metadata: &impl Serialize) -> Result<Option<Value>, Error> {
    serde_json::to_value(metadata)
        .map(|metadata| (!metadata.is_null()).then_some(metadata))
        .map_err(|cause| Error::because(ErrorKind::InvalidClaims, "metadata cannot be serialised", cause))
}

/// Whether a session can be this user's.
pub(super) fn check_user(user: &UserId) -> Result<(), Error> {
    let text = user.as_str();
    if text.is_empty() || text.len() > UserId::MAX_LEN || text.contains('\0') {
        return Err(Error::new(ErrorKind::InvalidInput, "a user id has 1 to 255 bytes and no NUL"));
    }
    Ok(())
}
