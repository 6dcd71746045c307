//! The headers that a native app sends about itself. They are for show: a page in a browser can send them as well.

use super::{
    client::{Client, ClientKind},
    model::{form_of_model, named},
    platform::Platform,
    text::{app_header, valid_name},
};
use crate::{
    fields::Fields,
    session::{Device, DeviceType, FormFactor},
};

/// What they say.
pub(super) struct Native {
    name: Option<String>,
    app: Option<String>,
    model: Option<String>,
    platform: Option<Platform>,
}

impl Native {
    /// `None` where it is no native app that asks.
    pub(super) fn of(fields: &dyn Fields) -> Option<Self> {
        let header = |name| app_header(fields, name);
        let (platform, model) = (header("device-platform"), header("device-model"));
        let native = platform.is_some() || model.is_some() || header("device-id").is_some();
        native.then(|| Self {
            name: header("device-name"),
            app: header("app-name"),
            model,
            platform: platform.and_then(|platform| system(&platform)),
        })
    }

    /// The device, with what they leave open from the other headers, unless those speak of another system.
    pub(super) fn device(self, client: &Client, said: Platform) -> Device {
        let mut platform = match self.platform {
            Some(platform) => filled(platform, said),
            None => said,
        };
        if let Some(model) = &self.model {
            platform.form_factor = form_of_model(model).or(platform.form_factor);
            platform.model = named(model);
            platform.os = platform.os.or_else(|| os_of_model(model).map(str::to_owned));
        }
        let app = self.app.or_else(|| client.name.clone().filter(|_| client.kind == ClientKind::App));
        let kind = kind(platform.os.as_deref());
        let name = match (self.name, app, self.model.is_some()) {
            (Some(name), ..) => name,
            (None, None, true) if platform.model.is_some() => platform.model.clone().unwrap_or_default(),
            (None, app, _) => super::app_name(app.as_deref(), &platform),
        };
        super::described(name, kind, platform)
    }
}

/// What the app's header leaves open, where the rest speaks of the same system.
fn filled(platform: Platform, said: Platform) -> Platform {
    let same = said.os == platform.os
        || kind(said.os.as_deref()) == kind(platform.os.as_deref())
            && said.os.is_some()
            && kind(platform.os.as_deref()) != DeviceType::Other;
    if !same {
        return platform;
    }
    Platform {
        os_version: platform.os_version.or(said.os_version.filter(|_| said.os == platform.os)),
        form_factor: platform.form_factor.or(said.form_factor),
        model: said.model,
        os: platform.os,
    }
}

/// The kind of a native app: that of the system it runs on.
pub(super) fn kind(os: Option<&str>) -> DeviceType {
    match os {
        Some("iOS" | "iPadOS" | "tvOS" | "watchOS" | "visionOS") => DeviceType::Ios,
        Some("Android" | "Wear OS" | "Fire OS" | "HarmonyOS" | "Android TV") => DeviceType::Android,
        _ => DeviceType::Other,
    }
}

/// "iOS 18.5": a system and its version. A version alone is of none.
fn system(text: &str) -> Option<Platform> {
    let (name, version) =
        match text.find(|next: char| next.is_ascii_digit()).filter(|&at| text[..at].ends_with([' ', '/', '-'])) {
            Some(at) => (text[..at].trim_end_matches([' ', '/', '-', '(']), Some(&text[at..])),
            None => (text, None),
        };
    let known = [
        ("iphone os", "iOS"),
        ("ios", "iOS"),
        ("ipados", "iPadOS"),
        ("tvos", "tvOS"),
        ("watchos", "watchOS"),
        ("visionos", "visionOS"),
        ("macos", "macOS"),
        ("mac os x", "macOS"),
        ("mac os", "macOS"),
        ("android", "Android"),
        ("android tv", "Android TV"),
        ("wear os", "Wear OS"),
        ("wearos", "Wear OS"),
        ("fire os", "Fire OS"),
        ("fireos", "Fire OS"),
        ("harmonyos", "HarmonyOS"),
        ("harmonyos next", "HarmonyOS"),
        ("windows nt", "Windows"),
        ("windows", "Windows"),
        ("linux", "Linux"),
        ("chromeos", "ChromeOS"),
    ];
    let low = valid_name(name)?.to_ascii_lowercase();
    let os = known.iter().find(|(said, _)| *said == low).map_or(name, |(_, os)| os);
    let version = version.map(|text| text.split([' ', '(', ',']).next().unwrap_or_default());
    let version = version.and_then(|version| if os == "Windows" { windows(version) } else { Some(version.to_owned()) });
    let form = match os {
        "macOS" | "Windows" | "Linux" | "ChromeOS" => Some(FormFactor::Desktop),
        "iPadOS" => Some(FormFactor::Tablet),
        "tvOS" | "Android TV" => Some(FormFactor::Tv),
        "watchOS" | "Wear OS" => Some(FormFactor::Watch),
        _ => None,
    };
    Some(Platform::system(os, version.as_deref(), form))
}

/// Windows' version: its name, or the number of a build ("10.0.22631" is Windows 11).
fn windows(version: &str) -> Option<String> {
    let mut numbers = version.split('.');
    match (numbers.next(), numbers.next(), numbers.next().and_then(|build| build.parse::<u32>().ok())) {
        (Some("10"), Some("0"), Some(22_000..)) => Some("11".to_owned()),
        (Some("10"), Some("0"), _) => Some("10".to_owned()),
        _ => Some(version.to_owned()),
    }
}

/// The system of Apple's hardware, which runs no other.
fn os_of_model(model: &str) -> Option<&'static str> {
    let known = [
        ("iPhone", "iOS"),
        ("iPod", "iOS"),
        ("iPad", "iPadOS"),
        ("Watch", "watchOS"),
        ("AppleTV", "tvOS"),
        ("RealityDevice", "visionOS"),
        ("Mac", "macOS"),
        ("iMac", "macOS"),
        ("SM-", "Android"),
        ("Pixel ", "Android"),
    ];
    known.iter().find(|(start, _)| model.starts_with(start)).map(|&(_, os)| os)
}
