//! What a user sees: the sessions that live, and those that ended.

use std::cmp::Reverse;

use time::OffsetDateTime;

use super::{Inner, Sessions, in_time};
use crate::{
    clock::Tick,
    error::Error,
    policy::{self, Deadlines},
    session::{EndReason, Ended, Session, SessionId, UserId},
    store::Loaded,
};

impl Sessions {
    /// A user's live sessions, the newest activity first, this node's unwritten activity included. `current` is marked
    /// as the one that asks and counts as active now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn list(&self, user: &UserId, current: Option<SessionId>) -> Result<Vec<Session>, Error> {
        let inner = &*self.0;
        let loaded = in_time("listing sessions", inner.store.list(user)).await?;
        let mut sessions = inner.live(loaded, current);
        sessions.sort_by_key(|session| (Reverse(session.last_activity_at), session.id));
        Ok(sessions)
    }

    /// A user's sessions that have ended, the newest end first, with reason and time: at most the last
    /// [`HISTORY`](Self::HISTORY), and no longer than [`history`](crate::SessionsBuilder::history).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn history(&self, user: &UserId) -> Result<Vec<Session>, Error> {
        let inner = &*self.0;
        let loaded = in_time(
            "listing ended sessions",
            inner.store.history(user, inner.settings.retention.history, Self::HISTORY),
        )
        .await?;
        let mut ended = inner.ended(loaded);
        ended.sort_by_key(|session| (Reverse(session.ended.as_ref().map(|ended| ended.at)), session.id));
        ended.truncate(Self::HISTORY);
        Ok(ended)
    }

    /// How many ended sessions [`Sessions::history`] tells at most.
    pub const HISTORY: usize = 100;
}

impl Inner {
    /// Those of the rows that live, with what this node has seen of them and has not written down yet.
    pub(super) fn live(&self, loaded: Loaded, current: Option<SessionId>) -> Vec<Session> {
        let now = self.clock.tick();
        let is_live = |mut session: Session| {
            let deadlines = Deadlines::of(&session, loaded.now, now, self.settings.lives);
            session.is_current = Some(session.id) == current;
            let seen = if session.is_current { Some(now) } else { self.cache.last_seen(session.id) };
            let live = session.ended.is_none()
                && !session.pending
                && policy::run_out(deadlines, seen, now, self.settings.lives).is_none();
            live.then(|| self.up_to_date(session, seen, now, loaded.now))
        };
        loaded.sessions.into_iter().filter_map(is_live).collect()
    }

    /// Those of the rows that do not, also where nobody has marked them yet.
    fn ended(&self, loaded: Loaded) -> Vec<Session> {
        let now = self.clock.tick();
        let has_ended = |mut session: Session| {
            // It was never complete.
            if session.pending {
                return None;
            }
            if session.ended.is_none() {
                let deadlines = Deadlines::of(&session, loaded.now, now, self.settings.lives);
                let seen = self.cache.last_seen(session.id);
                let reason = policy::run_out(deadlines, seen, now, self.settings.lives)?;
                let session_then = self.up_to_date(session.clone(), seen, now, loaded.now);
                let at = match reason {
                    // Idle by then too, but within the allowance.
                    EndReason::Absolute => session.absolute_expires_at,
                    _ => session_then.expires_at,
                };
                session.ended = Some(Ended::new(at, reason, None));
            }
            session.expires_at = session.ended.as_ref()?.at;
            Some(session)
        };
        loaded.sessions.into_iter().filter_map(has_ended).collect()
    }

    /// A session as it stands at `now` (`database_now` on the database's clock), with what this node has seen since
    /// the row was read.
    pub(super) fn up_to_date(
        &self,
        mut session: Session,
        seen: Option<Tick>,
        now: Tick,
        database_now: OffsetDateTime,
    ) -> Session {
        if let Some(seen) = seen {
            session.last_activity_at = session.last_activity_at.max(database_now - now.since(seen));
        }
        session.expires_at = policy::expires_at(&session, self.settings.lives);
        session
    }
}
