//! The hints over what the User-Agent says. They win where both speak: the User-Agent is frozen, and easily changed.

use super::{
    android,
    client::{Client, ClientKind},
    hints::Hints,
    platform::Platform,
    programs::BRANDS,
    text::cut_name,
    user_agent::{UserAgent, major},
};
use crate::session::FormFactor;

pub(super) fn applied(hints: &Hints, ua: &UserAgent<'_>) -> (Client, Platform) {
    let said = Platform::of(ua);
    let (platform, agree) = platform(hints, said, ua);
    (client(hints, Client::of(ua), agree), platform)
}

/// The platform, and whether the User-Agent speaks of the same one.
fn platform(hints: &Hints, said: Platform, ua: &UserAgent<'_>) -> (Platform, bool) {
    let Some(os) = hints.platform.as_deref().and_then(known_os) else { return (said, true) };
    let agree = ua.text.is_empty()
        || said.os.as_deref() == Some(os)
        || match os {
            // Consoles, televisions, cars and headsets run one of these below.
            "Windows" => ua.has("Windows"),
            "Linux" => ua.has_any(&["Linux", "X11"]) && !ua.has("Android"),
            // Or the desktop's site is wanted.
            "Android" => ua.has_any(&["Android", "Linux"]),
            "ChromeOS" => ua.has("Linux"),
            _ => false,
        };
    let special = said.model.is_some() && os != "Android" || said.form_factor == Some(FormFactor::Tv);
    if agree && (special || matches!(said.os.as_deref(), Some("Fire OS" | "HarmonyOS"))) {
        return (said, true);
    }
    let said = if agree { said } else { Platform::default() };
    let version = hints.platform_version.as_deref().and_then(|version| os_version(os, version));
    let version = version.or_else(|| said.os_version.clone().filter(|_| said.os.as_deref() == Some(os)));
    let mut platform = if os == "Android" {
        let code = hints.model.as_deref().and_then(super::model::android_model);
        let mut new = android::device(os, version, code.as_deref(), hints.mobile);
        // A headset keeps its name in the User-Agent only.
        if code.is_none() && said.os.as_deref() == Some(os) {
            new.model = said.model;
            new.form_factor = said.form_factor.or(new.form_factor);
        }
        new
    } else {
        let form = if hints.mobile == Some(true) && os != "Windows" && os != "macOS" {
            None
        } else {
            Some(FormFactor::Desktop)
        };
        Platform::system(os, version.as_deref(), form)
    };
    if !hints.form_factors.is_empty() && platform.form_factor != Some(FormFactor::Tv) {
        platform.form_factor = form_factor(&hints.form_factors);
    }
    (platform, agree)
}

/// The systems by the names of the hints. Of others the User-Agent knows more.
fn known_os(name: &str) -> Option<&'static str> {
    let known = [
        ("Windows", "Windows"),
        ("macOS", "macOS"),
        ("Linux", "Linux"),
        ("Android", "Android"),
        ("Chrome OS", "ChromeOS"),
        ("Chromium OS", "ChromeOS"),
        ("ChromeOS", "ChromeOS"),
        ("iOS", "iOS"),
        ("HarmonyOS", "HarmonyOS"),
        ("Fuchsia", "Fuchsia"),
        ("FreeBSD", "FreeBSD"),
    ];
    known.iter().find(|(said, _)| *said == name).map(|&(_, os)| os)
}

/// The version in the words of a person. On Windows it is a number of its own (Microsoft, "Detect Windows 11"), on Linux
/// the kernel's, and on `ChromeOS` that of a build.
fn os_version(os: &str, version: &str) -> Option<String> {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let (first, second) = (numbers.next()?.ok()?, numbers.next().and_then(Result::ok).unwrap_or(0));
    match os {
        "Windows" => match (first, second) {
            (13.., _) => Some("11"),
            (1..=10, _) => Some("10"),
            (0, 1) => Some("7"),
            (0, 2) => Some("8"),
            (0, 3) => Some("8.1"),
            _ => None,
        }
        .map(str::to_owned),
        "Linux" | "ChromeOS" => None,
        _ if first == 0 => None,
        _ => {
            let plain = version.bytes().all(|next| next.is_ascii_digit() || next == b'.') && version.len() <= 12;
            let mut version = version;
            while let Some(shorter) = version.strip_suffix(".0") {
                version = shorter;
            }
            plain.then(|| version.to_owned())
        }
    }
}

