//! The back-channel logout route on what is no logout token for us, and while something that it needs is away.

#![cfg(all(feature = "jwks", feature = "postgres", feature = "routes", feature = "test-util"))]

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use axum::http::header;
use axum_device_sessions::Clock;
use serde_json::json;

use crate::{
    accepting::{LONGEST, adopting, node, of, rows},
    http::get,
    idp::{self, Draft, Idp, Key, now},
    support::{TestDb, eventually},
};

const OVER: &str = "401 session_ended logout";
/// The promise (P3).
const DEADLINE: Duration = Duration::from_secs(4);

/// 400 with a problem, not to be stored (`Answer::line` sees to both), and nothing has ended.
#[tokio::test]
async fn what_is_no_logout_token_for_us() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let node = adopting(&db, &idp).await;
    let live = idp.sign("lena", "one");
    assert_eq!(node.me(&live).await, "200 lena");

    let good = || idp.logout().claim("sub", "lena").claim("sid", "one");
    let event = |name: &str, value| json!({ name: value });
    let logout = "http://schemas.openid.net/event/backchannel-logout";
    let typed = |typ| good().typ(Some(typ));
    let drafts: Vec<(&str, Draft)> = vec![
        ("a nonce", good().claim("nonce", "n")),
        ("no events", good().without("events")),
        ("another event", good().claim("events", event("http://schemas.openid.net/event/other", json!({})))),
        ("an event that is no object", good().claim("events", event(logout, json!(true)))),
        ("an access token's type", typed("at+jwt")),
        ("another type", typed("secevent+jwt")),
        ("a cookie's type", typed("session+jwt")),
        ("another audience", good().claim("aud", "https://api.other.example")),
        ("no audience", good().without("aud")),
        ("another issuer", good().claim("iss", "https://id.other.example")),
        ("expired", good().claim("exp", now() - 60).claim("iat", now() - 120)),
        ("no exp", good().without("exp")),
        ("no iat", good().without("iat")),
        ("from the future", good().claim("iat", now() + 3_600).claim("exp", now() + 3_720)),
        ("no jti", good().without("jti")),
        ("of nobody", idp.logout()),
        ("an access token", idp.token("lena", "one")),
        ("an ID token", idp.token("lena", "one").typ(Some("JWT")).claim("nonce", "n")),
    ];
    let mut bad: Vec<_> = drafts.into_iter().map(|(what, draft)| (what, draft.sign(&idp.key))).collect();
    let token = good().sign(&idp.key);
    let (message, _signature) = token.rsplit_once('.').unwrap();
    bad.extend([
        ("of another's key of this name", good().sign(&Key::es256("first"))),
        ("of a key that is not published", good().sign(&Key::es256("unknown"))),
        ("without a signature", format!("{message}.")),
        ("no token", "garbage".to_owned()),
        ("nothing", String::new()),
    ]);
    for (what, token) in bad {
        assert_eq!(node.logged_out(&token).await.line(), "400 invalid_request", "{what}");
        assert_eq!(node.me(&live).await, "200 lena", "{what}");
    }
    for (what, content_type, body) in [
        ("no form", FORM, String::new()),
        ("another field", FORM, format!("token={token}")),
        ("two of them", FORM, format!("logout_token={token}&logout_token={token}")),
        ("JSON", "application/json", json!({ "logout_token": token }).to_string()),
        ("a form by another name", "text/plain", format!("logout_token={token}")),
        ("too large", FORM, format!("logout_token={}", "a".repeat(17 * 1024))),
        ("too large beside it", FORM, format!("logout_token={token}&padding={}", "a".repeat(17 * 1024))),
    ] {
        assert_eq!(node.post_logout(content_type, body).await.line(), "400 invalid_request", "{what}");
        assert_eq!(node.me(&live).await, "200 lena", "{what}");
    }
    let by_get = get(&node.app, &format!("/backchannel-logout?logout_token={token}"), &[]).await;
    assert_eq!((by_get.status.as_u16(), by_get.header(&header::CACHE_CONTROL)), (405, Some("no-store")));
    assert_eq!(node.me(&live).await, "200 lena");
    // The last of them was right.
    assert_eq!(node.logged_out(&token).await.line(), "200");
    assert_eq!(node.me(&live).await, OVER);
    assert_eq!(rows(&db.connect().await).await.len(), 1);
}

