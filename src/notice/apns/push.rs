//! What is sent, but for where to and by whom.
//!
//! [Generating a remote notification](https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification),
//! [Pushing background updates to your app](https://developer.apple.com/documentation/usernotifications/pushing-background-updates-to-your-app)

use serde_json::{Value, json};
use time::Duration;
use uuid::Uuid;

use crate::event::{Event, Notice};

/// Title and text.
pub(super) type Alert = dyn Fn(&Event) -> (String, String) + Send + Sync;

/// What happened stays true, and a device that was off for weeks is the one to tell: as long as Apple keeps anything.
const FORCE_LOGOUT_FOR: Duration = Duration::days(30);
/// What stands in it should not come to a device whose own session may long have ended.
const NEW_LOGIN_FOR: Duration = Duration::DAY;

pub(super) struct Push {
    pub(super) push_type: &'static str,
    pub(super) priority: &'static str,
    /// Seconds since the epoch. Out of the event, so that attempts do not differ.
    pub(super) expiration: i64,
    pub(super) id: Uuid,
    pub(super) collapse_id: Option<Uuid>,
    pub(super) body: Vec<u8>,
}

impl Push {
    /// Wakes the app and shows nothing. `aps` may hold nothing else, and any priority but 5 is an error.
    pub(super) fn force_logout(notice: &Notice) -> Self {
        let event = &notice.event;
        let payload = json!({
            "aps": { "content-available": 1 },
            "action": "force_logout",
            "reason": event.reason,
            "session_id": event.session_id,
            "event_id": event.id,
        });
        Self::new(notice, ("background", "5", FORCE_LOGOUT_FOR), None, &payload)
    }

    /// Shown at once. An attempt whose answer was lost has perhaps been shown already: the next one takes its place.
    pub(super) fn new_login(notice: &Notice, (title, body): (String, String)) -> Self {
        let event = &notice.event;
        let payload = json!({
            "aps": { "alert": { "title": title, "body": body }, "sound": "default" },
            "action": "new_login",
            "session_id": event.session_id,
            "event_id": event.id,
        });
        Self::new(notice, ("alert", "10", NEW_LOGIN_FOR), Some(notice.id), &payload)
    }

    fn new(
        notice: &Notice,
        (push_type, priority, kept_for): (&'static str, &'static str, Duration),
        collapse_id: Option<Uuid>,
        payload: &Value,
    ) -> Self {
        Self {
            push_type,
            priority,
            expiration: notice.event.at.saturating_add(kept_for).unix_timestamp(),
            id: notice.id,
            collapse_id,
            body: payload.to_string().into_bytes(),
        }
    }
}

/// "New sign-in": "Chrome on Windows, Moscow, Russia".
pub(super) fn new_sign_in(event: &Event) -> (String, String) {
    let mut body = event.device_name.clone();
    if let Some(location) = &event.location {
        body.push_str(", ");
        body.push_str(location);
    }
    ("New sign-in".to_owned(), body)
}
