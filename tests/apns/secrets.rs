//! What is said about mistakes, and what is never said.

use std::error::Error;

use axum_device_sessions::{Apns, ConfigError, Notifier};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

use crate::{
    DEVICE, World, another,
    apple::{KEY_ID, TEAM_ID, TOPIC},
    force_logout, whole,
};

fn key() -> String {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem()
}

/// All that it says, its causes too.
fn said(made: Result<Apns, ConfigError>) -> String {
    let error = made.unwrap_err();
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(" {error}"));
        cause = error.source();
    }
    text
}

#[test]
fn keys_that_cannot_be_used() {
    let of = |algorithm| KeyPair::generate_for(algorithm).unwrap();
    let p256 = of(&PKCS_ECDSA_P256_SHA256);
    let sec1 = p256.serialize_pem().replace("PRIVATE KEY", "EC PRIVATE KEY");
    // A line is missing.
    let torn: String = p256
        .serialize_pem()
        .lines()
        .enumerate()
        .filter(|line| line.0 != 2)
        .map(|line| format!("{}\n", line.1))
        .collect();
    for (pem, hint) in [
        (of(&PKCS_ECDSA_P384_SHA384).serialize_pem(), "a P-384 key"),
        (of(&PKCS_ED25519).serialize_pem(), "an Ed25519 key"),
        (p256.public_key_pem(), "the public half"),
        (sec1, "openssl pkcs8"),
        (torn, "AuthKey_<key id>.p8"),
        ("AuthKey_ABC123DEFG.p8".to_owned(), "not a PEM file"),
        (String::new(), "not a PEM file"),
    ] {
        let said = said(Apns::new(&pem, KEY_ID, TEAM_ID, TOPIC));
        assert!(said.contains("AuthKey_<key id>.p8") && said.contains(hint), "{said}");
        for line in pem.lines().filter(|line| line.len() > 30 && !line.starts_with('-')) {
            assert!(!said.contains(line), "{said}");
        }
    }
}

#[test]
fn settings_that_cannot_work() {
    let new = |key_id: &str, team_id: &str, topic: &str| Apns::new(key(), key_id, team_id, topic);
    for bad in ["", "ABC123DEF", "ABC123DEFGH", "ABC123DEF\n", "ABC123DE\"G", "AuthKey_ABC123DEFG.p8"] {
        assert!(said(new(bad, TEAM_ID, TOPIC)).contains("your key"), "{bad:?}");
        assert!(said(new(KEY_ID, bad, TOPIC)).contains("your team"), "{bad:?}");
    }
    for bad in ["", "com.example.My App", "com.example/MyApp", "com.example.MyApp\r\nx: y", "com.example.é"] {
        assert!(said(new(KEY_ID, TEAM_ID, bad)).contains("bundle id"), "{bad:?}");
    }
    let good = || new(KEY_ID, TEAM_ID, TOPIC).unwrap();
    for bad in [
        "",
        "api.push.apple.com",
        "http://api.push.apple.com",
        "http://127.0.0.1.example.org",
        "ftp://localhost",
        "https://user:s3cr3t@example.org",
        "https://example.org/3/device",
        "https://example.org?x",
        "https://example.org#x",
    ] {
        assert!(said(good().endpoint(bad)).contains("stand in"), "{bad:?}");
    }
    for good_url in ["https://example.org", "https://example.org:2197/", "http://localhost:1", "http://[::1]:1"] {
        good().endpoint(good_url).unwrap();
    }
    for bad in ["", "APNs", "apns production", &"a".repeat(41)] {
        assert!(said(good().provider(bad)).contains("name of a provider"), "{bad:?}");
    }
    assert!(format!("{:?}", good()).contains("https://api.push.apple.com"));
    assert!(format!("{:?}", good().sandbox()).contains("https://api.sandbox.push.apple.com"));
}

/// Neither the key, nor the provider token, nor a device's.
#[tokio::test]
async fn what_a_log_gets_to_see() {
    let world = World::new().await;
    world.apns.deliver(&force_logout(DEVICE)).await.unwrap();
    let provider_token = world.apple.single().token().strip_prefix("bearer ").unwrap().to_owned();
    let key = world.key.serialize_pem();
    let secrets: Vec<_> = key.lines().filter(|line| !line.starts_with('-')).chain([DEVICE, &provider_token]).collect();
    let clean = |text: &str| secrets.iter().all(|secret| !text.contains(secret));

    assert!(clean(&format!("{:?} {:#?}", world.apns, world.apns)));
    assert!(clean(&format!("{:?}", force_logout(DEVICE))));
    for status in [400, 403, 410, 429, 500] {
        world.apple.answer(DEVICE, status, r#"{"reason":"Whatever"}"#, None);
        assert!(clean(&whole(&world.apns.deliver(&force_logout(DEVICE)).await.unwrap_err())), "{status}");
    }
    // Nobody there: the HTTP client's own error names the URL, which is the device.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = another(&url, &world.key).deliver(&force_logout(DEVICE)).await.unwrap_err();
    assert!(clean(&whole(&error)), "{error:?}");
    let naive = reqwest::Client::new().post(format!("{url}/3/device/{DEVICE}")).send().await.unwrap_err();
    assert!(!clean(&naive.to_string()), "{naive}");
}
