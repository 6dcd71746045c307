//! What cannot work is refused at once, with advice, and repeats nothing that may be a secret.

use axum_device_sessions::{EventKind, Notifier, Wants, Webhook};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{OTHER, SECRET, told, webhook};

#[test]
fn urls() {
    for good in [
        "https://example.com/hooks",
        "HTTPS://EXAMPLE.COM:8443/hooks?key=1",
        "https://192.0.2.1/",
        "http://localhost:3001/webhook",
        "http://127.0.0.1",
        "http://127.8.9.10:80/",
        "http://[::1]:3001/",
        "https://example.com/a@b",
    ] {
        _ = Webhook::new(good, SECRET).unwrap();
    }
    for (bad, advice) in [
        ("", "https://example.com/hooks"),
        ("/hooks/hunter2", "https://example.com/hooks"),
        ("example.com/hunter2", "https://example.com/hooks"),
        ("https://", "https://example.com/hooks"),
        ("https://example.com:hunter2/", "https://example.com/hooks"),
        ("ftp://example.com/hunter2", "https://"),
        ("file:///hunter2", "https://"),
        ("example.com:443/hunter2", "https://"),
        ("https://hunter2@example.com/", "take them out"),
        ("https://:hunter2@example.com/", "take them out"),
        ("https://user:hunter2@example.com/", "take them out"),
        ("http://hunter2@localhost/", "take them out"),
        ("http://example.com/hunter2", "`https` URL"),
        ("http://10.0.0.1/hunter2", "`https` URL"),
        ("http://0.0.0.0/hunter2", "`https` URL"),
        ("http://128.0.0.1/hunter2", "`https` URL"),
        ("http://[::2]/hunter2", "`https` URL"),
        ("http://127.0.0.1.example.com/hunter2", "`https` URL"),
        ("http://localhost.example.com/hunter2", "`https` URL"),
        ("http://example.com/hunter2#@localhost/", "`https` URL"),
    ] {
        let error = Webhook::new(bad, SECRET).unwrap_err();
        assert!(error.to_string().contains(advice), "{bad}: {error}");
        assert!(!told(&error).contains("hunter2"), "{}", told(&error));
    }
}

fn secret(bytes: impl IntoIterator<Item = u8>) -> String {
    format!("whsec_{}", STANDARD.encode(bytes.into_iter().collect::<Vec<_>>()))
}

#[test]
fn secrets() {
    for good in [secret(0..24), secret(0..32), secret(0..64)] {
        _ = webhook("https://example.com").also_sign_with(&good).unwrap();
        _ = Webhook::new("https://example.com", good).unwrap();
    }
    let encoded = SECRET.trim_start_matches("whsec_");
    let asymmetric = secret(0..32).replace("whsec_", "whsk_");
    for (bad, advice) in [
        ("", "begins with `whsec_`"),
        (encoded, "begins with `whsec_`"),
        (&format!(" {SECRET}"), "begins with `whsec_`"),
        (&asymmetric, "begins with `whsec_`"),
        (&format!("{SECRET}\n"), "no base64"),
        (&format!("whsec_-{}", &encoded[1..]), "no base64"),
        (secret(0..32).trim_end_matches('='), "no base64"),
        ("whsec_", "this one has 0"),
        (&secret(0..23), "this one has 23"),
        (&secret(0..65), "this one has 65"),
        (&secret([7; 32]), "one byte repeated"),
    ] {
        let (new, also) =
            (Webhook::new("https://example.com", bad), webhook("https://example.com").also_sign_with(bad));
        for error in [new.unwrap_err(), also.unwrap_err()] {
            assert!(error.to_string().contains(advice), "{bad}: {error}");
            assert!(error.to_string().contains("openssl rand -base64 32"), "{error}");
            assert!(bad.len() < 20 || !told(&error).contains(&bad[bad.len() - 10..]), "{}", told(&error));
        }
    }
    let twice = webhook("https://example.com").also_sign_with(OTHER).unwrap().also_sign_with(OTHER).unwrap_err();
    assert!(twice.to_string().contains("already"), "{twice}");
    let twice = webhook("https://example.com").also_sign_with(SECRET).unwrap_err();
    assert!(twice.to_string().contains("already"), "{twice}");
}

#[test]
fn events() {
    let webhook = webhook("https://example.com");
    let most = EventKind::ALL.iter().copied().filter(|kind| *kind != EventKind::SessionRefreshed);
    assert_eq!(webhook.wants(), Wants::events(most));
    let chosen = [EventKind::SessionRefreshed, EventKind::LoginDisowned];
    assert_eq!(webhook.events(chosen).wants(), Wants::events(chosen));
}

#[test]
fn shown_without_its_secrets() {
    let webhook = Webhook::new("https://example.com:8443/hunter2?key=hunter2", SECRET).unwrap();
    let shown = format!("{:?}", webhook.also_sign_with(OTHER).unwrap().events([EventKind::SessionEnded]));
    assert_eq!(shown, r#"Webhook { origin: "https://example.com:8443", events: [SessionEnded], .. }"#);
}
