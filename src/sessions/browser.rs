//! Sessions of browsers: one cookie, whose token lives as long as the session may and is made anew now and then.

use std::{fmt, time::Duration};

use serde_json::{Map, Value};

use super::{CurrentSession, Inner, Sessions, Verdict, signed_in::Wanted};
use crate::{
    error::{Error, ErrorKind},
    session::{EndReason, SessionId, UserId},
    store::EndTarget,
    token::{NewToken, TokenUse},
};

/// What a request says of the browser that sent it, if it is one.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Browser {
    /// A page of another origin made the browser send it.
    pub(crate) cross_site: bool,
    /// The header `Origin`.
    pub(crate) origin: Option<Box<[u8]>>,
    /// From this very machine, and addressed to it by a name of loopback.
    pub(crate) on_loopback: bool,
    /// The token of the session cookie, and of the one that is for loopback.
    pub(crate) cookie: Option<Box<str>>,
    pub(crate) loopback_cookie: Option<Box<str>>,
    /// The same of the device cookies.
    pub(crate) device: Option<Box<str>>,
    pub(crate) loopback_device: Option<Box<str>>,
}

/// What a browser is given.
#[derive(Clone)]
pub(crate) struct SessionCookie {
    pub(crate) token: String,
    /// What is left of the session.
    pub(crate) max_age: Duration,
    /// In a cookie for plain http on loopback as well.
    pub(crate) on_loopback: bool,
}

impl SessionCookie {
    pub(super) fn for_loopback(self, on_loopback: bool) -> Self {
        Self { on_loopback, ..self }
    }
}

/// The session of a browser is over: clears its cookie, with the attributes that it was set with, and forbids to store the
/// answer. Answer `(signed_out, Redirect::to("/"))`, say. The mounted routes do the same by themselves.
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use = "answer with it: it clears the cookie"]
pub struct SignedOut {
    pub(crate) on_loopback: bool,
}

impl SignedOut {
    /// For a session that was ended by something else than [`Sessions::sign_out`], such as the deletion of an account.
    pub fn of(session: &CurrentSession) -> Self {
        Self { on_loopback: session.is_on_loopback() }
    }
}

impl fmt::Debug for SignedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedOut").finish_non_exhaustive()
    }
}

impl Sessions {
    /// Ends the session that asks, as `logout`: for a handler of the application's own, such as that of a plain HTML form.
    /// Also `Ok` where it has ended meanwhile.
    ///
    /// ```
    /// # use axum::{extract::State, response::Redirect};
    /// # use axum_device_sessions::{CurrentSession, Error, Sessions, SignedOut};
    /// async fn sign_out(
    ///     State(sessions): State<Sessions>,
    ///     session: CurrentSession,
    /// ) -> Result<(SignedOut, Redirect), Error> {
    ///     Ok((sessions.sign_out(&session).await?, Redirect::to("/")))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`]: it may or may not have ended. The cookie is still there, for another try.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the end is carried out all the same.
    pub async fn sign_out(&self, session: &CurrentSession) -> Result<SignedOut, Error> {
        let target = EndTarget::One { id: session.id(), user: Some(session.user_id().clone()) };
        self.end(target, EndReason::Logout, Some(session.id().to_string())).await?;
        Ok(SignedOut::of(session))
    }

    /// Whether pages of this origin may ask in a user's name, besides the service's own.
    pub(crate) fn trusts(&self, origin: &[u8]) -> bool {
        self.0.settings.trusted_origins.iter().any(|trusted| trusted.as_bytes() == origin)
    }

    pub(crate) fn allows_loopback_cookie(&self) -> bool {
        self.0.settings.insecure_cookie_on_loopback
    }

    pub(super) fn is_on_loopback(&self, browser: &Browser) -> bool {
        browser.on_loopback && self.allows_loopback_cookie()
    }

    /// Who may be given a cookie at sign-in.
    pub(super) fn admit_browser(&self, browser: Option<Browser>, checked: bool) -> Result<Browser, Error> {
        let browser = browser.ok_or_else(|| {
            Error::new(
                ErrorKind::Misuse,
                "`SignIn::cookie()` needs `SignIn::client(..)`, to tell other sites' requests",
            )
        })?;
        let trusted = || browser.origin.as_deref().is_some_and(|origin| self.trusts(origin));
        if browser.cross_site && !checked && !trusted() {
            return Err(Error::new(ErrorKind::CrossSite, "another site made the browser send this sign-in"));
        }
        Ok(browser)
    }

