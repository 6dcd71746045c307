//! What of a source's answer is kept, and of what it is asked.

use std::net::IpAddr;

use super::ip;
use crate::{
    origin::{
        Locator,
        location::{cleaned, is_public, of_country},
    },
    place::{Location, Position},
};

fn city(name: &str) -> Location {
    Location { city: Some(name.to_owned()), ..Location::default() }
}

fn at(latitude: f64, longitude: f64) -> Option<Position> {
    Some(Position { latitude, longitude, accuracy_km: None })
}

#[test]
fn a_closure_is_a_source() {
    let source: Box<dyn Locator> = Box::new(|address: IpAddr| address.is_ipv4().then(|| city("Berlin")));
    assert_eq!(source.locate(ip("203.0.113.9")), Some(city("Berlin")));
    assert_eq!(source.locate(ip("2001:db8::7")), None);
}

#[test]
fn names_are_fit_to_be_shown() {
    let kept = |name: &str| cleaned(city(name)).city;
    let cases = [
        ("Moscow", Some("Moscow")),
        ("  São Paulo ", Some("São Paulo")),
        ("北京", Some("北京")),
        ("New\r\nYork\u{2028}City", Some("New York City")),
        ("a\u{1b}[31mb\0", Some("a [31mb")),
        ("\u{202e}nilreB\u{202c}", Some("nilreB")),
        ("\u{2066}x\u{2069}\u{200e}\u{200f}\u{61c}\u{feff}", Some("x")),
        ("می\u{200c}روم", Some("می\u{200c}روم")),
        ("", None),
        (" \t\u{202e}\u{7f} ", None),
    ];
    for (name, right) in cases {
        assert_eq!(kept(name).as_deref(), right, "{name:?}");
    }
    assert_eq!(kept(&"é".repeat(65)), Some("é".repeat(64)));
    assert_eq!(kept(&format!("{} b", "a".repeat(63))), Some("a".repeat(63)), "no space at the end");
    assert_eq!(kept(&format!("{}b", "\u{202e}".repeat(100))).as_deref(), Some("b"));
}

#[test]
fn a_code_is_two_letters() {
    let kept =
        |code: &str| cleaned(Location { country_code: Some(code.to_owned()), ..Location::default() }).country_code;
    assert_eq!(kept(" ru ").as_deref(), Some("RU"));
    for wrong in ["", "R", "RUS", "R1", "Рф", "\u{202e}U", "R\0"] {
        assert_eq!(kept(wrong), None, "{wrong:?}");
    }
}

#[test]
fn a_position_is_on_the_globe() {
    let kept = |position, name: Option<&str>| {
        cleaned(Location { position, city: name.map(str::to_owned), ..Location::default() }).position
    };
    assert_eq!(kept(at(55.75, 37.62), None), at(55.75, 37.62));
    for wrong in [at(f64::NAN, 0.0), at(0.0, f64::INFINITY), at(90.1, 0.0), at(0.0, -180.1)] {
        assert_eq!(kept(wrong, Some("Berlin")), None, "{wrong:?}");
    }
    assert_eq!(kept(at(0.0, -0.0), None), None, "null island");
    assert_eq!(kept(at(0.0, 0.0), Some("\u{202e}")), None, "a city without a name");
    assert_eq!(kept(at(0.0, 0.0), Some("Buoy")), at(0.0, 0.0), "somebody means it");
    assert_eq!(kept(at(0.0, 37.6), None), at(0.0, 37.6), "on the equator");
}

#[test]
fn a_code_alone_gets_its_countrys_name() {
    let name = |code: &str| of_country(code).text();
    let cases = [
        ("RU", "Russia"),
        ("gb", "United Kingdom"),
        ("US", "United States"),
        ("DE", "Germany"),
        ("KR", "South Korea"),
        ("BO", "Bolivia"),
        ("TW", "Taiwan"),
        ("CI", "Côte d’Ivoire"),
        ("BA", "Bosnia and Herzegovina"),
        ("XK", "Kosovo"),
        ("AQ", "Antarctica"),
        ("QQ", "QQ"),
    ];
    for (code, right) in cases {
        assert_eq!(name(code).as_deref(), Some(right), "{code}");
    }
    assert_eq!(of_country("gb").country_code.as_deref(), Some("GB"));
    assert_eq!(of_country("Russia"), Location::default());
}

#[test]
fn addresses_that_are_nowhere_are_not_looked_up() {
    let nowhere = "
        0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.9.9.9 169.254.1.1
        172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.9 192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1
        198.19.255.255 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::ffff:10.0.0.1
        ::ffff:127.0.0.1 ::10.0.0.1 ::8.8.8.8 64:ff9b::10.0.0.1 64:ff9b:1::1 100::1 2001::1 2001:2::1 2001:10::1
        2001:20::1 2001:1ff:ffff::1 2002:a00:1::1 2002:c0a8:101::1 4000::1 5f00::1 fc00::1 fd12:3456::1 fe80::1
        febf::1 fec0::1 ff02::1
    ";
    let somewhere = "
        1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
        169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.167.255.255
        192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2001:200::1
        2001:4860:4860::8888 2002:808:808::1 2400:cb00::1 2a00::1 3fff:ffff::1 192.0.2.1 198.51.100.7 203.0.113.9
        2001:db8::7
    ";
    for address in nowhere.split_whitespace() {
        assert!(!is_public(ip(address)), "{address}");
    }
    // The last four are for documentation.
    for address in somewhere.split_whitespace() {
        assert!(is_public(ip(address)), "{address}");
    }
}
