//! What a session runs on, in words for its owner, out of a `User-Agent`.
//!
//! The header is a claim, and half of it is history: every browser names every older one. So the rules go from the
//! special to the general ([`client`] for the program, [`platform`] for the hardware below it), and what browsers
//! froze (Windows 10, macOS 10.15.7, "Android 10; K") counts as unknown. `woothee` knows the browsers of the past and is
//! asked last.

mod client;
mod model;
mod platform;
#[cfg(test)]
mod tests;
mod user_agent;

use self::{
    client::{Client, ClientKind},
    platform::Platform,
    user_agent::UserAgent,
};
use crate::session::{Device, DeviceType, FormFactor};

/// The longest prefix of a header that is looked at, in bytes. Few are longer, and those of apps at their end.
const MAX_INPUT: usize = 512;
/// The longest text that comes out, in characters.
const MAX_OUTPUT: usize = 64;
/// The name when there is nothing to say.
const UNKNOWN: &str = "Unknown device";

/// Describes the device behind a `User-Agent` header. Never fails: what cannot be told is `None`.
pub(crate) fn describe(fields: &dyn crate::fields::Fields) -> Device {
    let user_agent = fields.text("user-agent");
    let text = clean(user_agent.unwrap_or_default());
    let ua = UserAgent::new(&text);
    let client = Client::of(&ua);
    if client.kind == ClientKind::Bot {
        // The hardware in a crawler's header is that of the visitor it plays.
        return Device::named(bounded(client.name.unwrap_or_else(|| "Bot".to_owned())));
    }
    let platform = Platform::of(&ua);
    let (kind, name, browser) = match client.kind {
        ClientKind::App => (app_kind(&platform), app_name(client.name.as_deref(), &platform), None),
        _ => browser(client.name, &platform, client.kind == ClientKind::WebView),
    };
    let browser_version = if browser.is_some() { client.version } else { None };
    Device {
        name: bounded(name),
        kind,
        form_factor: platform.form_factor,
        os: platform.os.map(bounded),
        os_version: platform.os_version.map(bounded),
        browser: browser.map(bounded),
        browser_version: browser_version.map(bounded),
        model: platform.model.map(bounded),
    }
}

/// A browser: its kind, its line, and its name unless that says nothing.
fn browser(name: Option<String>, platform: &Platform, web_view: bool) -> (DeviceType, String, Option<String>) {
    // A television or console calls itself Chrome or Safari because it has their engine, not because it is one.
    let appliance = matches!(platform.form_factor, Some(FormFactor::Tv | FormFactor::Console));
    let name = name.filter(|name| !(appliance && matches!(name.as_str(), "Chrome" | "Safari")));
    let label = if web_view { "In-app browser" } else { name.as_deref().unwrap_or("Browser") };
    match platform.place() {
        Some(place) => (DeviceType::Web, format!("{label} on {place}"), name),
        None if name.is_some() => (DeviceType::Web, label.to_owned(), name),
        None => (DeviceType::Other, UNKNOWN.to_owned(), None),
    }
}

/// The kind of a program that is no browser: that of the system it runs on.
fn app_kind(platform: &Platform) -> DeviceType {
    match platform.os.as_deref() {
        Some("iOS" | "iPadOS") => DeviceType::Ios,
        Some("Android" | "Fire OS") => DeviceType::Android,
        _ => DeviceType::Other,
    }
}

/// The line of a program that is no browser: "MyApp on iOS", "iPhone app", "curl".
fn app_name(name: Option<&str>, platform: &Platform) -> String {
    match (name, platform.place(), platform.os.as_deref()) {
        (Some(name), Some(place), _) if name != place => format!("{name} on {place}"),
        (Some(name), _, _) => name.to_owned(),
        (None, Some(place), Some("Android")) if place != "Android" => format!("Android app on {place}"),
        (None, Some(place), Some("iOS" | "iPadOS" | "Android" | "Fire OS")) => format!("{place} app"),
        (None, Some(place), _) => place.to_owned(),
        (None, None, _) => UNKNOWN.to_owned(),
    }
}

pub(crate) fn app_device_id(fields: &dyn crate::fields::Fields) -> Option<&str> {
    fields.text("device-id")
}

pub(crate) fn user_agent(fields: &dyn crate::fields::Fields) -> Option<String> {
    fields.text("user-agent").map(str::to_owned)
}

pub(crate) fn valid_name(text: &str) -> Option<String> {
    Some(text.trim().to_owned())
}

pub(crate) const HINTS: &str =
    "Sec-CH-UA-Platform-Version, Sec-CH-UA-Model, Sec-CH-UA-Full-Version-List, Sec-CH-UA-Form-Factors";

/// The part of the header that is looked at. All but visible ASCII becomes a space: real headers have nothing else, and
/// so no control character, no right-to-left mark and no half character can come out again.
fn clean(text: &str) -> String {
    text.bytes().take(MAX_INPUT).map(|byte| if byte.is_ascii_graphic() { char::from(byte) } else { ' ' }).collect()
}

/// The text, not longer than [`MAX_OUTPUT`] characters.
fn bounded(text: String) -> String {
    if text.len() <= MAX_OUTPUT { text } else { text.chars().take(MAX_OUTPUT).collect() }
}
