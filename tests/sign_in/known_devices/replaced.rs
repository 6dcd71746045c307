//! What becomes of the session that the device had.

use std::net::{IpAddr, Ipv4Addr};

use axum::{Router, http::Method, routing::post};
use axum_device_sessions::{Client, EndReason, SignIn, SignedIn};
use serde_json::json;

use super::INSTALLED;
use crate::http::{self, get};
use crate::site::{Browser, In, Node, count, end_of, two};

async fn assert_replaced(nodes: &[Node; 2], sql: &tokio_postgres::Client, earlier: &In, by: &In) {
    let replaced = ("replaced".to_owned(), Some(by.id.clone()));
    assert_eq!(end_of(sql, &earlier.id).await, Some(replaced));
    for node in nodes {
        node.answers(&earlier.sent, "401 session_ended replaced").await;
        assert_eq!(node.listed(&by.sent).await, [by.id.as_str()], "one row");
    }
}

/// On either node, and the other one had it in memory.
#[tokio::test]
async fn the_same_browser() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    for (user, cookie) in [("ahmed", false), ("lena", true)] {
        let mut browser = Browser::default();
        let mut earlier = browser.login(&nodes[0], user, cookie).await;
        for round in 1..4 {
            for node in &nodes {
                assert_eq!(node.me(&earlier.sent).await, format!("200 {user}"));
            }
            let again = browser.login(&nodes[round % 2], user, cookie).await;
            assert_replaced(&nodes, &sql, &earlier, &again).await;
            earlier = again;
        }
        let history = nodes[1].sessions.history(&user.into()).await.unwrap();
        assert!(history.iter().all(|one| one.ended.as_ref().unwrap().reason == EndReason::Replaced));
        assert_eq!(history.len(), 3);
    }
}

/// The control: without its cookie jar it is a new one each time.
#[tokio::test]
async fn a_browser_that_forgets_is_another() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    for cookie in [false, true] {
        Browser::default().login(&nodes[0], "ahmed", cookie).await;
    }
    assert_eq!(count(&sql, "SELECT count(*) FROM device_sessions.sessions WHERE ended_at IS NULL").await, 2);
    assert_eq!(count(&sql, "SELECT count(*) FROM device_sessions.devices").await, 2);
}

#[tokio::test]
async fn the_same_app() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    let mut app = Browser::saying("device-id", INSTALLED);
    let first = app.login(&nodes[0], "ahmed", false).await;
    for node in &nodes {
        assert_eq!(node.me(&first.sent).await, "200 ahmed");
    }
    let again = app.login(&nodes[1], "ahmed", false).await;
    assert_replaced(&nodes, &sql, &first, &again).await;
    assert_eq!(app.device(), None, "an app has an id of its own");
    let other = Browser::saying("device-id", &INSTALLED.replace('8', "9")).login(&nodes[1], "ahmed", false).await;
    assert_eq!(other.signals, "new_device");
    assert_eq!(nodes[0].me(&again.sent).await, "200 ahmed");
}

/// Too short, too long, twice, not of visible ASCII: then it is a browser.
#[tokio::test]
async fn what_is_no_id_of_an_app() {
    let (_db, [node, _], sql) = two(|builder| builder).await;
    let (short, long) = ("x".repeat(15), "x".repeat(129));
    let bad = [short.as_str(), &long, "", "0123456789 abcdef", "0123456789abcdéf"];
    for value in bad {
        let mut app = Browser::saying("device-id", value);
        app.login(&node, "ahmed", false).await;
        assert!(app.device().is_some(), "{value:?} is no id");
        app.jar.clear();
        let again = app.login(&node, "ahmed", false).await;
        assert_eq!(again.signals, "new_device", "{value:?}");
    }
    let mut twice = Browser { headers: vec![("device-id", INSTALLED.to_owned()); 2], ..Browser::default() };
    twice.login(&node, "lena", false).await;
    assert!(twice.device().is_some(), "two lines are none");
    assert_eq!(count(&sql, "SELECT count(*) FROM device_sessions.sessions WHERE ended_at IS NOT NULL").await, 0);
    // And those at the limits are.
    for value in ["x".repeat(16), "~".repeat(128)] {
        let mut app = Browser::saying("device-id", &value);
        app.login(&node, "sam", false).await;
        assert_eq!(app.device(), None, "{value}");
    }
}

#[tokio::test]
async fn the_header_wins_over_the_cookie() {
    let (_db, [node, _], _sql) = two(|builder| builder).await;
    let mut browser = Browser::default();
    let by_cookie = browser.login(&node, "ahmed", false).await;
    let cookie = browser.device().unwrap().to_owned();
    browser.headers = vec![("device-id", INSTALLED.to_owned())];
    let answer = browser.login_with(&node, &json!({ "user": "ahmed" })).await;
    let by_header = browser.is_in(&answer);
    assert_eq!(by_header.signals, "new_device");
    assert_eq!(answer.headers.get("set-cookie"), None);
    assert_eq!(browser.device(), Some(cookie.as_str()), "nor taken away");
    assert_eq!(node.me(&by_cookie.sent).await, "200 ahmed", "another device");
}

