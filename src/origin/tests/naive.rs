//! What is often written instead. Each gives the forger's address where ours does not: so the matrix has teeth.

use std::net::IpAddr;

use super::{TRUSTED, resolved};
use crate::origin::ClientIp;

fn leftmost(lines: &[&str]) -> Option<IpAddr> {
    lines.first()?.split(',').next()?.trim().parse().ok()
}

fn rightmost_of_the_first_line(lines: &[&str]) -> Option<IpAddr> {
    lines.first()?.rsplit(',').next()?.trim().parse().ok()
}

/// Takes the first parameter that there is, as many examples do.
fn first_for_anywhere(lines: &[&str]) -> Option<IpAddr> {
    lines.join(",").split("for=").nth(1)?.split([',', ';']).next()?.parse().ok()
}

type Naive = fn(&[&str]) -> Option<IpAddr>;
/// Name, our own choice, header, what is fooled, header lines, answer.
type Case<'a> = (&'a str, &'a ClientIp, &'a str, &'a [(&'a str, Naive)], &'a [&'a str], &'a str);

#[test]
fn a_naive_reading_gives_the_forgers_address() {
    let xff = ClientIp::x_forwarded_for(TRUSTED).unwrap();
    let forwarded = ClientIp::forwarded(TRUSTED).unwrap();
    let both: &[(&str, Naive)] = &[("leftmost", leftmost), ("rightmost", rightmost_of_the_first_line)];
    let cases: &[Case<'_>] = &[
        ("direct, made up", &xff, "x-forwarded-for", both, &["6.6.6.6"], "203.0.113.9"),
        ("a line added by the proxy", &xff, "x-forwarded-for", both, &["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
        ("prepended", &xff, "x-forwarded-for", &both[..1], &["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
        (
            "made up in Forwarded",
            &forwarded,
            "forwarded",
            &[("first for", first_for_anywhere)],
            &["for=6.6.6.6", "for=203.0.113.9"],
            "203.0.113.9",
        ),
    ];
    for (case, ours, header, naive, lines, right) in cases {
        // In the first case the client calls directly; in the others through a proxy.
        let peer = if case.starts_with("direct") { "203.0.113.9" } else { "10.0.0.2" };
        assert_eq!(resolved(ours, peer, header, lines), *right, "{case}");
        for (name, naive) in *naive {
            assert_eq!(naive(lines), Some(super::ip("6.6.6.6")), "{case}: {name} should be fooled");
        }
    }
}
