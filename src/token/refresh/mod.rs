//! Refresh tokens.

mod rule;
#[cfg(test)]
mod rule_tests;
mod secret;
mod tokens;

#[cfg(feature = "postgres")]
pub(crate) use rule::Rotation;
pub(crate) use rule::{
    Cause, Confirmation, DbTime, Decision, Reuse, Settings, State, below_floor, confirm, refresh, rotate_by_server,
};
pub(crate) use secret::{Seal, ServerSecrets};
pub(crate) use tokens::RefreshTokens;

use time::OffsetDateTime;

use crate::session::Generations;

impl From<OffsetDateTime> for DbTime {
    fn from(at: OffsetDateTime) -> Self {
        Self(i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX))
    }
}

impl State {
    /// What validation needs of it.
    pub(crate) fn generations(&self) -> Generations {
        Generations {
            current: self.current,
            seen: self.rotation.is_none_or(|made| made.seen),
            at_floor: self.at_floor,
            at_root: self.at_root,
        }
    }
}
