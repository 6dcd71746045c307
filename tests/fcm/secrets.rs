//! What must not be in a log: the private key, assertions, access tokens, the devices' registration tokens.

use axum_device_sessions::{Fcm, Notifier};
use serde_json::json;

use crate::{
    TARGET, force_logout,
    google::{Google, Says},
    told,
};

/// Every run of 24 characters of it: a part of a secret is one too.
fn has_any_of(text: &str, secret: &str) -> bool {
    let secret: String = secret.split_whitespace().collect();
    secret.as_bytes().windows(24).any(|part| text.contains(std::str::from_utf8(part).unwrap()))
}

/// The lines of the key, without those that say what it is.
fn key_of(google: &Google) -> String {
    let pem = google.key_file()["private_key"].as_str().unwrap().to_owned();
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}

#[tokio::test]
async fn nothing_that_is_sent_comes_back_in_an_error() {
    let google = Google::start().await;
    let fcm = google.fcm();
    fcm.deliver(&force_logout()).await.unwrap();
    let assertion = google.asked().remove(0).assertion;
    let bearer = google.sent().remove(0).headers["authorization"].clone();
    let token = bearer.strip_prefix("Bearer ").unwrap().to_owned();
    let sent = [assertion, token, TARGET.to_owned()];
    let is_silent = |text: &str| !sent.iter().chain([&key_of(&google)]).any(|secret| has_any_of(text, secret));

    // A server that repeats whatever it was sent, by itself or among other words, wherever a text may stand.
    let among = sent.join(" ");
    for said in sent.iter().chain([&among]) {
        for status in [400, 403, 404, 429, 500, 503] {
            let detail = json!({
                "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": said,
                "fieldViolations": [{ "field": said, "description": said }],
            });
            let error = json!({ "code": status, "message": said, "status": said, "details": [detail] });
            let body = json!({ "error": error }).to_string();
            // The control: an error with the answer in it would have them.
            assert!(!is_silent(&body));
            google.next_message(Says::new(status, body));
            let text = told(&fcm.deliver(&force_logout()).await.unwrap_err());
            assert!(text.contains(&format!("FCM answered {status}")) && is_silent(&text), "{text}");
        }
        for answer in [
            json!({ "error": said, "error_description": said }),
            json!({ "error": "invalid_client", "error_description": said }),
            json!({ "error": "invalid_grant", "error_description": said }),
            json!({ "access_token": said, "token_type": said, "expires_in": 3_600 }),
            json!({ "access_token": said, "token_type": "Bearer", "expires_in": said }),
        ] {
            google.revoke();
            let status = if answer["error"].is_null() { 200 } else { 400 };
            google.next_token(Says::new(status, answer.to_string()));
            let text = told(&fcm.deliver(&force_logout()).await.unwrap_err());
            assert!(text.contains("no access token") && is_silent(&text), "{text}");
        }
        // With a good one again.
        fcm.deliver(&force_logout()).await.unwrap();
    }
}

#[tokio::test]
async fn debug_shows_the_project_and_no_more() {
    let google = Google::start().await;
    let fcm = google.fcm();
    fcm.deliver(&force_logout()).await.unwrap();
    assert_eq!(format!("{fcm:?}"), r#"Fcm { project: "myproject-b5ae1", .. }"#);
}

/// The parser of JSON quotes what it finds in the wrong place.
#[tokio::test]
async fn a_key_file_that_is_wrong_is_not_quoted() {
    let google = Google::start().await;
    let key = key_of(&google);
    let mut misplaced = google.key_file();
    let pem = misplaced["private_key"].take();
    misplaced["private_key"] = json!({ "pem": pem });
    let mut cut = google.key_file();
    cut["private_key"] = pem.as_str().unwrap().replace("-----END PRIVATE KEY-----", "").into();
    let mut damaged = google.key_file();
    damaged["private_key"] = pem.as_str().unwrap().replacen('M', "*", 1).into();
    let file = google.key_file().to_string();
    let texts = [
        misplaced.to_string(),
        cut.to_string(),
        damaged.to_string(),
        json!({ "type": pem }).to_string(),
        pem.as_str().unwrap().to_owned(),
        pem.to_string(),
        file[..file.len() / 2].to_owned(),
    ];
    for text in &texts {
        let error = Fcm::from_service_account(text).unwrap_err();
        let told = told(&error);
        assert!(told.contains("Firebase console"), "{told}");
        assert!(!has_any_of(&told, &key), "{told}");
    }
    // The control: the parser's own words.
    let naive = serde_json::from_str::<std::collections::BTreeMap<String, bool>>(&json!({ "a": pem }).to_string());
    assert!(has_any_of(&naive.unwrap_err().to_string().replace("\\n", ""), &key));
}
