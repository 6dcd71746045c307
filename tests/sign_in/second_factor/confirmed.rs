//! The second factor was right: all that a sign-in does is done now.

use std::sync::{Arc, Mutex};

use axum::{Router, http::Method, routing::post as to_post};
use axum_device_sessions::{OnLimit, PendingSession, SessionValidationLayer, SignIn};
use serde_json::json;

use super::http::{get, post};
use super::site::{Browser, Node, count, end_of, two};
use super::{REQUIRED, answer_to, confirm, confirmed, half_in, row};

#[tokio::test]
async fn it_is_a_session_from_now_on() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    for cookie in [false, true] {
        let user = if cookie { "lena" } else { "ahmed" };
        let other = Browser::default().login(&nodes[0], user, false).await;
        let mut browser = Browser::default();
        let wanted = json!({ "user": user, "cookie": cookie, "second_factor": true, "claims": { "theme": "dark" } });
        let answer = browser.login_with(&nodes[0], &wanted).await;
        let half = browser.is_in(&answer);
        for node in &nodes {
            assert_eq!(node.me(&half.sent).await, REQUIRED);
        }
        // As if it had taken minutes.
        let minutes = "UPDATE device_sessions.sessions SET created_at = created_at - interval '9 min', \
                       authenticated_at = authenticated_at - interval '9 min', \
                       expires_at = expires_at - interval '9 min' WHERE pending";
        sql.batch_execute(minutes).await.unwrap();
        let full = confirmed(&mut browser, &nodes[1], &half).await;
        assert_eq!((full.id.as_str(), row(&sql, &half.id).await.as_str()), (half.id.as_str(), "full"));
        assert_eq!(full.body["session"]["isCurrent"], true);
        assert_eq!(full.body.get("second_factor_required"), None);
        assert_eq!(full.body["refresh_token"].is_string(), !cookie);
        for node in &nodes {
            assert_eq!(node.me(&full.sent).await, format!("200 {user}"), "at once");
            assert_eq!(get(&node.app, "/fresh", &full.sent).await.line(), format!("200 {user}"));
            assert_eq!(get(&node.app, "/claims", &full.sent).await.json()["theme"], "dark");
            assert!(node.listed(&other.sent).await.contains(&full.id));
            node.answers(&half.sent, "401 token_expired").await;
            // Nothing leads from it to a second one.
            assert_eq!(post(&node.app, "/second-factor", &half.sent).await.line(), "401 token_expired");
        }
        // The life of the session begins now, not when the password was shown; so does that of the proof.
        let life = "SELECT round(extract(epoch FROM expires_at - statement_timestamp()) / 86400)::int8 \
                    FROM device_sessions.sessions WHERE id::text = $1";
        assert_eq!(sql.query_one(life, &[&full.id]).await.unwrap().get::<_, i64>(0), 90);
        let proved = "SELECT statement_timestamp() - authenticated_at < interval '1 min' \
                      FROM device_sessions.sessions WHERE id::text = $1";
        assert!(sql.query_one(proved, &[&full.id]).await.unwrap().get::<_, bool>(0));
        // Its refresh works, and its sign-out too.
        if !cookie {
            let token = full.body["refresh_token"].as_str().unwrap();
            let pair = nodes[0].sessions.refresh(token, None).await.unwrap();
            assert_eq!(nodes[1].me(&[super::http::bearer(&pair.access_token)]).await, "200 ahmed");
        }
        assert_eq!(post(&nodes[0].app, "/auth/logout", &full.sent).await.status, 204);
        let again = browser.login(&nodes[0], user, cookie).await;
        assert_eq!(again.signals, "", "known since it was confirmed");
    }
}

