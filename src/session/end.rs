//! How sessions end.

use std::{fmt, sync::Arc};

use serde::Serialize;
use time::OffsetDateTime;

/// The end of a session: once there, it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Ended {
    /// When. Of a session that ran out, the moment at which it did.
    #[serde(rename = "endedAt", with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Why.
    #[serde(rename = "endReason")]
    pub reason: EndReason,
    /// Who did it, where that is known: the id of the session that asked, or a name the application gave. Not
    /// serialised: it may be an administrator's.
    #[serde(skip)]
    pub by: Option<String>,
    /// It was none yet: the second factor was still to come.
    #[serde(skip)]
    pub(crate) of_pending: bool,
}

impl Ended {
    pub(crate) const fn new(at: OffsetDateTime, reason: EndReason, by: Option<String>) -> Self {
        Self { at, reason, by, of_pending: false }
    }
}

/// Why a session ended. The text form is stable: clients see it in `session_ended` answers.
///
/// This version ends sessions by itself as `logout`, `revoked_by_user`, `replaced`, `limit`, `idle`, `absolute`, `refresh_reuse`,
/// `credential_change` and `account_disabled`; an end by hand in the database is `revoked_by_admin`; the others are for [`Admin::end`](crate::Admin::end),
/// [`Sessions::end`](crate::Sessions::end) and later versions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// Its own user signed out on it.
    Logout,
    /// Its user signed it out from another device.
    RevokedByUser,
    /// An administrator did, through the API or by hand in the database.
    RevokedByAdmin,
    /// The user answered "that was not me" to an alert.
    RevokedByAlert,
    /// The same device signed in again.
    Replaced,
    /// The user had too many sessions.
    Limit,
    /// No request for longer than the idle timeout.
    Idle,
    /// The absolute lifetime was over.
    Absolute,
    /// A refresh token that had been used up was presented again.
    RefreshReuse,
    /// The user's password or second factor changed.
    CredentialChange,
    /// The account was disabled.
    AccountDisabled,
    /// A reason that this version does not know: somebody wrote it into the database.
    Other(Arc<str>),
}

impl EndReason {
    /// The stable text form, as in the database and in answers.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(text) => text,
            known => known.as_label(),
        }
    }
}

impl EndReason {
    /// Like [`EndReason::as_str`], but from a bounded set: for the labels of metrics.
    pub(crate) const fn as_label(&self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::RevokedByUser => "revoked_by_user",
            Self::RevokedByAdmin => "revoked_by_admin",
            Self::RevokedByAlert => "revoked_by_alert",
            Self::Replaced => "replaced",
            Self::Limit => "limit",
            Self::Idle => "idle",
            Self::Absolute => "absolute",
            Self::RefreshReuse => "refresh_reuse",
            Self::CredentialChange => "credential_change",
            Self::AccountDisabled => "account_disabled",
            Self::Other(_) => "other",
        }
    }
}

impl From<&str> for EndReason {
    fn from(text: &str) -> Self {
        match text {
            "logout" => Self::Logout,
            "revoked_by_user" => Self::RevokedByUser,
            "revoked_by_admin" => Self::RevokedByAdmin,
            "revoked_by_alert" => Self::RevokedByAlert,
            "replaced" => Self::Replaced,
            "limit" => Self::Limit,
            "idle" => Self::Idle,
            "absolute" => Self::Absolute,
            "refresh_reuse" => Self::RefreshReuse,
            "credential_change" => Self::CredentialChange,
            "account_disabled" => Self::AccountDisabled,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for EndReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
