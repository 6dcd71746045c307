//! The program behind a `User-Agent`: crawler, browser, in-app browser or app.

use woothee::parser::Parser;

use super::{
    browsers::BROWSERS,
    programs::{CRAWLERS, DESKTOP_APPS, IN_APP, KNOWN_AS, RUNTIMES, TEXT_BROWSERS, is_tool},
    user_agent::{UserAgent, major},
};

/// What kind of program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientKind {
    /// A crawler or monitor.
    Bot,
    /// A tool or a library: the same on whatever it runs.
    Tool,
    /// An app.
    App,
    /// A browser.
    Browser,
    /// The browser inside a well-known app.
    InApp,
    /// The browser inside an unknown app.
    WebView,
}

/// The program.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) kind: ClientKind,
    pub(super) name: Option<String>,
    /// The major version; of browsers only.
    pub(super) version: Option<String>,
}

impl Client {
    pub(super) fn new(kind: ClientKind, name: Option<&str>, version: Option<String>) -> Self {
        Self { kind, name: name.map(str::to_owned), version }
    }

    pub(super) fn of(ua: &UserAgent<'_>) -> Self {
        let app = |name: Option<&str>| Self::new(ClientKind::App, name, None);
        // First: an app may be called "Chatbot".
        if ua.has_any(&["CFNetwork/", "Dalvik/", "okhttp/"]) && !ua.has("Mozilla/") {
            return app(app_in(ua).as_deref());
        }
        let crawler = CRAWLERS.iter().find(|name| ua.after(name).is_some()).copied();
        let crawler = crawler.map(str::to_owned).or_else(|| ua.crawler().map(str::to_owned)).or_else(|| ua.fetcher());
        if let Some(name) = crawler {
            return Self::new(ClientKind::Bot, Some(&name), None);
        }
        if !ua.is_web() {
            let product = app_in(ua);
            if product.as_deref().is_some_and(|name| [" Bot", " bot", " spider"].iter().any(|end| name.ends_with(end)))
            {
                return Self::new(ClientKind::Bot, product.as_deref(), None);
            }
            return match TEXT_BROWSERS.iter().find(|name| product.as_deref() == Some(name)) {
                Some(name) => Self::new(ClientKind::Browser, Some(name), ua.major(&format!("{name}/"))),
                None if product.as_deref().is_some_and(is_tool) => {
                    Self::new(ClientKind::Tool, product.as_deref(), None)
                }
                None => app(product.as_deref()),
            };
        }
        if let Some((_, name)) = DESKTOP_APPS.iter().find(|(token, _)| ua.after(token).is_some()) {
            let kind = if is_tool(name) { ClientKind::Tool } else { ClientKind::App };
            return Self::new(kind, Some(name), None);
        }
        if ua.has("Electron/") {
            // "(KHTML, like Gecko) Slack/4.38 Chrome/124 Electron/30": a desktop app with a browser inside.
            return app(ua.foreign_product().map(known_as).map(capitalised).as_deref());
        }
        Self::browser(ua)
    }

    fn browser(ua: &UserAgent<'_>) -> Self {
        let named = |name: &str, version| Self::new(ClientKind::Browser, Some(name), version);
        let web_view = |name: &str, version| Self::new(ClientKind::WebView, Some(name), version);
        if let Some((_, name, version)) = IN_APP.iter().find(|(token, ..)| ua.after(token).is_some()) {
            return Self::new(ClientKind::InApp, Some(name), ua.major(version));
        }
        // A receiver of a cast is no browser that anybody opened, and what makers build of Opera's kit is not Opera.
        if ua.has_any(&["CrKey", " OMI/"]) {
            return Self::new(ClientKind::Browser, None, None);
        }
        match BROWSERS.iter().find(|(token, _)| ua.after(token).is_some()) {
            // The number after it is Safari's, or has stood still for years.
            Some((_, name @ ("DuckDuckGo" | "Ecosia"))) => return named(name, None),
            Some((token, "Chrome")) if ua.has("; wv)") => return web_view("Android WebView", ua.major(token)),
            Some((token, "Opera")) if ua.has_any(&[" GX)", " GX-"]) => return named("Opera GX", ua.major(token)),
            // It was called so until version 4.
            Some((token @ "OPT/", _))
                if ua.version(token).is_some_and(|version| version.starts_with(['1', '2', '3'])) =>
            {
                return named("Opera Touch", ua.major(token));
            }
            Some((token, "Chrome")) => {
                let above = above_chromium(ua);
                return above.map_or_else(
                    || named("Chrome", ua.major(token)),
                    |said| {
                        let version = ua.major(&format!("{said}/"));
                        named(&known_as(said), version)
                    },
                );
            }
            Some((token, name)) => return named(name, ua.major(token)),
            None => {}
        }
        if ua.has_any(&["BB10", "BlackBerry", "PlayBook"]) {
            return Self::new(ClientKind::Browser, None, None);
        }
        let safari = ua.after("Safari/").is_some() && ua.after("Version/").is_some();
        // Only Apple's own browser says "Version/" on Apple's systems; elsewhere WebKit's other users do.
        if ua.has("Mac OS X") && safari {
            return named("Safari", ua.major("Version/"));
        }
        if ua.has("Android") && safari && !ua.has("Kindle/") {
            return named("Android Browser", ua.major("Version/"));
        }
        if ua.has("Mac OS X") && ua.has("AppleWebKit/") && ua.after("Safari/").is_none() {
            return web_view(if ua.has("like Mac OS X") { "iOS WebView" } else { "macOS WebView" }, None);
        }
        if ua.has("like Mac OS X") && ua.has("AppleWebKit/") {
            return web_view("iOS WebView", None);
        }
        Self::old_browser(ua)
    }

