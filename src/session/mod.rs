//! The words of this crate: who is signed in, where, and why a session ended.

mod device;
mod end;

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::{
    device::{Device, DeviceType, FormFactor},
    end::{EndReason, Ended},
};
use crate::place::Position;

/// The id of a session. Not a secret: it names a session in lists, logs and URLs, and opens nothing by itself.
///
/// Ids made by this crate are UUID version 7 (RFC 9562), so that rows of one day lie together in the index; any other
/// UUID is accepted where an id is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
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
