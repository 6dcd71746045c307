//! The words of this crate: who is signed in, where, and why a session ended.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::place::Position;

/// The id of a session. Not a secret: it names a session in lists, logs and URLs, and opens nothing by itself.
///
/// Ids made by this crate are UUID version 7 (RFC 9562), so that rows of one day lie together in the index; any other
/// UUID is accepted where an id is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(Uuid);

impl SessionId {
    /// A new id: time-ordered, with 74 random bits.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default id would be a different one each time")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id as a UUID.
    #[must_use]
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for SessionId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl FromStr for SessionId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({})", self.0)
    }
}

/// The application's own id of a user, as text: `42.to_string()`, a UUID, an OIDC `sub`. Cheap to clone.
///
/// It is the `sub` claim of the access token. It must not be empty, and has at most [`UserId::MAX_LEN`] bytes; that is
/// checked at sign-in, not here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(Arc<str>);

impl UserId {
    /// The longest user id, in bytes. OIDC Core §2 caps `sub` at 255.
    pub const MAX_LEN: usize = 255;

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for UserId {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({:?})", self.0)
    }
}

/// One session of one user on one device.
///
/// Serialises as the object that `GET /sessions` returns: camelCase, times in RFC 3339 UTC, `null` for what is not
/// known, and never a token.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is. Not serialised: the list is always of the user who asks.
    #[serde(skip)]
    pub user_id: UserId,
    /// What it runs on, in words that its owner would use.
    #[serde(flatten)]
    pub device: Device,
    /// The address of the last request that was recorded.
    pub ip_address: Option<IpAddr>,
    /// Place of that address, as text for people: "Moscow, Russia". See [`SessionsBuilder::locator`](crate::SessionsBuilder::locator).
    pub location: Option<String>,
    /// ISO 3166-1 alpha-2 code of that place.
    pub country_code: Option<String>,
    /// The point on the globe of that place. Not serialised.
    #[serde(skip)]
    pub position: Option<Position>,
    /// Of the known device that it runs on.
    #[serde(skip)]
    pub(crate) device_key: Option<DeviceKey>,
    /// The second factor is still to come. Not serialised: such a session is in no list.
    #[serde(skip)]
    pub(crate) pending: bool,
    /// When the user signed in.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// The newest request known. Recorded in batches, so another node's may be missing for an activity interval.
    #[serde(with = "time::serde::rfc3339")]
    pub last_activity_at: OffsetDateTime,
    /// When it will end if nothing happens: the nearer of idle timeout and absolute lifetime. An idle session is
    /// refused two activity intervals later, since another node may know better.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// When it ends whatever happens. Set at sign-in, never moved.
    #[serde(skip)]
    pub absolute_expires_at: OffsetDateTime,
    /// When the user last proved who they are: at sign-in, or since, by
    /// [`Sessions::reauthenticated`](crate::Sessions::reauthenticated). Not serialised.
    #[serde(skip)]
    pub authenticated_at: OffsetDateTime,
    /// Whether it is the session that asks.
    pub is_current: bool,
    #[serde(skip)]
    pub(crate) generations: Generations,
    /// The application's own claims, given at sign-in, for each new access token.
    #[serde(skip)]
    pub(crate) claims: Option<serde_json::Value>,
    /// The issuer that it is a session of, where it was not signed in here. Not serialised.
    #[serde(skip)]
    pub issuer: Option<String>,
    /// The application's own data, given at sign-in. Not serialised.
    #[serde(skip)]
    pub metadata: Option<serde_json::Value>,
    /// When and why it ended (`endedAt`, `endReason`); `None`, and not serialised, while it lives.
    #[serde(flatten)]
    pub ended: Option<Ended>,
}

