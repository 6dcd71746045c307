//! How the page looks, and whether everybody can use it: axe-core, keys, narrow windows. The pictures are written to
//! `target/pages`.

use std::{fs, net::IpAddr, time::Duration};

use axum_device_sessions::{Client, Clock, EndReason, EndTarget, Location, MemoryStore, SignIn};
use serde_json::Value;

use super::{
    LAPTOP, PHONE, TABLET,
    axe::{target, violations},
    chromium::{Browser, CHROME, PHONE_SIZE, PLAIN, Wish},
    clicks::Site,
    http::on,
};

/// Signed in beside a phone, a tablet and what has ended, one of them with a long name that has no space to break at.
async fn furnished(site: &Site, browser: &Browser) {
    let apps =
        [("Safari", PHONE, [203, 0, 113, 7]), ("Tablet", TABLET, [198, 51, 100, 23]), ("Old", LAPTOP, [192, 0, 2, 44])];
    for (name, user_agent, address) in apps {
        let client = Client::new(Some(user_agent), Some(address.into()));
        let signed_in = site.sessions.sign_in(SignIn::new("ahmed").client(client)).await.unwrap();
        if name == "Old" {
            let target = EndTarget::One { id: signed_in.session.id, user: None };
            site.sessions.end(target, EndReason::CredentialChange, None).await.unwrap();
        }
    }
    site.sign_in(browser, "ahmed").await;
}

#[tokio::test]
async fn everybody_can_use_it() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    furnished(&site, &browser).await;
    let mut ways = Vec::new();
    for dark in [false, true] {
        for size in [PLAIN.size, PHONE_SIZE, (320, 640)] {
            ways.push(Wish { dark, size, ..PLAIN });
        }
    }
    for wish in ways {
        browser.look(wish).await;
        for path in ["", "?done=others", "?done=name", "/sign-out-everywhere"] {
            browser.go_to(&format!("{}{path}", site.home)).await;
            browser.script("for (const one of document.querySelectorAll('details')) one.open = true").await;
            let place = format!("{path} {:?} dark: {}", wish.size, wish.dark);
            assert_eq!(violations(&browser).await, Vec::<String>::new(), "{place}");
            let widths = browser.script("return [document.documentElement.scrollWidth, innerWidth]").await;
            assert!(widths[0].as_u64() <= Some(u64::from(wish.size.0)), "{place}: {widths}");
            assert_eq!(widths[1], wish.size.0, "{place}");
        }
    }
    assert_eq!(site.complaints(&browser).await, Vec::<String>::new());
    // The control: it would have noticed.
    browser.script("document.querySelector('h1').outerHTML = '<p><img src=\"/logo.svg\"><button></button></p>'").await;
    let found = violations(&browser).await;
    for id in ["image-alt", "button-name", "page-has-heading-one"] {
        assert!(found.iter().any(|line| line.starts_with(id)), "{id} in {found:?}");
    }
    browser.close().await;
}

/// By the key alone, in the order in which it is read, and it can be seen where one is.
#[tokio::test]
async fn every_button_is_reached_by_the_tab_key() {
    const TAB: char = '\u{E004}';
    let site = Site::start().await;
    let browser = Browser::open().await;
    furnished(&site, &browser).await;
    let wanted = browser
        .script(
            "return [...document.querySelectorAll('a, button, summary, input:not([type=hidden])')]
                .filter((one) => one.checkVisibility()).map((one) => one.id || one.textContent)",
        )
        .await;
    let wanted: Vec<Value> = wanted.as_array().unwrap().clone();
    assert!(wanted.len() >= 10, "{wanted:?}");
    let mut reached = Vec::new();
    for _ in 0..wanted.len() {
        browser.press(TAB).await;
        let focus = browser
            .script(
                "const one = document.activeElement, style = getComputedStyle(one);
                return [one.id || one.textContent, style.outlineStyle, parseFloat(style.outlineWidth)]",
            )
            .await;
        assert_eq!((focus[1].as_str(), focus[2].as_f64()), (Some("solid"), Some(3.0)), "{focus}");
        reached.push(focus[0].clone());
    }
    assert_eq!(reached, wanted);
    browser.close().await;
}