/// The shape out of a list. What is worn on the head or built into a car is none that we have a word for.
fn form_factor(list: &[String]) -> Option<FormFactor> {
    let has = |name: &str| list.iter().any(|form| form == name);
    let known = [("Watch", FormFactor::Watch), ("Tablet", FormFactor::Tablet), ("Mobile", FormFactor::Phone)];
    let known = known.into_iter().chain([("Desktop", FormFactor::Desktop)]).find(|(name, _)| has(name));
    known.filter(|_| !has("XR") && !has("Automotive")).map(|(_, form)| form)
}

/// The program, where `agree` tells whether the User-Agent is that of the same platform.
fn client(hints: &Hints, said: Client, agree: bool) -> Client {
    let Some((kind, name, version)) = brand(&hints.brands) else { return said };
    let hinted = Client::new(kind, Some(&name), version);
    if kind == ClientKind::Bot {
        return hinted;
    }
    let generic = matches!(name.as_str(), "Chrome" | "Chromium") || kind == ClientKind::WebView;
    match said.kind {
        ClientKind::Bot | ClientKind::Tool => said,
        ClientKind::App if said.name.is_some() => said,
        // Chromium is below it, but it is an app: no browser says so of itself.
        ClientKind::InApp if agree => said,
        ClientKind::Browser if agree && generic && !is_plain(said.name.as_deref()) => said,
        _ => hinted,
    }
}

/// Browsers that the hints know better: those of Chromium's family that name themselves there, and of other families,
/// which send no hints.
fn is_plain(name: Option<&str>) -> bool {
    let others = ["Chrome", "Chromium", "Edge", "Safari", "Firefox", "Internet Explorer", "Android Browser"];
    name.is_none_or(|name| others.contains(&name))
}

/// The brand that is a browser's: one of its own before Chrome, and that before Chromium, which is below all of them.
fn brand(brands: &[(String, String)]) -> Option<(ClientKind, String, Option<String>)> {
    let rank = |name: &str| match name {
        "HeadlessChrome" => 6,
        "Microsoft Edge WebView2" | "Android WebView" => 5,
        name if is_made_up(name) => 0,
        "Chromium" => 1,
        "Google Chrome" => 2,
        "Microsoft Edge" => 3,
        _ => 4,
    };
    // The first of the highest.
    let ranked = brands.iter().map(|brand| (rank(&brand.0), brand)).filter(|(rank, _)| *rank > 0);
    let (rank, (said, version)) = ranked.rev().max_by_key(|(rank, _)| *rank)?;
    let name = BRANDS.iter().find(|(brand, _)| brand == said).map_or(said.as_str(), |(_, name)| name);
    let version = Some(major(version))
        .filter(|text| (1..=6).contains(&text.len()) && text.bytes().all(|next| next.is_ascii_digit()));
    let kind = match rank {
        6 => ClientKind::Bot,
        5 => ClientKind::WebView,
        _ => ClientKind::Browser,
    };
    Some((kind, cut_name(name)?, version))
}

/// GREASE: a brand that changes with every version, so that nobody counts on the list. "Not?A_Brand" in all spellings.
fn is_made_up(name: &str) -> bool {
    let letters: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    let odd = |next: char| !(next.is_ascii_alphanumeric() || " .+-&'!".contains(next));
    letters.eq_ignore_ascii_case("NotABrand") || name.contains(odd) || name.trim().len() < 2
}
