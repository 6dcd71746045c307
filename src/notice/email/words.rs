//! What a mail says.

use std::fmt;

use time::UtcOffset;

use crate::{event::Event, html::escaped};

/// A mail that is to be put into words: what [`Email::template`](crate::Email::template) is given.
#[derive(Clone)]
#[non_exhaustive]
pub struct NewLoginMail {
    /// What happened. Its texts come from whoever signed in: [`device`](Self::device) and [`place`](Self::place) are safer.
    pub event: Event,
    /// The address of a page on which to say that it was somebody else: a secret, for this mail alone. `None` where the
    /// application has set no [`alert_links`](crate::SessionsBuilder::alert_links).
    pub disown_url: Option<String>,
    /// The address that the mail goes to.
    pub to: String,
    /// As set with [`Email::service_name`](crate::Email::service_name).
    pub service_name: Option<String>,
}

impl NewLoginMail {
    /// What the device is called, "Chrome on Windows", as it can stand in text: of bounded length, in one line, and of
    /// nothing that a mail program makes a link of (`evil.example` becomes `evil[.]example`). In HTML it is still to be
    /// escaped: an app gives any name to itself.
    #[must_use]
    pub fn device(&self) -> String {
        harmless(&self.event.device_name)
    }

    /// Where it was, as far as that is known: "Moscow, Russia (203.0.113.7)". As harmless as [`device`](Self::device).
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let location = self.event.location.as_deref().map(harmless).filter(|location| !location.is_empty());
        match (location, self.event.ip_address) {
            (Some(location), Some(address)) => Some(format!("{location} ({address})")),
            (Some(location), None) => Some(location),
            (None, Some(address)) => Some(address.to_string()),
            (None, None) => None,
        }
    }

    /// The words that are used without a [`template`](crate::Email::template); also for those whose language it has not.
    #[must_use]
    pub fn english(&self) -> MailText {
        let account = match &self.service_name {
            Some(name) => format!("your {name} account"),
            None => "your account".to_owned(),
        };
        let subject = format!("New sign-in to {account}");
        let opening = format!("There was a new sign-in to {account}.");
        let at = self.event.at.to_offset(UtcOffset::UTC);
        let time = format!("{} {} {}, {:02}:{:02} UTC", at.day(), at.month(), at.year(), at.hour(), at.minute());
        let facts = [("Device", Some(self.device())), ("Place", self.place()), ("Time", Some(time))];

        let mut text = format!("{opening}\n\n");
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{}</title></head>\n<body>\n<p>{}</p>\n<table>\n",
            escaped(&subject),
            escaped(&opening)
        );
        for (what, fact) in facts.iter().filter_map(|(what, fact)| Some((what, fact.as_ref()?))) {
            text.push_str(&format!("{what}: {fact}\n"));
            html.push_str(&format!("<tr><td>{what}:</td><td>{}</td></tr>\n", escaped(fact)));
        }
        text.push_str(&format!("\n{IT_WAS_YOU}\n\n"));
        html.push_str(&format!("</table>\n<p>{IT_WAS_YOU}</p>\n"));
        if let Some(url) = &self.disown_url {
            let url_in_html = escaped(url);
            text.push_str(&format!("{SAY_SO}\n{url}\n"));
            html.push_str(&format!("<p>{SAY_SO}<br>\n<a href=\"{url_in_html}\">{url_in_html}</a></p>\n"));
        } else {
            text.push_str(&format!("{CHANGE_IT}\n"));
            html.push_str(&format!("<p>{CHANGE_IT}</p>\n"));
        }
        html.push_str("</body>\n</html>\n");
        MailText::new(subject, text).html(html)
    }
}

const IT_WAS_YOU: &str = "If this was you, there is nothing to do.";
const SAY_SO: &str = "If it was not you, say so on this page, and that device is signed out:";
const CHANGE_IT: &str = "If it was not you, change your password and sign out that device.";

/// Neither the link nor the address.
impl fmt::Debug for NewLoginMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewLoginMail").field("event", &self.event.id).finish_non_exhaustive()
    }
}

/// A mail in words.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailText {
    /// The subject: one line, of which the first 200 characters are taken.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The same as an HTML document, if any.
    pub html: Option<String>,
}

impl MailText {
    /// In plain text alone.
    pub fn new(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { subject: subject.into(), text: text.into(), html: None }
    }

    /// And in HTML: a whole document. Whatever of it is not the application's own is to be escaped.
    #[must_use]
    pub fn html(self, html: impl Into<String>) -> Self {
        Self { html: Some(html.into()), ..self }
    }
}

/// The link is in it.
impl fmt::Debug for MailText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailText").finish_non_exhaustive()
    }
}

/// More than a device's name or a place has.
const LONGEST: usize = 100;

/// Without what leaves its line or its direction, and without what mail programs make a link of by themselves: the name of
/// a device is the intruder's to choose, and it stands in a mail that people believe. Brackets, so that a person can still
/// read what it was.
pub(super) fn harmless(text: &str) -> String {
    let kept: Vec<char> = text.chars().filter(|next| !leaves_its_line(*next)).take(LONGEST).collect();
    let mut harmless = String::with_capacity(text.len());
    for (at, &next) in kept.iter().enumerate() {
        let after = &kept[at + 1..];
        // The full stops that IDNA takes for one as well (RFC 3490 §3.1). Domains end in two letters or more.
        let before_a_name = after.len() >= 2 && after[..2].iter().all(|letter| letter.is_alphabetic());
        match next {
            '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}' if before_a_name => harmless.push_str("[.]"),
            ':' if after.starts_with(&['/', '/']) => harmless.push_str("[:]"),
            _ => harmless.push(next),
        }
    }
    harmless
}

fn leaves_its_line(next: char) -> bool {
    next.is_control()
        || matches!(next, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
