//! Every setting, its default and why. Contradictions are refused before anything starts.

mod check;

use std::{fmt, sync::Arc, time::Duration};

#[cfg(feature = "jwks")]
use crate::token::Issuer;
use crate::{
    clock::Clock,
    error::ConfigError,
    notice::{self, Delivery, Notifier, Sink},
    origin::{ClientIp, Locator},
    policy::{Lifetimes, OnLimit, SessionLimit},
    sessions::{Issue, Issuing, OnIssue, Sessions},
    store::{Retention, SessionStore},
    token::{
        AccessTokens, AlertLinks, DeviceCookies,
        refresh::{self, RefreshTokens},
    },
};

/// Sets up [`Sessions`]. Every setting has a default but [`access_tokens`](Self::access_tokens).
#[must_use = "nothing is set up before `build()`"]
pub struct SessionsBuilder {
    pub(crate) store: Arc<dyn SessionStore>,
    access_tokens: Option<AccessTokens>,
    #[cfg(feature = "jwks")]
    issuers: Vec<Issuer>,
    idle_timeout: Duration,
    absolute_lifetime: Duration,
    access_token_ttl: Duration,
    activity_interval: Option<Duration>,
    max_staleness: Duration,
    load_timeout: Option<Duration>,
    max_age: Duration,
    max_cached_sessions: u64,
    outage_grace: Duration,
    history: Duration,
    scrub_after: Option<Duration>,
    refresh_grace: Duration,
    lost_response_window: Option<Duration>,
    /// The one that makes, and then those that are accepted besides.
    server_secrets: Vec<Vec<u8>>,
    require_fresh: Option<Duration>,
    on_issue: Option<OnIssue>,
    trusted_origins: Result<Vec<String>, ConfigError>,
    insecure_cookie_on_loopback: bool,
    session_limit: Option<(SessionLimit, OnLimit)>,
    client_ip: ClientIp,
    locator: Option<Arc<dyn Locator>>,
    sinks: Vec<Sink>,
    delivery: Delivery,
    alert_links: Option<String>,
    clock: Clock,
}

/// The settings, complete and checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) lives: Lifetimes,
    pub(crate) absolute_lifetime: Duration,
    pub(crate) access_token_ttl: Duration,
    pub(crate) activity_interval: Duration,
    pub(crate) max_staleness: Duration,
    pub(crate) load_timeout: Duration,
    pub(crate) max_age: Duration,
    pub(crate) max_cached_sessions: u64,
    pub(crate) outage_grace: Duration,
    pub(crate) retention: Retention,
    pub(crate) refresh: refresh::Settings,
    pub(crate) require_fresh: Option<Duration>,
    /// How often the database is looked through for what has run out or is old.
    pub(crate) upkeep_interval: Duration,
    /// What `Origin` says of pages that may ask in a user's name besides the service's own.
    pub(crate) trusted_origins: Vec<String>,
    pub(crate) insecure_cookie_on_loopback: bool,
    pub(crate) session_limit: Option<(SessionLimit, OnLimit)>,
    pub(crate) client_ip: ClientIp,
}

/// What `build()` needs besides the settings.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) access_tokens: AccessTokens,
    #[cfg(feature = "jwks")]
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) refresh_tokens: Option<RefreshTokens>,
    /// No server secret was given, so the HS256 secret is their root too.
    pub(crate) refresh_hangs_on_keys: bool,
    pub(crate) device_cookies: Option<DeviceCookies>,
    pub(crate) on_issue: Option<OnIssue>,
    pub(crate) locator: Option<Arc<dyn Locator>>,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) delivery: Delivery,
    /// Reads the links of alerts; and makes them, where it is known where they lead.
    pub(crate) alert_links: Option<Arc<AlertLinks>>,
    pub(crate) alert_base: Option<String>,
    pub(crate) clock: Clock,
}

impl SessionsBuilder {
    pub(crate) fn new(store: impl SessionStore) -> Self {
        Self {
            store: Arc::new(store),
            access_tokens: None,
            #[cfg(feature = "jwks")]
            issuers: Vec::new(),
            idle_timeout: Duration::from_secs(14 * DAY),
            absolute_lifetime: Duration::from_secs(90 * DAY),
            access_token_ttl: Duration::from_secs(15 * 60),
            activity_interval: None,
            max_staleness: Duration::from_secs(5),
            load_timeout: None,
            max_age: Duration::from_secs(10 * 60),
            max_cached_sessions: 100_000,
            outage_grace: Duration::ZERO,
            history: Duration::from_secs(30 * DAY),
            scrub_after: None,
            refresh_grace: Duration::from_secs(10),
            lost_response_window: None,
            server_secrets: Vec::new(),
            require_fresh: None,
            on_issue: None,
            trusted_origins: Ok(Vec::new()),
            insecure_cookie_on_loopback: false,
            session_limit: None,
            client_ip: ClientIp::default(),
            locator: None,
            sinks: Vec::new(),
            delivery: Delivery::default(),
            alert_links: None,
            clock: Clock::default(),
        }
    }

