//! What is read of a header, and what may be shown to a person.

use crate::fields::Fields;

/// The longest prefix of a header that is looked at, in bytes. Few are longer, and those of apps at their end.
pub(super) const MAX_INPUT: usize = 512;
/// The longest text that comes out, in characters.
pub(super) const MAX_OUTPUT: usize = 64;
/// The most that is kept of a User-Agent, in characters.
const USER_AGENT_CHARS: usize = 512;

/// The User-Agent as text, without what Postgres or a terminal would choke on, and no longer than anybody needs.
pub(crate) fn user_agent(fields: &dyn Fields) -> Option<String> {
    let lines = fields.lines("user-agent");
    let text = String::from_utf8_lossy(lines.first()?);
    Some(text.chars().filter(|next| !next.is_control()).take(USER_AGENT_CHARS).collect())
}

/// The id that an app gave itself at its installation, where it has the form of one: hard to guess, easy to keep.
pub(crate) fn app_device_id(fields: &dyn Fields) -> Option<&str> {
    fields
        .text("device-id")
        .filter(|id| (16..=128).contains(&id.len()) && id.bytes().all(|next| next.is_ascii_graphic()))
}

/// A name that a user gives to a device, if it can be shown as one.
pub(crate) fn valid_name(text: &str) -> Option<String> {
    let text = text.trim();
    let fits = text.chars().take(MAX_OUTPUT + 1).count() <= MAX_OUTPUT;
    (fits && is_plain(text) && !text.chars().all(is_invisible)).then(|| text.to_owned())
}

/// The same of a header, where nobody is there to be told that it is too long.
pub(super) fn cut_name(text: &str) -> Option<String> {
    let text = bounded(text.trim().chars().take(MAX_OUTPUT).collect());
    // Half an emoji ends in a joiner.
    valid_name(text.trim_end_matches('\u{200d}'))
}

/// The text, not longer than [`MAX_OUTPUT`] characters. A cut leaves no space at the end, and no joiner of half an emoji.
pub(super) fn bounded(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_OUTPUT) {
        text.truncate(end);
        text.truncate(text.trim_end_matches(|last: char| last.is_whitespace() || last == '\u{200d}').len());
    }
    text
}

/// The part of a User-Agent that is looked at. All but visible ASCII becomes a space: real ones have nothing else, and
/// so no control character, no right-to-left mark and no half character can come out again.
pub(super) fn cleaned(fields: &dyn Fields) -> String {
    let lines = fields.lines("user-agent");
    let bytes = lines.first().copied().unwrap_or_default().iter().take(MAX_INPUT);
    bytes.map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { ' ' }).collect()
}

/// The value of a header of an app: UTF-8, as it is or percent-encoded (RFC 3986 §2.1).
pub(super) fn app_header(fields: &dyn Fields, name: &str) -> Option<String> {
    let [line] = fields.lines(name)[..] else { return None };
    let mut bytes = &line[..line.len().min(MAX_INPUT)];
    if bytes.len() < line.len() {
        // The cut may fall into an escape.
        let tail = bytes.iter().rev().take(2).position(|&byte| byte == b'%');
        bytes = &bytes[..bytes.len() - tail.map_or(0, |at| at + 1)];
    }
    cut_name(&percent_decoded(bytes).or_else(|| utf8(bytes))?)
}

/// The text behind percent-encoding, if it is text.
pub(crate) fn percent_decoded(bytes: &[u8]) -> Option<String> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let escape = (*first == b'%').then(|| Some((hex(*after.first()?)?, hex(*after.get(1)?)?))).flatten();
        if let Some((high, low)) = escape {
            decoded.push(high << 4 | low);
            rest = &after[2..];
        } else {
            decoded.push(*first);
            rest = after;
        }
    }
    utf8(&decoded)
}

/// The bytes as text. The last character may be cut off.
fn utf8(bytes: &[u8]) -> Option<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.to_owned()),
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok().map(str::to_owned)
        }
        Err(_) => None,
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Whether the text keeps to its line and its direction.
fn is_plain(text: &str) -> bool {
    text.chars().all(|next| {
        !(next.is_control()
            || matches!(next, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    })
}

/// Nothing to see where it stands alone: spaces, joiners, fillers, marks that change the character before them.
fn is_invisible(next: char) -> bool {
    next.is_whitespace()
        || matches!(next,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
