//! Tokens of other issuers through the layer: a service without keys of its own, one that has some too, what issuers that
//! are known by name write, and what stands beside such a token in a request.

#![cfg(all(feature = "jwks", feature = "postgres", feature = "routes"))]

use std::time::Duration;

use axum::{Router, routing::get as to};
use axum_device_sessions::{
    AccessTokens, Claims, CurrentSession, ErrorKind, Issuer, PostgresStore, SessionId, SessionValidationLayer,
    Sessions, SessionsBuilder, SignIn, UserId,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    accepting::{LONGEST, adopting, node, of, put_in, rows},
    http::{self, ACCESS, COOKIE, LONG_AGO, SECRET, Token, bearer, cookie, get, sign_in},
    idp::{self, API, Draft, Idp, Key, now},
    support::{self, TestDb},
};

const SID: &str = "0191e0a2-7b6c-7def-8123-456789abcdef";

fn session(sid: &str) -> SessionId {
    SessionId::from(uuid::Uuid::parse_str(sid).unwrap())
}

fn own() -> AccessTokens {
    AccessTokens::hs256(SECRET).unwrap()
}

/// `login|lena`, so that its users are not taken for ours of the same name.
fn mapped(issuer: Issuer) -> Issuer {
    issuer.user(|claims| Some(UserId::from(format!("login|{}", claims.subject()))))
}

#[tokio::test]
async fn a_service_without_keys_of_its_own() {
    #[derive(Deserialize)]
    struct Roles {
        roles: Vec<String>,
    }
    async fn roles(session: CurrentSession, Claims(claims): Claims<Roles>) -> String {
        format!("{} {}", session.user_id(), claims.roles.join("+"))
    }

    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let node = node(&db, |builder| builder.accept_tokens_of(of(&idp))).await;
    let layer = SessionValidationLayer::new(node.sessions.clone());
    let app = Router::new().route("/roles", to(roles)).layer(layer);
    put_in(&db.connect().await, session(SID), "lena").await;
    let roles = json!(["buyer", "seller"]);
    let token = idp.token("lena", SID).claim("roles", roles).sign(&idp.key);
    for _ in 0..3 {
        assert_eq!(get(&app, "/roles", &[bearer(&token)]).await.line(), "200 lena buyer+seller");
    }
    assert_eq!((idp.discoveries(), idp.fetches()), (1, 1));

    let error = node.sessions.sign_in(SignIn::new("lena")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CannotSign);
    assert_eq!(rows(&db.connect().await).await.len(), 1, "nothing was signed in");
    // Ours are of nobody whom it trusts, nor is what anybody else has signed.
    for strange in [ACCESS.of(session(SID)), idp.token("lena", SID).sign(&Key::es256("first"))] {
        assert_eq!(node.me(&strange).await, "401 invalid_token");
    }
    let expired = idp.token("lena", SID).claim("exp", now() - 60).claim("iat", now() - 120);
    assert_eq!(node.me(&expired.sign(&idp.key)).await, "401 token_expired");
    for (claim, value) in [("aud", "https://api.other.example"), ("iss", "https://id.other.example"), ("sub", "sam")] {
        let other = idp.token("lena", SID).claim(claim, value).sign(&idp.key);
        assert_eq!(node.me(&other).await, "401 invalid_token", "{claim}");
    }
    assert_eq!(get(&node.app, "/sessions", &[]).await.line(), "401 missing_token");
}

/// Without a mapping the same name may be two people.
#[tokio::test]
async fn own_tokens_beside_an_issuer() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    let unmapped = Sessions::builder(store).access_tokens(own()).accept_tokens_of(of(&idp));
    let refused = unmapped.build().await.unwrap_err();
    assert!(refused.to_string().contains("`user`"), "{refused}");

    let node =
        node(&db, |builder| builder.access_tokens(own()).accept_tokens_of(mapped(of(&idp)).adopt_sessions(LONGEST)));
    let node = node.await;
    let (ours, theirs) = (sign_in(&node.sessions, "lena").await, idp.sign("lena", "theirs"));
    assert_eq!(node.me(&theirs).await, "200 login|lena");
    assert_eq!(node.me(&ours.access_token).await, "200 lena");
    for token in [&theirs, &ours.access_token] {
        let list = get(&node.app, "/sessions", &[bearer(token)]).await.json();
        assert_eq!(list.as_array().unwrap().len(), 1, "neither sees the other's: {list}");
    }
}

