//! What is sent, to the byte.

use std::collections::BTreeSet;

use axum_device_sessions::{EndReason, EventKind, Message, Notice, Notifier, Wants};
use serde_json::json;

use crate::{DEVICE, World, another, apple::TOPIC, force_logout, new_login, whole};

/// "Send a POST request", at
/// <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>.
const APPLES_EXAMPLE: &str = "\
HEADERS
  - END_STREAM
  + END_HEADERS
  :method = POST
  :scheme = https
  :path = /3/device/00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0
  host = api.sandbox.push.apple.com
  authorization = bearer eyAia2lkIjogIjhZTDNHM1JSWDciIH0.eyAiaXNzIjogIkM4Nk5WOUpYM0QiLCAiaWF0IjogIjE0NTkxNDM1ODA2NTAiIH0.\
MEYCIQDzqyahmH1rz1s-LFNkylXEa2lZ_aOCX4daxxTZkVEGzwIhALvkClnx5m5eAT6Lxw7LZtEQcH6JENhJTMArwLf3sXwi
  apns-id = eabeae54-14a8-11e5-b60b-1697f925ec7b
  apns-push-type = alert
  apns-expiration = 0
  apns-priority = 10
  apns-topic = com.example.MyApp
DATA
  + END_STREAM
  { \"aps\" : { \"alert\" : \"Hello\" } }";

/// Wakes the app in the background, as at
/// <https://developer.apple.com/documentation/usernotifications/pushing-background-updates-to-your-app>:
/// `{ "aps" : { "content-available" : 1 }, "acme1" : "bar", "acme2" : 42 }`, push type `background`, priority 5.
#[tokio::test]
async fn a_forced_logout() {
    let world = World::new().await;
    let notice = force_logout(DEVICE);
    world.apns.deliver(&notice).await.unwrap();

    let seen = world.apple.single();
    assert_eq!((seen.status, seen.method.as_str()), (200, "POST"));
    assert_eq!(seen.path, "/3/device/00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0");
    let (id, event) = (notice.id.to_string(), notice.event.id.to_string());
    let expiration = (notice.event.at.unix_timestamp() + 30 * 86_400).to_string();
    let headers: Vec<_> = seen
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("apns-"))
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    assert_eq!(
        headers,
        [
            ("apns-expiration", expiration.as_str()),
            ("apns-id", &id),
            ("apns-priority", "5"),
            ("apns-push-type", "background"),
            ("apns-topic", "com.example.MyApp"),
        ]
    );
    assert_eq!(
        seen.payload(),
        json!({
            "aps": { "content-available": 1 },
            "action": "force_logout",
            "reason": "revoked_by_user",
            "session_id": notice.event.session_id.to_string(),
            "event_id": event,
        })
    );
}

#[tokio::test]
async fn a_new_login() {
    let world = World::new().await;
    let notice = new_login(DEVICE);
    world.apns.deliver(&notice).await.unwrap();

    let seen = world.apple.single();
    assert_eq!(seen.status, 200);
    let header = |name: &str| seen.headers[name].as_str();
    assert_eq!((header("apns-push-type"), header("apns-priority")), ("alert", "10"));
    let a_day_after = (notice.event.at.unix_timestamp() + 86_400).to_string();
    assert_eq!(header("apns-expiration"), a_day_after);
    let (id, event) = (notice.id.to_string(), notice.event.id.to_string());
    assert_eq!((header("apns-id"), header("apns-collapse-id")), (id.as_str(), id.as_str()));
    assert_eq!(
        seen.payload(),
        json!({
            "aps": {
                "alert": { "title": "New sign-in", "body": "Chrome on Windows, Moscow, Russia" },
                "sound": "default",
            },
            "action": "new_login",
            "session_id": notice.event.session_id.to_string(),
            "event_id": event,
        })
    );
}

/// Every header of Apple's own example is there, and besides those only what any client sends, and the collapse id.
#[tokio::test]
async fn apples_example() {
    let world = World::new().await;
    world.apns.deliver(&new_login(DEVICE)).await.unwrap();
    let seen = world.apple.single();
    let example: Vec<_> = APPLES_EXAMPLE.lines().filter_map(|line| line.trim().split_once(" = ")).collect();
    let of_example = |name: &str| example.iter().find(|(known, _)| *known == name).unwrap().1;

    assert_eq!((seen.method.as_str(), seen.path.as_str()), (of_example(":method"), of_example(":path")));
    assert_eq!(seen.headers["apns-topic"], of_example("apns-topic"));
    assert_eq!(seen.headers["apns-push-type"], of_example("apns-push-type"));
    assert_eq!(seen.headers["apns-priority"], of_example("apns-priority"));
    assert_eq!(shape(&seen.headers["apns-id"]), shape(of_example("apns-id")));
    let scheme = |value: &str| value.split(' ').next().unwrap().to_owned();
    assert_eq!(scheme(seen.token()), scheme(of_example("authorization")));
    assert_eq!(seen.token().split('.').count(), of_example("authorization").split('.').count());

    // `host` is `:authority` here.
    let wanted = example.iter().map(|(name, _)| *name).filter(|name| !name.starts_with(':') && *name != "host");
    let more = ["accept", "apns-collapse-id", "content-length", "user-agent"];
    let sent: BTreeSet<_> = seen.headers.keys().map(String::as_str).collect();
    assert_eq!(sent, wanted.chain(more).collect());
}

