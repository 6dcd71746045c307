//! Header forgeries, with and without trusted proxies. 203.0.113.9 is the client everywhere, 6.6.6.6 what it makes up.

use super::{TRUSTED, resolved};
use crate::origin::ClientIp;

/// Name, peer, header lines, answer.
type Case = (&'static str, &'static str, &'static [&'static str], &'static str);

fn check(from: &ClientIp, header: &str, cases: &[Case]) {
    let wrong: Vec<_> = cases
        .iter()
        .map(|(name, peer, lines, right)| (name, right, resolved(from, peer, header, lines)))
        .filter(|(_, right, found)| *right != found)
        .collect();
    assert!(wrong.is_empty(), "{header}: (case, right, found) {wrong:#?}");
}

#[test]
fn the_socket_believes_no_header() {
    for header in ["x-forwarded-for", "forwarded", "cf-connecting-ip", "x-real-ip"] {
        check(
            &ClientIp::socket(),
            header,
            &[
                ("no header", "203.0.113.9", &[], "203.0.113.9"),
                ("made up", "203.0.113.9", &["6.6.6.6"], "203.0.113.9"),
                ("made up, as Forwarded", "203.0.113.9", &["for=6.6.6.6"], "203.0.113.9"),
                ("from a private peer", "10.0.0.2", &["6.6.6.6"], "10.0.0.2"),
                ("from loopback", "127.0.0.1", &["6.6.6.6"], "127.0.0.1"),
                ("mapped peer", "::ffff:203.0.113.9", &["6.6.6.6"], "203.0.113.9"),
                ("IPv6 peer", "2001:db8::7", &["6.6.6.6"], "2001:db8::7"),
                ("no peer", "-", &["6.6.6.6"], "-"),
            ],
        );
    }
}

