//! Models: from codes and identifiers to what people call them.

use crate::session::FormFactor;

const SAMSUNG: &str = include_str!("samsung.txt");
const APPLE: &str = include_str!("apple.txt");

/// What an Android device calls itself, if it is a model: not a locale, not a flag, not the frozen "K".
pub(super) fn android_model(part: &str) -> Option<String> {
    let part = part.split(" Build").next().unwrap_or_default().trim();
    let part = part.strip_prefix("SAMSUNG ").or_else(|| part.strip_prefix("SAMSUNG-")).unwrap_or(part);
    let part = part.strip_prefix("samsung ").unwrap_or(part);
    // "SM-S921B/DS" is the two-SIM variant.
    let part = if part.starts_with("SM-") { part.split(['/', ' ']).next().unwrap_or_default() } else { part };
    let flags = [
        "K",
        "U",
        "wv",
        "Mobile",
        "Tablet",
        "Phone",
        "Generic",
        "Linux",
        "unknown",
        "Unspecified Device",
        "HarmonyOS",
        "arm_64",
        "TV",
        "Android",
        "Desktop",
        "VR",
        "touch",
        "Touch",
        "null",
        "gzip",
    ];
    // "(Android; 14; samsung; SM-A556B)": neither the version nor the maker.
    let makers =
        ["samsung", "google", "xiaomi", "redmi", "huawei", "honor", "oneplus", "oppo", "vivo", "realme", "motorola"];
    let maker = makers.iter().any(|maker| part.eq_ignore_ascii_case(maker));
    let version = part.len() < 5 && part.bytes().all(|next| next.is_ascii_digit() || next == b'.');
    let bytes = part.as_bytes();
    let locale = bytes.len() == 2 && bytes.iter().all(u8::is_ascii_alphabetic)
        || bytes.len() == 5 && matches!(bytes[2], b'-' | b'_') && bytes[0].is_ascii_lowercase();
    let shown = |next: char| next.is_ascii_alphanumeric() || " -_.+()'&,".contains(next);
    let model = (2..=32).contains(&part.len())
        && part.starts_with(|first: char| first.is_ascii_alphanumeric())
        && part.chars().all(shown)
        && !locale
        && !maker
        && !(version && (part.len() < 4 || part.contains('.')))
        && !flags.contains(&part)
        && !["Build", "rv:", "Generic ", "arm", "HMSCore", "GMSCore", "Android ", "x86"]
            .iter()
            .any(|start| part.starts_with(start));
    model.then(|| part.to_owned())
}

/// Some put the maker before a name or a code that says it already.
pub(super) fn without_maker(model: &str) -> &str {
    for maker in ["samsung ", "google "] {
        if let Some((start, rest)) = model.split_at_checked(maker.len())
            && start.eq_ignore_ascii_case(maker)
            && ["SM-", "GT-", "SC-", "SCG", "Pixel", "Nexus"].iter().any(|code| rest.starts_with(code))
        {
            return rest;
        }
    }
    model.strip_prefix("SAMSUNG-").unwrap_or(model)
}

/// What people call a model of Android: "Samsung Galaxy S24" for "SM-S921B", the code itself where it is not known.
pub(super) fn marketing_name(model: &str) -> String {
    if ["sdk_g", "google_sdk", "Android SDK built for"].iter().any(|start| model.starts_with(start)) {
        return "Android emulator".to_owned();
    }
    if model.starts_with("Galaxy ") {
        return format!("Samsung {model}");
    }
    if model.starts_with("Quest") {
        return format!("Meta {model}");
    }
    let Some(code) = model.strip_prefix("SM-") else {
        let code = ["GT-", "SC-", "SCG"].iter().any(|start| model.starts_with(start));
        return if code { format!("Samsung {model}") } else { model.to_owned() };
    };
    let families = SAMSUNG.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" Galaxy "));
    match families.into_iter().find(|(codes, _)| codes.split(' ').any(|known| code.starts_with(known))) {
        Some((_, name)) => format!("Samsung Galaxy {name}"),
        None => format!("Samsung {model}"),
    }
}

/// What people call Apple hardware of that identifier: "iPhone 15 Pro" for "iPhone16,1".
pub(super) fn apple_name(identifier: &str) -> Option<&'static str> {
    let (family, number) = identifier.split_at(identifier.find(|next: char| next.is_ascii_digit())?);
    let digits = number.chars().all(|next| next.is_ascii_digit() || next == ',');
    if family.is_empty() || !digits || !number.contains(',') {
        return None;
    }
    let fits = |known: &str| match known.strip_suffix('*') {
        Some(start) if start.ends_with(',') => identifier.starts_with(start),
        Some(start) => family == start,
        None => identifier == known,
    };
    APPLE.lines().filter_map(|line| line.split_once('=')).find(|(known, _)| fits(known)).map(|(_, name)| name)
}

/// The model in the words of an app: of Apple, of Samsung, or as it says. Simulators have none.
pub(super) fn named(model: &str) -> Option<String> {
    if ["arm64", "x86_64", "i386", "unknown", "simulator"].iter().any(|none| model.eq_ignore_ascii_case(none)) {
        return None;
    }
    let model = without_maker(model);
    Some(apple_name(model).map_or_else(|| marketing_name(model), str::to_owned))
}

/// The shape, for the models whose code or name tells it.
pub(super) fn form_of_model(model: &str) -> Option<FormFactor> {
    let starts = |list: &[&str]| list.iter().any(|start| model.starts_with(start));
    if starts(&["SM-R8", "SM-R9", "SM-L", "Watch", "Apple Watch", "Pixel Watch"]) || model.contains("Watch") {
        return Some(FormFactor::Watch);
    }
    if starts(&["SM-X", "SM-T", "SM-P", "iPad", "Pixel Tablet", "Pixel C", "KF", "Nexus 7", "Nexus 9", "Nexus 10"])
        || model.split(' ').any(|word| matches!(word, "Tab" | "Pad" | "Tablet" | "MatePad" | "MediaPad"))
    {
        return Some(FormFactor::Tablet);
    }
    if is_tv(model) {
        return Some(FormFactor::Tv);
    }
    if starts(&["Mac", "iMac"]) {
        return Some(FormFactor::Desktop);
    }
    let phones =
        ["SM-S", "SM-A", "SM-F", "SM-G", "SM-M", "SM-N", "SM-J", "SM-E", "Pixel", "iPhone", "iPod", "GT-I", "SCG"];
    let names = ["moto", "Redmi Note", "Galaxy S", "Samsung Galaxy S", "Samsung Galaxy Z", "ONEPLUS", "Nokia"];
    (starts(&phones) || starts(&names)).then_some(FormFactor::Phone)
}

/// Whether it is a television, or a box below one.
pub(super) fn is_tv(model: &str) -> bool {
    let starts = ["AFT", "BRAVIA", "Chromecast", "AppleTV", "Apple TV", "MIBOX", "SHIELD Android TV", "Google TV"];
    starts.iter().any(|start| model.starts_with(start)) || model.contains("TV")
}