    /// The session that the browser had before: its cookie is overwritten, so nobody will end it any more.
    pub(super) fn held_by(&self, browser: &Browser) -> Option<SessionId> {
        let loopback = browser.loopback_cookie.as_ref().filter(|_| self.is_on_loopback(browser));
        self.named_by_token(browser.cookie.as_ref().or(loopback)?.as_bytes(), TokenUse::Cookie)
    }

    pub(super) async fn end_replaced(&self, id: SessionId, by: SessionId) {
        let ending = self.end(EndTarget::One { id, user: None }, EndReason::Replaced, Some(by.to_string()));
        // It goes on in a task of its own; the user is signed in either way.
        match tokio::time::timeout(BOUND, ending).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, session = %id, "replaced, but not ended");
            }
            Err(_late) => tracing::warn!(session = %id, "replaced, and perhaps not ended"),
        }
    }

    /// Whether its cookie is old enough to be made anew.
    pub(crate) fn is_old(&self, current: &CurrentSession) -> bool {
        current.token().is_old(self.tick())
    }

    /// Whether this session's cookie is to be made anew now, by the caller. Synchronous, and `false` for nearly all.
    pub(crate) fn may_renew(&self, current: &CurrentSession) -> bool {
        let (token, now) = (current.token(), self.tick());
        matches!(self.judge_cached(token, now), Some(Verdict::Live(_)))
            && token.state.begin_renewal(now, self.renewal_pause())
    }

    /// A new cookie; none where the old one is to stay: the application could not be asked, or the session has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the old cookie stays.
    pub(crate) async fn renew(&self, current: &CurrentSession) -> Option<SessionCookie> {
        let id = current.id();
        // Less than the pause, so that there are never two at once.
        match tokio::time::timeout(self.renewal_pause().min(BOUND), self.make_anew(current)).await {
            Ok(Ok(cookie)) => cookie.map(|cookie| cookie.for_loopback(current.is_on_loopback())),
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, session = %id, "the old cookie stays");
                None
            }
            Err(_late) => {
                tracing::warn!(session = %id, "the old cookie stays: no answer in time");
                None
            }
        }
    }

    async fn make_anew(&self, current: &CurrentSession) -> Result<Option<SessionCookie>, Error> {
        let named = current.token().named();
        let claims = match self.0.claims_for(&named.1, named.0, current.given_claims()).await {
            Ok(claims) => claims,
            Err(error) if error.kind() == ErrorKind::Refused => {
                let target = EndTarget::One { id: named.0, user: None };
                self.end(target, EndReason::AccountDisabled, None).await?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // Once more, by what is known now: it may have ended, or its user may have proved anew who they are, which makes
        // this token void. Then it must not become a good one.
        let now = self.tick();
        let Some(Verdict::Live(live)) = self.judge_cached(current.token(), now) else { return Ok(None) };
        let (generation, at_most) = live.left(now);
        self.0.make_cookie(&named, &claims, Wanted { generation, at_most }).map(Some)
    }

    /// For so long after one try, whatever came of it, there is no other: an application that does not answer must not be
    /// asked by each request.
    fn renewal_pause(&self) -> Duration {
        (self.0.settings.access_token_ttl / 2).clamp(PAUSE_AT_LEAST, PAUSE_AT_MOST)
    }
}

impl Inner {
    /// A cookie with these claims.
    pub(super) fn make_cookie(
        &self,
        (session_id, user_id): &(SessionId, UserId),
        claims: &Map<String, Value>,
        Wanted { generation, at_most }: Wanted,
    ) -> Result<SessionCookie, Error> {
        let token = self.key_set.load().keys.sign(&NewToken {
            usage: TokenUse::Cookie,
            session_id: *session_id,
            user_id,
            generation,
            issued_at: self.clock.wall(),
            lifetime: at_most,
            custom: Some(claims),
        })?;
        if token.len() > MAX_COOKIE {
            return Err(Error::new(ErrorKind::InvalidClaims, "the claims make the cookie longer than 3,800 bytes"));
        }
        Ok(SessionCookie { token, max_age: at_most, on_loopback: false })
    }
}

/// Browsers keep cookies of up to 4,096 bytes, name and attributes included (RFC 6265bis §5.6), and drop longer ones without
/// a word.
const MAX_COOKIE: usize = 3_800;

/// A page is not kept waiting longer for what need not be done now.
const BOUND: Duration = Duration::from_secs(1);
const PAUSE_AT_LEAST: Duration = Duration::from_millis(100);
const PAUSE_AT_MOST: Duration = Duration::from_secs(10);
