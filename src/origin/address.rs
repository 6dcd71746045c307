//! The address of the client, by an explicit choice of who is believed.

use std::net::IpAddr;

use crate::fields::Fields;

/// Where the address of a client is taken from.
#[derive(Clone, Debug, Default)]
pub struct ClientIp {}

impl ClientIp {
    /// The address of a request that came over a connection from `peer`.
    pub(crate) fn resolve(&self, peer: Option<IpAddr>, _fields: &dyn Fields) -> Option<IpAddr> {
        peer.map(|peer| peer.to_canonical())
    }

    /// The ISO 3166-1 alpha-2 code of the country in which a trusted proxy says that the client is.
    pub(crate) fn country(&self, _peer: Option<IpAddr>, _fields: &dyn Fields) -> Option<String> {
        None
    }
}
