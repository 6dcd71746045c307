//! What becomes of a notice at each answer of FCM. Those that are documented, or that others have published as they got them,
//! are quoted with their address.

use axum_device_sessions::Notifier;

use crate::{
    GONE, REFUSED, RETRY, after, becomes, force_logout,
    google::{Google, Says},
    told,
};

/// Example 1 of <https://firebase.google.com/docs/cloud-messaging/error-codes>.
pub(crate) const INVALID_VALUE: &str = r#"{
  "error": {
    "code": 400,
    "message": "Invalid value at 'message.data[0].value' (TYPE_STRING), 12",
    "status": "INVALID_ARGUMENT",
    "details": [
      {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [
          {
            "field": "message.data[0].value",
            "description": "Invalid value at 'message.data[0].value' (TYPE_STRING), 12"
          }
        ]
      }
    ]
  }
}"#;

/// Example 2 of the same page.
const NO_SUCH_TARGET: &str = r#"{
  "error": {
    "code": 400,
    "message": "The registration token is not a valid FCM registration token",
    "status": "INVALID_ARGUMENT",
    "details": [
      {
        "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
        "errorCode": "INVALID_ARGUMENT"
      }
    ]
  }
}"#;

/// This and those named so below: <https://bloomberg.github.io/pushiko/fcm_responses>.
const INVALID_TARGET: &str = r#"{
  "error": {
    "code": 400,
    "message": "Request contains an invalid argument.",
    "status": "INVALID_ARGUMENT",
    "details": [{
      "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
      "errorCode": "INVALID_ARGUMENT"
     }, {
      "@type": "type.googleapis.com/google.rpc.BadRequest",
      "fieldViolations": [{
        "field": "message.token",
        "description": "Invalid registration token"
      }]
    }]
  }
}"#;

/// As above.
const MISSING_TARGET: &str = r#"{
  "error": {
    "code": 400,
    "message": "Recipient of the message is not set.",
    "status": "INVALID_ARGUMENT",
    "details": [{
      "@type": "type.googleapis.com/google.rpc.BadRequest",
      "fieldViolations": [{
        "field": "message",
        "description": "Recipient of the message is not set."
      }]
    }, {
      "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
      "errorCode": "INVALID_ARGUMENT"
    }]
  }
}"#;

/// As above.
const TOO_LARGE: &str = r#"{
  "error": {
    "code": 400,
    "message": "Request contains an invalid argument.",
    "status": "INVALID_ARGUMENT"
  }
}"#;

/// <https://github.com/olucurious/PyFCM/pull/371>.
pub(crate) const EXPIRED: &str = r#"{
  "error": {
    "code": 401,
    "message": "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
    "status": "UNAUTHENTICATED",
    "details": [
      {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "ACCESS_TOKEN_EXPIRED"
      }
    ]
  }
}"#;

/// <https://github.com/dcai/airnotifier/issues/219>, where it was the key file of another project.
const OF_ANOTHER_SENDER: &str = r#"{ "error": { "code": 403, "message": "SenderId mismatch", "status": "PERMISSION_DENIED", "details": [ { "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "SENDER_ID_MISMATCH" } ] } }"#;

/// One of FCM's codes, in the form of the examples.
fn fcm(status: u16, general: &str, code: &str) -> Says {
    Says::new(
        status,
        format!(
            r#"{{"error":{{"code":{status},"message":"..","status":"{general}","details":[
               {{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"{code}"}}]}}}}"#
        ),
    )
}

