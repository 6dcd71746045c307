//! Refresh: one rotation, one answer. The rule is `token/refresh/rule.rs`; the decision is made under the lock of the row.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{ANSWER_WITHIN, CurrentSession, Inner, Sessions, SignedIn, by, in_time, signed_in::Wanted};
use crate::{
    activity::Held,
    cache::{Known, State},
    clock::Tick,
    error::{Error, ErrorKind},
    origin::Whence,
    policy::{self, Deadlines},
    session::{EndReason, SessionId, UserId},
    store::{Decided, EndOutcome, EndRequest, EndTarget, Locked, Refusal, Rotate, Rotated, Rotation},
    telemetry,
    token::{
        TokenUse,
        refresh::{self, Cause, Decision, Reuse},
    },
};

/// New tokens: the token response of RFC 6749 §5.1, not to be stored by any cache.
#[derive(Clone)]
#[non_exhaustive]
pub struct TokenPair {
    /// The access token: a credential. Send it, keep it nowhere.
    pub access_token: String,
    /// How long the access token is valid.
    pub expires_in: Duration,
    /// The refresh token: a credential, good for one use.
    pub refresh_token: String,
}

impl fmt::Debug for TokenPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenPair").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

impl Sessions {
    /// New tokens for a refresh token. The mounted route does it (`POST /auth/refresh`); this is for other protocols.
    ///
    /// A token that was used before may get the same new tokens again, or newer ones, or end its session: see
    /// [`refresh_grace`](crate::SessionsBuilder::refresh_grace). `ip_address` is where the request comes from, if that is known.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidToken`] and [`ErrorKind::SessionEnded`]: the client signs in again.
    /// [`ErrorKind::Unavailable`] where the database or `on_issue` could not be asked: the client keeps its token and tries
    /// again. [`ErrorKind::InvalidClaims`] where `on_issue` gave claims that cannot be signed.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is carried out all the same, and the answer is lost: the client asks again with the same token.
    pub async fn refresh(&self, refresh_token: &str, ip_address: Option<IpAddr>) -> Result<TokenPair, Error> {
        self.refresh_from(refresh_token, Whence { ip_address, ..Whence::default() }).await
    }

    pub(crate) async fn refresh_from(&self, refresh_token: &str, whence: Whence) -> Result<TokenPair, Error> {
        let named = self.0.refresh_tokens.as_ref().and_then(|tokens| tokens.read(refresh_token));
        let (id, generation) = named.ok_or_else(invalid)?;
        let inner = Arc::clone(&self.0);
        self.detached(REFRESHING, async move { inner.refresh(id, generation, whence).await }).await
    }

    /// The session that a refresh token names, if its MAC is good.
    #[cfg(any(feature = "routes", test))]
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
        let current = current.clone();
        self.detached(REAUTHENTICATING, async move { inner.reauthenticated(&current).await }).await
    }
}

impl Inner {
    async fn refresh(self: &Arc<Self>, id: SessionId, generation: u64, whence: Whence) -> Result<TokenPair, Error> {
        let until = Instant::now() + ANSWER_WITHIN;
        let state = self.cache.state(id);
        let (user, given) = by(until, REFRESHING, self.owner(&state)).await?;
        let claims = match by(until, REFRESHING, self.claims_for(&user, id, given)).await {
            Err(error) if error.kind() == ErrorKind::Refused => return Err(self.disabled(id).await),
            claims => claims?,
        };
        self.try_to_make(&(id, user.clone()), &claims, TokenUse::Access)?;
        // Tabs that refresh together wait here, and not each on a connection.
        let one = by(until, REFRESHING, async { Ok(self.refreshing.take(&id).await) }).await?;
        let (home, seen) = (Arc::clone(self), Arc::clone(state.seen()));
        let decide = Rotate(Box::new(move |locked| home.decide(locked, seen.at(), generation)));
        let rotated = by(until, REFRESHING, self.store.rotate(id, decide)).await;
        drop(one);
        let (before, tokens) = self.learn(id, rotated)?;
        self.desk.poke();
        // A retry extends nothing.
        if before.tokens.current == generation && tokens.current != generation {
            let held: Held = state.clone();
            self.recorder.touch_and_hold(state.seen(), self.clock.tick(), || ((id, whence), Some(held)));
        }
        let at_most = self.left_of(&before);
        let wanted = Wanted { generation: tokens.current, at_most };
        let (access_token, expires_in) = self.make_token(id, &user, &claims, wanted)?;
        let refresh_token = self.make_refresh_token(id, tokens.current)?;
        Ok(TokenPair { access_token, expires_in, refresh_token })
    }

    async fn reauthenticated(self: &Arc<Self>, current: &CurrentSession) -> Result<SignedIn, Error> {
        let (named, usage) = (current.token().named(), current.token().usage);
        let (id, user) = &named;
        let claims = self.claims_for(user, *id, current.given_claims()).await?;
        self.try_to_make(&named, &claims, usage)?;
        let home = Arc::clone(self);
        let seen = Arc::clone(current.token().state.seen());
        let decide = Rotate(Box::new(move |locked| match home.ran_out(locked, seen.at()) {
            Some(why) => Decided::Refuse(why),
            None => match refresh::rotate_by_server(&locked.tokens, locked.now.into()) {
                Some(state) => Decided::Tokens { state, authenticated: true },
                None => Decided::Refuse(Refusal::Superseded),
            },
        }));
        let rotated = in_time(REAUTHENTICATING, self.store.rotate(*id, decide)).await;
        let (before, tokens) = self.learn(*id, rotated)?;
        let wanted = Wanted { generation: tokens.current, at_most: self.left_of(&before) };
        let now = self.clock.tick();
        let Locked { session, now: database_now, .. } = *before;
        let mut session = self.up_to_date(session, Some(now), now, database_now);
        session.authenticated_at = database_now;
        session.is_current = true;
        let credential = self.credential(&named, &claims, usage, wanted)?;
        Ok(SignedIn::new(session, credential.for_loopback(current.is_on_loopback())))
    }

