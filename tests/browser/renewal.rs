//! A cookie is made anew on the answer to a request, once it is as old as an access token may be.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::{any, get as to};
use axum_device_sessions::{
    AccessTokens, Claims, Clock, CurrentSession, EndReason, Issue, PostgresStore, SessionValidationLayer, Sessions,
    SignIn, SigningKey, VerifyingKey,
};
use serde_json::{Value, json};

use super::http::{bearer, cookie, get, in_memory, sign_in};
use super::support::TestDb;
use super::{DAY, MINUTE, at_rest, cookie_for, read, set_cookies, set_token, site, site_with, token_of};

#[tokio::test]
async fn only_when_it_is_old_enough() {
    let (sessions, clock) = at_rest(|builder| builder).await;
    let app = site(&sessions);
    let token = cookie_for(&sessions, "ahmed").await;
    clock.advance(14 * MINUTE);
    for _ in 0..2 {
        assert_eq!(set_cookies(&get(&app, "/page", &[cookie(&token)]).await).len(), 0);
    }
    clock.advance(2 * MINUTE);
    let answer = get(&app, "/page", &[cookie(&token)]).await;
    assert_eq!((answer.line().as_str(), answer.header(&header::CACHE_CONTROL)), ("200 ahmed", Some("private")));
    let left = (90 * DAY - 16 * MINUTE).as_secs();
    let expected = format!("__Host-session=TOKEN; Max-Age={left}; Path=/; Secure; HttpOnly; SameSite=Lax");
    assert_eq!(set_cookies(&answer), [expected]);
    let new = set_token(&answer).unwrap();
    let ([head, before], [new_head, after]) = (read(&token), read(&new));
    assert_eq!((&head, &before["session_id"], &before["gen"]), (&new_head, &after["session_id"], &after["gen"]));
    let ends = |claims: &Value| claims["exp"].as_i64().unwrap();
    assert!((ends(&before) - ends(&after)).abs() <= 1, "with its session, as before");

    // The new one is young; and the old one is still good: its answer may have been lost.
    assert_eq!(set_cookies(&get(&app, "/page", &[cookie(&new)]).await).len(), 0);
    assert_eq!(get(&app, "/page", &[cookie(&token)]).await.status, 200);
    clock.advance(MINUTE);
    assert_eq!(set_cookies(&get(&app, "/page", &[cookie(&token)]).await).len(), 1, "it was lost, it seems");
}

#[tokio::test]
async fn never_for_a_token_in_a_header_nor_for_who_is_refused() {
    let (sessions, clock) = at_rest(|builder| builder).await;
    let app = site(&sessions);
    let signed_in = sign_in(&sessions, "ahmed").await;
    let token = cookie_for(&sessions, "ahmed").await;
    clock.advance(14 * MINUTE + MINUTE / 10);
    assert_eq!(set_cookies(&get(&app, "/page", &[bearer(&signed_in.access_token)]).await).len(), 0);
    clock.advance(2 * MINUTE);
    assert_eq!(set_cookies(&get(&app, "/open", &[cookie(&token)]).await).len(), 1);
    clock.advance(15 * DAY);
    let answer = get(&app, "/page", &[cookie(&token)]).await;
    assert_eq!((answer.line().as_str(), set_cookies(&answer).len()), ("401 session_ended idle", 0));
}

/// Claims of the sign-in stay; those of `on_issue` are always its latest, also where it gives fewer.
#[tokio::test]
async fn claims_are_carried_over_and_fresh_ones_win() {
    let fresh = Arc::new(Mutex::new(json!({ "roles": ["admin"], "plan": "pro" })));
    let asked = Arc::clone(&fresh);
    let (sessions, clock) = at_rest(|builder| {
        builder.on_issue(move |_| {
            let claims = asked.lock().unwrap().clone();
            async move { Ok(Issue::with_claims(&claims)?) }
        })
    })
    .await;
    let more = Router::new().route("/claims", to(|Claims(all): Claims<Value>| async move { axum::Json(all) }));
    let app = site_with(&sessions, more);
    let given = json!({ "theme": "dark", "roles": ["given"], "nested": { "a": [1, 2.5, null] } });
    let mut token = token_of(&sessions, SignIn::new("ahmed").claims(&given)).await;
    for (now, roles, plan) in [
        (json!({ "roles": ["admin"], "plan": "pro" }), json!(["admin"]), json!("pro")),
        (json!({ "roles": ["reader"] }), json!(["reader"]), Value::Null),
        (json!({}), json!(["given"]), Value::Null),
        (json!({ "plan": "free" }), json!(["given"]), json!("free")),
    ] {
        *fresh.lock().unwrap() = now;
        clock.advance(16 * MINUTE);
        token = set_token(&get(&app, "/claims", &[cookie(&token)]).await).expect("renewed");
        let all = get(&app, "/claims", &[cookie(&token)]).await.json();
        assert_eq!((&all["theme"], &all["nested"]), (&given["theme"], &given["nested"]));
        assert_eq!((&all["roles"], &all["plan"]), (&roles, &plan));
    }
}

