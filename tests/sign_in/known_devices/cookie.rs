//! The cookie that a browser is known by.

use axum::http::header::SET_COOKIE;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use crate::http::Answer;
use crate::site::{Browser, Node, count, two};
use crate::support::TestDb;

const SECRETS: [&str; 2] = ["one secret: 0123456789abcdefghij", "another one: 0123456789abcdefghi"];

fn device_lines(answer: &Answer) -> Vec<String> {
    let lines = answer.headers.get_all(SET_COOKIE).iter();
    let lines = lines.inspect(|line| assert!(line.is_sensitive(), "not for logs"));
    lines.map(|line| line.to_str().unwrap().to_owned()).filter(|line| line.contains("device")).collect()
}

#[tokio::test]
async fn it_is_set_by_each_sign_in() {
    let (_db, [node, _], _sql) = two(|builder| builder).await;
    for wanted in [
        json!({ "user": "ahmed" }),
        json!({ "user": "ahmed", "cookie": true }),
        json!({ "user": "ahmed", "second_factor": true }),
    ] {
        let mut browser = Browser::default();
        let mut values = Vec::new();
        for _first_then_known in 0..2 {
            let lines = device_lines(&browser.login_with(&node, &wanted).await);
            let value = browser.device().unwrap().to_owned();
            let golden = format!("__Host-device={value}; Max-Age=34560000; Path=/; Secure; HttpOnly; SameSite=Lax");
            assert_eq!(lines, [golden], "{wanted}");
            values.push(value);
        }
        assert_eq!(values[0], values[1], "set anew, for another 400 days");
        assert_eq!(URL_SAFE_NO_PAD.decode(&values[0]).unwrap().len(), 1 + 16 + 32);
    }
}

/// Each is a new device, and is given a cookie that is good.
#[tokio::test]
async fn what_is_not_ours_is_a_new_device() {
    let (_db, [node, _], _sql) = two(|builder| builder).await;
    let elsewhere = TestDb::new().await;
    let stranger = Node::at(elsewhere.url(), |builder| builder.server_secret(SECRETS[0])).await;
    let mut there = Browser::default();
    there.login(&stranger, "ahmed", false).await;
    let mut browser = Browser::default();
    browser.login(&node, "ahmed", false).await;
    let good = browser.device().unwrap().to_owned();

    let flipped = |at: usize| {
        let mut bytes = URL_SAFE_NO_PAD.decode(&good).unwrap();
        bytes[at] ^= 1;
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let mac_alone = URL_SAFE_NO_PAD.encode([1; 49]);
    let wrong = [
        there.device().unwrap().to_owned(),
        flipped(0),
        flipped(5),
        flipped(48),
        good[..good.len() - 1].to_owned(),
        format!("{good}A"),
        format!("\"{good}\""),
        mac_alone,
        "garbage".to_owned(),
        String::new(),
    ];
    for value in wrong {
        browser.jar.insert("__Host-device".to_owned(), value.clone());
        assert_eq!(browser.login(&node, "ahmed", false).await.signals, "new_device", "{value}");
        let given = browser.device().unwrap().to_owned();
        assert!(given != value && given != good);
        assert_eq!(browser.login(&node, "ahmed", false).await.signals, "", "and is known by it");
        assert_eq!(browser.device(), Some(given.as_str()));
    }
    // The control.
    browser.jar.insert("__Host-device".to_owned(), good);
    assert_eq!(browser.login(&node, "ahmed", false).await.signals, "");
}

/// First accepted, then the one that makes, then alone.
#[tokio::test]
async fn devices_stay_known_when_the_secret_changes() {
    let db = TestDb::new().await;
    let [old, new] = SECRETS;
    let mut browser = Browser::default();
    let mut values = Vec::new();
    for (secrets, signals) in
        [(vec![old], ""), (vec![old, new], ""), (vec![new, old], ""), (vec![new], ""), (vec![old], "new_device")]
    {
        let node =
            Node::at(db.url(), |builder| secrets.iter().fold(builder, |builder, secret| builder.server_secret(secret)))
                .await;
        assert_eq!(browser.login(&node, "ahmed", false).await.signals, signals, "{secrets:?}");
        values.push(browser.device().unwrap().to_owned());
    }
    assert_eq!(values[0], values[1]);
    assert_ne!(values[1], values[2], "written anew by the key that makes");
    assert_eq!(values[2], values[3]);
    let sql = db.connect().await;
    assert_eq!(count(&sql, "SELECT count(*) FROM device_sessions.devices").await, 2);
}
