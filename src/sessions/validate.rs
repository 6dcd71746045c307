//! The request path between HTTP and the store: token ([`identify`](super::identify)) → session → judge → touch. Synchronous on a
//! hit.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{CurrentSession, Inner, KnownToken, Refusal, Refused, Sessions, Verdict, identify::Unidentified};
#[cfg(feature = "jwks")]
use crate::token::issuer::PendingKeys;
use crate::{
    cache::{Known, Reading},
    clock::Tick,
    device,
    error::Error,
    fields::Fields,
    origin::Whence,
    policy,
    session::{EndReason, Generations, SessionId},
    telemetry,
    token::{TokenUse, refresh},
};

/// A verdict, or what must be read before there can be one.
pub(crate) enum Validation {
    Done(Verdict),
    Read(PendingRead),
}

/// A token that takes more than what is in memory: its session has to be read, or its issuer asked for a key.
pub(crate) struct PendingRead {
    sessions: Sessions,
    token: PendingToken,
    strict: bool,
    whence: Whence,
    user_agent: Option<String>,
    touch: bool,
    /// And no second look at one that was let in.
    is_request: bool,
    /// The session that a cookie beside the header names.
    #[cfg(feature = "jwks")]
    beside: Option<SessionId>,
}

/// User-Agent and address of whoever may turn out to be new here.
pub(super) type Newcomer = (Option<String>, Whence);

enum PendingToken {
    Known(Arc<KnownToken>),
    #[cfg(feature = "jwks")]
    NeedsKeys(Box<[u8]>, PendingKeys),
}

/// Who sends a request, as far as the request tells.
pub(crate) trait Caller {
    /// The other end of the connection.
    fn peer(&self) -> Option<IpAddr>;
    fn fields(&self) -> &dyn Fields;
}

impl Sessions {
    /// Judges one token; with `strict` only by a read begun after this call. `touch`: whether the request counts as activity,
    /// asked only where that would change anything.
    pub(crate) fn validate(
        &self,
        token: &[u8],
        usage: TokenUse,
        strict: bool,
        touch: impl Fn() -> bool,
        caller: &impl Caller,
    ) -> Validation {
        if !strict && let Some(current) = self.let_in_again(token, usage, &touch, caller) {
            return Validation::Done(Verdict::Live(current));
        }
        let (now, touch) = (self.0.clock.tick(), touch());
        let whence = || self.0.whence(caller.peer(), caller.fields());
        let pending = |token| {
            telemetry::miss();
            let whence = whence();
            let user_agent = device::user_agent(caller.fields());
            Validation::Read(PendingRead {
                sessions: self.clone(),
                token,
                strict,
                whence,
                user_agent,
                touch,
                is_request: true,
                #[cfg(feature = "jwks")]
                beside: None,
            })
        };
        let identified = match self.recognise(token, usage, now) {
            Ok(identified) => identified,
            Err(Unidentified::Refused(refused)) => return Validation::Done(Verdict::Refused(refused)),
            #[cfg(feature = "jwks")]
            Err(Unidentified::NeedsKeys(keys)) => return pending(PendingToken::NeedsKeys(token.into(), keys)),
        };
        let known = &identified.known;
        let verdict = if strict { None } else { self.judge_cached(known, now) };
        let Some(verdict) = verdict else {
            self.remember(&identified);
            return pending(PendingToken::Known(identified.known));
        };
        telemetry::hit();
        let mut stands_in_front = false;
        if let Verdict::Live(current) = &verdict {
            self.0.note_use(known, current);
            if touch {
                self.0.recorder.touch(known.state.seen(), now, || (known.state.id(), whence()));
            }
            let out = self.0.front.offer(token, |place| {
                stands_in_front = known.state.stand_in_front(current.reading(), place);
                stands_in_front.then(|| current.live().clone())
            });
            if let Some(out) = out {
                // Not asked for there while it stood in front, it may be forgotten, or never have been there.
                self.0.tokens.insert(self.0.tokens.digest(out.text()), Arc::clone(out.token()));
            }
        }
        if !stands_in_front {
            self.remember(&identified);
        }
        Validation::Done(verdict)
    }

