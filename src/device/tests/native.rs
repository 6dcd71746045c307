use super::{Sent, sent};
use crate::{
    device::{app_device_id, model, user_agent, valid_name},
    fields::UserAgentAlone,
    session::{DeviceType, FormFactor},
};

#[test]
fn names() {
    for (fields, name) in [
        (&[("device-platform", "Android 15"), ("device-model", "SM-S921B")][..], "Samsung Galaxy S24"),
        (
            &[("device-platform", "Android 15"), ("device-model", "samsung SM-S921B"), ("app-name", "Shop")],
            "Shop on Samsung Galaxy S24",
        ),
        (&[("device-platform", "iOS 18.5"), ("device-model", "iPhone16,2")], "iPhone 15 Pro Max"),
        (&[("device-platform", "iOS 18.5"), ("device-model", "iPhone99,1"), ("app-name", "Shop")], "Shop on iPhone"),
        (&[("device-platform", "iOS 18.5"), ("device-model", "arm64"), ("app-name", "Shop")], "Shop on iOS"),
        (&[("device-model", "Mac15,3"), ("device-platform", "macOS 15.2")], "Mac"),
        (&[("device-platform", "iOS 18.5")], "iOS app"),
        (&[("device-platform", "Windows 11"), ("app-name", "Shop")], "Shop on Windows 11"),
        (&[("device-platform", "Windows 10.0.22631"), ("app-name", "Shop")], "Shop on Windows 11"),
        (&[("device-platform", "Android 14"), ("user-agent", "Dart/3.5 (dart:io)")], "Android app"),
        (&[("device-platform", "Android 14"), ("user-agent", "Shop/5.1 (Android 14; Pixel 9)")], "Shop on Pixel 9"),
        (&[("device-id", "1234567890abcdef"), ("user-agent", "okhttp/4.12.0")], "Android app"),
        (&[("device-platform", "iOS 18"), ("device-name", "Lena%E2%80%99s iPhone")], "Lena’s iPhone"),
        (&[("device-platform", "iOS 18"), ("device-name", "田中のiPhone")], "田中のiPhone"),
        (&[("device-platform", "iOS 18"), ("device-name", "100% mine")], "100% mine"),
        // No name: two lines, another direction, nothing to see.
        (&[("device-platform", "iOS 18"), ("device-name", "a%0Ab")], "iOS app"),
        (&[("device-platform", "iOS 18"), ("device-name", "a%E2%80%AEb")], "iOS app"),
        (&[("device-platform", "iOS 18"), ("device-name", "%E2%80%8B")], "iOS app"),
        (&[("device-platform", "iOS 18"), ("device-name", "a"), ("device-name", "b")], "iOS app"),
    ] {
        assert_eq!(sent(fields).name, name, "{fields:?}");
    }
    let long = "ü".repeat(100);
    assert_eq!(sent(&[("device-platform", "iOS 18"), ("device-name", &long)]).name, "ü".repeat(64));
    assert_eq!(
        sent(&[("device-platform", "iOS 18"), ("device-name", &"%E7%94%B0".repeat(100))]).name.chars().count(),
        56
    );
}

#[test]
fn kinds() {
    use DeviceType::{Android, Ios, Other};
    for (platform, kind, form) in [
        ("iOS 18.5", Ios, None),
        ("iPadOS 18", Ios, Some(FormFactor::Tablet)),
        ("tvOS 18.5", Ios, Some(FormFactor::Tv)),
        ("watchOS 11", Ios, Some(FormFactor::Watch)),
        ("visionOS 2.5", Ios, None),
        ("Android 15", Android, None),
        ("Wear OS 5", Android, Some(FormFactor::Watch)),
        ("Fire OS 8", Android, None),
        ("HarmonyOS 4.2", Android, None),
        ("macOS 15.2", Other, Some(FormFactor::Desktop)),
        ("Windows 11", Other, Some(FormFactor::Desktop)),
        ("Plan 9", Other, None),
    ] {
        let device = sent(&[("device-platform", platform)]);
        assert_eq!((device.kind, device.form_factor), (kind, form), "{platform}");
        assert_eq!(device.os_version.as_deref(), platform.rsplit(' ').next(), "{platform}");
    }
    // A page in a browser can send all this; a name alone makes it no app.
    let chrome =
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
    let device = sent(&[("user-agent", chrome), ("device-name", "x"), ("app-name", "y")]);
    assert_eq!((device.name.as_str(), device.kind), ("Chrome on Linux", DeviceType::Web));
}

