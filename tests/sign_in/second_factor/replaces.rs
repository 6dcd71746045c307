//! Which sessions go when it comes to be one, and not before.

use serde_json::json;

use super::http::cookie;
use super::site::{Browser, In, end_of, two};
use super::support::eventually;
use super::{confirmed, half_in};

fn replaced(by: &In) -> Option<(String, Option<String>)> {
    Some(("replaced".to_owned(), Some(by.id.clone())))
}

#[tokio::test]
async fn the_same_devices() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    for by_cookie in [false, true] {
        let mut browser = Browser::default();
        let user = if by_cookie { "lena" } else { "ahmed" };
        let earlier = browser.login(&nodes[0], user, by_cookie).await;
        let half = half_in(&mut browser, &nodes[0], user, by_cookie).await;
        for node in &nodes {
            assert_eq!(node.me(&earlier.sent).await, format!("200 {user}"), "a password alone signs nobody out");
        }
        let full = confirmed(&mut browser, &nodes[1], &half).await;
        assert_eq!(end_of(&sql, &earlier.id).await, replaced(&full));
        for node in &nodes {
            node.answers(&earlier.sent, "401 session_ended replaced").await;
            assert_eq!(node.listed(&full.sent).await, [full.id.as_str()]);
        }
    }
}

/// Its cookie is overwritten by the pending one's, so nobody could end it any more.
#[tokio::test]
async fn another_users_whose_cookie_was_overwritten() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    let mut browser = Browser::default();
    let lena = browser.login(&nodes[0], "lena", true).await;
    let half = half_in(&mut browser, &nodes[0], "ahmed", true).await;
    assert_ne!(cookie(&browser.jar["__Host-session"]), lena.sent[0]);
    assert_eq!(end_of(&sql, &lena.id).await, None, "not before");
    let full = confirmed(&mut browser, &nodes[1], &half).await;
    eventually("replaced", async || end_of(&sql, &lena.id).await == replaced(&full)).await;
    for node in &nodes {
        node.answers(&lena.sent, "401 session_ended replaced").await;
        assert_eq!(node.me(&full.sent).await, "200 ahmed");
    }
}

/// The second factor was never shown; the browser's cookie is that of the way to it. Whoever signs in there next
/// overwrites that, and what it had overwritten goes now.
#[tokio::test]
async fn also_when_it_takes_several_tries() {
    let (_db, [node, _], sql) = two(|builder| builder).await;
    for second_factor in [true, false] {
        let mut browser = Browser::default();
        let lena = browser.login(&node, "lena", true).await;
        half_in(&mut browser, &node, "ahmed", true).await;
        half_in(&mut browser, &node, "mia", true).await;
        let wanted = json!({ "user": "sam", "cookie": true, "second_factor": second_factor });
        let answer = browser.login_with(&node, &wanted).await;
        let mut full = browser.is_in(&answer);
        if second_factor {
            assert_eq!(end_of(&sql, &lena.id).await, None);
            full = confirmed(&mut browser, &node, &full).await;
        }
        eventually("replaced", async || end_of(&sql, &lena.id).await == replaced(&full)).await;
        assert_eq!(node.me(&full.sent).await, "200 sam");
    }
}
