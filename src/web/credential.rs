//! Which token a request carries (RFC 6750 §2, and the session cookie).

use http::{HeaderMap, HeaderValue, header};
use memchr::memchr_iter;

use super::cookie::{COOKIE, LOOPBACK_COOKIE};
use crate::token::TokenUse;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presented<'a> {
    /// Nothing that concerns us. Other `Authorization` schemes are somebody else's.
    Nothing,
    One(Credential<'a>),
    /// A header, and a cookie beside it: the header counts, if they name the same session.
    Both {
        header: Credential<'a>,
        cookie: Credential<'a>,
    },
    /// Two different Bearer tokens in one request.
    Conflict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Credential<'a> {
    pub(crate) token: &'a [u8],
    pub(crate) usage: TokenUse,
}

/// `on_loopback`: the cookie for plain http counts as well.
#[inline]
pub(crate) fn find(headers: &HeaderMap, on_loopback: bool) -> Presented<'_> {
    let mut bearers = headers.get_all(&header::AUTHORIZATION).iter().filter_map(bearer);
    let Some(first) = bearers.next() else {
        return cookie(headers, on_loopback).map_or(Presented::Nothing, Presented::One);
    };
    if bearers.any(|other| other != first) {
        return Presented::Conflict;
    }
    let header = Credential { token: first, usage: TokenUse::Access };
    match cookie(headers, on_loopback) {
        Some(cookie) => Presented::Both { header, cookie },
        None => Presented::One(header),
    }
}

/// Of a request that has one Bearer header, as nearly all clients write it, and no cookie: the token.
#[inline]
pub(crate) fn bearer_alone(headers: &HeaderMap) -> Option<&[u8]> {
    let mut found = None;
    // One walk past all of them, in place of two searches: half the code.
    for (name, value) in headers {
        if *name == header::COOKIE || (*name == header::AUTHORIZATION && found.replace(value).is_some()) {
            return None;
        }
    }
    found?.as_bytes().strip_prefix(b"Bearer ").map(<[u8]>::trim_ascii)
}

/// The token of a Bearer header; the scheme in any case (RFC 9110 §11.1). Whatever it is, it is a credential: one that is no
/// text is no token either, and is refused as such.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, rest) = value.as_bytes().split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) || rest.first().is_some_and(|byte| *byte != b' ') {
        return None;
    }
    Some(rest.trim_ascii())
}

const SCHEME: &[u8] = b"Bearer";

fn cookie(headers: &HeaderMap, on_loopback: bool) -> Option<Credential<'_>> {
    // Who sends a header mostly sends no cookie.
    headers.get(&header::COOKIE)?;
    let loopback = || cookie_of(headers, LOOPBACK_COOKIE).filter(|_| on_loopback);
    let token = cookie_of(headers, COOKIE).or_else(loopback)?;
    Some(Credential { token: token.as_bytes(), usage: TokenUse::Cookie })
}

/// Of several cookies of the name the first: browsers send one, since `__Host-` fixes domain and path.
pub(super) fn cookie_of<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let lines = headers.get_all(&header::COOKIE).iter();
    lines.flat_map(|line| pairs(line.as_bytes())).find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(wanted.as_bytes())?.strip_prefix(b"=")?;
        // This one alone: what another application put beside it may be no text. Ours is a JWT, so nothing needs to be decoded.
        std::str::from_utf8(value).ok()
    })
}

/// What stands between semicolons (RFC 6265 §4.2.1). By `memchr`: looking at each byte of a token in turn was nearly half of
/// the instructions that such a request added.
fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = 0;
    memchr_iter(b';', line).chain([line.len()]).map(move |end| {
        let pair = &line[begin..end];
        begin = end + 1;
        pair
    })
}

#[cfg(feature = "routes")]
pub(crate) fn has_cookie(headers: &HeaderMap, on_loopback: bool) -> bool {
    cookie(headers, on_loopback).is_some()
}