/// One of Google's APIs in general.
fn general(status: u16, code: &str) -> Says {
    Says::new(status, format!(r#"{{"error":{{"code":{status},"message":"..","status":"{code}"}}}}"#))
}

#[tokio::test]
async fn each_answer_becomes_what_is_documented_for_it() {
    let page = "<!DOCTYPE html>\n<html lang=en><title>Error 502 (Server Error)!!1</title>";
    let endless = "x".repeat(1_000_000);
    let table: Vec<(Says, String, &str)> = vec![
        // The target.
        (fcm(404, "NOT_FOUND", "UNREGISTERED"), GONE.into(), "404 UNREGISTERED"),
        (Says::new(400, NO_SUCH_TARGET), GONE.into(), "400 INVALID_ARGUMENT"),
        (Says::new(400, INVALID_TARGET), GONE.into(), "400 INVALID_ARGUMENT (message.token)"),
        // The message, or the settings: the target stays.
        (Says::new(400, INVALID_VALUE), REFUSED.into(), "400 INVALID_ARGUMENT (message.data[0].value)"),
        (Says::new(400, MISSING_TARGET), REFUSED.into(), "400 INVALID_ARGUMENT (message)"),
        (Says::new(400, TOO_LARGE), REFUSED.into(), "400 INVALID_ARGUMENT"),
        (Says::new(403, OF_ANOTHER_SENDER), REFUSED.into(), "403 SENDER_ID_MISMATCH"),
        (general(403, "PERMISSION_DENIED"), REFUSED.into(), "403 PERMISSION_DENIED"),
        (fcm(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), REFUSED.into(), "401 THIRD_PARTY_AUTH_ERROR"),
        (general(404, "NOT_FOUND"), REFUSED.into(), "404 NOT_FOUND"),
        (Says::new(404, page), REFUSED.into(), "404 without an error code"),
        (Says::new(404, endless), REFUSED.into(), "404 without an error code"),
        // Later. https://firebase.google.com/docs/cloud-messaging/scale-fcm: after 429 what it says, else 60 s; 10 s at least.
        (fcm(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED").header("retry-after", "17"), after(17), "429 QUOTA_EXCEEDED"),
        (fcm(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), after(60), "429 QUOTA_EXCEEDED"),
        (general(429, "RESOURCE_EXHAUSTED").header("retry-after", "soon"), after(60), "429 RESOURCE_EXHAUSTED"),
        (fcm(503, "UNAVAILABLE", "UNAVAILABLE").header("retry-after", "120"), after(120), "503 UNAVAILABLE"),
        (fcm(503, "UNAVAILABLE", "UNAVAILABLE"), after(10), "503 UNAVAILABLE"),
        (fcm(500, "INTERNAL", "INTERNAL"), RETRY.into(), "500 INTERNAL"),
        (fcm(500, "INTERNAL", "INTERNAL").header("retry-after", "30"), after(30), "500 INTERNAL"),
        (Says::new(502, page), RETRY.into(), "502 without an error code"),
        // Somebody else answers.
        (Says::new(302, "").header("location", "/elsewhere"), REFUSED.into(), "302 without an error code"),
        // Codes are repeated, texts are not.
        (general(400, "a text <of> any kind"), REFUSED.into(), "400 without an error code"),
    ];
    let google = Google::start().await;
    let notifier = google.fcm();
    for (says, expected, cause) in &table {
        google.next_message(says.clone());
        let error = notifier.deliver(&force_logout()).await.unwrap_err();
        assert_eq!(&becomes(&error), expected, "{says:?}");
        let display = match expected.as_str() {
            GONE => "the target is gone",
            REFUSED => "cannot be delivered",
            _ => "not delivered",
        };
        assert_eq!(error.to_string(), display);
        let source = std::error::Error::source(&error).expect("a cause").to_string();
        assert_eq!(source, format!("FCM answered {cause}"));
    }
    // One message for each, no second try, nobody followed elsewhere, and one access token for all.
    assert_eq!((google.sent().len(), google.exchanges()), (table.len(), 1));
    assert!(google.sent().iter().all(|sent| sent.uri == crate::google::MESSAGES));
    // And after all that it works.
    notifier.deliver(&force_logout()).await.unwrap();
    println!("{} answers, 1 exchange", table.len());
}

/// By its status alone, an answer about a project that is wrong would cost every device its target.
#[tokio::test]
async fn what_goes_by_the_status_would_delete_targets_that_are_there() {
    let by_status = |status: u16| if status == 404 || status == 400 { GONE } else { REFUSED };
    let google = Google::start().await;
    let fcm = google.fcm();
    for says in [general(404, "NOT_FOUND"), Says::new(400, TOO_LARGE), Says::new(400, INVALID_VALUE)] {
        google.next_message(says.clone());
        assert_eq!(by_status(says.status), GONE);
        assert_eq!(becomes(&fcm.deliver(&force_logout()).await.unwrap_err()), REFUSED);
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_again_later() {
    let google = Google::start().await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away = format!("http://{}", free.local_addr().unwrap());
    drop(free);

    let fcm = google.fcm().endpoint(&away).unwrap();
    let error = fcm.deliver(&force_logout()).await.unwrap_err();
    assert_eq!(becomes(&error), RETRY);
    assert!(told(&error).to_lowercase().contains("connection refused"), "{}", told(&error));

    let mut key_file = google.key_file();
    key_file["token_uri"] = format!("{away}/token").into();
    let fcm = axum_device_sessions::Fcm::from_service_account(&key_file.to_string()).unwrap();
    let error = fcm.deliver(&force_logout()).await.unwrap_err();
    assert_eq!(becomes(&error), RETRY);
    assert!(told(&error).to_lowercase().contains("connection refused"), "{}", told(&error));
}
