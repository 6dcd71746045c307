//! Which names there are.

use axum::{
    body::Body,
    http::{Request, header},
};
use serde_json::{Value, json};

use super::http::{Sent, ask_with, get};
use super::site::{Browser, In, Node, two};
use super::{patch, rename};

const WRONG: &str = "422 invalid_request";

async fn named(node: &Node, who: &In, name: &str) -> Result<String, String> {
    let answer = rename(&node.app, &who.id, name, &who.sent).await;
    if answer.status != 200 {
        return Err(answer.line());
    }
    let told = answer.json()["deviceName"].as_str().unwrap().to_owned();
    let listed = get(&node.app, "/sessions", &who.sent).await.json();
    assert_eq!(listed[0]["deviceName"], told.as_str(), "and so it is listed");
    Ok(told)
}

/// Characters, not bytes and not what they look like.
#[tokio::test]
async fn one_to_sixty_four_characters() {
    let (_db, [node, _], _sql) = two(|builder| builder).await;
    let ahmed = Browser::default().login(&node, "ahmed", false).await;
    for one in ["x", "ж", "📱", "日"] {
        for length in [1, 63, 64] {
            let name = one.repeat(length);
            assert_eq!(named(&node, &ahmed, &name).await, Ok(name), "{length}");
        }
        assert_eq!(named(&node, &ahmed, &one.repeat(65)).await, Err(WRONG.to_owned()));
        // What is cut off at its ends does not count.
        let spaced = format!("  \t{}\u{a0}\n ", one.repeat(64));
        assert_eq!(named(&node, &ahmed, &spaced).await, Ok(one.repeat(64)));
    }
    for (sent, kept) in [
        ("  My phone ", "My phone"),
        ("Lena’s iPhone", "Lena’s iPhone"),
        ("الهاتف", "الهاتف"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("a'; DROP TABLE x --", "a'; DROP TABLE x --"),
        // A family, of characters joined by one that cannot be seen.
        ("👨\u{200d}👩\u{200d}👧", "👨\u{200d}👩\u{200d}👧"),
    ] {
        assert_eq!(named(&node, &ahmed, sent).await.as_deref(), Ok(kept));
    }
}

#[tokio::test]
async fn control_characters_and_what_cannot_be_seen() {
    let (_db, [node, _], _sql) = two(|builder| builder).await;
    let ahmed = Browser::default().login(&node, "ahmed", false).await;
    assert!(named(&node, &ahmed, "as it was").await.is_ok());
    let control = ['\0', '\u{1}', '\n', '\r', '\t', '\u{1b}', '\u{7f}', '\u{80}', '\u{85}', '\u{9f}'];
    let bidi = ['\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}'];
    let isolates = ['\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}', '\u{2028}', '\u{2029}'];
    let mut wrong = Vec::new();
    for bad in control.into_iter().chain(bidi).chain(isolates) {
        if let Ok(name) = named(&node, &ahmed, &format!("a{bad}b")).await {
            wrong.push(name.escape_unicode().to_string());
        }
    }
    let invisible = ["", "   ", "\n", "\u{200b}", "\u{200d}\u{200b}", "\u{feff}", "\u{2060}", "\u{ad}", "\u{a0}"];
    for name in invisible {
        if named(&node, &ahmed, name).await.is_ok() {
            wrong.push(name.escape_unicode().to_string());
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "taken for names");
    let listed = get(&node.app, "/sessions", &ahmed.sent).await.json();
    assert_eq!(listed[0]["deviceName"], "as it was");
}

/// Marks of direction are part of names in Arabic and Hebrew, and reorder no more than their neighbours.
#[tokio::test]
async fn marks_of_direction() {
    let (_db, [node, _], _sql) = two(|builder| builder).await;
    let ahmed = Browser::default().login(&node, "ahmed", false).await;
    for mark in ['\u{200e}', '\u{200f}', '\u{61c}'] {
        let name = format!("a{mark}b");
        assert_eq!(named(&node, &ahmed, &name).await, Ok(name));
    }
}

/// All that is no such body is 422, whatever axum would say of it.
#[tokio::test]
async fn bodies() {
    let (_db, [node, _], _sql) = two(|builder| builder).await;
    let ahmed = Browser::default().login(&node, "ahmed", false).await;
    let before = get(&node.app, "/sessions/current", &ahmed.sent).await.json();
    let wrong = [
        json!({ "deviceName": null }),
        json!({ "deviceName": 7 }),
        json!({ "deviceName": true }),
        json!({ "deviceName": ["x"] }),
        json!({ "deviceName": { "x": "y" } }),
        json!({}),
        json!({ "devicename": "x" }),
        json!({ "deviceName": "x", "userId": "lena" }),
        json!(["deviceName", "x"]),
        json!("x"),
        Value::Null,
    ];
    let raw = ["", "{", "deviceName=x", r#"{"deviceName":"x"}}"#, r#"{"deviceName":"x","deviceName":"y"}"#];
    let large = [json!({ "deviceName": "x".repeat(5_000) }).to_string(), format!("{}{{}}", " ".repeat(100_000))];
    let bodies = wrong.iter().map(Value::to_string).chain(raw.map(str::to_owned)).chain(large);
    for body in bodies {
        let shown = body[..body.len().min(60)].to_owned();
        assert_eq!(patch(&node.app, &ahmed.id, body, &ahmed.sent).await.line(), WRONG, "{shown}");
    }
    let not_text = patch(&node.app, &ahmed.id, &b"{\"deviceName\":\"\xff\"}"[..], &ahmed.sent).await;
    assert_eq!(not_text.line(), WRONG);
    for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        assert_eq!(with_type(&node, &ahmed.id, content_type, &ahmed.sent).await, WRONG, "{content_type:?}");
    }
    for content_type in ["application/json; charset=utf-8", "application/merge-patch+json"] {
        let line = with_type(&node, &ahmed.id, Some(content_type), &ahmed.sent).await;
        assert!(line.starts_with("200 "), "{content_type}: {line}");
    }
    let after = get(&node.app, "/sessions/current", &ahmed.sent).await.json();
    assert_eq!(after["deviceName"], "x");
    assert_ne!(before["deviceName"], "x");
}

async fn with_type(node: &Node, id: &str, content_type: Option<&str>, sent: &[Sent]) -> String {
    let request = Request::patch(format!("/sessions/{id}")).header(sent[0].0, &sent[0].1);
    let request = content_type.into_iter().fold(request, |request, is| request.header(header::CONTENT_TYPE, is));
    ask_with(&node.app, request.body(Body::from(r#"{"deviceName":"x"}"#)).unwrap()).await.line()
}
