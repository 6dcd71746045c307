use proptest::prelude::*;

use super::Sent;
use crate::device::{app_device_id, describe, text::MAX_OUTPUT, user_agent};

/// Headers made of the words that the rules look for, in any order, with anything between.
fn like_a_header() -> impl Strategy<Value = String> {
    let words = [
        "Mozilla/5.0",
        "(",
        ")",
        ";",
        " ",
        "/",
        "Android ",
        "Android 14; ",
        "iPhone",
        "CPU iPhone OS 18_6",
        "Version/26.0",
        "Safari/",
        "Chrome/",
        "Edg/",
        "FBAV/",
        "SM-S921B",
        "SM-",
        " Build/",
        "Windows NT ",
        "Mac OS X 10_",
        "like Mac OS X",
        "CFNetwork/",
        "Electron/",
        "Gecko) ",
        "Opera/",
        "MSIE ",
        "Trident/7.0; rv:",
        "bot",
        "DoCoMo/",
        "KDDI-",
        "PSP",
        "9.9.9",
        "\u{0}",
        "\r\n",
        "\u{1b}[31m",
        "\u{202e}",
        "é",
        "%20",
    ];
    let part = prop_oneof![4 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

const HEADERS: [&str; 14] = [
    "user-agent",
    "sec-ch-ua",
    "sec-ch-ua-full-version-list",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-ch-ua-platform-version",
    "sec-ch-ua-model",
    "sec-ch-ua-form-factors",
    "device-id",
    "device-name",
    "device-model",
    "device-platform",
    "app-name",
    "app-version",
];

/// Any bytes, words of User-Agents, structured fields and names, and their parts.
fn like_a_value() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "\"Windows\"",
        "\"Android\"",
        "\"13.0.0\"",
        "\"Google Chrome\";v=\"140\"",
        "\"Not;A=Brand\\\", \"",
        ", ",
        ";v=",
        "?1",
        "\"",
        "%E2%80",
        "%0A",
        "%",
        "Lena%E2%80%99s",
        "iPhone16,2",
        "SM-S921B",
        "iOS 18.5",
        "Android ",
        " 5",
        "/5",
        "- ",
        "\u{202e}",
        "\u{3164}",
        "\u{1f469}\u{200d}",
        "\"SM-",
        "é",
    ];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..1200),
        prop::collection::vec(prop::sample::select(words.to_vec()), 0..60)
            .prop_map(|parts| parts.concat().into_bytes()),
        prop::collection::vec(prop::sample::select(words.to_vec()), 1..4).prop_map(|parts| parts.concat().into_bytes()),
        like_a_header().prop_map(String::into_bytes),
    ]
}

/// Short enough for a list, one line, one direction.
fn plain(text: &str) -> bool {
    let bidi = |next| matches!(next, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.is_empty() && text.chars().count() <= MAX_OUTPUT && !text.chars().any(|next| next.is_control() || bidi(next))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_survived(user_agent in prop_oneof![any::<String>(), like_a_header(), "\\PC{0,2000}"]) {
        let device = super::describe(Some(&user_agent));
        let texts = [device.os, device.os_version, device.browser, device.browser_version, device.model];
        for text in texts.into_iter().flatten().chain([device.name]) {
            prop_assert!(plain(&text), "{text:?}");
        }
    }

    #[test]
    fn any_fields_are_survived(fields in prop::collection::vec((prop::sample::select(HEADERS.to_vec()), like_a_value()), 0..16)) {
        let fields = Sent(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        let device = describe(&fields);
        let texts = [device.os, device.os_version, device.browser, device.browser_version, device.model];
        for text in texts.into_iter().flatten().chain([device.name]) {
            prop_assert!(plain(&text), "{text:?}");
        }
        prop_assert!(user_agent(&fields).is_none_or(|text| text.chars().count() <= 512 && !text.contains(char::is_control)));
        prop_assert!(app_device_id(&fields).is_none_or(|id| (16..=128).contains(&id.len()) && id.bytes().all(|next| next.is_ascii_graphic())));
    }

    /// Whatever is behind the bound, it costs nothing and changes nothing: the work is limited by the bound.
    #[test]
    fn bytes_after_512_never_count(header in prop::sample::select(HEADERS.to_vec()), start in like_a_value(), tail in like_a_value()) {
        let start: Vec<u8> = start.into_iter().chain([b' '; 512]).take(512).collect();
        let other = ("device-platform", "Android 15");
        let with = |tail: &[u8]| {
            let mut fields = vec![(header.to_owned(), [&start, tail].concat())];
            if header.starts_with("device-") || header.starts_with("app-") {
                fields.push((other.0.to_owned(), other.1.as_bytes().to_vec()));
            }
            describe(&Sent(fields))
        };
        prop_assert_eq!(with(b"\"x"), with(&[b"\"x", tail.as_slice()].concat()));
    }
}
