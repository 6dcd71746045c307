//! What a hostile name can do to a mail: nothing, for any name.

use proptest::prelude::*;

use super::words::harmless;
use crate::html::escaped;

/// What a mail program would make a link of: far more than most do.
fn looks_like_a_link(text: &str) -> bool {
    let letters: Vec<char> = text.chars().collect();
    text.contains("://")
        || letters.windows(3).any(|three| {
            matches!(three[0], '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}')
                && three[1].is_alphabetic()
                && three[2].is_alphabetic()
        })
}

/// Names as an intruder would make them up.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        r"[a-z]{0,8}(://|:|\.|。|．|@|/| |\r|\n|\u{202e}|\u{200f}|[а-я]|<|&|'){0,6}[a-zа-я.:/]{0,150}",
    ]
}

proptest! {
    #[test]
    fn no_links_no_lines_no_end(name in name()) {
        let shown = harmless(&name);
        prop_assert!(!looks_like_a_link(&shown), "{shown}");
        prop_assert!(!shown.chars().any(char::is_control));
        prop_assert!(shown.chars().count() <= 300);
        if !looks_like_a_link(&name) && name.chars().all(|next| next.is_alphanumeric() || next == ' ') {
            prop_assert_eq!(shown, name.chars().take(100).collect::<String>());
        }
    }

    #[test]
    fn html_stays_text(name in name()) {
        let html = escaped(&name);
        prop_assert!(!html.contains(['<', '>', '"', '\'']));
        let read = html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
        prop_assert_eq!(read.replace("&amp;", "&"), name);
    }
}

/// That the check above would find one.
#[test]
fn links_are_found() {
    for link in ["see evil.example", "http://10.0.0.1", "evil。example", "пример.рф"] {
        assert!(looks_like_a_link(link), "{link}");
    }
    assert!(!looks_like_a_link("Chrome 140.0 on Windows 8.1"));
}
