//! The session of the request.

use std::{sync::Arc, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{KnownToken, validate::FRESH};
use crate::{
    cache::{Known, Reading},
    clock::Tick,
    policy::{self, Deadlines, Lifetimes},
    session::{Device, EndReason, Session, SessionId, UserId},
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
    token: Arc<KnownToken>,
    reading: Arc<Reading>,
    /// The request came over plain http from this very machine, and that is allowed.
    on_loopback: bool,
}

impl CurrentSession {
    /// Only the judge makes one, of a reading of a live row.
    pub(super) const fn new(token: Arc<KnownToken>, reading: Arc<Reading>) -> Self {
        Self { token, reading, on_loopback: false }
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
        self.token.state.id()
    }

    /// Whose it is.
    #[must_use]
    pub fn user_id(&self) -> &UserId {
        &self.token.user_id
    }

    /// What it runs on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.row().0.device
    }

    /// A copy of the session with all that is known of it, active now.
    #[must_use]
    pub fn session(&self) -> Session {
        let (session, _) = self.row();
        match self.token.home.upgrade() {
            Some(home) => {
                let now = home.clock.tick();
                home.up_to_date(session.clone(), self.token.state.seen().at(), now, home.clock.wall())
            }
            None => session.clone(),
        }
    }

    /// When the user last proved who they are, by the database's clock: at sign-in, or since, by
    /// [`Sessions::reauthenticated`](super::Sessions::reauthenticated).
    #[must_use]
    pub fn authenticated_at(&self) -> OffsetDateTime {
        self.row().0.authenticated_at
    }

    /// Whether that was no longer ago than `at_most`, by what this node has read.
    pub(crate) fn is_fresh(&self, at_most: Duration) -> bool {
        // A made-up session is as fresh as a test wants.
        let Some(home) = self.token.home.upgrade() else { return true };
        self.row().1.authenticated_since(home.clock.tick()) <= at_most
    }

    /// Whether reading the row again would tell nothing new: it was read a moment ago, and not before this token was made.
    pub(crate) fn was_just_read(&self) -> bool {
        let Some(home) = self.token.home.upgrade() else { return true };
        let newer = self.token.generation.is_some_and(|generation| generation > self.row().0.generations.current);
        !newer && home.clock.tick().since(self.reading.started) < FRESH
    }

    /// The application's own data that was given at sign-in, read as `T`; `None` where none was given.
    ///
    /// # Errors
    ///
    /// Where it is something else than a `T`.
    pub fn metadata<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        self.row().0.metadata.as_ref().map(T::deserialize).transpose()
    }

    pub(super) fn given_claims(&self) -> Map<String, Value> {
        self.row().0.given_claims()
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
        super::wait::ended(Arc::clone(&self.token))
    }

    /// When it ends if nothing happens.
    pub(super) fn ends_at(&self, lives: Lifetimes) -> Tick {
        policy::ends_at(self.row().1, self.token.state.seen().at(), lives).0
    }

    #[expect(clippy::unreachable, reason = "see `new`")]
    fn row(&self) -> (&Session, Deadlines) {
        match &self.reading.known {
            Known::Row { session, deadlines } => (session, *deadlines),
            Known::Missing => unreachable!("made of a live row"),
        }
    }

    /// Whether the database was known to have heard that this generation of its tokens is in use.
    pub(super) fn has_seen(&self, generation: u64) -> bool {
        let generations = self.row().0.generations;
        // The first one has no predecessor that could be presented again.
        generation <= 1 || (generations.current == generation && generations.seen)
    }

    /// What a new token of it is made with: the generation, and how long the session may live yet.
    pub(super) fn left(&self, now: Tick) -> (u64, Duration) {
        let (session, deadlines) = self.row();
        (session.generations.current, deadlines.absolute_left(now))
    }

    pub(super) fn reading(&self) -> &Reading {
        &self.reading
    }

    pub(crate) const fn token(&self) -> &Arc<KnownToken> {
        &self.token
    }

    /// A session of this user, made up, for tests of handlers: `me(CurrentSession::fake("ahmed"))`. It is in no store.
    #[cfg(any(test, feature = "test-util"))]
    #[must_use]
    pub fn fake(user: impl Into<UserId>) -> Self {
        let session = Session::fake(user.into());
        let (state, reading) = crate::cache::fake(session.clone());
        Self { token: Arc::new(KnownToken::fake(session.user_id, state)), reading, on_loopback: false }
    }
}
