//! The home page: the simulated devices, the inbox, and what happens by itself.

use serde_json::{Value, json};

use super::{
    chromium::Browser,
    demo, sign_in, simulate,
    support::{TestDb, eventually},
};

/// By the mounted routes, as an app would.
async fn ask(browser: &Browser, method: &str, path: &str) -> Value {
    let script = "const answer = await fetch(arguments[1], { method: arguments[0] });
        return answer.status === 200 ? answer.json() : answer.status";
    browser.run(script, json!([method, path])).await
}

async fn id_of(browser: &Browser, name: &str) -> String {
    let list = ask(browser, "GET", "/sessions").await;
    let found = list.as_array().unwrap().iter().find(|session| session["deviceName"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {list}"))["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn devices_sign_in_and_are_signed_out() {
    let (_demo, home) = demo(&[]).await;
    let browser = Browser::open().await;
    sign_in(&browser, &home).await;
    assert_eq!(browser.text_of("#user").await, "Ahmed");
    assert_eq!(browser.text_of("#device").await, "Chrome on Windows 11");

    // The first new device: a mail. The next one: a mail, and a push to the first.
    let (iphone, galaxy, edge) = ("Shop on iPhone 15 Pro Max", "Shop on Samsung Galaxy S24", "Edge on Windows 11");
    simulate(&browser, "iphone", 1).await;
    browser.shows(".mail h3", &format!("New sign-in: {iphone}, Moscow, Russia")).await;
    simulate(&browser, "galaxy", 2).await;
    browser.shows(".mail h3", &format!("New sign-in: {galaxy}, Istanbul, Türkiye")).await;
    browser.shows(".push", &format!("to {iphone}")).await;

    // The page says so by itself, without being loaded again.
    browser.run("window.same = true", json!([])).await;
    let path = format!("/sessions/{}", id_of(&browser, iphone).await);
    assert_eq!(ask(&browser, "DELETE", &path).await, 204);
    browser.shows("#device-1 .state", "Signed out").await;
    browser.shows("#device-1 .says", "You signed this device out from another one.").await;
    browser.shows("#device-1 .says", "Told by push: revoked_by_user").await;
    browser.shows(".push h3", "Signed out").await;
    assert_eq!(browser.run("return window.same", json!([])).await, true);
    assert_eq!(browser.count(".card.online").await, 1, "that device alone");

    // Once more: a device that is known. No mail, or there would be none for the next: three an hour are the most.
    browser.click("#sign-in-1").await;
    browser.shows("#device-1 .state", "Signed in").await;
    simulate(&browser, "edge", 3).await;
    browser.shows(".mail h3", &format!("New sign-in: {edge}, São Paulo, Brazil")).await;
    browser.shows(".push", &format!("{edge}, São Paulo, Brazil")).await;
    assert_eq!(browser.count(".mail").await, 3);
    let list = ask(&browser, "GET", "/sessions").await;
    let named = |name: &str| list.as_array().unwrap().iter().find(|session| session["deviceName"] == name).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 4, "{list}");
    assert_eq!(
        [iphone, galaxy, edge].map(|name| named(name)["deviceType"].as_str().unwrap()),
        ["ios", "android", "web"]
    );
    assert_eq!(browser.count(".card.online").await, 3);

    // It is signed in, and does what it likes.
    browser.click("#open-1").await;
    browser.shows("#device-1 .says", "200").await;

    // "That was not me", by the link in the mail about it.
    let link = "return [...document.querySelectorAll('.mail')].find(mail => mail.textContent.includes('Edge')).querySelector('a').href";
    let link = browser.run(link, json!([])).await;
    browser.go_to(link.as_str().unwrap()).await;
    browser.click("button").await;
    browser.shows("h1", "Signed out").await;
    browser.go_to(&home).await;
    browser.shows("#device-3 .says", "Told by push: revoked_by_alert").await;
    browser.shows(".event h3", "login.disowned").await;

    // Everything else that is signed in, at once.
    assert_eq!(ask(&browser, "DELETE", "/sessions/others").await, json!({ "revoked": 2 }));
    browser.shows("#device-2 .state", "Signed out").await;
    browser.shows("#device-1 .state", "Signed out").await;
    assert_eq!(browser.complaints().await, [""; 0]);
    // The control: something that the page's policy forbids is complained of, and does not run.
    let inline = "const script = document.createElement('script');
        script.textContent = 'window.ran = true'; document.body.append(script); return window.ran ?? 'not run'";
    assert_eq!(browser.run(inline, json!([])).await, "not run");
    let complaints = browser.complaints().await;
    assert!(complaints.iter().any(|complaint| complaint.contains("Content Security Policy")), "{complaints:?}");
    browser.close().await;
}

/// What a device does that no push reached, and with a token that has expired.
#[tokio::test]
async fn a_device_learns_by_its_next_request() {
    let db = TestDb::new().await;
    let settings = [("DATABASE_URL", db.url()), ("ACCESS_TOKEN_TTL_MS", "1000")];
    let (_demo, home) = demo(&settings).await;
    let browser = Browser::open().await;
    sign_in(&browser, &home).await;
    simulate(&browser, "galaxy", 1).await;
    eventually("its token has expired, and it has refreshed", || async {
        browser.click("#open-1").await;
        browser.arrives_at(&format!("{home}/")).await;
        browser.text_of("#device-1 .says").await.contains("after a refresh")
    })
    .await;
    // As it is when it signs out by itself: nobody is told by push of what he has done himself.
    let sql =
        "UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'logout' WHERE device_type = 'android'";
    assert_eq!(db.connect().await.execute(sql, &[]).await.unwrap(), 1);
    // Again where the request came before the word of it; and the page is put in its place whenever something changes.
    eventually("told by its next request", || async {
        browser.script("document.querySelector('#open-1')?.click()").await;
        browser.arrives_at(&format!("{home}/")).await;
        browser.text_of("#device-1 .says").await.contains("401: logout")
    })
    .await;
    assert_eq!(browser.count(".push").await, 0);
    browser.close().await;
}

#[tokio::test]
async fn another_users_inbox_is_another_users() {
    let (_demo, home) = demo(&[]).await;
    let [ahmed, lena] = [Browser::open().await, Browser::open().await];
    sign_in(&ahmed, &home).await;
    lena.go_to(&format!("{home}/sign-in")).await;
    lena.click("label.user:nth-of-type(2)").await;
    lena.click("#sign-in").await;
    lena.shows("#user", "Lena").await;

    simulate(&ahmed, "iphone", 1).await;
    ahmed.shows(".mail h3", "iPhone").await;
    lena.go_to(&home).await;
    assert_eq!((lena.count(".letter").await, lena.count(".card").await), (0, 0));
    // Nor can she use his device.
    let script =
        "const answer = await fetch('/devices-of-the-demo/1/remove', { method: 'POST' }); return answer.status";
    assert_eq!(lena.run(script, json!([])).await, 200);
    ahmed.go_to(&home).await;
    assert_eq!(ahmed.count("#device-1").await, 1);
    for browser in [ahmed, lena] {
        browser.close().await;
    }
}

#[tokio::test]
async fn a_second_browser_is_signed_out_while_one_looks() {
    let (_demo, home) = demo(&[]).await;
    let [here, there] = [Browser::open().await, Browser::open().await];
    for browser in [&here, &there] {
        sign_in(browser, &home).await;
    }
    there.run("window.same = true", json!([])).await;
    // The other one is a device that was not known: the mail says so on the page that is open.
    here.shows(".mail h3", "Chrome on Windows 11").await;
    assert_eq!(ask(&here, "DELETE", "/sessions/others").await, json!({ "revoked": 1 }));
    // Nobody touches that browser.
    there.arrives_at(&format!("{home}/sign-in?because=revoked_by_user")).await;
    assert_eq!(there.text_of("#why").await, "You signed this device out from another one.");
    here.click("#sign-out").await;
    here.arrives_at(&format!("{home}/sign-in?because=logout")).await;
    for browser in [here, there] {
        assert_eq!(browser.complaints().await, [""; 0]);
        browser.close().await;
    }
}

#[tokio::test]
async fn all_of_it_without_scripts() {
    let (_demo, home) = demo(&[]).await;
    let browser = Browser::without_scripts().await;
    browser.go_to(&format!("{home}/sign-in?because=%3Cb%3Eyou+have+won%3C/b%3E")).await;
    assert_eq!(browser.count("#why").await, 0, "anybody can make up a link");
    browser.fill_in("#password", "not that").await;
    browser.click("#sign-in").await;
    eventually("the form again", || async { browser.count("#why.wrong").await == 1 }).await;
    assert_eq!(browser.cookie("__Host-session").await, Value::Null);
    sign_in(&browser, &home).await;
    simulate(&browser, "galaxy", 1).await;
    eventually("the mail, after reloading", || async {
        browser.go_to(&home).await;
        browser.count(".mail").await == 1
    })
    .await;
    let mail = browser.text_of(".mail").await;
    assert!(mail.contains("Galaxy S24") && mail.contains("That was not me"), "{mail}");
    browser.click(".not-me").await;
    eventually("its page", || async { browser.count(".mail").await == 0 }).await;
    browser.click("button").await;
    eventually("the answer", || async { browser.text_of("h1").await == "Signed out" }).await;
    eventually("the device knows, after reloading", || async {
        browser.go_to(&home).await;
        browser.count(".card.over").await == 1
    })
    .await;
    let card = browser.text_of(".card").await;
    assert!(card.contains("You said that this sign-in was not you.") && card.contains("revoked_by_alert"), "{card}");
    browser.click("#sign-out").await;
    browser.arrives_at(&format!("{home}/sign-in?because=logout")).await;
    browser.close().await;
}
