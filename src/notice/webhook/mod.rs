//! Events to the application's own systems: one signed POST each, by [Standard Webhooks](https://www.standardwebhooks.com).

mod secret;

use std::{fmt, time::Duration};

use reqwest::{Client, StatusCode, Url, header::CONTENT_TYPE};

use self::secret::Secret;
use super::wire::{client, is_loopback, retry, wishes};
use super::{NotDelivered, Notifier};
use crate::{
    clock::Clock,
    error::ConfigError,
    event::{EventKind, Message, Notice, Wants},
};

/// Tells a system of the application's own of events, by HTTP POST as
/// [Standard Webhooks 1.0.0](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)
/// has it: there is a library for the receiver in most languages, and `examples/webhook_receiver.rs` shows that it can do
/// without. `docs/webhook.md` has each header and answer.
///
/// ```
/// # use axum_device_sessions::{ConfigError, EventKind, Webhook};
/// # fn webhook() -> Result<Webhook, ConfigError> {
/// # let (secret, old_secret) = (
/// #     "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
/// let webhook = Webhook::new("https://example.com/hooks/sessions", secret)?
///     .also_sign_with(old_secret)? // until the receiver has the new one
///     .events([EventKind::SessionEnded, EventKind::LoginSuspicious]);
/// # Ok(webhook)
/// # }
/// # webhook().unwrap();
/// ```
///
/// The URL is the operator's. One that somebody else may choose lets them reach what only this machine can reach (SSRF).
#[must_use]
pub struct Webhook {
    client: Client,
    url: Url,
    /// The one that counts first.
    secrets: Vec<Secret>,
    events: Vec<EventKind>,
}

impl Webhook {
    /// To this URL, signed with this secret: `whsec_` and the base64 of 24 to 64 random bytes. Each receiver has a secret of
    /// its own, or one of them could speak to the other.
    ///
    /// `https`, since people's names and addresses are in it; `http` to this very machine (`localhost` and addresses of
    /// loopback). The system's trusted roots count, and so does its proxy (`HTTPS_PROXY`), except on the way to this machine.
    ///
    /// # Errors
    ///
    /// Another URL, one with a user or password in it, or a secret of another form or that could be guessed.
    pub fn new(url: impl AsRef<str>, secret: impl AsRef<str>) -> Result<Self, ConfigError> {
        let url = read(url.as_ref())?;
        // A given-up attempt then closes its connection, and the next one does not wait on one that is dead. Nor should it
        // hang on other features which version is spoken.
        let client = client(Client::builder().http1_only(), is_loopback(&url))?;
        // It comes far more often than all others, and seldom says anything.
        let events = EventKind::ALL.iter().copied().filter(|kind| *kind != EventKind::SessionRefreshed).collect();
        Ok(Self { client, url, secrets: vec![Secret::read(secret.as_ref())?], events })
    }

    /// Signs with this one as well, after the others. To change a secret: sign with both, the new one first; give the
    /// receiver the new one; take the old one out. It loses nothing in between.
    ///
    /// # Errors
    ///
    /// As [`Webhook::new`], and one that it has already.
    pub fn also_sign_with(mut self, secret: impl AsRef<str>) -> Result<Self, ConfigError> {
        let secret = Secret::read(secret.as_ref())?;
        if self.secrets.iter().any(|known| known.is(&secret)) {
            return Err(ConfigError::new("this webhook signs with that secret already: give `also_sign_with` another"));
        }
        self.secrets.push(secret);
        Ok(self)
    }

    /// Of these kinds alone. By default: every kind, those of later versions too, but
    /// [`session.refreshed`](EventKind::SessionRefreshed). That one comes every few minutes from everybody who is there.
    pub fn events(mut self, kinds: impl IntoIterator<Item = EventKind>) -> Self {
        self.events = kinds.into_iter().collect();
        self
    }
}

impl Notifier for Webhook {
    fn wants(&self) -> Wants {
        Wants::events(self.events.iter().copied())
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), NotDelivered> {
        if !matches!(notice.message, Message::Event) {
            return Err(NotDelivered::refused("a webhook takes events alone"));
        }
        let body = serde_json::to_vec(&notice.event).map_err(NotDelivered::refused)?;
        let id = notice.event.id.to_string();
        // Of the attempt: a receiver refuses what was signed long ago.
        let timestamp = Clock::default().wall().unix_timestamp();
        let signatures: Vec<_> = self.secrets.iter().map(|secret| secret.sign(&id, timestamp, &body)).collect();
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures.join(" "))
            .body(body);
        // The URL may be a secret by itself.
        let response = request.send().await.map_err(|cause| NotDelivered::retry(cause.without_url()))?;
        judge(response.status(), wishes(&response))
    }
}

/// "Delivery success and failure" of the specification: all but 2xx is a failure, and a failure is tried again, since the
/// receiver may mend a wrong 404 or 401. Only 410 says never.
fn judge(status: StatusCode, wish: Option<Duration>) -> Result<(), NotDelivered> {
    let number = status.as_u16();
    if status.is_success() {
        Ok(())
    } else if status == StatusCode::GONE {
        Err(NotDelivered::refused(
            "answered with status 410: the receiver wants no more of these; take the webhook out or correct its URL",
        ))
    } else if status.is_redirection() {
        let cause =
            format!("answered with status {number}, and redirects are not followed: give the webhook its new URL");
        Err(retry(wish, cause))
    } else {
        Err(retry(wish, format!("answered with status {number}")))
    }
}

/// It is not repeated in errors: its path may be a secret, and so is what stands before an `@`.
fn read(url: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(url).map_err(|cause| {
        ConfigError::because("the webhook's URL cannot be read: give all of it, `https://example.com/hooks`", cause)
    })?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(ConfigError::new("the webhook's URL is not of the web: give one that begins with `https://`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ConfigError::new(
            "the webhook's URL has a user or password in it: take them out; the signature says who sends it",
        ));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(ConfigError::new(
            "events hold personal data, and by `http` anybody on the way can read them: give the webhook an `https` URL \
             (`http` is for `localhost` and addresses of loopback)",
        ));
    }
    Ok(url)
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("origin", &self.url.origin().ascii_serialization())
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::Undelivered;

    #[test]
    fn every_status_by_the_specification() {
        let wish = Some(Duration::from_secs(120));
        for number in 200..600 {
            let status = StatusCode::from_u16(number).unwrap();
            for wish in [None, wish] {
                let what = judge(status, wish).map_err(|failure| failure.what);
                let expected = match number {
                    200..300 => Ok(()),
                    410 => Err(Undelivered::Refused),
                    _ => Err(Undelivered::Retry { after: wish }),
                };
                assert_eq!(what, expected, "{number}");
            }
        }
    }
}