    /// The session of a token that stands in front, where what let it in still does. `None` says nothing about it.
    #[inline]
    pub(crate) fn let_in_again(
        &self,
        token: &[u8],
        usage: TokenUse,
        touch: impl FnOnce() -> bool,
        caller: &impl Caller,
    ) -> Option<CurrentSession> {
        let now = self.0.clock.tick();
        let live = self.0.front.find_standing(token, |live| live.lets_in(usage, now, self))?;
        telemetry::hit();
        let taken = self.0.recorder.taken();
        if live.next_touch().is_due(now, taken) && touch() {
            let who = || (live.token().state.id(), self.0.whence(caller.peer(), caller.fields()));
            self.0.recorder.touch(live.seen(), now, who);
            live.next_touch().put_off(live.seen(), taken);
        }
        Some(CurrentSession::of(live))
    }

    fn let_in(&self, token: &Arc<KnownToken>, reading: Arc<Reading>) -> CurrentSession {
        CurrentSession::new(Arc::clone(token), self.0.cache.belief(reading))
    }

    /// A session that was live by what is in memory, judged by a read that begins now. It has been touched already.
    pub(crate) fn read_again(&self, current: &CurrentSession) -> PendingRead {
        telemetry::miss();
        let token = PendingToken::Known(Arc::clone(current.token()));
        PendingRead {
            sessions: self.clone(),
            token,
            strict: true,
            whence: Whence::default(),
            user_agent: None,
            touch: false,
            is_request: false,
            #[cfg(feature = "jwks")]
            beside: None,
        }
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
            Known::Row(row) => {
                policy::run_out(row.deadlines, token.state.seen().at(), now, self.0.settings.lives).is_some()
            }
            Known::Missing => true,
        }
    }

    /// `None`: it looks idle or pending, but the row is too old to say so, or an outage is too near; another node may know
    /// better.
    fn judge(&self, token: &Arc<KnownToken>, reading: Arc<Reading>, now: Tick) -> Option<Verdict> {
        // Again, and after the reading was taken: an end that came in between must not be overlooked.
        if let Some(ended) = token.state.ended() {
            return Some(Verdict::Refused(ended_refusal(token, &ended.reason)));
        }
        let row = match &reading.known {
            Known::Row(row) if row.user_id == token.user_id => row,
            // To be registered, by whoever may read and write.
            #[cfg(feature = "jwks")]
            Known::Missing if token.may_be_adopted() => return None,
            Known::Row(_) | Known::Missing => {
                let why = Refusal::InvalidToken;
                return Some(Verdict::Refused(Refused { why, named: Some(Box::new(token.named())) }));
            }
        };
        #[cfg(feature = "jwks")]
        if !token.may_be_of(row) {
            return Some(Verdict::Refused(Refused {
                why: Refusal::InvalidToken,
                named: Some(Box::new(token.named())),
            }));
        }
        if let Some(ended) = row.ended() {
            return Some(Verdict::Refused(ended_refusal(token, &ended.reason)));
        }
        match policy::run_out(row.deadlines, token.state.seen().at(), now, self.0.settings.lives) {
            Some(EndReason::Idle) if now.since(reading.started) >= FRESH || self.0.idle_is_doubtful(now) => {
                return None;
            }
            Some(reason) => return Some(Verdict::Refused(ended_refusal(token, &reason))),
            None => {}
        }
        let Generations { at_floor, at_root, .. } = row.generations();
        if token.generation().is_some_and(|generation| refresh::below_floor(at_floor, at_root, generation)) {
            // The innocent refreshes and goes on; whoever was left behind is found by that.
            return Some(Verdict::Refused(given_up(token)));
        }
        match (row.pending, token.pending) {
            (false, false) => Some(Verdict::Live(self.let_in(token, reading))),
            (true, true) => Some(Verdict::Pending(self.let_in(token, reading))),
            // Its other tokens are made when it is no longer pending: the row was read before that.
            (true, false) => None,
            // Of the way to the second factor, which has been gone.
            (false, true) => Some(Verdict::Refused(given_up(token))),
        }
    }
}

