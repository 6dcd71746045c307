//! Between the password and the second factor.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;

use super::{ANSWER_WITHIN, CurrentSession, Inner, Sessions, SignedIn, admit::Arriving, by, signed_in::Wanted};
use crate::{
    error::{Error, ErrorKind},
    origin::Whence,
    session::{Device, SessionId, UserId},
    store::{Arrival, Comes},
};

/// The session of somebody who has still to show a second factor: for the handler that checks it, which then calls
/// [`Sessions::confirm`].
///
/// Such a session is none yet: its token is refused everywhere else as 401 `second_factor_required`, here and, by its `typ`
/// (`pending+jwt`), by services that check tokens by themselves. It is in no list, counts towards no limit, ends no other,
/// and makes no device known; ending all of the user's sessions ends it too. It lasts 10 minutes, and a user has at most
/// five.
///
/// ```
/// # use axum::{Json, extract::State, response::{IntoResponse, Response}};
/// # use axum_device_sessions::{Error, PendingSession, Sessions};
/// # fn is_right(_: &str, _: &str) -> bool { true }
/// # fn wrong_code() -> Response { axum::http::StatusCode::FORBIDDEN.into_response() }
/// async fn second_factor(
///     State(sessions): State<Sessions>,
///     pending: PendingSession,
///     Json(code): Json<String>,
/// ) -> Result<Response, Error> {
///     if !is_right(pending.user_id().as_str(), &code) {
///         return Ok(wrong_code()); // and count, for the user: whoever has the password gets more than one try
///     }
///     Ok(sessions.confirm(&pending).await?.into_response())
/// }
/// ```
#[derive(Clone)]
pub struct PendingSession(CurrentSession);

impl PendingSession {
    pub(crate) const fn new(pending: CurrentSession) -> Self {
        Self(pending)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.0.id()
    }

    /// Who has still to show a second factor.
    #[must_use]
    pub fn user_id(&self) -> &UserId {
        self.0.user_id()
    }

    /// What it runs on.
    #[must_use]
    pub fn device(&self) -> &Device {
        self.0.device()
    }
}

impl fmt::Debug for PendingSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingSession").field("id", &self.id()).field("user_id", self.user_id()).finish()
    }
}

impl Sessions {
    /// The second factor has been checked: the user is in. All that a sign-in does is done now: the device's earlier session
    /// is replaced, the limit is kept, the device is known from here on. Return it like the answer of a sign-in: it has
    /// new tokens, or a new cookie; the one that was pending is void.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidToken`] where it is no longer pending, [`ErrorKind::SessionEnded`] where it has ended,
    /// else as [`Sessions::sign_in`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, the user may or may not be in; then they sign in again.
    pub async fn confirm(&self, pending: &PendingSession) -> Result<SignedIn, Error> {
        let until = Instant::now() + ANSWER_WITHIN;
        by(until, CONFIRMING, self.confirm_at_length(pending, until)).await
    }

    async fn confirm_at_length(&self, pending: &PendingSession, until: Instant) -> Result<SignedIn, Error> {
        let PendingSession(current) = pending;
        let named = current.token().named();
        let usage = current.token().usage;
        let (id, user) = (named.0, named.1.clone());
        let absolute_lifetime = self.0.settings.absolute_lifetime;
        let claims = self.0.claims_for(&user, id, current.given_claims()).await?;
        // The pending one was the first.
        let wanted = Wanted { generation: 2, at_most: absolute_lifetime };
        let credential = self.0.credential(&named, &claims, usage, wanted)?;
        let row = current.session();
        let arriving = Arriving {
            inner: Arc::clone(&self.0),
            id,
            user: user.clone(),
            kind: row.device.kind,
            key: row.device_key,
            whence: Whence::default(),
            location: None,
            failures: 0,
            second_factor: false,
            policy: None,
            signals: Arc::new(OnceLock::new()),
        };
        let session = self
            .admit(
                Arrival(Comes::Complete { id, user, device_key: row.device_key, absolute_lifetime }),
                arriving,
                until,
            )
            .await?;
        if session.generations.current != wanted.generation {
            return Err(Error::new(ErrorKind::InvalidToken, CONFIRMING));
        }
        Ok(SignedIn::new(session, credential.for_loopback(current.is_on_loopback())))
    }
}

impl Inner {
    /// How long a session may be pending.
    pub(super) fn pending_for(&self) -> Duration {
        PENDING_FOR.min(self.settings.absolute_lifetime).min(self.settings.lives.idle)
    }
}

/// As long as it may take to find the phone.
const PENDING_FOR: Duration = Duration::from_secs(10 * 60);

const CONFIRMING: &str = "confirming a session";
