//! The tokens that are asked for most, before the cache that remembers them all: a look at it writes nothing that another
//! core reads, so it costs the same on many cores as on one.
//!
//! Sets of four places, each set one cache line: four tags, and four pointers to what is there. A tag is made of a token's last
//! characters, which are its signature's: as good as random, and not worth hashing. Whether it is the same token is then for
//! the whole of it to say.

use std::{
    cell::Cell,
    fmt,
    ops::Deref,
    sync::atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwapAny;
use triomphe::ThinArc;

use super::standing::{Counts, Place};

/// What is known of some tokens.
pub(crate) struct Front<T> {
    /// A power of two of them, or none.
    sets: Box<[Set<T>]>,
    counts: Counts,
    seed: u64,
}

/// Each starts a cache line.
#[repr(align(64))]
struct Set<T> {
    tags: [AtomicU64; WAYS],
    places: [ArcSwapAny<Option<Shared<T>>>; WAYS],
}

/// Something that is known of a token, and right behind it the token itself, so that a look is one jump.
pub(crate) struct OfToken<T>(Shared<T>);

type Shared<T> = ThinArc<Known<T>, u8>;

struct Known<T> {
    what: T,
    /// That of its place when it was put there.
    count: u32,
}

impl<T> OfToken<T> {
    pub(crate) fn new(known: T, text: &[u8]) -> Self {
        Self::counted(known, 0, text)
    }

    fn counted(what: T, count: u32, text: &[u8]) -> Self {
        Self(ThinArc::from_header_and_slice(Known { what, count }, text))
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.0.slice
    }
}

impl<T> Deref for OfToken<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.header.header.what
    }
}

impl<T> Clone for OfToken<T> {
    fn clone(&self) -> Self {
        Self(ThinArc::clone(&self.0))
    }
}

/// Without the token.
impl<T: fmt::Debug> fmt::Debug for OfToken<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

const WAYS: usize = 4;
/// 16,384 tokens: beyond that, memory is slower than what the front saves.
const MOST_SETS: usize = 4_096;
/// Where all places of a set are taken, one newcomer in so many gets in: many that come once do not drive out the few that
/// come again and again.
const ONE_IN: u32 = 8;

impl<T> Front<T> {
    /// Room for a quarter of `capacity` at most.
    pub(crate) fn new(capacity: u64) -> Self {
        let sets = usize::try_from(capacity / 16).unwrap_or(MOST_SETS).min(MOST_SETS);
        let sets = if sets == 0 { 0 } else { 1 << sets.ilog2() };
        // Without randomness the tags can be foretold, which helps only against oneself.
        let seed = getrandom::u64().unwrap_or_default();
        Self { sets: (0..sets).map(|_| Set::default()).collect(), counts: Counts::new(sets * WAYS), seed }
    }

    /// How many tokens it has room for.
    pub(crate) fn room(&self) -> u64 {
        (self.sets.len() * WAYS) as u64
    }

    /// What is known of this token, if it is here and `holds`.
    pub(crate) fn find(&self, token: &[u8], holds: impl Fn(&T) -> bool) -> Option<OfToken<T>> {
        self.look(token, |known, _| holds(&known.what))
    }

    /// The same, unless its place was given up meanwhile. Whoever is told of a change gives it up, so this is asked last: a beat
    /// that `holds` looks at may be newer than the change.
    #[inline]
    pub(crate) fn find_standing(&self, token: &[u8], holds: impl Fn(&T) -> bool) -> Option<OfToken<T>> {
        self.look(token, |known, at| holds(&known.what) && self.counts.of(at) == known.count)
    }

    #[inline]
    fn look(&self, token: &[u8], holds: impl Fn(&Known<T>, usize) -> bool) -> Option<OfToken<T>> {
        let (at, tag) = self.place_of(token)?;
        let set = &self.sets[at];
        for (way, (its, place)) in set.tags.iter().zip(&set.places).enumerate() {
            if its.load(Ordering::Relaxed) == tag
                && let Some(known) = &*place.load()
                // First, so that what it looks at comes into the processor's cache together with the token.
                && holds(&known.header.header, at * WAYS + way)
                // In whatever time that takes: to learn anything by it, a stranger has first to meet one of these tags, 64 bits that a
                // key of this process and a signature's tail make, and none of it can be tried a part at a time.
                && known.slice == *token
            {
                return Some(OfToken(ThinArc::clone(known)));
            }
        }
        None
    }

    /// Makes room for this token, or not; then says what is known of it, and hands back who had to make room. `known` is told
    /// the place, for whoever will have to give it up, and may think better of it.
    pub(crate) fn offer(&self, token: &[u8], known: impl FnOnce(Place) -> Option<T>) -> Option<OfToken<T>> {
        let (at, tag) = self.place_of(token)?;
        let set = &self.sets[at];
        let holds = |wanted| set.tags.iter().position(|tag| tag.load(Ordering::Relaxed) == wanted);
        // Its own place, where it has one: what is known of it has changed.
        let way = match holds(tag).or_else(|| holds(EMPTY)) {
            Some(way) => way,
            None => in_turn()?,
        };
        // The count first: from the moment that `known` has told of the place, a change raises it.
        let place = at * WAYS + way;
        let count = self.counts.of(place);
        let OfToken(now) = OfToken::counted(known(self.counts.place(place))?, count, token);
        // Between these two the tag may belong to another token; then that one is not found, and is verified once more.
        set.tags[way].store(tag, Ordering::Relaxed);
        set.places[way].swap(Some(now)).map(OfToken).filter(|before| before.text() != token)
    }

