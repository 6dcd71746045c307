//! `counts_as_activity`: which requests keep a session alive. What a page does by itself is let in, and is no sign of
//! anybody being there.

#![cfg(feature = "test-util")]

use std::time::Duration;

use axum::{Router, http::request::Parts, routing::get as to};
use axum_device_sessions::{Clock, CurrentSession, MemoryStore, SessionValidationLayer, Sessions};

use crate::http::{ACCESS, COOKIE, Sent, Token, bearer, cookie, get, on, sign_in};

const SECOND: Duration = Duration::from_secs(1);
/// With the allowance of two intervals.
const IDLE: Duration = Duration::from_secs(1_020);

async fn timed() -> (Clock, Sessions) {
    let clock = Clock::manual();
    let builder = on(MemoryStore::with_clock(clock.clone())).clock(clock.clone());
    let sessions = builder.idle_timeout(1_000 * SECOND).activity_interval(10 * SECOND).build().await.unwrap();
    (clock, sessions)
}

fn me() -> Router {
    Router::new().route("/", to(|session: CurrentSession| async move { session.user_id().to_string() }))
}

fn never(_: &Parts) -> bool {
    false
}

fn unless_background(request: &Parts) -> bool {
    !request.headers.contains_key("x-background")
}

/// A token that outlives every session here.
async fn token(sessions: &Sessions) -> String {
    Token { expires_in: 1_000_000, ..ACCESS }.of(sign_in(sessions, "ahmed").await.session.id)
}

/// Whether a request is let in and whether it counted; the queue is empty before it.
async fn counts(sessions: &Sessions, app: &Router, sent: &[Sent]) -> bool {
    sessions.flush_activity().await.unwrap();
    assert_eq!(sessions.health().queued_activity, 0);
    assert_eq!(get(app, "/", sent).await.line(), "200 ahmed");
    sessions.health().queued_activity == 1
}

/// A browser opens it again for as long as the page is open, whoever is there. The control: a request that is more than that.
#[tokio::test]
async fn an_event_source_does_not_count_by_default() {
    let (_, sessions) = timed().await;
    let token = token(&sessions).await;
    let sent = |accept: &str| [bearer(&token), ("accept", accept.to_owned())];
    let layer = SessionValidationLayer::new(sessions.clone());
    let decided = layer.clone().counts_as_activity(|_| true);
    for (layer, accept, expected) in [
        (layer.clone(), "text/event-stream", false),
        (layer.clone().strict(), "text/event-stream", false),
        (layer.clone(), "application/json, text/event-stream", true),
        (layer.clone(), "*/*", true),
        (decided, "text/event-stream", true),
        // By now its token is let in at a glance.
        (layer, "text/event-stream", false),
    ] {
        assert_eq!(counts(&sessions, &me().layer(layer), &sent(accept)).await, expected, "{accept}");
    }
}

#[tokio::test]
async fn every_request_counts_by_default() {
    let (_, sessions) = timed().await;
    let sent = [bearer(token(&sessions).await)];
    let layer = SessionValidationLayer::new(sessions.clone());
    for layer in [layer.clone(), layer.clone().strict(), layer.counts_as_activity(|_| true)] {
        assert!(counts(&sessions, &me().layer(layer), &sent).await);
    }
}

#[tokio::test]
async fn a_session_that_only_polls_becomes_idle() {
    let (clock, sessions) = timed().await;
    let layer = SessionValidationLayer::new(sessions.clone());
    let app = Router::new()
        .nest("/poll", me().layer(layer.clone().counts_as_activity(never)))
        .nest("/page", me().layer(layer));
    let (polls, used) = ([bearer(token(&sessions).await)], [bearer(token(&sessions).await)]);
    for _ in 0..3 {
        clock.advance(IDLE / 4);
        for sent in [&polls, &used] {
            assert_eq!(get(&app, "/poll", sent).await.line(), "200 ahmed");
        }
        assert_eq!(get(&app, "/page", &used).await.line(), "200 ahmed", "the control");
        assert_eq!(sessions.health().queued_activity, 1, "of the one that was used");
        sessions.flush_activity().await.unwrap();
    }
    let list = sessions.list(&"ahmed".into(), None).await.unwrap();
    assert_eq!(list[0].last_activity_at - list[1].last_activity_at, IDLE / 4 * 3, "nor is it shown as activity");
    clock.advance(IDLE / 4);
    for path in ["/poll", "/page"] {
        assert_eq!(get(&app, path, &polls).await.line(), "401 session_ended idle");
        assert_eq!(get(&app, path, &used).await.line(), "200 ahmed");
    }
}