/// Kept when it comes to be a session: before, it needs no room and takes none.
#[tokio::test]
async fn the_limit() {
    for (on_limit, is_refused) in [(OnLimit::Refuse, true), (OnLimit::EndOldest, false)] {
        let (_db, [node, _], sql) = two(|builder| builder.max_sessions_per_user(2, on_limit)).await;
        let mut browser = Browser::default();
        let first = Browser::default().login(&node, "ahmed", false).await;
        let half = half_in(&mut browser, &node, "ahmed", false).await;
        let second = Browser::default().login(&node, "ahmed", false).await;
        assert_eq!(end_of(&sql, &first.id).await, None, "there was room");
        let answer = confirm(&mut browser, &node, &half).await;
        if !is_refused {
            let full = browser.is_in(&answer);
            assert_eq!(end_of(&sql, &first.id).await, Some(("limit".into(), Some(full.id))));
            continue;
        }
        assert_eq!(answer.line(), "409 session_limit_reached");
        let there = answer.json()["sessions"].as_array().unwrap().len();
        assert_eq!((there, row(&sql, &half.id).await.as_str()), (2, "pending"));
        assert_eq!(node.me(&half.sent).await, REQUIRED, "for when there is room");
        assert_eq!(post(&node.app, "/auth/logout", &second.sent).await.status, 204);
        confirmed(&mut browser, &node, &half).await;
    }
}

/// By the extractor, in the hands of a handler that is slow.
#[tokio::test]
async fn only_what_is_pending_still() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    let slot = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&slot);
    let app = Router::new()
        .route("/", to_post(async move |pending: PendingSession| *keep.lock().unwrap() = Some(pending)))
        .layer(SessionValidationLayer::new(nodes[0].sessions.clone()));
    for by in ["confirmed", "ended", "gone"] {
        let mut browser = Browser::default();
        let half = half_in(&mut browser, &nodes[0], "ahmed", false).await;
        assert_eq!(post(&app, "/", &half.sent).await.status, 200);
        let pending = slot.lock().unwrap().take().unwrap();
        assert_eq!((pending.id().to_string(), pending.user_id().as_str()), (half.id.clone(), "ahmed"));
        let token = half.body["access_token"].as_str().unwrap();
        let shown = format!("{pending:?} {pending:#?}");
        assert!(shown.contains("ahmed") && !token.split('.').any(|part| shown.contains(part)), "{shown}");
        let told = match by {
            "confirmed" => {
                confirmed(&mut browser, &nodes[1], &half).await;
                "401 invalid_token"
            }
            "ended" => {
                assert_eq!(post(&nodes[1].app, "/auth/logout", &half.sent).await.status, 204);
                "401 session_ended logout"
            }
            _ => {
                sql.batch_execute("DELETE FROM device_sessions.sessions").await.unwrap();
                "401 invalid_token"
            }
        };
        let error = nodes[0].sessions.confirm(&pending).await.unwrap_err();
        assert_eq!(answer_to(error).await.line(), told, "{by}");
    }
    assert_eq!(count(&sql, "SELECT count(*) FROM device_sessions.sessions WHERE NOT pending").await, 0);
}

/// In memory it is the same, but for the database.
#[tokio::test]
async fn in_memory() {
    let node = Node::of(super::http::in_memory().await);
    for cookie in [false, true] {
        let mut browser = Browser::default();
        let earlier = browser.login(&node, "ahmed", cookie).await;
        let half = half_in(&mut browser, &node, "ahmed", cookie).await;
        assert_eq!(
            (node.me(&earlier.sent).await.as_str(), node.me(&half.sent).await.as_str()),
            ("200 ahmed", REQUIRED)
        );
        let full = confirmed(&mut browser, &node, &half).await;
        assert_eq!(node.me(&full.sent).await, "200 ahmed");
        assert_eq!(node.me(&half.sent).await, "401 token_expired");
        assert_eq!(node.me(&earlier.sent).await, "401 session_ended replaced");
        let answer = browser.send(&node.app, Method::POST, "/second-factor", None).await;
        assert_eq!(answer.line(), if cookie { "409 not_pending" } else { "401 missing_token" });
    }
    // What a second factor that nobody showed had overwritten, as in the database.
    let mut browser = Browser::default();
    let lena = browser.login(&node, "lena", true).await;
    half_in(&mut browser, &node, "mia", true).await;
    browser.login(&node, "sam", true).await;
    assert_eq!(node.me(&lena.sent).await, "401 session_ended replaced");
    let signed_in = node.sessions.sign_in(SignIn::new("ahmed").second_factor_to_come()).await.unwrap();
    assert!(signed_in.pending && signed_in.refresh_token.is_empty());
    assert!(!format!("{signed_in:?}").contains(&signed_in.access_token));
}
