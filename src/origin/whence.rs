//! Where one request comes from.

use std::{
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{
    address::ClientIp,
    location::{Locator, cleaned, is_public, of_country},
};
use crate::{fields::Fields, place::Location};

/// Where a request comes from, by those whose word on it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Whence {
    pub(crate) ip_address: Option<IpAddr>,
    /// The two letters of the country, where a trusted proxy names it. Not as text: many of these wait to be written down.
    pub(crate) country: Option<[u8; 2]>,
}

impl Whence {
    /// Of a request with these fields, over a connection from `peer`.
    pub(crate) fn of(client_ip: &ClientIp, peer: Option<IpAddr>, fields: &dyn Fields) -> Self {
        Self { ip_address: client_ip.resolve(peer, fields), country: client_ip.country(peer, fields) }
    }

    /// Where on earth that is, if anybody knows.
    pub(crate) fn located(&self, locator: Option<&dyn Locator>) -> Option<Location> {
        let by_address = || {
            let address = self.ip_address.filter(|address| is_public(*address))?;
            asked(locator?, address).map(cleaned).filter(|place| *place != Location::default())
        };
        by_address().or_else(|| Some(of_country(str::from_utf8(self.country.as_ref()?).ok()?)))
    }
}

/// It is the application's, and what it is asked by goes on whatever becomes of it: a sign-in, and the task that writes
/// activity for all sessions.
fn asked(locator: &dyn Locator, address: IpAddr) -> Option<Location> {
    catch_unwind(AssertUnwindSafe(|| locator.locate(address))).unwrap_or_else(|_panic| {
        tracing::error!("the locator panicked: a place stays unknown");
        None
    })
}
