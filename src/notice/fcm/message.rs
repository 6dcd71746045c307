//! What is sent: [messages](https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages) of data alone, so that
//! the app gets them whether it is in the foreground or not, and decides what is shown.

use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::{
    event::{Event, Message, Notice, PushTarget},
    session::SessionId,
};

/// The longest that FCM keeps a message for (28 days). A phone that was lost with an empty battery is the one that matters
/// most, and what comes late does no harm: it says no more than which session has ended, and the app compares.
const FORCE_LOGOUT_FOR: &str = "2419200s";

/// A day: what stands in it should not come to a device whose own session may long have ended.
const NEW_LOGIN_FOR: &str = "86400s";

#[derive(Serialize)]
struct Request<'a> {
    message: ToDevice<'a>,
}

#[derive(Serialize)]
struct ToDevice<'a> {
    token: &'a str,
    data: Data<'a>,
    android: Android,
}

#[derive(Serialize)]
struct Android {
    priority: &'static str,
    ttl: &'static str,
}

/// FCM takes nothing but strings here, and not the names `from`, `message_type`, `google..` and `gcm..`.
#[derive(Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Data<'a> {
    /// Nothing personal: it is kept by others for a while, and shown to whoever has the device.
    ForceLogout {
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        session_id: SessionId,
        event_id: Uuid,
    },
    NewLogin {
        /// The new one.
        session_id: SessionId,
        device: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        location: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        country_code: Option<&'a str>,
        at: String,
        event_id: Uuid,
    },
}

/// `None` for what is not a message to a device.
pub(super) fn request(notice: &Notice) -> Option<Vec<u8>> {
    let Event { id, at, session_id, device_name, location, country_code, reason, .. } = &notice.event;
    let (PushTarget { token, .. }, data, ttl) = match &notice.message {
        Message::ForceLogout { target } => {
            // From the bounded set: whatever somebody has written into a row by hand stays here.
            let reason = reason.as_ref().map(|reason| reason.as_label());
            (target, Data::ForceLogout { reason, session_id: *session_id, event_id: *id }, FORCE_LOGOUT_FOR)
        }
        Message::NewLogin { target } => {
            let data = Data::NewLogin {
                session_id: *session_id,
                device: device_name,
                location: location.as_deref(),
                country_code: country_code.as_deref(),
                at: at.format(&Rfc3339).ok()?,
                event_id: *id,
            };
            (target, data, NEW_LOGIN_FOR)
        }
        Message::Event | Message::NewLoginMail { .. } => return None,
    };
    // Of normal priority it would wait until the phone is next picked up.
    let android = Android { priority: "HIGH", ttl };
    serde_json::to_vec(&Request { message: ToDevice { token, data, android } }).ok()
}
