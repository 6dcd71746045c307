//! The page behind the link in a mail, in a real browser with scripts switched off: what the page's own headers say (a policy
//! that lets it load nothing, no referrer) must not be in the way of its one button.

#![cfg(all(feature = "postgres", feature = "routes", feature = "test-util"))]
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/chromium.rs"]
mod chromium;
#[path = "support/http.rs"]
mod http;
#[path = "support/notices.rs"]
mod notices;
#[path = "support/notified.rs"]
mod notified;
mod support;

use std::net::Ipv4Addr;

use chromium::Browser;
use http::{bearer, get};
use notified::World;
use tokio::net::TcpListener;

#[tokio::test]
async fn the_button_works() {
    let world = World::in_memory(|builder| builder).await;
    let (laptop, link) = world.somebody_signs_in("ahmed").await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let page = format!("http://{}/alerts/{link}", listener.local_addr().unwrap());
    let app = world.apps[0].clone();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let browser = Browser::without_scripts().await;
    for _twice in 0..2 {
        browser.go_to(&page).await;
        assert_eq!(browser.text_of("h1").await, "Was this you?");
    }
    assert!(browser.text_of("dl").await.contains("Moscow, Russia, 203.0.113.7"));
    let sent = [bearer(&laptop.access_token)];
    assert_eq!(get(&world.apps[0], "/me", &sent).await.line(), "200 ahmed", "nothing has happened");
    browser.click("button").await;
    support::eventually("the answer", async || browser.text_of("h1").await == "Signed out").await;
    assert!(browser.text_of("strong").await.contains("Change your password now"));
    assert_eq!(get(&world.apps[0], "/me", &sent).await.line(), "401 session_ended revoked_by_alert");
    browser.go_to(&page).await;
    assert_eq!(browser.text_of("h1").await, "Reported");
    browser.close().await;
    serving.abort();
}
