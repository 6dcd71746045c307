mod hints;
mod native;
mod properties;

use crate::{
    fields::{Fields, UserAgentAlone},
    session::{Device, DeviceType, FormFactor},
};

/// User-Agent | name | kind | form factor | OS and version | browser and major version | model. `-` is `None`.
const TABLE: &str = include_str!("../tests.txt");

fn describe(user_agent: Option<&str>) -> Device {
    super::describe(&UserAgentAlone(user_agent))
}

fn text(value: Option<&str>) -> &str {
    value.unwrap_or("-")
}

fn rows() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let mut cells = line.split(" | ");
        (cells.next().unwrap(), cells.collect())
    })
}

/// What a rule says of a User-Agent, in the form of the table.
fn described(user_agent: &str) -> Vec<String> {
    let device = describe(Some(user_agent));
    vec![
        device.name,
        device.kind.as_str().to_owned(),
        text(device.form_factor.map(FormFactor::as_str)).to_owned(),
        format!("{} {}", text(device.os.as_deref()), text(device.os_version.as_deref())),
        format!("{} {}", text(device.browser.as_deref()), text(device.browser_version.as_deref())),
        text(device.model.as_deref()).to_owned(),
    ]
}

#[test]
fn real_user_agents() {
    let wrong: Vec<_> = rows()
        .filter(|(user_agent, expected)| described(user_agent) != *expected)
        .map(|(user_agent, expected)| format!("{user_agent}\n  want {expected:?}\n  got  {:?}", described(user_agent)))
        .collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows().count() >= 60);
}

/// The order of checks that tutorials show.
fn naive(user_agent: &str) -> String {
    let first = |list: &[&'static str]| list.iter().copied().find(|word| user_agent.contains(word)).unwrap_or("?");
    let os = match first(&["Windows", "Mac", "Linux", "Android", "iPhone"]) {
        "Mac" => "macOS",
        os => os,
    };
    format!("{} on {os}", first(&["Chrome", "Firefox", "Safari", "Edg", "Opera"]))
}

/// Negative control: the table must be able to tell a bad classifier from ours.
#[test]
fn the_naive_order_fails_on_the_table() {
    let said = |name: &str| {
        let (user_agent, _) = rows().find(|(_, expected)| expected[0] == name).unwrap();
        naive(user_agent)
    };
    assert_eq!(said("Edge on Windows"), "Chrome on Windows");
    assert_eq!(said("Safari on iPhone"), "Safari on macOS");
    assert_eq!(said("Firefox on Windows"), "Firefox on Windows", "it is right where the order does not matter");
    let right = rows().filter(|(user_agent, expected)| naive(user_agent) == expected[0]).count();
    assert!(right * 4 < rows().count(), "naive: {right} right");
}

/// How far woothee gets alone, on the rows that are a browser. Not a demand on it: the reason for our own rules.
#[test]
fn woothee_alone_is_not_enough() {
    let browsers: Vec<_> = rows().filter(|(_, expected)| expected[1] == "web").collect();
    let right = browsers.iter().filter(|(user_agent, expected)| {
        let found = woothee::parser::Parser::new().parse(user_agent).unwrap_or_default();
        let name = match found.name {
            "SamsungBrowser" => "Samsung Internet",
            "Google Search App" => "Google app",
            name => name,
        };
        let os = match found.os {
            "Mac OSX" => "macOS",
            "iPhone" => "iOS",
            "iPad" => "iPadOS",
            os if os.starts_with("Windows ") && os != "Windows Phone OS" => "Windows",
            os => os,
        };
        expected[4].rsplit_once(' ').unwrap().0 == name && expected[3].rsplit_once(' ').unwrap().0 == os
    });
    let right = right.count();
    println!("woothee alone: browser and OS right in {right} of {}", browsers.len());
    assert!(right < browsers.len());
}

#[test]
fn nothing_to_go_by() {
    for user_agent in [None, Some(""), Some(" "), Some("-"), Some("Mozilla/5.0"), Some("1/2"), Some("\u{202e}\u{0}")] {
        let device = describe(user_agent);
        assert_eq!((device.name.as_str(), device.kind), ("Unknown device", DeviceType::Other), "{user_agent:?}");
    }
    assert_eq!(describe(Some(&"a".repeat(33))).name, "Unknown device", "too long for a name");
    assert_eq!(describe(Some("<script>alert(1)</script>")).name, "Unknown device");
    assert_eq!(describe(Some("Mozilla/5.0Edg/.")).browser_version, None, "a dot is no version");
    let model = "Mozilla/5.0 (Linux; Android 14; <b>x</b>) AppleWebKit/537.36 Chrome/131.0.0.0 Mobile Safari/537.36";
    assert_eq!(describe(Some(model)).name, "Chrome on Android");
}

#[test]
fn only_the_first_512_bytes_count() {
    let filler = "x".repeat(490);
    assert_eq!(describe(Some(&format!("{filler} Windows NT 6.1"))).os.as_deref(), Some("Windows"));
    assert_eq!(describe(Some(&format!("{filler}{filler} Windows NT 6.1"))).os, None);
    // The cut falls into a character.
    assert_eq!(describe(Some(&format!("app/1 {}", "ä".repeat(600)))).name, "app");
}

/// Any header fields.
struct Sent(Vec<(String, Vec<u8>)>);

impl Fields for Sent {
    fn lines(&self, name: &str) -> Vec<&[u8]> {
        self.0.iter().filter(|(sent, _)| sent == name).map(|(_, value)| value.as_slice()).collect()
    }
}

/// These header fields.
fn sent(fields: &[(&str, &str)]) -> Device {
    super::describe(&Sent(fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()))
}
