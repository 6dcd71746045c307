//! How patient delivering is.

use std::time::Duration;

use crate::{clock::jittered, error::ConfigError};

/// How notices are delivered: how long an attempt may take, how often and how soon it is tried again.
///
/// ```
/// # use std::time::Duration;
/// # use axum_device_sessions::{Delivery, SessionsBuilder};
/// # fn f(builder: SessionsBuilder) -> SessionsBuilder {
/// builder.delivery(Delivery::default().timeout(Duration::from_secs(5)).attempts(6))
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "give it to `SessionsBuilder::delivery`"]
pub struct Delivery {
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) first_retry: Duration,
    pub(super) at_once: usize,
}

impl Default for Delivery {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(15), attempts: 13, first_retry: Duration::from_secs(1), at_once: 16 }
    }
}

impl Delivery {
    /// How long one attempt may take. Default: 15 s, at most a minute. Standard Webhooks asks for 15 to 30 s.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How often it is tried in all. Default: 13, which with the pauses between is about 20 hours: a receiver may be down for
    /// a night. What then has not arrived is kept for [`Admin::dead_letters`](crate::Admin::dead_letters).
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// The pause after the first attempt; each one after it is three times as long, up to 6 hours, less a random fifth at
    /// most. Default: 1 s, since the owner of a lost phone waits.
    pub fn first_retry(self, first_retry: Duration) -> Self {
        Self { first_retry, ..self }
    }

    /// How many are under way at once, for each notifier and on each node. Default: 16.
    pub fn at_once(self, at_once: usize) -> Self {
        Self { at_once, ..self }
    }

    pub(crate) fn checked(self) -> Result<Self, ConfigError> {
        let sane = Duration::from_millis(1)..=Duration::from_secs(60);
        if !sane.contains(&self.timeout) || self.attempts == 0 || self.first_retry.is_zero() || self.at_once == 0 {
            return Err(ConfigError::new(
                "delivery: a timeout of 1 ms to 60 s, one attempt or more, a first retry after more than 0 s and one at \
                 once or more",
            ));
        }
        Ok(self)
    }

    /// The pause after this attempt; `None` after the last.
    pub(super) fn pause_after(self, attempt: u32) -> Option<Duration> {
        let factor = 3_u32.checked_pow(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = self.first_retry.checked_mul(factor).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
        (attempt < self.attempts).then(|| jittered(pause, 5))
    }

    /// How long what is claimed is this node's alone: longer than an attempt can take, the way there and back included.
    pub(super) fn lease(self) -> Duration {
        self.timeout + Duration::from_secs(20)
    }
}

const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_six_hours_and_end_after_a_day() {
        let delivery = Delivery::default();
        let pauses: Vec<_> = (1..).map_while(|attempt| delivery.pause_after(attempt)).collect();
        assert_eq!(pauses.len(), 12);
        let exact = |attempt: u32| Duration::from_secs(3_u64.pow(attempt)).min(LONGEST_PAUSE);
        for (attempt, pause) in (0..).zip(&pauses) {
            assert!(*pause <= exact(attempt) && *pause >= exact(attempt) * 4 / 5, "{attempt}: {pause:?}");
        }
        let all: Duration = (0..12).map(exact).sum();
        assert_eq!(all.as_secs() / 3_600, 20);
    }
}
