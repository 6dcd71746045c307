//! The hardware and the system behind a `User-Agent`.

use super::{
    model::{android_model, form_of_model, marketing_name},
    user_agent::UserAgent,
};
use crate::session::FormFactor;

/// What the program runs on.
#[derive(Debug, Default)]
pub(super) struct Platform {
    pub(super) os: Option<String>,
    pub(super) os_version: Option<String>,
    pub(super) form_factor: Option<FormFactor>,
    pub(super) model: Option<String>,
}

/// A part of the header, and the system, shape and model that it gives away.
type Sign = (&'static str, Option<&'static str>, FormFactor, &'static str);

/// Devices that say plainly what they are. They also say Windows, Linux, Android or Mac OS X, so they come first. The
/// signs are long enough not to be the name of an app ("Xbox/2304", "Roku/9.5") for the same device.
const SIGNS: [Sign; 24] = [
    ("PlayStation 5", None, FormFactor::Console, "PlayStation 5"),
    ("PlayStation 4", None, FormFactor::Console, "PlayStation 4"),
    ("PLAYSTATION 3", None, FormFactor::Console, "PlayStation 3"),
    ("PlayStation Vita", None, FormFactor::Console, "PlayStation Vita"),
    ("Xbox Series X", None, FormFactor::Console, "Xbox Series X"),
    ("Xbox One", None, FormFactor::Console, "Xbox One"),
    ("; Xbox", None, FormFactor::Console, "Xbox"),
    ("(Nintendo Switch", None, FormFactor::Console, "Nintendo Switch"),
    ("(Nintendo WiiU", None, FormFactor::Console, "Wii U"),
    ("(Nintendo 3DS", None, FormFactor::Console, "Nintendo 3DS"),
    ("(New Nintendo 3DS", None, FormFactor::Console, "Nintendo 3DS"),
    ("AppleTV", Some("tvOS"), FormFactor::Tv, "Apple TV"),
    ("Apple TV", Some("tvOS"), FormFactor::Tv, "Apple TV"),
    ("tvOS", Some("tvOS"), FormFactor::Tv, "Apple TV"),
    ("watchOS", Some("watchOS"), FormFactor::Watch, "Apple Watch"),
    ("Apple Watch", Some("watchOS"), FormFactor::Watch, "Apple Watch"),
    ("Roku/DVP", Some("Roku OS"), FormFactor::Tv, "Roku"),
    ("Web0S", Some("webOS"), FormFactor::Tv, "LG TV"),
    ("webOS.TV", Some("webOS"), FormFactor::Tv, "LG TV"),
    ("webOSTV", Some("webOS"), FormFactor::Tv, "LG TV"),
    ("CrKey/", None, FormFactor::Tv, "Chromecast"),
    ("iPad", Some("iPadOS"), FormFactor::Tablet, "iPad"),
    ("iPod", Some("iOS"), FormFactor::Phone, "iPod touch"),
    ("iPhone", Some("iOS"), FormFactor::Phone, "iPhone"),
];

impl Platform {
    pub(super) fn of(ua: &UserAgent<'_>) -> Self {
        let sign = SIGNS.iter().find(|(part, ..)| ua.has(part)).filter(|_| !ua.has("Windows Phone"));
        // Networking of Apple's systems; says which one only where the app adds it.
        if ua.has("CFNetwork/") && !sign.is_some_and(|(_, os, ..)| os.is_some()) {
            let mac = ua.has_any(&["Macintosh", "Mac OS", "MacBook", "iMac", "macOS", "MacOS", "x86_64"]);
            return Self::computer(if mac { "macOS" } else { "iOS" }, None, mac);
        }
        if let Some(&(_, os, form_factor, model)) = sign {
            let apple_mobile = matches!(os, Some("iOS" | "iPadOS"));
            return Self {
                os: os.map(str::to_owned),
                os_version: if apple_mobile { ios_version(ua) } else { None },
                form_factor: Some(form_factor),
                model: Some(model.to_owned()),
            };
        }
        if ua.has_any(&["SMART-TV", "SmartTV", "Smart-TV", "HbbTV", "GoogleTV"]) || ua.has("Tizen") && ua.has(" TV ") {
            let tizen = ua.has("Tizen");
            let (os, model) = if tizen { (Some("Tizen"), Some("Samsung TV")) } else { (None, None) };
            let (os, model) = (os.map(str::to_owned), model.map(str::to_owned));
            return Self { os, os_version: None, form_factor: Some(FormFactor::Tv), model };
        }
        if ua.has("Windows Phone") || ua.has("KAIOS/") {
            let os = if ua.has("KAIOS/") { "KaiOS" } else { "Windows Phone" };
            return Self { os: Some(os.to_owned()), form_factor: Some(FormFactor::Phone), ..Self::default() };
        }
        if ua.has_any(&["Android", "okhttp/"]) {
            return Self::android(ua);
        }
        Self::desktop(ua)
    }

    /// The words after "on": the model if it is known, else the system.
    pub(super) fn place(&self) -> Option<&str> {
        let tv = (self.form_factor == Some(FormFactor::Tv)).then_some("TV");
        self.model.as_deref().or(tv).or(self.os.as_deref())
    }

    fn computer(os: &str, os_version: Option<&str>, desktop: bool) -> Self {
        let form_factor = desktop.then_some(FormFactor::Desktop);
        Self { os: Some(os.to_owned()), os_version: os_version.map(str::to_owned), form_factor, model: None }
    }

    fn desktop(ua: &UserAgent<'_>) -> Self {
        if ua.has("OpenHarmony") {
            let phone = ua.has("(Phone;").then_some(FormFactor::Phone);
            return Self { form_factor: phone, ..Self::computer("HarmonyOS", None, false) };
        }
        if ua.has("CrOS ") {
            return Self::computer("ChromeOS", None, true);
        }
        if ua.has("Windows") {
            // "NT 10.0" is Windows 10 or 11.
            let names = [("6.3", "8.1"), ("6.2", "8"), ("6.1", "7"), ("6.0", "Vista"), ("5.1", "XP")];
            let number = ua.version("Windows NT ");
            let name = names.iter().find(|(nt, _)| number.as_deref() == Some(nt)).map(|&(_, name)| name);
            return Self::computer("Windows", name, true);
        }
        if ua.has_any(&["Macintosh", "Mac OS", "macOS", "Darwin/"]) {
            // The browsers of iPhones and iPads say Macintosh when the user wants the desktop site.
            if ua.has_any(&["CriOS/", "FxiOS/", "EdgiOS/", "OPT/"]) {
                return Self::computer("iOS", None, false);
            }
            // Frozen at 10.15 (Firefox), 10.15.7 (Safari, Chrome) and 10.16.
            let version = ua.version("Mac OS X ").filter(|version| {
                version
                    .strip_prefix("10.")
                    .and_then(|rest| rest.split('.').next()?.parse().ok())
                    .is_some_and(|minor: u8| minor < 15)
            });
            return Self::computer("macOS", version.as_deref(), true);
        }
        if ua.has("FreeBSD") {
            return Self::computer("FreeBSD", None, ua.is_web());
        }
        if ua.has_any(&["Linux", "X11", "Ubuntu"]) {
            return Self::computer("Linux", None, ua.is_web());
        }
        // An app that names its system and nothing else: "MyApp/1.0 (com.example; build:1; iOS 17.5.1)".
        if ua.after("iOS ").is_some() {
            return Self::computer("iOS", ios_version(ua).as_deref(), false);
        }
        Self::default()
    }

    fn android(ua: &UserAgent<'_>) -> Self {
        let model = ua.comment().skip_while(|part| !part.starts_with("Android")).skip(1).find_map(android_model);
        let code = model.as_deref().unwrap_or_default();
        let fire_tv = code.starts_with("AFT");
        let fire_tablet = code.starts_with("KF") && ua.has("Silk/");
        let tv = fire_tv || code.contains("TV") || code.starts_with("BRAVIA") || code.starts_with("Chromecast");
        let form_factor = if tv {
            Some(FormFactor::Tv)
        } else if ua.is_web() {
            Some(if ua.has("Mobile") { FormFactor::Phone } else { FormFactor::Tablet })
        } else {
            // No app says "Mobile".
            form_of_model(code)
        };
        // A browser that hides the model ("10; K") also hides the version.
        let truthful = model.is_some() || !ua.is_web();
        let os_version = if truthful { ua.version("Android ") } else { None };
        if fire_tv || fire_tablet {
            let name = if fire_tv { "Fire TV" } else { "Fire tablet" };
            // Amazon's version numbers are not Android's.
            return Self { form_factor, model: Some(name.to_owned()), ..Self::computer("Fire OS", None, false) };
        }
        Self { os: Some("Android".to_owned()), os_version, form_factor, model: model.map(marketing_name) }
    }
}

/// The version of iOS. Since iOS 26 the system's number in a browser stands at 18.6 or 18.7; only Safari's own tells more.
fn ios_version(ua: &UserAgent<'_>) -> Option<String> {
    let token = ["iPhone OS ", "CPU OS ", "iOS ", "iOS/", "iPadOS "].iter().find_map(|token| ua.version(token));
    let Some(minor) = token.as_deref().filter(|_| ua.is_web()).and_then(|token| token.strip_prefix("18.")) else {
        return token;
    };
    if !minor.starts_with(['6', '7', '8', '9']) {
        return token;
    }
    let safari = ua.version("Version/")?;
    let is_newer = safari.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u16| major >= 26);
    let is_same = token.as_deref().is_some_and(|token| token.starts_with(&safari)) && safari.len() >= 4;
    if is_newer { Some(safari) } else { token.filter(|_| is_same) }
}
