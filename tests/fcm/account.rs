//! What is found out when it is set up, in words that say what to do.

use axum_device_sessions::Fcm;
use serde_json::{Value, json};

use crate::{google::Google, keys::Keys};

fn problem(key_file: &Value) -> String {
    Fcm::from_service_account(&key_file.to_string()).unwrap_err().to_string()
}

#[tokio::test]
async fn a_file_that_is_none_is_refused_with_what_to_take_instead() {
    let google = Google::start().await;
    let with = |name: &str, value: Value| {
        let mut file = google.key_file();
        file[name] = value;
        file
    };
    let without = |name: &str| {
        let mut file = google.key_file();
        file.as_object_mut().unwrap().remove(name).unwrap();
        file
    };
    let none = "this is no key file of a service account";
    for (file, text) in [
        // The file of the app, and that of a person.
        (json!({ "project_info": { "project_id": "myproject-b5ae1" }, "client": [] }), none),
        (with("type", json!("authorized_user")), "of another type than `service_account`"),
        (json!([]), none),
        (without("project_id"), none),
        (without("private_key_id"), none),
        (without("private_key"), none),
        (without("client_email"), none),
        (without("token_uri"), none),
        (with("project_id", json!("")), "`project_id`"),
        (with("project_id", json!("..")), "`project_id`"),
        (with("project_id", json!("shop/../other")), "`project_id`"),
        (with("project_id", json!("shop?x")), "`project_id`"),
        (with("private_key_id", json!("")), "`private_key_id`"),
        (with("client_email", json!("")), "`client_email`"),
        (with("private_key", json!("")), "`private_key` cannot be used"),
        (with("private_key", json!(Keys::new().public)), "`private_key` cannot be used"),
        (with("private_key", json!(elliptic())), "`private_key` cannot be used"),
    ] {
        let problem = problem(&file);
        assert!(problem.contains(text), "{problem}");
        assert!(problem.contains("take the JSON that the Firebase console makes"), "{problem}");
    }
    // The control: as it is made, and with the names of old projects.
    for id in ["myproject-b5ae1", "example.com:shop"] {
        Fcm::from_service_account(&with("project_id", json!(id)).to_string()).unwrap();
    }
}

fn elliptic() -> String {
    rcgen::KeyPair::generate().unwrap().serialize_pem()
}

/// Assertions and access tokens go there.
#[tokio::test]
async fn secrets_go_by_https_or_stay_on_this_machine() {
    let google = Google::start().await;
    let token_uri = |url: &str| {
        let mut file = google.key_file();
        file["token_uri"] = url.into();
        Fcm::from_service_account(&file.to_string()).map(|_| ())
    };
    let endpoint = |url: &str| google.fcm().endpoint(url).map(|_| ());
    for good in [
        "https://push.example.com",
        "https://push.example.com/fcm/",
        "http://127.0.0.1:9",
        "http://[::1]:9",
        "http://localhost:9",
    ] {
        assert!(token_uri(good).is_ok() && endpoint(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "push.example.com",
        "http://push.example.com",
        "http://127.0.0.1.example.com",
        "http://10.0.0.1",
        "ftp://push.example.com",
        "file:///etc/passwd",
        "https://user:word@push.example.com",
        "https://push.example.com?to=",
        "https://push.example.com/#",
    ] {
        for (what, refused) in [("`token_uri`", token_uri(bad)), ("the endpoint of FCM", endpoint(bad))] {
            let text = refused.unwrap_err().to_string();
            assert!(text.contains(what) && text.contains("has to be an `https` URL"), "{bad}: {text}");
            assert!(!text.contains("word"), "{text}");
        }
    }
}
