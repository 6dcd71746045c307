//! What is made of a request's credential. No refusal without evidence: "could not find out" is a verdict of its own.

use super::CurrentSession;
use crate::{
    session::{EndReason, SessionId, UserId},
    token::TokenRefusal,
};

/// What is known of the request's credential. A refusal is an answer; only `Unavailable` means "could not find out".
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// No credential was sent.
    Anonymous,
    Live(CurrentSession),
    /// Its second factor is still to come.
    Pending(CurrentSession),
    Refused(Refused),
    Unavailable,
}

/// A credential that was looked at and does not hold.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) why: Refusal,
    /// The session that a validly signed token named. In a box: verdicts are handed around, and few are refusals.
    pub(crate) named: Option<Box<(SessionId, UserId)>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not a token of ours, or of a session that does not exist.
    InvalidToken,
    /// Right in everything but its age.
    TokenExpired,
    /// Its session has ended.
    SessionEnded(EndReason),
    /// Two credentials of different sessions: whom to believe?
    TwoCredentials,
}

impl From<TokenRefusal> for Refused {
    fn from(refusal: TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::Expired { session_id, user_id } => {
                Self { why: Refusal::TokenExpired, named: Some(Box::new((session_id, user_id))) }
            }
            TokenRefusal::Invalid(why) => {
                tracing::debug!(why, "token refused");
                Self { why: Refusal::InvalidToken, named: None }
            }
        }
    }
}
