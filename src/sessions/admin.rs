//! What an administrator may do: the sessions of others, one by one or all together.

use tokio::time::Instant;

use super::{ANSWER_WITHIN, Sessions, by};
use crate::{
    error::{Error, ErrorKind},
    session::{EndReason, Session, SessionId, UserId},
    store::{DeadLetter, EndOutcome, EndTarget, SessionFilter},
};

/// The sessions of everybody: list, count and end them. Made by [`Sessions::admin`].
///
/// It asks nobody for permission: that is the application's part.
///
/// Ending by a [`SessionFilter`] goes through the live rows in steps, each in a transaction of its own that tells all
/// nodes. Stopped half-way, by an error or because its future was dropped, it leaves whole steps done; run it again, and
/// it goes on with what is left. A sign-in that is under way may be missed, except by [`Admin::end_all`] and
/// [`Admin::on_credential_change`], which wait for it: to sign everybody out for good, stop new sign-ins first, or run it
/// twice.
#[derive(Clone, Debug)]
pub struct Admin(Sessions);

/// Some of the sessions that a [`SessionFilter`] means.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionPage {
    /// Live ones, those of a user together.
    pub sessions: Vec<Session>,
    /// To be given as `after` for the next page; `None` where there is none.
    pub next: Option<SessionId>,
}

impl Sessions {
    /// The sessions of everybody, for administrators and for what the application does by itself.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin(self.clone())
    }
}

impl Admin {
    /// A page of live sessions, this node's unwritten activity included. A page may be short, or empty, and still have a
    /// `next`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`].
    pub async fn list(&self, filter: &SessionFilter, after: Option<SessionId>) -> Result<SessionPage, Error> {
        let inner = self.0.inner();
        let page = async {
            let walked = inner.store.walk(filter, after).await?;
            let loaded = inner.store.load(&walked.matching).await?;
            let mut sessions = inner.live(loaded, None);
            sessions.sort_by(|one, other| (&one.user_id, one.id).cmp(&(&other.user_id, other.id)));
            Ok(SessionPage { sessions, next: walked.next })
        };
        by(Instant::now() + ANSWER_WITHIN, LISTING, page).await
    }