    /// How long a session may live yet.
    fn left_of(&self, locked: &Locked) -> Duration {
        let now = self.clock.tick();
        Deadlines::of(&locked.session, locked.now, now, self.settings.lives).absolute_left(now)
    }

    /// Before the row: what cannot be signed changes nothing.
    fn try_to_make(
        &self,
        named: &(SessionId, UserId),
        claims: &Map<String, Value>,
        usage: TokenUse,
    ) -> Result<(), Error> {
        let longest = Wanted { generation: u64::MAX, at_most: self.settings.absolute_lifetime };
        match usage {
            TokenUse::Cookie => self.make_cookie(named, claims, longest).map(drop),
            TokenUse::Access | TokenUse::Pending => {
                self.make_token(named.0, &named.1, claims, longest)?;
                self.make_refresh_token(named.0, 1).map(drop)
            }
        }
    }

    /// Whose session it is and the claims that it was given, by what is in memory where that may be believed.
    async fn owner(&self, state: &Arc<State>) -> Result<(UserId, Map<String, Value>), Error> {
        let reading = match self.cache.believed(state, self.clock.tick()) {
            Some(reading) => reading,
            None => self.cache.read(state, None, false).await.map_err(|cause| Error::unavailable(REFRESHING, cause))?,
        };
        let Known::Row(row) = &reading.known else { return Err(invalid()) };
        match state.ended().or(row.ended()) {
            Some(ended) => Err(Error::session_ended(REFRESHING, ended.reason.clone())),
            None => Ok((row.user_id.clone(), row.given_claims())),
        }
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
                Decided::Refuse(Refusal::Superseded)
            }
        }
    }

    fn ran_out(&self, locked: &Locked, seen: Option<Tick>) -> Option<Refusal> {
        let (now, lives) = (self.clock.tick(), self.settings.lives);
        let deadlines = Deadlines::of(&locked.session, locked.now, now, lives);
        Some(match policy::run_out(deadlines, seen, now, lives)? {
            EndReason::Idle if self.idle_is_doubtful(now) => Refusal::Doubtful,
            reason => Refusal::RanOut(reason),
        })
    }

    /// What this node makes of it, in its memory first.
    fn learn(&self, id: SessionId, rotated: Result<Rotated, Error>) -> Result<(Box<Locked>, refresh::State), Error> {
        // Whether it was carried out is not known.
        let Rotated(rotation) = rotated.inspect_err(|_| self.cache.mark_stale(id))?;
        let reason = match rotation {
            Rotation::Tokens(before, tokens) => {
                if tokens.at_floor != before.tokens.at_floor {
                    // The others are told by the database.
                    self.cache.mark_stale(id);
                }
                return Ok((before, tokens));
            }
            Rotation::NotFound | Rotation::Refused(Refusal::Superseded) => return Err(invalid()),
            Rotation::Refused(Refusal::Doubtful) => {
                return Err(Error::new(ErrorKind::Unavailable, "whether a session is idle cannot be said yet"));
            }
            Rotation::Refused(Refusal::RanOut(reason)) => reason,
            Rotation::Ended(ended) => {
                self.cache.mark_ended(id, &ended);
                ended.reason
            }
            Rotation::EndedNow(ended) => {
                self.learn_of(&[(id, ended.clone())]);
                ended.reason
            }
        };
        Err(Error::session_ended(REFRESHING, reason))
    }

    /// `on_issue` has refused the user of a live session.
    async fn disabled(&self, id: SessionId) -> Error {
        let target = EndTarget::One { id, user: None };
        match self.end(EndRequest::new(target, EndReason::AccountDisabled, None)).await {
            Ok(EndOutcome::Ended(_)) => Error::session_ended(REFRESHING, EndReason::AccountDisabled),
            // It had ended meanwhile, and why does not change.
            Ok(EndOutcome::AlreadyEnded(ended) | EndOutcome::CallerEnded(Some(ended))) => {
                Error::session_ended(REFRESHING, ended.reason)
            }
            Ok(EndOutcome::NotFound | EndOutcome::CallerEnded(None)) => invalid(),
            Err(error) => error,
        }
    }

    pub(super) fn make_refresh_token(&self, id: SessionId, generation: u64) -> Result<String, Error> {
        let tokens = self.refresh_tokens.as_ref();
        let tokens =
            tokens.ok_or_else(|| Error::new(ErrorKind::CannotSign, "making a refresh token without a secret"))?;
        Ok(tokens.make(id, generation))
    }
}

fn invalid() -> Error {
    Error::new(ErrorKind::InvalidToken, REFRESHING)
}

const REFRESHING: &str = "refreshing a session";
const REAUTHENTICATING: &str = "noting a re-authentication";

#[cfg(test)]
mod tests {
    use crate::{Sessions, SignIn};

    /// No request of it has come here, so no token of it is remembered. Else a sign-in at the limit might end it as the one that
    /// was seen least recently.
    #[tokio::test]
    async fn that_it_was_seen_is_known_until_it_is_written_down() {
        let sessions = Sessions::in_memory();
        let signed_in = sessions.sign_in(SignIn::new("lena")).await.unwrap();
        let seen = || sessions.0.cache.last_seen(signed_in.session.id);
        assert_eq!(seen(), None);
        sessions.refresh(&signed_in.refresh_token, None).await.unwrap();
        assert!(seen().is_some());
        sessions.flush_activity().await.unwrap();
        assert_eq!(seen(), None, "and nothing is kept for longer");
    }
}