/// What §2.4 leaves to the provider.
#[tokio::test]
async fn what_providers_may_write() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let logout_audience = of(&idp).logout_audience("shop-web").adopt_sessions(LONGEST);
    let node = node(&db, |builder| builder.accept_tokens_of(logout_audience)).await;
    let logout = idp.logout().claim("sub", "lena").claim("aud", "shop-web");
    for (turn, logout) in [
        logout.clone(),
        logout.clone().typ(Some("application/logout+jwt")),
        logout.clone().typ(Some("JWT")),
        logout.clone().typ(None),
        logout.clone().claim("aud", json!(["another", "shop-web"])),
    ]
    .into_iter()
    .enumerate()
    {
        let sid = format!("session {turn}");
        let token = idp.sign("lena", &sid);
        assert_eq!(node.me(&token).await, "200 lena");
        let logout = logout.claim("sid", sid).claim("jti", turn.to_string());
        assert_eq!(node.logged_out(&logout.sign(&idp.key)).await.line(), "200", "{logout:?}");
        assert_eq!(node.me(&token).await, OVER);
    }
    let for_the_api = logout.claim("aud", idp::API).sign(&idp.key);
    assert_eq!(node.logged_out(&for_the_api).await.line(), "400 invalid_request");
}

/// Nothing was learnt about the token: the provider may come again.
#[tokio::test]
async fn the_keys_are_away() {
    let db = TestDb::new().await;
    let (mut idp, clock) = (Idp::reserve().await, Clock::manual());
    let issuer = of(&idp).adopt_sessions(LONGEST);
    let node = node(&db, |builder| builder.clock(clock.clone()).accept_tokens_of(issuer)).await;
    let logout = idp.logout().claim("sub", "lena").claim("sid", "one").sign(&idp.key);
    for _ in 0..2 {
        assert_eq!(node.logged_out(&logout).await.line(), "503 temporarily_unavailable");
        clock.advance(Duration::from_secs(10));
    }
    idp.come_back().await;
    assert_eq!(node.logged_out(&logout).await.line(), "200");
    assert_eq!(node.me(&idp.sign("lena", "one")).await, OVER);
}

/// Answered 503, it has not been used up.
#[tokio::test]
async fn the_database_is_away() {
    let (db, idp) = (TestDb::own_cluster(&[]).await, Idp::start().await);
    let (one, two) = (adopting(&db, &idp).await, adopting(&db, &idp).await);
    let tokens = [idp.sign("lena", "one"), idp.sign("lena", "two")];
    for token in &tokens {
        assert_eq!((one.me(token).await, two.me(token).await), ("200 lena".into(), "200 lena".into()));
    }
    let by_sid = idp.logout().claim("sub", "lena").claim("sid", "one").sign(&idp.key);
    let by_sub = idp.logout().claim("sub", "lena").sign(&idp.key);
    // One that notes the token before it does what it says.
    let mut naive = HashSet::new();
    db.server().stop_immediate();
    for logout in [&by_sid, &by_sub] {
        let asked = Instant::now();
        assert_eq!(one.logged_out(logout).await.line(), "503 temporarily_unavailable");
        assert!(asked.elapsed() < DEADLINE, "{:?}", asked.elapsed());
        assert!(naive.insert(logout.clone()));
    }
    db.server().start_again().unwrap();
    for (logout, token) in [&by_sid, &by_sub].into_iter().zip(&tokens) {
        eventually("it is carried out", || async { one.logged_out(logout).await.status == 200 }).await;
        assert_eq!(one.me(token).await, OVER);
        two.refuses(token, OVER).await;
    }
    assert!(!naive.insert(by_sid), "naively it is taken for a repetition, and she stays signed in");
}
