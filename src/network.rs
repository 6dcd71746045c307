//! Ranges of addresses.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

use crate::error::{Error, ErrorKind};

/// A range of addresses: `203.0.113.0/24`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(|network| Self(network.trunc())).map_err(|_| {
            Error::new(ErrorKind::InvalidInput, "a network is an address, or an address and a prefix: 203.0.113.0/24")
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_or_a_range() {
        let parse = |text: &str| text.parse::<Network>().map(|network| network.to_string());
        assert_eq!(parse("203.0.113.7/24").unwrap(), "203.0.113.0/24", "host bits do not matter");
        assert_eq!(parse("203.0.113.7").unwrap(), "203.0.113.7/32");
        assert_eq!(parse("2001:db8::/32").unwrap(), "2001:db8::/32");
        for wrong in ["", "203.0.113", "203.0.113.0/33", "everyone", "10.0.0.0/8 ", "0x7f.1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
