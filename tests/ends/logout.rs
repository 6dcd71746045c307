//! Logout, stale tokens, and who takes the session cookie back.

use axum::Router;
use axum::http::{Method, header};
use axum::routing::{get as to, post as to_post};
use axum_device_sessions::{EndReason, SessionId, SessionValidationLayer, SignedIn};

use crate::{
    http::{ACCESS, COOKIE, LONG_AGO, Sent, Token, ask, bearer, cookie, get, post, sign_in},
    site::{Site, assert_no_content, auth},
};

#[tokio::test]
async fn logout_takes_a_live_or_an_expired_token() {
    let site = Site::new().await;
    let expired = |token: Token<'static>, id| Token { expires_in: LONG_AGO, ..token }.of(id);
    type Sends = fn(&SignedIn) -> Vec<Sent>;
    let ways: [(&str, Sends); 5] = [
        ("live", |one| vec![bearer(&one.access_token)]),
        ("live cookie", |one| vec![cookie(COOKIE.of(one.session.id))]),
        ("live header, garbage cookie", |one| vec![bearer(&one.access_token), cookie("garbage")]),
        ("header and cookie", |one| vec![bearer(&one.access_token), cookie(COOKIE.of(one.session.id))]),
        ("another scheme beside a cookie", |one| {
            vec![("authorization", "Basic dTpw".to_owned()), cookie(COOKIE.of(one.session.id))]
        }),
    ];
    for (way, sends) in ways {
        let signed_in = site.sign_in("ahmed").await;
        let sent = sends(&signed_in);
        assert_no_content(&post(&site.app, "/auth/logout", &sent).await);
        let by = Some(signed_in.session.id.to_string());
        assert_eq!(site.end_of(signed_in.session.id).await, Some(("logout".to_owned(), by)), "{way}");
        assert_eq!(post(&site.app, "/auth/logout", &sent).await.line(), "401 session_ended logout", "{way}: twice");
        assert_eq!(get(&site.app, "/me", &auth(&signed_in)).await.line(), "401 session_ended logout", "{way}");
    }
    for token in [ACCESS, COOKIE] {
        let signed_in = site.sign_in("ahmed").await;
        let sent = |token: Token<'static>| {
            let text = expired(token, signed_in.session.id);
            [if token.typ == ACCESS.typ { bearer(text) } else { cookie(text) }]
        };
        assert_no_content(&post(&site.app, "/auth/logout", &sent(token)).await);
        assert_eq!(get(&site.app, "/me", &auth(&signed_in)).await.line(), "401 session_ended logout");
        assert_eq!(post(&site.app, "/auth/logout", &sent(token)).await.line(), "401 session_ended logout");
    }
}

#[tokio::test]
async fn logout_refuses_the_rest() {
    let site = Site::new().await;
    let signed_in = site.sign_in("ahmed").await;
    let (id, other) = (signed_in.session.id, site.sign_in("ahmed").await.session.id);
    let lenas = |expires_in| Token { user: "lena", expires_in, ..ACCESS }.of(id);
    let expired = |id| Token { expires_in: LONG_AGO, ..ACCESS }.of(id);
    let expired_cookie = |id| Token { expires_in: LONG_AGO, ..COOKIE }.of(id);
    let ended = site.sign_in("ahmed").await.session.id;
    site.end(ended, EndReason::Replaced).await;
    let forged = {
        let token = expired(id);
        let (message, _signature) = token.rsplit_once('.').unwrap();
        format!("{message}.{}", "A".repeat(43))
    };
    for (name, sent, line) in [
        ("none", vec![], "401 missing_token"),
        ("another scheme", vec![("authorization", "Basic dTpw".to_owned())], "401 missing_token"),
        ("garbage", vec![bearer("garbage")], "401 invalid_token"),
        ("garbage cookie", vec![cookie("garbage")], "401 invalid_token"),
        ("expired, forged", vec![bearer(forged)], "401 invalid_token"),
        ("nobody's", vec![bearer(ACCESS.of(SessionId::new()))], "401 invalid_token"),
        ("nobody's, expired", vec![bearer(expired(SessionId::new()))], "401 invalid_token"),
        ("nobody's, expired cookie", vec![cookie(expired_cookie(SessionId::new()))], "401 invalid_token"),
        ("ended, expired", vec![bearer(expired(ended))], "401 session_ended replaced"),
        ("ended, expired cookie", vec![cookie(expired_cookie(ended))], "401 session_ended replaced"),
        ("another user's", vec![bearer(lenas(3_600))], "401 invalid_token"),
        ("another user's, expired", vec![bearer(lenas(LONG_AGO))], "401 invalid_token"),
        ("a cookie's token as Bearer", vec![bearer(COOKIE.of(id))], "401 invalid_token"),
        ("two sessions", vec![bearer(ACCESS.of(id)), cookie(COOKIE.of(other))], "400 invalid_request"),
        ("two tokens", vec![bearer(ACCESS.of(id)), bearer(ACCESS.of(other))], "400 invalid_request"),
    ] {
        let answer = post(&site.app, "/auth/logout", &sent).await;
        assert_eq!(answer.line(), line, "{name}");
        assert_eq!(answer.header(&header::SET_COOKIE), None, "{name}");
    }
    assert!(site.is_live(&signed_in).await);
    assert_eq!((site.end_of(id).await, site.end_of(other).await), (None, None));
}

