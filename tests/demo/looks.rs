//! How the demo looks, whether everybody can use it, and the pictures of the README: the page of devices as the demo has it.
//! They are written to `target/screenshots`; with `SCREENSHOTS=1` to `docs/screenshots`, where they are kept.

use std::{env, fs, path::PathBuf};

use serde_json::json;

use super::{
    axe::{target, violations},
    chromium::{Browser, PHONE_SIZE, PLAIN, Wish},
    demo, sign_in, simulate,
    support::TestDb,
};

#[tokio::test]
async fn everybody_can_use_it() {
    let (_demo, home) = demo(&[]).await;
    let browser = Browser::open().await;
    sign_in(&browser, &home).await;
    for (number, kind) in [(1, "iphone"), (2, "galaxy"), (3, "edge")] {
        simulate(&browser, kind, number).await;
    }
    // One that is over, and letters of each kind.
    browser.go_to(&format!("{home}/devices")).await;
    browser.click(".end button").await;
    browser.has("the page without it", ".devices li", 3).await;
    browser.go_to(&home).await;
    browser.shows(".card.over .says", "Told by push").await;

    let mut looked_at = 0;
    for dark in [false, true] {
        for size in [PLAIN.size, PHONE_SIZE] {
            browser.look(Wish { dark, size, ..PLAIN }).await;
            for path in ["/", "/devices", "/devices/sign-out-others", "/sign-in", "/sign-in?because=idle&next=/devices"]
            {
                browser.go_to(&format!("{home}{path}")).await;
                let place = format!("{path} {size:?} dark: {dark}");
                assert_eq!(violations(&browser).await, [""; 0], "{place}");
                let widths = browser.script("return [document.documentElement.scrollWidth, innerWidth]").await;
                assert_eq!(widths, json!([size.0, size.0]), "{place}: it scrolls sideways");
                looked_at += 1;
            }
        }
    }
    println!("{looked_at} pages, without a violation");
    assert_eq!(browser.complaints().await, [""; 0]);
    // The control: it would have noticed, and so would the policy.
    browser.script("document.querySelector('h1').outerHTML = '<p><button></button></p>'").await;
    let found = violations(&browser).await;
    for id in ["button-name", "page-has-heading-one"] {
        assert!(found.iter().any(|line| line.starts_with(id)), "{id} in {found:?}");
    }
    browser.script("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">x</p>')").await;
    let complaints = browser.complaints().await;
    assert!(complaints.iter().any(|line| line.contains("Content Security Policy")), "{complaints:?}");
    browser.close().await;
}

#[tokio::test]
async fn pictures_for_the_readme() {
    let db = TestDb::new().await;
    let settings = [("DATABASE_URL", db.url()), ("SIGNING_SECRET", "of two demos, one after the other")];
    let (first, home) = demo(&settings).await;
    let browser = Browser::open().await;
    // As through a proxy on this machine: its own address is nowhere.
    browser.devtools("Network.enable", json!({})).await;
    let from = json!({ "headers": { "x-forwarded-for": "203.0.113.7" } });
    browser.devtools("Network.setExtraHTTPHeaders", from).await;
    sign_in(&browser, &home).await;
    for (number, kind) in [(1, "iphone"), (2, "galaxy"), (3, "edge")] {
        simulate(&browser, kind, number).await;
    }
    a_tablet_signs_in(&home).await;
    browser.go_to(&format!("{home}/devices")).await;
    let tablet = id_of(&browser, "iPad").await;
    browser.click(&format!("#rename-{tablet}")).await;
    browser.fill_in(".rename[open] input[name=name]", "Kitchen tablet").await;
    browser.click(".rename[open] button").await;
    browser.shows("[role=status]", "The new name is saved.").await;
    // A node knows better when somebody was last active: so the next one, to which the browser brings its cookie.
    first.stop("TERM").await;
    a_fortnight_passes(&db).await;
    let (_next, home) = demo(&settings).await;
    let page = format!("{home}/devices");

    let directory = directory();
    fs::create_dir_all(&directory).unwrap();
    // Sharper than the README shows them, and small enough to be kept.
    let plain = Wish { size: (720, 1032), scale: 1.25, ..PLAIN };
    let phone = Wish { size: PHONE_SIZE, scale: 1.5, ..PLAIN };
    for (name, wish) in [("light", plain), ("dark", Wish { dark: true, ..plain }), ("phone", phone)] {
        browser.look(wish).await;
        browser.go_to(&page).await;
        browser.has("five devices", ".devices li", 5).await;
        let list = browser.text_of(".devices").await;
        for what in ["Moscow, Russia", "Istanbul, Türkiye", "São Paulo, Brazil", "Kitchen tablet", "3 hours ago"] {
            assert!(list.contains(what), "{what} in {list}");
        }
        let picture = browser.picture_of_the_window().await;
        // Width and height of a PNG (its §11.2.1).
        let dots = |at: usize| f64::from(u32::from_be_bytes(picture[at..at + 4].try_into().unwrap()));
        assert_eq!(
            (dots(16), dots(20)),
            (f64::from(wish.size.0) * wish.scale, f64::from(wish.size.1) * wish.scale),
            "{name}"
        );
        println!("{name}: {} bytes", picture.len());
        assert!((10_000..150_000).contains(&picture.len()), "{name}: {} bytes", picture.len());
        fs::write(directory.join(format!("{name}.png")), picture).unwrap();
    }
    browser.close().await;
}

/// Where nothing is to change unless it is asked for.
fn directory() -> PathBuf {
    match env::var("SCREENSHOTS").as_deref() {
        Ok("1") => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots"),
        _ => target().join("screenshots"),
    }
}

async fn a_tablet_signs_in(home: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let signs_in = client
        .post(format!("{home}/api/auth/login"))
        .header("device-platform", "iPadOS 18.5")
        .header("device-model", "iPad14,3")
        .header("device-id", "a-tablet-in-a-kitchen-somewhere")
        .header("x-forwarded-for", "203.0.113.7")
        .json(&json!({ "username": "ahmed", "password": "demo" }));
    assert_eq!(signs_in.send().await.unwrap().status(), 200);
}

async fn id_of(browser: &Browser, name: &str) -> String {
    let list = browser.script("return (await fetch('/sessions')).json()").await;
    let sessions = list.as_array().unwrap().iter();
    let mut found = sessions.filter(|session| session["deviceName"].as_str().unwrap().contains(name));
    let id = found.next().and_then(|session| session["id"].as_str());
    id.unwrap_or_else(|| panic!("{name} is not in {list}")).to_owned()
}

/// When they signed in, and when they were last active: as many minutes ago.
async fn a_fortnight_passes(db: &TestDb) {
    const HOUR: f64 = 60.0;
    for (platform, signed_in, active) in [
        ("device_name LIKE 'Chrome%'", 30.0 * HOUR, 0.0),
        ("device_name LIKE '%iPhone%'", 120.0 * HOUR, 12.0),
        ("device_name LIKE '%Galaxy%'", 310.0 * HOUR, 3.0 * HOUR),
        ("device_name LIKE 'Edge%'", 52.0 * HOUR, 26.0 * HOUR),
        ("form_factor = 'tablet'", 200.0 * HOUR, 75.0 * HOUR),
    ] {
        let sql = format!(
            "UPDATE device_sessions.sessions SET created_at = now() - $1 * interval '1 minute',
                last_activity_at = now() - $2 * interval '1 minute' WHERE {platform}"
        );
        // Half a minute more, so that it does not matter how long the test takes.
        let past = |minutes: f64| minutes + 0.5;
        let changed = db.connect().await.execute(&sql, &[&past(signed_in), &past(active)]).await.unwrap();
        assert_eq!(changed, 1, "{platform}");
    }
}
