//! What becomes of a notice, for each answer in Apple's table at
//! <https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>.

use axum_device_sessions::Notifier;
use serde_json::json;

use crate::{DEVICE, World, another, force_logout, whole};

const AGAIN: &str = "not delivered";
const NEVER: &str = "cannot be delivered";
const GONE: &str = "the target is gone";

/// But for `ExpiredProviderToken`, which `provider_tokens.rs` has.
const TABLE: [(u16, &str, &str); 33] = [
    (400, "BadCollapseId", NEVER),
    (400, "BadDeviceToken", GONE),
    (400, "BadExpirationDate", NEVER),
    (400, "BadMessageId", NEVER),
    (400, "BadPriority", NEVER),
    (400, "BadTopic", NEVER),
    (400, "DeviceTokenNotForTopic", NEVER),
    (400, "DuplicateHeaders", NEVER),
    (400, "IdleTimeout", AGAIN),
    (400, "InvalidPushType", NEVER),
    (400, "MissingDeviceToken", NEVER),
    (400, "MissingTopic", NEVER),
    (400, "PayloadEmpty", NEVER),
    (400, "TopicDisallowed", NEVER),
    (403, "BadCertificate", NEVER),
    (403, "BadCertificateEnvironment", NEVER),
    (403, "Forbidden", NEVER),
    (403, "InvalidProviderToken", AGAIN),
    (403, "MissingProviderToken", NEVER),
    (403, "UnrelatedKeyIdInToken", NEVER),
    (403, "BadEnvironmentKeyIdInToken", NEVER),
    // As it is really spelt.
    (403, "BadEnvironmentKeyInToken", NEVER),
    (404, "BadPath", NEVER),
    (405, "MethodNotAllowed", NEVER),
    (410, "ExpiredToken", GONE),
    (410, "Unregistered", GONE),
    (413, "PayloadTooLarge", NEVER),
    (429, "TooManyProviderTokenUpdates", AGAIN),
    (429, "TooManyRequests", AGAIN),
    (500, "InternalServerError", AGAIN),
    (503, "ServiceUnavailable", AGAIN),
    (503, "Shutdown", AGAIN),
    (400, "SomethingNewOfApples", NEVER),
];

/// The worker is the one that tries again: here it is asked once.
#[tokio::test]
async fn each_means_what_apple_says() {
    for (status, reason, meaning) in TABLE {
        let world = World::new().await;
        world.apple.answer(DEVICE, status, json!({ "reason": reason }).to_string(), None);
        let error = world.apns.deliver(&force_logout(DEVICE)).await.unwrap_err();
        assert_eq!(error.to_string(), meaning, "{status} {reason}");
        assert!(whole(&error).contains(&format!("APNs answered {status} {reason}")), "{error:?}");
        assert_eq!(world.apple.seen().len(), 1, "{reason}");
    }
}

#[tokio::test]
async fn since_when_it_is_gone() {
    let world = World::new().await;
    world.apple.answer(DEVICE, 410, r#"{"reason":"Unregistered","timestamp":1508249865488}"#, None);
    let error = world.apns.deliver(&force_logout(DEVICE)).await.unwrap_err();
    assert!(whole(&error).contains("Unregistered (since 1508249865488 ms)"), "{error:?}");
}

/// Apple may ask for a pause. What concerns one device is no reason to spare the others.
#[tokio::test]
async fn a_pause() {
    let world = World::new().await;
    for (status, reason, pause) in
        [(503, "ServiceUnavailable", "Some(7s)"), (429, "TooManyRequests", "None"), (400, "BadTopic", "Refused")]
    {
        world.apple.answer(DEVICE, status, json!({ "reason": reason }).to_string(), Some("7"));
        let error = world.apns.deliver(&force_logout(DEVICE)).await.unwrap_err();
        assert!(format!("{error:?}").contains(pause), "{error:?}");
    }
}

/// A body that is no reason: the status decides, and nothing of it gets into the log.
#[tokio::test]
async fn bodies_of_somebody_else() {
    let world = World::new().await;
    let page = format!("<html>{}</html>", "sorry ".repeat(200_000));
    let lines = r#"{"reason":"sorry\n2026-01-01 ERROR forged"}"#;
    for (status, body, meaning) in [
        (502, page.as_str(), AGAIN),
        (400, &page, NEVER),
        (400, "", NEVER),
        (400, lines, NEVER),
        (400, r#"{"reason":17}"#, NEVER),
        (400, r#"["BadDeviceToken"]"#, NEVER),
        (410, "sorry", GONE),
        (302, "sorry", NEVER),
        (204, "", NEVER),
    ] {
        world.apple.answer(DEVICE, status, body, None);
        let error = world.apns.deliver(&force_logout(DEVICE)).await.unwrap_err();
        assert_eq!(error.to_string(), meaning, "{status}");
        let whole = whole(&error);
        assert!(!whole.contains("sorry") && !whole.contains("forged") && whole.len() < 500, "{whole}");
    }
}

#[tokio::test]
async fn nobody_there() {
    let world = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = another(&url, &world.key).deliver(&force_logout(DEVICE)).await.unwrap_err();
    assert_eq!(error.to_string(), AGAIN);
}
