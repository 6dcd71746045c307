//! The session of the request.

use std::{fmt, sync::Arc, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{KnownToken, Sessions, keys::InForce, validate::FRESH};
use crate::{
    cache::{Belief, Known, OfToken, Reading, Row},
    clock::Tick,
    policy::{self, Lifetimes},
    seen::{LastSeen, NextTouch},
    session::{Device, EndReason, Session, SessionId, UserId},
    token::TokenUse,
};

/// The live session of the request being handled: proof that the layer has checked it. Take it as an argument of a
/// handler; without a live session the handler is not called.
///
/// ```
/// # use axum_device_sessions::CurrentSession;
/// async fn me(session: CurrentSession) -> String {
///     format!("{} on {}", session.user_id(), session.device().name)
/// }
/// ```
///
/// `Option<CurrentSession>` is for pages that anonymous visitors may see too. It is `None` where no credential was sent
/// and for a refused *cookie*, which a browser cannot take back; a refused `Authorization` header, and a database that
/// cannot be asked, still reject.
#[derive(Clone, Debug)]
pub struct CurrentSession {
    live: OfToken<Live>,
    /// The request came over plain http from this very machine, and that is allowed.
    on_loopback: bool,
}

/// A token that was let in, by a reading of a live row; and what a hit looks at to see whether it still is, side by side, save the
/// count of its place: what lies elsewhere is out of the processor's cache, where there are many sessions. One count for all of it, since each request
/// adds to it.
#[derive(Clone)]
pub(super) struct Live {
    usage: TokenUse,
    #[cfg(feature = "jwks")]
    is_foreign: bool,
    /// The token expires, or the session's absolute end comes.
    until: Tick,
    /// Unless it has been seen since.
    idle: Tick,
    belief: Belief,
    next_touch: NextTouch,
    keys: Option<Arc<InForce>>,
    token: Arc<KnownToken>,
    seen: Arc<LastSeen>,
}

impl Live {
    fn new(token: Arc<KnownToken>, belief: Belief) -> Self {
        let (absolute, idle) = match &belief.reading().known {
            Known::Row(row) => row.deadlines.absolute_and_idle(),
            Known::Missing => (Tick::ZERO, Tick::ZERO),
        };
        Self {
            usage: token.usage,
            #[cfg(feature = "jwks")]
            is_foreign: token.foreign.is_some(),
            until: absolute.min(token.expires),
            idle,
            belief,
            next_touch: NextTouch::default(),
            keys: token.keys.clone(),
            seen: Arc::clone(token.state.seen()),
            token,
        }
    }

    /// Whether what let this token in does so still, if the reading stands. All else that the judge looks at cannot have changed: a
    /// token never does, and a reading neither; and once it is known to have ended, no reading stands.
    #[inline]
    pub(super) fn lets_in(&self, usage: TokenUse, now: Tick, sessions: &Sessions) -> bool {
        #[cfg(feature = "jwks")]
        if self.is_foreign && !sessions.issuer_still_holds(&self.token) {
            return false;
        }
        self.usage == usage
            && now < self.until
            && self.keys.as_ref().is_none_or(|keys| keys.still())
            && (now < self.idle || now < policy::idle_at(self.idle, self.seen().at(), sessions.0.settings.lives))
            && self.belief.holds(now)
    }

    pub(super) const fn seen(&self) -> &Arc<LastSeen> {
        &self.seen
    }

    pub(super) const fn next_touch(&self) -> &NextTouch {
        &self.next_touch
    }

    pub(super) const fn token(&self) -> &Arc<KnownToken> {
        &self.token
    }
}

/// Without the token.
impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reading = self.belief.reading();
        f.debug_struct("Live").field("token", &self.token).field("reading", reading).finish_non_exhaustive()
    }
}

impl CurrentSession {
    /// Only the judge makes one, of a reading of a live row.
    pub(super) fn new(token: Arc<KnownToken>, belief: Belief) -> Self {
        // Not in front: its text is not looked at.
        Self::of(OfToken::new(Live::new(token, belief), b""))
    }

    pub(super) const fn of(live: OfToken<Live>) -> Self {
        Self { live, on_loopback: false }
    }

    pub(super) fn live(&self) -> &Live {
        &self.live
    }

    /// As the session of such a request.
    pub(crate) fn with_loopback(self, on_loopback: bool) -> Self {
        Self { on_loopback, ..self }
    }

