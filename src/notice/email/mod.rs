//! Mail to a person about a sign-in, by SMTP.

mod before_tls;
mod outgoing;
mod server;
#[cfg(test)]
mod tests;
mod transaction;
mod words;

use std::{fmt, pin::Pin};

use lettre::message::Mailbox;

use self::server::Server;
pub use self::words::{MailText, NewLoginMail};
use super::{NotDelivered, Notifier};
use crate::{
    error::{BoxError, ConfigError},
    event::{Message, Notice, Wants},
    session::UserId,
};

type Asked<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;
type AddressOf = Box<dyn Fn(UserId) -> Asked<Option<String>> + Send + Sync>;
type Template = Box<dyn Fn(NewLoginMail) -> Asked<MailText> + Send + Sync>;

/// Tells users by mail that somebody has signed in to their account, with a link by which to say that it was not them.
///
/// Each mail goes to one person, in text and HTML, without tracking or anything that is loaded from elsewhere. A mail that
/// is sent twice, because the server's answer was lost, has the same `Message-ID` both times.
///
/// ```no_run
/// # use axum_device_sessions::{ConfigError, Email, UserId};
/// # async fn find(_: &UserId) -> Result<Option<String>, std::io::Error> { Ok(None) }
/// # fn f() -> Result<(), ConfigError> {
/// let mail = Email::smtp(
///     "smtps://mailer:correct%20horse@smtp.example.com",
///     "Example <security@example.com>",
///     |user| async move { Ok(find(&user).await?) },
/// )?
/// .service_name("Example");
/// # drop(mail);
/// # Ok(())
/// # }
/// ```
pub struct Email {
    server: Server,
    from: Mailbox,
    address_of: AddressOf,
    service_name: Option<String>,
    template: Option<Template>,
}

impl Email {
    /// By this server, from this address (`Example <security@example.com>`, or the address alone), to where `address_of` says.
    ///
    /// * `smtps://user:password@host`: TLS from the first byte, port 465. To be preferred (RFC 8314 §3).
    /// * `smtp://user:password@host?tls=required`: TLS by STARTTLS, port 587. Nothing is sent where the server offers none.
    /// * `smtp://localhost`: no TLS, port 25. Only to this very machine, since the mail holds a secret link.
    ///
    /// Name and password are percent-encoded (`@` is `%40`). A path is the name to give in `EHLO`
    /// (`smtps://host/app.example.com`); without one it is `[127.0.0.1]`.
    ///
    /// `address_of` is asked at each attempt: `None` where this user gets no mail, which then counts as delivered; an error
    /// where it cannot be said just now, which is tried again. That error is logged: no address belongs in it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where the URL is none of those, or the sender's address is none. It never repeats the URL.
    pub fn smtp<F, Fut>(url: &str, from: &str, address_of: F) -> Result<Self, ConfigError>
    where
        F: Fn(UserId) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<String>, Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        Ok(Self {
            server: Server::at(url)?,
            from: outgoing::sender(from)?,
            address_of: Box::new(move |user| Box::pin(address_of(user))),
            service_name: None,
            template: None,
        })
    }

    /// What the user knows this service as: "New sign-in to your *Example* account". Default: none, "your account".
    #[must_use]
    pub fn service_name(self, name: impl Into<String>) -> Self {
        Self { service_name: Some(name.into()), ..self }
    }

    /// Trusts servers with a certificate by this authority as well (PEM, one certificate or several): a mail server of
    /// one's own has often one that the operating system does not know. Its name and dates are checked all the same.
    /// Default: the operating system's authorities alone.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where there is no usable certificate in it, or the URL asks for no TLS.
    pub fn root_certificate_pem(self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        Ok(Self { server: self.server.trusting(pem.as_ref())?, ..self })
    }

    /// The application's own words, asked for at each attempt: in the user's language, in the application's design. An
    /// error is logged (no address and no link belongs in it), and tried again. Default: [`NewLoginMail::english`].
    #[must_use]
    pub fn template<F, Fut>(self, template: F) -> Self
    where
        F: Fn(NewLoginMail) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<MailText, Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        Self { template: Some(Box::new(move |mail| Box::pin(template(mail)))), ..self }
    }
}

impl Notifier for Email {
    fn wants(&self) -> Wants {
        Wants::mail()
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), NotDelivered> {
        let Message::NewLoginMail { disown_url } = &notice.message else {
            return Err(NotDelivered::refused("this is no message to be sent by mail"));
        };
        let user = notice.event.user_id.clone();
        let Some(to) = (self.address_of)(user).await.map_err(NotDelivered::retry)? else { return Ok(()) };
        let recipient = outgoing::recipient(&to).map_err(NotDelivered::refused)?;
        let mail = NewLoginMail {
            event: notice.event.clone(),
            disown_url: disown_url.clone(),
            to,
            service_name: self.service_name.clone(),
        };
        let words = match &self.template {
            Some(template) => template(mail).await.map_err(NotDelivered::retry)?,
            None => mail.english(),
        };
        let mail = outgoing::message(&self.from, &recipient, notice.event.id, &words).map_err(NotDelivered::refused)?;
        // Boxed: a connection with its TLS is some kilobytes, which whoever delivers would carry about.
        Box::pin(self.server.deliver(&self.from.email, &recipient, &mail)).await
    }
}

/// The URL has a password in it.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Email").field("server", &self.server).finish_non_exhaustive()
    }
}