#[tokio::test]
async fn each_request_may_say_it() {
    let (_, sessions) = timed().await;
    let layer = SessionValidationLayer::new(sessions.clone()).counts_as_activity(unless_background);
    let background = ("x-background", "1".to_owned());
    let token = token(&sessions).await;
    for layer in [layer.clone(), layer.clone().strict(), layer.required()] {
        let app = me().layer(layer);
        let sent = [bearer(&token), background.clone()];
        assert!(!counts(&sessions, &app, &sent).await);
        assert!(counts(&sessions, &app, &sent[..1]).await);
    }
}

/// Read from the store first: the way of a request that this node knows nothing of.
#[tokio::test]
async fn a_session_that_has_to_be_read() {
    let (clock, sessions) = timed().await;
    let layer = SessionValidationLayer::new(sessions.clone());
    for strict in [false, true] {
        let layer = if strict { layer.clone().strict() } else { layer.clone() };
        let app = me().layer(layer.clone().counts_as_activity(never));
        let sent = [bearer(token(&sessions).await)];
        assert!(!counts(&sessions, &app, &sent).await);
        clock.advance(IDLE / 2);
        assert!(!counts(&sessions, &app, &sent).await);
        let cold = [bearer(token(&sessions).await)];
        assert!(counts(&sessions, &me().layer(layer), &cold).await, "the control");
        clock.advance(IDLE / 2);
        assert_eq!(get(&app, "/", &sent).await.line(), "401 session_ended idle");
    }
}

#[tokio::test]
async fn with_another_source_of_tokens() {
    let (_, sessions) = timed().await;
    let id = sign_in(&sessions, "ahmed").await.session.id;
    let from = |parts: &Parts| Some(parts.headers.get("x-token")?.to_str().ok()?.to_owned());
    let layer = SessionValidationLayer::new(sessions.clone()).counts_as_activity(unless_background);
    let (theirs, ours) = (me().layer(layer.clone().credential(from)), me().layer(layer));
    let background = ("x-background", "1".to_owned());
    for (app, credential) in
        [(&theirs, ("x-token", ACCESS.of(id))), (&ours, bearer(ACCESS.of(id))), (&ours, cookie(COOKIE.of(id)))]
    {
        assert!(!counts(&sessions, app, &[credential.clone(), background.clone()]).await, "{}", credential.0);
        assert!(counts(&sessions, app, std::slice::from_ref(&credential)).await, "{}", credential.0);
    }
    assert_eq!(get(&theirs, "/", &[bearer(ACCESS.of(id))]).await.line(), "401 missing_token");
}

/// It is the one that judges.
#[tokio::test]
async fn the_outermost_layer_decides() {
    let (_, sessions) = timed().await;
    let layer = || SessionValidationLayer::new(sessions.clone());
    let sent = [bearer(token(&sessions).await)];
    for (outer, inner, expected) in [
        (layer().counts_as_activity(never), layer(), false),
        (layer().counts_as_activity(never), layer().strict(), false),
        (layer().counts_as_activity(never), layer().counts_as_activity(|_| true), false),
        (layer(), layer().counts_as_activity(never), true),
        (layer().strict(), layer().counts_as_activity(never).strict(), true),
    ] {
        assert_eq!(counts(&sessions, &me().layer(inner).layer(outer), &sent).await, expected);
    }
    // Another one judges for itself.
    let (_, other) = timed().await;
    let app = me().layer(layer()).layer(SessionValidationLayer::new(other).counts_as_activity(never));
    assert!(counts(&sessions, &app, &sent).await);
}

/// Refused or anonymous: the question has no say in it.
#[tokio::test]
async fn it_lets_nobody_in_and_keeps_nobody_out() {
    let (_, sessions) = timed().await;
    for answer in [true, false] {
        let app = me().layer(SessionValidationLayer::new(sessions.clone()).counts_as_activity(move |_| answer));
        assert_eq!(get(&app, "/", &[]).await.line(), "401 missing_token");
        assert_eq!(get(&app, "/", &[bearer("garbage")]).await.line(), "401 invalid_token");
        assert_eq!(sessions.health().queued_activity, 0);
    }
}
