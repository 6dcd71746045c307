//! What is sent, and whom it convinces.

use axum::http::Method;
use axum_device_sessions::{Event, EventKind, Message, Notice, Notifier, PushTarget, Webhook};
use serde_json::Value;
use standardwebhooks::Webhook as Verifier;
use time::OffsetDateTime;

use super::{OTHER, SECRET, ended, endpoint::Endpoint, refused, webhook};

#[tokio::test]
async fn every_header_and_every_byte_of_it() {
    let endpoint = Endpoint::content().await;
    let notice = ended();
    let webhook = webhook(&format!("{}/hooks/sessions?tenant=7", endpoint.url));
    let before = OffsetDateTime::now_utc().unix_timestamp();
    webhook.deliver(&notice).await.unwrap();
    let after = OffsetDateTime::now_utc().unix_timestamp();

    let got = endpoint.one();
    let Event { id, session_id, .. } = notice.event;
    assert_eq!((got.method.clone(), got.target.as_str()), (Method::POST, "/hooks/sessions?tenant=7"));
    let body = format!(
        "{{\"id\":\"{id}\",\"type\":\"session.ended\",\"version\":1,\"timestamp\":\"2024-10-04T00:00:00Z\",\"data\":{{\
         \"userId\":\"ahmed\",\"sessionId\":\"{session_id}\",\"deviceName\":\"Chrome on Windows\",\"deviceType\":\"web\",\
         \"ipAddress\":\"203.0.113.7\",\"location\":\"Moscow, Russia\",\"countryCode\":\"RU\",\
         \"reason\":\"revoked_by_user\"}}}}"
    );
    assert_eq!(std::str::from_utf8(&got.body).unwrap(), body);

    let timestamp: i64 = got.header("webhook-timestamp").parse().unwrap();
    assert!((before..=after).contains(&timestamp), "{timestamp}: the attempt's, in seconds");
    let signature = Verifier::new(SECRET).unwrap().sign(&id.to_string(), timestamp, body.as_bytes()).unwrap();
    let mut headers: Vec<_> =
        got.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            ("accept", "*/*"),
            ("content-length", body.len().to_string().as_str()),
            ("content-type", "application/json"),
            ("host", endpoint.url.trim_start_matches("http://")),
            ("user-agent", concat!("axum-device-sessions/", env!("CARGO_PKG_VERSION"))),
            ("webhook-id", id.to_string().as_str()),
            ("webhook-signature", signature.as_str()),
            ("webhook-timestamp", timestamp.to_string().as_str()),
        ]
    );
    got.verify(SECRET).unwrap();
}

/// What the official library says of a signature that is none.
fn forged() -> Result<(), String> {
    Err("signature invalid".to_owned())
}

/// By the id a receiver knows what it has been told already.
#[tokio::test]
async fn another_attempt_has_the_same_id_and_body() {
    let endpoint = Endpoint::content().await;
    let webhook = webhook(&endpoint.url);
    let mut notice = ended();
    for attempt in 1..=3 {
        notice.attempt = attempt;
        webhook.deliver(&notice).await.unwrap();
    }
    webhook.deliver(&ended()).await.unwrap();
    let got = endpoint.got();
    let id = notice.event.id.to_string();
    assert_eq!(got.iter().map(|one| one.header("webhook-id") == id).collect::<Vec<_>>(), [true, true, true, false]);
    assert!(got[..3].iter().all(|one| one.body == got[0].body));
}

