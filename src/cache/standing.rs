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
        // What is seen after it was told of a change is not let in by what was put there before.
        self.0[at].load(Ordering::Acquire)
    }

    pub(super) fn place(&self, at: usize) -> Place {
        Place { counts: self.clone(), at }
    }
}

/// Where something stands, or is about to.
#[derive(Debug)]
pub(crate) struct Place {
    counts: Counts,
    at: usize,
}

impl Place {
    /// What was put there before this does not count. Whose it is does not matter: it is judged once more.
    pub(super) fn void(&self) {
        self.counts.0[self.at].fetch_add(1, Ordering::Release);
    }
}

/// Where the tokens of one session stand. They may have had to make room since.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<Place>);

/// One session has one token, and for a while the one before. Of five in use in turn each is judged on every request.
const AT_MOST: usize = 4;

impl Places {
    pub(super) fn add(&mut self, place: Place) {
        if self.0.iter().any(|known| known.at == place.at) {
            return;
        }
        if self.0.len() == AT_MOST {
            // Nobody would void it any more.
            self.0.remove(0).void();
        }
        self.0.push(place);
    }

    pub(super) fn void_all(&mut self) {
        std::mem::take(&mut self.0).iter().for_each(Place::void);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
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
