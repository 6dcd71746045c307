//! What can go wrong on our side. A refused request is not an error: it is a verdict (see `policy`).

use std::{error::Error as StdError, fmt};

use crate::session::{EndReason, Session};

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Something that this crate could not do at run time. [`Error::kind`] says what to make of it; `source()` has the
/// cause for the log. It never carries a token, and its `Display` never repeats the cause.
pub struct Error {
    kind: ErrorKind,
    doing: &'static str,
    cause: Option<BoxError>,
    /// Worth doing once more at once: the answer to a COMMIT was lost, or somebody else's work was in the way.
    again: bool,
    reason: Option<EndReason>,
    sessions: Option<Box<[Session]>>,
}

/// What an [`Error`] means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The database could not be asked or did not answer in time. Nothing was learnt about anybody's session: answer
    /// 503, keep every cookie and token, try again.
    Unavailable,
    /// The schema is missing or of another version. Run `migrate()`.
    Schema,
    /// Something that may come from the user cannot be used: an empty user id, text with a NUL. Answer 400.
    InvalidInput,
    /// The application's claims or metadata cannot be used: no JSON object, a registered name, too large.
    InvalidClaims,
    /// This service holds no signing key (`AccessTokens::verify_only`), so it cannot sign anybody in.
    CannotSign,
    /// The application's `on_issue` refused the user.
    Refused,
    /// The user has as many sessions as they may, and [`OnLimit::Refuse`](crate::OnLimit::Refuse) is set:
    /// [`Error::sessions`] are those. Answer 409.
    SessionLimit,
    /// The application's [`SignIn::policy`](crate::SignIn::policy) refused the sign-in. Answer 403.
    SignInRefused,
    /// The refresh token is none of ours, or of a session that does not exist, or given up. Answer 401.
    InvalidToken,
    /// The link in a mail is none of ours, too old, or has been used. Answer 410.
    InvalidLink,
    /// A browser was to be signed in by a request that another site made it send. Answer 403.
    CrossSite,
    /// The call itself is a mistake in the application; `Display` says which.
    Misuse,
    /// The session that was to be worked on has ended. Answer 401.
    SessionEnded,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, doing: &'static str) -> Self {
        Self { kind, doing, cause: None, again: false, reason: None, sessions: None }
    }

    pub(crate) fn because(kind: ErrorKind, doing: &'static str, cause: impl Into<BoxError>) -> Self {
        Self { kind, doing, cause: Some(cause.into()), again: false, reason: None, sessions: None }
    }

    pub(crate) fn unavailable(doing: &'static str, cause: impl Into<BoxError>) -> Self {
        Self::because(ErrorKind::Unavailable, doing, cause)
    }

    pub(crate) fn session_ended(doing: &'static str, reason: EndReason) -> Self {
        Self { reason: Some(reason), ..Self::new(ErrorKind::SessionEnded, doing) }
    }

    pub(crate) fn session_limit(sessions: Vec<Session>) -> Self {
        Self { sessions: Some(sessions.into()), ..Self::new(ErrorKind::SessionLimit, "the user has too many sessions") }
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn again_if(self, again: bool) -> Self {
        Self { again, ..self }
    }

    pub(crate) const fn is_worth_another_try(&self) -> bool {
        self.again
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn of_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// Why the session ended, with [`ErrorKind::SessionEnded`].
    #[must_use]
    pub const fn end_reason(&self) -> Option<&EndReason> {
        self.reason.as_ref()
    }

    /// The user's sessions, with [`ErrorKind::SessionLimit`]: one of them has to end first. Else none.
    #[must_use]
    pub fn sessions(&self) -> &[Session] {
        self.sessions.as_deref().unwrap_or_default()
    }

    /// What to make of it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.doing)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("doing", &self.doing)
            .field("cause", &self.cause)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// A setting that cannot work, found while the crate is being set up. The text says what to change.
#[derive(Debug)]
pub struct ConfigError {
    what: String,
    cause: Option<BoxError>,
}

impl ConfigError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None }
    }

    pub(crate) fn because(what: impl Into<String>, cause: impl Into<BoxError>) -> Self {
        Self { what: what.into(), cause: Some(cause.into()) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for ConfigError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}
