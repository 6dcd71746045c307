//! One GET of an issuer's keys: over `https`, without redirects, in bounded time, of bounded size.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::{Client, StatusCode, Url, redirect::Policy};

use super::key_set::MAX_BODY;
use crate::{
    error::{BoxError, ConfigError},
    token::claims::Members,
};

/// For discovery and keys together. Requests wait for it, and they have deadlines of their own of a few seconds.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(2);

pub(super) struct Fetcher {
    client: Client,
    issuer: Arc<str>,
    place: Place,
    time_limit: Duration,
}

enum Place {
    Keys(Url),
    /// Asked each time, so that keys that have moved are found.
    Discovery(Url),
}

impl Fetcher {
    pub(super) fn new(issuer: Arc<str>, jwks_url: Option<&str>, time_limit: Duration) -> Result<Self, ConfigError> {
        let place = match jwks_url {
            Some(url) => Place::Keys(safe(url).map_err(|why| unusable(url, why))?),
            None => {
                // OpenID Connect Discovery §4: a slash at the end is taken off first.
                let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                Place::Discovery(safe(&url).map_err(|why| unusable(&url, why))?)
            }
        };
        let (Place::Keys(url) | Place::Discovery(url)) = &place;
        // A redirect would let whoever answers choose another place, and the issuer can simply name the right one.
        let mut builder = Client::builder().redirect(Policy::none()).referer(false).user_agent(USER_AGENT);
        if is_loopback(url) {
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .map_err(|cause| ConfigError::because(format!("issuer {issuer:?}: no HTTP client can be made"), cause))?;
        Ok(Self { client, issuer, place, time_limit })
    }

    /// The key set as it is published.
    pub(super) async fn fetch(&self) -> Result<Vec<u8>, BoxError> {
        match tokio::time::timeout(self.time_limit, self.fetch_all()).await {
            Ok(fetched) => fetched,
            Err(_late) => Err(format!("no answer within {:?}", self.time_limit).into()),
        }
    }

    async fn fetch_all(&self) -> Result<Vec<u8>, BoxError> {
        match &self.place {
            Place::Keys(url) => self.get(url.clone()).await,
            Place::Discovery(url) => {
                let document = self.get(url.clone()).await?;
                self.get(self.discovered(&document)?).await
            }
        }
    }

    async fn get(&self, url: Url) -> Result<Vec<u8>, BoxError> {
        let mut answer = self.client.get(url).send().await?;
        if answer.status() != StatusCode::OK {
            return Err(format!("answered with status {}", answer.status().as_u16()).into());
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err("answered with more than 256 KiB".into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// OpenID Connect Discovery §4.3: `issuer` must be the one that was asked, or it would speak for others.
    fn discovered(&self, document: &[u8]) -> Result<Url, &'static str> {
        let document = std::str::from_utf8(document).map_err(|_| "its configuration is not text")?;
        let document: Members<'_> =
            serde_json::from_str(document).map_err(|_| "its configuration is no object of JSON")?;
        if document.text("issuer").as_deref() != Some(&*self.issuer) {
            return Err("its configuration is that of another `issuer`");
        }
        safe(&document.text("jwks_uri").ok_or("its configuration has no `jwks_uri`")?)
    }
}

const USER_AGENT: &str = concat!("axum-device-sessions/", env!("CARGO_PKG_VERSION"));

/// Whoever can change the keys on their way can sign: so `https`, but for this very machine.
fn safe(url: &str) -> Result<Url, &'static str> {
    let url = Url::parse(url).map_err(|_| "its keys have no usable URL")?;
    if !(url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url)) {
        return Err("its keys are not at an `https` URL");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL of its keys has credentials in it");
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(crate::network::is_loopback)
}

fn unusable(url: &str, why: &'static str) -> ConfigError {
    ConfigError::because(
        format!("{url:?} cannot be asked for an issuer's keys: give `jwks_url` an `https` URL without credentials"),
        why,
    )
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
