//! From whom, to whom, and the mail as it goes over the wire.

use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};
use url::Host;
use uuid::Uuid;

use super::words::MailText;
use crate::error::{BoxError, ConfigError};

/// Longer ones no mail program shows.
const LONGEST_SUBJECT: usize = 200;

pub(super) fn sender(text: &str) -> Result<Mailbox, ConfigError> {
    let advice = "the mail's sender is no address: give one like `Example <security@example.com>`";
    let sender: Mailbox = text.parse().map_err(|cause| ConfigError::because(advice, cause))?;
    let address =
        ascii(&sender.email).ok_or_else(|| ConfigError::new("the mail's sender has an address that is not ASCII"))?;
    Ok(Mailbox::new(sender.name, address))
}

/// Says nothing of the address itself: it is personal, and the error is logged.
pub(super) fn recipient(text: &str) -> Result<Address, &'static str> {
    let address: Address =
        text.trim().parse().map_err(|_| "what `address_of` has given for this user is no address of mail")?;
    // Servers that take others (RFC 6531) are rare, and the mails to most of those bounce further on.
    ascii(&address).ok_or("the user's address is not ASCII before its `@`, which few servers take")
}

/// With the domain as it is in the DNS (RFC 5891).
fn ascii(address: &Address) -> Option<Address> {
    if address.user().is_ascii() && address.domain().is_ascii() {
        return Some(address.clone());
    }
    let Host::Domain(domain) = Host::parse(address.domain()).ok()? else { return None };
    Some(Address::new(address.user(), domain).ok()?).filter(|address| address.user().is_ascii())
}

/// The mail with its headers. There is no `List-Unsubscribe`: notices of this kind are not for opting out of.
pub(super) fn message(from: &Mailbox, to: &Address, id: Uuid, words: &MailText) -> Result<Vec<u8>, BoxError> {
    let subject: String = words.subject.chars().take(LONGEST_SUBJECT).collect();
    let builder = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to.clone()))
        // Line breaks would be encoded, and stand there as signs that nobody can read.
        .subject(subject.replace(char::is_control, " "))
        // The same at every attempt, so that a server or a mail program can drop the second one (RFC 5322 §3.6.4).
        .message_id(Some(format!("<{id}@{}>", from.email.domain())))
        // RFC 3834 §5: nobody's holiday notice is to answer this.
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
    let message = match &words.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(in_lines(&words.text), in_lines(html))),
        None => builder.singlepart(SinglePart::plain(in_lines(&words.text))),
    }?;
    Ok(message.formatted())
}

/// A CR alone must not be sent (RFC 5321 §2.3.8): for some servers it ends a line, and so perhaps the mail. lettre lets it
/// through.
fn in_lines(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.replace(|next: char| next.is_control() && !matches!(next, '\n' | '\t'), " ")
}
