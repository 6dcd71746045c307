//! The cookie: how it is set, what is in it, where it counts, and how it goes.

use std::net::{IpAddr, Ipv4Addr};

use axum::Router;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use axum::routing::post as to_post;
use axum_device_sessions::{Client, CurrentSession, EndReason, ErrorKind, PostgresStore, SignIn, SignedOut};
use serde_json::json;

use super::http::{Answer, ask, bearer, cookie, delete, get, in_memory, on, post, sign_in};
use super::support::TestDb;
use super::{at_rest, cookie_for, header, read, set_cookies, set_token, site, site_with, token_of};

const SET: &str = "__Host-session=TOKEN; Max-Age=7776000; Path=/; Secure; HttpOnly; SameSite=Lax";
const DEVICE: &str = "__Host-device=TOKEN; Max-Age=34560000; Path=/; Secure; HttpOnly; SameSite=Lax";
const CLEARED: &str = "__Host-session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax";

fn assert_no_store(answer: &Answer) {
    assert_eq!(answer.header(&CACHE_CONTROL), Some("no-store"));
}

#[tokio::test]
async fn what_a_sign_in_sets() {
    let (sessions, _clock) = at_rest(|builder| builder).await;
    let app = site(&sessions);
    let answer = post(&app, "/login", &[]).await;
    assert_eq!((answer.status.as_u16(), set_cookies(&answer)), (200, vec![SET.to_owned(), DEVICE.to_owned()]));
    assert_no_store(&answer);
    let body = answer.json();
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["session"], "and no token");
    assert!(!answer.text().contains(&set_token(&answer).unwrap()));

    let [head, claims] = read(&set_token(&answer).unwrap());
    assert_eq!(head["typ"], "session+jwt");
    assert_eq!(claims["session_id"], body["session"]["id"]);
    let lives = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!((7_776_000..=7_776_001).contains(&lives), "as long as the session may: {lives}");
    assert!(claims.get("on_issue").is_none());

    // What a form is answered, without scripts.
    let answer = post(&app, "/form", &[]).await;
    assert_eq!((answer.status.as_u16(), set_cookies(&answer)), (303, vec![SET.to_owned(), DEVICE.to_owned()]));
    assert_no_store(&answer);
    let sent = [cookie(set_token(&answer).unwrap())];
    assert_eq!(get(&app, "/page", &sent).await.line(), "200 ahmed");
    let current = get(&app, "/sessions/current", &sent).await.json();
    assert_eq!(current["isCurrent"], true);
}

#[tokio::test]
async fn who_clears_it() {
    let (sessions, _clock) = at_rest(|builder| builder).await;
    let app = site(&sessions);
    for (method, path, status) in
        [("POST", "/auth/logout", 204), ("DELETE", "/sessions", 200), ("POST", "/sign-out", 303)]
    {
        let sent = [cookie(cookie_for(&sessions, "ahmed").await)];
        let answer = ask(&app, method.parse().unwrap(), path, &sent).await;
        assert_eq!((answer.status.as_u16(), set_cookies(&answer)), (status, vec![CLEARED.to_owned()]), "{path}");
        assert_no_store(&answer);
        assert_eq!(get(&app, "/page", &sent).await.status, 401, "{path}");
    }
    // For an end by something else.
    let more = Router::new()
        .route("/delete-account", to_post(|session: CurrentSession| async move { SignedOut::of(&session) }));
    let sent = [cookie(cookie_for(&sessions, "ahmed").await)];
    let answer = post(&site_with(&sessions, more), "/delete-account", &sent).await;
    assert_eq!((answer.status.as_u16(), set_cookies(&answer)), (204, vec![CLEARED.to_owned()]));
}

#[tokio::test]
async fn a_sign_out_that_comes_late_still_clears_it() {
    let (sessions, _clock) = at_rest(|builder| builder).await;
    let ends = sessions.clone();
    let late = move |session: CurrentSession| async move {
        let _by_another_tab = ends.sign_out(&session).await.unwrap();
        ends.sign_out(&session).await.unwrap().into_response()
    };
    let app = site_with(&sessions, Router::new().route("/late", to_post(late)));
    assert_eq!(set_cookies(&post(&app, "/late", &[cookie(cookie_for(&sessions, "ahmed").await)]).await), [CLEARED]);
}

/// Each sort of token counts in its own place alone.
#[tokio::test]
async fn neither_token_does_in_the_place_of_the_other() {
    let sessions = in_memory().await;
    let app = site(&sessions);
    let (of_cookie, access) = (cookie_for(&sessions, "ahmed").await, sign_in(&sessions, "ahmed").await.access_token);
    for (sent, line) in [
        (cookie(&of_cookie), "200 ahmed"),
        (bearer(&access), "200 ahmed"),
        (bearer(&of_cookie), "401 invalid_token"),
        (cookie(&access), "401 invalid_token"),
        // A name that means something only where the setting is on.
        (header("cookie", &format!("session-on-loopback={of_cookie}")), "401 missing_token"),
    ] {
        for _verified_then_from_memory in 0..2 {
            assert_eq!(get(&app, "/page", std::slice::from_ref(&sent)).await.line(), line);
        }
    }
}

