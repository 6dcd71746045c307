//! What the page shows.

use std::{net::IpAddr, time::Duration};

use axum_device_sessions::{Clock, EndReason, EndTarget, Location, MemoryStore, Sessions, UserId};

use super::{
    LAPTOP, PAGE, PHONE, TABLET,
    http::{in_memory, on},
    jar::{Jar, names, of},
    site, theme,
};

fn place(city: &str, country: &str) -> Option<Location> {
    let mut place = Location::default();
    (place.city, place.country) = (Some(city.to_owned()), Some(country.to_owned()));
    Some(place)
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn this_device_is_first_then_the_newest_activity() {
    let clock = Clock::manual();
    let in_moscow = |_: IpAddr| place("Moscow", "Russia");
    let builder = on(MemoryStore::with_clock(clock.clone())).clock(clock.clone()).locator(in_moscow);
    let sessions = builder.build().await.unwrap();
    let app = site(&sessions, theme());
    let mut laptop = Jar::new(&app, LAPTOP).sign_in("ahmed").await;
    clock.advance(3 * MINUTE);
    let _tablet = Jar::new(&app, TABLET).sign_in("ahmed").await;
    clock.advance(2 * MINUTE);
    let _phone = Jar::new(&app, PHONE).sign_in("ahmed").await;
    let _lenas = Jar::new(&app, "curl/8").sign_in("lena").await;
    clock.advance(5 * MINUTE);

    let page = laptop.get(PAGE).await;
    assert_eq!(names(&page), ["Chrome on Windows", "Safari on iPhone", "Safari on iPad"]);
    let html = page.text();
    let list = html.split_once("<ul class=\"devices\">").unwrap().1;
    let items: Vec<&str> = list.split("<li").skip(1).take(3).collect();
    for (item, icon, active, signed_in) in [
        (items[0], "#desktop", "Active now", "10 minutes ago"),
        (items[1], "#phone", "Active <time", "5 minutes ago"),
        (items[2], "#tablet", "Active <time", "7 minutes ago"),
    ] {
        assert!(item.contains(&format!("href=\"{icon}\"")), "{item}");
        assert!(item.contains("<bdi>Moscow, Russia</bdi>"), "{item}");
        assert!(item.contains(active) && item.contains(signed_in), "{item}");
        assert!(of(item, "title").ends_with(" UTC"), "the exact time on hover: {item}");
    }
    assert!(items[0].starts_with(" class=\"current\"") && items[0].contains("This device"));
    assert!(!items[0].contains("sign-out"), "the device itself has no button: {}", items[0]);
    assert!(items[1].contains(r#"aria-label="Sign out Safari on iPhone""#), "{}", items[1]);
    assert!(items[1].contains(r#"aria-label="Rename Safari on iPhone""#), "{}", items[1]);
    assert!(!items[1].contains("This device") && !html.contains("curl"));
}

#[tokio::test]
async fn without_a_place_there_is_the_address_and_alone_there_are_no_others() {
    let sessions = in_memory().await;
    let mut only = Jar::new(&site(&sessions, theme()), LAPTOP).sign_in("ahmed").await;
    let page = only.get(PAGE).await;
    assert_eq!(names(&page), ["Chrome on Windows"]);
    assert!(page.text().contains("<bdi>203.0.113.7</bdi>"));
    assert!(!page.text().contains("sign-out-others") && page.text().contains("sign-out-everywhere"));
    assert!(page.text().contains("You are signed in on this device only."));
    assert!(!page.text().contains("class=\"history\""));
}

/// Names, places and user ids are what strangers say.
#[tokio::test]
async fn what_strangers_say_stays_text() {
    const EVIL: &str = r#""><script>alert('1')</script>&amp;<b x='"#;
    let in_rome = |_: IpAddr| place("<i>Rome</i>\"'", "&lt;");
    let sessions = on(MemoryStore::new()).locator(in_rome).build().await.unwrap();
    let app = site(&sessions, theme());
    let mut laptop = Jar::new(&app, LAPTOP).sign_in(EVIL).await;
    let _app = Jar::new(&app, "x").with("device-name", EVIL).with("device-platform", "iOS 18").sign_in(EVIL).await;
    let id = laptop.id_of(PAGE, "Chrome on Windows").await;
    laptop.post(&format!("{PAGE}/rename"), &[("id", &id), ("name", EVIL)]).await;
    let _third = Jar::new(&app, EVIL).with("app-name", EVIL).sign_in(EVIL).await;
    let page = laptop.get(PAGE).await;
    let html = page.text();
    assert_eq!(names(&page).len(), 3);
    for raw in ["<script>", "alert('1')", "<b ", "<i>", "Rome</i>\""] {
        assert!(!html.contains(raw), "{raw} in {html}");
    }
    let escaped = "&#34;&#62;&#60;script&#62;alert(&#39;1&#39;)&#60;/script&#62;&#38;amp;&#60;b x=&#39;";
    assert_eq!(html.matches(escaped).count(), 7, "as text and in attributes: {html}");
    assert!(html.contains("&#60;i&#62;Rome&#60;/i&#62;&#34;&#39;, &#38;lt;"), "{html}");
}

#[tokio::test]
async fn what_has_ended_is_told_with_its_reason() {
    let sessions = in_memory().await;
    let app = site(&sessions, theme());
    let mut laptop = Jar::new(&app, LAPTOP).sign_in("ahmed").await;
    let reasons = [
        (EndReason::Logout, "Logged out on the device itself"),
        (EndReason::RevokedByUser, "Signed out from another of your devices"),
        (EndReason::RevokedByAdmin, "Signed out by an administrator"),
        (EndReason::RevokedByAlert, "Signed out because it was reported as not you"),
        (EndReason::Replaced, "Replaced by a newer sign-in on the same device"),
        (EndReason::Limit, "Signed out because of too many sessions"),
        (EndReason::Idle, "Not used for a long time"),
        (EndReason::Absolute, "Signed in too long ago"),
        (EndReason::RefreshReuse, "Signed out for safety: its key was used twice"),
        (EndReason::CredentialChange, "The password or the second factor was changed"),
        (EndReason::AccountDisabled, "The account was disabled"),
        (EndReason::from("<b>odd</b>"), "<span>Ended</span>"),
    ];
    for (reason, said) in reasons {
        let _phone = Jar::new(&app, PHONE).sign_in("ahmed").await;
        end_phones(&sessions, &reason).await;
        let page = laptop.get(PAGE).await;
        let (live, past) = page.text().split_once("<details class=\"history\">").expect("a history");
        assert!(!live.contains("Safari on iPhone"));
        let newest = past.split("</li>").next().unwrap();
        assert!(newest.contains(said) && newest.contains("Safari on iPhone"), "{reason}: {newest}");
        assert!(newest.contains("Ended <time datetime="), "{newest}");
        assert!(!page.text().contains("odd"));
    }
}

async fn end_phones(sessions: &Sessions, reason: &EndReason) {
    let user = UserId::from("ahmed");
    let live = sessions.list(&user, None).await.unwrap();
    let phone = live.iter().find(|session| session.device.name == "Safari on iPhone").expect("a phone");
    sessions.end(EndTarget::One { id: phone.id, user: None }, reason.clone(), None).await.unwrap();
}

#[tokio::test]
async fn fifty_devices_are_less_than_100_kb() {
    let sessions = in_memory().await;
    let app = site(&sessions, theme());
    let name = "Я".repeat(64);
    let mut laptop = Jar::new(&app, LAPTOP).sign_in("ahmed").await;
    for _ in 0..20 {
        let _phone = Jar::new(&app, PHONE).sign_in("ahmed").await;
        end_phones(&sessions, &EndReason::RefreshReuse).await;
    }
    for _ in 1..50 {
        let _phone =
            Jar::new(&app, PHONE).with("device-name", &name).with("device-platform", "iOS 18").sign_in("ahmed").await;
    }
    let page = laptop.get(PAGE).await;
    assert_eq!(names(&page).len(), 50);
    assert_eq!(names(&page)[1], name, "the longest name there is");
    let mut russian = laptop.with("accept-language", "ru");
    let in_russian = russian.get(PAGE).await;
    assert!(in_russian.text().contains("<html lang=\"ru\">"));
    println!("50 devices and 20 that ended: {} bytes, in Russian {}", page.body.len(), in_russian.body.len());
    assert!(page.body.len().max(in_russian.body.len()) < 100_000);
}
