//! Tokens whose signature has been checked, so that it is checked once and not on every request.

use std::{fmt, sync::Arc, time::Duration};

use moka::{policy::EvictionPolicy, sync::Cache};

/// What a token that verified was found to be. Whole tokens are compared, and the map's hash is keyed at random, so
/// nobody can aim at an entry.
pub(crate) struct TokenCache<T>(Cache<Box<str>, Arc<T>>);

impl<T: Send + Sync + 'static> TokenCache<T> {
    /// Entries go `lifetime` after they came: later none of them can be valid.
    pub(crate) fn new(capacity: u64, lifetime: Duration) -> Self {
        let cache = Cache::builder()
            .max_capacity(capacity)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(lifetime)
            .build();
        Self(cache)
    }

    pub(crate) fn get(&self, token: &str) -> Option<Arc<T>> {
        self.0.get(token)
    }

    pub(crate) fn insert(&self, token: &str, known: Arc<T>) {
        self.0.insert(token.into(), known);
    }

    /// What is there now; a moment later there may be more. For the control of `sessions/keys.rs`.
    #[cfg(test)]
    pub(crate) fn forget_all(&self) {
        self.0.invalidate_all();
    }
}

/// Its keys are credentials.
impl<T> fmt::Debug for TokenCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").finish_non_exhaustive()
    }
}
