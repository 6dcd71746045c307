//! What is given to whoever has shown a password alone, and where that counts: nowhere.

use axum::http::{Method, header};
use axum_device_sessions::SessionFilter;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::http::{self, SECRET, Sent, ask, ask_with, bearer, cookie, get};
use super::site::{Browser, Node, count, two};
use super::{REQUIRED, confirmed, half_in};

/// Header and claims.
fn read(token: &str) -> [Value; 2] {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap_or_default());
    let mut next = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    [next(), next()]
}

fn token_of(sent: &[Sent; 1]) -> &str {
    let (_, value) = &sent[0];
    value.trim_start_matches("Bearer ").trim_start_matches("__Host-session=")
}

#[tokio::test]
async fn what_the_sign_in_is_answered() {
    let (_db, [node, _], _sql) = two(|builder| builder).await;
    for (cookie, policy) in [(false, None), (false, Some("second factor")), (true, None), (true, Some("second factor"))]
    {
        let mut wanted = json!({
            "user": "ahmed", "cookie": cookie, "second_factor": policy.is_none(), "claims": { "role": "admin" },
        });
        if let Some(policy) = policy {
            wanted["policy"] = policy.into();
        }
        let mut browser = Browser::default();
        let answer = browser.login_with(&node, &wanted).await;
        assert_eq!(answer.header(&header::CACHE_CONTROL), Some("no-store"));
        let half = browser.is_in(&answer);
        let mut names: Vec<_> = half.body.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        if cookie {
            assert_eq!(names, ["second_factor_required", "session"]);
            let lines = answer.headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().unwrap());
            let line = lines.into_iter().find(|line| line.starts_with("__Host-session=")).unwrap();
            assert!(line.contains("; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax"), "{line}");
        } else {
            assert_eq!(names, ["access_token", "expires_in", "second_factor_required", "session", "token_type"]);
            assert!(half.body["expires_in"].as_u64().unwrap() <= 600);
        }
        let [head, claims] = read(token_of(&half.sent));
        assert_eq!(head["typ"], "pending+jwt");
        assert_eq!((&claims["session_id"], &claims["role"]), (&json!(half.id), &Value::Null));
        let lives = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert!((600..=601).contains(&lives), "{lives}");
        let mut known: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
        known.retain(|name| !["iss", "aud", "sub", "exp", "iat", "jti", "session_id", "gen"].contains(name));
        assert!(known.is_empty(), "{known:?}");
        // Those of the application are for whoever is in.
        let full = confirmed(&mut browser, &node, &half).await;
        assert_eq!(get(&node.app, "/claims", &full.sent).await.json()["role"], "admin");
        assert_eq!(full.body.get("second_factor_required"), None);
    }
}

/// Everything that there is, on a node that has it in memory and on one that has not.
#[tokio::test]
async fn it_opens_nothing() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    for by_cookie in [false, true] {
        let half = half_in(&mut Browser::default(), &nodes[0], "ahmed", by_cookie).await;
        let one = format!("/sessions/{}", half.id);
        let all = [
            ("GET", "/me"),
            ("GET", "/fresh"),
            ("GET", "/claims"),
            ("GET", "/required"),
            ("GET", "/name"),
            ("GET", "/sessions"),
            ("GET", "/sessions?state=ended"),
            ("GET", "/sessions/current"),
            ("GET", "/sessions/events"),
            ("PATCH", &one),
            ("DELETE", &one),
            ("DELETE", "/sessions/others"),
            ("DELETE", "/sessions"),
        ];
        for node in &nodes {
            for (method, path) in all {
                for _read_then_from_memory in 0..2 {
                    // `line` sees to the challenge.
                    let answer = ask(&node.app, method.parse::<Method>().unwrap(), path, &half.sent).await;
                    assert_eq!(answer.line(), REQUIRED, "{method} {path}");
                    assert_eq!(answer.headers.get(header::SET_COOKIE), None, "kept");
                }
            }
            // A header rejects; a cookie, which a browser cannot take back, is nobody's.
            let public = get(&node.app, "/public", &half.sent).await.line();
            assert_eq!(public, if by_cookie { "200 nobody" } else { REQUIRED });
            let refresh = json!({ "refresh_token": token_of(&half.sent) });
            assert_eq!(post_json(node, "/auth/refresh", &refresh, &half.sent).await, "401 invalid_token");
            assert_eq!(
                post_json(node, "/auth/refresh", &json!({ "refresh_token": "" }), &[]).await,
                "401 invalid_token"
            );
        }
        assert_eq!(super::row(&sql, &half.id).await, "pending", "and nothing of this has ended it");
        assert_eq!(http::post(&nodes[1].app, "/auth/logout", &half.sent).await.status, 204);
        for node in &nodes {
            node.answers(&half.sent, "401 session_ended logout").await;
        }
    }
}

