//! Telling somebody of an event: whom, and what for.

use std::fmt;

use serde::Deserialize;
use uuid::Uuid;

use super::{Event, EventKind};

/// What a [`Notifier`](crate::Notifier) is to deliver.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Notice {
    /// Of this notice: the same at every attempt, so that a receiver knows whether it has been told. Several devices that
    /// are told of one event get notices of different ids.
    pub id: Uuid,
    /// What happened.
    pub event: Event,
    /// Whom to tell, and what for.
    pub message: Message,
    /// Which attempt this is: 1 for the first.
    pub attempt: u32,
}

/// Whom a [`Notice`] is for.
#[derive(Clone)]
#[non_exhaustive]
pub enum Message {
    /// The application's own systems: the event as such.
    Event,
    /// The device whose session has ended: it forgets what it holds of this session, after it has compared the id with
    /// that of its own. It holds no token that would still open anything.
    ForceLogout {
        /// Where to.
        target: PushTarget,
    },
    /// Another device of the user on whose account somebody has signed in.
    NewLogin {
        /// Where to.
        target: PushTarget,
    },
    /// The same, to the user by mail (or however the application reaches a person who is not at any device).
    NewLoginMail {
        /// The address of a page on which they can say that it was somebody else: a secret, for that person alone. `None`
        /// where the application has set no [`alert_links`](crate::SessionsBuilder::alert_links).
        disown_url: Option<String>,
    },
}

/// The address is a secret, and so is a target's token.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "Event",
            Self::ForceLogout { .. } => "ForceLogout { .. }",
            Self::NewLogin { .. } => "NewLogin { .. }",
            Self::NewLoginMail { .. } => "NewLoginMail { .. }",
        })
    }
}

/// Where a device can be reached by push, as its app has registered it. It belongs to one session, and is gone with it.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct PushTarget {
    /// By whom: `fcm`, `apns`, or a name of the application's own. What [`Wants::push`] names.
    pub provider: String,
    /// The provider's token for the app on this device: not to be shown to anybody else.
    pub token: String,
}

impl PushTarget {
    /// A device of this provider. What it says is checked when it is set, not here.
    pub fn new(provider: impl Into<String>, token: impl Into<String>) -> Self {
        Self { provider: provider.into(), token: token.into() }
    }

    /// More than any provider's tokens have (FCM's have less than 300), and what an index of Postgres can hold.
    pub(crate) const MAX_TOKEN: usize = 2_048;

    /// Whether it could be one.
    pub(crate) fn is_plausible(&self) -> bool {
        is_name(&self.provider)
            && (1..=Self::MAX_TOKEN).contains(&self.token.len())
            && self.token.chars().all(|c| c.is_ascii_graphic())
    }
}

impl fmt::Debug for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushTarget").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// Which notices a [`Notifier`](crate::Notifier) is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wants {
    pub(crate) events: Vec<EventKind>,
    pub(crate) push: Option<String>,
    pub(crate) mail: bool,
}

impl Wants {
    /// Events of these kinds: [`Message::Event`].
    pub fn events(kinds: impl IntoIterator<Item = EventKind>) -> Self {
        Self { events: kinds.into_iter().collect(), ..Self::default() }
    }

    /// Messages to the devices of this provider: [`Message::ForceLogout`] and [`Message::NewLogin`]. 1 to 40 of `a-z`, `0-9`,
    /// `-` and `_`.
    pub fn push(provider: impl Into<String>) -> Self {
        Self { push: Some(provider.into()), ..Self::default() }
    }

    /// Messages to a person: [`Message::NewLoginMail`].
    #[must_use]
    pub fn mail() -> Self {
        Self { mail: true, ..Self::default() }
    }

    /// What both want. Of two providers the last one counts.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.events.extend(other.events);
        Self { events: self.events, push: other.push.or(self.push), mail: self.mail || other.mail }
    }
}

/// Names of notifiers and providers: they stand in rows.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
}

#[cfg(any(test, feature = "test-util"))]
impl Notice {
    /// A notice of a made-up event, for tests of notifiers. Change its fields as needed.
    #[must_use]
    pub fn fake(kind: EventKind, message: Message) -> Self {
        use crate::session::{DeviceType, EndReason, SessionId, UserId};
        let event = Event {
            id: Uuid::now_v7(),
            kind,
            at: time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000),
            user_id: UserId::from("ahmed"),
            session_id: SessionId::new(),
            device_name: "Chrome on Windows".to_owned(),
            device_type: DeviceType::Web,
            ip_address: Some(std::net::Ipv4Addr::new(203, 0, 113, 7).into()),
            location: Some("Moscow, Russia".to_owned()),
            country_code: Some("RU".to_owned()),
            reason: (kind == EventKind::SessionEnded).then_some(EndReason::RevokedByUser),
            actor: None,
            signals: Vec::new(),
        };
        Self { id: Uuid::now_v7(), event, message, attempt: 1 }
    }
}
