//! Hops as proxies write them down.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// One address: bare, with a port, in brackets, in quotes.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_ascii();
    node(text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text))
}

/// The `for` of one element of `Forwarded` (RFC 7239 §4).
pub(super) fn element(element: &[u8]) -> Option<IpAddr> {
    let mut rest = std::str::from_utf8(element).ok()?;
    let mut found = None;
    while !rest.is_empty() {
        let (pair, after) = rest.split_at(end_of_pair(rest));
        rest = after.strip_prefix(';').unwrap_or(after);
        let pair = pair.trim_ascii();
        if pair.is_empty() {
            continue;
        }
        let (name, value) = pair.split_once('=')?;
        // Twice is forbidden, so it is not known which one was meant.
        if name.eq_ignore_ascii_case("for") && found.replace(unquoted(value)?).is_some() {
            return None;
        }
    }
    node(&found?)
}

/// The elements of a line of `Forwarded`, from the last to the first.
///
/// Read from the right, because there the trusted proxy wrote: read from the left, a quote that the client opened and
/// never closed would swallow the proxy's part.
pub(super) fn elements_from_right(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let comma = last_comma(line);
        rest = comma.map(|at| &line[..at]);
        Some(&line[comma.map_or(0, |at| at + 1)..])
    })
}

/// The last comma that is in no quoted string.
fn last_comma(line: &[u8]) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in line.iter().enumerate().rev() {
        match byte {
            b',' if !quoted => return Some(at),
            // Escaped by an odd number of backslashes, which only means something in a quoted string.
            b'"' if quoted => quoted = line[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1,
            b'"' => quoted = true,
            _ => {}
        }
    }
    None
}

/// Where the first pair ends: at the first semicolon that is in no quoted string.
fn end_of_pair(text: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b';' if !quoted => return at,
            b'"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && !escaped && byte == b'\\';
    }
    text.len()
}

/// The content of a token or a quoted string.
fn unquoted(value: &str) -> Option<Cow<'_, str>> {
    let Some(inner) = value.strip_prefix('"') else {
        return (!value.contains('"')).then_some(Cow::Borrowed(value));
    };
    let mut text = String::new();
    let mut chars = inner.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(Cow::Owned(text)),
            '\\' => text.push(chars.next()?),
            other => text.push(other),
        }
    }
}

/// A node of RFC 7239 §6 that is an address, and an IPv6 address without brackets, as `X-Forwarded-For` has it. The names
/// `unknown` and `_hidden` are no addresses, and so is one with a zone, which only means something on another machine.
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, port) = match text.strip_prefix('[') {
        Some(text) => {
            let (host, port) = text.split_once(']')?;
            (IpAddr::V6(host.parse::<Ipv6Addr>().ok()?), port)
        }
        None => {
            let (host, port) = text.split_at(text.find(':')?);
            (IpAddr::V4(host.parse::<Ipv4Addr>().ok()?), port)
        }
    };
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(address.to_canonical())
}

/// A number, or a name in its place (RFC 7239 §6.2).
fn is_port(text: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    match text.strip_prefix('_') {
        Some(name) => is_name(name),
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}
