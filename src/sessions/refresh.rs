//! Refresh: one rotation, one answer. The rule is `token/refresh/rule.rs`; the decision is made under the lock of the row.

use std::{net::IpAddr, sync::Arc, time::Duration};

use serde_json::Map;
use tokio::time::Instant;

use super::{ANSWER_WITHIN, CurrentSession, Inner, Refusal, Sessions, SignedIn, by, in_time, sign_in::Wanted};
use crate::{
    cache::{Known, State},
    clock::Tick,
    error::{Error, ErrorKind},
    policy::{self, Deadlines},
    session::{EndReason, SessionId, UserId},
    store::{self, Decided, EndRequest, EndTarget, Locked, Rotate, Rotation},
    telemetry,
    token::{
        TokenUse,
        refresh::{self, Cause, Decision, Reuse},
    },
};

/// What a client of the token endpoint is given.
pub(crate) struct TokenPair {
    pub(crate) access_token: String,
    pub(crate) expires_in: Duration,
    pub(crate) refresh_token: String,
}

impl Sessions {
    /// New tokens for a refresh token; or why there are none, on evidence. Runs to its end even if the caller goes away,
    /// and is never repeated by itself.
    pub(crate) async fn refresh(
        &self,
        refresh_token: &str,
        ip_address: Option<IpAddr>,
    ) -> Result<Result<TokenPair, Refusal>, Error> {
        let named = self.0.refresh_tokens.as_ref().and_then(|tokens| tokens.read(refresh_token));
        let Some((id, generation)) = named else { return Ok(Err(Refusal::InvalidToken)) };
        let inner = Arc::clone(&self.0);
        self.detached(REFRESHING, async move { inner.refresh(id, generation, ip_address).await }).await
    }

    /// The session that a refresh token names, if its MAC is good.
    pub(crate) fn named_by(&self, refresh_token: &str) -> Option<SessionId> {
        self.0.refresh_tokens.as_ref()?.read(refresh_token).map(|(id, _)| id)
    }

    /// The user has proved anew who they are: password, passkey, second factor. Stamps the session's
    /// [`authenticated_at`](crate::Session::authenticated_at) and gives it new tokens; all earlier ones are void, on every node
    /// (OWASP ASVS 5.0, 7.2.4). The session, its id and its history stay.
    ///
    /// Return it like the answer of a sign-in. A client to which it does not arrive signs in again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionEnded`] where it has ended meanwhile; else as [`Sessions::sign_in`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, the session may or may not have new tokens; then the client signs in again.
    pub async fn reauthenticated(&self, current: &CurrentSession) -> Result<SignedIn, Error> {
        let inner = Arc::clone(&self.0);
        let (state, user) = (Arc::clone(&current.token().state), current.user_id().clone());
        let usage = current.token().usage;
        self.detached(REAUTHENTICATING, async move { inner.reauthenticated(state, user, usage).await }).await
    }
}

