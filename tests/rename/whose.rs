//! Whose names they are, where they are seen, and that they revive nothing.

use axum_device_sessions::{EndReason, EndTarget};
use serde_json::json;

use super::http::{Sent, ask, get};
use super::rename;
use super::site::{Browser, In, Node, count, end_of, two};
use super::support::eventually;

const UNKNOWN: &str = "404 session_not_found";

async fn name(node: &Node, who: &In) -> String {
    get(&node.app, "/name", &who.sent).await.line()
}

async fn end(node: &Node, who: &In) {
    let target = EndTarget::One { id: who.session(), user: None };
    node.sessions.end(target, EndReason::Logout, None).await.unwrap();
}

#[tokio::test]
async fn both_nodes_show_it_and_the_device_keeps_it() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    let (mut phone, mut laptop) = (Browser::default(), Browser::default());
    let (on_phone, on_laptop) =
        (phone.login(&nodes[0], "ahmed", false).await, laptop.login(&nodes[0], "ahmed", false).await);
    for node in &nodes {
        assert_eq!(name(node, &on_phone).await, "200 Unknown device");
    }
    // Another one of the user's, and the one that asks.
    let answer = rename(&nodes[0].app, &on_phone.id, " Pocket ", &on_laptop.sent).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["isCurrent"]), (200, &json!(false)));
    assert_eq!(answer.json()["deviceName"], "Pocket");
    assert_eq!(answer.json()["id"], on_phone.id.as_str());
    assert_eq!(name(&nodes[0], &on_phone).await, "200 Pocket", "at once where it was done");
    eventually("told", async || name(&nodes[1], &on_phone).await == "200 Pocket").await;
    let answer = rename(&nodes[1].app, &on_laptop.id, "Lap", &on_laptop.sent).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["isCurrent"]), (200, &json!(true)));
    let current = get(&nodes[1].app, "/sessions/current", &on_laptop.sent).await.json();
    let mut told = answer.json();
    // Active since.
    for field in ["lastActivityAt", "expiresAt"] {
        told[field] = current[field].clone();
    }
    assert_eq!(told, current, "the session, as it is told elsewhere");

    let again = phone.login(&nodes[1], "ahmed", true).await;
    assert_eq!(again.body["session"]["deviceName"], "Pocket");
    assert_eq!(name(&nodes[0], &again).await, "200 Pocket");
    // Also when all that there was of it is gone.
    sql.batch_execute("DELETE FROM device_sessions.sessions").await.unwrap();
    assert_eq!(laptop.login(&nodes[0], "ahmed", false).await.body["session"]["deviceName"], "Lap");
    let other = Browser::default().login(&nodes[0], "ahmed", false).await;
    assert_eq!(other.body["session"]["deviceName"], "Unknown device", "another device");
    let lena = phone.login(&nodes[0], "lena", false).await;
    assert_eq!(lena.body["session"]["deviceName"], "Unknown device", "another user of that device");
}

#[tokio::test]
async fn who_may_not() {
    let (_db, [node, _], _sql) = two(|builder| builder).await;
    let ahmed = Browser::default().login(&node, "ahmed", false).await;
    let lena = Browser::default().login(&node, "lena", true).await;
    let ended = Browser::default().login(&node, "ahmed", false).await;
    end(&node, &ended).await;
    let answer = Browser::default().login_with(&node, &json!({ "user": "ahmed", "second_factor": true })).await;
    let pending = Browser::default().is_in(&answer);

    let mut bodies = Vec::new();
    let unknown = uuid::Uuid::now_v7().to_string();
    for id in [unknown.as_str(), "not-an-id", "0", "%00", &lena.id, &ended.id, &pending.id] {
        let answer = rename(&node.app, id, "mine", &ahmed.sent).await;
        assert_eq!(answer.line(), UNKNOWN, "{id}");
        bodies.push(answer.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "not to be told from each other");
    // First who asks, then what: nobody learns by the body's faults.
    assert_eq!(rename(&node.app, &ahmed.id, "", &[]).await.line(), "401 missing_token");
    assert_eq!(rename(&node.app, &ahmed.id, "x", &ended.sent).await.line(), "401 session_ended logout");
    assert_eq!(rename(&node.app, &ahmed.id, "x", &pending.sent).await.line(), "401 second_factor_required");
    let elsewhere: Sent = ("sec-fetch-site", "cross-site".to_owned());
    let sent = [lena.sent[0].clone(), elsewhere.clone()];
    assert_eq!(rename(&node.app, &lena.id, "theirs", &sent).await.line(), "403 cross_site_request");
    assert_eq!(get(&node.app, "/name", &lena.sent).await.line(), "200 Unknown device");
    let sent = [ahmed.sent[0].clone(), elsewhere];
    assert_eq!(rename(&node.app, &ahmed.id, "mine", &sent).await.status, 200, "a header is nobody else's");
    assert_eq!(ask(&node.app, "PUT".parse().unwrap(), "/sessions/x", &ahmed.sent).await.status, 405);
}

/// Whichever comes first: what has ended stays so, and keeps what it was called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_an_end() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    let owner = Browser::default().login(&nodes[0], "ahmed", false).await;
    let (mut renamed, mut refused) = (0, 0);
    for round in 0..60 {
        let one = Browser::default().login(&nodes[0], "ahmed", false).await;
        for node in &nodes {
            assert_eq!(name(node, &one).await, "200 Unknown device");
        }
        let (renaming, ending) = (nodes[round % 2].clone(), nodes[(round / 2) % 2].clone());
        let (id, sent) = (one.id.clone(), owner.sent.clone());
        let answer = tokio::spawn(async move { rename(&renaming.app, &id, "Revived?", &sent).await.status.as_u16() });
        let doomed = one.clone();
        let ended = tokio::spawn(async move { end(&ending, &doomed).await });
        let status = answer.await.unwrap();
        ended.await.unwrap();
        match status {
            200 => renamed += 1,
            404 => refused += 1,
            other => panic!("{other}"),
        }
        assert_eq!(end_of(&sql, &one.id).await.unwrap().0, "logout");
        for node in &nodes {
            node.answers(&one.sent, "401 session_ended logout").await;
        }
        let kept = "SELECT device_name FROM device_sessions.sessions WHERE id::text = $1";
        let kept: String = sql.query_one(kept, &[&one.id]).await.unwrap().get(0);
        assert_eq!(kept == "Revived?", status == 200, "{kept}");
    }
    println!("{renamed} before the end, {refused} after it");
}

/// The control: the row read, changed and put back, as one writes it first.
#[tokio::test]
async fn put_back_as_it_was_read_it_comes_back_to_life() {
    let (db, [node, _], sql) = two(|builder| builder).await;
    // Of a table without the trigger that refuses this.
    let naive = "CREATE TABLE naive AS SELECT id, device_name, ended_at FROM device_sessions.sessions";
    Browser::default().login(&node, "ahmed", false).await;
    sql.batch_execute(naive).await.unwrap();
    let other = db.connect().await;
    let read = sql.query_one("SELECT ended_at::text FROM naive", &[]).await.unwrap();
    other.batch_execute("UPDATE naive SET ended_at = now()").await.unwrap();
    let put_back = "UPDATE naive SET device_name = 'Revived', ended_at = $1::text::timestamptz";
    sql.execute(put_back, &[&read.get::<_, Option<String>>(0)]).await.unwrap();
    assert_eq!(count(&sql, "SELECT count(*) FROM naive WHERE ended_at IS NULL").await, 1, "the control must lose");
}
