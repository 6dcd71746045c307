//! What was read, and when.

use std::sync::Arc;

use super::lease::LeaseCell;
use crate::{clock::Tick, policy::Deadlines, session::Session};

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
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "rows are the rule; a box would cost each hit a second jump")]
pub(crate) enum Known {
    /// No such row.
    Missing,
    /// A row, ended or not.
    Row { session: Session, deadlines: Deadlines },
}