const X_FORWARDED_FOR: &[Case] = &[
    // The eleven of the comparison of other crates.
    ("direct, no header", "203.0.113.9", &[], "203.0.113.9"),
    ("direct, made up", "203.0.113.9", &["6.6.6.6"], "203.0.113.9"),
    ("prepended", "10.0.0.2", &["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
    ("a second line by the proxy", "10.0.0.2", &["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
    ("CDN and nginx", "10.0.0.2", &["6.6.6.6, 203.0.113.9, 173.245.48.5"], "203.0.113.9"),
    ("port (Azure)", "10.0.0.2", &["203.0.113.9:51413"], "203.0.113.9"),
    ("IPv6", "10.0.0.2", &["2001:db8::7"], "2001:db8::7"),
    ("IPv6 with a port", "10.0.0.2", &["[2001:db8::7]:443"], "2001:db8::7"),
    ("mapped peer", "::ffff:10.0.0.2", &["203.0.113.9"], "203.0.113.9"),
    ("garbage on the right", "10.0.0.2", &["6.6.6.6, nonsense"], "10.0.0.2"),
    ("empty", "10.0.0.2", &[""], "10.0.0.2"),
    // Who is believed.
    ("no peer", "-", &["203.0.113.9"], "-"),
    ("no header", "10.0.0.2", &[], "10.0.0.2"),
    ("beside the trusted network", "11.0.0.2", &["6.6.6.6"], "11.0.0.2"),
    ("untrusted IPv6 peer", "2001:db8::9", &["6.6.6.6"], "2001:db8::9"),
    ("trusted IPv6 peer", "fd00::2", &["203.0.113.9"], "203.0.113.9"),
    ("a trusted address made up", "203.0.113.9", &["10.0.0.3"], "203.0.113.9"),
    ("a trusted address prepended", "10.0.0.2", &["10.9.9.9, 203.0.113.9"], "203.0.113.9"),
    ("a chain made up", "10.0.0.2", &["6.6.6.6, 10.0.0.3, 203.0.113.9, 10.0.0.4"], "203.0.113.9"),
    ("only trusted", "10.0.0.2", &["10.1.1.1, 10.0.0.3"], "10.1.1.1"),
    ("only trusted, two lines", "10.0.0.2", &["10.1.1.1", "10.0.0.3"], "10.1.1.1"),
    // Several lines.
    ("two lines, client on both", "10.0.0.2", &["6.6.6.6, 6.6.6.7", "203.0.113.9, 10.0.0.3"], "203.0.113.9"),
    ("two lines, the last one trusted", "10.0.0.2", &["6.6.6.6, 203.0.113.9", "173.245.48.5"], "203.0.113.9"),
    ("an empty line between", "10.0.0.2", &["203.0.113.9", "", "10.0.0.3"], "203.0.113.9"),
    ("the first line garbage", "10.0.0.2", &["\"", "203.0.113.9"], "203.0.113.9"),
    // Garbage.
    ("garbage on the left", "10.0.0.2", &["nonsense, 203.0.113.9"], "203.0.113.9"),
    ("garbage behind a trusted hop", "10.0.0.2", &["6.6.6.6, nonsense, 173.245.48.5"], "173.245.48.5"),
    ("unknown (Squid)", "10.0.0.2", &["unknown, 173.245.48.5"], "173.245.48.5"),
    ("a name", "10.0.0.2", &["6.6.6.6, example.com"], "10.0.0.2"),
    ("a socket's path (nginx)", "10.0.0.2", &["6.6.6.6, unix:"], "10.0.0.2"),
    ("leading zeros", "10.0.0.2", &["203.0.113.009"], "10.0.0.2"),
    ("a number for an address", "10.0.0.2", &["3405803785"], "10.0.0.2"),
    ("a network", "10.0.0.2", &["203.0.113.0/24"], "10.0.0.2"),
    ("a zone", "10.0.0.2", &["fe80::1%eth0"], "10.0.0.2"),
    ("a zone in brackets", "10.0.0.2", &["[fe80::1%25eth0]:80"], "10.0.0.2"),
    ("IPv4 in brackets", "10.0.0.2", &["[203.0.113.9]"], "10.0.0.2"),
    ("a bracket left open", "10.0.0.2", &["[2001:db8::7"], "10.0.0.2"),
    ("text after the bracket", "10.0.0.2", &["[2001:db8::7]x"], "10.0.0.2"),
    ("a port that is none", "10.0.0.2", &["203.0.113.9:http"], "10.0.0.2"),
    ("a port too long", "10.0.0.2", &["203.0.113.9:123456"], "10.0.0.2"),
    ("two ports", "10.0.0.2", &["203.0.113.9:1:2"], "10.0.0.2"),
    ("not UTF-8 beside", "10.0.0.2", &["\u{fffd}, 203.0.113.9"], "203.0.113.9"),
    ("separated by spaces", "10.0.0.2", &["6.6.6.6 203.0.113.9"], "10.0.0.2"),
    // Forms.
    ("spaces and tabs", "10.0.0.2", &[" 6.6.6.6 ,\t203.0.113.9\t , 10.0.0.3  "], "203.0.113.9"),
    ("no spaces", "10.0.0.2", &["6.6.6.6,203.0.113.9,10.0.0.3"], "203.0.113.9"),
    ("empty elements", "10.0.0.2", &[",, 203.0.113.9, , 10.0.0.3,,"], "203.0.113.9"),
    ("only commas", "10.0.0.2", &[", ,,"], "10.0.0.2"),
    ("quoted", "10.0.0.2", &["\"203.0.113.9\""], "203.0.113.9"),
    ("quoted, brackets and port", "10.0.0.2", &["\"[2001:db8::7]:443\""], "2001:db8::7"),
    ("brackets alone", "10.0.0.2", &["[2001:db8::7]"], "2001:db8::7"),
    ("mapped", "10.0.0.2", &["::ffff:203.0.113.9"], "203.0.113.9"),
    ("mapped, brackets and port", "10.0.0.2", &["[::ffff:203.0.113.9]:80"], "203.0.113.9"),
    ("mapped and trusted", "10.0.0.2", &["203.0.113.9, ::ffff:10.0.0.3"], "203.0.113.9"),
    ("IPv6 in upper case", "10.0.0.2", &["2001:DB8:0:0::7"], "2001:db8::7"),
];

#[test]
fn x_forwarded_for() {
    check(&ClientIp::x_forwarded_for(TRUSTED).unwrap(), "x-forwarded-for", X_FORWARDED_FOR);
}

#[test]
fn no_more_hops_are_looked_at_than_can_be_real() {
    let from = ClientIp::x_forwarded_for(TRUSTED).unwrap();
    let chain = |hops: usize| format!("203.0.113.9{}", ", 10.0.0.3".repeat(hops));
    assert_eq!(resolved(&from, "10.0.0.2", "x-forwarded-for", &[&chain(63)]), "203.0.113.9");
    assert_eq!(resolved(&from, "10.0.0.2", "x-forwarded-for", &[&chain(64)]), "10.0.0.3");
    let commas = format!("203.0.113.9{}", ",".repeat(64));
    assert_eq!(resolved(&from, "10.0.0.2", "x-forwarded-for", &[&commas]), "10.0.0.2", "empty ones count");
}

const FORWARDED: &[Case] = &[
    // RFC 7239 §4, §6, §7.1, with the proxy's own element where the example has none.
    ("§4: obfuscated", "10.0.0.2", &["for=\"_gazonk\""], "10.0.0.2"),
    ("§4: IPv6 with a port", "10.0.0.2", &["For=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
    ("§4: parameters", "10.0.0.2", &["for=192.0.2.60;proto=http;by=203.0.113.43"], "192.0.2.60"),
    ("§4: two elements", "10.0.0.2", &["for=192.0.2.43, for=198.51.100.17"], "198.51.100.17"),
    ("§6: port", "10.0.0.2", &["for=\"192.0.2.43:47011\""], "192.0.2.43"),
    ("§6.1: brackets", "10.0.0.2", &["for=\"[2001:db8:cafe::17]:47011\""], "2001:db8:cafe::17"),
    ("§6.2: unknown", "10.0.0.2", &["for=6.6.6.6, for=unknown"], "10.0.0.2"),
    ("§6.2: Unknown", "10.0.0.2", &["for=Unknown"], "10.0.0.2"),
    ("§6.3: hidden", "10.0.0.2", &["for=6.6.6.6, for=_hidden, for=173.245.48.5"], "173.245.48.5"),
    ("§6.3: _SEVKISEK", "10.0.0.2", &["for=_SEVKISEK;by=203.0.113.43"], "10.0.0.2"),
    ("§6.2: obfuscated port", "10.0.0.2", &["for=\"192.0.2.43:_port-1\""], "192.0.2.43"),
    ("§7.1: one line", "10.0.0.2", &["for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown"], "10.0.0.2"),
    ("§7.1: lines", "10.0.0.2", &["for=192.0.2.43", "for=\"[2001:db8:cafe::17]\""], "2001:db8:cafe::17"),
    // Who is believed.
    ("no peer", "-", &["for=203.0.113.9"], "-"),
    ("no header", "10.0.0.2", &[], "10.0.0.2"),
    ("untrusted peer", "203.0.113.9", &["for=6.6.6.6"], "203.0.113.9"),
    ("mapped peer", "::ffff:10.0.0.2", &["for=203.0.113.9"], "203.0.113.9"),
    ("prepended", "10.0.0.2", &["for=6.6.6.6, for=203.0.113.9"], "203.0.113.9"),
    ("a line prepended", "10.0.0.2", &["for=6.6.6.6", "for=203.0.113.9"], "203.0.113.9"),
    ("two hops", "10.0.0.2", &["for=6.6.6.6, for=203.0.113.9, for=173.245.48.5;proto=https"], "203.0.113.9"),
    ("only trusted", "10.0.0.2", &["for=10.1.1.1, for=10.0.0.3"], "10.1.1.1"),
    ("X-Forwarded-For's form", "10.0.0.2", &["6.6.6.6"], "10.0.0.2"),
    // Quotes: what the client leaves open must not swallow the proxy's part.
    ("quote left open before", "10.0.0.2", &["for=\"6.6.6.6, for=203.0.113.9"], "203.0.113.9"),
    ("quote left open on a line before", "10.0.0.2", &["for=\"6.6.6.6", "for=203.0.113.9"], "203.0.113.9"),
    ("backslash at the end before", "10.0.0.2", &["for=\"6.6.6.6\\, for=\"[2001:db8::7]\""], "2001:db8::7"),
    ("comma in quotes", "10.0.0.2", &["for=203.0.113.9;host=\"a, for=6.6.6.6\""], "203.0.113.9"),
    ("semicolon in quotes", "10.0.0.2", &["host=\"a;for=6.6.6.6;\";for=203.0.113.9"], "203.0.113.9"),
    ("escaped quote in quotes", "10.0.0.2", &["host=\"a\\\", for=6.6.6.6\";for=203.0.113.9"], "203.0.113.9"),
    ("comma before an escaped quote", "10.0.0.2", &["for=203.0.113.9;host=\"a, for=6.6.6.6\\\";b\""], "203.0.113.9"),
    ("escaped backslash in quotes", "10.0.0.2", &["for=6.6.6.6,host=\"a\\\\\";for=203.0.113.9"], "203.0.113.9"),
    ("escapes in the address", "10.0.0.2", &["for=\"203.0.113\\.9\""], "203.0.113.9"),
    ("quote left open at the end", "10.0.0.2", &["for=6.6.6.6, for=\"203.0.113.9"], "10.0.0.2"),
    ("quote in the middle", "10.0.0.2", &["for=203.0\".113.9"], "10.0.0.2"),
    ("text after the quote", "10.0.0.2", &["for=\"203.0.113.9\"x"], "10.0.0.2"),
    // Elements.
    ("without for", "10.0.0.2", &["for=6.6.6.6, proto=https;by=10.0.0.2"], "10.0.0.2"),
    ("without for, behind a hop", "10.0.0.2", &["for=6.6.6.6, proto=https, for=173.245.48.5"], "173.245.48.5"),
    ("for twice", "10.0.0.2", &["for=6.6.6.6;for=203.0.113.9"], "10.0.0.2"),
    ("a pair without value", "10.0.0.2", &["for"], "10.0.0.2"),
    ("an empty value", "10.0.0.2", &["for="], "10.0.0.2"),
    ("empty quotes", "10.0.0.2", &["for=\"\""], "10.0.0.2"),
    ("upper case, last parameter", "10.0.0.2", &["Proto=https;FOR=203.0.113.9"], "203.0.113.9"),
    ("spaces, empty pairs", "10.0.0.2", &[" ; for=203.0.113.9 ;; proto=http ; "], "203.0.113.9"),
    ("empty elements", "10.0.0.2", &[", for=203.0.113.9,, ,"], "203.0.113.9"),
    ("a name that ends in for", "10.0.0.2", &["x-for=6.6.6.6;for=203.0.113.9"], "203.0.113.9"),
    ("unquoted port, as many write it", "10.0.0.2", &["for=203.0.113.9:80"], "203.0.113.9"),
    ("mapped", "10.0.0.2", &["for=\"[::ffff:203.0.113.9]\""], "203.0.113.9"),
];

#[test]
fn forwarded() {
    check(&ClientIp::forwarded(TRUSTED).unwrap(), "forwarded", FORWARDED);
}

#[test]
fn a_header_of_the_platform() {
    let cases: &[Case] = &[
        ("no peer", "-", &["203.0.113.9"], "-"),
        ("no header", "173.245.48.5", &[], "173.245.48.5"),
        ("the platform", "173.245.48.5", &["203.0.113.9"], "203.0.113.9"),
        ("around the platform", "203.0.113.9", &["6.6.6.6"], "203.0.113.9"),
        ("mapped peer", "::ffff:173.245.48.5", &["203.0.113.9"], "203.0.113.9"),
        ("IPv6", "173.245.48.5", &["2001:db8::7"], "2001:db8::7"),
        ("mapped", "173.245.48.5", &["::ffff:203.0.113.9"], "203.0.113.9"),
        ("spaces", "173.245.48.5", &["  203.0.113.9\t"], "203.0.113.9"),
        ("port", "173.245.48.5", &["203.0.113.9:443"], "203.0.113.9"),
        ("brackets and port", "173.245.48.5", &["[2001:db8::7]:443"], "2001:db8::7"),
        ("twice: added to, not overwritten", "173.245.48.5", &["6.6.6.6", "203.0.113.9"], "173.245.48.5"),
        ("twice the same", "173.245.48.5", &["203.0.113.9", "203.0.113.9"], "173.245.48.5"),
        ("a list: added to, not overwritten", "173.245.48.5", &["6.6.6.6, 203.0.113.9"], "173.245.48.5"),
        ("garbage", "173.245.48.5", &["nonsense"], "173.245.48.5"),
        ("empty", "173.245.48.5", &[""], "173.245.48.5"),
        ("a trusted address", "173.245.48.5", &["10.0.0.7"], "10.0.0.7"),
    ];
    for name in ["CF-Connecting-IP", "fly-client-ip", "True-Client-IP", "X-Real-IP"] {
        check(&ClientIp::header(name, TRUSTED).unwrap(), &name.to_ascii_lowercase(), cases);
    }
    let other = ClientIp::header("CF-Connecting-IP", TRUSTED).unwrap();
    assert_eq!(resolved(&other, "10.0.0.2", "x-forwarded-for", &["6.6.6.6"]), "10.0.0.2", "no other header counts");
}
