//! The session of the request.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::KnownToken;
use crate::{
    cache::{Known, Reading},
    session::{Session, SessionId, UserId},
};

/// The live session of the request being handled: proof that the layer has checked it. Take it as an argument of a
/// handler; without a live session the handler is not called.
///
/// ```
/// # use axum_device_sessions::CurrentSession;
/// async fn me(session: CurrentSession) -> String {
///     format!("{} on {}", session.user_id(), session.session().device.name)
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
}

impl CurrentSession {
    /// Only the judge makes one, of a reading of a live row.
    pub(super) const fn new(token: Arc<KnownToken>, reading: Arc<Reading>) -> Self {
        Self { token, reading }
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

    /// The session with all that is known of it, active now.
    #[must_use]
    #[expect(clippy::unreachable, reason = "see `new`")]
    pub fn session(&self) -> Session {
        let Known::Row { session, .. } = &self.reading.known else { unreachable!("made of a row") };
        match self.token.home.upgrade() {
            Some(home) => {
                let now = home.clock.tick();
                home.up_to_date(session.clone(), self.token.state.seen().at(), now, home.clock.wall())
            }
            None => session.clone(),
        }
    }

    /// The application's own data that was given at sign-in, read as `T`; `None` where none was given.
    ///
    /// # Errors
    ///
    /// Where it is something else than a `T`.
    pub fn metadata<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        let Known::Row { session, .. } = &self.reading.known else { return Ok(None) };
        session.metadata.as_ref().map(T::deserialize).transpose()
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
        Self { token: Arc::new(KnownToken::fake(session.user_id, state)), reading }
    }
}
