//! Telling the database that the tokens of a refresh have arrived: at once, in batches, off the request path.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::Notify;

use super::{CurrentSession, Inner, KnownToken};
use crate::{session::SessionId, store::InUse, token::TokenUse};

/// Generations in use that the database does not know of yet. Bounded by the sessions that have refreshed.
#[derive(Debug, Default)]
pub(crate) struct InUseQueue {
    queue: Mutex<HashMap<SessionId, Vec<u64>>>,
    some: Notify,
}

impl InUseQueue {
    /// Never waits.
    fn add(&self, used: InUse) {
        let mut queue = self.queue();
        let generations = queue.entry(used.id).or_default();
        if !generations.contains(&used.generation) {
            generations.push(used.generation);
        }
        drop(queue);
        self.some.notify_one();
    }

    fn take(&self) -> Vec<InUse> {
        let taken = std::mem::take(&mut *self.queue());
        let each =
            |(id, generations): (SessionId, Vec<u64>)| generations.into_iter().map(move |one| InUse::new(id, one));
        taken.into_iter().flat_map(each).collect()
    }

    fn queue(&self) -> MutexGuard<'_, HashMap<SessionId, Vec<u64>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// This token was let in. The first time for each token that a refresh made, the database is to know.
    pub(super) fn note_use(&self, token: &KnownToken, current: &CurrentSession) {
        let Some(generation) = token.generation().filter(|_| token.usage == TokenUse::Access) else { return };
        if token.is_first_use() && !current.has_seen(generation) {
            self.in_use.add(InUse::new(token.state.id(), generation));
        }
    }
}

/// As soon as there is one, with whatever has come meanwhile. Ends with the last handle.
pub(super) async fn run(queue: Arc<InUseQueue>, inner: Weak<Inner>) {
    loop {
        queue.some.notified().await;
        let used = queue.take();
        for batch in used.chunks(BATCH) {
            let Some(inner) = inner.upgrade() else { return };
            match inner.store.confirm(batch.to_vec()).await {
                Ok(confirmed) => {
                    for (session, _) in &confirmed.ended {
                        tracing::warn!(%session, "tokens that had been given up are in use: ended");
                    }
                    inner.learn_of(&confirmed.ended);
                    if !confirmed.left.is_empty() {
                        confirmed.left.iter().for_each(|used| queue.add(*used));
                        drop(inner);
                        tokio::time::sleep(AGAIN).await;
                    }
                }
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "cannot confirm tokens; will try again");
                    batch.iter().for_each(|used| queue.add(*used));
                    drop(inner);
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

/// Rows that are locked together.
const BATCH: usize = 200;
const AGAIN: Duration = Duration::from_millis(250);
