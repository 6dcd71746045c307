//! The text of a `User-Agent` and the ways to look into it. Each is one pass over at most 512 bytes.

/// A cleaned header: visible ASCII and spaces, at most 512 bytes.
pub(super) struct UserAgent<'a> {
    pub(super) text: &'a str,
}

impl<'a> UserAgent<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// Whether the text has that part anywhere.
    pub(super) fn has(&self, part: &str) -> bool {
        self.text.contains(part)
    }

    /// Whether it has any of them.
    pub(super) fn has_any(&self, parts: &[&str]) -> bool {
        parts.iter().any(|part| self.has(part))
    }

    /// What follows `token`, where `token` starts a word: "Line/" is not in "Online/", nor "iOS/" in "CriOS/".
    pub(super) fn after(&self, token: &str) -> Option<&'a str> {
        self.text
            .match_indices(token)
            .find(|&(at, _)| !self.text[..at].ends_with(|before: char| before.is_ascii_alphanumeric()))
            .map(|(at, _)| &self.text[at + token.len()..])
    }

    /// The version number that follows `token`, with dots.
    pub(super) fn version(&self, token: &str) -> Option<String> {
        let digits = self.after(token)?.chars().take_while(|next| next.is_ascii_digit() || matches!(next, '.' | '_'));
        let version: String = digits.take(12).map(|next| if next == '_' { '.' } else { next }).collect();
        let version = version.trim_end_matches('.');
        version.starts_with(|first: char| first.is_ascii_digit()).then(|| version.to_owned())
    }

    /// The major version that follows `token`.
    pub(super) fn major(&self, token: &str) -> Option<String> {
        self.version(token).map(|version| major(&version))
    }

    /// Whether it is the header of a browser, whatever the brand. Apps and tools start with their own name.
    pub(super) fn is_web(&self) -> bool {
        ["Mozilla/", "Opera/", "UCWEB/"].iter().any(|start| self.text.starts_with(start))
    }

    /// The parts of the first comment: "(Linux; Android 14; moto g power (2022))" has three.
    pub(super) fn comment(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let inside = self.text.split_once('(').map_or("", |(_, rest)| rest);
        let mut depth = 0_u32;
        let end = inside.find(|next| match next {
            '(' => {
                depth += 1;
                false
            }
            ')' if depth == 0 => true,
            ')' => {
                depth -= 1;
                false
            }
            _ => false,
        });
        inside[..end.unwrap_or(inside.len())].split(';').map(str::trim)
    }

    /// The name at the start, if it is a name and not that of a library below the app.
    pub(super) fn product(&self) -> Option<String> {
        let end = self.text.find(['/', ' ', '(']).unwrap_or(self.text.len());
        // iOS percent-encodes the display name of the app.
        let name = self.text[..end].replace("%20", " ");
        let below = ["Mozilla", "Dalvik", "okhttp", "CFNetwork", "Darwin"];
        (is_name(&name) && !below.contains(&name.as_str())).then_some(name)
    }

    /// The name of a crawler: a word that ends like one.
    pub(super) fn crawler(&self) -> Option<&'a str> {
        let words = self.text.split(|next: char| !(next.is_ascii_alphanumeric() || matches!(next, '.' | '_' | '-')));
        words.map(|word| word.split_once('-').map_or(word, |(first, _)| first)).find(|word| {
            let low = word.to_ascii_lowercase();
            // "bot" alone is a page of documentation, CUBOT a maker of phones.
            let bot = ["bot", "spider", "crawler"].iter().any(|end| low.ends_with(end) && low != *end);
            bot && low != "cubot" && is_name(word)
        })
    }
}

/// The major part of a dotted version.
pub(super) fn major(version: &str) -> String {
    version.split('.').next().unwrap_or_default().to_owned()
}

/// Whether that can be shown as the name of a program.
fn is_name(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|next| next.is_ascii_alphanumeric() || matches!(next, '.' | '_' | '-' | ' '))
}
