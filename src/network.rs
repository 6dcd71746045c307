//! Ranges of addresses.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

use crate::error::{Error, ErrorKind};

/// A range of addresses: `203.0.113.0/24`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Every address of its kind.
    pub(crate) fn is_everyone(&self) -> bool {
        self.0.prefix_len() == 0
    }
}

/// Whether this host of a URL, brackets and all, is the very machine: what is sent there goes over no network.
#[cfg(any(feature = "jwks", feature = "webhook", feature = "fcm", feature = "apns", feature = "email"))]
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// IPv4 inside of IPv6 (`::ffff:10.0.0.0/104`) is IPv4: addresses are compared in that form.
fn canonical(network: IpNet) -> IpNet {
    let mapped = || {
        let inner = network.network().to_canonical();
        IpNet::new(inner, network.prefix_len().checked_sub(96)?).ok().filter(|_| inner.is_ipv4())
    };
    if network.addr().is_ipv6() { mapped().unwrap_or(network) } else { network }
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(|network| Self(canonical(network.trunc()))).map_err(|_| {
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
        assert_eq!(parse("::ffff:10.1.2.3/104").unwrap(), "10.0.0.0/8", "IPv4 inside of IPv6");
        assert_eq!(parse("::ffff:10.1.2.3").unwrap(), "10.1.2.3/32");
        assert_eq!(parse("::/0").unwrap(), "::/0");
        for wrong in ["", "203.0.113", "203.0.113.0/33", "everyone", "10.0.0.0/8 ", "0x7f.1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_is_compared_as_what_it_is() {
        let network: Network = "::ffff:10.0.0.0/104".parse().unwrap();
        for inside in ["10.9.9.9", "::ffff:10.9.9.9"] {
            assert!(network.contains(inside.parse().unwrap()), "{inside}");
        }
        assert!(!network.contains("11.0.0.1".parse().unwrap()));
        assert!(!"::/0".parse::<Network>().unwrap().contains("10.0.0.1".parse().unwrap()), "IPv4 is no IPv6");
    }
}
