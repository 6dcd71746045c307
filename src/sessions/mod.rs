//! The handle, and what it does: [`validate`] is the request path, [`sign_in`] and [`end`] are the rest of a session's
//! life. Nothing here knows HTTP.

mod admin;
mod admit;
mod browser;
mod calling;
mod confirm;
mod current;
mod end;
#[cfg(feature = "jwks")]
mod foreign;
#[cfg(feature = "jwks")]
mod foreign_logout;
mod health;
mod identify;
mod import;
mod issue;
mod keys;
mod list;
mod notices;
mod pending;
mod refresh;
mod rename;
mod sign_in;
mod signed_in;
mod turns;
mod upkeep;
mod validate;
mod verdict;
mod wait;

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::Instant,
};

pub use self::{
    admin::{Admin, SessionPage},
    admit::SignInPolicy,
    browser::SignedOut,
    current::CurrentSession,
    health::{Coherence, Health},
    import::ImportSession,
    issue::{Issue, Issuing},
    pending::PendingSession,
    refresh::TokenPair,
    sign_in::SignIn,
    signed_in::SignedIn,
};
pub(crate) use self::{
    browser::{Browser, SessionCookie},
    calling::Calling,
    identify::KnownToken,
    issue::OnIssue,
    signed_in::SetDeviceCookie,
    validate::{Caller, PendingRead, Validation},
    verdict::{Refusal, Refused, Verdict},
};
use self::{confirm::InUseQueue, current::Live, keys::KeySet, turns::Turns};
#[cfg(feature = "jwks")]
use crate::token::issuer::Issuers;
use crate::{
    activity::{self, Command, Recorder},
    cache::{Front, LoadLimits, SessionCache, TokenCache, Trust},
    clock::{Clock, Tick},
    config::{Parts, SessionsBuilder, Settings},
    error::{ConfigError, Error},
    notice::{Desk, Links, Worker},
    origin::Locator,
    session::{SessionId, UserId},
    store::{Change, ChangeFeed, Changes, SessionStore},
    token::{AlertLinks, DeviceCookies, refresh::RefreshTokens},
};

/// Signs in, checks, lists and ends sessions. A cheap handle: clone it into your state.
///
/// Its background tasks (writing activity, being told of changes, ending what has run out) end when [`Sessions::shutdown`] is called, or by
/// themselves when the last handle is gone.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

pub(crate) struct Inner {
    store: Arc<dyn SessionStore>,
    cache: Arc<SessionCache>,
    key_set: ArcSwap<KeySet>,
    /// The live sessions of the tokens that are asked for most, ready to be handed on.
    front: Front<Live>,
    tokens: TokenCache<KnownToken>,
    #[cfg(feature = "jwks")]
    issuers: Issuers,
    /// No server secret was given, so the HS256 secret is their root too.
    refresh_hangs_on_keys: bool,
    recorder: Arc<Recorder>,
    writer: mpsc::Sender<Command>,
    clock: Clock,
    settings: Settings,
    on_issue: Option<OnIssue>,
    /// `None` where nobody is signed in.
    refresh_tokens: Option<RefreshTokens>,
    device_cookies: Option<DeviceCookies>,
    locator: Option<Arc<dyn Locator>>,
    desk: Desk,
    alert_links: Option<Arc<AlertLinks>>,
    signing_in: Arc<Turns<UserId>>,
    refreshing: Arc<Turns<SessionId>>,
    in_use: Arc<InUseQueue>,
    /// Nobody else can change anything.
    alone: bool,
    /// Dropped or set, the tasks that follow the database end.
    stop: watch::Sender<bool>,
    /// Dropped or set, streams end.
    closing: watch::Sender<bool>,
}

impl Sessions {
    /// Starts a setup with a store: `PostgresStore` or [`MemoryStore`](crate::MemoryStore).
    pub fn builder(store: impl SessionStore) -> SessionsBuilder {
        SessionsBuilder::new(store)
    }

