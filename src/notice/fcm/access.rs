//! Access tokens: an assertion is exchanged for one (RFC 7523 §2.1), which is kept until shortly before its end.
//!
//! One exchange at a time. Whoever comes while one is under way takes what it brings, a failure as well: a hundred messages to
//! a server that is away are one question, not a hundred in a row.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::header::HeaderValue;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{Place, account::ServiceAccount, answer};
use crate::notice::wire::wishes;
use crate::{
    clock::{Clock, Tick},
    notice::NotDelivered,
};

pub(super) struct AccessTokens {
    account: ServiceAccount,
    exchange: Place,
    clock: Clock,
    /// How many exchanges have ended.
    ended: AtomicU64,
    /// What the last one brought. Locked while one is under way; who gives up waiting, or asking, lets the next one ask.
    last: Mutex<Option<Result<Arc<AccessToken>, Failure>>>,
}

pub(super) struct AccessToken {
    text: String,
    renew_at: Tick,
}

impl AccessToken {
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

/// There is no access token: for whoever has waited for it.
#[derive(Clone)]
struct Failure {
    cause: Arc<str>,
    /// For so long the server wants to be left alone.
    wish: Option<Duration>,
}

impl From<Failure> for NotDelivered {
    /// Never for good. A key that is revoked or a clock that is wrong is put right by somebody, and the message waits.
    fn from(failure: Failure) -> Self {
        match failure.wish {
            Some(pause) => Self::retry_after(pause, &*failure.cause),
            None => Self::retry(&*failure.cause),
        }
    }
}

/// So long before its end a token is renewed: it has to live until the server looks at it. Of a short life, a tenth.
const MARGIN: Duration = Duration::from_secs(60);

/// [Google's](https://developers.google.com/identity/protocols/oauth2#size) have up to 2,048 bytes.
const MAX_TOKEN: usize = 8_192;

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

impl AccessTokens {
    pub(super) fn new(account: ServiceAccount, exchange: Place) -> Self {
        let (clock, ended, last) = (Clock::default(), AtomicU64::new(0), Mutex::new(None));
        Self { account, exchange, clock, ended, last }
    }

    #[cfg(any(test, feature = "test-util"))]
    pub(super) fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    pub(super) async fn current(&self) -> Result<Arc<AccessToken>, NotDelivered> {
        self.get(None).await
    }

    /// One that is not this one, which was refused.
    pub(super) async fn instead_of(&self, refused: &Arc<AccessToken>) -> Result<Arc<AccessToken>, NotDelivered> {
        self.get(Some(refused)).await
    }

    async fn get(&self, refused: Option<&Arc<AccessToken>>) -> Result<Arc<AccessToken>, NotDelivered> {
        let ended_before = self.ended.load(Ordering::Acquire);
        let mut last = self.last.lock().await;
        let waited_for_it = self.ended.load(Ordering::Acquire) != ended_before;
        match &*last {
            Some(Ok(token)) if refused.is_some_and(|refused| Arc::ptr_eq(token, refused)) => {}
            // Whatever its age: it may have been issued for no longer than this.
            Some(Ok(token)) if waited_for_it || self.clock.tick() < token.renew_at => return Ok(Arc::clone(token)),
            Some(Err(failure)) if waited_for_it => return Err(failure.clone().into()),
            _ => {}
        }
        let brought = self.ask().await;
        *last = Some(brought.clone());
        self.ended.fetch_add(1, Ordering::Release);
        drop(last);
        Ok(brought?)
    }

    async fn ask(&self) -> Result<Arc<AccessToken>, Failure> {
        let failed = |cause: String| Failure { cause: cause.into(), wish: None };
        // From before the question, so that the way to here is not counted as life.
        let asked_at = self.clock.tick();
        let Some(assertion) = self.account.assertion(self.clock.wall()) else {
            return Err(failed("the assertion for an access token could not be signed".to_owned()));
        };
        // Base64url and dots need no escapes.
        let form = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let response = self.exchange.post(FORM, form).send().await;
        let response = response.map_err(|error| failed(format!("no access token: {}", answer::told(&error))))?;
        let (status, wish) = (response.status(), wishes(&response));
        let body = answer::bounded(response).await;
        if !status.is_success() {
            let why = Refusal::of(&body);
            return Err(Failure { cause: format!("no access token: {} {why}", status.as_u16()).into(), wish });
        }
        let Some(granted) = serde_json::from_slice::<Granted>(&body).ok().filter(Granted::is_usable) else {
            return Err(failed("no access token: the answer has no usable one in it".to_owned()));
        };
        let life = Duration::from_secs(granted.expires_in);
        let renew_at = asked_at.after(life.saturating_sub(MARGIN.min(life / 10)));
        Ok(Arc::new(AccessToken { text: granted.access_token, renew_at }))
    }
}

/// RFC 6749 §5.1.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: String,
    /// Seconds. Where it is not said, the token is for those who have waited for it.
    #[serde(default)]
    expires_in: u64,
}

impl Granted {
    fn is_usable(&self) -> bool {
        // RFC 6749 §7.1: not to be used where its type is not understood.
        self.token_type.eq_ignore_ascii_case("bearer")
            && (1..=MAX_TOKEN).contains(&self.access_token.len())
            && self.access_token.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

/// RFC 6749 §5.2. Its description is not repeated: it may quote what was sent.
struct Refusal;

impl Refusal {
    fn of(body: &[u8]) -> String {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        match body["error"].as_str().filter(|code| answer::is_word(code)) {
            // The one code for both (https://developers.google.com/identity/protocols/oauth2/service-account#error-codes).
            Some("invalid_grant") => {
                "invalid_grant: this machine's clock is wrong, or the service account or its key is there no more"
                    .to_owned()
            }
            Some(code) => code.to_owned(),
            None => "without an error code".to_owned(),
        }
    }
}
