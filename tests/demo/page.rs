//! The page of devices, as the demo mounts it: what is clicked there reaches the other browser, the simulated devices and
//! the inbox.

use serde_json::{Value, json};

use super::{chromium::Browser, demo, sign_in, simulate};

async fn to_the_page(browser: &Browser, home: &str) {
    browser.go_to(&format!("{home}/")).await;
    browser.click("#devices").await;
    browser.arrives_at(&format!("{home}/devices")).await;
}

/// From the form, to which the page has sent them, and back to the page.
async fn signs_in_again(browser: &Browser, home: &str, reason: &str, told: &str) {
    browser.arrives_at(&format!("{home}/sign-in?because={reason}&next=/devices")).await;
    assert_eq!(browser.text_of("#why").await, told);
    browser.click("#sign-in").await;
    browser.arrives_at(&format!("{home}/devices")).await;
}

const FROM_ANOTHER: &str = "You signed this device out from another one.";

#[tokio::test]
async fn a_browser_that_is_signed_out_from_another_one_leaves_at_once() {
    let (_demo, home) = demo(&[]).await;
    let [here, there] = [Browser::open().await, Browser::open().await];
    for browser in [&here, &there] {
        sign_in(browser, &home).await;
        to_the_page(browser, &home).await;
    }
    here.go_to(&format!("{home}/devices")).await;
    here.has("both", ".devices li", 2).await;

    // From here on nobody touches that browser: what it does, it does by itself.
    here.click(".end button").await;
    here.has("the page without it", ".devices li", 1).await;
    assert_eq!(here.text_of("[role=status]").await, "The device is signed out.");
    signs_in_again(&there, &home, "revoked_by_user", FROM_ANOTHER).await;

    // All others: it asks first, and who says no has done nothing.
    to_the_page(&here, &home).await;
    here.click("#others").await;
    here.click("#cancel").await;
    here.has("both still", ".devices li", 2).await;
    assert_eq!(there.url().await, format!("{home}/devices"));
    assert_eq!(there.script("return (await fetch('/api/me')).status").await, 200);
    here.click("#others").await;
    here.click("#confirm").await;
    here.has("the page without it", ".devices li", 1).await;
    assert_eq!(here.text_of("[role=status]").await, "All other sessions are signed out.");
    signs_in_again(&there, &home, "revoked_by_user", FROM_ANOTHER).await;

    // Everywhere: this one, too.
    here.click("#everywhere").await;
    here.click("#confirm").await;
    for browser in [here, there] {
        browser.arrives_at(&format!("{home}/sign-in?because=revoked_by_user&next=/devices")).await;
        assert_eq!(browser.complaints_but_of_answers().await, [""; 0]);
        assert_eq!(browser.cookie("__Host-device").await["httpOnly"], true, "the device is still known");
        browser.close().await;
    }
}