    /// Its set, and its tag there.
    #[inline]
    fn place_of(&self, token: &[u8]) -> Option<(usize, u64)> {
        // 16 characters of it: 96 bits of the signature.
        let (rest, last) = token.split_last_chunk()?;
        let (_, before) = rest.split_last_chunk()?;
        let (one, other) = (u64::from_be_bytes(*before), u64::from_be_bytes(*last));
        let mixed = u128::from(one ^ self.seed) * u128::from(other | 1);
        #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
        let tag = ((mixed >> 64) as u64 ^ mixed as u64).max(EMPTY + 1);
        let which = usize::try_from(tag >> 32).unwrap_or_default() & self.sets.len().checked_sub(1)?;
        Some((which, tag))
    }
}

/// Of a place that nobody has had yet.
const EMPTY: u64 = 0;

/// Which of a full set's places a newcomer gets; mostly none. Counted for each thread, so that no two share the count.
fn in_turn() -> Option<usize> {
    thread_local! {
        static COUNT: Cell<u32> = const { Cell::new(0) };
    }
    let count = COUNT.get().wrapping_add(1);
    COUNT.set(count);
    count.is_multiple_of(ONE_IN).then_some((count / ONE_IN) as usize % WAYS)
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self { tags: [const { AtomicU64::new(EMPTY) }; WAYS], places: std::array::from_fn(|_| ArcSwapAny::new(None)) }
    }
}

/// It is full of credentials.
impl<T> fmt::Debug for Front<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{super::standing::Places, *};

    /// The number of a token, and what was said of it last.
    struct Said {
        of: usize,
        last: usize,
    }

    fn token(n: usize) -> Box<[u8]> {
        format!("header.payload-{n}.{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes().into()
    }

    fn said(of: usize, last: usize) -> impl FnOnce(Place) -> Option<Said> {
        move |_| Some(Said { of, last })
    }

    #[test]
    fn what_is_found_is_the_same_token_and_the_last_that_was_said_of_it() {
        let front = Front::new(1_000);
        let mut last = HashMap::new();
        for n in 0..100_000 {
            let one = n * 7 % 5_000;
            if let Some(out) = front.offer(&token(one), said(one, n)) {
                assert!(out.of != one && last[&out.of] == out.last, "who made room is told by name");
            }
            last.insert(one, n);
            // Not let in, an earlier word of it must not stay either.
            assert!(front.find(&token(one), |_| true).is_none_or(|found| (found.of, found.last) == (one, n)));
        }
        let found =
            last.iter().filter(|(one, n)| front.find(&token(**one), |_| true).is_some_and(|found| found.last == **n));
        assert_eq!(found.count() as u64, front.room(), "it is full");
    }

    #[test]
    fn a_token_that_differs_before_its_tail_is_another() {
        let front = Front::new(1_000);
        let mut other = token(1);
        other[3] ^= 1;
        front.offer(&token(1), said(1, 1));
        assert!(front.find(&token(1), |_| true).is_some() && front.find(&other, |_| true).is_none());
        assert!(front.find(&token(1)[1..], |_| true).is_none());
        assert!(front.find(b"short", |_| true).is_none() && front.offer(b"short", said(2, 2)).is_none());
    }

    #[test]
    fn a_small_cache_has_none() {
        for (capacity, room) in [(0, 0), (15, 0), (16, 4), (100, 16), (1_000_000, 16_384)] {
            assert_eq!(Front::<Said>::new(capacity).room(), room);
        }
        let front = Front::new(1);
        assert!(front.find(&token(1), |_| true).is_none() && front.offer(&token(1), said(1, 1)).is_none());
    }

    /// The control is `find`, which does not ask.
    #[test]
    fn what_was_put_into_a_place_before_it_was_voided_does_not_stand() {
        let front: Front<Said> = Front::new(1_000);
        let stands = || front.find_standing(&token(1), |_| true).map(|found| found.last);
        let is_there = || front.find(&token(1), |_| true).map(|found| found.last);
        let mut places = Places::default();
        front.offer(&token(1), |place| {
            places.add(place);
            Some(Said { of: 1, last: 1 })
        });
        assert_eq!((stands(), is_there()), (Some(1), Some(1)));
        places.void_all();
        assert_eq!((stands(), is_there()), (None, Some(1)));
        front.offer(&token(1), said(1, 2));
        assert_eq!((stands(), is_there()), (Some(2), Some(2)), "judged anew");

        // On its way there.
        front.offer(&token(1), |place| {
            places.add(place);
            places.void_all();
            Some(Said { of: 1, last: 3 })
        });
        assert_eq!((stands(), is_there()), (None, Some(3)));
        front.offer(&token(1), |_| None);
        assert_eq!(is_there(), Some(3), "who thinks better of it leaves all as it was");
    }

    #[test]
    fn debug_shows_no_token() {
        assert_eq!(format!("{:?}", OfToken::new(7, b"secret")), "7");
    }

    #[test]
    fn a_set_is_one_cache_line() {
        assert_eq!(size_of::<Set<u64>>(), 64);
    }
}