/// What `on_issue` does in [`at_the_mercy_of_on_issue`].
#[derive(Clone, Copy)]
enum Does {
    Allow,
    Fail,
    Refuse,
    Hang,
    TooMuch,
}

async fn at_the_mercy_of_on_issue() -> (Sessions, Clock, Arc<Mutex<(Does, u32)>>) {
    let does = Arc::new(Mutex::new((Does::Allow, 0)));
    let asked = Arc::clone(&does);
    let (sessions, clock) = at_rest(|builder| {
        builder.on_issue(move |_| {
            let does = {
                let mut asked = asked.lock().expect("not poisoned");
                asked.1 += 1;
                asked.0
            };
            async move {
                match does {
                    Does::Allow => Ok(Issue::allow()),
                    Does::Fail => Err("the directory is away".into()),
                    Does::Refuse => Ok(Issue::refuse()),
                    Does::Hang => std::future::pending().await,
                    Does::TooMuch => Ok(Issue::with_claims(&json!({ "x": "y".repeat(4_000) }))?),
                }
            }
        })
    })
    .await;
    (sessions, clock, does)
}

/// The user sees nothing of it, and a directory that is away is not asked by each request.
#[tokio::test(start_paused = true)]
async fn where_there_is_no_new_one_the_old_one_stays() {
    let (sessions, clock, does) = at_the_mercy_of_on_issue().await;
    let app = site(&sessions);
    let token = cookie_for(&sessions, "ahmed").await;
    clock.advance(16 * MINUTE);
    let page = async || get(&app, "/page", &[cookie(&token)]).await;
    for fault in [Does::Fail, Does::Hang, Does::TooMuch] {
        *does.lock().unwrap() = (fault, 0);
        let began = tokio::time::Instant::now();
        for _ in 0..5 {
            let answer = page().await;
            assert_eq!((answer.line().as_str(), set_cookies(&answer).len()), ("200 ahmed", 0));
        }
        assert_eq!(does.lock().unwrap().1, 1, "asked once, and then not for a while");
        assert!(began.elapsed() <= Duration::from_millis(1_100), "{:?}", began.elapsed());
        clock.advance(MINUTE / 6);
    }
    does.lock().unwrap().0 = Does::Allow;
    assert_eq!(set_cookies(&page().await).len(), 1);
}

#[tokio::test]
async fn a_refusal_ends_the_session() {
    let (sessions, clock, does) = at_the_mercy_of_on_issue().await;
    let app = site(&sessions);
    let token = cookie_for(&sessions, "ahmed").await;
    clock.advance(16 * MINUTE);
    does.lock().unwrap().0 = Does::Refuse;
    let answer = get(&app, "/page", &[cookie(&token)]).await;
    assert_eq!((answer.line().as_str(), set_cookies(&answer).len()), ("200 ahmed", 0), "it was let in before");
    assert_eq!(get(&app, "/page", &[cookie(&token)]).await.line(), "401 session_ended account_disabled");
    let ended = sessions.history(&"ahmed".into()).await.unwrap().remove(0).ended.unwrap();
    assert_eq!(ended.reason, EndReason::AccountDisabled);
}

