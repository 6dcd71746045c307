//! One mail over a connection, and what the server's answers mean (RFC 5321 §4.2.1).

use std::error::Error as _;

use lettre::{
    Address,
    transport::smtp::{
        Error,
        client::AsyncSmtpConnection,
        commands::{Data, Mail, Rcpt},
        response::{Response, Severity},
    },
};

use super::super::NotDelivered;

/// Each answer is compared with what this very command may be answered: a 250 is no leave to send the mail.
pub(super) async fn send(
    connection: &mut AsyncSmtpConnection,
    from: &Address,
    to: &Address,
    mail: &[u8],
) -> Result<(), NotDelivered> {
    let said = connection.command(Mail::new(Some(from.clone()), Vec::new())).await;
    check("the sender", said, Severity::PositiveCompletion)?;
    let said = connection.command(Rcpt::new(to.clone(), Vec::new())).await;
    check("the recipient", said, Severity::PositiveCompletion)?;
    let said = connection.command(Data).await;
    check("DATA", said, Severity::PositiveIntermediate)?;
    let said = connection.message(mail).await;
    check("the mail", said, Severity::PositiveCompletion)
}

fn check(what: &str, said: Result<Response, Error>, expected: Severity) -> Result<(), NotDelivered> {
    match said {
        Ok(response) if response.code().severity == expected => Ok(()),
        Ok(response) => Err(NotDelivered::retry(format!("the mail server answered {what} with {}", response.code()))),
        Err(error) if error.is_permanent() && !is_about_us(&error) => {
            Err(NotDelivered::refused(told(&format!("the mail server refused {what}"), &error)))
        }
        Err(error) => Err(NotDelivered::retry(told(&format!("the mail server did not take {what}"), &error))),
    }
}

/// Who we are is not accepted (RFC 4954 §6), for every mail alike: that is put right in the settings, and then they go.
fn is_about_us(error: &Error) -> bool {
    error.status().is_some_and(|code| matches!(code.to_string().as_str(), "530" | "534" | "535" | "538"))
}

/// What happened, for the log. Of what a server says only the numbers: its words repeat the recipient's address, or ours.
pub(super) fn told(doing: &str, error: &Error) -> String {
    match error.status() {
        Some(code) => {
            format!("{doing}: {code}{}", enhanced(error).map(|code| format!(" ({code})")).unwrap_or_default())
        }
        None if error.is_response() => format!("{doing}: its answer was broken off, or is not SMTP"),
        // The words of the operating system or of the TLS library.
        None => format!("{doing}: {error}"),
    }
}

/// The code of RFC 3463 that most servers begin their words with: `5.1.1`.
fn enhanced(error: &Error) -> Option<String> {
    let words = error.source()?.to_string();
    let first = words.split_whitespace().next()?;
    let parts: Vec<&str> = first.split('.').collect();
    let is_code = parts.len() == 3
        && matches!(parts[0], "4" | "5")
        && parts.iter().all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|digit| digit.is_ascii_digit()));
    is_code.then(|| first.to_owned())
}