/// Neither replaces the other; but a session whose cookie is overwritten ends, as it always has.
#[tokio::test]
async fn two_users_of_one_browser() {
    let (_db, [node, _], sql) = two(|builder| builder).await;
    let mut browser = Browser::default();
    let ahmed = browser.login(&node, "ahmed", false).await;
    let lena = browser.login(&node, "lena", false).await;
    assert_eq!((node.me(&ahmed.sent).await, node.me(&lena.sent).await), ("200 ahmed".into(), "200 lena".into()));
    let keys = "SELECT count(DISTINCT key) FROM device_sessions.devices";
    assert_eq!(count(&sql, keys).await, 2, "nothing in common in the database");
    assert_eq!(lena.signals, "", "nor anything to be alarmed about");

    let sam = browser.login(&node, "sam", true).await;
    let mia = browser.login(&node, "mia", true).await;
    assert_eq!(end_of(&sql, &sam.id).await, Some(("replaced".into(), Some(mia.id.clone()))));
    assert_eq!((end_of(&sql, &ahmed.id).await, end_of(&sql, &lena.id).await), (None, None), "tokens are kept");
}

#[tokio::test]
async fn a_client_made_by_hand() {
    let (_db, [node, _], sql) = two(|builder| builder).await;
    let made = || Client::new(Some("Agent/1"), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let sign_in = async |client: Client| node.sessions.sign_in(SignIn::new("ahmed").client(client)).await.unwrap();
    for _ in 0..2 {
        let answer = answer(sign_in(made()).await).await;
        assert_eq!((answer.status.as_u16(), answer.headers.get("set-cookie")), (200, None));
    }
    let live = "SELECT count(*) FROM device_sessions.sessions WHERE ended_at IS NULL";
    assert_eq!(count(&sql, live).await, 2, "no device");
    assert_eq!(count(&sql, "SELECT count(*) FROM device_sessions.devices").await, 0);
    let first = sign_in(made().device_id(INSTALLED)).await;
    let again = sign_in(made().device_id(INSTALLED)).await;
    let (first, again) = (first.session.id.to_string(), again.session.id.to_string());
    assert_eq!(end_of(&sql, &first).await, Some(("replaced".into(), Some(again))));
    for _ in 0..2 {
        sign_in(made().device_id("")).await;
    }
    assert_eq!(count(&sql, live).await, 5, "empty is none, not one that all share");
    // The same as an app that says it itself.
    Browser::saying("device-id", INSTALLED).login(&node, "ahmed", false).await;
    assert_eq!(count(&sql, "SELECT count(*) FROM device_sessions.devices").await, 1);
}

async fn answer(signed_in: SignedIn) -> http::Answer {
    let app = Router::new().route("/", post(async move || signed_in));
    http::post(&app, "/", &[]).await
}

/// The first device ever is silent, a second one is told, the same one never; also when its session is long gone.
#[tokio::test]
async fn when_it_is_new() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    for cookie in [false, true] {
        let (user, sent) = if cookie { ("lena", "POST /auth/logout") } else { ("ahmed", "DELETE /sessions") };
        let (mut laptop, mut phone) = (Browser::default(), Browser::default());
        assert_eq!(laptop.login(&nodes[0], user, cookie).await.signals, "");
        let on_phone = phone.login(&nodes[1], user, cookie).await;
        assert_eq!(on_phone.signals, "new_device");
        assert_eq!(laptop.login(&nodes[1], user, cookie).await.signals, "");

        // Signing out leaves what the device is known by.
        let known_by = phone.device().unwrap().to_owned();
        let (method, path) = sent.split_once(' ').unwrap();
        phone.headers = if cookie { Vec::new() } else { on_phone.sent.to_vec() };
        let answer = phone.send(&nodes[0].app, method.parse::<Method>().unwrap(), path, None).await;
        assert!(answer.status.is_success(), "{}", answer.text());
        assert_eq!(phone.device(), Some(known_by.as_str()));
        assert!(!phone.jar.contains_key("__Host-session"));
        sql.batch_execute("DELETE FROM device_sessions.sessions").await.unwrap();
        phone.headers.clear();
        assert_eq!(phone.login(&nodes[0], user, cookie).await.signals, "", "known without a session");
        assert_eq!(Browser::default().login(&nodes[0], user, cookie).await.signals, "new_device");
    }
    assert_eq!(get(&nodes[0].app, "/me", &[]).await.status, 401);
}