/// A key on its way out is needed for as long as a browser may stay away, and no longer.
#[tokio::test]
async fn a_cookie_of_a_retired_key_is_made_anew_at_once() {
    let (old_secret, new_secret) = ("the secret of last year, 0123456789", "the secret of this year, 9876543210");
    let db = TestDb::new().await;
    let sessions = async |tokens: AccessTokens, ttl: Duration| {
        let store = PostgresStore::connect(db.url()).await.unwrap();
        store.migrate().await.unwrap();
        Sessions::builder(store).access_tokens(tokens).access_token_ttl(ttl).build().await.unwrap()
    };
    let before = sessions(AccessTokens::hs256(old_secret).unwrap(), MINUTE).await;
    let old_key = VerifyingKey::hs256(old_secret).unwrap();
    let after = sessions(AccessTokens::hs256(new_secret).unwrap().also_accept(old_key), MINUTE).await;
    let later = sessions(AccessTokens::hs256(new_secret).unwrap(), MINUTE).await;
    let old = cookie_for(&before, "ahmed").await;

    let answer = get(&site(&after), "/page", &[cookie(&old)]).await;
    assert_eq!(answer.line(), "200 ahmed");
    let new = set_token(&answer).expect("young as it is");
    assert_eq!(read(&new)[0]["kid"], SigningKey::hs256(new_secret).unwrap().kid());
    assert_eq!(set_cookies(&get(&site(&after), "/page", &[cookie(&new)]).await).len(), 0);
    for (token, line) in [(&new, "200 ahmed"), (&old, "401 invalid_token")] {
        assert_eq!(get(&site(&later), "/page", &[cookie(token)]).await.line(), line);
    }
    // Who only checks makes none.
    let key = VerifyingKey::hs256(new_secret).unwrap();
    let checks = sessions(AccessTokens::verify_only(key), Duration::from_millis(1)).await;
    assert_eq!(set_cookies(&get(&site(&checks), "/page", &[cookie(&new)]).await).len(), 0);
}

#[tokio::test]
async fn what_the_answer_says_for_itself_stands() {
    let (sessions, clock) = at_rest(|builder| builder).await;
    let says = |name: &'static str, value: &'static str| any(move || async move { [(name, value)] });
    let more = Router::new()
        .route("/own", says("set-cookie", "__Host-session=mine; Path=/; Secure"))
        .route("/own-loopback", says("set-cookie", "session-on-loopback=mine; Path=/"))
        .route("/theme", says("set-cookie", "theme=dark; x=__Host-session"))
        .route("/public", says("cache-control", "Public, max-age=60"))
        .route("/shared", says("cache-control", "max-age=0, s-maxage=60"))
        .route("/minute", says("cache-control", "max-age=60"))
        .route("/none", says("cache-control", "no-store"))
        .route("/private", says("cache-control", "max-age=60, Private"));
    let app = site_with(&sessions, more);
    for (path, renewed, caching) in [
        ("/own", false, vec![]),
        ("/own-loopback", false, vec![]),
        ("/theme", true, vec!["private"]),
        // Everybody would be handed this user's cookie.
        ("/public", false, vec!["Public, max-age=60"]),
        ("/shared", false, vec!["max-age=0, s-maxage=60"]),
        // A shared cache might keep these, too, if they did not say more.
        ("/minute", true, vec!["max-age=60", "private"]),
        ("/none", true, vec!["no-store"]),
        ("/private", true, vec!["max-age=60, Private"]),
        ("/sessions", true, vec!["no-store"]),
    ] {
        let token = cookie_for(&sessions, "ahmed").await;
        clock.advance(16 * MINUTE);
        let answer = get(&app, path, &[cookie(&token)]).await;
        let new = set_token(&answer).filter(|new| new != "mine");
        assert_eq!(new.is_some(), renewed, "{path}");
        let said: Vec<_> = answer.headers.get_all("cache-control").iter().map(|line| line.to_str().unwrap()).collect();
        assert_eq!(said, caching, "{path}");
    }
}

#[tokio::test]
async fn under_several_layers_it_is_made_anew_once() {
    let (sessions, clock) = at_rest(|builder| builder).await;
    let other = in_memory().await;
    let layer = || SessionValidationLayer::new(sessions.clone());
    let page = || Router::new().route("/", any(|session: CurrentSession| async move { session.user_id().to_string() }));
    for app in [
        page().layer(layer()).layer(layer()),
        page().layer(layer().strict()).layer(layer()),
        page().layer(layer()).layer(SessionValidationLayer::new(other.clone())),
    ] {
        let token = cookie_for(&sessions, "ahmed").await;
        clock.advance(16 * MINUTE);
        let answer = get(&app, "/", &[cookie(&token)]).await;
        assert_eq!((answer.line().as_str(), set_cookies(&answer).len()), ("200 ahmed", 1));
    }
}
