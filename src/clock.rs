//! The only place that asks what time it is.
//!
//! Two clocks, never mixed: a [`Tick`] measures how long ago (it counts while the machine is suspended and no step of
//! the wall clock moves it); the wall clock is for times that people and tokens carry.

use std::time::Duration;

use time::OffsetDateTime;

#[cfg(any(test, feature = "test-util"))]
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

/// Nanoseconds on this process's own monotonic clock. It never goes back and includes suspended time where the
/// operating system can tell (Linux, Android).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u64);

impl Tick {
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub(crate) const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Saturating: a deadline too far away to name never comes.
    pub(crate) fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it is not in the past.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A little less than `span`, at random, up to a fraction of one in `parts`: so that many of a kind do not fall due
/// at once.
pub(crate) fn jittered(span: Duration, parts: u32) -> Duration {
    // Without randomness there is no jitter, and nothing else is lost.
    let share = getrandom::u32().unwrap_or_default() / parts.max(1);
    span.saturating_sub(span.mul_f64(f64::from(share) / f64::from(u32::MAX)))
}

/// Where the time comes from. The system's by default; under the feature `test-util` also one that a test moves.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    #[cfg(any(test, feature = "test-util"))]
    Manual(Arc<Manual>),
}

#[cfg(any(test, feature = "test-util"))]
#[derive(Debug)]
struct Manual {
    started: OffsetDateTime,
    elapsed: AtomicU64,
    wall_steps: AtomicI64,
}

#[cfg(any(test, feature = "test-util"))]
impl Clock {
    /// A clock that stands still at the present time until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual() -> Self {
        Self(Source::Manual(Arc::new(Manual {
            started: OffsetDateTime::now_utc(),
            // Not zero: zero means "never" to those who keep ticks in atomics.
            elapsed: AtomicU64::new(1_000_000_000),
            wall_steps: AtomicI64::new(0),
        })))
    }

    /// Lets time pass. Every clone of this clock sees it.
    ///
    /// # Panics
    ///
    /// On the system's clock, and for more than 500 years.
    #[expect(clippy::expect_used, reason = "a test helper: the documented panic")]
    pub fn advance(&self, span: Duration) {
        let Source::Manual(manual) = &self.0 else { panic!("only a manual clock can be advanced") };
        let nanos = u64::try_from(span.as_nanos()).expect("less than 500 years");
        manual.elapsed.fetch_add(nanos, Ordering::SeqCst);
    }

    /// Sets the wall clock forwards or back by so many seconds, as an operator or NTP may; no time passes.
    ///
    /// # Panics
    ///
    /// On the system's clock.
    pub fn step_wall(&self, seconds: i64) {
        let Source::Manual(manual) = &self.0 else { panic!("only a manual clock can be stepped") };
        manual.wall_steps.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock {
    #[inline]
    pub(crate) fn tick(&self) -> Tick {
        match &self.0 {
            Source::System => system_tick(),
            #[cfg(any(test, feature = "test-util"))]
            Source::Manual(manual) => Tick(manual.elapsed.load(Ordering::SeqCst)),
        }
    }

    pub(crate) fn wall(&self) -> OffsetDateTime {
        match &self.0 {
            Source::System => OffsetDateTime::now_utc(),
            #[cfg(any(test, feature = "test-util"))]
            Source::Manual(manual) => {
                manual.started
                    + Duration::from_nanos(manual.elapsed.load(Ordering::SeqCst))
                    + time::Duration::seconds(manual.wall_steps.load(Ordering::SeqCst))
            }
        }
    }
}

/// `Instant` stands still while a Linux machine is suspended, and then a lease would outlive its word.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn system_tick() -> Tick {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(now.tv_nsec).unwrap_or_default();
    Tick(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn system_tick() -> Tick {
    use std::{sync::LazyLock, time::Instant};
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    // One second ahead, so that no tick is zero.
    Tick(u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_move_forward_and_deadlines_saturate() {
        let clock = Clock::default();
        let earlier = clock.tick();
        assert!(clock.tick() >= earlier);
        assert!(earlier > Tick::ZERO);
        assert_eq!(earlier.after(Duration::MAX).as_nanos(), u64::MAX);
        assert_eq!(earlier.since(earlier.after(Duration::from_secs(1))), Duration::ZERO);
    }

    #[test]
    fn a_wall_step_moves_no_tick() {
        let clock = Clock::manual();
        let (tick, wall) = (clock.tick(), clock.wall());
        clock.step_wall(-3_600);
        assert_eq!(clock.tick(), tick);
        assert_eq!(clock.wall(), wall - Duration::from_secs(3_600));
        clock.advance(Duration::from_secs(10));
        assert_eq!(clock.tick().since(tick), Duration::from_secs(10));
    }
}
