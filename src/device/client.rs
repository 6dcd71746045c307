//! The program behind a `User-Agent`: crawler, browser, in-app browser or app.

use woothee::parser::Parser;

use super::user_agent::{UserAgent, major};

/// What kind of program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientKind {
    /// A crawler or monitor.
    Bot,
    /// An app, a tool or a library.
    App,
    /// A browser, or the browser inside a well-known app.
    Browser,
    /// The browser inside an unknown app.
    WebView,
}

/// The program.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) kind: ClientKind,
    pub(super) name: Option<String>,
    /// The major version; of browsers only.
    pub(super) version: Option<String>,
}

/// Crawlers that look like a browser and whose name does not end in "bot".
const CRAWLERS: [&str; 9] = [
    "AdsBot-Google",
    "Google-InspectionTool",
    "GoogleOther",
    "Mediapartners-Google",
    "BingPreview",
    "ChatGPT-User",
    "Claude-User",
    "facebookexternalhit",
    "HeadlessChrome",
];

/// Browsers inside apps: what the app adds to the header of the system's browser, its name, where its version is.
const IN_APP: [(&str, &str, &str); 18] = [
    ("FBAN/Messenger", "Messenger app", "FBAV/"),
    ("FB_IAB/Orca", "Messenger app", "FBAV/"),
    ("FBAN/", "Facebook app", "FBAV/"),
    ("FB_IAB/", "Facebook app", "FBAV/"),
    ("FBAV/", "Facebook app", "FBAV/"),
    ("Instagram ", "Instagram app", "Instagram "),
    ("musical_ly", "TikTok app", "musical_ly_"),
    ("TikTok", "TikTok app", "TikTok/"),
    ("trill_", "TikTok app", "trill_"),
    ("GSA/", "Google app", "GSA/"),
    ("Line/", "LINE app", "Line/"),
    ("MicroMessenger/", "WeChat app", "MicroMessenger/"),
    ("LinkedInApp", "LinkedIn app", "LinkedInApp]/"),
    ("Snapchat/", "Snapchat app", "Snapchat/"),
    ("Pinterest/", "Pinterest app", "Pinterest/"),
    ("TwitterAndroid", "X app", "TwitterAndroid/"),
    ("Twitter for", "X app", "Twitter for iPhone/"),
    ("Telegram-Android/", "Telegram app", "Telegram-Android/"),
];

/// Browsers by the word that only they say. Each also says the words of those below it, so the order is the rule.
const BROWSERS: [(&str, &str); 28] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("Edge/", "Edge"),
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("OPX/", "Opera GX"),
    ("OPiOS/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex Browser"),
    ("Ddg/", "DuckDuckGo"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("UCBrowser/", "UC Browser"),
    ("Whale/", "Naver Whale"),
    ("HuaweiBrowser/", "Huawei Browser"),
    ("MiuiBrowser/", "Mi Browser"),
    ("MQQBrowser/", "QQ Browser"),
    ("QQBrowser/", "QQ Browser"),
    ("Silk/", "Silk"),
    ("Focus/", "Firefox Focus"),
    ("Klar/", "Firefox Focus"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("SeaMonkey/", "SeaMonkey"),
    ("Firefox/", "Firefox"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
];

impl Client {
    pub(super) fn of(ua: &UserAgent<'_>) -> Self {
        // First: an app may be called "Chatbot".
        if ua.has_any(&["CFNetwork/", "Dalvik/", "okhttp/"]) && !ua.has("Mozilla/") {
            return Self::app(ua.product());
        }
        let crawler = CRAWLERS.iter().find(|name| ua.after(name).is_some()).copied().or_else(|| ua.crawler());
        if let Some(name) = crawler {
            return Self { kind: ClientKind::Bot, name: Some(name.to_owned()), version: None };
        }
        if !ua.is_web() {
            return Self::app(ua.product());
        }
        if ua.has("PowerShell/") {
            return Self::app(Some("PowerShell".to_owned()));
        }
        if ua.has("Electron/") {
            // "(KHTML, like Gecko) Slack/4.38 Chrome/124 Electron/30": a desktop app with a browser inside.
            let name = ua.after("Gecko) ").and_then(|rest| UserAgent::new(rest).product());
            return Self::app(name.filter(|name| name != "Chrome"));
        }
        Self::browser(ua)
    }

    const fn app(name: Option<String>) -> Self {
        Self { kind: ClientKind::App, name, version: None }
    }

    fn browser(ua: &UserAgent<'_>) -> Self {
        let named = |name: &str, version| Self { kind: ClientKind::Browser, name: Some(name.to_owned()), version };
        let web_view = |name: &str, version| Self { kind: ClientKind::WebView, ..named(name, version) };
        if let Some((_, name, version)) = IN_APP.iter().find(|(token, ..)| ua.after(token).is_some()) {
            return named(name, ua.major(version));
        }
        match BROWSERS.iter().find(|(token, _)| ua.after(token).is_some()) {
            // The number after it is Safari's, or has stood still for years.
            Some((_, name @ "DuckDuckGo")) => return named(name, None),
            Some((token, "Chrome")) if ua.has("; wv)") => return web_view("Android WebView", ua.major(token)),
            Some((token, name)) => return named(name, ua.major(token)),
            None => {}
        }
        // Only Apple's own browser says "Version/" on Apple's systems; elsewhere WebKit's other users do.
        if ua.has("Mac OS X") && ua.after("Safari/").is_some() && ua.after("Version/").is_some() {
            return named("Safari", ua.major("Version/"));
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
        let version = Some(major(found.version)).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        match found.category {
            "crawler" if found.name == "misc crawler" => Self { kind: ClientKind::Bot, name: None, version: None },
            "crawler" => Self { kind: ClientKind::Bot, name: Some(found.name.to_owned()), version: None },
            _ if known => Self { kind: ClientKind::Browser, name: Some(found.name.to_owned()), version },
            _ => Self { kind: ClientKind::Browser, name: None, version: None },
        }
    }
}