/// A verdict that only a newer row could turn (idle, not fresh) needs one read no longer ago than this.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// What was on the way to a second factor is not even good for signing out what came of it.
fn given_up(token: &KnownToken) -> Refused {
    Refused { why: Refusal::TokenExpired, named: (!token.pending).then(|| Box::new(token.named())) }
}

fn ended_refusal(token: &KnownToken, reason: &EndReason) -> Refused {
    Refused { why: Refusal::SessionEnded(reason.clone()), named: Some(Box::new(token.named())) }
}

impl PendingRead {
    /// With the session that a cookie beside the header names: a header whose key has yet to be fetched could not be
    /// compared with it.
    #[cfg_attr(not(feature = "jwks"), expect(unused_variables, reason = "every key is at hand"))]
    pub(crate) fn beside(self, cookie: Option<SessionId>) -> Self {
        Self {
            #[cfg(feature = "jwks")]
            beside: cookie,
            ..self
        }
    }

    /// Reads, judges, touches; what cannot be read by the deadline is unavailable.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the read goes on for whoever else waits for it.
    #[allow(clippy::infallible_destructuring_match, reason = "there is a second variant with `jwks`")]
    pub(crate) async fn finish(self, deadline: Instant) -> Verdict {
        let Self {
            sessions,
            token,
            strict,
            whence,
            user_agent,
            touch,
            is_request,
            #[cfg(feature = "jwks")]
            beside,
        } = self;
        let token = match token {
            PendingToken::Known(token) => token,
            #[cfg(feature = "jwks")]
            PendingToken::NeedsKeys(token, keys) => {
                let found = sessions.fetch_keys_and_identify(&token, keys, deadline).await;
                let named = match &found {
                    Ok(token) => Some(token.state.id()),
                    Err(refused) => refused.as_ref().and_then(|refused| Some(refused.named.as_ref()?.0)),
                };
                if beside.is_some_and(|cookie| named.is_some_and(|header| header != cookie)) {
                    return Verdict::Refused(Refused { why: Refusal::TwoCredentials, named: None });
                }
                match found {
                    Ok(token) => token,
                    Err(Some(refused)) => return Verdict::Refused(refused),
                    // The issuer could not be asked, so nothing was learnt about the token.
                    Err(None) => return Verdict::Unavailable,
                }
            }
        };
        let newcomer = is_request.then(|| (user_agent, whence.clone()));
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
            Verdict::Anonymous | Verdict::Pending(_) | Verdict::Refused(_) => false,
        };
        if touch && counts {
            sessions.0.recorder.touch(token.state.seen(), now, || (token.state.id(), whence));
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
            let reading = self.0.cache.read(&token.state, Some(&token.user_id), strict).await?;
            #[cfg(feature = "jwks")]
            let is_missing = matches!(reading.known, Known::Missing);
            if let Some(verdict) = self.judge(token, reading, self.0.clock.tick()) {
                return Ok(verdict);
            }
            #[cfg(feature = "jwks")]
            if is_missing && !self.adopt(token, newcomer).await? {
                return Ok(Verdict::Refused(Refused {
                    why: Refusal::InvalidToken,
                    named: Some(Box::new(token.named())),
                }));
            }
            // Idle by a reading that we joined late: one more, begun now, decides.
            let reading = self.0.cache.read(&token.state, Some(&token.user_id), true).await?;
            let now = reading.started;
            self.judge(token, reading, now)
                .ok_or_else(|| unread("whether a session is idle, or still pending, cannot be said yet"))
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

#[cfg(test)]
mod tests;
