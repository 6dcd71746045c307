//! The request path between HTTP and the store: token → session → judge → touch. Synchronous on a hit.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

#[cfg(feature = "jwks")]
use super::foreign::Foreign;
use super::{CurrentSession, Inner, Sessions, keys::KeySet};
#[cfg(feature = "jwks")]
use crate::token::issuer::PendingKeys;
use crate::{
    cache::{Known, Reading, State},
    clock::Tick,
    error::Error,
    policy,
    session::{EndReason, Generations, SessionId, UserId},
    telemetry,
    token::{TokenRefusal, TokenUse, VerifiedToken, refresh},
};

/// What is known of the request's credential. A refusal is an answer; only `Unavailable` means "could not find out".
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// No credential was sent.
    Anonymous,
    Live(CurrentSession),
    Refused(Refused),
    Unavailable,
}

/// A credential that was looked at and does not hold.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) why: Refusal,
    /// The session that a validly signed token named.
    pub(crate) named: Option<(SessionId, UserId)>,
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

/// A token that verified, and the state of the session that it names.
pub(crate) struct KnownToken {
    pub(crate) user_id: UserId,
    pub(super) usage: TokenUse,
    /// The refresh generation that it belongs to, if it has one.
    pub(super) generation: Option<u64>,
    used: AtomicBool,
    /// From here on it has expired, leeway included: worked out from `exp` when it was verified, so that a step of the
    /// wall clock neither revives it nor kills it.
    expires: Tick,
    /// From here on a cookie is to be made anew.
    renew_at: Tick,
    /// The whole payload as JSON, where it holds more than this crate's own claims.
    pub(crate) claims: Option<Box<str>>,
    pub(crate) state: Arc<State>,
    #[cfg(feature = "jwks")]
    pub(super) foreign: Option<Foreign>,
    /// Whose it is: a request may pass the layers of several `Sessions`.
    pub(crate) home: Weak<Inner>,
}

impl KnownToken {
    #[cfg(any(test, feature = "test-util"))]
    pub(super) fn fake(user_id: UserId, state: Arc<State>) -> Self {
        Self {
            user_id,
            usage: TokenUse::Access,
            generation: None,
            used: AtomicBool::new(false),
            expires: Tick::from_nanos(u64::MAX),
            renew_at: Tick::from_nanos(u64::MAX),
            claims: None,
            state,
            #[cfg(feature = "jwks")]
            foreign: None,
            home: Weak::new(),
        }
    }

    /// `true` the first time.
    pub(super) fn is_first_use(&self) -> bool {
        !self.used.load(Ordering::Relaxed) && !self.used.swap(true, Ordering::Relaxed)
    }

    /// Whether it is a cookie that is to be made anew.
    pub(super) fn is_old(&self, now: Tick) -> bool {
        self.renew_at <= now
    }

    pub(crate) fn named(&self) -> (SessionId, UserId) {
        (self.state.id(), self.user_id.clone())
    }
}

/// Claims are the application's, and may be personal.
impl fmt::Debug for KnownToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownToken")
            .field("session", &self.state.id())
            .field("user", &self.user_id)
            .field("usage", &self.usage)
            .finish_non_exhaustive()
    }
}

/// A verdict, or what must be read before there can be one.
pub(crate) enum Validation {
    Done(Verdict),
    Read(PendingRead),
}

/// Why a token does not (yet) name a session.
#[derive(Debug)]
pub(crate) enum Unidentified {
    Refused(Refused),
    #[cfg(feature = "jwks")]
    NeedsKeys(PendingKeys),
}

impl From<TokenRefusal> for Refused {
    fn from(refusal: TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::Expired { session_id, user_id } => {
                Self { why: Refusal::TokenExpired, named: Some((session_id, user_id)) }
            }
            TokenRefusal::Invalid(why) => {
                tracing::debug!(why, "token refused");
                Self { why: Refusal::InvalidToken, named: None }
            }
        }
    }
}

/// A token that takes more than what is in memory: its session has to be read, or its issuer asked for a key.
pub(crate) struct PendingRead {
    sessions: Sessions,
    token: PendingToken,
    strict: bool,
    ip_address: Option<IpAddr>,
    user_agent: Option<String>,
    touch: bool,
    /// And no second look at one that was let in.
    is_request: bool,
}