#[test]
fn a_system_without_a_name_is_none() {
    for platform in ["/5", "- 5", "( /5", "\u{200b} 5", "\u{3164}/5"] {
        let device = sent(&[("device-platform", platform)]);
        assert_eq!(
            (device.os, device.os_version, device.name.as_str()),
            (None, None, "Unknown device"),
            "{platform:?}"
        );
    }
    assert_eq!(sent(&[("device-platform", "/5"), ("user-agent", "okhttp/4.12.0")]).name, "Android app");
}

#[test]
fn a_line_that_is_cut_ends_in_something_to_see() {
    let fields = [("device-platform", "iOS 18"), ("app-name", &*"a".repeat(63))];
    assert_eq!(sent(&fields).name, "a".repeat(63));
}

#[test]
fn the_apps_own_id() {
    let id = |lines: &[&str]| {
        let fields = Sent(lines.iter().map(|line| ("device-id".to_owned(), line.as_bytes().to_vec())).collect());
        app_device_id(&fields).map(str::to_owned)
    };
    let (short, long) = ("a".repeat(15), "a".repeat(129));
    assert_eq!(id(&["9f1c2b7e-5d0a-4c3e"]).as_deref(), Some("9f1c2b7e-5d0a-4c3e"));
    assert_eq!(id(&[&long[1..]]).as_deref(), Some(&long[1..]));
    for lines in [
        &[short.as_str()][..],
        &[&long],
        &["0123456789 abcdef"],
        &["0123456789abcdeü"],
        &[&long[..20], &long[..20]],
        &[],
    ] {
        assert_eq!(id(lines), None, "{lines:?}");
    }
}

#[test]
fn what_is_kept_of_a_user_agent() {
    let kept = |text| user_agent(&UserAgentAlone(Some(text)));
    assert_eq!(kept("a\tb\u{7f}\u{85}ü").as_deref(), Some("abü"));
    assert_eq!(kept(&"ü".repeat(600)).map(|text| text.chars().count()), Some(512));
    assert_eq!(user_agent(&UserAgentAlone(None)), None);
}

#[test]
fn names_that_users_give() {
    for name in ["x", "Mum's tablet", "手机", "\u{1f469}\u{200d}\u{1f4bb}", "❤\u{fe0f}", "مكتب", &"ü".repeat(64)]
    {
        assert_eq!(valid_name(&format!("  {name}\t")).as_deref(), Some(name));
    }
    let invisible =
        ["", " ", "\u{a0}", "\u{200b}\u{200d}", "\u{fe0f}", "\u{115f}", "\u{3164}", "\u{2800}", "\u{e0020}", "\u{ad}"];
    let unplain =
        ["a\nb", "a\u{0}", "a\u{9b}", "a\u{2028}b", "a\u{2029}b", "\u{202e}abc", "\u{202a}", "a\u{2066}b", "a\u{2069}"];
    for name in invisible.into_iter().chain(unplain).chain([&*"ü".repeat(65)]) {
        assert_eq!(valid_name(name), None, "{name:?}");
    }
}

#[test]
fn every_line_of_the_tables_is_found() {
    for (codes, name) in include_str!("../samsung.txt").lines().filter_map(|line| line.split_once(" Galaxy ")) {
        for code in codes.split(' ').filter(|_| !codes.starts_with('#')) {
            assert_eq!(code.len(), 4, "{code}");
            assert_eq!(model::marketing_name(&format!("SM-{code}B")), format!("Samsung Galaxy {name}"), "{code}");
        }
    }
    for (known, name) in include_str!("../apple.txt").lines().filter_map(|line| line.split_once('=')) {
        let identifier = known.replace(",*", ",99").replace('*', "99,9");
        assert_eq!(model::apple_name(&identifier), Some(name), "{known}");
    }
    assert_eq!(model::marketing_name("SM-Z999B"), "Samsung SM-Z999B");
    assert_eq!(model::apple_name("Pixel 8"), None);
}
