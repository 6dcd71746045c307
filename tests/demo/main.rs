//! `examples/demo` in a real browser: other devices sign in, are signed out, and say why; mails and pushes arrive; a second
//! browser is signed out while one looks, from the home page and from the page of devices; and the same without scripts.

#![cfg(all(feature = "page", feature = "postgres"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "../support/axe.rs"]
mod axe;
#[path = "../support/chromium.rs"]
mod chromium;
mod home;
mod looks;
mod page;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/mod.rs"]
mod support;

use chromium::{Browser, CHROME};
use process::Quickstart;
use support::eventually;

/// The demo, and where browsers find it.
async fn demo(settings: &[(&str, &str)]) -> (Quickstart, String) {
    let demo = Quickstart::example("demo", settings).await;
    let home = format!("http://localhost:{}", demo.address().rsplit(':').next().unwrap());
    (demo, home)
}

async fn sign_in(browser: &Browser, home: &str) {
    browser.calls_itself("Google Chrome", CHROME).await;
    browser.go_to(home).await;
    browser.arrives_at(&format!("{home}/sign-in")).await; // not signed in: sent to the form
    browser.click("#sign-in").await;
    browser.arrives_at(&format!("{home}/")).await;
}

async fn simulate(browser: &Browser, kind: &str, number: u32) {
    browser.click(&format!("#{kind}")).await;
    eventually(kind, || async { browser.count(&format!("#device-{number}")).await == 1 }).await;
}