/// User-Agent and address of whoever may turn out to be new here.
pub(super) type Newcomer = (Option<String>, Option<IpAddr>);

enum PendingToken {
    Known(Arc<KnownToken>),
    #[cfg(feature = "jwks")]
    NeedsKeys(Box<str>, PendingKeys),
}

/// Who sends a request, as far as the request tells.
pub(crate) trait Caller {
    fn ip_address(&self) -> Option<IpAddr>;
    fn user_agent(&self) -> Option<String>;
}

impl Sessions {
    /// Judges one token; with `strict` only by a read begun after this call. `touch`: the request counts as activity.
    pub(crate) fn validate(
        &self,
        token: &str,
        usage: TokenUse,
        strict: bool,
        touch: bool,
        caller: &impl Caller,
    ) -> Validation {
        let now = self.0.clock.tick();
        let pending = |token| {
            telemetry::miss();
            let (ip_address, user_agent) = (caller.ip_address(), caller.user_agent());
            Validation::Read(PendingRead {
                sessions: self.clone(),
                token,
                strict,
                ip_address,
                user_agent,
                touch,
                is_request: true,
            })
        };
        let token = match self.identify(token, usage, now) {
            Ok(token) => token,
            Err(Unidentified::Refused(refused)) => return Validation::Done(Verdict::Refused(refused)),
            #[cfg(feature = "jwks")]
            Err(Unidentified::NeedsKeys(keys)) => return pending(PendingToken::NeedsKeys(token.into(), keys)),
        };
        let verdict = if strict { None } else { self.judge_cached(&token, now) };
        let Some(verdict) = verdict else { return pending(PendingToken::Known(token)) };
        telemetry::hit();
        if let Verdict::Live(current) = &verdict {
            self.0.note_use(&token, current);
            if touch {
                self.0.recorder.touch(token.state.seen(), now, || caller.ip_address());
            }
        }
        Validation::Done(verdict)
    }

    /// A session that was live by what is in memory, judged by a read that begins now. It has been touched already.
    pub(crate) fn read_again(&self, current: &CurrentSession) -> PendingRead {
        telemetry::miss();
        let token = PendingToken::Known(Arc::clone(current.token()));
        PendingRead {
            sessions: self.clone(),
            token,
            strict: true,
            ip_address: None,
            user_agent: None,
            touch: false,
            is_request: false,
        }
    }

    /// The session that a token names, if that can be said at once: whether or not the token has expired.
    pub(crate) fn named_by_token(&self, token: &str, usage: TokenUse) -> Option<SessionId> {
        match self.identify(token, usage, self.tick()) {
            Ok(known) => Some(known.state.id()),
            Err(Unidentified::Refused(refused)) => refused.named.map(|(session, _)| session),
            #[cfg(feature = "jwks")]
            Err(Unidentified::NeedsKeys(_)) => None,
        }
    }

    /// The session that a token names, if its signature and its claims are right. No database, no session check.
    pub(super) fn identify(&self, token: &str, usage: TokenUse, now: Tick) -> Result<Arc<KnownToken>, Unidentified> {
        let set = self.0.key_set.load();
        let known = match set.known.get(token) {
            Some(known) if known.usage == usage && self.still_holds(&known) => known,
            _ => self.verify(&set, token, usage, now)?,
        };
        if known.expires <= now {
            return Err(Unidentified::Refused(Refused { why: Refusal::TokenExpired, named: Some(known.named()) }));
        }
        Ok(known)
    }

    /// Remembered beside the keys that verified it: these may be replaced just now.
    pub(super) fn verify(
        &self,
        set: &KeySet,
        token: &str,
        usage: TokenUse,
        now: Tick,
    ) -> Result<Arc<KnownToken>, Unidentified> {
        #[cfg(feature = "jwks")]
        if usage == TokenUse::Access
            && let Some(foreign) = self.verify_foreign(set, token, now)
        {
            return foreign;
        }
        match set.keys.verify(token, usage, self.0.clock.wall()) {
            Ok(verified) => Ok(self.remember(
                set,
                token,
                usage,
                verified,
                #[cfg(feature = "jwks")]
                None,
                now,
            )),
            Err(refusal) => Err(Unidentified::Refused(refusal.into())),
        }
    }

