//! However many requests and tabs find that their token has expired.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::{Browser, Site, at_once, because, held, open, run, signed_in};

#[tokio::test]
async fn twenty_requests_at_once_refresh_once() {
    let (site, browser) = signed_in().await;
    let before = held(&browser).await;
    site.tokens_expire();
    assert_eq!(at_once(&browser, "sessions", 20).await, [200; 20]);
    let by_wrapper = site.refreshes().len();
    assert_eq!(by_wrapper, 1);
    let after = held(&browser).await;
    assert_ne!(before["refresh_token"], after["refresh_token"]);

    // Without locks, as over plain http: the tab takes turns by itself.
    run(&browser, "client({ locks: null })").await;
    site.tokens_expire();
    assert_eq!(at_once(&browser, "sessions", 20).await, [200; 20]);
    assert_eq!(site.refreshes().len(), 1);

    // The control.
    site.tokens_expire();
    assert_eq!(at_once(&browser, "naive", 20).await, [200; 20]);
    let by_naive = site.refreshes().len();
    assert_eq!(by_naive, 20);
    println!(
        "refreshes for 20 requests with an expired token: {by_wrapper} by sessions.js, {by_naive} by the naive one"
    );
    assert_eq!(because(&browser).await, json!([]));
    browser.close().await;
}

/// Three requests in each of two tabs, all refused at the same moment. Six: a browser has no more connections to a host.
async fn two_tabs(site: &Site, browser: &Browser) -> usize {
    let first = browser.window().await;
    let second = browser.new_tab().await;
    site.tokens_expire();
    site.hold();
    for tab in [&first, &second] {
        browser.switch_to(tab).await;
        open(browser, site).await;
        run(browser, "client(JSON.parse(localStorage.getItem('options') ?? '{}'))").await;
        let begun = "window.done = Promise.all([1, 2, 3].map((at) => sessions.fetch(`/me?${at}-of-${arguments[0]}`)))";
        browser.run(&format!("{begun}; return 'begun'"), json!([tab])).await;
    }
    site.release(6).await;
    for tab in [&first, &second] {
        browser.switch_to(tab).await;
        let statuses = run(browser, "return (await done).map((answer) => answer.status)").await;
        assert_eq!(statuses, json!([200, 200, 200]));
        assert_eq!(because(browser).await, json!([]));
    }
    site.refreshes().len()
}

#[tokio::test]
async fn two_tabs_at_once_refresh_once() {
    let (site, browser) = signed_in().await;
    let with_locks = two_tabs(&site, &browser).await;
    assert_eq!(with_locks, 1);

    // The control: without locks each tab refreshes for itself, and the grace of the service has to forgive it.
    run(&browser, r#"localStorage.setItem("options", '{ "locks": null }')"#).await;
    site.faults.together.store(2, Ordering::SeqCst);
    let without = two_tabs(&site, &browser).await;
    assert_eq!(without, 2);
    println!("refreshes of two tabs at once: {with_locks} with locks, {without} without");
    browser.close().await;
}

#[tokio::test]
async fn a_token_goes_nowhere_else() {
    let (site, browser) = signed_in().await;
    for elsewhere in ["https://example.com/", "//example.com/me", "http://127.0.0.1:1/me"] {
        let script = "return sessions.fetch(arguments[0]).then(() => 'sent', (error) => error.message)";
        let said = browser.run(script, json!([elsewhere])).await;
        assert!(said.as_str().unwrap().starts_with("the token is not for http"), "{said}");
    }
    // One's own, by its full address.
    let own =
        browser.run("return (await sessions.fetch(arguments[0])).status", json!([format!("{}/me", site.url)])).await;
    assert_eq!(own, 200);
    browser.close().await;
}