#[tokio::test]
async fn this_device_cannot_be_signed_out_as_another_one() {
    let (_demo, home) = demo(&[]).await;
    let browser = Browser::open().await;
    sign_in(&browser, &home).await;
    simulate(&browser, "galaxy", 1).await;
    to_the_page(&browser, &home).await;
    assert_eq!((browser.count(".devices li").await, browser.count(".end button").await), (2, 1));
    assert_eq!((browser.count(".current").await, browser.count(".current .end").await), (1, 0));
    assert!(browser.text_of(".current").await.contains("This device"));
    assert!(browser.text_of(".devices li:first-child").await.contains("Chrome on Windows 11"));

    // Somebody sends the form all the same: with the other one's button, and this one's id.
    // At once: the list is put in its place anew whenever the page gets the focus.
    let exchange =
        "document.querySelector('.end [name=id]').value = document.querySelector('.current [name=id]').value;
        document.querySelector('.end button').click()";
    browser.script(exchange).await;
    browser.shows("[role=status]", "That is this device. To leave it, choose “Log out”.").await;
    assert_eq!(browser.count(".devices li").await, 2, "nobody is signed out");
    // The control: the same button, with the id that it has.
    browser.click(".end button").await;
    browser.has("the page without it", ".devices li", 1).await;

    browser.click("header button").await;
    browser.arrives_at(&format!("{home}/sign-in?because=logout&next=/devices")).await;
    assert_eq!(browser.cookie("__Host-session").await, Value::Null);
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test]
async fn a_simulated_device_is_renamed_signed_out_and_told_by_push() {
    let (_demo, home) = demo(&[]).await;
    let browser = Browser::open().await;
    sign_in(&browser, &home).await;
    to_the_page(&browser, &home).await;
    assert_eq!(browser.count("#others").await, 0, "there are no others");
    let (page, home_tab) = (browser.window().await, browser.new_tab().await);
    browser.switch_to(&home_tab).await;
    browser.go_to(&home).await;
    simulate(&browser, "iphone", 1).await;

    // In the other tab, as soon as somebody comes back to it.
    browser.switch_to(&page).await;
    browser.script("dispatchEvent(new Event('focus'))").await;
    browser.shows("li:not(.current) h2", "Shop on iPhone 15 Pro Max").await;
    assert!(browser.text_of("li:not(.current)").await.contains("Moscow, Russia"));
    browser.click("li:not(.current) summary").await;
    browser.fill_in("li:not(.current) input[name=name]", "My old <b>iPhone</b>").await;
    browser.click("li:not(.current) .rename button").await;
    browser.shows("[role=status]", "The new name is saved.").await;
    assert_eq!(browser.text_of("li:not(.current) h2").await, "My old <b>iPhone</b>");

    browser.switch_to(&home_tab).await;
    browser.script("window.same = true").await;
    assert_eq!(browser.count(".push").await, 0, "it was told of nothing so far");
    browser.switch_to(&page).await;
    browser.click(".end button").await;
    browser.shows("[role=status]", "The device is signed out.").await;
    browser.click("#history").await;
    assert!(browser.text_of(".history li").await.contains("Signed out from another of your devices"));

    browser.switch_to(&home_tab).await;
    browser.shows(".push h3", "Signed out").await;
    browser.shows("#device-1 .says", "Told by push: revoked_by_user").await;
    assert_eq!(browser.run("return window.same", json!([])).await, true);
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test]
async fn all_of_it_without_scripts() {
    let (_demo, home) = demo(&[]).await;
    let [here, there] = [Browser::without_scripts().await, Browser::without_scripts().await];
    for browser in [&here, &there] {
        sign_in(browser, &home).await;
        to_the_page(browser, &home).await;
    }
    simulate_from_home(&here, &home).await;
    to_the_page(&here, &home).await;
    here.has("all three", ".devices li", 3).await;
    assert_eq!(here.count(".current .end").await, 0);
    assert_eq!(here.text_of(".badge").await, "This device");

    // The newest activity first: that of the phone.
    here.click("li:nth-child(2) summary").await;
    here.fill_in("li:nth-child(2) input[name=name]", "Pocket").await;
    here.click("li:nth-child(2) .rename button").await;
    here.arrives_at(&format!("{home}/devices?done=renamed")).await;
    assert_eq!(here.text_of("li:nth-child(2) h2").await, "Pocket");
    here.click("li:nth-child(2) .end button").await;
    here.arrives_at(&format!("{home}/devices?done=signed_out")).await;
    assert_eq!(here.count(".devices li").await, 2);

    here.click("#others").await;
    here.click("#cancel").await;
    here.has("both still", ".devices li", 2).await;
    there.go_to(&format!("{home}/devices")).await;
    assert_eq!(there.url().await, format!("{home}/devices"), "that was not meant");
    here.click("#others").await;
    here.click("#confirm").await;
    here.arrives_at(&format!("{home}/devices?done=others")).await;
    assert_eq!(here.count(".devices li").await, 1);
    there.go_to(&format!("{home}/devices")).await;
    signs_in_again(&there, &home, "revoked_by_user", FROM_ANOTHER).await;

    there.click("header button").await;
    there.arrives_at(&format!("{home}/sign-in?because=logout&next=/devices")).await;
    // A way on that somebody else has made up is none.
    there.go_to(&format!("{home}/sign-in?next=//example.com")).await;
    there.click("#sign-in").await;
    there.arrives_at(&format!("{home}/")).await;
    for browser in [here, there] {
        assert_eq!(browser.complaints().await, [""; 0]);
        browser.close().await;
    }
}

async fn simulate_from_home(browser: &Browser, home: &str) {
    browser.go_to(home).await;
    simulate(browser, "galaxy", 1).await;
}
