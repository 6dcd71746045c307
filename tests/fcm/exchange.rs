//! The exchange of an assertion for an access token, and how long one is used.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use axum_device_sessions::{Clock, Fcm, Notifier};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    RETRY, after, becomes, force_logout,
    google::{EMAIL, Google, KEY_ID, Says},
    keys::Keys,
    told,
};

/// <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>: header and claims.
const DOCUMENTED_HEADER: &str = r#"{"alg":"RS256","typ":"JWT", "kid":"370ab79b4513eb9bad7c9bd16a95cb76b5b2a56a"}"#;
const DOCUMENTED_CLAIMS: &str = r#"{
  "iss": "761326798069-r5mljlln1rd4lrbhg75efgigp36m78j5@developer.gserviceaccount.com",
  "scope": "https://www.googleapis.com/auth/devstorage.read_only",
  "aud": "https://oauth2.googleapis.com/token",
  "exp": 1328554385,
  "iat": 1328550785
}"#;

/// There too: how the request begins. What follows is the assertion.
const DOCUMENTED_FORM: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";

fn part(assertion: &str, index: usize) -> Value {
    let part = assertion.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn names(value: &Value) -> Vec<&String> {
    value.as_object().unwrap().keys().collect()
}

#[tokio::test]
async fn the_assertion_says_what_is_documented_and_its_signature_holds() {
    let google = Google::start().await;
    google.fcm().deliver(&force_logout()).await.unwrap();
    let asked = google.asked().remove(0);

    let (header, claims) = (part(&asked.assertion, 0), part(&asked.assertion, 1));
    assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT", "kid": KEY_ID }));
    let issued = claims["iat"].as_i64().unwrap();
    assert_eq!(
        claims,
        json!({
            "iss": EMAIL,
            "scope": "https://www.googleapis.com/auth/firebase.messaging",
            "aud": format!("{}/token", google.url),
            "iat": issued,
            "exp": issued + 3_600,
        })
    );
    assert!((time::OffsetDateTime::now_utc().unix_timestamp() - issued).abs() <= 60);
    assert_eq!(names(&header), names(&serde_json::from_str(DOCUMENTED_HEADER).unwrap()));
    assert_eq!(names(&claims), names(&serde_json::from_str(DOCUMENTED_CLAIMS).unwrap()));

    assert_eq!(asked.body, format!("{DOCUMENTED_FORM}{}", asked.assertion));
    assert_eq!(asked.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(asked.headers.get("authorization"), None);
}

/// The control of the test above: the server does verify.
#[tokio::test]
async fn who_signs_with_another_key_gets_no_access_token() {
    let google = Google::start().await;
    let mut key_file = google.key_file();
    key_file["private_key"] = Keys::new().private.into();
    let stranger = Fcm::from_service_account(&key_file.to_string()).unwrap().endpoint(&google.url).unwrap();
    let error = stranger.deliver(&force_logout()).await.unwrap_err();
    assert_eq!(becomes(&error), RETRY);
    assert!(told(&error).contains("400 invalid_grant"), "{}", told(&error));
    assert_eq!((google.exchanges(), google.sent().len()), (1, 0));
}

#[tokio::test]
async fn with_a_clock_that_is_wrong_it_says_so_and_tries_again() {
    let google = Google::start().await;
    google.shared.ahead.store(-7_200, Ordering::SeqCst);
    let fcm = google.fcm();
    let error = fcm.deliver(&force_logout()).await.unwrap_err();
    assert_eq!(becomes(&error), RETRY);
    assert!(told(&error).contains("clock is wrong"), "{}", told(&error));
    google.shared.ahead.store(0, Ordering::SeqCst);
    fcm.deliver(&force_logout()).await.unwrap();
}

#[tokio::test]
async fn an_access_token_is_used_until_shortly_before_its_end() {
    for (life, used_for) in [(3_600, 3_540), (120, 108), (10, 9)] {
        let google = Google::start().await;
        google.tokens_live(Some(json!(life)));
        let clock = Clock::manual();
        let fcm = google.fcm().clock(clock.clone());
        fcm.deliver(&force_logout()).await.unwrap();
        clock.advance(Duration::from_millis(used_for * 1_000 - 1));
        fcm.deliver(&force_logout()).await.unwrap();
        assert_eq!(google.exchanges(), 1, "{life} s");
        clock.advance(Duration::from_millis(1));
        google.shared.ahead.store(i64::try_from(used_for).unwrap(), Ordering::SeqCst);
        fcm.deliver(&force_logout()).await.unwrap();
        assert_eq!(google.exchanges(), 2, "{life} s");
        let bearers: Vec<_> = google.sent().iter().map(|sent| sent.headers["authorization"].clone()).collect();
        assert!(bearers[0] == bearers[1] && bearers[1] != bearers[2]);
    }
}

#[tokio::test]
async fn one_of_no_stated_life_serves_whoever_asked_for_it() {
    for life in [Some(json!(0)), None] {
        let google = Google::start().await;
        google.tokens_live(life);
        let fcm = google.fcm();
        for exchanges in 1..=2 {
            fcm.deliver(&force_logout()).await.unwrap();
            assert_eq!(google.exchanges(), exchanges);
        }
    }
}

#[tokio::test]
async fn one_that_is_refused_is_replaced_once() {
    let google = Google::start().await;
    let fcm = google.fcm();
    fcm.deliver(&force_logout()).await.unwrap();
    google.revoke();
    fcm.deliver(&force_logout()).await.unwrap();
    assert_eq!((google.exchanges(), google.sent().len()), (2, 3));

    // Refused whatever it is: not tried for ever, and not given up.
    let expired = || Says::new(401, crate::answers::EXPIRED);
    google.next_message(expired());
    google.next_message(expired());
    let error = fcm.deliver(&force_logout()).await.unwrap_err();
    assert_eq!(becomes(&error), RETRY);
    assert!(told(&error).contains("401 UNAUTHENTICATED"));
    assert_eq!((google.exchanges(), google.sent().len()), (3, 5));
    fcm.deliver(&force_logout()).await.unwrap();
    assert_eq!((google.exchanges(), google.sent().len()), (3, 6));
}

/// Google's codes (<https://developers.google.com/identity/protocols/oauth2/service-account#error-codes>), and what else can
/// come. A notice outlives all of them: a key can be replaced, a clock can be set.
#[tokio::test]
async fn without_an_access_token_the_notice_waits() {
    let refusal = |status, code: &str| {
        Says::new(status, json!({ "error": code, "error_description": "Invalid JWT Signature." }).to_string())
    };
    let granted = |token: &str, kind: &str| {
        Says::new(200, json!({ "access_token": token, "token_type": kind, "expires_in": 3_600 }).to_string())
    };
    let unusable = "the answer has no usable one in it";
    let table: Vec<(Says, String, &str)> = vec![
        (refusal(400, "invalid_grant"), RETRY.into(), "400 invalid_grant: this machine's clock is wrong, or"),
        (refusal(401, "invalid_client"), RETRY.into(), "401 invalid_client"),
        (refusal(401, "deleted_client"), RETRY.into(), "401 deleted_client"),
        (refusal(403, "disabled_client"), RETRY.into(), "403 disabled_client"),
        (refusal(400, "invalid_scope"), RETRY.into(), "400 invalid_scope"),
        (refusal(401, "unauthorized_client"), RETRY.into(), "401 unauthorized_client"),
        (Says::new(429, "").header("retry-after", "33"), after(33), "429 without an error code"),
        (Says::new(503, "").header("retry-after", "44"), after(44), "503 without an error code"),
        (Says::new(500, "<html>"), RETRY.into(), "500 without an error code"),
        (Says::new(307, "").header("location", "/token"), RETRY.into(), "307 without an error code"),
        (Says::new(200, "<html>"), RETRY.into(), unusable),
        (Says::new(200, "x".repeat(1_000_000)), RETRY.into(), unusable),
        (granted("", "Bearer"), RETRY.into(), unusable),
        (granted("ya29.a\nHost: elsewhere", "Bearer"), RETRY.into(), unusable),
        (granted(&"x".repeat(8_193), "Bearer"), RETRY.into(), unusable),
        (granted("ya29.abc", "mac"), RETRY.into(), unusable),
    ];
    let google = Google::start().await;
    let fcm = google.fcm();
    for (says, expected, cause) in &table {
        google.next_token(says.clone());
        let error = fcm.deliver(&force_logout()).await.unwrap_err();
        assert_eq!(&becomes(&error), expected, "{says:?}");
        assert!(told(&error).contains(&format!("no access token: {cause}")), "{} for {says:?}", told(&error));
    }
    assert_eq!((google.exchanges(), google.sent().len()), (table.len(), 0));
    fcm.deliver(&force_logout()).await.unwrap();
    println!("{} answers without an access token", table.len());
}

/// Type names are not told apart by case (RFC 6749 §7.1).
#[tokio::test]
async fn a_bearer_token_by_another_spelling_is_one() {
    let google = Google::start().await;
    google.next_token(Says::new(200, r#"{"access_token":"ya29.abc","token_type":"bearer","expires_in":3600}"#));
    google.next_token(Says::new(200, r#"{"access_token":"ya29.abc","token_type":"bearer","expires_in":3600}"#));
    // This server has never issued it, and so it refuses it; but it was sent.
    google.fcm().deliver(&force_logout()).await.unwrap_err();
    let headers: BTreeMap<_, _> = google.sent().remove(0).headers;
    assert_eq!(headers["authorization"], "Bearer ya29.abc");
}