/// A stale token in the client's hands must not keep it from a public page or from signing in again.
#[tokio::test]
async fn a_stale_token_is_in_nobodys_way() {
    let site = Site::new().await;
    let sessions = site.sessions.clone();
    let login = move || async move { sign_in(&sessions, "ahmed").await };
    let app = Router::new()
        .route("/login", to_post(login))
        .route("/public", to(|| async { "welcome" }))
        .layer(SessionValidationLayer::new(site.sessions.clone()));
    let ended = site.sign_in("ahmed").await;
    site.end(ended.session.id, EndReason::Replaced).await;
    for sent in [
        vec![bearer("garbage")],
        vec![bearer(&ended.access_token)],
        vec![bearer(Token { expires_in: LONG_AGO, ..ACCESS }.of(ended.session.id))],
        vec![cookie(COOKIE.of(ended.session.id))],
        vec![bearer("one"), bearer("two")],
    ] {
        assert_eq!(get(&app, "/public", &sent).await.line(), "200 welcome");
        let answer = post(&app, "/login", &sent).await;
        assert_eq!(answer.status, 200);
        assert_eq!(get(&site.app, "/me", &[bearer(answer.json()["access_token"].as_str().unwrap())]).await.status, 200);
    }
}

/// By logout and "all", with the attributes it is set with; by no other answer, whatever it says of the session.
#[tokio::test]
async fn who_takes_the_cookie_back() {
    const CLEARED: &str = "__Host-session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax";
    let site = Site::new().await;
    let by_cookie = |signed_in: &SignedIn| [cookie(COOKIE.of(signed_in.session.id))];
    for (method, path, clears) in [
        (Method::POST, "/auth/logout", true),
        (Method::DELETE, "/sessions", true),
        (Method::DELETE, "/sessions/others", false),
        (Method::GET, "/sessions", false),
        (Method::GET, "/sessions/current", false),
        (Method::DELETE, "/sessions/not-a-uuid", false),
        (Method::GET, "/me", false),
    ] {
        let signed_in = site.sign_in("ahmed").await;
        let answer = ask(&site.app, method.clone(), path, &by_cookie(&signed_in)).await;
        assert_eq!(answer.header(&header::SET_COOKIE), clears.then_some(CLEARED), "{method} {path}");
        assert_eq!(answer.header(&header::CACHE_CONTROL).is_some(), path != "/me", "{method} {path}");

        // Refused: the answer could overtake that to a newer sign-in.
        site.end(signed_in.session.id, EndReason::RevokedByUser).await;
        let answer = ask(&site.app, method.clone(), path, &by_cookie(&signed_in)).await;
        assert_eq!((answer.status.as_u16(), answer.header(&header::SET_COOKIE)), (401, None), "{method} {path}");
    }
    // Who has none gets none.
    for (method, path) in [(Method::POST, "/auth/logout"), (Method::DELETE, "/sessions")] {
        let signed_in = site.sign_in("ahmed").await;
        let answer = ask(&site.app, method, path, &auth(&signed_in)).await;
        assert_eq!((answer.status.is_success(), answer.header(&header::SET_COOKIE)), (true, None));
    }
}