    /// The keys that sign and verify access tokens. Required: there is no safe default for a key.
    pub fn access_tokens(self, access_tokens: AccessTokens) -> Self {
        Self { access_tokens: Some(access_tokens), ..self }
    }

    /// Accepts the access tokens of another issuer too, or, without [`access_tokens`](Self::access_tokens), instead of own
    /// ones. May be called several times. Their `Authorization: Bearer` is checked like any other, and so is their session.
    #[cfg(feature = "jwks")]
    pub fn accept_tokens_of(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// A session ends this long after its last request. Default: 14 days, so that a fortnight's holiday signs nobody
    /// out. It is refused two activity intervals later, since another node may know of a newer request.
    pub fn idle_timeout(self, idle_timeout: Duration) -> Self {
        Self { idle_timeout, ..self }
    }

    /// A session ends this long after it began, however busy it is. Default: 90 days. It is written into the row at
    /// sign-in: a change holds for new sessions.
    pub fn absolute_lifetime(self, absolute_lifetime: Duration) -> Self {
        Self { absolute_lifetime, ..self }
    }

    /// How long an access token is valid; at most as long as its session. Default: 15 minutes, less a random part of
    /// up to 5 % so that a crowd that signed in together does not come back together.
    ///
    /// In browser mode it is the age at which the cookie is made anew, with fresh claims.
    ///
    /// It does not decide how fast a sign-out works (the session is checked on every request) but how long a token is
    /// good elsewhere, with services that check its signature alone.
    pub fn access_token_ttl(self, access_token_ttl: Duration) -> Self {
        Self { access_token_ttl, ..self }
    }

    /// How often activity is written down. Default: 10 s, or a twentieth of the idle timeout if that is less: a crash
    /// loses at most this much. At most a tenth of the idle timeout.
    pub fn activity_interval(self, activity_interval: Duration) -> Self {
        Self { activity_interval: Some(activity_interval), ..self }
    }

    /// The longest that a change made elsewhere (another node, a hand in the database) may stay unseen, whatever
    /// fails. Default: 5 s. (Where somebody removes the schema's triggers under a running node, `max_age` bounds it.)
    pub fn max_staleness(self, max_staleness: Duration) -> Self {
        Self { max_staleness, ..self }
    }

    /// How long a read of sessions may take before the requests that wait for it are answered with 503. Default: 2 s,
    /// or half of `max_staleness` if that is less. Must be less than `max_staleness`.
    pub fn load_timeout(self, load_timeout: Duration) -> Self {
        Self { load_timeout: Some(load_timeout), ..self }
    }

    /// A session in the cache is read again after this long (less up to a tenth, so that they do not all fall due at
    /// once), whatever else holds. Default: 10 minutes. A net under the net.
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { max_age, ..self }
    }

    /// How many tokens are kept in memory, each with its session; about 1,000 bytes each. Default: 100,000. One that finds no
    /// room costs a check of its signature and a read, nothing else; the least recently used go first.
    ///
    /// Up to a quarter of the room (16,384 tokens at most) is for those that are asked for most, which may stand in both parts;
    /// so fewer sessions than this may fit.
    pub fn max_cached_sessions(self, max_cached_sessions: u64) -> Self {
        Self { max_cached_sessions, ..self }
    }

    /// How much longer than `max_staleness` sessions that this node has validated before may go on while the database
    /// cannot be asked. Default: zero, so that they are answered 503.
    ///
    /// This is availability bought with a known risk: during an outage a session that was ended elsewhere just before
    /// may be let in for up to `max_staleness + outage_grace`. At most one hour. It never brings in a session that
    /// this node does not know, and never one that it knows has ended.
    pub fn outage_grace(self, outage_grace: Duration) -> Self {
        Self { outage_grace, ..self }
    }

    /// How long the row of an ended session is kept: for the user's history, and so that a client is told that, and why,
    /// its session has ended (`session_ended`, later `invalid_token`). Default: 30 days.
    pub fn history(self, history: Duration) -> Self {
        Self { history, ..self }
    }

    /// How long after its end a session loses its address, its place and its User-Agent, which are personal data; its
    /// device's name stays as long as the row. Default: 14 days, or [`history`](Self::history) if that is less: long
    /// enough to look into what happened. At most `history`.
    pub fn scrub_after(self, scrub_after: Duration) -> Self {
        Self { scrub_after: Some(scrub_after), ..self }
    }

