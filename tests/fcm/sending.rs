//! What is sent, to the letter, and that it is of the documented form.

use std::collections::BTreeMap;

use axum_device_sessions::{EndReason, EventKind, Message, Notice, Notifier, Wants};
use serde_json::{Value, json};

use crate::{
    REFUSED, TARGET, becomes, force_logout,
    google::{Google, MESSAGES},
    new_login,
};

/// Delivers it and returns what came.
async fn sent(notice: &Notice) -> (String, BTreeMap<String, String>, Value) {
    let google = Google::start().await;
    google.fcm().deliver(notice).await.unwrap();
    let mut sent = google.sent();
    assert_eq!((sent.len(), google.exchanges()), (1, 1));
    let sent = sent.remove(0);
    (sent.uri, sent.headers, sent.body)
}

#[tokio::test]
async fn a_device_is_told_that_its_session_has_ended_and_nothing_personal() {
    let notice = force_logout();
    let (uri, headers, body) = sent(&notice).await;
    assert_eq!(uri, MESSAGES);
    assert_eq!(
        body,
        json!({
            "message": {
                "token": TARGET,
                "data": {
                    "action": "force_logout",
                    "reason": "revoked_by_user",
                    "session_id": notice.event.session_id.to_string(),
                    "event_id": notice.event.id.to_string(),
                },
                "android": { "priority": "HIGH", "ttl": "2419200s" },
            }
        })
    );
    let names: Vec<_> = headers.keys().map(String::as_str).collect();
    assert_eq!(names, ["accept", "authorization", "content-length", "content-type", "host", "user-agent"]);
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers["authorization"].starts_with("Bearer ya29."));
    assert_eq!(headers["user-agent"], concat!("axum-device-sessions/", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn the_other_devices_are_told_of_a_new_login() {
    let notice = new_login();
    let (_, _, body) = sent(&notice).await;
    assert_eq!(
        body,
        json!({
            "message": {
                "token": TARGET,
                "data": {
                    "action": "new_login",
                    "session_id": notice.event.session_id.to_string(),
                    "device": "Chrome on Windows",
                    "location": "Moscow, Russia",
                    "country_code": "RU",
                    "at": "2024-10-04T00:00:00Z",
                    "event_id": notice.event.id.to_string(),
                },
                "android": { "priority": "HIGH", "ttl": "86400s" },
            }
        })
    );
}

#[tokio::test]
async fn what_is_not_known_is_left_out() {
    let mut notice = new_login();
    (notice.event.location, notice.event.country_code) = (None, None);
    let (_, _, body) = sent(&notice).await;
    let names: Vec<_> = body["message"]["data"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["action", "at", "device", "event_id", "session_id"]);

    let mut notice = force_logout();
    notice.event.reason = None;
    let (_, _, body) = sent(&notice).await;
    assert_eq!(body["message"]["data"].get("reason"), None);
}

/// A reason can be anything that somebody has typed into psql.
#[tokio::test]
async fn a_reason_written_by_hand_stays_here() {
    let mut notice = force_logout();
    notice.event.reason = Some(EndReason::from("ahmed called, his phone was stolen"));
    let (_, _, body) = sent(&notice).await;
    assert_eq!(body["message"]["data"]["reason"], "other");
    assert!(!body.to_string().contains("ahmed"));
}

/// The longest that a name, a place and a target may have here, in letters that take the most room.
#[tokio::test]
async fn the_largest_message_is_within_fcms_bound() {
    let mut notice = new_login();
    notice.event.device_name = "\u{10348}".repeat(64);
    notice.event.location = Some("\u{10348}".repeat(130));
    let (_, _, body) = sent(&notice).await;
    let size = body["message"]["data"].to_string().len();
    println!("the largest data: {size} of 4096 bytes");
}

/// The example of <https://firebase.google.com/docs/cloud-messaging/customize-messages/setting-message-lifespan>, and in it the
/// priority of <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#androidmessagepriority>.
const DOCUMENTED: &str = r#"{
  "message":{
    "token":"bk3RNwTe3H0:CI2k_HHwgIpoDKCIZvvDMExUdFQ3P1...",
    "data":{
      "Nick" : "Mario",
      "body" : "great match!",
      "Room" : "PortugalVSDenmark"
    },
    "apns":{
      "headers":{
        "apns-expiration":"1604750400"
      }
    },
    "android":{
      "ttl":"4500s",
      "priority":"HIGH"
    },
    "webpush":{
      "headers":{
        "TTL":"4500"
      }
    }
  }
}"#;

#[tokio::test]
async fn every_field_is_where_the_documented_request_has_it() {
    // Names of data are the sender's own.
    fn is_like(ours: &Value, documented: &Value, path: &str) -> bool {
        match (ours, documented) {
            (Value::Object(ours), Value::Object(documented)) if path == ".message.data" => {
                ours.values().chain(documented.values()).all(Value::is_string)
            }
            (Value::Object(ours), Value::Object(documented)) => ours.iter().all(|(name, value)| {
                documented.get(name).is_some_and(|documented| is_like(value, documented, &format!("{path}.{name}")))
            }),
            (Value::String(ours), Value::String(documented)) if path == ".message.android.ttl" => {
                let digits = |text: &str| text.strip_suffix('s').is_some_and(|text| text.parse::<u32>().is_ok());
                digits(ours) && digits(documented)
            }
            (ours, documented) => std::mem::discriminant(ours) == std::mem::discriminant(documented),
        }
    }
    let documented: Value = serde_json::from_str(DOCUMENTED).unwrap();
    for notice in [force_logout(), new_login()] {
        let (_, _, body) = sent(&notice).await;
        assert!(is_like(&body, &documented, ""), "{body}");

        // The control: what the retired protocol had, a number for a text, a lifetime without its unit.
        let changed = |pointer: &str, value: Value| {
            let mut body = body.clone();
            *body.pointer_mut(pointer).unwrap() = value;
            body
        };
        for wrong in [
            changed("/message", json!({ "to": TARGET })),
            changed("/message/data", json!({ "at": 1_728_000_000 })),
            changed("/message/android", json!({ "time_to_live": 18_000 })),
            changed("/message/android/ttl", json!("18000")),
        ] {
            assert!(!is_like(&wrong, &documented, ""), "{wrong}");
        }
    }
}

#[tokio::test]
async fn only_what_is_for_devices_is_wanted_and_sent() {
    let google = Google::start().await;
    let fcm = google.fcm();
    assert_eq!(fcm.wants(), Wants::push("fcm"));
    for message in [Message::Event, Message::NewLoginMail { disown_url: None }] {
        let refused = fcm.deliver(&Notice::fake(EventKind::SessionCreated, message)).await.unwrap_err();
        assert_eq!(becomes(&refused), REFUSED);
    }
    assert_eq!((google.exchanges(), google.sent().len()), (0, 0));
}
