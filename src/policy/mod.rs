//! The judge: pure and synchronous, asked on every request, so that a cached session still expires on time.

mod limit;

use std::time::Duration;

use time::OffsetDateTime;

pub(crate) use self::limit::{Counted, make_room};
pub use self::limit::{OnLimit, SessionLimit};
use crate::{
    clock::Tick,
    session::{EndReason, Session},
};

/// How long sessions live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// A session ends this long after its last request ..
    pub(crate) idle: Duration,
    /// .. and this much later at the earliest is it refused: other nodes may still hold requests of it that they have
    /// not written down. Two activity intervals: one that it waits in the queue, one for a flush that had to be
    /// repeated.
    pub(crate) idle_allowance: Duration,
}

impl Lifetimes {
    /// The database may be away for so long unnoticed: the allowance has room for one flush that had to be repeated,
    /// not for two.
    pub(crate) fn longest_silence(self) -> Duration {
        self.idle_allowance / 2
    }
}

/// The deadlines of a session as instants of this node's own clock, worked out when its row was read from the times
/// *and the clock of the database*: so neither a wrong nor a stepped wall clock here signs anybody out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadlines {
    idle: Tick,
    absolute: Tick,
    /// When the user proved who they are, in nanoseconds of this clock; below zero: before it began.
    authenticated: i64,
}

impl Deadlines {
    /// `read_started` is from before the query was sent and `database_now` from while it ran, so a deadline may come
    /// early by the query's duration, never late.
    pub(crate) fn of(session: &Session, database_now: OffsetDateTime, read_started: Tick, lives: Lifetimes) -> Self {
        let left = |at: OffsetDateTime, extra: Duration| {
            let until = (at - database_now).saturating_add(extra.try_into().unwrap_or(time::Duration::MAX));
            // What is over was over at any earlier instant as well.
            Duration::try_from(until).map_or(Tick::ZERO, |until| read_started.after(until))
        };
        let extra = lives.idle + lives.idle_allowance;
        let idle = left(session.last_activity_at, extra);
        let mut absolute = left(session.absolute_expires_at, Duration::ZERO);
        // Both are over: the one that came first is the reason, as in the row once it is marked.
        if absolute == Tick::ZERO && session.absolute_expires_at - session.last_activity_at > extra {
            absolute = read_started;
        }
        // The other way round: an age may not come out too small.
        let age = Duration::try_from(database_now - session.authenticated_at).unwrap_or_default();
        let authenticated = signed(u128::from(read_started.as_nanos())).saturating_sub(signed(age.as_nanos()));
        Self { idle, absolute, authenticated }
    }

    /// When it ends whatever happens, and when for want of requests unless one has come since.
    pub(crate) const fn absolute_and_idle(self) -> (Tick, Tick) {
        (self.absolute, self.idle)
    }

    /// How long until the absolute end.
    pub(crate) fn absolute_left(self, now: Tick) -> Duration {
        self.absolute.since(now)
    }

    /// How long ago the user proved who they are.
    pub(crate) fn authenticated_since(self, now: Tick) -> Duration {
        let ago = signed(u128::from(now.as_nanos())).saturating_sub(self.authenticated);
        Duration::from_nanos(u64::try_from(ago).unwrap_or_default())
    }
}

/// What is further away than 292 years counts as that.
fn signed(nanos: u128) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

/// When a session with this idle deadline, last seen on this node at `seen`, is idle.
pub(crate) fn idle_at(idle: Tick, seen: Option<Tick>, lives: Lifetimes) -> Tick {
    seen.map_or(idle, |seen| idle.max(seen.after(lives.idle + lives.idle_allowance)))
}

/// When and why a session with these deadlines, last seen on this node at `seen`, ends if nothing happens.
pub(crate) fn ends_at(deadlines: Deadlines, seen: Option<Tick>, lives: Lifetimes) -> (Tick, EndReason) {
    let idle = idle_at(deadlines.idle, seen, lives);
    if deadlines.absolute <= idle { (deadlines.absolute, EndReason::Absolute) } else { (idle, EndReason::Idle) }
}

/// Whether it has run out by `now`.
pub(crate) fn run_out(deadlines: Deadlines, seen: Option<Tick>, now: Tick, lives: Lifetimes) -> Option<EndReason> {
    let (at, reason) = ends_at(deadlines, seen, lives);
    (at <= now).then_some(reason)
}

/// When a session ends if nothing happens, as told to people: the nearer of idle (without the allowance) and absolute.
pub(crate) fn expires_at(session: &Session, lives: Lifetimes) -> OffsetDateTime {
    let idle = time::Duration::try_from(lives.idle)
        .ok()
        .and_then(|idle| session.last_activity_at.checked_add(idle))
        .unwrap_or(session.absolute_expires_at);
    idle.min(session.absolute_expires_at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIVES: Lifetimes = Lifetimes { idle: Duration::from_secs(1_000), idle_allowance: Duration::from_secs(20) };

    fn session(now: OffsetDateTime, idle_for: u64, absolute_in: i64) -> Session {
        let seen = now - Duration::from_secs(idle_for);
        let absolute = now + time::Duration::seconds(absolute_in);
        Session {
            created_at: seen,
            last_activity_at: seen,
            expires_at: absolute,
            absolute_expires_at: absolute,
            authenticated_at: seen,
            ..Session::fake("ahmed".into())
        }
    }

    proptest! {
        #[test]
        fn a_session_is_live_to_the_nanosecond_before_its_nearer_deadline(
            idle_for in 0_u64..1_019, absolute_in in 1_i64..5_000, seen_ago in proptest::option::of(0_u64..2_000),
        ) {
            let start = Tick::from_nanos(10_000_000_000_000);
            let now = OffsetDateTime::now_utc();
            let deadlines = Deadlines::of(&session(now, idle_for, absolute_in), now, start, LIVES);
            let seen = seen_ago.map(|ago| Tick::from_nanos(start.as_nanos() - ago * 1_000_000_000));
            let idle_at = 1_020 - idle_for.min(seen_ago.unwrap_or(u64::MAX)).min(1_020);
            let ends_at = start.after(Duration::from_secs(idle_at.min(absolute_in.unsigned_abs())));
            prop_assert_eq!(run_out(deadlines, seen, Tick::from_nanos(ends_at.as_nanos() - 1), LIVES), None);
            let reason = if absolute_in.unsigned_abs() <= idle_at { EndReason::Absolute } else { EndReason::Idle };
            prop_assert_eq!(run_out(deadlines, seen, ends_at, LIVES), Some(reason));
        }
    }

    #[test]
    fn what_is_over_in_the_database_is_over_here() {
        let now = OffsetDateTime::now_utc();
        let start = Tick::from_nanos(5);
        let idle = Deadlines::of(&session(now, 1_020, 9), now, start, LIVES);
        assert_eq!(run_out(idle, None, start, LIVES), Some(EndReason::Idle));
        let absolute = Deadlines::of(&session(now, 0, -1), now, start, LIVES);
        assert_eq!(run_out(absolute, Some(start), start, LIVES), Some(EndReason::Absolute));
    }

    #[test]
    fn the_told_expiry_has_no_allowance_and_is_capped() {
        let now = OffsetDateTime::now_utc();
        assert_eq!(expires_at(&session(now, 0, 5_000), LIVES), now + Duration::from_secs(1_000));
        assert_eq!(expires_at(&session(now, 0, 10), LIVES), now + Duration::from_secs(10));
    }
}
