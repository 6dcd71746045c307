//! Tokens whose signature has been checked, so that it is checked once and not on every request.

use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    sync::Arc,
};

use moka::{policy::EvictionPolicy, sync::Cache};
use siphasher::sip128::{Hasher128, SipHasher24};

/// What a token that verified was found to be.
///
/// Under a digest of 128 bits in place of the token, which is some 350 bytes: keyed at random and never told to anybody, so
/// whoever would make a token that is taken for another has one guess in 2^128 with each request. SipHash-2-4 is made for that
/// (Aumasson, Bernstein: "SipHash: a fast short-input PRF", which also gives its 128 bits).
pub(crate) struct TokenCache<T> {
    known: Cache<Digest, Arc<T>, InPlace>,
    key: [u8; 16],
}

/// A token in this cache's words. It takes a while to make: once for the look and for what is remembered after it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest(u64, u64);

impl<T: Send + Sync + 'static> TokenCache<T> {
    /// The least recently asked for go first: those that have expired before those in use. The default policy would refuse new
    /// ones while it is full.
    ///
    /// # Errors
    ///
    /// Where the operating system has no randomness.
    pub(crate) fn new(capacity: u64) -> Result<Self, getrandom::Error> {
        let mut key = [0; 16];
        getrandom::fill(&mut key)?;
        let known = Cache::builder().max_capacity(capacity).eviction_policy(EvictionPolicy::lru());
        Ok(Self { known: known.build_with_hasher(InPlace::default()), key })
    }

    pub(crate) fn get(&self, token: Digest) -> Option<Arc<T>> {
        self.known.get(&token)
    }

    pub(crate) fn insert(&self, token: Digest, known: Arc<T>) {
        self.known.insert(token, known);
    }

    pub(crate) fn digest(&self, token: &[u8]) -> Digest {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(token);
        let digest = hasher.finish128();
        Digest(digest.h1, digest.h2)
    }

    /// What is there now; a moment later there may be more. For the control of `sessions/keys.rs`.
    #[cfg(test)]
    pub(crate) fn forget_all(&self) {
        self.known.invalidate_all();
    }
}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// A digest is a hash already.
#[derive(Clone, Copy, Default)]
struct InPlace(u64);

impl BuildHasher for InPlace {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self::default()
    }
}

impl Hasher for InPlace {
    fn write(&mut self, bytes: &[u8]) {
        // Not used by a digest.
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The key would let others make digests that meet.
impl<T> fmt::Debug for TokenCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").finish_non_exhaustive()
    }
}
