//! Push to Apple's devices: HTTP/2 to APNs, with a provider token.
//!
//! [Sending notification requests to APNs](https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns)

mod answer;
mod provider_token;
mod push;

use std::{borrow::Cow, fmt, time::Duration};

use reqwest::{
    Client, Url,
    header::{AUTHORIZATION, HeaderValue},
};

use self::{
    answer::Failure,
    provider_token::ProviderTokens,
    push::{Alert, Push},
};
use super::wire::{client, is_loopback, is_safe};
use super::{NotDelivered, Notifier};
#[cfg(any(test, feature = "test-util"))]
use crate::clock::Clock;
use crate::{
    error::ConfigError,
    event::{self, Event, Message, Notice, Wants},
};

const PRODUCTION: &str = "https://api.push.apple.com";
const SANDBOX: &str = "https://api.sandbox.push.apple.com";

/// Push to the app on Apple's devices, by APNs: a notifier of [`Message::ForceLogout`] and [`Message::NewLogin`].
///
/// The first wakes the app in the background, the second is shown by the system. What is sent, and what the app has to do, is in
/// `docs/apns.md`.
///
/// All deliveries share one HTTP/2 connection, which stays open, and one provider token, which is renewed every 40 minutes:
/// APNs takes none that is older than an hour, nor a new one within 20 minutes
/// ([Apple](https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns)).
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum_device_sessions::Apns;
///
/// let key = std::fs::read("AuthKey_ABC123DEFG.p8")?;
/// let apns = Apns::new(key, "ABC123DEFG", "DEF123GHIJ", "com.example.MyApp")?;
/// # let _ = apns; Ok(())
/// # }
/// ```
pub struct Apns {
    client: Client,
    /// Scheme, host and port.
    origin: Cow<'static, str>,
    provider: String,
    topic: String,
    tokens: ProviderTokens,
    alert: Box<Alert>,
}

impl Apns {
    /// Of Apple's production service, for apps out of the App Store and `TestFlight`. Takes what Apple's developer account
    /// has: the contents of the key's `.p8` file, the key's id, the team's id (both of 10 characters), and the topic, which
    /// is the app's bundle id. The devices are those with the provider `apns`.
    ///
    /// # Errors
    ///
    /// The key is no P-256 private key in PKCS#8, or an id or the topic cannot be one.
    pub fn new(
        key_p8: impl AsRef<[u8]>,
        key_id: impl Into<String>,
        team_id: impl Into<String>,
        topic: impl Into<String>,
    ) -> Result<Self, ConfigError> {
        let (key_id, team_id, topic) = (key_id.into(), team_id.into(), topic.into());
        for (what, id) in [("key", &key_id), ("team", &team_id)] {
            if id.len() != 10 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(ConfigError::new(format!(
                    "{id:?} is not the id of a {what}: give the 10 letters and digits that Apple's developer account shows \
                     for your {what}"
                )));
            }
        }
        let is_of_bundle = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if topic.is_empty() || !topic.bytes().all(is_of_bundle) {
            return Err(ConfigError::new(format!(
                "{topic:?} is no topic of APNs: give the app's bundle id, `com.example.MyApp` for example"
            )));
        }
        Ok(Self {
            client: http_2(false)?,
            origin: Cow::Borrowed(PRODUCTION),
            provider: "apns".to_owned(),
            topic,
            tokens: ProviderTokens::new(key_p8.as_ref(), key_id, team_id)?,
            alert: Box::new(push::new_sign_in),
        })
    }

    /// Of Apple's development service instead, for apps that Xcode has put on a device. Their device tokens are of no use to
    /// the production service, and the other way round: give them a [`provider`](Self::provider) of their own where the same
    /// application has both.
    #[must_use]
    pub fn sandbox(mut self) -> Self {
        self.origin = Cow::Borrowed(SANDBOX);
        self
    }

    /// Somewhere else: a stand-in of your own that speaks HTTP/2, for tests. `https://host[:port]`, or `http://` on this very
    /// machine, then without TLS and negotiation ("prior knowledge", RFC 9113 §3.3).
    ///
    /// # Errors
    ///
    /// It is no such URL.
    pub fn endpoint(mut self, url: &str) -> Result<Self, ConfigError> {
        let (origin, is_loopback) = origin(url).ok_or_else(|| {
            ConfigError::new(format!(
                "{url:?} cannot stand in for APNs: give an `https` URL without path and credentials, or an `http` one of \
                 loopback"
            ))
        })?;
        self.client = http_2(is_loopback)?;
        self.origin = Cow::Owned(origin);
        Ok(self)
    }

    /// Which devices are its own: those whose [`PushTarget`](crate::PushTarget) names this provider. 1 to 40 of `a-z`, `0-9`,
    /// `-` and `_`; default: `apns`.
    ///
    /// # Errors
    ///
    /// It is no such name.
    pub fn provider(mut self, name: impl Into<String>) -> Result<Self, ConfigError> {
        self.provider = name.into();
        if event::is_name(&self.provider) {
            return Ok(self);
        }
        Err(ConfigError::new(format!(
            "{:?} is no name of a provider: give 1 to 40 of `a-z`, `0-9`, `-` and `_`",
            self.provider
        )))
    }

    /// Title and text of the alert about a sign-in, in the user's language for example. Default: `New sign-in`, and
    /// `Chrome on Windows, Moscow, Russia`. APNs takes 4096 bytes in all.
    ///
    /// It is shown on locked screens: name nothing that a bystander must not see.
    #[must_use]
    pub fn alert(mut self, words: impl Fn(&Event) -> (String, String) + Send + Sync + 'static) -> Self {
        self.alert = Box::new(words);
        self
    }

    /// Another clock for the provider token, for tests of its renewal.
    #[cfg(any(test, feature = "test-util"))]
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.tokens.clock = clock;
        self
    }

    /// What is no device token goes nowhere: `..` in it would ask for another path, with our authority.
    fn url_of(&self, device_token: &str) -> Result<String, NotDelivered> {
        if device_token.is_empty() || !device_token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotDelivered::gone("no device token of APNs: it is not hexadecimal"));
        }
        Ok(format!("{}/3/device/{device_token}", self.origin))
    }

    async fn post(&self, url: &str, push: &Push, provider_token: &HeaderValue) -> Result<(), Failure> {
        let mut request = self
            .client
            .post(url)
            .header(AUTHORIZATION, provider_token)
            .header("apns-id", push.id.to_string())
            .header("apns-topic", &self.topic)
            .header("apns-push-type", push.push_type)
            .header("apns-priority", push.priority)
            .header("apns-expiration", push.expiration);
        if let Some(id) = push.collapse_id {
            request = request.header("apns-collapse-id", id.to_string());
        }
        // The URL holds the device's token.
        let unsent = |error: reqwest::Error| NotDelivered::retry(error.without_url());
        let response = request.body(push.body.clone()).send().await.map_err(unsent)?;
        answer::judge(response).await
    }
}

