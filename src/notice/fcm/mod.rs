//! Push to Android by Firebase Cloud Messaging, its HTTP v1 API.

mod access;
mod account;
mod answer;
mod message;

use std::fmt;

use reqwest::{
    Client, RequestBuilder, Url,
    header::{CONTENT_TYPE, HeaderValue},
};

use self::{access::AccessTokens, account::ServiceAccount, answer::Answer};
use super::wire::{client, is_loopback, is_safe};
use super::{NotDelivered, Notifier};
use crate::{
    error::ConfigError,
    event::{Notice, Wants},
};

/// Tells Android devices, by [Firebase Cloud Messaging](https://firebase.google.com/docs/cloud-messaging): a device whose
/// session has ended that it is to forget what it holds, and the other devices that somebody has signed in. For the devices
/// whose push target has the provider `fcm`.
///
/// Messages carry data only: what is shown is the app's decision. A push is a hint, and may come late or never; that a
/// session has ended is found out by the check on every request. `docs/fcm.md` says what is sent.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum_device_sessions::Fcm;
///
/// let fcm = Fcm::from_service_account(&std::fs::read_to_string("service-account.json")?)?;
/// # Ok(())
/// # }
/// ```
pub struct Fcm {
    project: String,
    send: Place,
    tokens: AccessTokens,
}

/// [RPC reference](https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send).
const ENDPOINT: &str = "https://fcm.googleapis.com";

impl Fcm {
    /// Sends in the name of this service account: the text of the key file that the Firebase console makes (Project settings,
    /// Service accounts, "Generate new private key"). The file is a secret; `Debug` shows the project alone.
    ///
    /// # Errors
    ///
    /// Not such a file, a private key that is no intact RSA key of 2048 bits or more, or a `token_uri` that is neither `https`
    /// nor on this machine.
    pub fn from_service_account(json: &str) -> Result<Self, ConfigError> {
        let account = ServiceAccount::read(json)?;
        let exchange = Place::new(&account.token_uri, "the service account's `token_uri`")?;
        let project = account.project.clone();
        let send = messages_of(ENDPOINT, &project)?;
        Ok(Self { project, send, tokens: AccessTokens::new(account, exchange) })
    }

    /// Another server than Google's (`https://fcm.googleapis.com`): one of a test's own, or a proxy. Whatever is sent, access
    /// tokens included, goes there.
    ///
    /// # Errors
    ///
    /// No URL, or one that is neither `https` nor `http` on this machine, or one with credentials, a query or a fragment.
    pub fn endpoint(self, base_url: &str) -> Result<Self, ConfigError> {
        let send = messages_of(base_url, &self.project)?;
        Ok(Self { send, ..self })
    }

    /// Another clock than the system's.
    #[cfg(any(test, feature = "test-util"))]
    #[must_use]
    pub fn clock(self, clock: crate::clock::Clock) -> Self {
        Self { tokens: self.tokens.clock(clock), ..self }
    }

    async fn send(&self, access_token: &str, body: Vec<u8>) -> Result<Answer, NotDelivered> {
        let request = self.send.post(JSON, body).bearer_auth(access_token);
        let response = request.send().await.map_err(|error| NotDelivered::retry(error.without_url()))?;
        Ok(Answer::read(response).await)
    }
}

impl Notifier for Fcm {
    fn wants(&self) -> Wants {
        Wants::push("fcm")
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), NotDelivered> {
        let body = message::request(notice).ok_or_else(|| NotDelivered::refused("FCM carries messages to devices"))?;
        let token = self.tokens.current().await?;
        let mut answer = self.send(token.as_str(), body.clone()).await?;
        if answer.refuses_access_token() {
            // Revoked, or our clock is behind. Once: with a new one refused as well, the fault lies elsewhere.
            let renewed = self.tokens.instead_of(&token).await?;
            answer = self.send(renewed.as_str(), body).await?;
        }
        answer.judge()
    }
}

impl fmt::Debug for Fcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fcm").field("project", &self.project).finish_non_exhaustive()
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

fn messages_of(base_url: &str, project: &str) -> Result<Place, ConfigError> {
    let what = "the endpoint of FCM";
    // Looked at by itself first: behind a query, the path would become a part of it.
    checked(base_url, what)?;
    Place::new(&format!("{}/v1/projects/{project}/messages:send", base_url.trim_end_matches('/')), what)
}

/// A URL that secrets are sent to, and the client for it.
struct Place {
    url: Url,
    client: Client,
}

impl Place {
    fn new(url: &str, what: &str) -> Result<Self, ConfigError> {
        let url = checked(url, what)?;
        let client = client(Client::builder(), is_loopback(&url))?;
        Ok(Self { url, client })
    }

    fn post(&self, content_type: HeaderValue, body: impl Into<Vec<u8>>) -> RequestBuilder {
        self.client.post(self.url.clone()).header(CONTENT_TYPE, content_type).body(body.into())
    }
}

/// Not followed anywhere else ([`client`]), so this is all there is to check.
fn checked(url: &str, what: &str) -> Result<Url, ConfigError> {
    safe(url).map_err(|why| {
        ConfigError::because(
            format!("{what} has to be an `https` URL (`http` on this machine alone), without credentials or a query"),
            why,
        )
    })
}

fn safe(url: &str) -> Result<Url, &'static str> {
    let url = Url::parse(url).map_err(|_| "it is no URL")?;
    if !is_safe(&url) {
        return Err("it is not `https`, or has credentials in it");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has a query or a fragment");
    }
    Ok(url)
}