/// The same `sid` of two issuers is two sessions, unless it is a UUID, which nobody makes twice.
#[tokio::test]
async fn two_issuers() {
    let (db, one, two) = (TestDb::new().await, Idp::start().await, Idp::start().await);
    let user = |prefix: &'static str, idp: &Idp| {
        of(idp).adopt_sessions(LONGEST).user(move |claims| Some(UserId::from(format!("{prefix}|{}", claims.subject()))))
    };
    let node =
        node(&db, |builder| builder.accept_tokens_of(user("one", &one)).accept_tokens_of(user("two", &two))).await;
    assert_eq!(node.me(&one.sign("lena", "a session")).await, "200 one|lena");
    assert_eq!(node.me(&two.sign("lena", "a session")).await, "200 two|lena");
    // Its own key, but the other's name.
    assert_eq!(
        node.me(&one.token("lena", "a session").claim("iss", &*two.url).sign(&one.key)).await,
        "401 invalid_token"
    );

    assert_eq!(node.me(&one.sign("lena", SID)).await, "200 one|lena");
    assert_eq!(node.me(&two.sign("lena", SID)).await, "401 invalid_token", "another's session");
    let issuers: Vec<_> = rows(&db.connect().await).await.into_iter().map(|row| row.issuer).collect();
    assert_eq!(issuers, [Some(one.url.clone()), Some(two.url.clone()), Some(one.url.clone())]);
}

/// The database decides, whoever wrote the row.
#[tokio::test]
async fn without_adopting_a_session_must_be_known() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let soon = |builder: SessionsBuilder| builder.max_staleness(Duration::from_secs(4));
    let node = node(&db, |builder| soon(builder).accept_tokens_of(of(&idp))).await;
    let sql = db.connect().await;
    let token = idp.sign("lena", SID);
    assert_eq!(node.me(&token).await, "401 invalid_token");
    assert_eq!(rows(&sql).await, []);
    put_in(&sql, session(SID), "lena").await;
    // Signing in tells nobody: what was missing is believed no longer than anything that is read once.
    support::eventually("the row is seen", || async { node.me(&token).await == "200 lena" }).await;
    assert_eq!(node.me(&idp.sign("sam", SID)).await, "401 invalid_token");
    assert_eq!(node.me(&idp.sign("lena", "another")).await, "401 invalid_token");
}

/// Header and cookie, as with tokens of our own: two sessions are none, also where the issuer must be asked for its key first.
#[tokio::test]
async fn a_cookie_beside_an_issuers_token() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let accepted = || mapped(of(&idp)).adopt_sessions(LONGEST);
    let node = node(&db, |builder| builder.access_tokens(own()).accept_tokens_of(accepted())).await;
    let ours = sign_in(&node.sessions, "lena").await.session.id;
    let theirs = idp.sign("lena", SID);

    let both = [bearer(&theirs), cookie(COOKIE.of(ours))];
    let cold = get(&node.app, "/me", &both).await.line();
    let line = async |sent: &[http::Sent]| get(&node.app, "/me", sent).await.line();
    assert_eq!(line(&[bearer(&theirs)]).await, "200 login|lena");
    assert_eq!(line(&both).await, "400 invalid_request");
    assert_eq!(cold, "400 invalid_request", "before its key was known");

    // A cookie that names nothing does not count, one of the same session does no harm.
    assert_eq!(line(&[bearer(&theirs), cookie("garbage")]).await, "200 login|lena");
    let same = Token { user: "login|lena", ..COOKIE }.of(session(SID));
    assert_eq!(line(&[bearer(&theirs), cookie(same)]).await, "200 login|lena");
    // A refused header beside a good cookie is refused: the header counts.
    let bad = idp.token("lena", SID).claim("aud", "another").sign(&idp.key);
    assert_eq!(line(&[bearer(bad), cookie(COOKIE.of(ours))]).await, "401 invalid_token");
    // Two headers; and a cookie is never a token of somebody else's.
    assert_eq!(line(&[bearer(&theirs), bearer(ACCESS.of(ours))]).await, "400 invalid_request");
    assert_eq!(line(&[cookie(&theirs)]).await, "401 invalid_token");
    // Out of date, it still says whose it was.
    let expired = idp.token("lena", SID).claim("exp", now() - 60).claim("iat", now() + LONG_AGO).sign(&idp.key);
    assert_eq!(line(&[bearer(expired), cookie(COOKIE.of(ours))]).await, "400 invalid_request");
}

