//! What happened, as others are told of it: the same names and the same JSON for every receiver.

mod notice;

use std::{net::IpAddr, str::FromStr};

use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use self::notice::is_name;
pub use self::notice::{Message, Notice, PushTarget, Wants};
use crate::{
    session::{DeviceType, EndReason, SessionId, UserId},
    signals::Signal,
};

/// Something that happened to a session. Serialises to the JSON that receivers get (`docs/notices.md`), as
/// [Standard Webhooks](https://www.standardwebhooks.com) has it: `id`, `type`, `version`, `timestamp` and `data`. It never
/// holds a token.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// The same however often, and to whomever, it is told.
    pub id: Uuid,
    /// What.
    pub kind: EventKind,
    /// When, by the store's clock.
    pub at: OffsetDateTime,
    /// Whose session.
    pub user_id: UserId,
    /// Which.
    pub session_id: SessionId,
    /// What its device is called: "Chrome on Windows".
    pub device_name: String,
    /// What kind of client it is.
    pub device_type: DeviceType,
    /// The address it was last known at.
    pub ip_address: Option<IpAddr>,
    /// The place of that: "Moscow, Russia".
    pub location: Option<String>,
    /// ISO 3166-1 alpha-2 code of its country.
    pub country_code: Option<String>,
    /// Why it ended, where it has.
    pub reason: Option<EndReason>,
    /// On whose word it ended: the id of a session, or a name.
    pub actor: Option<String>,
    /// What was unusual about the sign-in, where that is told.
    pub signals: Vec<Signal>,
}

/// What happened. New kinds may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EventKind {
    /// `session.created`: somebody is signed in, second factor included.
    SessionCreated,
    /// `session.refreshed`: new tokens for a refresh token.
    SessionRefreshed,
    /// `session.renamed`: its owner has given it a name.
    SessionRenamed,
    /// `session.ended`, for whatever reason, by whomever.
    SessionEnded,
    /// `login.new_device`: signed in on a device that was not known, and not the first one.
    LoginNewDevice,
    /// `login.suspicious`: signed in, and something besides a new device was unusual.
    LoginSuspicious,
    /// `login.disowned`: the owner of the account says that it was somebody else. Whoever it was knew the password: it should
    /// be changed.
    LoginDisowned,
    /// `refresh.reuse`: a refresh token was used that must have been copied. The session has ended for it.
    RefreshReuse,
}

impl EventKind {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::SessionCreated,
        Self::SessionRefreshed,
        Self::SessionRenamed,
        Self::SessionEnded,
        Self::LoginNewDevice,
        Self::LoginSuspicious,
        Self::LoginDisowned,
        Self::RefreshReuse,
    ];

    /// Its name, `session.ended` for example. This text is stable.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SessionCreated => "session.created",
            Self::SessionRefreshed => "session.refreshed",
            Self::SessionRenamed => "session.renamed",
            Self::SessionEnded => "session.ended",
            Self::LoginNewDevice => "login.new_device",
            Self::LoginSuspicious => "login.suspicious",
            Self::LoginDisowned => "login.disowned",
            Self::RefreshReuse => "refresh.reuse",
        }
    }
}

impl FromStr for EventKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No kind of event has this name in this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownKind;

impl std::fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no kind of event has this name")
    }
}

impl std::error::Error for UnknownKind {}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Envelope<'a> {
            id: Uuid,
            r#type: &'static str,
            version: u8,
            #[serde(with = "time::serde::rfc3339")]
            timestamp: OffsetDateTime,
            data: Data<'a>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Data<'a> {
            user_id: &'a UserId,
            session_id: SessionId,
            device_name: &'a str,
            device_type: &'a DeviceType,
            ip_address: Option<IpAddr>,
            location: Option<&'a str>,
            country_code: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<&'a EndReason>,
            #[serde(skip_serializing_if = "Option::is_none")]
            actor: Option<&'a str>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            signals: &'a [Signal],
        }
        let data = Data {
            user_id: &self.user_id,
            session_id: self.session_id,
            device_name: &self.device_name,
            device_type: &self.device_type,
            ip_address: self.ip_address,
            location: self.location.as_deref(),
            country_code: self.country_code.as_deref(),
            reason: self.reason.as_ref(),
            actor: self.actor.as_deref(),
            signals: &self.signals,
        };
        Envelope { id: self.id, r#type: self.kind.as_str(), version: 1, timestamp: self.at, data }.serialize(serializer)
    }
}
