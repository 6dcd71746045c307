//! How forgiving a refresh is: grace and window, at their edges, in the builder and in the quickstart.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::time::Duration;

use axum_device_sessions::{MemoryStore, SessionsBuilder};
use serde_json::{Value, json};

use crate::{
    http,
    process::Quickstart,
    refresh::{Node, Pair, end_reason, generation_of, past_the_grace},
    support::TestDb,
};

const REUSE: &str = "401 session_ended refresh_reuse";

#[tokio::test]
async fn grace_and_window() {
    let (ms, zero) = (Duration::from_millis(1), Duration::ZERO);
    type Set = fn(SessionsBuilder) -> SessionsBuilder;
    let contradictory: [Set; 2] = [
        |b| b.refresh_grace(Duration::ZERO).lost_response_window(Duration::from_millis(1)),
        |b| b.lost_response_window(Duration::MAX).refresh_grace(Duration::ZERO),
    ];
    for set in contradictory {
        let error = set(http::on(MemoryStore::new())).build().await.unwrap_err().to_string();
        assert!(error.contains("refresh grace of zero") && error.contains("set both to zero"), "{error}");
    }
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let strict: [&dyn Fn(SessionsBuilder) -> SessionsBuilder; 3] = [
        &|b| b.refresh_grace(zero),
        &|b| b.refresh_grace(zero).lost_response_window(zero),
        // Just the grace, which is over.
        &|b| b.refresh_grace(ms).lost_response_window(zero),
    ];
    for (number, set) in strict.into_iter().enumerate() {
        let node = Node::with(db.url(), set).await;
        let signed_in = node.sign_in("ahmed").await;
        let id = signed_in.session.id;
        let pair = Pair::of(&node.refresh(&signed_in.refresh_token).await);
        past_the_grace(&sql, id).await;
        let third = Pair::of(&node.refresh(&pair.refresh).await);
        if number == 2 {
            past_the_grace(&sql, id).await;
        }
        assert_eq!(node.refresh(&pair.refresh).await.line(), REUSE, "{number}: a second use");
        assert_eq!(node.me(&third.access).await, REUSE);
        assert_eq!(end_reason(&sql, id).await.as_deref(), Some("refresh_reuse"));
    }
    // The default, and a window of an hour: eleven seconds later it is forgiven, two hours later it is not.
    for window in [None, Some(Duration::from_secs(3_600))] {
        let set = |b: SessionsBuilder| window.into_iter().fold(b, SessionsBuilder::lost_response_window);
        let node = Node::with(db.url(), set).await;
        let signed_in = node.sign_in("ahmed").await;
        let id = signed_in.session.id;
        node.refresh(&signed_in.refresh_token).await;
        past_the_grace(&sql, id).await;
        assert_eq!(generation_of(&Pair::of(&node.refresh(&signed_in.refresh_token).await).refresh), 3);
        let later = "UPDATE device_sessions.sessions SET consumed_at = consumed_at - interval '2 h', \
                     handed_at = handed_at - interval '2 h' WHERE id = $1";
        sql.execute(later, &[&id.as_uuid()]).await.unwrap();
        let answer = node.refresh(&signed_in.refresh_token).await;
        if window.is_some() {
            assert_eq!(answer.line(), REUSE);
        } else {
            assert_eq!(generation_of(&Pair::of(&answer).refresh), 4);
        }
    }
}

/// From outside, by its environment.
#[tokio::test]
async fn the_quickstart_takes_the_same_settings() {
    let db = TestDb::new().await;
    let client = reqwest::Client::new();
    let post = async |url: String, body: Value| {
        let answer = client.post(url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    for strict in [true, false] {
        let grace: &[_] = if strict { &[("REFRESH_GRACE_MS", "0")] } else { &[] };
        let node = Quickstart::serving(&[&[("DATABASE_URL", db.url())], grace].concat()).await;
        let (_, login) = post(node.url("/auth/login"), json!({ "username": "ahmed", "password": "demo" })).await;
        let refresh = || post(node.url("/auth/refresh"), json!({ "refresh_token": login["refresh_token"] }));
        let first = refresh().await;
        assert_eq!(first.0, 200);
        let second = refresh().await;
        if strict {
            assert_eq!((second.0, &second.1["code"]), (401, &json!("session_ended")), "{}", second.1);
            assert_eq!(second.1["reason"], "refresh_reuse");
        } else {
            assert_eq!((second.0, &second.1["refresh_token"]), (200, &first.1["refresh_token"]));
        }
    }
    let both = [("DATABASE_URL", db.url()), ("REFRESH_GRACE_MS", "0"), ("LOST_RESPONSE_WINDOW_MS", "1000")];
    let ended = Quickstart::run(&[], &both).await;
    assert!(!ended.status.success() && ended.output.contains("refresh grace of zero"), "{}", ended.output);
}