    pub(super) const fn is_on_loopback(&self) -> bool {
        self.on_loopback
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.token().state.id()
    }

    /// Whose it is.
    #[must_use]
    pub fn user_id(&self) -> &UserId {
        &self.token().user_id
    }

    /// What it runs on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.row().device
    }

    /// A copy of the session with all that is known of it, active now.
    #[must_use]
    pub fn session(&self) -> Session {
        let session = self.row().session(self.id());
        match self.token().home.upgrade() {
            Some(home) => {
                let now = home.clock.tick();
                home.up_to_date(session, self.token().state.seen().at(), now, home.clock.wall())
            }
            None => session,
        }
    }

    /// When the user last proved who they are, by the database's clock: at sign-in, or since, by
    /// [`Sessions::reauthenticated`](super::Sessions::reauthenticated).
    #[must_use]
    pub fn authenticated_at(&self) -> OffsetDateTime {
        self.row().authenticated_at()
    }

    /// Whether that was no longer ago than `at_most`, by what this node has read.
    pub(crate) fn is_fresh(&self, at_most: Duration) -> bool {
        // A made-up session is as fresh as a test wants.
        let Some(home) = self.token().home.upgrade() else { return true };
        self.row().deadlines.authenticated_since(home.clock.tick()) <= at_most
    }

    /// Whether reading the row again would tell nothing new: it was read a moment ago, and not before this token was made.
    pub(crate) fn was_just_read(&self) -> bool {
        let Some(home) = self.token().home.upgrade() else { return true };
        let newer = self.token().generation().is_some_and(|generation| generation > self.row().generations().current);
        !newer && home.clock.tick().since(self.reading().started) < FRESH
    }

    /// The application's own data that was given at sign-in, read as `T`; `None` where none was given.
    ///
    /// # Errors
    ///
    /// Where it is something else than a `T`.
    pub fn metadata<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        self.row().metadata().map(T::deserialize).transpose()
    }

    pub(super) fn given_claims(&self) -> Map<String, Value> {
        self.row().given_claims()
    }

    /// Waits until the session has ended, wherever and by whatever it is ended, and says why: for WebSockets, event
    /// streams and long jobs. No request is needed meanwhile, and none is counted as activity.
    ///
    /// Resolves at once when the node is told of the end, and within `max_staleness` where telling fails. While the
    /// database cannot be asked it waits on: nothing has been learnt. Without the last [`Sessions`](crate::Sessions)
    /// handle it never resolves.
    ///
    /// # Cancel safety
    ///
    /// Drop it at any time.
    pub fn ended(&self) -> impl Future<Output = EndReason> + Send + use<> {
        super::wait::ended(Arc::clone(self.token()))
    }

    /// When it ends if nothing happens.
    pub(super) fn ends_at(&self, lives: Lifetimes) -> Tick {
        policy::ends_at(self.row().deadlines, self.token().state.seen().at(), lives).0
    }

    #[expect(clippy::unreachable, reason = "see `new`")]
    fn row(&self) -> &Row {
        match &self.reading().known {
            Known::Row(row) => row,
            Known::Missing => unreachable!("made of a live row"),
        }
    }

    /// Whether the database was known to have heard that this generation of its tokens is in use.
    pub(super) fn has_seen(&self, generation: u64) -> bool {
        let generations = self.row().generations();
        // The first one has no predecessor that could be presented again.
        generation <= 1 || (generations.current == generation && generations.seen)
    }

    /// What a new token of it is made with: the generation, and how long the session may live yet.
    pub(super) fn left(&self, now: Tick) -> (u64, Duration) {
        let row = self.row();
        (row.generations().current, row.deadlines.absolute_left(now))
    }

    pub(super) fn reading(&self) -> &Reading {
        self.live.belief.reading()
    }

    pub(crate) fn token(&self) -> &Arc<KnownToken> {
        &self.live.token
    }

    /// A session of this user, made up, for tests of handlers: `me(CurrentSession::fake("ahmed"))`. It is in no store.
    #[cfg(any(test, feature = "test-util"))]
    #[must_use]
    pub fn fake(user: impl Into<UserId>) -> Self {
        let session = Session::fake(user.into());
        let (state, belief) = crate::cache::fake(session.clone());
        Self::new(Arc::new(KnownToken::fake(session.user_id, state)), belief)
    }
}
