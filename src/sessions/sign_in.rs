//! A sign-in: one row, one token.

use std::{fmt, net::IpAddr, pin::Pin, time::Duration};

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    ANSWER_WITHIN, Inner, Sessions,
    browser::{Browser, SessionCookie},
    by,
};
use crate::{
    clock::jittered,
    device,
    error::{BoxError, Error, ErrorKind},
    policy,
    session::{Session, SessionId, UserId},
    store::NewSession,
    token::{NewToken, TokenUse},
};

/// What is known of somebody whose password (or passkey, or code) the application has just checked.
///
/// ```
/// # use axum_device_sessions::{Sessions, SignIn, SignedIn, Error};
/// # #[derive(serde::Serialize)] struct Roles { roles: Vec<String> }
/// # async fn f(sessions: Sessions, roles: Roles) -> Result<SignedIn, Error> {
/// sessions.sign_in(SignIn::new("ahmed").claims(&roles)).await
/// # }
/// ```
#[must_use = "nobody is signed in before `Sessions::sign_in`"]
pub struct SignIn {
    user_id: UserId,
    user_agent: Option<String>,
    ip_address: Option<IpAddr>,
    claims: Result<Map<String, Value>, Error>,
    metadata: Result<Option<Value>, Error>,
    cookie: bool,
    cross_site_checked: bool,
    browser: Option<Browser>,
}

impl SignIn {
    /// Signs in this user: 1 to [`UserId::MAX_LEN`] bytes.
    pub fn new(user: impl Into<UserId>) -> Self {
        Self {
            user_id: user.into(),
            user_agent: None,
            ip_address: None,
            claims: Ok(Map::new()),
            metadata: Ok(None),
            cookie: false,
            cross_site_checked: false,
            browser: None,
        }
    }

    /// **Browser mode**: the session is in a cookie, `__Host-session`, and there are no tokens for the page to keep. It
    /// works without scripts. Needs [`client`](Self::client), by which a sign-in that another site made the browser send
    /// is refused ([`ErrorKind::CrossSite`]).
    ///
    /// The cookie is `Secure; HttpOnly; SameSite=Lax` and lives as long as the session may. The layer makes it anew when it
    /// is older than [`access_token_ttl`](crate::SessionsBuilder::access_token_ttl), with fresh claims, on the answer to
    /// some request. Where the browser already had one, the session in that is ended as
    /// [`Replaced`](crate::EndReason::Replaced).
    pub fn cookie(self) -> Self {
        Self { cookie: true, ..self }
    }

    /// The application itself has made sure that it was this browser's user who began the sign-in, so another site may have
    /// sent the request. For the way back from an identity provider, which is cross-site by nature, **after** its `state`
    /// was found to be the one that this very browser was given; and for links in mails, bound to the browser likewise.
    /// Without such a check anybody can sign a visitor in as themselves and read what they leave behind (login CSRF).
    pub fn cross_site_checked(self) -> Self {
        Self { cross_site_checked: true, ..self }
    }

    /// The application's own claims in the access token, read by `Claims<T>`: anything that serialises to a JSON
    /// object. They are readable by whoever holds the token, kept in the session's row, and repeated in each token until the
    /// session ends, so as old as the session: what may be taken away, such as a role, belongs into
    /// [`on_issue`](crate::SessionsBuilder::on_issue), which is asked anew each time.
    pub fn claims(self, claims: &impl Serialize) -> Self {
        Self { claims: object(claims, "claims must serialise to a JSON object"), ..self }
    }

    /// The application's own data in the session's row, for
    /// [`CurrentSession::metadata`](crate::CurrentSession::metadata). It never leaves the server.
    pub fn metadata(self, metadata: &impl Serialize) -> Self {
        let metadata = serde_json::to_value(metadata)
            .map(|metadata| (!metadata.is_null()).then_some(metadata))
            .map_err(|cause| Error::because(ErrorKind::InvalidClaims, "metadata cannot be serialised", cause));
        Self { metadata, ..self }
    }

