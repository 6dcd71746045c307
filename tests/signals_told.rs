//! Who is told of what is unusual. Alone in its process: which events anybody listens to is remembered by all threads.

#![cfg(all(feature = "postgres", feature = "routes", feature = "test-util"))]
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/http.rs"]
mod http;
mod support;
#[path = "sign_in/signals/world.rs"]
mod world;

use axum::response::IntoResponse;
use axum_device_sessions::{SignIn, SignInPolicy, SignedIn};
use http_body_util::BodyExt;
use world::{BERLIN, MOSCOW, World, caller, kinds};

/// They are for the application, and its log names kinds, never where somebody is.
#[tokio::test]
async fn who_is_told() {
    let log = world::Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(move || writer.clone()).finish();
    // This runtime has one thread: all of it logs here.
    let _guard = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    for world in World::both().await {
        world.sign_in("phone", MOSCOW).await;
        assert_eq!(log.sign_ins(), "", "nothing is unusual");
        let signed_in: SignedIn = world.sign_in("tablet", BERLIN).await;
        assert_eq!(kinds(&signed_in), ["new_device", "new_country", "impossible_travel"]);
        let logged = log.sign_ins();
        for word in ["an unusual sign-in", "new_device", "new_country", "impossible_travel", "user=ahmed"] {
            assert!(logged.contains(word), "{word}: {logged}");
        }
        for private in [BERLIN.unwrap(), MOSCOW.unwrap(), "Berlin", "Moscow", "DE", "RU", "52.5", "198.51"] {
            assert!(!logged.contains(private), "{private}: {logged}");
        }
        let body = signed_in.into_response().into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let names: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["access_token", "expires_in", "refresh_token", "session", "token_type"]);
        assert!(!body.to_string().contains("new_device"));
        let quiet = SignIn::new("ahmed").client(caller("watch", BERLIN)).policy(|_| SignInPolicy::Allow);
        assert_eq!(kinds(&world.sessions.sign_in(quiet).await.unwrap()), ["new_device", "impossible_travel"]);
        assert_eq!(log.sign_ins(), "", "allowed without a word");
    }
}
