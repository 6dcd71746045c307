//! Where sessions are kept. One contract (`tests/store_contract.rs`), two implementations.

mod admit;
mod changes;
mod ends;
mod filter;
mod memory;
pub(crate) mod outbox;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod tokens;
mod upkeep;

use std::{fmt::Debug, future::Future, net::IpAddr, pin::Pin, time::Duration};

use time::OffsetDateTime;

pub(crate) use self::admit::{Admission, COUNTRIES_FOR, Comes, DEVICE_FOR, DEVICES_OF_A_USER, End, Found, SOME};
#[cfg(feature = "postgres")]
pub use self::postgres::{MIGRATIONS, Migration, PostgresStore};
pub use self::{
    admit::{Admit, Admitted, Arrival},
    changes::{ChangeFeed, Changes},
    ends::{EndOutcome, EndRequest, EndTarget},
    filter::SessionFilter,
    memory::MemoryStore,
    outbox::{Alert, Claimed, DeadLetter, Disowned, Outbox, Registration, Settled},
    tokens::{Confirmed, InUse, Rotate, Rotated},
    upkeep::{Expire, Expired, Idle, Purged, Retention},
};
pub(crate) use self::{
    changes::Change,
    tokens::{Decided, Locked, Refusal, Rotation},
};
use crate::{
    clock::Clock,
    error::Error,
    place::Location,
    session::{Device, DeviceKey, Session, SessionId, UserId},
};

/// What a store method returns. Boxed, so that [`SessionStore`] is object-safe and `Sessions` needs no type parameter;
/// every one of them is a round trip to a database, beside which the box is nothing.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Keeps the rows of sessions.
///
/// Sealed: the crate brings [`MemoryStore`] and `PostgresStore`, and methods will be added.
///
/// Every implementation promises:
/// * An end is for ever: nothing changes `ended` once it is set, nothing brings a row back.
/// * Times are the store's own clock's.
/// * Each method answers or fails within a bounded time; `ErrorKind::Unavailable` means that nothing was learnt. A
///   write whose answer was lost may or may not have happened, and may be repeated.
/// * Dropping a returned future leaves nothing open: no transaction, no lock, no busy connection.
pub trait SessionStore: Debug + Outbox + 'static {
    /// Whether the schema is there and of the version that this crate needs. Changes nothing.
    fn check(&self) -> StoreFuture<'_, ()>;

    /// Adds a row. An id that exists is an error, never an overwrite.
    fn create(&self, new: NewSession) -> StoreFuture<'_, Session>;

    /// Lets somebody in, or completes a pending session, as it is decided under the user's lock: no other sign-in of the
    /// user, and no end of all their sessions, runs meanwhile.
    fn admit(&self, arrival: Arrival, admit: Admit) -> StoreFuture<'_, Admitted>;

    /// Gives a live session of this user, and the device below it, a name; `None` where there is no such session.
    fn rename<'a>(&'a self, id: SessionId, user: &'a UserId, name: &'a str) -> StoreFuture<'a, Option<Session>>;

    /// Adds rows of another system. Those whose ids are there already stay as they are; returns how many were added.
    fn import(&self, rows: Vec<Imported>) -> StoreFuture<'_, usize>;

    /// The rows of these ids that exist, ended ones too, in no order.
    fn load<'a>(&'a self, ids: &'a [SessionId]) -> StoreFuture<'a, Loaded>;

    /// A user's rows that have not ended and whose absolute lifetime is not over, in no order.
    fn list<'a>(&'a self, user: &'a UserId) -> StoreFuture<'a, Loaded>;

    /// A user's rows that have ended `within` this span, the newest end first and at most `limit` of them; and those that
    /// have not ended but may have run out. Not those that were never more than pending.
    fn history<'a>(&'a self, user: &'a UserId, within: Duration, limit: usize) -> StoreFuture<'a, Loaded>;

    /// One step of a walk over the live rows, in an order of the store's own: the ids of those that `filter` means. Where
    /// the row that it is to go on after is gone, it is refused as `ErrorKind::InvalidInput`: to end there would pass for
    /// the end of the walk.
    fn walk<'a>(&'a self, filter: &'a SessionFilter, after: Option<SessionId>) -> StoreFuture<'a, Walked>;

    /// Ends sessions: durable when it returns.
    fn end(&self, request: EndRequest) -> StoreFuture<'_, EndOutcome>;

    /// Moves last activity forward, never back, on live rows only; never waits while somebody keeps a row locked. Returns
    /// the ids that are live but could not be written now.
    fn record_activity(&self, batch: Vec<Activity>) -> StoreFuture<'_, Vec<SessionId>>;

    /// Decides under the lock of a session's row, which ending takes as well, what becomes of its tokens.
    fn rotate(&self, id: SessionId, rotate: Rotate) -> StoreFuture<'_, Rotated>;

    /// Notes that these generations of tokens are in use: never repeated needlessly, lost without harm.
    fn confirm(&self, used: Vec<InUse>) -> StoreFuture<'_, Confirmed>;

    /// Ends a batch of the sessions that have run out, unless another node is at it.
    fn expire(&self, request: Expire) -> StoreFuture<'_, Expired>;

    /// Scrubs and deletes a batch of the rows that ended long ago, unless another node is at it.
    fn purge(&self, retention: Retention) -> StoreFuture<'_, Purged>;

    /// Starts telling what others change (see [`Changes`]). Called once, by `build()`.
    fn changes(&self, clock: &Clock, max_staleness: Duration) -> Changes;
}