/// Arbitrary bytes as the headers that a credential may stand in, one a line, and what must hold of what is found.
///
/// # Panics
///
/// Where a promise does not hold.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let (name, value) = match line.split_first() {
            Some((b'a', value)) => (header::AUTHORIZATION, value),
            Some((b'b', token)) => (header::COOKIE, &*[COOKIE.as_bytes(), b"=", token].concat()),
            _ => (header::COOKIE, line),
        };
        // What HTTP itself does not let through does not reach us.
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    let of_cookie = |one: Credential<'_>| assert!(one.usage == TokenUse::Cookie && !one.token.contains(&b';'));
    let of_header = |one: Credential<'_>| assert!(one.usage == TokenUse::Access && one.token.trim_ascii() == one.token);
    match find(&headers, true) {
        Presented::Nothing | Presented::Conflict => {}
        Presented::One(one) if one.usage == TokenUse::Cookie => of_cookie(one),
        Presented::One(one) => of_header(one),
        Presented::Both { header, cookie } => {
            of_header(header);
            of_cookie(cookie);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, string::bytes_regex};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_048, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..1_024)) {
            fuzz(&bytes);
        }

        /// Nearer to what is looked for.
        #[test]
        fn any_lines(lines in proptest::collection::vec("[ab]?(Bearer|bearer|Basic)?[ =;a-c.é]{0,12}(__Host-session)?[=; ]{0,2}[a-c]{0,3}", 0..5)) {
            fuzz(lines.join("\n").as_bytes());
        }

        /// Whatever stands beside it, text or not.
        #[test]
        fn a_cookie_is_where_looking_at_each_byte_finds_it(
            lines in proptest::collection::vec(bytes_regex(ODD_COOKIES).unwrap(), 0..3),
        ) {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, HeaderValue::from_bytes(&line).unwrap());
            }
            prop_assert_eq!(cookie_of(&headers, COOKIE), by_each_byte(&headers), "{:?}", headers);
        }
    }

    const ODD_COOKIES: &str = r"(?-u)(; ?|a=|__Host-session(=|=[a-c]|==)?|__host-session=x|[ \t=x\x80-\xff]){0,9}";

    fn by_each_byte(headers: &HeaderMap) -> Option<&str> {
        let lines = headers.get_all(&header::COOKIE).iter();
        let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        let texts = pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim_matches([' ', '\t']).split_once('='));
        texts.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value).next()
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn header(token: &str) -> Credential<'_> {
        Credential { token: token.as_bytes(), usage: TokenUse::Access }
    }

    fn cookie(token: &str) -> Credential<'_> {
        Credential { token: token.as_bytes(), usage: TokenUse::Cookie }
    }

    #[test]
    fn what_counts_as_a_credential() {
        for (sent, found) in [
            (&[][..], Presented::Nothing),
            (&[("authorization", "Bearer a.b.c")], Presented::One(header("a.b.c"))),
            (&[("authorization", "bearer   a.b.c ")], Presented::One(header("a.b.c"))),
            (&[("authorization", "Bearer")], Presented::One(header(""))),
            (&[("authorization", "Basic dTpw")], Presented::Nothing),
            (&[("authorization", "BearerX abc")], Presented::Nothing),
            (&[("authorization", "DPoP abc")], Presented::Nothing),
            (&[("authorization", "Bearer a"), ("authorization", "Bearer a")], Presented::One(header("a"))),
            (&[("authorization", "Bearer a"), ("authorization", "Bearer b")], Presented::Conflict),
            (&[("authorization", "Basic x"), ("authorization", "Bearer b")], Presented::One(header("b"))),
            (&[("cookie", "a=b; __Host-session=t; c=d")], Presented::One(cookie("t"))),
            (&[("cookie", "a=b"), ("cookie", "__Host-session=t")], Presented::One(cookie("t"))),
            (&[("cookie", "session=t; __host-session=t")], Presented::Nothing),
            (
                &[("authorization", "Bearer a"), ("cookie", "__Host-session=t")],
                Presented::Both { header: header("a"), cookie: cookie("t") },
            ),
            (&[("authorization", "Basic x"), ("cookie", "__Host-session=t")], Presented::One(cookie("t"))),
        ] {
            assert_eq!(find(&headers(sent), false), found, "{sent:?}");
        }
    }

    #[test]
    fn the_cookie_of_loopback_counts_there_alone_and_last() {
        let both = headers(&[("cookie", "session-on-loopback=l; __Host-session=h")]);
        let loopback = headers(&[("cookie", "session-on-loopback=l")]);
        assert_eq!(find(&both, true), Presented::One(cookie("h")));
        assert_eq!(find(&loopback, true), Presented::One(cookie("l")));
        assert_eq!(find(&loopback, false), Presented::Nothing);
    }

    #[test]
    fn bytes_that_are_no_text_are_a_credential_that_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_bytes(b"Bearer \xff\xfe").unwrap());
        let presented = Presented::One(Credential { token: b"\xff\xfe", usage: TokenUse::Access });
        assert_eq!(find(&headers, false), presented);
    }
}