    pub(crate) fn from(self, user_agent: Option<String>, ip_address: Option<IpAddr>, browser: Browser) -> Self {
        Self { user_agent, ip_address, browser: Some(browser), ..self }
    }
}

/// Claims are the application's, and may be personal.
impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

fn object(claims: &impl Serialize, doing: &'static str) -> Result<Map<String, Value>, Error> {
    match serde_json::to_value(claims) {
        Ok(Value::Object(claims)) => Ok(claims),
        Ok(_) => Err(Error::new(ErrorKind::InvalidClaims, doing)),
        Err(cause) => Err(Error::because(ErrorKind::InvalidClaims, doing, cause)),
    }
}

/// The token that [`on_issue`](crate::SessionsBuilder::on_issue) is asked about.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Issuing {
    user_id: UserId,
    session_id: SessionId,
}

impl Issuing {
    /// Whose it will be.
    #[must_use]
    pub const fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// The session that it will name.
    #[must_use]
    pub const fn session_id(&self) -> SessionId {
        self.session_id
    }
}

/// The application's answer to "may this token be issued?".
#[derive(Debug)]
pub struct Issue(Option<Map<String, Value>>);

impl Issue {
    /// Yes, with no further claims.
    #[must_use]
    pub fn allow() -> Self {
        Self(Some(Map::new()))
    }

    /// Yes, with these claims: anything that serialises to a JSON object.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidClaims`] where it does not.
    pub fn with_claims(claims: &impl Serialize) -> Result<Self, Error> {
        object(claims, "claims must serialise to a JSON object").map(|claims| Self(Some(claims)))
    }

    /// No: the account is disabled.
    #[must_use]
    pub const fn refuse() -> Self {
        Self(None)
    }
}

pub(crate) type OnIssue =
    Box<dyn Fn(Issuing) -> Pin<Box<dyn Future<Output = Result<Issue, BoxError>> + Send>> + Send + Sync>;

/// Somebody is signed in. Return it from the login handler: it is the token response of RFC 6749 §5.1
/// (`access_token`, `token_type`, `expires_in`, `refresh_token`) with the `session` beside it, not to be stored by any cache.
///
/// After [`SignIn::cookie`] it is `{"session": ..}` and the cookie. For a page that works without scripts answer
/// `(signed_in, Redirect::to("/"))`: what goes before the body is the cookie and `Cache-Control: no-store`.
#[derive(Clone)]
#[non_exhaustive]
pub struct SignedIn {
    /// The session.
    pub session: Session,
    /// The access token: a credential. Send it, keep it nowhere. Empty after [`SignIn::cookie`]: what is in the cookie is
    /// for the browser alone.
    pub access_token: String,
    /// How long the access token, or else the cookie, is valid.
    pub expires_in: Duration,
    /// The refresh token: a credential, good for one use, for as long as the session lives. Empty after
    /// [`SignIn::cookie`].
    pub refresh_token: String,
    pub(crate) cookie: Option<SessionCookie>,
}

