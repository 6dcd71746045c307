//! What FCM's answers mean: its [error codes](https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode), and how it
//! wants to be [asked again](https://firebase.google.com/docs/cloud-messaging/scale-fcm).

use std::{error::Error, time::Duration};

use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::notice::NotDelivered;
use crate::notice::wire::{failed, wishes};

pub(super) struct Answer {
    status: StatusCode,
    wish: Option<Duration>,
    /// FCM's own code where there is one (`UNREGISTERED`), else that of Google's APIs in general (`UNAUTHENTICATED`).
    code: Code,
    about_the_target: bool,
    field: Option<String>,
}

enum Code {
    Fcm(String),
    General(String),
    None,
}

/// For how long nothing is sent where FCM does not say: the pause it asks for after 429, and the least one between attempts.
const OVER_QUOTA: Duration = Duration::from_secs(60);
const UNAVAILABLE: Duration = Duration::from_secs(10);

/// The one thing by which it can be told from other invalid arguments, where no field is named
/// ([example 2](https://firebase.google.com/docs/cloud-messaging/error-codes)).
const NO_SUCH_TARGET: &str = "The registration token is not a valid FCM registration token";

impl Answer {
    pub(super) async fn read(response: Response) -> Self {
        let (status, wish) = (response.status(), wishes(&response));
        let body: Value = serde_json::from_slice(&bounded(response).await).unwrap_or_default();
        let error = &body["error"];
        let details = || error["details"].as_array().into_iter().flatten();
        let word = |value: &Value| value.as_str().filter(|text| is_word(text)).map(ToOwned::to_owned);
        let fcm = details()
            .filter(|detail| {
                detail["@type"].as_str().is_some_and(|name| name.ends_with("google.firebase.fcm.v1.FcmError"))
            })
            .find_map(|detail| word(&detail["errorCode"]));
        let fields = || details().filter_map(|detail| detail["fieldViolations"].as_array()).flatten();
        let field = fields().find_map(|violation| word(&violation["field"]));
        Self {
            status,
            wish,
            code: fcm.map(Code::Fcm).or_else(|| word(&error["status"]).map(Code::General)).unwrap_or(Code::None),
            about_the_target: error["message"] == NO_SUCH_TARGET
                || fields().any(|violation| violation["field"] == "message.token"),
            field,
        }
    }

    /// 401 is also said where FCM itself is refused by somebody else (`THIRD_PARTY_AUTH_ERROR`).
    pub(super) fn refuses_access_token(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED && !matches!(self.code, Code::Fcm(_))
    }

    pub(super) fn judge(self) -> Result<(), NotDelivered> {
        if self.status.is_success() {
            return Ok(());
        }
        let cause = self.told();
        let code = match &self.code {
            Code::Fcm(code) => code,
            Code::General(_) | Code::None => "",
        };
        Err(match (self.status.as_u16(), code) {
            // The app is gone or has another token. Not every 404: of a project that is wrong, all targets would go.
            (_, "UNREGISTERED") => NotDelivered::gone(cause),
            (400, "INVALID_ARGUMENT") if self.about_the_target => NotDelivered::gone(cause),
            // A target of another project. Not deleted: with the wrong key file for an hour, all of them would be.
            (_, "SENDER_ID_MISMATCH" | "THIRD_PARTY_AUTH_ERROR") => NotDelivered::refused(cause),
            // Of an access token as new as can be.
            (401, _) => NotDelivered::retry(cause),
            (429, _) => NotDelivered::retry_after(self.wish.unwrap_or(OVER_QUOTA), cause),
            (503, _) => NotDelivered::retry_after(self.wish.unwrap_or(UNAVAILABLE), cause),
            _ => failed(self.status, self.wish, cause),
        })
    }

    /// Codes and names of fields only: a message may quote what was sent.
    fn told(&self) -> String {
        let status = self.status.as_u16();
        let code = match &self.code {
            Code::Fcm(code) | Code::General(code) => code,
            Code::None => "without an error code",
        };
        match &self.field {
            Some(field) => format!("FCM answered {status} {code} ({field})"),
            None => format!("FCM answered {status} {code}"),
        }
    }
}

/// Whether it can be repeated in a log: a code, the path of a field. Nothing secret is as short.
pub(super) fn is_word(text: &str) -> bool {
    (1..=48).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'[' | b']'))
}

/// Far more than any of these answers has.
const MAX_BODY: usize = 64 * 1024;

/// The body, or nothing where it is larger or breaks off: then the status says it all.
pub(super) async fn bounded(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > MAX_BODY {
            return Vec::new();
        }
        body.extend_from_slice(&chunk);
    }
    body
}

/// A failure to ask, without the URL and with what lies beneath, which its own text leaves out.
pub(super) fn told(error: &reqwest::Error) -> String {
    let mut text = if error.is_connect() { "no connection".to_owned() } else { "no answer".to_owned() };
    let mut beneath = error.source();
    while let Some(cause) = beneath {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        beneath = cause.source();
    }
    text
}
