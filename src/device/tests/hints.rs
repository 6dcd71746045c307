use super::sent;
use crate::session::{DeviceType, FormFactor};

const WINDOWS: (&str, &str) = (
    "user-agent",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
);
const ANDROID: (&str, &str) = (
    "user-agent",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
);
const CHROME: (&str, &str) = ("sec-ch-ua", r#""Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140""#);

#[test]
fn the_version_of_windows() {
    for (said, version) in [
        ("19.0.0", Some("11")),
        ("13.0.0", Some("11")),
        ("10.0.0", Some("10")),
        ("1.0.0", Some("10")),
        ("0.3.0", Some("8.1")),
        ("0.2.0", Some("8")),
        ("0.1.0", Some("7")),
        ("0.0.0", None),
        ("", None),
        ("ten", None),
    ] {
        let quoted = format!("\"{said}\"");
        let fields = [WINDOWS, CHROME, ("sec-ch-ua-platform", "\"Windows\""), ("sec-ch-ua-platform-version", &quoted)];
        let device = sent(&fields);
        assert_eq!(device.os_version.as_deref(), version, "{said}");
        let place = version.map_or("Windows".to_owned(), |version| format!("Windows {version}"));
        assert_eq!(device.name, format!("Chrome on {place}"));
    }
}

#[test]
fn the_versions_of_others() {
    for (os, said, version) in [
        ("macOS", "15.5.0", Some("15.5")),
        ("macOS", "15.0.0", Some("15")),
        ("macOS", "10.15.7", Some("10.15.7")),
        ("Android", "16.0.0", Some("16")),
        ("Android", "8.1.0", Some("8.1")),
        ("Linux", "6.8.0", None),
        ("Chrome OS", "16328.55.0", None),
    ] {
        let (os, said) = (format!("\"{os}\""), format!("\"{said}\""));
        let device = sent(&[CHROME, ("sec-ch-ua-platform", &os), ("sec-ch-ua-platform-version", &said)]);
        assert_eq!(device.os_version.as_deref(), version, "{os} {said}");
    }
}

#[test]
fn brands() {
    for (brands, name) in [
        (r#""Not:A-Brand";v="8", "Chromium";v="156""#, "Chromium on Windows"),
        (
            r#""Microsoft Edge";v="140", "Microsoft Edge WebView2";v="140", "Chromium";v="140""#,
            "In-app browser on Windows",
        ),
        (r#""Brave";v="140", "Chromium";v="140", "Not?A_Brand";v="99""#, "Brave on Windows"),
        (r#""Google Chrome";v="140", "Opera GX";v="124", "Chromium";v="140""#, "Opera GX on Windows"),
        (r#""Island";v="140", "Chromium";v="140", "Not?A_Brand";v="99""#, "Island on Windows"),
        (r#""HeadlessChrome";v="140", "Chromium";v="140""#, "HeadlessChrome"),
        (r#""Avast Secure Browser";v="140", "Chromium";v="140""#, "Avast Secure Browser on Windows"),
        // What no parser can read says nothing.
        (r#""Brave";v="140", "Chromium"#, "Chrome on Windows"),
        ("", "Chrome on Windows"),
    ] {
        assert_eq!(sent(&[WINDOWS, ("sec-ch-ua", brands)]).name, name, "{brands}");
    }
    let full = ("sec-ch-ua-full-version-list", r#""Brave";v="141.0.1.2", "Chromium";v="141.0.1.2""#);
    assert_eq!(sent(&[WINDOWS, CHROME, full]).browser_version.as_deref(), Some("141"));
    assert_eq!(sent(&[WINDOWS, CHROME, ("sec-ch-ua-full-version-list", "")]).browser.as_deref(), Some("Chrome"));
}

/// Negative control for `sfv`: what a split at commas makes of a brand with a quote and a comma in it.
#[test]
fn a_made_up_brand_that_breaks_splitters() {
    let brands = r#""Not;A=Brand\", \"x";v="8", "Google Chrome";v="140""#;
    let split: Vec<_> = brands.split(", ").map(|brand| brand.split(';').next().unwrap().trim_matches('"')).collect();
    assert_ne!(split, [r#"Not;A=Brand", "x"#, "Google Chrome"]);
    assert_eq!(sent(&[WINDOWS, ("sec-ch-ua", brands)]).name, "Chrome on Windows");
    assert_eq!(sent(&[("sec-ch-ua", r#""a, \"Brave";v="8""#), WINDOWS]).name, "Chrome on Windows");
}

/// A browser or app that hides among Chromes keeps the name that only its User-Agent tells.
#[test]
fn what_only_the_user_agent_tells() {
    let on_windows = |more: &str| format!("{} {more}", WINDOWS.1);
    let platform = ("sec-ch-ua-platform", "\"Windows\"");
    let vivaldi = on_windows("Vivaldi/7.5.1");
    assert_eq!(sent(&[("user-agent", &vivaldi), CHROME, platform]).name, "Vivaldi on Windows");
    let slack = on_windows("Electron/30").replace("Chrome/", "Slack/4.38 Chrome/");
    let device = sent(&[("user-agent", &slack), CHROME, platform]);
    assert_eq!((device.name.as_str(), device.kind), ("Slack on Windows", DeviceType::Other));
    let facebook = format!("{} [FB_IAB/FB4A;FBAV/528.0.0.57.109;]", ANDROID.1);
    let model =
        [("sec-ch-ua-platform", "\"Android\""), ("sec-ch-ua-model", "\"SM-S911B\""), ("sec-ch-ua-mobile", "?1")];
    let web_view = ("sec-ch-ua", r#""Android WebView";v="140", "Chromium";v="140""#);
    let device = sent(&[("user-agent", &facebook), web_view, model[0], model[1], model[2]]);
    assert_eq!(device.name, "Facebook app on Samsung Galaxy S23");
    assert_eq!(device.form_factor, Some(FormFactor::Phone));
}

/// A changed User-Agent: the hints are what the browser still says of itself.
#[test]
fn a_user_agent_switch() {
    let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
        Version/17.5 Mobile/15E148 Safari/604.1";
    let device =
        sent(&[("user-agent", iphone), CHROME, ("sec-ch-ua-platform", "\"Linux\""), ("sec-ch-ua-mobile", "?0")]);
    assert_eq!((device.name.as_str(), device.model, device.os_version), ("Chrome on Linux", None, None));
    let device = sent(&[WINDOWS, CHROME, ("sec-ch-ua-platform", "\"macOS\"")]);
    assert_eq!(device.name, "Chrome on macOS");
}

#[test]
fn form_factors() {
    for (list, form) in [
        ("\"Tablet\"", Some(FormFactor::Tablet)),
        ("\"Mobile\", \"EInk\"", Some(FormFactor::Phone)),
        ("\"Watch\", \"Mobile\"", Some(FormFactor::Watch)),
        ("\"Desktop\", \"XR\"", None),
        ("\"Automotive\"", None),
    ] {
        let fields = [ANDROID, CHROME, ("sec-ch-ua-platform", "\"Android\""), ("sec-ch-ua-form-factors", list)];
        assert_eq!(sent(&fields).form_factor, form, "{list}");
    }
}

/// What runs Windows, Linux or Android below says so in the hints, and what it is in the User-Agent.
#[test]
fn consoles_and_televisions_keep_their_names() {
    let xbox = WINDOWS.1.replace("x64)", "x64; Xbox; Xbox Series X)");
    assert_eq!(sent(&[("user-agent", &xbox), CHROME, ("sec-ch-ua-platform", "\"Windows\"")]).name, "Browser on Xbox");
    let silk = "Mozilla/5.0 (Linux; Android 9; AFTKA) AppleWebKit/537.36 (KHTML, like Gecko) Silk/130.4.1 like Chrome/130.0 \
        Safari/537.36";
    let chromium = ("sec-ch-ua", r#""Chromium";v="130", "Not?A_Brand";v="99""#);
    assert_eq!(sent(&[("user-agent", silk), chromium, ("sec-ch-ua-platform", "\"Android\"")]).name, "Silk on Fire TV");
}
