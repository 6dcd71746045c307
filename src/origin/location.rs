//! Sources of places.

use std::net::IpAddr;

use crate::place::Location;

/// Tells where on earth an address is.
pub trait Locator: Send + Sync + 'static {
    /// Where this address is; `None` where that is not known.
    fn locate(&self, address: IpAddr) -> Option<Location>;
}