impl SignedIn {
    pub(super) fn by_cookie(session: Session, cookie: SessionCookie) -> Self {
        let (access_token, refresh_token) = (String::new(), String::new());
        Self { session, access_token, expires_in: cookie.max_age, refresh_token, cookie: Some(cookie) }
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

enum Credential {
    Cookie(SessionCookie),
    Tokens { access_token: String, expires_in: Duration, refresh_token: String },
}

impl Sessions {
    /// Signs somebody in: adds the session's row and issues its tokens. The application has checked who it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a user id that cannot be used, [`ErrorKind::InvalidClaims`] for claims or metadata
    /// (those that make a cookie longer than 3,800 bytes too), [`ErrorKind::CrossSite`] and [`ErrorKind::Misuse`] with
    /// [`SignIn::cookie`], [`ErrorKind::CannotSign`] without a signing key, [`ErrorKind::Refused`] where `on_issue` refused, [`ErrorKind::Unavailable`] where the database or
    /// `on_issue` could not be asked. None of them leaves a session that somebody holds a token of.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the row may or may not have been added; nobody then holds its token.
    pub async fn sign_in(&self, sign_in: SignIn) -> Result<SignedIn, Error> {
        // Of all that is asked on the way, together.
        by(Instant::now() + ANSWER_WITHIN, SIGNING_IN, self.sign_in_at_length(sign_in)).await
    }

    async fn sign_in_at_length(&self, sign_in: SignIn) -> Result<SignedIn, Error> {
        let SignIn { user_id, user_agent, ip_address, claims, metadata, cookie, cross_site_checked, browser } = sign_in;
        let (claims, metadata) = (claims?, metadata?);
        let browser = if cookie { Some(self.admit_browser(browser, cross_site_checked)?) } else { None };
        if user_id.as_str().is_empty() || user_id.as_str().len() > UserId::MAX_LEN || user_id.as_str().contains('\0') {
            return Err(Error::new(ErrorKind::InvalidInput, "a user id has 1 to 255 bytes and no NUL"));
        }
        let id = SessionId::new();
        // As given: what `on_issue` adds is asked for anew each time.
        let given = (!claims.is_empty()).then(|| Value::Object(claims.clone()));
        let claims = self.0.claims_for(&user_id, id, claims).await?;
        let absolute_lifetime = self.0.settings.absolute_lifetime;
        // Before the row: claims that cannot be signed leave nothing behind.
        let wanted = Wanted { generation: 1, at_most: absolute_lifetime };
        let credential = match &browser {
            Some(browser) => {
                let cookie = self.0.make_cookie(&(id, user_id.clone()), &claims, wanted)?;
                Credential::Cookie(cookie.for_loopback(self.is_on_loopback(browser)))
            }
            None => {
                let (access_token, expires_in) = self.0.make_token(id, &user_id, &claims, wanted)?;
                let refresh_token = self.0.make_refresh_token(id, 1)?;
                Credential::Tokens { access_token, expires_in, refresh_token }
            }
        };
        let device = device::describe(user_agent.as_deref());
        let new = NewSession {
            user_agent,
            ip_address,
            metadata,
            claims: given,
            ..NewSession::new(id, user_id, device, absolute_lifetime)
        };
        let store = std::sync::Arc::clone(&self.0.store);
        let mut session = self.detached(SIGNING_IN, async move { store.create(new).await }).await?;
        session.is_current = true;
        session.expires_at = policy::expires_at(&session, self.0.settings.lives);
        if let Some(browser) = browser {
            self.end_replaced(&browser, id).await;
        }
        Ok(match credential {
            Credential::Cookie(cookie) => SignedIn::by_cookie(session, cookie),
            Credential::Tokens { access_token, expires_in, refresh_token } => {
                SignedIn { session, access_token, expires_in, refresh_token, cookie: None }
            }
        })
    }
}

impl Inner {
    /// The claims of a new token: those given at sign-in, and over them what `on_issue` says now.
    pub(super) async fn claims_for(
        &self,
        user_id: &UserId,
        session_id: SessionId,
        mut given: Map<String, Value>,
    ) -> Result<Map<String, Value>, Error> {
        let Some(on_issue) = &self.on_issue else { return Ok(given) };
        let asked = on_issue(Issuing { user_id: user_id.clone(), session_id });
        let answer = asked
            .await
            // Ours (claims that are no object) say themselves what to make of them.
            .map_err(|cause| {
                cause.downcast().map_or_else(|cause| Error::unavailable("asking on_issue", cause), |own| *own)
            })?;
        given.extend(answer.0.ok_or_else(|| Error::new(ErrorKind::Refused, "on_issue refused the user"))?);
        Ok(given)
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

const SIGNING_IN: &str = "adding a session";