impl Inner {
    async fn refresh(
        self: &Arc<Self>,
        id: SessionId,
        generation: u64,
        ip_address: Option<IpAddr>,
    ) -> Result<Result<TokenPair, Refusal>, Error> {
        let until = Instant::now() + ANSWER_WITHIN;
        let state = self.cache.state(id);
        // Tabs that refresh together wait here, and not each on a connection.
        let one = by(until, REFRESHING, async { Ok(state.refreshing().lock().await) }).await?;
        let user = match by(until, REFRESHING, self.owner(&state)).await? {
            Ok(user) => user,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut claims = Map::new();
        if let Err(error) = by(until, REFRESHING, self.ask_to_issue(&user, id, &mut claims)).await {
            if error.kind() != ErrorKind::Refused {
                return Err(error);
            }
            return self.disabled(id).await.map(Err);
        }
        let (home, seen) = (Arc::clone(self), Arc::clone(state.seen()));
        let decide = Rotate(Box::new(move |locked| home.decide(locked, seen.at(), generation)));
        let rotated = by(until, REFRESHING, self.store.rotate(id, decide)).await?;
        drop(one);
        let (before, tokens) = match self.learn(id, rotated.0)? {
            Ok(rotated) => rotated,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // A retry extends nothing.
        if before.tokens.current == generation && tokens.current != generation {
            self.recorder.touch(state.seen(), self.clock.tick(), || ip_address);
        }
        let at_most = self.left_of(&before);
        let wanted = Wanted { usage: TokenUse::Access, generation: tokens.current, at_most };
        let (access_token, expires_in) = self.make_token(id, &user, &claims, wanted)?;
        let refresh_token = self.make_refresh_token(id, tokens.current)?;
        Ok(Ok(TokenPair { access_token, expires_in, refresh_token }))
    }

    async fn reauthenticated(
        self: &Arc<Self>,
        state: Arc<State>,
        user: UserId,
        usage: TokenUse,
    ) -> Result<SignedIn, Error> {
        let (id, mut claims) = (state.id(), Map::new());
        self.ask_to_issue(&user, id, &mut claims).await?;
        let home = Arc::clone(self);
        let seen = Arc::clone(state.seen());
        let decide = Rotate(Box::new(move |locked| match home.ran_out(locked, seen.at()) {
            Some(why) => Decided::Refuse(why),
            None => match refresh::rotate_by_server(&locked.tokens, locked.now.into()) {
                Some(state) => Decided::Tokens { state, authenticated: true },
                None => Decided::Refuse(store::Refusal::Superseded),
            },
        }));
        let rotated = in_time(REAUTHENTICATING, self.store.rotate(id, decide)).await?;
        let (before, tokens) = self.learn(id, rotated.0)?.map_err(|refusal| match refusal {
            Refusal::SessionEnded(reason) => Error::session_ended(REAUTHENTICATING, reason),
            // Deleted, by somebody who may write to the database.
            _ => Error::session_ended(REAUTHENTICATING, EndReason::RevokedByAdmin),
        })?;
        let wanted = Wanted { usage, generation: tokens.current, at_most: self.left_of(&before) };
        let now = self.clock.tick();
        let Locked { session, now: database_now, .. } = *before;
        let mut session = self.up_to_date(session, Some(now), now, database_now);
        session.authenticated_at = database_now;
        session.is_current = true;
        let (access_token, expires_in) = self.make_token(id, &user, &claims, wanted)?;
        Ok(SignedIn { session, access_token, expires_in, refresh_token: self.make_refresh_token(id, tokens.current)? })
    }

    /// How long a session may live yet.
    fn left_of(&self, locked: &Locked) -> Duration {
        let now = self.clock.tick();
        Deadlines::of(&locked.session, locked.now, now, self.settings.lives).absolute_left(now)
    }

    /// Whose session it is, by what is in memory where that may be believed.
    async fn owner(&self, state: &Arc<State>) -> Result<Result<UserId, Refusal>, Error> {
        let reading = match self.cache.believed(state, self.clock.tick()) {
            Some(reading) => reading,
            None => self.cache.read(state, false).await.map_err(|cause| Error::unavailable(REFRESHING, cause))?,
        };
        if let Some(ended) = state.ended() {
            return Ok(Err(Refusal::SessionEnded(ended.reason.clone())));
        }
        Ok(match &reading.known {
            Known::Missing => Err(Refusal::InvalidToken),
            Known::Row { session, .. } => match &session.ended {
                Some(ended) => Err(Refusal::SessionEnded(ended.reason.clone())),
                None => Ok(session.user_id.clone()),
            },
        })
    }

    /// Under the lock of the row.
    fn decide(&self, locked: &Locked, seen: Option<Tick>, generation: u64) -> Decided {
        if let Some(why) = self.ran_out(locked, seen) {
            return Decided::Refuse(why);
        }
        let session = locked.session.id;
        match refresh::refresh(&locked.tokens, generation, locked.now.into(), &self.settings.refresh) {
            Decision::Rotate(state, cause) => {
                let reason = match cause {
                    Cause::Refresh => "refresh",
                    Cause::LostResponse => "lost_response",
                    Cause::StateLost => "state_lost",
                };
                if cause == Cause::StateLost {
                    tracing::warn!(%session, "the database has lost a refresh that it had acknowledged");
                }
                telemetry::refreshed(reason);
                Decided::Tokens { state, authenticated: false }
            }
            Decision::Again(state) => {
                telemetry::refreshed("again");
                Decided::Tokens { state, authenticated: false }
            }
            Decision::Reuse(how) => {
                let how = match how {
                    Reuse::Stale => "stale",
                    Reuse::LatePrev => "late_prev",
                    Reuse::Void => "void",
                };
                tracing::warn!(%session, how, "a refresh token was used twice: ended");
                telemetry::refreshed(how);
                Decided::End(EndReason::RefreshReuse)
            }
            Decision::Superseded | Decision::Ended => {
                telemetry::refreshed("superseded");
                Decided::Refuse(store::Refusal::Superseded)
            }
        }
    }

    fn ran_out(&self, locked: &Locked, seen: Option<Tick>) -> Option<store::Refusal> {
        let (now, lives) = (self.clock.tick(), self.settings.lives);
        let deadlines = Deadlines::of(&locked.session, locked.now, now, lives);
        Some(match policy::run_out(deadlines, seen, now, lives)? {
            EndReason::Idle if self.idle_is_doubtful(now) => store::Refusal::Doubtful,
            reason => store::Refusal::RanOut(reason),
        })
    }

    /// What this node makes of it, in its memory first.
    fn learn(
        &self,
        id: SessionId,
        rotation: Rotation,
    ) -> Result<Result<(Box<Locked>, refresh::State), Refusal>, Error> {
        Ok(Err(match rotation {
            Rotation::Tokens(before, tokens) => {
                if tokens.at_floor != before.tokens.at_floor {
                    // The others are told by the database.
                    self.cache.mark_stale(id);
                }
                return Ok(Ok((before, tokens)));
            }
            Rotation::NotFound | Rotation::Refused(store::Refusal::Superseded) => Refusal::InvalidToken,
            Rotation::Ended(ended) => {
                self.cache.mark_ended(id, &ended);
                Refusal::SessionEnded(ended.reason)
            }
            Rotation::EndedNow(ended) => {
                self.learn_of(&[(id, ended.clone())]);
                Refusal::SessionEnded(ended.reason)
            }
            Rotation::Refused(store::Refusal::RanOut(reason)) => Refusal::SessionEnded(reason),
            Rotation::Refused(store::Refusal::Doubtful) => {
                return Err(Error::new(ErrorKind::Unavailable, "whether a session is idle cannot be said yet"));
            }
        }))
    }

    /// `on_issue` has refused the user of a live session.
    async fn disabled(&self, id: SessionId) -> Result<Refusal, Error> {
        let target = EndTarget::One { id, user: None };
        self.end(EndRequest::new(target, EndReason::AccountDisabled, None)).await?;
        Ok(Refusal::SessionEnded(EndReason::AccountDisabled))
    }

    pub(super) fn make_refresh_token(&self, id: SessionId, generation: u64) -> Result<String, Error> {
        let tokens = self.refresh_tokens.as_ref();
        let tokens =
            tokens.ok_or_else(|| Error::new(ErrorKind::CannotSign, "making a refresh token without a secret"))?;
        Ok(tokens.make(id, generation))
    }
}

const REFRESHING: &str = "refreshing a session";
const REAUTHENTICATING: &str = "noting a re-authentication";
