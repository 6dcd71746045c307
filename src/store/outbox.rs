//! What is to be told, as asked of a store.

use std::{fmt, time::Duration};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{StoreFuture, sealed};
use crate::{
    event::{Event, PushTarget, Wants},
    session::{Ended, SessionId, UserId},
};

/// Keeps what is to be told until it has been.
///
/// Sealed, and a part of [`SessionStore`](super::SessionStore). Every implementation promises besides what that one does:
/// * What happens to a session is in the outbox if and only if it has happened, for each that is registered for it.
/// * What shares a lane (all that happens to one session) is claimed in the order in which it happened.
/// * What is claimed and not settled can be claimed again after its lease.
pub trait Outbox: sealed::Sealed + Send + Sync {
    /// From now on, and for so long, these are told.
    fn register(&self, sinks: Vec<Registration>) -> StoreFuture<'_, ()>;

    /// This one is told nothing more, and what it was to be told is forgotten.
    fn unregister<'a>(&'a self, sink: &'a str) -> StoreFuture<'a, ()>;

    /// What is due for these sinks, at most so many for each; nobody else gets it during the lease.
    fn claim(&self, wanted: Vec<(String, usize)>, lease: Duration) -> StoreFuture<'_, Vec<Claimed>>;

    /// What became of what was claimed.
    fn settle(&self, settled: Vec<Settled>) -> StoreFuture<'_, ()>;

    /// What could not be delivered, the oldest first, after this one.
    fn dead_letters(&self, after: Option<u64>, limit: usize) -> StoreFuture<'_, Vec<DeadLetter>>;

    /// These dead letters are to be delivered again; returns how many there were.
    fn deliver_again(&self, ids: Vec<u64>) -> StoreFuture<'_, usize>;

    /// Where the device of a live session is reached; `None` forgets it. `false`: there is no such live session.
    fn set_push_target(&self, id: SessionId, target: Option<PushTarget>) -> StoreFuture<'_, bool>;

    /// What a user was told of.
    fn alert(&self, id: Uuid) -> StoreFuture<'_, Option<Alert>>;

    /// The user says that it was somebody else. `None`: nobody was told of this, or it has been said before.
    fn disown(&self, id: Uuid) -> StoreFuture<'_, Option<Disowned>>;
}

/// Who is to be told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Registration {
    pub(crate) name: String,
    pub(crate) wants: Wants,
    pub(crate) lasts: Duration,
}

impl Registration {
    /// A sink of this name, for so long.
    pub(crate) const fn new(name: String, wants: Wants, lasts: Duration) -> Self {
        Self { name, wants, lasts }
    }
}

/// Something to deliver.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Claimed {
    pub(crate) seq: i64,
    pub(crate) sink: String,
    pub(crate) notice_id: Uuid,
    pub(crate) event: Event,
    pub(crate) purpose: Purpose,
    pub(crate) attempt: u32,
}

/// What for.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    Event,
    ForceLogout(PushTarget),
    NewLogin(PushTarget),
    Mail { alert: Uuid },
}

impl Purpose {
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::ForceLogout(_) => "force_logout",
            Self::NewLogin(_) => "new_login",
            Self::Mail { .. } => "mail",
        }
    }

    pub(crate) const fn target(&self) -> Option<&PushTarget> {
        match self {
            Self::ForceLogout(target) | Self::NewLogin(target) => Some(target),
            Self::Event | Self::Mail { .. } => None,
        }
    }
}

/// What became of something claimed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settled {
    pub(crate) seq: i64,
    /// By which it is known whether somebody else has claimed it since.
    pub(crate) attempt: u32,
    pub(crate) how: How,
}

#[derive(Clone, Debug)]
pub(crate) enum How {
    Delivered,
    /// To be tried again, but not before.
    Again {
        after: Duration,
        why: String,
    },
    /// Not tried: it counts as never claimed.
    Released,
    Dead {
        why: String,
    },
    /// There is no such device any more.
    Gone(PushTarget),
}

impl How {
    pub(crate) const fn as_label(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Again { .. } => "again",
            Self::Released => "released",
            Self::Dead { .. } => "dead",
            Self::Gone(_) => "gone",
        }
    }
}

/// Something that could not be delivered, and is not tried any more. Kept as long as addresses of ended sessions are:
/// [`scrub_after`](crate::SessionsBuilder::scrub_after).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Its number, for [`Admin::deliver_again`](crate::Admin::deliver_again).
    pub id: u64,
    /// The notifier that could not deliver it.
    pub notifier: String,
    /// What it was for: `event`, `force_logout`, `new_login` or `mail`.
    pub purpose: &'static str,
    /// What happened.
    pub event: Event,
    /// How often it was tried.
    pub attempts: u32,
    /// When that was given up.
    pub failed_at: OffsetDateTime,
    /// Why the last attempt failed.
    pub error: String,
}

/// A sign-in on a new device that a user was told of.
#[derive(Clone)]
#[non_exhaustive]
pub struct Alert {
    /// What they were told, as it was then.
    pub event: Event,
    /// They have said that it was somebody else.
    pub disowned: bool,
}

impl fmt::Debug for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alert").field("event", &self.event.id).field("disowned", &self.disowned).finish_non_exhaustive()
    }
}

/// What saying so did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Disowned {
    /// Whose account it is. Whoever it was knew the password.
    pub user_id: UserId,
    /// The session of that sign-in.
    pub session_id: SessionId,
    /// What has ended now: that one, unless it had ended before, and what there was on its device besides.
    pub(crate) ended: Vec<(SessionId, Ended)>,
}

/// What the names of those begin with who read events in their own process.
pub(crate) const STREAM: &str = "stream-";
/// An attacker who has the password and signs in again and again must not fill a mailbox; three are read.
pub(crate) const ALERTS_AN_HOUR: i64 = 3;
/// So long the link in a mail is good: over a holiday, and not for ever in an old mailbox.
pub(crate) const LINK_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// So long at least it is kept for whoever has not been told yet, since a fleet may be down over a weekend and a receiver
/// longer: as long as a sink that no node speaks for is told of things.
pub(crate) const UNDELIVERED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// So long it is kept what somebody was told of: until no link to it is good, and a day for clocks that differ. Not longer: it
/// says where somebody was.
pub(crate) const ALERTS_FOR: Duration = Duration::from_secs(8 * 24 * 60 * 60);
