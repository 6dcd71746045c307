//! The hardware and the system behind a `User-Agent`.

use super::{
    android, apple,
    model::{android_model, form_of_model, marketing_name},
    user_agent::UserAgent,
};
use crate::session::FormFactor;

/// What the program runs on.
#[derive(Clone, Debug, Default)]
pub(super) struct Platform {
    pub(super) os: Option<String>,
    pub(super) os_version: Option<String>,
    pub(super) form_factor: Option<FormFactor>,
    pub(super) model: Option<String>,
}

/// A part of the header, and the system, shape and model that it gives away.
type Sign = (&'static str, Option<&'static str>, Option<FormFactor>, &'static str);

const CONSOLE: Option<FormFactor> = Some(FormFactor::Console);
const TV: Option<FormFactor> = Some(FormFactor::Tv);
const WATCH: Option<FormFactor> = Some(FormFactor::Watch);
const PHONE: Option<FormFactor> = Some(FormFactor::Phone);

/// Devices that say plainly what they are. They also say Windows, Linux, Android or Mac OS X, so they come first. The
/// signs are long enough not to be the name of an app ("Xbox/2304", "Roku/9.5") for the same device.
const SIGNS: [Sign; 40] = [
    ("PlayStation 5", None, CONSOLE, "PlayStation 5"),
    ("PlayStation 4", None, CONSOLE, "PlayStation 4"),
    ("PLAYSTATION 3", None, CONSOLE, "PlayStation 3"),
    ("PlayStation Vita", None, CONSOLE, "PlayStation Vita"),
    ("PlayStation Portable", None, CONSOLE, "PlayStation Portable"),
    ("; Xbox", None, CONSOLE, "Xbox"),
    ("(Nintendo Switch 2", None, CONSOLE, "Nintendo Switch 2"),
    ("(Nintendo Switch", None, CONSOLE, "Nintendo Switch"),
    ("(Nintendo WiiU", None, CONSOLE, "Wii U"),
    ("(Nintendo Wii", None, CONSOLE, "Wii"),
    ("Nintendo Wii;", None, CONSOLE, "Wii"),
    ("(Nintendo 3DS", None, CONSOLE, "Nintendo 3DS"),
    ("(New Nintendo 3DS", None, CONSOLE, "Nintendo 3DS"),
    ("AppleTV", Some("tvOS"), TV, "Apple TV"),
    ("Apple TV", Some("tvOS"), TV, "Apple TV"),
    ("tvOS", Some("tvOS"), TV, "Apple TV"),
    ("watchOS", Some("watchOS"), WATCH, "Apple Watch"),
    ("Apple Watch", Some("watchOS"), WATCH, "Apple Watch"),
    ("visionOS", Some("visionOS"), None, "Apple Vision Pro"),
    ("Roku/DVP", Some("Roku OS"), TV, "Roku"),
    ("Roku4640X/DVP", Some("Roku OS"), TV, "Roku"),
    ("Web0S", Some("webOS"), TV, "LG TV"),
    ("webOS.TV", Some("webOS"), TV, "LG TV"),
    ("webOSTV", Some("webOS"), TV, "LG TV"),
    ("NetCast", None, TV, "LG TV"),
    ("VIDAA", Some("VIDAA"), TV, "Hisense TV"),
    ("Viera", None, TV, "Panasonic TV"),
    ("PhilipsTV", None, TV, "Philips TV"),
    ("AQUOS", None, TV, "Sharp TV"),
    ("DeviceType/AndroidTV", Some("Android"), TV, "Android TV"),
    ("CrKey", None, TV, "Chromecast"),
    ("Tesla/", None, None, "Tesla"),
    ("QtCarBrowser", None, None, "Tesla"),
    ("Kindle/", None, Some(FormFactor::Tablet), "Kindle"),
    ("PlayBook", Some("BlackBerry"), Some(FormFactor::Tablet), "BlackBerry PlayBook"),
    ("BB10", Some("BlackBerry"), PHONE, "BlackBerry"),
    ("BlackBerry", Some("BlackBerry"), PHONE, "BlackBerry"),
    ("iPad", Some("iPadOS"), Some(FormFactor::Tablet), "iPad"),
    ("iPod", Some("iOS"), PHONE, "iPod touch"),
    ("iPhone", Some("iOS"), PHONE, "iPhone"),
];

impl Platform {
    pub(super) fn of(ua: &UserAgent<'_>) -> Self {
        let sign = SIGNS.iter().find(|(part, ..)| ua.has(part)).filter(|_| !ua.has("Windows Phone"));
        // Networking of Apple's systems; says which one only where the app adds it.
        if ua.has("CFNetwork/") && !sign.is_some_and(|(_, os, ..)| os.is_some()) {
            let mac = ua.has_any(&["Macintosh", "Mac OS", "MacBook", "iMac", "macOS", "MacOS", "x86_64"]);
            let version = if mac { apple::mac_version(ua) } else { apple::ios_version(ua) };
            return Self::system(
                if mac { "macOS" } else { "iOS" },
                version.as_deref(),
                mac.then_some(FormFactor::Desktop),
            );
        }
        if let Some(&(_, os, form_factor, model)) = sign {
            let apple_mobile = matches!(os, Some("iOS" | "iPadOS"));
            return Self {
                os: os.map(str::to_owned),
                os_version: if apple_mobile { apple::ios_version(ua) } else { None },
                form_factor,
                model: Some(if apple_mobile { apple::model(ua).unwrap_or(model) } else { model }.to_owned()),
            };
        }
        if let Some(tv) = Self::television(ua) {
            return tv;
        }
        if ua.has("Windows Phone") {
            let model = ua
                .comment()
                .last()
                .filter(|_| ua.comment().any(|part| part.starts_with("IEMobile") || part.starts_with("Android")));
            let model = model.and_then(android_model);
            return Self { model, ..Self::system("Windows Phone", ua.version("Windows Phone ").as_deref(), PHONE) };
        }
        if ua.has_any(&["KAIOS/", "KaiOS/"]) {
            let version = ua.version("KAIOS/").or_else(|| ua.version("KaiOS/"));
            let model = ua.comment().filter(|part| *part != "Mobile").find_map(android_model);
            let model = model.map(|model| model.replace('_', " "));
            return Self { model, ..Self::system("KaiOS", version.as_deref(), PHONE) };
        }
        if let Some(headset) = android::headset(ua) {
            return headset;
        }
        // "Adr 9" is how UC Browser says it.
        if ua.has_any(&["Android", "Andr0id", "okhttp/", "; Adr "]) || ua.text == "okhttp" {
            return android::of(ua);
        }
        Self::computer(ua)
    }

    /// The words after "on": the model if it is known, else the system. Of Windows the version is part of its name.
    pub(super) fn place(&self) -> Option<String> {
        let tv = self.form_factor == Some(FormFactor::Tv);
        match (self.model.as_deref(), self.os.as_deref(), self.os_version.as_deref()) {
            (Some(model), ..) => Some(model.to_owned()),
            (None, Some("Android"), _) if tv => Some("Android TV".to_owned()),
            (None, None, _) if tv => Some("TV".to_owned()),
            (None, Some("Windows"), Some(version)) => Some(format!("Windows {version}")),
            (None, os, _) => os.map(str::to_owned),
        }
    }

    /// One of which nothing more is known.
    pub(super) fn system(os: &str, os_version: Option<&str>, form_factor: Option<FormFactor>) -> Self {
        Self { os: Some(os.to_owned()), os_version: os_version.map(str::to_owned), form_factor, model: None }
    }

    /// Televisions of no system of their own. HbbTV's comment names the maker second.
    fn television(ua: &UserAgent<'_>) -> Option<Self> {
        let tizen = ua.has("Tizen") && ua.has_any(&[" TV ", "TV)", "SMART-TV"]);
        let tv = ["SMART-TV", "SmartTV", "Smart-TV", "HbbTV", "GoogleTV", "SmartTv"];
        if !tizen && (!ua.has_any(&tv) || ua.has("Android")) {
            return None;
        }
        let maker = ua.after("HbbTV/").and_then(|rest| rest.split(')').next()?.split(';').nth(1));
        // Or as LG began: "_TV_O20/04.30.00 (LG, 65NANO816PA, wired)".
        let named = || ua.text.split_once("_TV_")?.1.split_once('(')?.1.split_once(", ").map(|(maker, _)| maker);
        let maker = match maker.or_else(named).map(str::trim).unwrap_or_default() {
            "LGE" => "LG",
            "TPVision" | "TPV" => "Philips",
            other => other,
        };
        let maker = Some(maker).filter(|name| name.len() > 1 && name.bytes().all(|next| next.is_ascii_alphanumeric()));
        let maker = if tizen || ua.has_any(&["Maple", "SMART-TV"]) { Some("Samsung") } else { maker };
        let model = maker.map(|maker| format!("{maker} TV"));
        Some(Self { os: tizen.then(|| "Tizen".to_owned()), os_version: None, form_factor: TV, model })
    }

    fn computer(ua: &UserAgent<'_>) -> Self {
        let desktop = Some(FormFactor::Desktop);
        if ua.has("OpenHarmony") {
            let forms =
                [("(Phone", PHONE), ("(Tablet", Some(FormFactor::Tablet)), ("(PC", desktop), ("(2in1", desktop)];
            let form = forms.into_iter().find(|(part, _)| ua.has(part)).and_then(|(_, form)| form);
            return Self::system("HarmonyOS", ua.version("OpenHarmony ").as_deref(), form);
        }
        if ua.has("CrOS ") {
            return Self::system("ChromeOS", None, desktop);
        }
        if ua.has("Windows") || ua.has_any(&["Win64", "Win32"]) {
            // "NT 10.0" is Windows 10 or 11.
            let names = [
                ("6.3", "8.1"),
                ("6.2", "8"),
                ("6.1", "7"),
                ("6.0", "Vista"),
                ("5.2", "XP"),
                ("5.1", "XP"),
                ("5.0", "2000"),
            ];
            let number = ua.version("Windows NT ");
            let name = names.iter().find(|(nt, _)| number.as_deref() == Some(nt)).map(|&(_, name)| name);
            let old = || ["98", "95", "ME"].into_iter().find(|name| ua.has(&format!("Windows {name}")));
            return Self::system("Windows", name.or_else(old), desktop);
        }
        if ua.has_any(&["Macintosh", "Mac OS", "macOS", "MacOS", "Darwin/"]) {
            return Self::apple_computer(ua);
        }
        // Samsung's browser says so of a tablet or a docked phone, when the desktop's site is wanted.
        if ua.has("SamsungBrowser/") {
            return Self::system("Android", None, None);
        }
        if ua.has("Tizen") {
            let model = ua.comment().skip_while(|part| !part.starts_with("Tizen")).skip(1).find_map(android_model);
            let form_factor = model.as_deref().and_then(form_of_model);
            let model = model.as_deref().map(marketing_name);
            return Self { model, ..Self::system("Tizen", None, form_factor) };
        }
        let unix =
            ["FreeBSD", "OpenBSD", "NetBSD", "SunOS", "Haiku", "SymbianOS"].into_iter().find(|name| ua.has(name));
        let linux = ua.has_any(&["Linux", "linux", "X11", "Ubuntu"]).then_some("Linux");
        if let Some(os) = unix.or(linux) {
            return Self::system(os, None, desktop.filter(|_| ua.is_web()));
        }
        // An app that names its system and nothing else: "MyApp/1.0 (com.example; build:1; iOS 17.5.1)".
        if ua.after("iOS ").is_some() || !ua.is_web() && ua.has_any(&["iOS/", "-iOS", "_iOS", "iOS;", "(iOS)"]) {
            return Self::system("iOS", apple::ios_version(ua).as_deref(), None);
        }
        Self::default()
    }

    fn apple_computer(ua: &UserAgent<'_>) -> Self {
        // The browsers of iPhones and iPads say Macintosh when the user wants the desktop site.
        if ua.has_any(&["CriOS/", "FxiOS/", "EdgiOS/", "OPT/", "GSA/", "FBAN/FBIOS", "DuckDuckGo/"]) {
            return Self::system("iOS", None, None);
        }
        Self::system("macOS", apple::mac_version(ua).as_deref(), Some(FormFactor::Desktop))
    }
}
