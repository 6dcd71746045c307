//! Ending sessions: the database first, then this node's memory, then the caller is told.

use std::sync::Arc;

use super::{Inner, Sessions};
use crate::{
    error::Error,
    session::{EndReason, Ended, SessionId},
    store::{EndOutcome, EndRequest, EndTarget},
    telemetry,
};

impl Sessions {
    /// Ends sessions. When this returns `Ok`, the end is on disk and no request that starts later on this node is let
    /// in with them; on other nodes none later than `max_staleness`.
    ///
    /// `by` says on whose word: it is kept with the row.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable): they may or may not have ended. Do it again; ending twice does no harm.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the end is carried out all the same.
    pub async fn end(&self, target: EndTarget, reason: EndReason, by: Option<String>) -> Result<EndOutcome, Error> {
        let inner = Arc::clone(&self.0);
        let request = EndRequest { target, reason, by };
        self.detached("ending sessions", async move { inner.end(request).await }).await
    }
}

impl Inner {
    pub(super) async fn end(&self, request: EndRequest) -> Result<EndOutcome, Error> {
        let named = match &request.target {
            EndTarget::One { id, .. } => Some(*id),
            EndTarget::Others { keep, .. } => Some(*keep),
            EndTarget::All { caller, .. } => *caller,
            EndTarget::These { .. } => None,
        };
        let mut outcome = match self.store.end(request.clone()).await {
            Err(error) if error.is_worth_another_try() => {
                tracing::debug!(error = &error as &dyn std::error::Error, "ending again");
                let again = self.store.end(request.clone()).await;
                // The first try may have done it all the same, and nothing tells to which sessions.
                match &request.target {
                    EndTarget::One { id, .. } => self.cache.mark_stale(*id),
                    EndTarget::Others { user, .. } | EndTarget::All { user, .. } => self.cache.mark_user_stale(user),
                    EndTarget::These { ids } => ids.iter().for_each(|id| self.cache.mark_stale(*id)),
                }
                match again? {
                    EndOutcome::AlreadyEnded(ended) | EndOutcome::CallerEnded(Some(ended))
                        if ended.reason == request.reason && ended.by == request.by =>
                    {
                        EndOutcome::Ended(named.map(|named| (named, ended)).into_iter().collect())
                    }
                    outcome => outcome,
                }
            }
            first => first?,
        };
        match (&mut outcome, named) {
            (EndOutcome::Ended(ended), _) => {
                self.learn_of(ended);
                // They were in no list, so they are in no number.
                ended.retain(|(_, ended)| !ended.of_pending);
            }
            // It ended elsewhere, and this node may not have been told yet.
            (EndOutcome::AlreadyEnded(ended) | EndOutcome::CallerEnded(Some(ended)), Some(id)) => {
                self.cache.mark_ended(id, ended);
            }
            _ => {}
        }
        Ok(outcome)
    }

    /// This node has ended these.
    pub(super) fn learn_of(&self, ended: &[(SessionId, Ended)]) {
        for (id, ended) in ended {
            self.cache.mark_ended(*id, ended);
            telemetry::ended(ended.reason.as_label());
        }
        self.desk.poke();
    }
}