/// Access tokens as these issuers write them are taken, and what else they sign is not.
#[tokio::test]
async fn issuers_that_are_known_by_name() {
    let key = |idp: &Idp| {
        let key = Key::rs256("known by name");
        idp.publish(&[&key]);
        key
    };
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let key = key(&idp);
    let base = |iss: &str| json!({ "iss": iss, "sub": "lena", "exp": now() + 300, "iat": now(), "jti": idp::unique() });
    let jwt = |claims: &serde_json::Value| Draft { typ: Some("JWT"), claims: claims.clone() };

    let realm = format!("{}/realms/shop", idp.url);
    let keycloak = jwt(&base(&realm)).claim("azp", "shop-web").claim("sid", SID).claim("scope", "openid profile");
    let auth0 = jwt(&base("https://shop.eu.auth0.com/"))
        .claim("aud", json!([API, "https://shop.eu.auth0.com/userinfo"]))
        .claim("azp", "shop-web")
        .claim("session_id", "a5cL0n5cT-2c7RmD7OeD3nC2mGyVf4Ec");
    let project = format!("{}/auth/v1", idp.url);
    let supabase = jwt(&base(&project))
        .claim("aud", "authenticated")
        .claim("role", "authenticated")
        .claim("aal", "aal1")
        .claim("session_id", "b3c9c9a2-6a7e-4c55-9a70-2f6f0d0f8a11");
    for (name, issuer, access, id_token) in [
        (
            "keycloak",
            Issuer::keycloak(&realm, "shop-web"),
            keycloak.clone().claim("typ", "Bearer"),
            keycloak.claim("typ", "ID").claim("aud", "shop-web"),
        ),
        (
            "auth0",
            // Its address is fixed; where its keys are is not.
            Issuer::auth0("shop.eu.auth0.com", API).jwks_url(format!("{}/.well-known/jwks.json", idp.url)),
            auth0.clone(),
            auth0.without("azp").claim("aud", "shop-web").claim("sid", "a5cL0n5cT-2c7RmD7OeD3nC2mGyVf4Ec"),
        ),
        (
            "supabase",
            Issuer::supabase(&idp.url),
            supabase.clone(),
            // It signs ID tokens as an OAuth server only, for the client.
            supabase.claim("aud", "shop-web").claim("nonce", "n"),
        ),
    ] {
        let node = node(&db, |builder| builder.accept_tokens_of(issuer.adopt_sessions(LONGEST))).await;
        assert_eq!(node.me(&access.sign(&key)).await, "200 lena", "{name}");
        assert_eq!(node.me(&id_token.sign(&key)).await, "401 invalid_token", "{name}");
        let event = access.clone().claim("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {} }));
        assert_eq!(node.me(&event.sign(&key)).await, "401 invalid_token", "{name}: a logout token");
    }
    assert_eq!(rows(&db.connect().await).await.len(), 3);
    assert_eq!((idp.fetches(), idp.discoveries()), (3, 0));
    let node = adopting(&db, &idp).await;
    assert_eq!(
        node.me(&idp.token("lena", SID).typ(Some("JWT")).sign(&key)).await,
        "401 invalid_token",
        "by default at+jwt"
    );
}
