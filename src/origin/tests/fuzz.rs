//! Whatever a client sends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::{collection::vec, prelude::*, test_runner::TestCaseResult};

use super::{Lines, TRUSTED, ip};
use crate::origin::ClientIp;

const PROXY: &str = "10.0.0.2";
const HEADERS: [&str; 4] = ["x-forwarded-for", "forwarded", "cf-connecting-ip", "cf-ipcountry"];

fn every_choice() -> [ClientIp; 3] {
    [
        ClientIp::x_forwarded_for(TRUSTED).unwrap(),
        ClientIp::forwarded(TRUSTED).unwrap(),
        ClientIp::header("CF-Connecting-IP", TRUSTED).unwrap().country_header("CF-IPCountry").unwrap(),
    ]
}

/// Arbitrary bytes, and such as come close to what is read.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let close = "( |,|;|\"|\\\\|for=|by=|For=\"|\\[|\\]|:|\\.|_x|unknown|DE|10\\.0\\.0\\.3|6\\.6\\.6\\.6|2001:db8::6|[0-9a-f]){0,24}";
    prop_oneof![vec(any::<u8>(), 0..64), close.prop_map(String::into_bytes)]
}

/// The same without bytes that end a header line.
fn line() -> impl Strategy<Value = Vec<u8>> {
    value().prop_map(|mut value| {
        value.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
        value
    })
}

/// An address in none of the trusted networks.
fn client() -> impl Strategy<Value = IpAddr> {
    let v4 = any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
    let v6 = any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
    prop_oneof![v4, v6].prop_filter("trusted", |address| {
        let trusts = |network: &str| network.parse::<crate::network::Network>().unwrap().contains(*address);
        !TRUSTED.into_iter().any(trusts)
    })
}

/// What a proxy writes down for an address.
fn written(header: &str, address: IpAddr, port: Option<u16>) -> String {
    let node = match (address, port) {
        (IpAddr::V4(address), Some(port)) => format!("{address}:{port}"),
        (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
        (IpAddr::V6(address), None) if header == "forwarded" => format!("[{address}]"),
        (address, None) => address.to_string(),
    };
    if header == "forwarded" { format!("for=\"{node}\"") } else { node }
}

/// The client's own lines, the last of them continued by the proxies: each appends who called it.
fn request(header: &str, mut forged: Vec<Vec<u8>>, appended: &[String], new_line: bool) -> Lines {
    let appended = appended.join(", ").into_bytes();
    match forged.last_mut().filter(|_| !new_line) {
        Some(last) => {
            last.extend_from_slice(b", ");
            last.extend_from_slice(&appended);
        }
        None => forged.push(appended),
    }
    Lines(forged.into_iter().map(|line| (header.to_owned(), line)).collect())
}

fn what_a_client_prepends_changes_nothing(
    from: &ClientIp,
    header: &str,
    forged: Vec<Vec<u8>>,
    (client, port): (IpAddr, Option<u16>),
    hops: usize,
    new_line: bool,
) -> TestCaseResult {
    let mut appended = vec![written(header, client, port)];
    appended.extend((0..hops).map(|hop| written(header, ip(&format!("10.0.1.{hop}")), None)));
    let lines = request(header, forged, &appended, new_line);
    prop_assert_eq!(from.resolve(Some(ip(PROXY)), &lines), Some(client.to_canonical()), "{:?}", lines);
    Ok(())
}

proptest! {
    #[test]
    fn the_socket_believes_nothing(values in vec((0..HEADERS.len(), value()), 0..6), peer in client()) {
        let lines = Lines(values.into_iter().map(|(header, value)| (HEADERS[header].to_owned(), value)).collect());
        prop_assert_eq!(ClientIp::socket().resolve(Some(peer), &lines), Some(peer.to_canonical()));
        prop_assert_eq!(ClientIp::socket().country(Some(peer), &lines), None);
        for choice in every_choice() {
            // Nor does any other choice without a trusted peer.
            prop_assert_eq!(choice.resolve(Some(peer), &lines), Some(peer.to_canonical()));
            prop_assert_eq!(choice.resolve(None, &lines), None);
            prop_assert_eq!(choice.country(Some(peer), &lines), None);
            // Nothing panics, and a trusted peer never makes the address unknown.
            prop_assert!(choice.resolve(Some(ip(PROXY)), &lines).is_some());
            let country = choice.country(Some(ip(PROXY)), &lines);
            prop_assert!(country.is_none_or(|code| code.iter().all(u8::is_ascii_uppercase)));
        }
    }

    #[test]
    fn what_stands_before_the_clients_address_does_not_matter(
        forged in vec(line(), 0..4), client in client(), port: Option<u16>, hops in 0..4_usize, new_line: bool,
    ) {
        let [xff, forwarded, _] = every_choice();
        let seen = (client, port);
        what_a_client_prepends_changes_nothing(&xff, "x-forwarded-for", forged.clone(), seen, hops, new_line)?;
        what_a_client_prepends_changes_nothing(&forwarded, "forwarded", forged, seen, hops, new_line)?;
    }

    #[test]
    fn no_address_of_the_client_alone_comes_out(
        forged in vec(line(), 0..4), garbage in "[a-z_%/]{1,12}", hops in 0..4_usize,
    ) {
        // The proxy next to the client writes down what cannot be read: then it is all that is known.
        let [xff, forwarded, _] = every_choice();
        for (from, header) in [(xff, "x-forwarded-for"), (forwarded, "forwarded")] {
            let mut appended = vec![if header == "forwarded" { format!("for={garbage}") } else { garbage.clone() }];
            appended.extend((0..hops).map(|hop| written(header, ip(&format!("10.0.1.{hop}")), None)));
            let lines = request(header, forged.clone(), &appended, false);
            let known = if hops == 0 { PROXY } else { "10.0.1.0" };
            prop_assert_eq!(from.resolve(Some(ip(PROXY)), &lines), Some(ip(known)), "{:?}", lines);
        }
    }
}