    /// How many live sessions the filter means. Sessions that have run out may be counted until they are marked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`].
    pub async fn count(&self, filter: &SessionFilter) -> Result<usize, Error> {
        let (mut count, mut after) = (0, None);
        loop {
            let walk = self.0.inner().store.walk(filter, after);
            let walked = match by(Instant::now() + ANSWER_WITHIN, LISTING, walk).await {
                // The row it stood on has been deleted.
                Err(error) if after.is_some() && error.kind() == ErrorKind::InvalidInput => {
                    (count, after) = (0, None);
                    continue;
                }
                walked => walked?,
            };
            count += walked.matching.len();
            after = walked.next;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    /// Ends all live sessions that the filter means, and says how many. `actor` says on whose word ("support: lena"): it
    /// is kept with the rows, as is the reason, which clients are told.
    ///
    /// It takes as long as it takes, about a second for some thousands; each step is bounded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for an actor that is empty or over 255 bytes; [`ErrorKind::Unavailable`]: some may
    /// have ended; do it again.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the step under way is carried out, and no further one.
    pub async fn end(&self, filter: &SessionFilter, reason: EndReason, actor: &str) -> Result<usize, Error> {
        self.end_until(filter, &reason, actor, None).await.map(|(ended, _more)| ended)
    }

    /// The same, but begins no further step after this time; says how many have ended and whether there are more.
    pub(crate) async fn end_until(
        &self,
        filter: &SessionFilter,
        reason: &EndReason,
        actor: &str,
        until: Option<Instant>,
    ) -> Result<(usize, bool), Error> {
        if let Some(user) = filter.just_user() {
            return Ok((self.end_all(user, reason.clone(), actor).await?, false));
        }
        let actor = checked(actor)?;
        let (mut ended, mut after) = (0, None);
        loop {
            let walk = self.0.inner().store.walk(filter, after);
            let walked = match by(Instant::now() + ANSWER_WITHIN, ENDING, walk).await {
                // The row it stood on has been deleted. What has ended is not met again.
                Err(error) if after.is_some() && error.kind() == ErrorKind::InvalidInput => {
                    after = None;
                    continue;
                }
                walked => walked?,
            };
            for ids in walked.matching.chunks(STEP) {
                if until.is_some_and(|until| until <= Instant::now()) {
                    return Ok((ended, true));
                }
                let these = EndTarget::These { ids: ids.to_vec() };
                ended += count(&self.0.end(these, reason.clone(), Some(actor.clone())).await?);
            }
            after = walked.next;
            if after.is_none() {
                self.distrust(filter);
                return Ok((ended, false));
            }
        }
    }

    /// Some may have ended elsewhere before, and this node may not have been told yet.
    fn distrust(&self, filter: &SessionFilter) {
        let cache = &self.0.inner().cache;
        match (&filter.ids, &filter.user) {
            (Some(ids), _) => ids.iter().for_each(|id| cache.mark_stale(*id)),
            (None, Some(user)) => cache.mark_user_stale(user),
            (None, None) => cache.mark_all_stale(),
        }
    }

    /// Ends all sessions of a user, one that is being made included, and says how many.
    ///
    /// # Errors
    ///
    /// As [`Admin::end`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, the end is carried out all the same.
    pub async fn end_all(&self, user: &UserId, reason: EndReason, actor: &str) -> Result<usize, Error> {
        let all = EndTarget::All { user: user.clone(), caller: None };
        Ok(count(&self.0.end(all, reason, Some(checked(actor)?)).await?))
    }

    /// A user's password, passkey or second factor has changed: ends the user's sessions as `credential_change`, except
    /// the one on which it was changed, and says how many (OWASP ASVS 5.0, 7.4.3). With `None`, or where the session to
    /// be kept has ended, all of them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, the end is carried out all the same.
    pub async fn on_credential_change(&self, user: &UserId, keep_current: Option<SessionId>) -> Result<usize, Error> {
        let by = keep_current.map(|id| id.to_string());
        let reason = EndReason::CredentialChange;
        if let Some(keep) = keep_current {
            let others = EndTarget::Others { user: user.clone(), keep };
            let outcome = self.0.end(others, reason.clone(), by.clone()).await?;
            if !matches!(outcome, EndOutcome::CallerEnded(_)) {
                return Ok(count(&outcome));
            }
        }
        let all = EndTarget::All { user: user.clone(), caller: None };
        Ok(count(&self.0.end(all, reason, by).await?))
    }
}

impl Admin {
    /// What could not be delivered to a notifier, the oldest first, and at most a hundred; go on after the `id` of the last one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`].
    ///
    /// # Cancel safety
    ///
    /// Drop it at any time.
    pub async fn dead_letters(&self, after: Option<u64>) -> Result<Vec<DeadLetter>, Error> {
        let letters = self.0.inner().store.dead_letters(after, LETTERS);
        by(Instant::now() + ANSWER_WITHIN, "listing dead letters", letters).await
    }

    /// Tries these dead letters again, from the beginning; says how many of them there were. What has been delivered since of
    /// the same session came before them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`]: they may or may not be tried again.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may or may not be carried out.
    pub async fn deliver_again(&self, ids: impl IntoIterator<Item = u64>) -> Result<usize, Error> {
        let again = self.0.inner().store.deliver_again(ids.into_iter().collect());
        let count = by(Instant::now() + ANSWER_WITHIN, "reviving dead letters", again).await?;
        self.0.inner().desk.poke();
        Ok(count)
    }
}

fn count(outcome: &EndOutcome) -> usize {
    match outcome {
        EndOutcome::Ended(ended) => ended.len(),
        EndOutcome::AlreadyEnded(_) | EndOutcome::NotFound | EndOutcome::CallerEnded(_) => 0,
    }
}

fn checked(actor: &str) -> Result<String, Error> {
    if actor.is_empty() || actor.len() > 255 || actor.contains('\0') {
        return Err(Error::new(ErrorKind::InvalidInput, "an actor has 1 to 255 bytes and no NUL"));
    }
    Ok(actor.to_owned())
}

/// Sessions ended in a transaction: few enough that those who wait for a row of it do not notice.
const STEP: usize = 500;
const LETTERS: usize = 100;
const LISTING: &str = "listing sessions";
const ENDING: &str = "ending sessions";
