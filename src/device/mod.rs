//! What a session runs on, in words for its owner, out of the headers of its sign-in.
//!
//! They are claims, and half of a `User-Agent` is history: every browser names every older one. So the rules go from the
//! special to the general ([`client`] for the program, [`platform`] for the hardware below it), and what browsers froze
//! (Windows 10, macOS 10.15.7, "Android 10; K") counts as unknown. Over that go the Client Hints ([`hints`], [`merge`]),
//! and over them what a native app says of itself ([`native`]). `woothee` knows the browsers of the past and is asked last.

mod android;
mod apple;
mod browsers;
mod client;
mod hints;
mod merge;
mod model;
mod native;
mod platform;
mod programs;
#[cfg(test)]
mod tests;
mod text;
mod user_agent;

#[cfg(feature = "email")]
pub(crate) use self::text::percent_decoded;
pub(crate) use self::{
    hints::HINTS,
    text::{app_device_id, user_agent, valid_name},
};

use self::{
    client::ClientKind, hints::Hints, native::Native, platform::Platform, text::bounded, user_agent::UserAgent,
};
use crate::{
    fields::Fields,
    session::{Device, DeviceType, FormFactor},
};

/// The name when there is nothing to say.
const UNKNOWN: &str = "Unknown device";

/// Describes the device behind these headers. Never fails: what cannot be told is `None`.
pub(crate) fn describe(fields: &dyn Fields) -> Device {
    let text = text::cleaned(fields);
    let ua = UserAgent::new(text.trim());
    let (client, platform) = merge::applied(&Hints::of(fields), &ua);
    if let Some(native) = Native::of(fields) {
        return native.device(&client, platform);
    }
    if client.kind == ClientKind::Bot {
        // The hardware in a crawler's header is that of the visitor it plays.
        return Device::named(bounded(client.name.unwrap_or_else(|| "Bot".to_owned())));
    }
    let (kind, name, browser) = match client.kind {
        ClientKind::Tool => (DeviceType::Other, client.name.unwrap_or_default(), None),
        ClientKind::App => (native::kind(platform.os.as_deref()), app_name(client.name.as_deref(), &platform), None),
        _ => browser(client.name, &platform, client.kind == ClientKind::WebView),
    };
    let browser_version = if browser.is_some() { client.version } else { None };
    Device {
        browser: browser.map(bounded),
        browser_version: browser_version.map(bounded),
        ..described(name, kind, platform)
    }
}

/// Of that name, on that platform.
fn described(name: String, kind: DeviceType, platform: Platform) -> Device {
    Device {
        kind,
        form_factor: platform.form_factor,
        os: platform.os.map(bounded),
        os_version: platform.os_version.map(bounded),
        model: platform.model.map(bounded),
        ..Device::named(bounded(name))
    }
}

/// A browser: its kind, its line, and its name unless that says nothing.
fn browser(name: Option<String>, platform: &Platform, web_view: bool) -> (DeviceType, String, Option<String>) {
    // A television or console calls itself Chrome or Safari because it has their engine, not because it is one.
    let appliance = matches!(platform.form_factor, Some(FormFactor::Tv | FormFactor::Console))
        && platform.os.as_deref() != Some("Android")
        || platform.model.as_deref() == Some("Tesla");
    let console = platform.form_factor == Some(FormFactor::Console);
    let engine = |name: &String| match name.as_str() {
        "Chrome" | "Chromium" | "Safari" | "Firefox" => true,
        // Amazon's is on no console.
        "Silk" => console,
        _ => false,
    };
    let name = name.filter(|name| !(appliance && engine(name)));
    let label = if web_view { "In-app browser" } else { name.as_deref().unwrap_or("Browser") };
    match platform.place() {
        Some(place) => (DeviceType::Web, format!("{label} on {place}"), name),
        None if name.is_some() => (DeviceType::Web, label.to_owned(), name),
        None => (DeviceType::Other, UNKNOWN.to_owned(), None),
    }
}

/// The line of a program that is no browser: "MyApp on iOS", "iPhone app", "curl".
fn app_name(name: Option<&str>, platform: &Platform) -> String {
    match (name, platform.place(), platform.os.as_deref()) {
        (Some(name), Some(place), _) if name != place => format!("{name} on {place}"),
        (Some(name), _, _) => name.to_owned(),
        (None, Some(place), Some(os @ ("Android" | "Fire OS"))) if place != os => format!("Android app on {place}"),
        (None, Some(place), Some("Roku OS" | "tvOS" | "watchOS")) if platform.model.is_some() => place,
        (None, Some(place), _) => format!("{place} app"),
        (None, None, _) => UNKNOWN.to_owned(),
    }
}
