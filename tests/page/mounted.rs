//! Wherever the page is mounted, its links lead back to it.

use axum::Router;
use axum_device_sessions::routes;

use super::{
    LAPTOP, PHONE,
    http::in_memory,
    jar::{Jar, names, notice, of},
    site_at, theme, with_sign_in,
};

/// Under a prefix, under one that ends in a slash, under one with a parameter, at the root, and as a service, which is
/// reached with and without the slash.
#[tokio::test]
async fn links_lead_back_under_any_prefix() {
    let sessions = in_memory().await;
    let at = |prefix| site_at(prefix, &sessions, theme());
    let merged = with_sign_in(&sessions, Router::new().merge(routes::page(theme())));
    let served = || with_sign_in(&sessions, Router::new().nest_service("/account/devices", routes::page(theme())));
    for (user, app, path, home) in [
        ("a", at("/account/devices"), "/account/devices", "/account/devices"),
        ("b", at("/account/devices/"), "/account/devices/", "/account/devices/"),
        ("c", at("/devices"), "/devices", "/devices"),
        ("d", at("/t/{tenant}/devices"), "/t/%C3%A9%20/devices", "/t/%C3%A9%20/devices"),
        ("e", at("/devices/{tenant}"), "/devices/a:b", "/devices/a:b"),
        ("f", merged, "/", "/"),
        ("g", served(), "/account/devices", "/account/devices"),
        ("h", served(), "/account/devices/", "/account/devices"),
    ] {
        let mut laptop = Jar::new(&app, LAPTOP).sign_in(user).await;
        let _phone = Jar::new(&app, PHONE).sign_in(user).await;
        let page = laptop.get(path).await;
        assert_eq!(names(&page).len(), 2, "{path}");
        let (css, events) = (of(page.text(), "href").to_owned(), of(page.text(), "data-events").to_owned());
        for address in [css, events] {
            laptop.at = laptop.at.join(path).unwrap();
            let status = laptop.go("HEAD", &address, None).await.status;
            assert_eq!(status, 200, "{address} from {path}");
        }
        laptop.at = laptop.at.join(path).unwrap();
        let answer = laptop.press(path, "aria-label=\"Sign out Safari on iPhone\"").await;
        let page = laptop.follow(answer).await;
        assert_eq!(notice(&page), Some("The device is signed out."), "{path}");
        assert_eq!(laptop.at.path(), home);
        // Two steps down: the question, and its way back.
        let asked = laptop.press(path, "Sign out everywhere").await;
        let cancel = of(asked.text().split_once("id=\"cancel\"").unwrap().1, "href").to_owned();
        laptop.get(&cancel).await;
        assert_eq!(laptop.at.path(), home, "{cancel}");
        let answer = laptop.press(path, "Log out").await;
        let encoded = laptop.led(&answer);
        let next = reqwest::Url::parse(&format!("https://app.example{encoded}")).unwrap();
        let next = next.query_pairs().find(|(name, _)| name == "next").unwrap().1.into_owned();
        assert_eq!(next, home, "{encoded}");
    }
}
