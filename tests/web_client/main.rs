//! `docs/clients/sessions.js` in a real browser: one refresh however many requests and tabs want it, and nothing that
//! happens on the way signs anybody out. Beside it, where that shows something, what a wrapper does that thinks of none of it.

#![cfg(all(feature = "routes", feature = "test-util"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "../support/chromium.rs"]
mod chromium;
mod ended;
#[path = "../support/http.rs"]
mod http;
mod one_refresh;
mod outages;
mod site;
#[path = "../support/mod.rs"]
mod support;

use chromium::Browser;
use serde_json::{Value, json};
use site::Site;

/// A page of the site, signed in.
async fn signed_in() -> (Site, Browser) {
    let (site, browser) = tokio::join!(Site::start(), Browser::open());
    open(&browser, &site).await;
    browser.run("await signIn()", json!([])).await;
    (site, browser)
}

async fn open(browser: &Browser, site: &Site) {
    browser.go_to(&site.url).await;
    support::eventually("the scripts of the page", || async {
        browser.run("return !!window.signIn", json!([])).await == true
    })
    .await;
}

/// The statuses of so many requests at once, by `sessions` or `naive`. Each to an address of its own: Chromium asks for the
/// same one once at a time, as far as its cache may answer the others.
async fn at_once(browser: &Browser, client: &str, count: usize) -> Vec<u64> {
    let script = "const all = Array.from({ length: arguments[1] }, (_, at) => window[arguments[0]].fetch('/me?' + at));
        return (await Promise.all(all)).map((answer) => answer.status)";
    let statuses = browser.run(script, json!([client, count])).await;
    statuses.as_array().unwrap().iter().map(|status| status.as_u64().unwrap()).collect()
}

async fn run(browser: &Browser, script: &str) -> Value {
    browser.run(script, json!([])).await
}

/// What the tabs hold.
async fn held(browser: &Browser) -> Value {
    run(browser, "return JSON.parse(localStorage.getItem('session'))").await
}

async fn because(browser: &Browser) -> Value {
    run(browser, "return window.because").await
}
