//! What whoever signs in is given.

use std::{fmt, time::Duration};

use serde_json::{Map, Value};

use super::{Inner, browser::SessionCookie};
use crate::{
    clock::jittered,
    error::Error,
    session::{Session, SessionId, UserId},
    signals::Signal,
    token::{DeviceCookie, NewToken, TokenUse},
};

/// Somebody is signed in. Return it from the login handler: it is the token response of RFC 6749 §5.1
/// (`access_token`, `token_type`, `expires_in`, `refresh_token`) with the `session` beside it, not to be stored by any cache.
///
/// After [`SignIn::cookie`](crate::SignIn::cookie) it is `{"session": ..}` and the cookie. For a page that works without scripts answer
/// `(signed_in, Redirect::to("/"))`: what goes before the body is the cookie and `Cache-Control: no-store`.
#[derive(Clone)]
#[non_exhaustive]
pub struct SignedIn {
    /// The session.
    pub session: Session,
    /// The access token: a credential. Send it, keep it nowhere. Empty after [`SignIn::cookie`](crate::SignIn::cookie): what is in the cookie is
    /// for the browser alone.
    pub access_token: String,
    /// How long the access token, or else the cookie, is valid.
    pub expires_in: Duration,
    /// The refresh token: a credential, good for one use, for as long as the session lives. Empty after
    /// [`SignIn::cookie`](crate::SignIn::cookie).
    pub refresh_token: String,
    /// The second factor is still to come: what there is of a credential opens nothing but
    /// [`PendingSession`](crate::PendingSession), for [`expires_in`](Self::expires_in), and there is no refresh token.
    pub pending: bool,
    /// What was unusual about it. Not in the answer: it is for the application.
    pub signals: Vec<Signal>,
    pub(crate) cookie: Option<SessionCookie>,
    pub(crate) device_cookie: Option<SetDeviceCookie>,
}

/// For the web: what the device is known by.
#[derive(Clone)]
pub(crate) struct SetDeviceCookie {
    pub(crate) cookie: DeviceCookie,
    /// In a cookie for plain http on loopback as well.
    pub(crate) on_loopback: bool,
}

impl SignedIn {
    pub(super) fn new(session: Session, credential: Credential) -> Self {
        let (pending, signals, device_cookie) = (session.pending, Vec::new(), None);
        match credential {
            Credential::Cookie(cookie) => Self {
                session,
                access_token: String::new(),
                expires_in: cookie.max_age,
                refresh_token: String::new(),
                pending,
                signals,
                cookie: Some(cookie),
                device_cookie,
            },
            Credential::Tokens { access_token, expires_in, refresh_token } => {
                Self { session, access_token, expires_in, refresh_token, pending, signals, cookie: None, device_cookie }
            }
        }
    }
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn").field("session", &self.session).finish_non_exhaustive()
    }
}

/// What a token is wanted for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) generation: u64,
    /// It never outlives its session.
    pub(super) at_most: Duration,
}

/// What whoever signs in is given.
pub(super) enum Credential {
    Cookie(SessionCookie),
    Tokens { access_token: String, expires_in: Duration, refresh_token: String },
}

impl Credential {
    pub(super) fn for_loopback(self, on_loopback: bool) -> Self {
        match self {
            Self::Cookie(cookie) => Self::Cookie(cookie.for_loopback(on_loopback)),
            tokens @ Self::Tokens { .. } => tokens,
        }
    }
}

impl Inner {
    /// What is given to whoever is in.
    pub(super) fn credential(
        &self,
        named: &(SessionId, UserId),
        claims: &Map<String, Value>,
        usage: TokenUse,
        wanted: Wanted,
    ) -> Result<Credential, Error> {
        if usage == TokenUse::Cookie {
            return self.make_cookie(named, claims, wanted).map(Credential::Cookie);
        }
        let (access_token, expires_in) = self.make_token(named.0, &named.1, claims, wanted)?;
        let refresh_token = self.make_refresh_token(named.0, wanted.generation)?;
        Ok(Credential::Tokens { access_token, expires_in, refresh_token })
    }

    /// What is given to whoever has still to show a second factor. None of the application's claims: they are for those
    /// who are in.
    pub(super) fn pending_credential(
        &self,
        (session_id, user_id): &(SessionId, UserId),
        usage: TokenUse,
        lifetime: Duration,
    ) -> Result<Credential, Error> {
        let token = self.key_set.load().keys.sign(&NewToken {
            usage: TokenUse::Pending,
            session_id: *session_id,
            user_id,
            generation: 1,
            issued_at: self.clock.wall(),
            lifetime,
            custom: None,
        })?;
        Ok(match usage {
            TokenUse::Cookie => Credential::Cookie(SessionCookie { token, max_age: lifetime, on_loopback: false }),
            TokenUse::Access | TokenUse::Pending => {
                Credential::Tokens { access_token: token, expires_in: lifetime, refresh_token: String::new() }
            }
        })
    }

    /// An access token and how long it is valid.
    pub(super) fn make_token(
        &self,
        session_id: SessionId,
        user_id: &UserId,
        claims: &Map<String, Value>,
        Wanted { generation, at_most }: Wanted,
    ) -> Result<(String, Duration), Error> {
        let lifetime = jittered(self.settings.access_token_ttl, 20).min(at_most);
        let issued_at = self.clock.wall();
        let custom = Some(claims);
        let usage = TokenUse::Access;
        let new = NewToken { usage, session_id, user_id, generation, issued_at, lifetime, custom };
        Ok((self.key_set.load().keys.sign(&new)?, lifetime))
    }
}
