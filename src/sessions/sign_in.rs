//! A sign-in: one row, one token.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    ANSWER_WITHIN, Sessions, SignInPolicy,
    admit::Arriving,
    by,
    calling::{Calling, Identity},
    issue::{self, object},
    signed_in::{SetDeviceCookie, SignedIn, Wanted},
};
use crate::{
    device,
    error::Error,
    policy,
    session::{Session, SessionId, UserId},
    signals::Signal,
    store::{Admitted, Arrival, Comes, NewSession},
    token::TokenUse,
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
    calling: Option<Calling>,
    claims: Result<Map<String, Value>, Error>,
    metadata: Result<Option<Value>, Error>,
    cookie: bool,
    cross_site_checked: bool,
    failed_attempts: u32,
    second_factor: bool,
    policy: Option<OnSignals>,
}

pub(super) type OnSignals = Box<dyn FnOnce(&[Signal]) -> SignInPolicy + Send>;

impl SignIn {
    /// Signs in this user: 1 to [`UserId::MAX_LEN`] bytes.
    pub fn new(user: impl Into<UserId>) -> Self {
        Self {
            user_id: user.into(),
            calling: None,
            claims: Ok(Map::new()),
            metadata: Ok(None),
            cookie: false,
            cross_site_checked: false,
            failed_attempts: 0,
            second_factor: false,
            policy: None,
        }
    }

    /// **Browser mode**: the session is in a cookie, `__Host-session`, and there are no tokens for the page to keep. It
    /// works without scripts. Needs [`client`](Self::client), by which a sign-in that another site made the browser send
    /// is refused ([`ErrorKind::CrossSite`](crate::ErrorKind::CrossSite)).
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
        Self { metadata: issue::metadata(metadata), ..self }
    }

    /// How many attempts to sign in as this user have failed since the last one that did not, as the application counts:
    /// five or more are a [signal](Signal::FailuresBefore).
    pub fn failed_attempts(self, count: u32) -> Self {
        Self { failed_attempts: count, ..self }
    }

    /// What the application makes of what is unusual about this sign-in; asked also where nothing is. Default:
    /// [`SignInPolicy::Allow`] without signals, [`SignInPolicy::Tell`] with any.
    ///
    /// It is asked under a lock that other sign-ins of the user wait for: it answers from memory.
    ///
    /// ```
    /// # use axum_device_sessions::{Signal, SignIn, SignInPolicy};
    /// # fn f(sign_in: SignIn) -> SignIn {
    /// sign_in.policy(|signals| {
    ///     let elsewhere = |signal: &Signal| {
    ///         matches!(signal, Signal::NewCountry { .. } | Signal::ImpossibleTravel { .. })
    ///     };
    ///     match signals {
    ///         [] => SignInPolicy::Allow,
    ///         some if some.iter().any(elsewhere) => SignInPolicy::RequireSecondFactor,
    ///         _ => SignInPolicy::Tell,
    ///     }
    /// })
    /// # }
    /// ```
    pub fn policy(self, policy: impl FnOnce(&[Signal]) -> SignInPolicy + Send + 'static) -> Self {
        Self { policy: Some(Box::new(policy)), ..self }
    }

    /// The user has a second factor, and has not shown it yet: the session is pending until
    /// [`Sessions::confirm`], see [`PendingSession`](crate::PendingSession). Whatever [`policy`](Self::policy) allows.
    pub fn second_factor_to_come(self) -> Self {
        Self { second_factor: true, ..self }
    }

    pub(crate) fn from(self, calling: Calling) -> Self {
        Self { calling: Some(calling), ..self }
    }
}

/// Claims are the application's, and may be personal.
impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

impl Sessions {
    /// Signs somebody in: adds the session's row and issues its tokens. The application has checked who it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a user id that cannot be used, [`ErrorKind::InvalidClaims`](crate::ErrorKind::InvalidClaims) for claims or metadata
    /// (those that make a cookie longer than 3,800 bytes too), [`ErrorKind::CrossSite`](crate::ErrorKind::CrossSite) and [`ErrorKind::Misuse`](crate::ErrorKind::Misuse) with
    /// [`SignIn::cookie`], [`ErrorKind::CannotSign`](crate::ErrorKind::CannotSign) without a signing key, [`ErrorKind::SessionLimit`](crate::ErrorKind::SessionLimit) and
    /// [`ErrorKind::SignInRefused`](crate::ErrorKind::SignInRefused) where there is no room and where [`SignIn::policy`] says so, [`ErrorKind::Refused`](crate::ErrorKind::Refused) where `on_issue` refused, [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) where the database or
    /// `on_issue` could not be asked. None of them leaves a session that somebody holds a token of.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the row may or may not have been added; nobody then holds its token.
    pub async fn sign_in(&self, sign_in: SignIn) -> Result<SignedIn, Error> {
        // Of all that is asked on the way, together.
        let until = Instant::now() + ANSWER_WITHIN;
        by(until, SIGNING_IN, self.sign_in_at_length(sign_in, until)).await
    }