fn shape(id: &str) -> Vec<usize> {
    id.split('-').map(str::len).collect()
}

/// An attempt whose answer was lost may have been shown: the next must be the same to Apple and to the device.
#[tokio::test]
async fn attempts_do_not_differ() {
    let world = World::new().await;
    let mut notice = new_login(DEVICE);
    world.apns.deliver(&notice).await.unwrap();
    notice.attempt = 2;
    world.pass(5);
    world.apns.deliver(&notice).await.unwrap();
    let [first, second] = <[_; 2]>::try_from(world.apple.seen()).unwrap();
    assert_eq!(first, second);
}

#[tokio::test]
async fn the_applications_own_words_and_a_reason_of_its_own() {
    let world = World::new().await;
    let apns = another(&world.apple.url, &world.key)
        .clock(world.clock.clone())
        .alert(|event| ("Новый вход".to_owned(), format!("\"{}\"\n", event.device_name)));
    apns.deliver(&new_login(DEVICE)).await.unwrap();
    let alert = &world.apple.single().payload()["aps"]["alert"];
    assert_eq!(*alert, json!({ "title": "Новый вход", "body": "\"Chrome on Windows\"\n" }));

    // No place is known, and no reason.
    let mut notice = new_login(DEVICE);
    notice.event.location = None;
    let mut ended = force_logout(DEVICE);
    ended.event.reason = Some(EndReason::from("subscription_ended"));
    let world = World::new().await;
    world.apns.deliver(&notice).await.unwrap();
    world.apns.deliver(&ended).await.unwrap();
    let seen = world.apple.seen();
    assert_eq!(seen[0].payload()["aps"]["alert"]["body"], "Chrome on Windows");
    assert_eq!(seen[1].payload()["reason"], "subscription_ended");
}

/// Whoever registers a target chooses its token, and it becomes a part of the path.
#[tokio::test]
async fn only_a_device_token_goes_into_the_path() {
    let world = World::new().await;
    let climbing = "../../4/broadcasts/apps/com.example.MyApp";
    let bad = [
        "",
        ".",
        "..",
        climbing,
        "00fc/../../1/apps",
        "%2e%2e%2f4",
        "00fc13ad?x=1",
        "00fc13ad#x",
        "00fc 13ad",
        "00fc13ad\r\nx: y",
        "<00fc13ad>",
        "AAAA/BBB+w==",
        "٠٠",
    ];
    for token in bad {
        for notice in [force_logout(token), new_login(token)] {
            let error = world.apns.deliver(&notice).await.unwrap_err();
            assert_eq!(error.to_string(), "the target is gone", "{token:?}");
            assert!(token.len() < 5 || !whole(&error).contains(token), "{token:?}");
        }
    }
    assert_eq!(world.apple.seen(), [], "nothing was asked");
    // Of any length, Apple says; and in either case.
    for token in ["00FC13ADFF785122", &"ab".repeat(100)] {
        world.apns.deliver(&force_logout(token)).await.unwrap();
    }

    // Naively it is another request, of the attacker's choice.
    let naive = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    naive.post(format!("{}/3/device/{climbing}", world.apple.url)).send().await.unwrap();
    assert_eq!(world.apple.seen().last().unwrap().path, "/4/broadcasts/apps/com.example.MyApp");
}

#[tokio::test]
async fn it_is_for_devices() {
    let world = World::new().await;
    assert_eq!(world.apns.wants(), Wants::push("apns"));
    let development = another(&world.apple.url, &world.key).provider("apns-development").unwrap();
    assert_eq!(development.wants(), Wants::push("apns-development"));
    for message in [Message::Event, Message::NewLoginMail { disown_url: Some("https://example.org/s3cr3t".to_owned()) }]
    {
        let error = world.apns.deliver(&Notice::fake(EventKind::SessionEnded, message)).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot be delivered");
        assert!(!whole(&error).contains("s3cr3t"));
    }
    assert_eq!(world.apple.seen(), []);
    assert!(format!("{:?}", world.apns).contains(TOPIC));
}
