//! The JSON of each kind, whole.

use std::collections::BTreeMap;

use axum_device_sessions::{Client as Caller, Event, EventKind, SignIn, SignedIn};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::notified::{World, keyless};

const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

fn caller(device: &str, address: &str) -> Caller {
    Caller::new(Some(CHROME), Some(address.parse().unwrap())).device_id(format!("the installation on the {device}"))
}

/// Each kind once, by the life of a phone and of a laptop that somebody else had.
async fn story(world: &World) -> [SignedIn; 2] {
    let node = &world.nodes[0];
    let phone = world.sign_in(SignIn::new("ahmed").client(caller("phone", "203.0.113.7"))).await;
    node.refresh(&phone.refresh_token, None).await.unwrap();
    node.rename(&"ahmed".into(), phone.session.id, "Ahmed's <phone>").await.unwrap();
    let laptop = SignIn::new("ahmed").client(caller("laptop", "198.51.100.9")).failed_attempts(5);
    let laptop = world.sign_in(laptop).await;
    node.disown(&world.link("ahmed").await).await.unwrap();
    node.refresh(&phone.refresh_token, None).await.unwrap_err();
    [phone, laptop]
}

/// Ids and times are of the day; here they stand for themselves.
fn without_what_differs(event: &Event, [phone, laptop]: &[SignedIn; 2]) -> Value {
    let mut json = serde_json::to_value(event).unwrap();
    let now = OffsetDateTime::now_utc();
    let at = OffsetDateTime::parse(json["timestamp"].as_str().unwrap(), &Rfc3339).unwrap();
    assert!((now - at).abs() < time::Duration::MINUTE && json["timestamp"].as_str().unwrap().ends_with('Z'), "{json}");
    assert_eq!(json["id"], event.id.to_string());
    (json["id"], json["timestamp"]) = ("an id".into(), "a time".into());
    for signal in json.pointer_mut("/data/signals").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(seconds) = signal.get_mut("withinSeconds") {
            assert!(seconds.as_u64() < Some(60), "{seconds}");
            *seconds = 0.into();
        }
    }
    let text = json.to_string();
    let text = text.replace(&phone.session.id.to_string(), "phone").replace(&laptop.session.id.to_string(), "laptop");
    serde_json::from_str(&text).unwrap()
}

/// What all of them say; `data` besides the ids.
fn expected(kind: &str, session: &str, more: Value) -> Value {
    let name = if session == "phone" { "Ahmed's <phone>" } else { "Chrome on Windows" };
    let (ip, place, code) = match session {
        "phone" => ("203.0.113.7", "Moscow, Russia", "RU"),
        _ => ("198.51.100.9", "Berlin, Germany", "DE"),
    };
    let mut data = json!({
        "userId": "ahmed", "sessionId": session, "deviceName": name, "deviceType": "web",
        "ipAddress": ip, "location": place, "countryCode": code,
    });
    let Value::Object(more) = more else { panic!("an object") };
    data.as_object_mut().unwrap().extend(more);
    json!({ "id": "an id", "type": kind, "version": 1, "timestamp": "a time", "data": data })
}

#[tokio::test]
async fn of_each_kind() {
    let strict = |builder: axum_device_sessions::SessionsBuilder| builder.refresh_grace(std::time::Duration::ZERO);
    let worlds = [World::on_postgres(strict).await, World::in_memory(strict).await];
    let signals = json!({ "signals": [
        { "kind": "new_device" },
        { "kind": "new_country", "countryCode": "DE", "known": ["RU"] },
        { "kind": "impossible_travel", "sessionId": "phone", "from": "Moscow, Russia", "distanceKm": 1_519, "withinSeconds": 0 },
        { "kind": "failures_before", "count": 5 },
    ] });
    let before_its_name = json!({ "deviceName": "Chrome on Windows" });
    let reuse = json!({ "reason": "refresh_reuse" });
    let by_alert = json!({ "reason": "revoked_by_alert", "actor": "the alert" });
    let golden = [
        expected("session.created", "phone", before_its_name.clone()),
        expected("session.refreshed", "phone", before_its_name),
        expected("session.renamed", "phone", json!({})),
        expected("refresh.reuse", "phone", reuse.clone()),
        expected("session.ended", "phone", reuse),
        expected("session.created", "laptop", json!({})),
        expected("login.new_device", "laptop", signals.clone()),
        expected("login.suspicious", "laptop", signals),
        expected("session.ended", "laptop", by_alert),
        expected("login.disowned", "laptop", json!({})),
    ];
    for world in worlds {
        let both = story(&world).await;
        world.settled().await;
        let mut lanes = BTreeMap::<_, Vec<_>>::new();
        for notice in world.notices("ahmed").await {
            if matches!(notice.message, axum_device_sessions::Message::Event) {
                lanes.entry(notice.event.session_id).or_default().push(notice.event);
            }
        }
        let told = both.each_ref().map(|one| lanes.remove(&one.session.id).unwrap()).concat();
        let told: Vec<_> = told.iter().map(|event| without_what_differs(event, &both)).collect();
        for (told, golden) in told.iter().zip(&golden) {
            assert_eq!(told, golden, "{}", world.name());
        }
        assert_eq!(told.len(), golden.len(), "{}: and no more", world.name());
        let kinds: std::collections::BTreeSet<_> = told.iter().map(|one| one["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, EventKind::ALL.iter().map(|kind| kind.as_str()).collect(), "each kind is among them");
    }
}

/// What is not known is null, and not left out: but for what only some kinds have.
#[tokio::test]
async fn of_somebody_of_whom_nothing_is_known() {
    for world in World::both().await {
        let signed_in = world.sign_in(SignIn::new("lena").client(keyless(None))).await;
        let told = world.events_of("lena", "session.created").await;
        let mut json = serde_json::to_value(&told[0].event).unwrap();
        let data = json!({
            "userId": "lena", "sessionId": signed_in.session.id, "deviceName": "Unknown device", "deviceType": "other",
            "ipAddress": null, "location": null, "countryCode": null,
        });
        assert_eq!(json["data"].take(), data, "{}", world.name());
    }
}

/// Names are for ever.
#[test]
fn kinds_by_name() {
    let names = [
        "session.created",
        "session.refreshed",
        "session.renamed",
        "session.ended",
        "login.new_device",
        "login.suspicious",
        "login.disowned",
        "refresh.reuse",
    ];
    assert_eq!(EventKind::ALL.iter().map(|kind| kind.to_string()).collect::<Vec<_>>(), names);
    for name in names {
        assert_eq!(name.parse::<EventKind>().unwrap().as_str(), name);
    }
    assert!("session.teleported".parse::<EventKind>().is_err() && "".parse::<EventKind>().is_err());
}
