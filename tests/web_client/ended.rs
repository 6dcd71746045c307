//! A session that is over, and users who are asked for more.

use serde_json::{Value, json};

use super::{because, held, open, run, signed_in, support::eventually};

#[tokio::test]
async fn the_end_of_a_session_is_told_once_in_each_tab() {
    let (site, browser) = signed_in().await;
    let first = browser.window().await;
    let second = browser.new_tab().await;
    browser.switch_to(&second).await;
    open(&browser, &site).await;
    assert_eq!(because(&browser).await, json!([]));
    browser.switch_to(&first).await;

    site.end_all().await;
    assert_eq!(super::at_once(&browser, "sessions", 20).await, [401; 20]);
    assert_eq!(because(&browser).await, json!(["revoked_by_user"]));
    assert_eq!(held(&browser).await, json!({ "ended": "revoked_by_user" }));
    browser.switch_to(&second).await;
    eventually("the other tab, which has asked for nothing", || async {
        because(&browser).await == json!(["revoked_by_user"])
    })
    .await;

    // Found out by a refresh.
    run(&browser, "window.because = []; await signIn()").await;
    site.tokens_expire();
    site.end_all().await;
    assert_eq!(super::at_once(&browser, "sessions", 3).await, [401; 3]);
    assert_eq!(because(&browser).await, json!(["revoked_by_user"]));
    browser.close().await;
}

#[tokio::test]
async fn the_end_of_an_earlier_session_does_not_sign_out_a_later_one() {
    let (site, browser) = signed_in().await;
    site.hold();
    run(&browser, "window.done = sessions.fetch('/me'); return 'begun'").await;
    eventually("it is held", || async { site.faults.waiting.load(std::sync::atomic::Ordering::SeqCst) == 1 }).await;
    site.end_all().await;
    run(&browser, "await signIn()").await;
    site.release(1).await;
    // Asked again with the tokens that are there now.
    assert_eq!(run(&browser, "return (await done).status").await, 200);
    assert_eq!(because(&browser).await, json!([]));
    assert_ne!(held(&browser).await["access_token"], Value::Null);
    browser.close().await;
}

#[tokio::test]
async fn a_token_that_is_none_is_forgotten_and_nothing_is_sent_without() {
    let (_site, browser) = signed_in().await;
    run(&browser, "sessions.signedIn({ access_token: 'none', refresh_token: 'none' })").await;
    assert_eq!(run(&browser, "return (await sessions.fetch('/me')).status").await, 401);
    assert_eq!(because(&browser).await, json!(["invalid_token"]));
    let code = run(&browser, "return (await (await sessions.fetch('/me')).json()).code").await;
    assert_eq!(code, "missing_token");
    assert_eq!(because(&browser).await, json!(["invalid_token"]));
    browser.close().await;
}

#[tokio::test]
async fn signing_out_tells_the_other_tabs() {
    let (site, browser) = signed_in().await;
    let first = browser.window().await;
    let second = browser.new_tab().await;
    browser.switch_to(&second).await;
    open(&browser, &site).await;
    site.tokens_expire(); // an expired token is good enough for that
    assert_eq!(run(&browser, "return (await sessions.signOut()).status").await, 204);
    browser.switch_to(&first).await;
    eventually("the other tab", || async { because(&browser).await == json!(["logout"]) }).await;
    assert_eq!(site.refreshes().len(), 0);
    browser.close().await;
}

#[tokio::test]
async fn a_user_is_asked_for_more_and_the_request_repeated() {
    let (site, browser) = signed_in().await;
    let asked = "window.asked = []; client({ prove: async (code) => {
            asked.push(code);
            const path = code === 'second_factor_required' ? '/second-factor' : '/reauthenticate';
            const answer = await sessions.fetch(path, { method: 'POST' });
            if (answer.ok) sessions.signedIn(await answer.json());
            return answer.ok;
        } })";
    run(&browser, asked).await;
    // An hour after the sign-in: the password once more.
    for _ in 0..4 {
        site.tokens_expire();
    }
    let pays = "return (await sessions.fetch('/payment', { method: 'POST', body: 'all of it' })).status";
    assert_eq!(run(&browser, pays).await, 200);
    assert_eq!(run(&browser, "return asked").await, json!(["fresh_auth_required"]));
    // Signed in but for the second factor.
    run(&browser, "window.asked = []; await signIn('/first-factor')").await;
    assert_eq!(run(&browser, "return (await sessions.fetch('/me')).status").await, 200);
    assert_eq!(run(&browser, "return asked").await, json!(["second_factor_required"]));
    // Who does not want to gets the answer as it is, and stays signed in.
    for _ in 0..4 {
        site.tokens_expire();
    }
    run(&browser, "client()").await;
    assert_eq!(run(&browser, pays).await, 401);
    assert_eq!(super::at_once(&browser, "sessions", 1).await, [200]);
    browser.close().await;
}