async fn post_json(node: &Node, path: &str, body: &Value, sent: &[Sent]) -> String {
    let request = axum::http::Request::post(path).header(header::CONTENT_TYPE, "application/json");
    let request = sent.iter().fold(request, |request, (name, value)| request.header(*name, value));
    ask_with(&node.app, request.body(body.to_string().into()).unwrap()).await.line()
}

/// It is the same in either place, and a live one is the way to a second factor in none.
#[tokio::test]
async fn who_may_show_a_second_factor() {
    let (_db, [node, _], _sql) = two(|builder| builder).await;
    for by_cookie in [false, true] {
        let live = Browser::default().login(&node, "ahmed", by_cookie).await;
        assert_eq!(http::post(&node.app, "/second-factor", &live.sent).await.line(), "409 not_pending");
        assert_eq!(node.me(&live.sent).await, "200 ahmed", "and nothing happens to it");
        let half = half_in(&mut Browser::default(), &node, "ahmed", by_cookie).await;
        for sent in [bearer(token_of(&half.sent)), cookie(token_of(&half.sent))] {
            assert_eq!(get(&node.app, "/me", &[sent]).await.line(), REQUIRED);
        }
        assert_eq!(http::post(&node.app, "/second-factor", &[bearer("x.y.z")]).await.line(), "401 invalid_token");
    }
    assert_eq!(http::post(&node.app, "/second-factor", &[]).await.line(), "401 missing_token");
    let mut browser = Browser::default();
    let half = half_in(&mut browser, &node, "ahmed", true).await;
    let elsewhere = [half.sent[0].clone(), ("sec-fetch-site", "cross-site".to_owned())];
    for path in ["/second-factor", "/auth/logout"] {
        assert_eq!(http::post(&node.app, path, &elsewhere).await.line(), "403 cross_site_request");
    }
    confirmed(&mut browser, &node, &half).await;
}

/// In no list, of no weight, known to nobody.
#[tokio::test]
async fn it_is_not_there() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    let live = Browser::default().login(&nodes[0], "ahmed", false).await;
    let mut browser = Browser::default();
    for _ in 0..2 {
        let half = half_in(&mut browser, &nodes[0], "ahmed", true).await;
        assert_eq!(nodes[0].me(&half.sent).await, REQUIRED);
        assert_eq!(half.signals, "new_device", "told again: it is still not known");
    }
    for node in &nodes {
        assert_eq!(node.listed(&live.sent).await, [live.id.as_str()]);
        assert_eq!(get(&node.app, "/sessions?state=ended", &live.sent).await.json(), json!([]));
        assert_eq!(node.me(&live.sent).await, "200 ahmed");
        assert_eq!(node.sessions.history(&"ahmed".into()).await.unwrap(), []);
        let everyone = SessionFilter::everyone();
        let page = node.sessions.admin().list(&everyone, None).await.unwrap();
        assert_eq!(page.sessions.iter().map(|one| one.id.to_string()).collect::<Vec<_>>(), [live.id.as_str()]);
    }
    assert_eq!(count(&sql, "SELECT count(*) FROM device_sessions.devices").await, 1);
    let before: String = activity(&sql).await;
    for node in &nodes {
        node.sessions.flush_activity().await.unwrap();
    }
    assert_eq!(activity(&sql).await, before, "asking with it is no activity");
    // Nor does one that has ended come to light.
    sql.batch_execute("UPDATE device_sessions.sessions SET ended_at = now() WHERE pending").await.unwrap();
    assert_eq!(nodes[0].sessions.history(&"ahmed".into()).await.unwrap(), []);
}

async fn activity(sql: &tokio_postgres::Client) -> String {
    let select =
        "SELECT string_agg(last_activity_at::text, ' ' ORDER BY id) FROM device_sessions.sessions WHERE pending";
    sql.query_one(select, &[]).await.unwrap().get(0)
}

/// A service that checks tokens by itself, as RFC 9068 §4 says: `typ` first.
#[tokio::test]
async fn another_service_does_not_take_it() {
    let (_db, [node, _], _sql) = two(|builder| builder).await;
    let takes = |token: &str, checks_typ: bool| {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_audience(&["axum-device-sessions"]);
        rules.set_issuer(&["axum-device-sessions"]);
        let decoded = jsonwebtoken::decode::<Value>(token, &DecodingKey::from_secret(SECRET), &rules);
        decoded.is_ok_and(|token| !checks_typ || token.header.typ.as_deref() == Some("at+jwt"))
    };
    for by_cookie in [false, true] {
        let mut browser = Browser::default();
        let half = half_in(&mut browser, &node, "ahmed", by_cookie).await;
        assert!(!takes(token_of(&half.sent), true));
        assert!(takes(token_of(&half.sent), false), "the control: its signature is good");
        let full = confirmed(&mut browser, &node, &half).await;
        assert_eq!(takes(token_of(&full.sent), true), !by_cookie);
    }
}
