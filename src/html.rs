//! Text in pages and mails.

/// As it can stand in HTML, between tags and within quotes: names of devices come from whoever signs in.
#[cfg(any(feature = "routes", feature = "email"))]
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for next in text.chars() {
        match next {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(next),
        }
    }
    escaped
}