    pub(super) fn remember(
        &self,
        set: &KeySet,
        token: &str,
        usage: TokenUse,
        VerifiedToken { session_id, user_id, generation, age, expires_in, of_another_key, claims }: VerifiedToken,
        #[cfg(feature = "jwks")] foreign: Option<Foreign>,
        now: Tick,
    ) -> Arc<KnownToken> {
        let renew_at = match usage {
            TokenUse::Cookie if set.keys.can_sign() => {
                // At once, so that a key which is on its way out is needed for `idle_timeout` and no longer.
                let young = if of_another_key { Duration::ZERO } else { self.0.settings.access_token_ttl };
                now.after(young.saturating_sub(age))
            }
            TokenUse::Cookie | TokenUse::Access => Tick::from_nanos(u64::MAX),
        };
        let known = Arc::new(KnownToken {
            user_id,
            usage,
            generation,
            used: AtomicBool::new(false),
            expires: now.after(expires_in),
            renew_at,
            claims,
            state: self.0.cache.state(session_id),
            #[cfg(feature = "jwks")]
            foreign,
            home: Arc::downgrade(&self.0),
        });
        set.known.insert(token, Arc::clone(&known));
        known
    }

    #[cfg(not(feature = "jwks"))]
    #[expect(clippy::unused_self, reason = "with `jwks`, keys may be taken back")]
    const fn still_holds(&self, _known: &KnownToken) -> bool {
        true
    }

    /// The verdict, if what is in memory is enough for one.
    pub(super) fn judge_cached(&self, token: &Arc<KnownToken>, now: Tick) -> Option<Verdict> {
        if let Some(ended) = token.state.ended() {
            return Some(Verdict::Refused(ended_refusal(token, &ended.reason)));
        }
        let reading = self.0.cache.believed(&token.state, now)?;
        self.judge(token, reading, now)
    }

    /// Whether, by all that this node knows, the session was over before this request.
    fn had_run_out(&self, token: &KnownToken, now: Tick) -> bool {
        let Some(reading) = token.state.reading() else { return token.state.ended().is_some() };
        match &reading.known {
            Known::Row { deadlines, .. } => {
                policy::run_out(*deadlines, token.state.seen().at(), now, self.0.settings.lives).is_some()
            }
            Known::Missing => true,
        }
    }

    /// `None`: it looks idle, but the row is too old to say so, or an outage is too near; another node may know better.
    fn judge(&self, token: &Arc<KnownToken>, reading: Arc<Reading>, now: Tick) -> Option<Verdict> {
        // Again, and after the reading was taken: an end that came in between must not be overlooked.
        if let Some(ended) = token.state.ended() {
            return Some(Verdict::Refused(ended_refusal(token, &ended.reason)));
        }
        let (session, deadlines) = match &reading.known {
            Known::Row { session, deadlines } if session.user_id == token.user_id => (session, *deadlines),
            // To be registered, by whoever may read and write.
            #[cfg(feature = "jwks")]
            Known::Missing if token.may_be_adopted() => return None,
            Known::Row { .. } | Known::Missing => {
                let why = Refusal::InvalidToken;
                return Some(Verdict::Refused(Refused { why, named: Some(token.named()) }));
            }
        };
        #[cfg(feature = "jwks")]
        if !token.may_be_of(session) {
            return Some(Verdict::Refused(Refused { why: Refusal::InvalidToken, named: Some(token.named()) }));
        }
        if let Some(ended) = &session.ended {
            return Some(Verdict::Refused(ended_refusal(token, &ended.reason)));
        }
        match policy::run_out(deadlines, token.state.seen().at(), now, self.0.settings.lives) {
            Some(EndReason::Idle) if now.since(reading.started) >= FRESH || self.0.idle_is_doubtful(now) => {
                return None;
            }
            Some(reason) => return Some(Verdict::Refused(ended_refusal(token, &reason))),
            None => {}
        }
        let Generations { at_floor, at_root, .. } = session.generations;
        if token.generation.is_some_and(|generation| refresh::below_floor(at_floor, at_root, generation)) {
            // The innocent refreshes and goes on; whoever was left behind is found by that.
            return Some(Verdict::Refused(Refused { why: Refusal::TokenExpired, named: Some(token.named()) }));
        }
        Some(Verdict::Live(CurrentSession::new(Arc::clone(token), reading)))
    }
}

