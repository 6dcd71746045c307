//! The text of a `User-Agent` and the ways to look into it. Each is one pass over at most 512 bytes.

use super::text::{percent_decoded, valid_name};

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
        // Some write all three numbers of "18.2".
        let version = version.strip_suffix(".0").filter(|short| short.contains('.')).unwrap_or(version);
        version.starts_with(|first: char| first.is_ascii_digit()).then(|| version.to_owned())
    }

    /// The major version that follows `token`.
    pub(super) fn major(&self, token: &str) -> Option<String> {
        self.version(token).map(|version| major(&version))
    }

    /// Whether it is the header of a browser, whatever the brand. Apps and tools start with their own name.
    pub(super) fn is_web(&self) -> bool {
        ["Mozilla/", "Opera/", "UCWEB/", "HbbTV/"].iter().any(|start| self.text.starts_with(start))
            || self.has("Profile/MIDP")
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

    /// All parts of all comments, and what is between them.
    pub(super) fn parts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.text.split([';', '(', ')']).map(str::trim)
    }

    /// The name at the start, if it is a name and not that of a library below the app.
    pub(super) fn product(&self) -> Option<String> {
        let end = self.text.find(['/', '(']).unwrap_or(self.text.len());
        // "My App 1.2 (iPhone; ..)": up to the number.
        let words = self.text[..end].split(' ').take_while(|word| !is_number(word) && *word != "Mozilla");
        let name = words.collect::<Vec<_>>().join(" ");
        // iOS percent-encodes the display name of the app.
        let name = percent_decoded(name.trim().as_bytes())?;
        let name = SYSTEMS.iter().find_map(|system| name.strip_suffix(system)).unwrap_or(&name);
        let below = [
            "Mozilla",
            "Dalvik",
            "okhttp",
            "CFNetwork",
            "Darwin",
            "iPhone",
            "iPad",
            "AppleTV",
            "Android",
            "AppleCoreMedia",
        ];
        (is_name(name) && valid_name(name).is_some() && !below.contains(&name)).then(|| name.to_owned())
    }

    /// The name after that: of a library, where the first is its language.
    pub(super) fn second_product(&self) -> Option<String> {
        let name = self.text.split(' ').nth(1)?.split('/').next()?;
        is_name(name).then(|| name.to_owned())
    }

    /// Whether a word is a version.
    pub(super) fn has_number(&self) -> bool {
        self.text.split(' ').any(is_number)
    }

    /// The first name after the engine's own words that is not an engine, a browser or its like.
    pub(super) fn foreign_product(&self) -> Option<String> {
        let (_, rest) = self.text.split_once("like Gecko)")?;
        let common = ["Chrome", "Chromium", "Electron", "Safari", "Mobile", "Version", "Edg"];
        let names = rest.split(' ').filter_map(|word| word.split_once('/')).map(|(name, _)| name);
        names.filter(|name| is_name(name) && !common.contains(name)).map(str::to_owned).next()
    }

    /// Who says to be compatible: "(compatible; Yahoo! Slurp; ..".
    pub(super) fn in_compatible(&self) -> Option<String> {
        let (_, rest) = self.text.split_once("compatible; ")?;
        let name = rest.split([';', ')', '/', '+', '(']).next()?.trim();
        is_name(name).then(|| name.to_owned())
    }

    /// Who fetches for somebody, and calls itself no bot: "(KHTML, like Gecko; compatible; Amzn-User/0.1) Chrome/119".
    pub(super) fn fetcher(&self) -> Option<String> {
        let plain = self.has("like Gecko; compatible; ") || self.has("compatible; ") && self.has("+http");
        self.in_compatible()
            .filter(|name| plain && self.is_web() && !["MSIE", "Mozilla"].iter().any(|other| name.starts_with(other)))
    }

    /// The name of a crawler: a word that ends like one.
    pub(super) fn crawler(&self) -> Option<&'a str> {
        let words = self.text.split(|next: char| !(next.is_ascii_alphanumeric() || matches!(next, '.' | '_' | '-')));
        words.flat_map(|word| [Some(word), word.split_once('-').map(|(first, _)| first)]).flatten().find(|word| {
            let low = word.to_ascii_lowercase();
            // "bot" alone is a page of documentation, as is "robot"; CUBOT is a maker of phones.
            let bot = ["bot", "spider", "crawler"].iter().any(|end| low.ends_with(end) && low != *end);
            bot && !["robot", "cubot"].contains(&low.as_str()) && is_name(word)
        })
    }
}

/// What some apps add to their names.
const SYSTEMS: [&str; 8] = ["-iOS", "-ios", "-iPhone", "-iPad", "-Android", "-android", "_iOS", "_Android"];

/// The major part of a dotted version.
pub(super) fn major(version: &str) -> String {
    version.split('.').next().unwrap_or_default().to_owned()
}

/// "1.2" or "v1.2".
fn is_number(word: &str) -> bool {
    word.strip_prefix('v').unwrap_or(word).starts_with(|first: char| first.is_ascii_digit())
}

/// Whether that can be shown as the name of a program.
fn is_name(text: &str) -> bool {
    text.chars().count() <= 40
        && text.starts_with(char::is_alphabetic)
        && text.chars().all(|next| next.is_alphanumeric() || matches!(next, '.' | '_' | '-' | ' ' | '!' | '&' | '\''))
}
