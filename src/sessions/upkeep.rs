//! What runs out is ended, and what ended long ago is removed: off the request path, in small batches.

use std::{sync::Weak, time::Duration};

use tokio::time::Instant;

use super::Inner;
use crate::{
    clock::jittered,
    error::Error,
    store::{Expire, Idle, Purged},
};

/// Goes on until the last handle is gone. An error costs a round, no more.
pub(super) async fn run(inner: Weak<Inner>) {
    let Some((interval, allowance)) = inner.upgrade().map(|inner| {
        let settings = &inner.settings;
        (settings.upkeep_interval, settings.lives.idle_allowance)
    }) else {
        return;
    };
    // Not at once: while this node was away the database may have been too, and the others have not yet written down
    // what they saw meanwhile. And not all at once: nodes are started together.
    tokio::time::sleep(allowance + jittered(interval, 1)).await;
    loop {
        tokio::time::sleep(jittered(interval, 5)).await;
        loop {
            let began = Instant::now();
            // Not kept while waiting: the task keeps nothing alive.
            let Some(inner) = inner.upgrade() else { return };
            match inner.keep_up().await {
                Ok(more) if more => drop(inner),
                Ok(_done) => break,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "cannot end sessions that have run out; will try again");
                    break;
                }
            }
            breathe(began).await;
        }
    }
}

impl Inner {
    /// A batch of each kind. Says whether there is more to do now.
    async fn keep_up(&self) -> Result<bool, Error> {
        let request = Expire::new(self.idle_to_end(), self.settings.upkeep_interval);
        let expired = self.store.expire(request).await?;
        for (session, ended) in &expired.ended {
            tracing::debug!(%session, reason = %ended.reason, "ran out");
        }
        self.learn_of(&expired.ended);
        // What cannot be removed does not keep others from being ended.
        let purged = self.store.purge(self.settings.retention).await.unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot remove old sessions; will try again");
            Purged::default()
        });
        if purged.scrubbed + purged.deleted > 0 {
            tracing::debug!(purged.scrubbed, purged.deleted, "removed old sessions");
        }
        Ok(expired.more || purged.more)
    }

    /// When a row may be called idle; `None` while it may not: what this node has seen is not all written down, or, after
    /// an outage, what others have seen.
    fn idle_to_end(&self) -> Option<Idle> {
        let lives = self.settings.lives;
        // An outage that is not over yet as far as this node knows: it may end just as the statement gets through.
        let silence = self.settings.max_staleness.min(lives.longest_silence());
        let away = !self.alone && !self.heard_within(silence);
        let doubtful = away || self.idle_is_doubtful(self.clock.tick()) || self.recorder.is_behind();
        (!doubtful).then_some(Idle::new(lives.idle, lives.idle_allowance))
    }
}

/// At most half of the time is spent in the database.
async fn breathe(began: Instant) {
    tokio::time::sleep(began.elapsed().max(Duration::from_millis(1))).await;
}