/// Claims and metadata are the application's, and may be personal.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("user_id", &self.user_id)
            .field("device", &self.device)
            .field("ip_address", &self.ip_address)
            .field("location", &self.location)
            .field("created_at", &self.created_at)
            .field("last_activity_at", &self.last_activity_at)
            .field("expires_at", &self.expires_at)
            .field("is_current", &self.is_current)
            .field("pending", &self.pending)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// What [`SignIn::claims`](crate::SignIn::claims) gave.
    pub(crate) fn given_claims(&self) -> serde_json::Map<String, serde_json::Value> {
        self.claims.as_ref().and_then(serde_json::Value::as_object).cloned().unwrap_or_default()
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Session {
    /// A live session of this user, made up, a day long.
    pub(crate) fn fake(user_id: UserId) -> Self {
        let now = OffsetDateTime::now_utc();
        let tomorrow = now + time::Duration::DAY;
        Self {
            id: SessionId::new(),
            user_id,
            device: Device::named("Test"),
            ip_address: None,
            location: None,
            country_code: None,
            position: None,
            device_key: None,
            pending: false,
            created_at: now,
            last_activity_at: now,
            expires_at: tomorrow,
            absolute_expires_at: tomorrow,
            authenticated_at: now,
            is_current: true,
            generations: Generations::FIRST,
            claims: None,
            issuer: None,
            metadata: None,
            ended: None,
        }
    }
}

/// What a device of a user is known by: a hash of its id and the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DeviceKey(pub(crate) [u8; 32]);

/// Which of a session's access tokens are still good: see `token/refresh/rule.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generations {
    pub(crate) current: u64,
    /// The current one is known to have arrived.
    pub(crate) seen: bool,
    pub(crate) at_floor: u64,
    pub(crate) at_root: Option<u64>,
}

impl Generations {
    pub(crate) const FIRST: Self = Self { current: 1, seen: false, at_floor: 1, at_root: None };
}

/// The end of a session: once there, it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
/// This version ends sessions by itself as `logout`, `revoked_by_user`, `replaced`, `idle`, `absolute`, `refresh_reuse`,
/// `credential_change` and `account_disabled`; an
/// end by hand in the database is `revoked_by_admin`; the others are for [`Admin::end`](crate::Admin::end),
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

/// What a session runs on, for display. Taken from what the client says of itself: never a proof of anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Device {
    /// One line for a person: "Chrome on Windows", "Safari on iPhone".
    #[serde(rename = "deviceName")]
    pub name: String,
    /// The kind of client.
    #[serde(rename = "deviceType")]
    pub kind: DeviceType,
    /// The shape of the thing.
    pub form_factor: Option<FormFactor>,
    /// Operating system: "Windows", "macOS", "iOS", "Android", ..
    pub os: Option<String>,
    /// Its version, only where the client tells the truth about it (a User-Agent alone does not).
    pub os_version: Option<String>,
    /// Browser: "Chrome", "Edge", "Safari", ..
    pub browser: Option<String>,
    /// Its major version.
    pub browser_version: Option<String>,
    /// Hardware model: "Pixel 8", "iPhone".
    pub model: Option<String>,
}

impl Device {
    /// A device of which only the name is known.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: DeviceType::Other,
            form_factor: None,
            os: None,
            os_version: None,
            browser: None,
            browser_version: None,
            model: None,
        }
    }
}

/// The kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DeviceType {
    /// Any browser, on any hardware.
    Web,
    /// A native app on iOS or iPadOS.
    Ios,
    /// A native app on Android.
    Android,
    /// The rest: scripts, command-line tools, servers, unknown.
    Other,
}

impl DeviceType {
    /// The stable text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Ios => "ios",
            Self::Android => "android",
            Self::Other => "other",
        }
    }
}

impl From<&str> for DeviceType {
    fn from(text: &str) -> Self {
        match text {
            "web" => Self::Web,
            "ios" => Self::Ios,
            "android" => Self::Android,
            _ => Self::Other,
        }
    }
}

/// The shape of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FormFactor {
    /// A desktop or laptop computer.
    Desktop,
    /// A phone.
    Phone,
    /// A tablet.
    Tablet,
    /// A television or set-top box.
    Tv,
    /// A game console.
    Console,
    /// A watch.
    Watch,
}

impl FormFactor {
    /// The stable text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Phone => "phone",
            Self::Tablet => "tablet",
            Self::Tv => "tv",
            Self::Console => "console",
            Self::Watch => "watch",
        }
    }

    /// The form factor of that text, if it is one.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Desktop, Self::Phone, Self::Tablet, Self::Tv, Self::Console, Self::Watch]
            .into_iter()
            .find(|known| known.as_str() == text)
    }
}