#[tokio::test]
async fn claims_that_no_browser_would_keep() {
    let sessions = in_memory().await;
    let with = |length: usize| SignIn::new("ahmed").claims(&json!({ "x": "y".repeat(length) }));
    let longest = (0..3_000).rev().step_by(4);
    let mut longest_kept = 0;
    for length in longest {
        let sign_in = with(length).cookie().client(Client::default());
        match sessions.sign_in(sign_in).await {
            Ok(_) => {
                longest_kept = length;
                break;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidClaims);
                assert_eq!(error.into_response().status(), 500);
                assert_eq!(sessions.list(&"ahmed".into(), None).await.unwrap(), [], "no row left behind");
            }
        }
    }
    let kept = token_of(&sessions, with(longest_kept)).await.len();
    assert!((3_790..=3_800).contains(&kept), "{kept}");
    // A Bearer token may be longer.
    assert!(sessions.sign_in(with(3_500)).await.is_ok());
}

#[tokio::test]
async fn a_sign_in_that_does_not_say_who_asks_is_a_mistake_of_the_application() {
    let sessions = in_memory().await;
    let error = sessions.sign_in(SignIn::new("ahmed").cookie()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert!(error.to_string().contains("SignIn::client"), "{error}");
    assert_eq!(error.into_response().status(), 500);
    assert_eq!(sessions.list(&"ahmed".into(), None).await.unwrap(), []);
}

/// The cookie is overwritten: nobody could end the session in it any more.
#[tokio::test]
async fn the_session_that_the_browser_had_is_replaced() {
    let db = TestDb::new().await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    for sessions in [on(store).build().await.unwrap(), in_memory().await] {
        let app = site(&sessions);
        let (ahmeds, lenas) = (cookie_for(&sessions, "ahmed").await, cookie_for(&sessions, "lena").await);
        let access = sign_in(&sessions, "sam").await.access_token;
        for (had, user) in [(&ahmeds, Some("ahmed")), (&lenas, Some("lena")), (&access, None)] {
            let answer = post(&app, "/login", &[cookie(had)]).await;
            assert_eq!(answer.status, 200);
            let new = &answer.json()["session"]["id"];
            let Some(user) = user else { continue };
            let ended = sessions.history(&user.into()).await.unwrap().remove(0).ended.unwrap();
            assert_eq!((ended.reason, ended.by.as_deref()), (EndReason::Replaced, new.as_str()));
            assert_eq!(get(&app, "/page", &[cookie(had)]).await.line(), "401 session_ended replaced");
        }
        assert_eq!(get(&app, "/page", &[bearer(&access)]).await.status, 200, "no cookie's token");
        // What is nobody's, or over, is in nobody's way.
        for had in ["garbage", &ahmeds] {
            assert_eq!(post(&app, "/login", &[cookie(had)]).await.status, 200);
        }
        assert_eq!(sessions.history(&"ahmed".into()).await.unwrap().len(), 1);
        // Who takes tokens keeps the cookie.
        let kept = set_token(&post(&app, "/login", &[]).await).unwrap();
        let takes_tokens = SignIn::new("ahmed").client(Client::new(None, Some(IpAddr::V4(Ipv4Addr::LOCALHOST))));
        sessions.sign_in(takes_tokens).await.unwrap();
        assert_eq!(get(&app, "/page", &[cookie(kept)]).await.status, 200);
    }
}

/// ASVS 7.2.4, for a browser: the same session, a new cookie, and the old one is void.
#[tokio::test]
async fn who_has_proved_anew_who_they_are_gets_a_new_cookie() {
    let db = TestDb::new().await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    for sessions in [on(store).build().await.unwrap(), in_memory().await] {
        let app = site(&sessions);
        let old = token_of(&sessions, SignIn::new("ahmed").claims(&json!({ "theme": "dark" }))).await;
        let answer = post(&app, "/reauthenticate", &[cookie(&old)]).await;
        assert_eq!((answer.status.as_u16(), answer.json().as_object().unwrap().len()), (200, 1));
        let new = set_token(&answer).unwrap();
        let ([_, before], [_, after]) = (read(&old), read(&new));
        assert_eq!((&after["session_id"], &after["theme"]), (&before["session_id"], &json!("dark")));
        assert!(after["gen"].as_u64() > before["gen"].as_u64());
        assert_eq!(get(&app, "/page", &[cookie(&old)]).await.line(), "401 token_expired");
        assert_eq!(get(&app, "/page", &[cookie(&new)]).await.line(), "200 ahmed");
        assert_eq!(delete(&app, "/sessions", &[cookie(&new)]).await.status, 200);
    }
}

#[tokio::test]
async fn debug_shows_no_cookie() {
    let sessions = in_memory().await;
    let token = cookie_for(&sessions, "ahmed").await;
    let told = token.clone();
    let app = Router::new().route(
        "/",
        to_post(move |client: Client| async move {
            assert!(!format!("{client:?} {:?}", SignIn::new("ahmed").client(client.clone())).contains(&told));
        }),
    );
    assert_eq!(post(&app, "/", &[cookie(&token)]).await.status, 200);
}