/// Every kind, and text of people that JSON may write in more than one way.
#[tokio::test]
async fn the_official_library_takes_it_for_genuine() {
    let endpoint = Endpoint::content().await;
    let webhook = webhook(&endpoint.url);
    let mut differently_written = 0;
    for kind in EventKind::ALL {
        for name in ["Firefox", "Лена's \"Pixel\" \\ 9", "a\nb\t\u{0}\u{7f}\u{2028}</script>", "🧑‍🚀 é e\u{301} ."]
        {
            let mut notice = Notice::fake(*kind, Message::Event);
            name.clone_into(&mut notice.event.device_name);
            webhook.deliver(&notice).await.unwrap();
            let mut got = endpoint.got().pop().unwrap();
            got.verify(SECRET).unwrap();
            let read: Value = serde_json::from_slice(&got.body).unwrap();
            assert_eq!((read["type"].as_str(), read["data"]["deviceName"].as_str()), (Some(kind.as_str()), Some(name)));
            // A sender that signs one writing and sends another, or a receiver that checks what it has written again.
            got.body = serde_json::to_vec(&read).unwrap().into();
            differently_written += usize::from(got.verify(SECRET) == forged());
        }
    }
    assert_eq!(differently_written, endpoint.got().len(), "the bytes that are signed are those that are sent");
}

#[tokio::test]
async fn what_was_tampered_with_is_not_genuine() {
    let endpoint = Endpoint::content().await;
    webhook(&endpoint.url).deliver(&ended()).await.unwrap();
    let genuine = endpoint.one();
    genuine.verify(SECRET).unwrap();
    assert_eq!(genuine.verify(OTHER), forged(), "another secret");

    for place in 0..genuine.body.len() {
        let mut tampered = genuine.clone();
        let mut body = tampered.body.to_vec();
        // Another character of ASCII: the library takes text alone.
        body[place] ^= 1;
        tampered.body = body.into();
        assert_eq!(tampered.verify(SECRET), forged(), "byte {place}");
    }
    let sent: i64 = genuine.header("webhook-timestamp").parse().unwrap();
    for (name, value) in [
        ("webhook-id", "0198f0a0-0000-7000-8000-000000000000".to_owned()),
        ("webhook-timestamp", (sent - 1).to_string()),
    ] {
        let mut tampered = genuine.clone();
        tampered.headers.insert(name, value.parse().unwrap());
        assert_eq!(tampered.verify(SECRET), forged(), "{name}");
    }
}

/// Both are sent, so that a receiver may take the new secret whenever it likes.
#[tokio::test]
async fn a_change_of_secrets() {
    const THIRD: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let endpoint = Endpoint::content().await;
    let new_alone = webhook(&endpoint.url);
    new_alone.deliver(&ended()).await.unwrap();
    assert_eq!(endpoint.one().verify(OTHER), forged(), "without it the old one is lost at once");

    let both = webhook(&endpoint.url).also_sign_with(OTHER).unwrap();
    both.deliver(&ended()).await.unwrap();
    let got = endpoint.got().pop().unwrap();
    assert_eq!((got.verify(SECRET), got.verify(OTHER)), (Ok(()), Ok(())));
    assert_eq!(got.verify(THIRD), forged());
    let (id, timestamp) = (got.header("webhook-id"), got.header("webhook-timestamp").parse().unwrap());
    let by = |secret| Verifier::new(secret).unwrap().sign(id, timestamp, &got.body).unwrap();
    assert_eq!(
        got.header("webhook-signature"),
        format!("{} {}", by(SECRET), by(OTHER)),
        "as the specification parts them"
    );
}

/// They hold a device's token, or a link for one person.
#[tokio::test]
async fn what_is_for_others_is_not_sent() {
    let endpoint = Endpoint::content().await;
    let webhook = Webhook::new(&endpoint.url, SECRET).unwrap();
    let target = PushTarget::new("fcm", "token-of-a-device");
    for message in [
        Message::ForceLogout { target: target.clone() },
        Message::NewLogin { target },
        Message::NewLoginMail { disown_url: Some("https://example.com/disown/secret".to_owned()) },
    ] {
        let failure = webhook.deliver(&Notice::fake(EventKind::LoginNewDevice, message)).await.unwrap_err();
        assert!(refused(&failure), "{failure:?}");
    }
    assert!(endpoint.got().is_empty());
}
