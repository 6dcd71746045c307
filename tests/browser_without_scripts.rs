//! `examples/browser.rs` in a real browser with scripts switched off: sign in, the page, sign a device out, sign out.

#[path = "support/chromium.rs"]
mod chromium;
#[path = "support/process.rs"]
mod process;
mod support;

use chromium::Browser;
use process::Quickstart;
use serde_json::{Value, json};
use support::eventually;

#[tokio::test]
async fn a_session_from_sign_in_to_sign_out() {
    let site = Quickstart::example("browser", &[]).await;
    let home = site.url("");
    let [laptop, tablet] = [Browser::without_scripts().await, Browser::without_scripts().await];

    for browser in [&laptop, &tablet] {
        browser.go_to(&home).await;
        browser.arrives_at(&format!("{home}/sign-in")).await; // not signed in: sent to the form
        browser.fill_in("#username", "<b>ahmed</b>").await;
        browser.fill_in("#password", "demo").await;
        browser.click("#sign-in").await;
        browser.arrives_at(&format!("{home}/")).await;
        assert_eq!(browser.text_of("#user").await, "<b>ahmed</b>");
    }

    // As the browser sees it, over plain http on localhost, and what no script could read anyway.
    let cookie = laptop.cookie("__Host-session").await;
    assert_eq!(
        (&cookie["httpOnly"], &cookie["secure"], &cookie["sameSite"], &cookie["path"]),
        (&json!(true), &json!(true), &json!("Lax"), &json!("/"))
    );

    laptop.go_to(&home).await;
    assert_eq!(laptop.count(".device").await, 2);
    laptop.click(".end").await;
    eventually("the page without that device", || async { laptop.count(".device").await == 1 }).await;
    assert!(laptop.text_of(".device").await.ends_with("this device"));
    tablet.go_to(&home).await;
    tablet.arrives_at(&format!("{home}/sign-in")).await; // signed out from afar

    laptop.click("#sign-out").await;
    laptop.arrives_at(&format!("{home}/sign-in")).await;
    assert_eq!(laptop.cookie("__Host-session").await, Value::Null);
    laptop.go_to(&home).await;
    laptop.arrives_at(&format!("{home}/sign-in")).await;
    for browser in [laptop, tablet] {
        browser.close().await;
    }
}