    /// For how long after a refresh its token may be presented again: it is answered with the same new tokens. Default:
    /// 10 s, for tabs that refresh at once and answers that were lost. See the crate's `docs/refresh.md`.
    ///
    /// Zero, together with a [`lost_response_window`](Self::lost_response_window) of zero, is RFC 9700 to the letter (§4.14.2): a
    /// refresh token is good for one use, and one lost answer, or two tabs, sign the user out.
    pub fn refresh_grace(self, refresh_grace: Duration) -> Self {
        Self { refresh_grace, ..self }
    }

    /// For how long after a refresh, if its answer never arrived, its token may still be presented: it gets new tokens, and
    /// those of the lost answer are void. Default: the life of the session, so that no answer that was lost in a tunnel
    /// signs anybody out; zero where the grace is zero. Zero with a grace above zero leaves just the grace.
    pub fn lost_response_window(self, lost_response_window: Duration) -> Self {
        Self { lost_response_window: Some(lost_response_window), ..self }
    }

    /// The root of what this crate signs besides access tokens: 32 random bytes or more, the same on every node, not in the
    /// database. By default it is the HS256 secret; with asymmetric keys it must be given. (What is derived from it is
    /// separated by HKDF labels, RFC 5869.)
    ///
    /// To change it, call this twice: the first one makes, the others are accepted as well; first add the new one behind the
    /// old on every node, then swap them, then drop the old one when its last refresh token is `absolute_lifetime` old.
    ///
    /// Give it with HS256 too where keys are to change one day ([`Sessions::replace_keys`]): what hangs on the HS256 secret is
    /// void when that is gone, and refresh tokens live as long as their sessions. Where it was never given, give the HS256
    /// secret itself: nothing that is out there is lost.
    pub fn server_secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.server_secrets.push(secret.as_ref().to_vec());
        self
    }

    /// Lets the routes that end other sessions (`DELETE /sessions/..`) ask for a user who has proved who they are no longer ago
    /// than this: else 401 `fresh_auth_required` (RFC 9470, OWASP ASVS 5.0, 7.5.2). The application asks for the password
    /// or passkey again and calls [`Sessions::reauthenticated`]. Also what
    /// [`FreshSession`](crate::FreshSession) means by fresh. Default: not asked for. Logging out never needs it.
    ///
    /// Whoever finds an unlocked laptop can then not sign its owner out everywhere else. The price is a password prompt for
    /// the owner who has lost a phone.
    pub fn require_fresh(self, require_fresh: Duration) -> Self {
        Self { require_fresh: Some(require_fresh), ..self }
    }

    /// Asked whenever a token is about to be issued (at sign-in, and anew at each refresh and whenever a cookie is made anew): may this user have one, and with which claims? Roles
    /// are as fresh as the token, and a disabled account gets none; where it is refused at a refresh, its session ends as
    /// `account_disabled`. Its claims are added to those of [`SignIn::claims`](crate::SignIn::claims)
    /// and win over them. An `Err` counts as "could not find out": nothing is issued, the answer is 503.
    ///
    /// ```
    /// # use axum_device_sessions::{Issue, SessionsBuilder};
    /// # #[derive(serde::Serialize)] struct Roles { roles: Vec<String> }
    /// # async fn roles_of(_: &str) -> Result<Option<Vec<String>>, std::io::Error> { Ok(None) }
    /// # fn f(builder: SessionsBuilder) -> SessionsBuilder {
    /// builder.on_issue(|token| async move {
    ///     Ok(match roles_of(token.user_id().as_str()).await? {
    ///         Some(roles) => Issue::with_claims(&Roles { roles })?,
    ///         None => Issue::refuse(),
    ///     })
    /// })
    /// # }
    /// ```
    pub fn on_issue<F, Fut>(self, on_issue: F) -> Self
    where
        F: Fn(Issuing) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Issue, Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        Self { on_issue: Some(Box::new(move |token| Box::pin(on_issue(token)))), ..self }
    }

    /// One more trusted origin, or why it cannot be one: `web/csrf.rs` knows.
    pub(crate) fn with_trusted_origin(mut self, origin: Result<String, ConfigError>) -> Self {
        match (&mut self.trusted_origins, origin) {
            (Ok(known), Ok(origin)) => known.push(origin),
            (Ok(_), Err(why)) => self.trusted_origins = Err(why),
            // The first mistake is told.
            (Err(_), _) => {}
        }
        self
    }

    /// **For development only.** Lets a browser that takes no `Secure` cookie over plain http (Safari) sign in to a
    /// service on the same machine: besides `__Host-session` a second cookie, `session-on-loopback`, is set and accepted,
    /// without `Secure`. Chrome and Firefox need none of this: for them `http://localhost` is secure enough.
    ///
    /// Default: off. It holds for requests whose connection comes from a loopback address
    /// (`into_make_service_with_connect_info`) *and* whose `Host` is `localhost`, `127.0.0.1` or `[::1]`, with any port;
    /// everywhere else that name means nothing. Even so, switch it off in production: a proxy on the same machine that
    /// writes `Host: localhost` makes every request look like one of these, and any program on the machine that may
    /// listen on a port of `localhost` is sent that cookie.
    pub fn insecure_cookie_on_loopback(self) -> Self {
        Self { insecure_cookie_on_loopback: true, ..self }
    }

    /// How many sessions a user may have at once, and what happens to a sign-in that would be one too many. Exact under
    /// any concurrency, on all nodes. Default: no limit.
    ///
    /// A number is for everybody (`10`); [`SessionLimit::of_user`] and [`SessionLimit::of_client_type`] ask by plan or by
    /// kind of client. The same device that signs in again replaces its own session and needs no room; pending sessions
    /// do not count. Sessions that are imported or that another issuer signs in are let in whatever the limit is, and count
    /// at the next sign-in here.
    pub fn max_sessions_per_user(self, limit: impl Into<SessionLimit>, on_limit: OnLimit) -> Self {
        Self { session_limit: Some((limit.into(), on_limit)), ..self }
    }

    /// Where the address of a client is taken from. Default: [`ClientIp::socket`], the other end of the connection; no
    /// header is believed, since anybody can send one. Behind a proxy of yours, name it: else all users seem to be there.
    pub fn client_ip(self, client_ip: ClientIp) -> Self {
        Self { client_ip, ..self }
    }

    /// Where on earth an address is, for the list of devices and for what is unusual about a sign-in. Default: not asked.
    /// `GeoIp` (feature `geoip`) reads a MaxMind file; a function of the address does as well.
    pub fn locator(self, locator: impl Locator) -> Self {
        Self { locator: Some(Arc::new(locator)), ..self }
    }

    /// Has this notifier told what it [wants](crate::Notifier::wants): by webhook, by push, by mail (features `webhook`, `fcm`,
    /// `apns`, `email`), or by one of the application's own. May be called several times. Default: nobody is told, and
    /// nothing is recorded for anybody.
    ///
    /// What is to be told is recorded in the transaction in which it happens, an end by hand in psql included, and delivered at least
    /// once, of each session in the order in which it happened; nodes share the work. It is recorded under `name` (1 to 40 of `a-z`, `0-9`, `-`
    /// and `_`), which is to stay the same: what was recorded under another is delivered to nobody. Give every node the same
    /// notifiers. A name that no node has given for 7 days is forgotten.
    pub fn notify(mut self, name: impl Into<String>, notifier: impl Notifier) -> Self {
        self.sinks.push(Sink { name: name.into(), wants: notifier.wants(), notifier: Arc::new(notifier) });
        self
    }

    /// How long delivering a notice may take, how often and how soon it is tried again. Default: see [`Delivery`].
    pub fn delivery(self, delivery: Delivery) -> Self {
        Self { delivery, ..self }
    }

    /// Where [`routes::alerts`](crate::routes::alerts) are, as the world sees them: `https://app.example.com/alerts`. Mails
    /// about a new sign-in then have a link by which its reader can say that it was somebody else: good once, for 7 days.
    /// Default: none, and the mails say to change the password.
    pub fn alert_links(self, base: impl Into<String>) -> Self {
        Self { alert_links: Some(base.into()), ..self }
    }

    /// Another clock than the system's. Give the same one to `MemoryStore::with_clock`.
    #[cfg(any(test, feature = "test-util"))]
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Checks the settings, the keys (by signing and verifying with each) and the schema's version, and starts the
    /// background tasks on the current Tokio runtime. Changes nothing in the database, but for saying who is to be
    /// [told](Self::notify).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] that says what to change; where the database could not be asked, its `source()` says why.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub async fn build(self) -> Result<Sessions, ConfigError> {
        let (settings, parts) = self.checked()?;
        parts.store.check().await.map_err(|cause| match cause.kind() {
            crate::ErrorKind::Schema => ConfigError::because(
                "the schema is missing or older than this version of the crate: run `store.migrate().await?` before \
                 `build()`, or apply the files of `migrations/`; or its tables are not this role's to use: grant what \
                 `docs/database.md` lists",
                cause,
            ),
            _ => ConfigError::because("the database could not be asked for its schema: is it up and reachable?", cause),
        })?;
        notice::register(&*parts.store, parts.sinks.iter()).await.map_err(|cause| {
            ConfigError::because("who is to be told cannot be written down: may the role write to `sinks`?", cause)
        })?;
        Sessions::start(settings, parts)
    }
}

impl fmt::Debug for SessionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder").field("store", &self.store).finish_non_exhaustive()
    }
}

const DAY: u64 = 24 * 60 * 60;
