//! When a session was last seen on this node, whether that still has to be written down, which reading of it stands, and when its
//! cookie was last made anew.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use crate::clock::Tick;

/// One per session state; shared with the activity writer, which may outlive the state.
#[derive(Debug, Default)]
pub(crate) struct LastSeen {
    /// Nanoseconds of a [`Tick`]; zero before the first request.
    at: AtomicU64,
    queued: AtomicBool,
    /// When this node last set out to make its cookie anew, in seconds, rounded up; 0: never. Here, where it takes no room.
    renewal: AtomicU32,
    /// The number of the reading that stands.
    standing: AtomicU64,
}

impl LastSeen {
    /// The newest request seen here, if any.
    pub(crate) fn at(&self) -> Option<Tick> {
        match self.at.load(Ordering::Acquire) {
            0 => None,
            nanos => Some(Tick::from_nanos(nanos)),
        }
    }

    /// The number of the reading that stands now; an even one: none does.
    pub(crate) fn standing(&self) -> u64 {
        self.standing.load(Ordering::Acquire)
    }

    /// From here on no reading stands. One after the other: the caller holds the lock of the flights.
    pub(crate) fn none_stands(&self) {
        self.standing.store((self.standing.load(Ordering::Relaxed) | 1) + 1, Ordering::Release);
    }

    /// From here on another reading stands: its number.
    pub(crate) fn another_stands(&self) -> u64 {
        let number = (self.standing.load(Ordering::Relaxed) | 1) + 2;
        self.standing.store(number, Ordering::Release);
        number
    }

    /// Whether a request now would change anything. A hot session would otherwise write the same cache line from every core, so
    /// the time moves in steps.
    fn is_due(&self, now: Tick) -> bool {
        let last = Tick::from_nanos(self.at.load(Ordering::Relaxed));
        !self.queued.load(Ordering::Acquire) || now.since(last) >= STEP
    }

    /// Notes a request. `true` for the first one since the writer took this session: the caller queues it then.
    pub(crate) fn touch(&self, now: Tick) -> bool {
        if !self.is_due(now) {
            return false;
        }
        self.at.fetch_max(now.as_nanos(), Ordering::SeqCst);
        !self.queued.load(Ordering::SeqCst) && !self.queued.swap(true, Ordering::AcqRel)
    }

    /// The writer takes it: what is seen from here on queues it again. Read [`LastSeen::at`] *after* this, so that a
    /// touch in between is either in that time or queued anew, never lost.
    pub(crate) fn take(&self) {
        // A swap, and not a store: the look at the time that comes after must not overtake it.
        self.queued.swap(false, Ordering::SeqCst);
    }

    /// The writer could not write it, and keeps it.
    pub(crate) fn put_back(&self) {
        self.queued.store(true, Ordering::Release);
    }

    /// Whether it is the caller who makes its cookie anew: one, and not again for a while, however that turns out.
    pub(crate) fn begin_renewal(&self, now: Tick, pause: Duration) -> bool {
        let last = self.renewal.load(Ordering::Relaxed);
        // Rounded up: not before the pause is over.
        let again = || Tick::ZERO.after(Duration::from_secs(last.into())).after(pause);
        let seconds = u32::try_from(now.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX);
        (last == 0 || now >= again())
            && self.renewal.compare_exchange(last, seconds, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// From when on a request with a token may change when its session was last seen. Beside all else that is known of the token, so that
/// a hit need not go and ask.
#[derive(Debug, Default)]
pub(crate) struct NextTouch {
    at: AtomicU64,
    /// How often the writer had taken sessions by then.
    taken: AtomicU64,
}

impl NextTouch {
    #[inline]
    pub(crate) fn is_due(&self, now: Tick, taken: u64) -> bool {
        now >= Tick::from_nanos(self.at.load(Ordering::Relaxed)) || taken != self.taken.load(Ordering::Relaxed)
    }

    /// A step from where the time is now. `taken`: read before the touch, since it may be taken again meanwhile.
    pub(crate) fn put_off(&self, seen: &LastSeen, taken: u64) {
        if let Some(at) = seen.at() {
            self.taken.store(taken, Ordering::Relaxed);
            self.at.store(at.after(STEP).as_nanos(), Ordering::Relaxed);
        }
    }
}

/// Of a copy, which knows nothing yet.
impl Clone for NextTouch {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// How coarse the time is. Far below any activity interval, far above the time between requests of a busy session.
const STEP: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn the_first_touch_since_a_take_queues_and_no_other() {
        let seen = LastSeen::default();
        assert_eq!(seen.at(), None);
        assert!(seen.touch(at(1_000)));
        assert!(!seen.touch(at(1_500)));
        seen.take();
        assert_eq!(seen.at(), Some(at(1_500)));
        assert!(seen.touch(at(1_501)), "queued again even within a step: the writer may have read the older time");
        assert_eq!(seen.at(), Some(at(1_501)));
    }

    #[test]
    fn time_moves_in_steps_and_never_back() {
        let seen = LastSeen::default();
        seen.touch(at(1_000));
        seen.touch(at(1_019));
        assert_eq!(seen.at(), Some(at(1_000)));
        seen.touch(at(1_020));
        assert_eq!(seen.at(), Some(at(1_020)));
        seen.take();
        seen.touch(at(500));
        assert_eq!(seen.at(), Some(at(1_020)));
    }

    /// The control is the time itself, which is asked each time.
    #[test]
    fn a_touch_that_is_put_off_would_have_changed_nothing() {
        let (seen, next, mut taken) = (LastSeen::default(), NextTouch::default(), 0);
        let mut put_off = 0;
        for millis in 1_000..3_000 {
            let now = at(millis);
            if millis % 70 == 0 {
                seen.take();
                taken += 1;
            }
            if next.is_due(now, taken) {
                seen.touch(now);
                next.put_off(&seen, taken);
            } else {
                assert!(!seen.is_due(now), "{millis}");
                put_off += 1;
            }
        }
        assert!(put_off > 1_500, "{put_off}");
        assert!(next.clone().is_due(Tick::ZERO, 0) && !next.is_due(Tick::ZERO, taken));
    }

    #[test]
    fn one_makes_the_cookie_anew_and_none_before_the_pause_is_over() {
        let (seen, pause) = (LastSeen::default(), Duration::from_secs(5));
        assert!(seen.begin_renewal(at(1_001), pause));
        for still in [1_001, 1_999, 6_001, 6_999] {
            assert!(!seen.begin_renewal(at(still), pause), "{still}");
        }
        assert!(seen.begin_renewal(at(7_000), pause));
        assert!(!seen.begin_renewal(at(7_000), pause));
    }

    #[test]
    fn what_is_put_back_is_not_queued_again() {
        let seen = LastSeen::default();
        seen.touch(at(1_000));
        seen.take();
        seen.put_back();
        assert!(!seen.touch(at(2_000)));
        assert_eq!(seen.at(), Some(at(2_000)), "but its time moves on");
    }
}
