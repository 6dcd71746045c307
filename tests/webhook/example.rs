//! `examples/webhook_receiver.rs` as a process, told by real webhooks.

use axum_device_sessions::{EventKind, Message, Notice, Notifier, Webhook};
use reqwest::Client;
use standardwebhooks::Webhook as Verifier;
use time::OffsetDateTime;

use super::{OTHER, SECRET, ended, pause, process::Quickstart, told};

/// Sends this as somebody who has that secret; what is answered.
async fn send(url: &str, secret: &str, id: &str, late_by: i64, body: &'static str) -> u16 {
    let timestamp = OffsetDateTime::now_utc().unix_timestamp() - late_by;
    let signature = Verifier::new(secret).unwrap().sign(id, timestamp, body.as_bytes()).unwrap();
    let request = Client::builder().no_proxy().build().unwrap().post(url).body(body);
    let request = request.header("webhook-id", id).header("webhook-timestamp", timestamp);
    request.header("webhook-signature", signature).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_receiver_prints_each_event_once_and_believes_nobody_else() {
    let receiver = Quickstart::example("webhook_receiver", &[("WEBHOOK_SECRET", SECRET)]).await;
    let url = receiver.url("/webhook");
    let webhook = Webhook::new(&url, SECRET).unwrap();
    let mut first = ended();
    "Chrome\nsession.created \u{1b}[2J".clone_into(&mut first.event.device_name);
    webhook.deliver(&first).await.unwrap();
    webhook.deliver(&first).await.unwrap(); // the answer was lost
    webhook.deliver(&Notice::fake(EventKind::LoginSuspicious, Message::Event)).await.unwrap();
    // Its sender changes secrets, and this receiver has the one or the other.
    let changing = Webhook::new(&url, OTHER).unwrap().also_sign_with(SECRET).unwrap();
    changing.deliver(&Notice::fake(EventKind::SessionCreated, Message::Event)).await.unwrap();

    let failure = Webhook::new(&url, OTHER).unwrap().deliver(&ended()).await.unwrap_err();
    assert_eq!(pause(&failure), None, "tried again: it may get its secret yet");
    assert!(told(&failure).contains("answered with status 401"), "{failure:?}");

    let body = r#"{"type":"something.new","data":{}}"#;
    assert_eq!(send(&url, SECRET, "new", 0, body).await, 204, "a type that it does not know");
    assert_eq!(send(&url, SECRET, "late", 290, body).await, 204);
    assert_eq!(send(&url, SECRET, "early", -290, body).await, 204);
    assert_eq!(send(&url, SECRET, "replayed", 310, body).await, 401);
    assert_eq!(send(&url, SECRET, "from the future", -310, body).await, 401);
    assert_eq!(send(&url, OTHER, "forged", 0, body).await, 401);
    assert_eq!(send(&url, SECRET, "no JSON", 0, "{").await, 400);
    assert_eq!(send(&url, SECRET, "large", 0, " ".repeat(65 * 1024).leak()).await, 413);
    let unsigned = Client::builder().no_proxy().build().unwrap().post(&url).body(body);
    assert_eq!(unsigned.send().await.unwrap().status(), 401);

    let ended = receiver.stop("INT").await;
    assert!(ended.status.success(), "{}", ended.output);
    let printed: Vec<_> = ended.output.lines().skip(1).map(|line| line.split_once(' ').unwrap()).collect();
    let types: Vec<_> = printed.iter().map(|(kind, _)| kind.trim_matches('"')).collect();
    let new = "something.new";
    assert_eq!(types, ["session.ended", "login.suspicious", "session.created", new, new, new]);
    assert!(printed[0].1.contains(r#""deviceName":"Chrome\nsession.created \u001b[2J""#), "{}", printed[0].1);
    assert!(!ended.output.contains(&SECRET[6..]), "{}", ended.output);
}