    /// Sessions in memory with a random key, for tests.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    #[cfg(any(test, feature = "test-util"))]
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test helper; every setting is the default")]
    pub fn in_memory() -> Self {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).expect("the operating system has randomness");
        let tokens = crate::token::AccessTokens::hs256(secret).expect("32 random bytes");
        let (settings, parts) =
            Self::builder(crate::MemoryStore::new()).access_tokens(tokens).checked().expect("the defaults agree");
        Self::start(settings, parts).expect("the defaults work")
    }

    pub(crate) fn start(settings: Settings, parts: Parts) -> Result<Self, ConfigError> {
        let Parts { store, access_tokens, refresh_tokens, refresh_hangs_on_keys, on_issue, clock, .. } = parts;
        let (device_cookies, locator, alert_links) = (parts.device_cookies, parts.locator, parts.alert_links);
        #[cfg(feature = "jwks")]
        let issuers = Issuers::seal(parts.issuers, access_tokens.name(), &clock)?;
        let key_set = ArcSwap::from_pointee(KeySet::new(access_tokens.seal()?));
        let front = Front::new(settings.max_cached_sessions);
        let tokens = TokenCache::new(settings.max_cached_sessions - front.room())
            .map_err(|cause| ConfigError::because("the operating system has no randomness", cause))?;
        let changes = store.changes(&clock, settings.max_staleness);
        let alone = matches!(changes, Changes::OnlyHere);
        let trust = Arc::new(match changes {
            Changes::OnlyHere => Trust::for_ever(settings.max_staleness),
            Changes::Untold | Changes::Feed(_) => Trust::by_time(settings.max_staleness),
        });
        let limits = LoadLimits { timeout: settings.load_timeout, max_age: settings.max_age };
        let cache = Arc::new(SessionCache::new(Arc::clone(&store), clock.clone(), trust, settings.lives, limits));
        let recorder = Arc::new(Recorder::default());
        let (writer, commands) = mpsc::channel(8);
        let interval = settings.activity_interval;
        let task =
            activity::Writer::new(Arc::clone(&recorder), Arc::clone(&store), locator.clone(), clock.clone(), interval);
        tokio::spawn(task.run(commands));
        let stop = watch::Sender::new(false);
        let links = parts.alert_base.zip(alert_links.clone()).map(|(base, seal)| Links { base, seal });
        let told = (clock.clone(), stop.subscribe());
        let desk = Worker::start(Arc::clone(&store), parts.sinks, parts.delivery, links, told);
        if matches!(changes, Changes::Untold) {
            let cause = "not told of changes: the store has no address to listen at (PostgresStore::listen_url)";
            tracing::warn!(cause, "sessions are read again every max_staleness");
            cache.contact().lost(&cause.into());
        }
        if let Changes::Feed(feed) = changes {
            tokio::spawn(until(stop.subscribe(), apply_changes(feed, Arc::clone(&cache), desk.hint())));
        }
        let max_staleness = settings.max_staleness;
        let silence = max_staleness.min(settings.lives.longest_silence());
        let inner = Arc::new(Inner {
            store,
            cache,
            key_set,
            front,
            tokens,
            #[cfg(feature = "jwks")]
            issuers,
            refresh_hangs_on_keys,
            recorder,
            writer,
            clock,
            settings,
            on_issue,
            refresh_tokens,
            device_cookies,
            locator,
            desk,
            alert_links,
            signing_in: Arc::default(),
            refreshing: Arc::default(),
            in_use: Arc::default(),
            alone,
            stop,
            closing: watch::Sender::new(false),
        });
        tokio::spawn(until(inner.stop.subscribe(), upkeep::run(Arc::downgrade(&inner))));
        let confirming = confirm::run(Arc::clone(&inner.in_use), Arc::downgrade(&inner));
        tokio::spawn(until(inner.stop.subscribe(), confirming));
        if !alone {
            let stop = inner.stop.subscribe();
            tokio::spawn(until(stop, health::keep_in_contact(Arc::downgrade(&inner), max_staleness, silence)));
        }
        Ok(Self(inner))
    }

    /// Writes down all activity that this node has seen, lets what is being delivered arrive (for half a second), and ends
    /// the background tasks. Call it after the server has
    /// stopped serving; bound it with a timeout if the database may be away. Handles stay usable, but what they see
    /// from here on is not recorded, and each session is read again every `max_staleness`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) where the database could not be written: then up to one interval of activity is lost.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the flush goes on in the background.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.0.stop.send_replace(true);
        let (flushed, ()) = tokio::join!(self.command(Command::Stop), self.0.desk.stop());
        flushed
    }

    /// Ends the streams of `GET /sessions/events` on this node, and tells [`closing`](Self::closing): for a graceful shutdown,
    /// which would wait for them for ever. Call it in the future that the server's shutdown is given:
    ///
    /// ```
    /// # use axum_device_sessions::Sessions;
    /// # async fn serve(listener: tokio::net::TcpListener, app: axum::Router, sessions: Sessions, signal: impl Future<Output = ()> + Send + 'static)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// let streams = sessions.clone();
    /// axum::serve(listener, app)
    ///     .with_graceful_shutdown(async move {
    ///         signal.await;
    ///         streams.close_streams();
    ///     })
    ///     .await?;
    /// sessions.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Browsers come back after 3 s, to another node if there is one.
    pub fn close_streams(&self) {
        self.0.closing.send_replace(true);
    }

    /// Waits for [`close_streams`](Self::close_streams): for the application's own WebSockets and streams, beside
    /// [`CurrentSession::ended`]. Resolves also when the last handle is gone.
    ///
    /// # Cancel safety
    ///
    /// Drop it at any time.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closing = self.0.closing.subscribe();
        async move {
            let _closed_or_gone = closing.wait_for(|closing| *closing).await;
        }
    }

    /// Writes down all activity that this node has seen, now. For tests; the background task does this by itself every
    /// `activity_interval`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable): nothing is lost, it is tried again after the next interval.
    pub async fn flush_activity(&self) -> Result<(), Error> {
        self.command(Command::Flush).await
    }

    async fn command(&self, command: fn(oneshot::Sender<Result<(), Error>>) -> Command) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        if self.0.writer.send(command(reply)).await.is_err() {
            // Stopped before, it has flushed; else it is gone by a panic.
            let stopped = *self.0.stop.borrow();
            return if stopped { Ok(()) } else { Err(Error::unavailable("recording activity", "the writer is gone")) };
        }
        answer.await.map_err(|cause| Error::unavailable("recording activity", cause))?
    }

    /// Runs a write to its end even if the caller goes away, and answers within `ANSWER_WITHIN` either way.
    async fn detached<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let task = tokio::spawn(work);
        in_time(doing, async { task.await.unwrap_or_else(|panicked| Err(Error::unavailable(doing, panicked))) }).await
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    pub(crate) const fn from_inner(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    /// What the ending routes ask for, if they do.
    #[cfg(feature = "routes")]
    pub(crate) fn require_fresh(&self) -> Option<Duration> {
        self.0.settings.require_fresh
    }

    /// What `FreshSession` asks for.
    pub(crate) fn fresh_for(&self) -> Duration {
        self.0.settings.require_fresh.unwrap_or(FRESH_FOR)
    }

    pub(crate) fn tick(&self) -> Tick {
        self.0.clock.tick()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("store", &self.0.store)
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

/// Applies what the store tells, in order.
async fn apply_changes(mut feed: ChangeFeed, cache: Arc<SessionCache>, hint: Arc<Notify>) {
    while let Some(change) = feed.0.recv().await {
        cache.apply(&change);
        // A beat says nothing of the kind.
        if !matches!(change, Change::ToldUpTo(_)) {
            hint.notify_one();
        }
    }
}

/// Runs a task until it is to stop or nobody can tell it to any more.
async fn until(mut stop: watch::Receiver<bool>, task: impl Future<Output = ()> + Send) {
    tokio::select! {
        _stopped_or_gone = stop.wait_for(|stop| *stop) => {}
        () = task => {}
    }
}

async fn in_time<T>(doing: &'static str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    by(Instant::now() + ANSWER_WITHIN, doing, work).await
}

/// What is not done by then is told as unavailable.
pub(crate) async fn by<T>(
    deadline: Instant,
    doing: &'static str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout_at(deadline, work).await.unwrap_or_else(|late| Err(Error::unavailable(doing, late)))
}

/// Every answer comes within 4 s; this leaves room for the rest of the request.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_millis(3_500);
/// As long as a user may be expected to sit before the same screen.
const FRESH_FOR: Duration = Duration::from_secs(10 * 60);
