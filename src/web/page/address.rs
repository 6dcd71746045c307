//! Addresses that the application gives, and the page's own.

use std::fmt::Write as _;

use http::Uri;

use crate::error::ConfigError;

/// Where the application wants somebody to go.
#[derive(Clone, Debug)]
pub(super) struct Address {
    text: String,
    /// Scheme, host and port of a URL; a path has none.
    origin: Option<String>,
}

impl Address {
    pub(super) fn parse(setting: &str, text: &str) -> Result<Self, ConfigError> {
        let wrong = || {
            let wrong = "is no address: give a path of this service, as /sign-in, or an https URL";
            ConfigError::new(format!("{setting} {text:?} {wrong}"))
        };
        // In a path, `/{page}` would lead to the host that the page's path begins with.
        let before_query = text.split(['?', '#']).next().unwrap_or_default();
        if before_query.contains(PAGE) || before_query.contains(REASON) {
            let wrong = "has {page} or {reason} before its query: put it there, as in /sign-in?next={page}";
            return Err(ConfigError::new(format!("{setting} {text:?} {wrong}")));
        }
        let plain = text.replace(PAGE, "x").replace(REASON, "x");
        // What browsers take for something else, or what would have to be written in another way.
        let is_odd = |byte: u8| !byte.is_ascii_graphic() || b"\"'<>\\^`{|}".contains(&byte);
        if plain.bytes().any(is_odd) {
            return Err(wrong());
        }
        // `//host` is another host.
        if plain.starts_with('/') && !plain.starts_with("//") {
            return Ok(Self { text: text.to_owned(), origin: None });
        }
        let uri = plain.parse::<Uri>().map_err(|_| wrong())?;
        // No user, and nothing that means something else in a policy: `;`, `*`.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        let authority =
            uri.authority().filter(|authority| authority.as_str().bytes().all(is_plain)).ok_or_else(wrong)?;
        let is_near = ["localhost", "127.0.0.1", "[::1]"].contains(&authority.host());
        match uri.scheme_str() {
            Some(scheme) if scheme == "https" || (scheme == "http" && is_near) => {
                Ok(Self { text: text.to_owned(), origin: Some(format!("{scheme}://{authority}")) })
            }
            _ => Err(wrong()),
        }
    }

    pub(super) fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// With the path of the page, and why the session ended.
    pub(super) fn to(&self, page: &str, reason: &str) -> String {
        // In this order: a path may have `{reason}` in it, encoded.
        self.text.replace(REASON, &encoded(reason)).replace(PAGE, &encoded(page))
    }
}

const PAGE: &str = "{page}";
const REASON: &str = "{reason}";

/// For a query (RFC 3986 §3.4): what is unreserved there, and `/`.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// How the page is reached from the address of a request below it. Relative, so that it holds under any prefix, and behind
/// a proxy that takes a part of the path away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Home {
    /// The page itself: `./devices`.
    pub(super) home: String,
    /// What the rest is below: `./devices/`.
    pub(super) base: String,
    /// As this service knows it: `/account/devices`. Safe to be led back to: never one that a browser takes for another host.
    pub(super) path: String,
}

impl Home {
    /// `path`: of the request, as it came. `is_below`: of something directly below the page. `has_slash`: the page's own path
    /// ends in one, `/account/devices/`.
    pub(super) fn of(path: &str, is_below: bool, has_slash: bool) -> Self {
        let (mount, up) = match path.rfind('/') {
            Some(slash) if is_below && has_slash => (&path[..=slash], "./"),
            Some(slash) if is_below => (&path[..slash], "../"),
            _ => (path, "./"),
        };
        let last = mount.rsplit('/').next().unwrap_or_default();
        if last.is_empty() {
            return Self { home: "./".to_owned(), base: "./".to_owned(), path: on_this_host(mount) };
        }
        let home = format!("{up}{last}");
        Self { base: format!("{home}/"), home, path: on_this_host(mount) }
    }
}

/// A prefix may have parameters: `/{tenant}/devices`. To browsers, `//host` and `/\host` are another host.
fn on_this_host(path: &str) -> String {
    let is_odd = path.starts_with("//") || path.contains('\\');
    if is_odd || path.is_empty() { "/".to_owned() } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_ours_or_a_safe_url() {
        let origin = |text| Address::parse("login_url", text).map(|address| address.origin);
        for ours in ["/", "/sign-in", "/sign-in?next={page}&reason={reason}#form", "/%D0%B2%D1%85%D0%BE%D0%B4"] {
            assert_eq!(origin(ours).unwrap(), None, "{ours}");
        }
        for (url, expected) in [
            ("https://id.example", "https://id.example"),
            ("https://id.example:8443/in?to={page}", "https://id.example:8443"),
            ("http://localhost:3000/in", "http://localhost:3000"),
        ] {
            assert_eq!(origin(url).unwrap().as_deref(), Some(expected), "{url}");
        }
        for wrong in [
            "",
            "sign-in",
            "./sign-in",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/a b",
            "/a\nb",
            "/вход",
            "javascript:alert(1)",
            "data:text/html,x",
            "http://example.com",
            "ftp://example.com",
            "https://",
            "https://u:p@example.com",
            "https://id.example;sandbox/in",
            "https://*.example",
            "https://a.example,b.example",
            "/?{user}",
            // `//account/devices`, the host `account`.
            "/{page}",
            "https://id.example{page}",
            "https://{reason}.example/?next={page}",
            "/\"",
            "/'; script-src *",
        ] {
            let error = origin(wrong).expect_err(wrong).to_string();
            assert!(error.starts_with("login_url"), "{error}");
        }
    }

    #[test]
    fn what_is_put_in_stays_where_it_is_put() {
        let address = Address::parse("login_url", "/in?next={page}&reason={reason}").unwrap();
        assert_eq!(address.to("/account/devices", "idle"), "/in?next=/account/devices&reason=idle");
        assert_eq!(address.to("/%7Breason%7D", "a&b=c é"), "/in?next=/%257Breason%257D&reason=a%26b%3Dc%20%C3%A9");
    }

    #[test]
    fn links_hold_under_any_prefix() {
        let home = |path, is_below| {
            let Home { home, base, path } = Home::of(path, is_below, false);
            [home, base, path]
        };
        assert_eq!(home("/account/devices", false), ["./devices", "./devices/", "/account/devices"]);
        assert_eq!(home("/account/devices/", false), ["./", "./", "/account/devices/"]);
        assert_eq!(home("/account/devices/rename", true), ["../devices", "../devices/", "/account/devices"]);
        assert_eq!(home("/devices", false), ["./devices", "./devices/", "/devices"]);
        assert_eq!(home("/devices/rename", true), ["../devices", "../devices/", "/devices"]);
        assert_eq!(home("/", false), ["./", "./", "/"]);
        assert_eq!(home("/rename", true), ["./", "./", "/"]);
        assert_eq!(Home::of("/a/devices/rename", true, true), Home::of("/a/devices/", false, true));
        assert_eq!(Home::of("/a/devices/", false, true).path, "/a/devices/");
        // A prefix may have parameters, and what is in them comes from outside.
        assert_eq!(home("/of/javascript:x", false), ["./javascript:x", "./javascript:x/", "/of/javascript:x"]);
        assert_eq!(home("//evil.example/devices", false)[2], "/");
        assert_eq!(home("/\\evil.example/devices/rename", true)[2], "/");
        assert_eq!(home("/of/%22%3E/rename", true), ["../%22%3E", "../%22%3E/", "/of/%22%3E"]);
    }
}
