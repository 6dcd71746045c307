//! How long a reading may be believed.
//!
//! Either the lease under which it was read still holds: everything that anybody has committed up to some instant has
//! been told to this node, and that instant is no further back than `max_staleness`. Or the reading itself is no older
//! than that. So whatever goes wrong with the telling costs reads, never safety.
//!
//! A lease is one cell with one atomic deadline. A reading keeps the cell that was current *before* its query was sent;
//! a lost connection's cell is never renewed and a new connection makes a new one, so there is nothing to compare and
//! no pair of words to read torn.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use super::{
    lease::LeaseCell,
    reading::{Known, Reading},
};
use crate::clock::Tick;

/// A reading of a row, and all that says whether it may be judged by if it stands, side by side: a hit looks at nothing else of it.
#[derive(Clone, Debug)]
pub(crate) struct Belief {
    /// However badly the lease holds.
    young_until: Tick,
    /// However well it holds.
    read_again_at: Tick,
    cell: Arc<LeaseCell>,
    reading: Arc<Reading>,
}

impl Belief {
    pub(crate) const fn reading(&self) -> &Arc<Reading> {
        &self.reading
    }

    /// As [`Trust::believes`]. Whether it stands is to be asked after this: a change, and then a beat, may be applied meanwhile,
    /// and the beat must not vouch for it.
    pub(crate) fn holds(&self, now: Tick) -> bool {
        (now < self.young_until || self.cell.holds(now)) && now < self.read_again_at
    }
}

/// The rule of trust, and the lease that is current.
#[derive(Debug)]
pub(crate) struct Trust {
    current: ArcSwap<LeaseCell>,
    max_staleness: Duration,
}

impl Trust {
    /// No lease: readings are believed for `max_staleness`.
    pub(crate) fn by_time(max_staleness: Duration) -> Self {
        Self { current: ArcSwap::from_pointee(LeaseCell::dropped()), max_staleness }
    }

    /// A lease without end: this process is the only one that changes anything.
    pub(crate) fn for_ever(max_staleness: Duration) -> Self {
        Self { current: ArcSwap::from_pointee(LeaseCell::for_ever()), max_staleness }
    }

    pub(crate) const fn max_staleness(&self) -> Duration {
        self.max_staleness
    }

    /// Until when this reading may be believed if nothing more is heard.
    pub(crate) fn believed_until(&self, reading: &Reading) -> Tick {
        reading.started.after(self.max_staleness).max(reading.cell.deadline()).min(reading.read_again_at)
    }

    /// To be taken before the query is sent.
    pub(crate) fn cell(&self) -> Arc<LeaseCell> {
        self.current.load_full()
    }

    /// Whether this reading may be judged by.
    pub(crate) fn believes(&self, reading: &Reading, now: Tick) -> bool {
        let young = now < reading.started.after(self.max_staleness);
        match &reading.known {
            // No notification is owed for a row that is not there.
            Known::Missing => young,
            Known::Row(_) => (young || reading.cell.holds(now)) && now < reading.read_again_at,
        }
    }

    /// The same of a row, to be asked again and again.
    pub(crate) fn belief(&self, reading: Arc<Reading>) -> Belief {
        Belief {
            young_until: reading.started.after(self.max_staleness),
            read_again_at: reading.read_again_at,
            cell: Arc::clone(&reading.cell),
            reading,
        }
    }

    /// Whether this reading may be judged by although the database cannot be asked, because the host chose so: for
    /// `grace` longer than it could be believed. Counted from the last instant at which it was known to be true.
    pub(crate) fn tolerates(&self, reading: &Reading, now: Tick, grace: Duration) -> bool {
        let true_at = reading.started.max(reading.cell.told_up_to());
        matches!(reading.known, Known::Row(_)) && now < true_at.after(self.max_staleness + grace)
    }

    pub(crate) fn new_lease(&self) {
        self.current.swap(Arc::new(LeaseCell::not_yet())).drop_for_good();
    }

    pub(crate) fn renew(&self, told_up_to: Tick) {
        self.current.load().renew(told_up_to, told_up_to.after(self.max_staleness));
    }

    pub(crate) fn end_lease(&self) {
        self.current.load().drop_for_good();
    }

    pub(crate) fn lease_left(&self, now: Tick) -> Option<Duration> {
        let cell = self.current.load();
        cell.holds(now).then(|| cell.deadline().since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn reading(trust: &Trust, started: Tick) -> Reading {
        Reading::new(Known::Missing, started, trust.cell(), Tick::from_nanos(u64::MAX))
    }

    #[test]
    fn a_dropped_cell_is_never_renewed() {
        let start = Tick::from_nanos(10 * 1_000_000_000);
        let trust = Trust::by_time(5 * SECOND);
        trust.new_lease();
        let old = trust.cell();
        assert!(!old.holds(start), "not before its first renewal");
        trust.renew(start);
        assert!(old.holds(start.after(4 * SECOND)) && !old.holds(start.after(5 * SECOND)));
        trust.new_lease();
        old.renew(start, start.after(60 * SECOND));
        assert!(!old.holds(start), "what was read over the old connection does not count any more");
        assert!(!Arc::ptr_eq(&old, &trust.cell()));
    }

    #[test]
    fn a_renewal_never_shortens() {
        let start = Tick::from_nanos(10 * 1_000_000_000);
        let trust = Trust::by_time(5 * SECOND);
        trust.new_lease();
        trust.renew(start.after(3 * SECOND));
        trust.renew(start);
        assert!(trust.cell().holds(start.after(7 * SECOND)));
    }

    #[test]
    fn without_a_lease_a_reading_is_believed_for_max_staleness() {
        let start = Tick::from_nanos(10 * 1_000_000_000);
        let trust = Trust::by_time(5 * SECOND);
        let reading = reading(&trust, start);
        assert!(trust.believes(&reading, start.after(5 * SECOND - Duration::from_nanos(1))));
        assert!(!trust.believes(&reading, start.after(5 * SECOND)));
    }

    #[test]
    fn a_missing_row_is_not_kept_by_a_lease() {
        let start = Tick::from_nanos(10 * 1_000_000_000);
        let trust = Trust::for_ever(5 * SECOND);
        assert!(!trust.believes(&reading(&trust, start), start.after(5 * SECOND)));
    }
}
