//! A node as far as its cache goes: tokens, the least recently used of which goes first; the sessions that they hold; and which
//! sessions are queued to be written.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{BuildHasherDefault, Hasher},
};

use super::random::mix;

pub struct Node {
    capacity: usize,
    /// Entries go so long after they came.
    token_lives: f64,
    tokens: Map<u64, usize>,
    entries: Vec<Entry>,
    free: Vec<usize>,
    by_age: VecDeque<(f64, u64)>,
    sessions: Map<u32, Held>,
    queued: HashSet<u32, BuildHasherDefault<Mixed>>,
    flushed_next: f64,
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mixed>>;

/// For keys that are numbers and nobody's choice.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0 ^ value);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// An entry of the list in the order of use. Its first element is a sentinel: `next` is the newest, `before` the oldest.
#[derive(Clone, Copy, Default)]
struct Entry {
    token: u64,
    came: f64,
    before: usize,
    next: usize,
}

/// A session that some token of this node holds.
pub struct Held {
    tokens: u32,
    pub read_again_at: f64,
    /// As it was read.
    pub generation: u32,
    pub seen: bool,
    /// The newest token that was used here.
    pub used: u32,
}

pub fn token(session: u32, generation: u32) -> u64 {
    u64::from(session) << 32 | u64::from(generation)
}

impl Node {
    pub fn new(capacity: usize, token_lives: f64, flushed_next: f64) -> Self {
        Self {
            capacity,
            token_lives,
            tokens: Map::default(),
            entries: vec![Entry::default()],
            free: Vec::new(),
            by_age: VecDeque::new(),
            sessions: Map::default(),
            queued: HashSet::default(),
            flushed_next,
        }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Looks a token up, or puts it in; its session, with no reading if it was not held.
    pub fn look_up(&mut self, session: u32, generation: u32, now: f64) -> &mut Held {
        self.expire(now);
        let token = token(session, generation);
        if let Some(&at) = self.tokens.get(&token) {
            self.unlink(at);
            self.link(at);
        } else {
            self.insert(token, now);
            // First held, then room made: the session's older token may be the one that goes.
            let blank = Held { tokens: 0, read_again_at: 0.0, generation: 0, seen: false, used: u32::MAX };
            self.sessions.entry(session).or_insert(blank).tokens += 1;
            if self.tokens.len() > self.capacity {
                self.remove(self.entries[0].before);
            }
        }
        self.sessions.get_mut(&session).expect("held by the token that was used just now")
    }

    /// Whether this is the session's first request since the last flush.
    pub fn queue(&mut self, session: u32, now: f64, interval: f64) -> bool {
        while now >= self.flushed_next {
            self.queued.clear();
            self.flushed_next += interval;
        }
        self.queued.insert(session)
    }

    fn expire(&mut self, now: f64) {
        while let Some(&(came, token)) = self.by_age.front().filter(|(came, _)| came + self.token_lives <= now) {
            self.by_age.pop_front();
            // Not if it was put out for want of room, and came again.
            if let Some(&at) = self.tokens.get(&token).filter(|at| self.entries[**at].came == came) {
                self.remove(at);
            }
        }
    }

    fn insert(&mut self, token: u64, now: f64) {
        let at = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            self.entries.len() - 1
        });
        self.entries[at] = Entry { token, came: now, ..Entry::default() };
        self.link(at);
        self.tokens.insert(token, at);
        self.by_age.push_back((now, token));
    }

    fn remove(&mut self, at: usize) {
        self.unlink(at);
        self.free.push(at);
        let token = self.entries[at].token;
        self.tokens.remove(&token);
        let session = (token >> 32) as u32;
        if let Some(held) = self.sessions.get_mut(&session) {
            held.tokens -= 1;
            if held.tokens == 0 {
                self.sessions.remove(&session);
            }
        }
    }

    fn link(&mut self, at: usize) {
        let newest = self.entries[0].next;
        (self.entries[at].before, self.entries[at].next) = (0, newest);
        self.entries[newest].before = at;
        self.entries[0].next = at;
    }

    fn unlink(&mut self, at: usize) {
        let Entry { before, next, .. } = self.entries[at];
        self.entries[before].next = next;
        self.entries[next].before = before;
    }
}