/// A name of 64 characters without a space, at the narrowest.
#[tokio::test]
async fn a_long_name_makes_no_window_scroll_sideways() {
    let site = Site::start().await;
    let browser = Browser::with(Wish { size: (320, 640), ..PLAIN }).await;
    furnished(&site, &browser).await;
    for (id, name) in site.ids("ahmed").await.into_iter().zip(["W".repeat(64), "Ж".repeat(64)]) {
        site.sessions.rename(&"ahmed".into(), id, &name).await.unwrap().expect("renamed");
    }
    browser.go_to(&site.home).await;
    assert!(browser.text_of(".devices").await.contains("WWWW"));
    assert_eq!(browser.script("return document.documentElement.scrollWidth").await, 320);
    browser.close().await;
}

/// For whoever changes the style sheet. Those of the README are made by `tests/demo`.
#[tokio::test]
async fn pictures() {
    let directory = target().join("pages");
    fs::create_dir_all(&directory).unwrap();
    for (name, path, wish) in [
        ("light", "", PLAIN),
        ("dark", "", Wish { dark: true, ..PLAIN }),
        ("phone", "", Wish { size: PHONE_SIZE, ..PLAIN }),
        ("phone-dark-russian", "", Wish { size: PHONE_SIZE, dark: true, language: "ru", ..PLAIN }),
        ("question", "/sign-out-everywhere", PLAIN),
        ("opened-russian", "?done=signed_out", Wish { language: "ru", ..PLAIN }),
    ] {
        let clock = Clock::manual();
        let builder = on(MemoryStore::with_clock(clock.clone())).clock(clock.clone()).locator(somewhere);
        let site = Site::with(builder.build().await.unwrap()).await;
        let browser = Browser::with(wish).await;
        browser.calls_itself("Google Chrome", CHROME).await;
        a_week(&site, &clock).await;
        site.sign_in(&browser, "ahmed").await;
        clock.advance(3 * HOUR);
        browser.go_to(&format!("{}{path}", site.home)).await;
        assert_eq!(browser.script("return document.documentElement.lang").await, wish.language);
        if name.starts_with("opened") {
            let open = "document.querySelector('.history').open = document.querySelector('.rename').open = true";
            browser.script(open).await;
        }
        let picture = browser.picture().await;
        assert!(picture.len() > 10_000 && picture.starts_with(b"\x89PNG"), "{name}: {} bytes", picture.len());
        fs::write(directory.join(format!("{name}.png")), picture).unwrap();
        browser.close().await;
    }
}

/// What a user may have done in the last days.
async fn a_week(site: &Site, clock: &Clock) {
    const EDGE: &str =
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0";
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";
    for (user_agent, address, later, end) in [
        (FIREFOX, [192, 0, 2, 44], 20 * HOUR, Some(EndReason::RevokedByUser)),
        (EDGE, [192, 0, 2, 45], 49 * HOUR, Some(EndReason::CredentialChange)),
        (TABLET, [203, 0, 113, 9], 30 * HOUR, None),
        (PHONE, [198, 51, 100, 23], HOUR / 2, None),
    ] {
        let client = Client::new(Some(user_agent), Some(address.into()));
        let signed_in = site.sessions.sign_in(SignIn::new("ahmed").client(client)).await.unwrap();
        clock.advance(later);
        if let Some(reason) = end {
            let target = EndTarget::One { id: signed_in.session.id, user: None };
            site.sessions.end(target, reason, None).await.unwrap();
        }
    }
}

fn somewhere(address: IpAddr) -> Option<Location> {
    let (city, country) = match address.to_string().split('.').next() {
        Some("198") => ("Saint Petersburg", "Russia"),
        Some("192") => ("Lisbon", "Portugal"),
        _ => ("Moscow", "Russia"),
    };
    let mut place = Location::default();
    (place.city, place.country) = (Some(city.to_owned()), Some(country.to_owned()));
    Some(place)
}

const HOUR: Duration = Duration::from_secs(60 * 60);