/// See [`SessionStore::walk`].
pub(crate) const NOWHERE: &str = "the session to go on after is not there any more: begin again";

pub(crate) mod sealed {
    #[expect(unnameable_types, reason = "that is how a trait is sealed")]
    pub trait Sealed {}
}

/// A row to be added. Times are filled in by the store's clock.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// What it runs on.
    pub device: Device,
    /// The User-Agent as sent, bounded; kept so that a better reading of it can be made later.
    pub user_agent: Option<String>,
    /// Where the sign-in came from.
    pub ip_address: Option<IpAddr>,
    /// Where on earth that is.
    pub location: Option<Location>,
    /// What its device is known by.
    pub(crate) device_key: Option<DeviceKey>,
    /// The session that its browser had before, where that is to be remembered until this one is complete.
    pub(crate) replaces: Option<SessionId>,
    /// How long it may live at most.
    pub absolute_lifetime: Duration,
    /// The application's own data.
    pub metadata: Option<serde_json::Value>,
    /// The application's own claims for its access tokens: an object.
    pub claims: Option<serde_json::Value>,
    /// The issuer that it is a session of, where it was not signed in here. Its row is kept as long as it could live,
    /// ended or not.
    pub issuer: Option<String>,
}

impl NewSession {
    /// A row of which only this much is known; set the other fields as needed.
    #[must_use]
    pub const fn new(id: SessionId, user_id: UserId, device: Device, absolute_lifetime: Duration) -> Self {
        Self {
            id,
            user_id,
            device,
            user_agent: None,
            ip_address: None,
            location: None,
            device_key: None,
            replaces: None,
            absolute_lifetime,
            metadata: None,
            claims: None,
            issuer: None,
        }
    }
}

/// A row of another system.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Imported {
    /// The row.
    pub new: NewSession,
    /// When the user signed in.
    pub created_at: OffsetDateTime,
    /// When it was last seen.
    pub last_activity_at: OffsetDateTime,
}

impl Imported {
    /// A row of these times.
    #[must_use]
    pub const fn new(new: NewSession, created_at: OffsetDateTime, last_activity_at: OffsetDateTime) -> Self {
        Self { new, created_at, last_activity_at }
    }
}

/// Rows and the time at which the store read them, by its own clock.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The rows.
    pub sessions: Vec<Session>,
    /// Rows that are there and cannot be read: somebody wrote something odd into them. Nobody else is to suffer.
    pub unreadable: Vec<SessionId>,
    /// The store's time when it read them.
    pub now: OffsetDateTime,
}

/// A session that was seen. An age and not a time, so that the clocks of nodes do not matter.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Activity {
    /// Which session.
    pub id: SessionId,
    /// How long ago, at the time of the call.
    pub age: Duration,
    /// From where; `None` leaves what is known.
    pub ip_address: Option<IpAddr>,
    /// The place of that address. Taken where the address is a new one, or had no place.
    pub location: Option<Location>,
}

impl Activity {
    /// A session seen so long ago.
    #[must_use]
    pub const fn new(id: SessionId, age: Duration, ip_address: Option<IpAddr>) -> Self {
        Self { id, age, ip_address, location: None }
    }
}

/// A step of a walk over live rows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Walked {
    /// The ids that are meant, among those looked at in this step.
    pub matching: Vec<SessionId>,
    /// The last id looked at, to go on after; `None` at the end of the walk.
    pub next: Option<SessionId>,
}
