//! What was read, and when.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{lease::LeaseCell, row::Row};
use crate::clock::Tick;

/// What one read of a row found. Never changed; a newer one takes its place.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) known: Known,
    /// Before its query was sent.
    pub(crate) started: Tick,
    /// The lease that was current then.
    pub(crate) cell: Arc<LeaseCell>,
    /// However well the lease holds (`max_age`).
    pub(crate) read_again_at: Tick,
    /// Its number, once it stands.
    number: AtomicU64,
}

#[derive(Debug)]
pub(crate) enum Known {
    /// No such row.
    Missing,
    /// A row, ended or not.
    Row(Row),
}

impl Reading {
    pub(super) const fn new(known: Known, started: Tick, cell: Arc<LeaseCell>, read_again_at: Tick) -> Self {
        Self { known, started, cell, read_again_at, number: AtomicU64::new(NONE) }
    }

    /// Its number, if it has ever been what its state holds.
    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    /// Before its state shows it.
    pub(super) fn stand_as(&self, number: u64) {
        self.number.store(number, Ordering::Relaxed);
    }
}

/// Of a reading that has not been stored: no such number ever stands.
const NONE: u64 = u64::MAX;
