//! The country in a trusted proxy's header.

use super::{Lines, TRUSTED, ip};
use crate::origin::ClientIp;

fn country(peer: Option<&str>, lines: &[&str]) -> Option<String> {
    let from = ClientIp::header("CF-Connecting-IP", TRUSTED).unwrap().country_header("CF-IPCountry").unwrap();
    from.country(peer.map(ip), &Lines::of("cf-ipcountry", lines)).map(|code| String::from_utf8(code.into()).unwrap())
}

#[test]
fn a_trusted_proxy_tells_the_country() {
    assert_eq!(country(Some("10.0.0.2"), &["DE"]).as_deref(), Some("DE"));
    assert_eq!(country(Some("::ffff:10.0.0.2"), &[" de "]).as_deref(), Some("DE"));
    assert_eq!(country(Some("10.0.0.2"), &["XK"]).as_deref(), Some("XK"), "Kosovo");
}

#[test]
fn nobody_else_does() {
    assert_eq!(country(Some("203.0.113.9"), &["DE"]), None);
    assert_eq!(country(None, &["DE"]), None);
    let without = ClientIp::header("CF-Connecting-IP", TRUSTED).unwrap();
    assert_eq!(without.country(Some(ip("10.0.0.2")), &Lines::of("cf-ipcountry", &["DE"])), None, "not asked for");
    assert_eq!(ClientIp::socket().country(Some(ip("10.0.0.2")), &Lines::of("cf-ipcountry", &["DE"])), None);
}

#[test]
fn placeholders_and_garbage_are_no_country() {
    for unknown in
        ["XX", "xx", "T1", "ZZ", "AP", "EU", "A1", "A2", "O1", "", "D", "DEU", "D E", "Д", "ДЕ", "D\u{e4}", "--"]
    {
        assert_eq!(country(Some("10.0.0.2"), &[unknown]), None, "{unknown:?}");
    }
    assert_eq!(country(Some("10.0.0.2"), &["DE", "FR"]), None, "added to, not overwritten");
    assert_eq!(country(Some("10.0.0.2"), &["DE, FR"]), None);
    assert_eq!(country(Some("10.0.0.2"), &[]), None);
}
