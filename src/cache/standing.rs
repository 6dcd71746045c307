//! Whether what stands in front counts still. Each place there has a count, and what is put into it remembers the count of that
//! moment; whoever learns that something may have changed raises it.
//!
//! So the change goes to the places in front, and a hit need not go to the session's state to ask for it: with many sessions that
//! would be one more wait for memory.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// One for each place in front.
#[derive(Clone, Debug)]
pub(super) struct Counts(Arc<[AtomicU32]>);

impl Counts {
    pub(super) fn new(places: usize) -> Self {
        Self((0..places).map(|_| AtomicU32::new(0)).collect())
    }

    #[inline]
    pub(super) fn of(&self, at: usize) -> u32 {
        // A later request reads no older count than the change left. Its order against a beat comes from the lease, loaded before it.
        self.0[at].load(Ordering::Acquire)
    }

    pub(super) fn place(&self, at: usize) -> Place {
        Place { counts: self.clone(), at }
    }

    /// What was put there before this does not count. Whose it is does not matter: it is judged once more.
    fn void(&self, at: usize) {
        self.0[at].fetch_add(1, Ordering::Release);
    }
}

/// Where something stands, or is about to.
#[derive(Debug)]
pub(crate) struct Place {
    counts: Counts,
    at: usize,
}

/// Where the tokens of one session stand, all in the same front. They may have had to make room since. In one piece: it is kept
/// until the session changes, and of many sessions.
#[derive(Debug, Default)]
pub(super) struct Places {
    counts: Option<Counts>,
    /// The oldest first, and as many as `taken`.
    at: [usize; AT_MOST],
    taken: usize,
}

/// One session has one token, and for a while the one before. Of five in use in turn each is judged on every request.
const AT_MOST: usize = 4;

impl Places {
    pub(super) fn add(&mut self, Place { counts, at }: Place) {
        if self.at[..self.taken].contains(&at) {
            return;
        }
        if self.taken == AT_MOST {
            // Nobody would void it any more.
            counts.void(self.at[0]);
            self.at.rotate_left(1);
        } else {
            self.taken += 1;
        }
        self.at[self.taken - 1] = at;
        self.counts = Some(counts);
    }

    pub(super) fn void_all(&mut self) {
        if let Self { counts: Some(counts), at, taken } = std::mem::take(self) {
            at[..taken].iter().for_each(|at| counts.void(*at));
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.taken == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_in_too_many_places_gives_up_the_oldest() {
        let counts = Counts::new(8);
        let voided = || (0..8).filter(|at| counts.of(*at) > 0).collect::<Vec<_>>();
        let mut places = Places::default();
        for at in [1, 2, 3, 2, 4, 1] {
            places.add(counts.place(at));
        }
        assert!(voided().is_empty(), "four, of which two came again");
        places.add(counts.place(5));
        assert_eq!(voided(), [1]);
        places.void_all();
        assert_eq!(voided(), [1, 2, 3, 4, 5]);
        assert!(places.is_empty());
        places.void_all();
        assert_eq!((1..6).map(|at| counts.of(at)).max(), Some(1), "each once");
    }
}