    async fn sign_in_at_length(&self, sign_in: SignIn, until: Instant) -> Result<SignedIn, Error> {
        let SignIn { user_id, calling, claims, metadata, cookie, cross_site_checked, failed_attempts, .. } = sign_in;
        let (claims, metadata) = (claims?, metadata?);
        let browser = calling.as_ref().map(|calling| calling.browser.clone());
        let browser = if cookie { Some(self.admit_browser(browser, cross_site_checked)?) } else { None };
        issue::check_user(&user_id)?;
        let id = SessionId::new();
        let calling = calling.unwrap_or_default();
        let identity = self.identity(&calling, &user_id)?;
        let whence = self.0.whence(calling.peer, &*calling.fields);
        let location = whence.located(self.0.locator.as_deref());
        // As given: what `on_issue` adds is asked for anew each time.
        let given = (!claims.is_empty()).then(|| Value::Object(claims.clone()));
        let claims = self.0.claims_for(&user_id, id, claims).await?;
        let absolute_lifetime = self.0.settings.absolute_lifetime;
        // Before the row: claims that cannot be signed leave nothing behind.
        let usage = if cookie { TokenUse::Cookie } else { TokenUse::Access };
        let wanted = Wanted { generation: 1, at_most: absolute_lifetime };
        let named = (id, user_id.clone());
        let credential = self.0.credential(&named, &claims, usage, wanted)?;
        let device = device::describe(&*calling.fields);
        let new = NewSession {
            user_agent: device::user_agent(&*calling.fields),
            ip_address: whence.ip_address,
            location: location.clone(),
            device_key: identity.as_ref().map(|identity| identity.key),
            replaces: browser.as_ref().and_then(|browser| self.held_by(browser)),
            metadata,
            claims: given,
            ..NewSession::new(id, user_id.clone(), device, absolute_lifetime)
        };
        let signals = Arc::default();
        let arriving = Arriving {
            inner: Arc::clone(&self.0),
            id,
            user: user_id,
            kind: new.device.kind,
            key: new.device_key,
            whence,
            location,
            failures: failed_attempts,
            second_factor: sign_in.second_factor,
            policy: sign_in.policy,
            signals: Arc::clone(&signals),
        };
        let session = self.admit(Arrival(Comes::New(Box::new(new))), arriving, until).await?;
        let on_loopback = browser.as_ref().is_some_and(|browser| self.is_on_loopback(browser));
        let credential = match session.pending {
            true => self.0.pending_credential(&named, usage, self.0.pending_for())?,
            false => credential,
        };
        let signed_in = SignedIn::new(session, credential.for_loopback(on_loopback));
        let device_cookie = identity.and_then(|Identity { cookie, .. }| {
            let on_loopback = self.is_on_loopback(&calling.browser);
            cookie.map(|cookie| SetDeviceCookie { cookie, on_loopback })
        });
        Ok(SignedIn { signals: taken(&signals), device_cookie, ..signed_in })
    }

    /// The transaction, and what this node makes of it. Goes on even if the caller goes away, but is not begun after
    /// `until`: whoever waited for it has been told otherwise, and others would end for nothing.
    pub(super) async fn admit(&self, arrival: Arrival, arriving: Arriving, until: Instant) -> Result<Session, Error> {
        let (inner, user) = (Arc::clone(&self.0), arriving.user.clone());
        let sessions = self.clone();
        self.detached(SIGNING_IN, async move {
            // Whoever waits for longer has been told that it failed, and nothing is to come of it later.
            let turn = by(until, SIGNING_IN, async { Ok(inner.signing_in.take(&user).await) }).await?;
            let (id, admitting) = (arriving.id, arriving.admit());
            let admitted = inner.store.admit(arrival, admitting).await;
            drop(turn);
            // Whether it was carried out is not known where its answer was lost: others may have ended for it.
            let admitted = admitted.inspect_err(|error| {
                if error.is_worth_another_try() {
                    inner.cache.mark_user_stale(&user);
                }
            });
            let Admitted { mut session, ended, replaces } = admitted?;
            // Of the sign-in, whoever ended for it.
            inner.learn_of(&ended);
            // One that was pending.
            inner.cache.mark_stale(id);
            session.is_current = true;
            session.expires_at = policy::expires_at(&session, inner.settings.lives);
            let is_over = |id: &SessionId| ended.iter().any(|(ended, _)| ended == id);
            if let Some(replaces) = replaces.filter(|id| !session.pending && !is_over(id)) {
                sessions.end_replaced(replaces, id).await;
            }
            Ok(session)
        })
        .await
    }
}

fn taken(signals: &OnceLock<Vec<Signal>>) -> Vec<Signal> {
    signals.get().cloned().unwrap_or_default()
}

const SIGNING_IN: &str = "adding a session";