/// A verdict that only a newer row could turn (idle, not fresh) needs one read no longer ago than this.
pub(super) const FRESH: Duration = Duration::from_secs(1);

fn ended_refusal(token: &KnownToken, reason: &EndReason) -> Refused {
    Refused { why: Refusal::SessionEnded(reason.clone()), named: Some(token.named()) }
}

impl PendingRead {
    /// Reads, judges, touches; what cannot be read by the deadline is unavailable.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the read goes on for whoever else waits for it.
    #[allow(clippy::infallible_destructuring_match, reason = "there is a second variant with `jwks`")]
    pub(crate) async fn finish(self, deadline: Instant) -> Verdict {
        let Self { sessions, token, strict, ip_address, user_agent, touch, is_request } = self;
        let token = match token {
            PendingToken::Known(token) => token,
            #[cfg(feature = "jwks")]
            PendingToken::NeedsKeys(token, keys) => {
                match sessions.fetch_keys_and_identify(&token, keys, deadline).await {
                    Ok(token) => token,
                    Err(Some(refused)) => return Verdict::Refused(refused),
                    // The issuer could not be asked, so nothing was learnt about the token.
                    Err(None) => return Verdict::Unavailable,
                }
            }
        };
        let newcomer = is_request.then_some((user_agent, ip_address));
        let verdict = match sessions.read_and_judge(&token, strict, newcomer, deadline).await {
            Ok(verdict) => verdict,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, session = %token.state.id(), "not validated");
                Verdict::Unavailable
            }
        };
        let now = sessions.tick();
        let counts = match &verdict {
            Verdict::Live(current) => {
                sessions.0.note_use(&token, current);
                true
            }
            // Who is refused for our database's sake was active all the same, unless it was too late already.
            Verdict::Unavailable => !sessions.had_run_out(&token, now),
            Verdict::Anonymous | Verdict::Refused(_) => false,
        };
        if touch && counts {
            sessions.0.recorder.touch(token.state.seen(), now, || ip_address);
        }
        verdict
    }
}

impl Sessions {
    pub(super) async fn read_and_judge(
        &self,
        token: &Arc<KnownToken>,
        strict: bool,
        #[cfg_attr(not(feature = "jwks"), expect(unused_variables, reason = "for registering sessions"))]
        newcomer: Option<Newcomer>,
        deadline: Instant,
    ) -> Result<Verdict, Arc<Error>> {
        let judged = async {
            let reading = self.0.cache.read(&token.state, strict).await?;
            #[cfg(feature = "jwks")]
            let is_missing = matches!(reading.known, Known::Missing);
            if let Some(verdict) = self.judge(token, reading, self.0.clock.tick()) {
                return Ok(verdict);
            }
            #[cfg(feature = "jwks")]
            if is_missing && !self.adopt(token, newcomer).await? {
                return Ok(Verdict::Refused(Refused { why: Refusal::InvalidToken, named: Some(token.named()) }));
            }
            // Idle by a reading that we joined late: one more, begun now, decides.
            let reading = self.0.cache.read(&token.state, true).await?;
            let now = reading.started;
            self.judge(token, reading, now).ok_or_else(|| unread("whether a session is idle cannot be said yet"))
        };
        let judged = tokio::time::timeout_at(deadline, judged)
            .await
            .unwrap_or_else(|late| Err(Arc::new(Error::unavailable("reading a session", late))));
        match judged {
            Err(error) if !strict => self.judge_in_outage(token).ok_or(error),
            judged => judged,
        }
    }

    /// The verdict that the host's `outage_grace` allows.
    fn judge_in_outage(&self, token: &Arc<KnownToken>) -> Option<Verdict> {
        let now = self.0.clock.tick();
        let reading = self.0.cache.tolerated(&token.state, now, self.0.settings.outage_grace)?;
        self.judge(token, reading, now)
    }
}

impl Inner {
    /// After an outage each node has activity that it could not write down: until all have had the time, a row that looks
    /// idle may not be.
    pub(super) fn idle_is_doubtful(&self, now: Tick) -> bool {
        !self.alone && self.cache.contact().came_back_within(self.settings.lives.idle_allowance, now)
    }
}

fn unread(doing: &'static str) -> Arc<Error> {
    Arc::new(Error::new(crate::ErrorKind::Unavailable, doing))
}