impl Notifier for Apns {
    fn wants(&self) -> Wants {
        Wants::push(&self.provider)
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), NotDelivered> {
        let event = &notice.event;
        let (target, push) = match &notice.message {
            Message::ForceLogout { target } => (target, Push::force_logout(notice)),
            Message::NewLogin { target } => (target, Push::new_login(notice, (self.alert)(event))),
            Message::Event | Message::NewLoginMail { .. } => {
                return Err(NotDelivered::refused("APNs reaches devices only, and this is not for one"));
            }
        };
        let url = self.url_of(&target.token)?;
        let token = self.tokens.current()?;
        let stale = match self.post(&url, &push, &token).await {
            Err(Failure::StaleProviderToken(cause)) => cause,
            done => return done.map_err(Failure::into_error),
        };
        // Its hour is up by Apple's clock, if not by ours.
        match self.tokens.instead_of(&token)? {
            Some(newer) => self.post(&url, &push, &newer).await.map_err(Failure::into_error),
            None => Err(Failure::StaleProviderToken(stale).into_error()),
        }
    }
}

/// Without the key, and without anything of a device.
impl fmt::Debug for Apns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apns")
            .field("origin", &self.origin)
            .field("provider", &self.provider)
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// HTTP/2 alone. Apple asks for connections to be kept for hours to days, and takes frequent new ones for an attack: so an idle
/// one is not given up. One that has died meanwhile would swallow request after request, so there is a PING while an answer
/// is outstanding, and only then: 6 s in all, within the default time of a delivery.
fn http_2(is_loopback: bool) -> Result<Client, ConfigError> {
    let builder = Client::builder()
        .http2_prior_knowledge()
        .pool_idle_timeout(None)
        .http2_keep_alive_interval(Duration::from_secs(3))
        .http2_keep_alive_timeout(Duration::from_secs(3));
    client(builder, is_loopback)
}

/// The scheme, host and port of a usable endpoint, and whether that is this machine.
fn origin(url: &str) -> Option<(String, bool)> {
    let url = Url::parse(url).ok()?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    (is_bare && is_safe(&url)).then(|| (url.origin().ascii_serialization(), is_loopback(&url)))
}