    /// Internet Explorer, the old Opera, and the crawlers of their time.
    fn old_browser(ua: &UserAgent<'_>) -> Self {
        let found = Parser::new().parse(ua.text).unwrap_or_default();
        let known = found.browser_type == "browser" && !matches!(found.name, "Safari" | "Chrome" | "Webview");
        let version = Some(major(found.version))
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        match found.category {
            "crawler" if found.name == "misc crawler" => {
                Self::new(ClientKind::Bot, ua.in_compatible().as_deref(), None)
            }
            "crawler" => Self::new(ClientKind::Bot, Some(found.name), None),
            _ if known => Self::new(ClientKind::Browser, Some(found.name), version),
            // "(compatible; Somebody/1.0; +https://example.com)" is what crawlers say, and nobody else.
            _ if ua.has_any(&["+http", "(compatible; "]) && ua.in_compatible().is_some() && !ua.has("MSIE") => {
                Self::new(ClientKind::Bot, ua.in_compatible().as_deref(), None)
            }
            _ => Self::new(ClientKind::Browser, None, None),
        }
    }
}

/// The name of an app that starts with it, or names itself as the well-known apps do.
fn app_in(ua: &UserAgent<'_>) -> Option<String> {
    let in_app = || {
        let (_, name, _) = IN_APP.iter().find(|(token, ..)| ua.after(token).is_some())?;
        name.strip_suffix(" app").map(str::to_owned)
    };
    let product = ua.product().map(|product| {
        let library = RUNTIMES.contains(&product.as_str()).then(|| ua.second_product()).flatten();
        known_as(library.unwrap_or(product))
    });
    // A word by itself is nobody's name: "null", "undefined".
    let product = product.filter(|name| !is_package(name));
    product.filter(|name| ua.text.contains(['/', '(']) || ua.has_number() || is_tool(name)).or_else(in_app)
}

/// The program that puts its name before that of the engine it is built on, as those made with Qt do on computers:
/// "(KHTML, like Gecko) qutebrowser/3.1.0 Chrome/112.0.5615.213".
fn above_chromium(ua: &UserAgent<'_>) -> Option<String> {
    let (before, _) = ua.text.split_once(" Chrome/").filter(|_| !ua.has("Android"))?;
    let name = UserAgent::new(before).foreign_product()?;
    let system = ["QtWebEngine", "Ubuntu", "Debian", "Raspbian", "Fedora"].contains(&name.as_str());
    (!system).then_some(name)
}

/// The identifier of an app is not what people call it: "com.example.shop".
fn is_package(name: &str) -> bool {
    let plain = name.bytes().all(|next| next.is_ascii_alphanumeric() || matches!(next, b'.' | b'_' | b'-'));
    plain && name.split('.').count() >= 3 && name.starts_with(|first: char| first.is_ascii_lowercase())
}

/// Desktop apps often say the name of their package, which must be in lower case.
fn capitalised(name: String) -> String {
    match name.chars().next() {
        Some(first) if name.bytes().all(|next| next.is_ascii_lowercase()) => {
            first.to_ascii_uppercase().to_string() + &name[1..]
        }
        _ => name,
    }
}

fn known_as(name: String) -> String {
    let known = KNOWN_AS.iter().find(|(said, _)| *said == name).map(|&(_, known)| known);
    // An app itself says the word that its browser adds: "Barcelona 289.0".
    let in_app = || IN_APP.iter().find(|(said, ..)| said.trim_end_matches(['/', ' ']) == name);
    match known.or_else(|| in_app()?.1.strip_suffix(" app")) {
        Some(known) => known.to_owned(),
        None => name,
    }
}
