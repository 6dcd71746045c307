//! 503, answers that are lost, answers that never come: nothing is given up, and the same token is good.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::{at_once, because, held, run, signed_in};

#[tokio::test]
async fn an_outage_costs_time_and_no_tokens() {
    let (site, browser) = signed_in().await;
    site.say_503(2);
    assert_eq!(at_once(&browser, "sessions", 1).await, [200], "asked again");
    // For longer than anybody waits: the answer is 503, and everything is kept.
    run(&browser, "client({ pause: () => 1, attempts: 3 })").await;
    let before = held(&browser).await;
    site.say_503(1_000);
    assert_eq!(at_once(&browser, "sessions", 1).await, [503]);
    assert_eq!(held(&browser).await, before);
    site.say_503(0);
    assert_eq!(at_once(&browser, "sessions", 1).await, [200]);
    assert_eq!(because(&browser).await, json!([]));
    browser.close().await;
}

#[tokio::test]
async fn an_outage_at_a_refresh_costs_no_tokens() {
    let (site, browser) = signed_in().await;
    run(&browser, "client({ pause: () => 1 })").await;
    site.tokens_expire();
    site.faults.refresh_unavailable(2);
    assert_eq!(at_once(&browser, "sessions", 1).await, [200]);
    let tokens = site.refreshes();
    assert_eq!(tokens.len(), 3, "twice 503, then 200");
    assert!(tokens.iter().all(|token| *token == tokens[0]), "with the same token");

    // The control gives up, and signs out.
    site.tokens_expire();
    site.faults.refresh_unavailable(1);
    assert_eq!(at_once(&browser, "naive", 1).await, [503]);
    assert_eq!(held(&browser).await, Value::Null);
    browser.close().await;
}

/// Something that must not be done twice is not sent twice.
#[tokio::test]
async fn an_order_is_not_repeated() {
    let (site, browser) = signed_in().await;
    run(&browser, "client({ pause: () => 1 })").await;
    let order = "return (await sessions.fetch('/orders', { method: 'POST', body: 'one' })).status";
    site.say_503(1);
    assert_eq!(run(&browser, order).await, 503);
    assert_eq!(site.faults.orders.load(Ordering::SeqCst), 0);
    // But what was refused for an old token has not been done.
    site.tokens_expire();
    assert_eq!(run(&browser, order).await, 200);
    assert_eq!(site.faults.orders.load(Ordering::SeqCst), 1);
    browser.close().await;
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let (site, browser) = signed_in().await;
    run(&browser, "client({ pause: () => 1 })").await;
    site.tokens_expire();
    site.lose_answers(2);
    assert_eq!(at_once(&browser, "sessions", 5).await, [200; 5]);
    let tokens = site.refreshes();
    assert_eq!(tokens.len(), 3, "two lost, one that came");
    assert!(tokens.iter().all(|token| *token == tokens[0]), "with the same token");
    println!("refreshes for an answer that was lost twice: {}, all with the same token", tokens.len());

    // The control: the request fails, whoever made it.
    site.tokens_expire();
    site.lose_answers(1);
    let failed = run(&browser, "return naive.fetch('/me').then((answer) => answer.status, () => 'failed')").await;
    assert_eq!(failed, "failed");
    assert_eq!(because(&browser).await, json!([]));
    browser.close().await;
}

#[tokio::test]
async fn an_answer_that_never_comes_is_asked_for_again() {
    let (site, browser) = signed_in().await;
    run(&browser, "client({ pause: () => 1, timeout: 500, attempts: 20 })").await;
    site.tokens_expire();
    site.answer_not(1);
    assert_eq!(at_once(&browser, "sessions", 5).await, [200; 5]);
    let tokens = site.refreshes();
    assert!(tokens.len() >= 2 && tokens.iter().all(|token| *token == tokens[0]), "with the same token");
    assert_eq!(because(&browser).await, json!([]));
    browser.close().await;
}

/// What answers in place of the service, a proxy say, may be 200 as well.
#[tokio::test]
async fn an_answer_without_tokens_is_none() {
    let (site, browser) = signed_in().await;
    let before = held(&browser).await;
    for odd in ["{}", "null", "<html>"] {
        let other = format!(
            "client({{ pause: () => 1, attempts: 3 }}); window.refreshes = 0; window.whole ??= window.fetch;
            window.fetch = (url, init) => String(url).endsWith('/auth/refresh') && ++refreshes
                ? Promise.resolve(new Response('{odd}')) : whole(url, init)"
        );
        run(&browser, &other).await;
        site.tokens_expire();
        let failed = "return sessions.fetch('/me').then((answer) => answer.status, () => 'failed')";
        assert_eq!(run(&browser, failed).await, "failed", "{odd}");
        assert_eq!(run(&browser, "return refreshes").await, 3, "{odd}");
        assert_eq!(held(&browser).await, before, "{odd}");
    }
    run(&browser, "window.fetch = whole").await;
    assert_eq!(at_once(&browser, "sessions", 1).await, [200]);
    assert_eq!(because(&browser).await, json!([]));
    browser.close().await;
}

/// A service may hand out access tokens alone: the answer is its own then, and nothing that cannot be refreshed by is sent.
#[tokio::test]
async fn who_has_no_refresh_token_does_not_refresh() {
    let (site, browser) = signed_in().await;
    let alone = "sessions.signedIn({ access_token: JSON.parse(localStorage.getItem('session')).access_token })";
    run(&browser, alone).await;
    site.tokens_expire();
    let code = run(&browser, "return (await (await sessions.fetch('/me')).json()).code").await;
    assert_eq!(code, "token_expired");
    assert_eq!(site.refreshes().len(), 0);
    browser.close().await;
}
