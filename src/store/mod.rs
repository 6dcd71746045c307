//! Where sessions are kept. One contract (`tests/store_contract.rs`), two implementations.

mod admit;
mod filter;
mod memory;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;

use std::{fmt::Debug, future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use time::OffsetDateTime;

#[cfg(feature = "postgres")]
pub(crate) use self::admit::SOME;
pub(crate) use self::admit::{Admission, COUNTRIES_FOR, Comes, DEVICE_FOR, DEVICES_OF_A_USER, End, Found};
#[cfg(feature = "postgres")]
pub use self::postgres::{MIGRATIONS, Migration, PostgresStore};
pub use self::{
    admit::{Admit, Admitted, Arrival},
    filter::SessionFilter,
    memory::MemoryStore,
};
use crate::{
    clock::{Clock, Tick},
    error::Error,
    place::Location,
    session::{Device, DeviceKey, EndReason, Ended, Session, SessionId, UserId},
    token::refresh::State,
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
pub trait SessionStore: Debug + Send + Sync + sealed::Sealed + 'static {
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

    /// Moves last activity forward, never back, on live rows only; never waits for a locked row. Returns the ids that
    /// are live but could not be written now.
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

/// Which sessions to end, why and on whose word.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndRequest {
    /// Which.
    pub target: EndTarget,
    /// Why.
    pub reason: EndReason,
    /// On whose word: the id of the session that asks, or a name the application gives.
    pub by: Option<String>,
}

impl EndRequest {
    /// A request.
    #[must_use]
    pub const fn new(target: EndTarget, reason: EndReason, by: Option<String>) -> Self {
        Self { target, reason, by }
    }
}

/// Which sessions to end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EndTarget {
    /// One session; of this user only, if one is given.
    One {
        /// Which.
        id: SessionId,
        /// Another user's counts as not found.
        user: Option<UserId>,
    },
    /// All live sessions of a user but the one that asks, which must itself be live.
    Others {
        /// Whose.
        user: UserId,
        /// The one that asks and stays.
        keep: SessionId,
    },
    /// All live sessions of a user.
    All {
        /// Whose.
        user: UserId,
        /// The session that asks, which must itself be live; `None` when the application does.
        caller: Option<SessionId>,
    },
    /// These, whoever's they are: those of them that are live.
    These {
        /// Which.
        ids: Vec<SessionId>,
    },
}

/// What an [`EndRequest`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndOutcome {
    /// These were ended by this request (none is fine for a request that names no single session).
    Ended(Vec<(SessionId, Ended)>),
    /// The one named had ended before; this is how.
    AlreadyEnded(Ended),
    /// The one named does not exist, or is another user's.
    NotFound,
    /// The session that asked had ended (`Some`) or does not exist, so nothing was done.
    CallerEnded(Option<Ended>),
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

/// What becomes of a session's tokens, decided under the lock of its row. Opaque.
pub struct Rotate(pub(crate) Box<dyn FnOnce(&Locked) -> Decided + Send>);

impl Debug for Rotate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rotate").finish_non_exhaustive()
    }
}

/// A live row, locked.
#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) session: Session,
    pub(crate) tokens: State,
    pub(crate) now: OffsetDateTime,
}

/// What is to be done with it.
#[derive(Clone, Debug)]
pub(crate) enum Decided {
    /// Tokens of this generation may be handed out; `authenticated`: the user has proved anew who they are.
    Tokens { state: State, authenticated: bool },
    /// The session ends.
    End(EndReason),
    /// Nothing is written.
    Refuse(Refusal),
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Tokens from before a re-authentication or a failover.
    Superseded,
    /// The session has run out.
    RanOut(EndReason),
    /// It looks idle, and that is not certain.
    Doubtful,
}

/// What a [`SessionStore::rotate`] did. Opaque.
#[derive(Debug)]
pub struct Rotated(pub(crate) Rotation);

#[derive(Debug)]
pub(crate) enum Rotation {
    NotFound,
    /// It had ended before.
    Ended(Ended),
    /// It has ended by this.
    EndedNow(Ended),
    /// Done; the row as it was just before, and its tokens now.
    Tokens(Box<Locked>, State),
    Refused(Refusal),
}

/// A generation of tokens that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InUse {
    /// Of which session.
    pub id: SessionId,
    /// Which generation.
    pub generation: u64,
}

impl InUse {
    /// This generation of this session.
    #[must_use]
    pub const fn new(id: SessionId, generation: u64) -> Self {
        Self { id, generation }
    }
}

/// What a [`SessionStore::confirm`] did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Confirmed {
    /// Sessions that it ended as `refresh_reuse`: the generation in use had been given up.
    pub ended: Vec<(SessionId, Ended)>,
    /// Not noted: somebody else holds the row just now.
    pub left: Vec<InUse>,
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

/// When a session has run out.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Expire {
    /// The idle timeout; `None` ends by the absolute lifetime alone.
    pub idle: Option<Idle>,
    /// How often all live rows are looked at for idle ones, by all nodes together.
    pub every: Duration,
}

impl Expire {
    /// Of which idle timeout, and how often.
    #[must_use]
    pub const fn new(idle: Option<Idle>, every: Duration) -> Self {
        Self { idle, every }
    }
}

/// When a session is idle.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Idle {
    /// So long after its last activity it ends ..
    pub timeout: Duration,
    /// .. but it is marked so much later: activity that is not written down yet may save it.
    pub allowance: Duration,
}

impl Idle {
    /// A timeout, and how much later it is acted on.
    #[must_use]
    pub const fn new(timeout: Duration, allowance: Duration) -> Self {
        Self { timeout, allowance }
    }
}

/// What a batch of [`SessionStore::expire`] did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Expired {
    /// Ended by it, with reason `idle` or `absolute` and the time at which they ran out.
    pub ended: Vec<(SessionId, Ended)>,
    /// Whether there is another batch to do now.
    pub more: bool,
}

/// For how long rows of ended sessions are kept.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Retention {
    /// So long after the end the address, the place and the User-Agent go.
    pub scrub_after: Duration,
    /// So long after the end the row goes.
    pub history: Duration,
}

impl Retention {
    /// Scrubbed after this, deleted after that.
    #[must_use]
    pub const fn new(scrub_after: Duration, history: Duration) -> Self {
        Self { scrub_after, history }
    }
}

/// What a batch of [`SessionStore::purge`] did.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Purged {
    /// Rows that lost their address, place and User-Agent.
    pub scrubbed: usize,
    /// Rows deleted.
    pub deleted: usize,
    /// Whether there is another batch to do now.
    pub more: bool,
}

/// How a store tells what others change.
#[derive(Debug)]
#[non_exhaustive]
pub enum Changes {
    /// Nobody else can change anything: this process is the only writer.
    OnlyHere,
    /// The store cannot tell. Whatever was read is believed for `max_staleness` and then read again.
    Untold,
    /// A feed, applied in order by one task.
    Feed(ChangeFeed),
}

/// The receiving end of a feed of changes. Opaque.
pub struct ChangeFeed(pub(crate) tokio::sync::mpsc::Receiver<Change>);

impl Debug for ChangeFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangeFeed").finish_non_exhaustive()
    }
}

/// What a feed says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "only Postgres has a feed"))]
pub(crate) enum Change {
    /// A new connection listens: what was read before it does not count under it.
    Connected,
    /// Everything committed before this instant has been told.
    ToldUpTo(Tick),
    /// This session changed.
    Session(SessionId),
    /// Anything may have changed.
    Everything,
    /// Nothing is told any more, for this reason. `elsewhere`: and what was told came from another server.
    Lost { cause: Arc<str>, elsewhere: bool },
}
