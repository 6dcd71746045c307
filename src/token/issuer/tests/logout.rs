//! Promise: a logout token is what the standard asks for, counts once, and is never taken for anything else.

use serde_json::{Value, json};

use super::{
    super::{Logout, LogoutOutcome, LogoutTarget, Outcome, claims::session_id},
    Forged, ISSUER, Issuer, Issuers, SESSION, TestKey, issuer, knowing, now, verify,
};
use crate::session::UserId;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn outcome(issuers: &Issuers, token: &str) -> LogoutOutcome {
    match issuers.verify_logout(token, now()).expect("of this issuer") {
        Outcome::Done(outcome) => outcome,
        Outcome::NeedsKeys(_) => panic!("the key is known"),
    }
}

fn ends(issuers: &Issuers, token: &str) -> Logout {
    match outcome(issuers, token) {
        LogoutOutcome::End(logout) => logout,
        other => panic!("{other:?}"),
    }
}

/// As §2.4 shows it.
fn good(key: &TestKey) -> Forged {
    let now = now().unix_timestamp();
    Forged {
        header: json!({ "typ": "logout+jwt", "alg": key.algorithm, "kid": key.kid }),
        claims: json!({
            "iss": ISSUER, "aud": "web", "sub": "lena", "sid": SESSION, "iat": now, "exp": now + 120, "jti": "bWJq",
            "events": { EVENT: {} },
        }),
    }
}

fn receiver(key: &TestKey) -> Issuers {
    knowing(issuer().logout_audience("web"), &[key])
}

#[test]
fn it_ends_a_session_or_everything_of_a_user() {
    let key = TestKey::es256("1");
    let issuers = receiver(&key);
    let lena = || UserId::from("lena");
    let session = |sid: &str, user_id| LogoutTarget::Session { session_id: session_id(ISSUER, sid), user_id };
    let logout = ends(&issuers, &good(&key).sign(&key));
    assert_eq!((&*logout.issuer, logout.issued_at), (ISSUER, now().replace_nanosecond(0).unwrap()));
    assert_eq!(logout.target, session(SESSION, Some(lena())));
    assert_eq!(ends(&issuers, &good(&key).without("sub").sign(&key)).target, session(SESSION, None));
    let other = good(&key).claim("sid", json!("no uuid")).sign(&key);
    assert_eq!(ends(&issuers, &other).target, session("no uuid", Some(lena())));
    assert_eq!(ends(&issuers, &good(&key).without("sid").sign(&key)).target, LogoutTarget::User(lena()));

    // A mapping that needs more than a logout token has: the session is named all the same, a user is not.
    let by_mail = |claims: &super::super::IssuerClaims<'_>| Some(claims.get("email")?.as_str()?.into());
    let issuers = knowing(issuer().logout_audience("web").user(by_mail), &[&key]);
    assert_eq!(ends(&issuers, &good(&key).sign(&key)).target, session(SESSION, None));
    assert!(matches!(outcome(&issuers, &good(&key).without("sid").sign(&key)), LogoutOutcome::Refused(_)));
}

#[test]
fn only_what_the_standard_asks_for_is_a_logout() {
    let key = TestKey::es256("1");
    let issuers = receiver(&key);
    let good = || good(&key);
    let at = |seconds: i64| json!(now().unix_timestamp() + seconds);
    let table = [
        ("of another type", good().header("typ", json!("at+jwt")), "typ"),
        ("a SET of another sort", good().header("typ", json!("secevent+jwt")), "typ"),
        ("a type that is none", good().header("typ", json!(5)), "typ"),
        ("critical", good().header("crit", json!(["x"])), "critical"),
        ("unsigned", good().header("alg", json!("none")), "alg"),
        ("a shared secret", good().header("alg", json!("HS256")), "alg"),
        ("for another client", good().claim("aud", json!("another")), "audience"),
        ("for the API, which is no client", good().claim("aud", json!("api")), "audience"),
        ("for nobody", good().without("aud"), "aud"),
        ("no iat", good().without("iat"), "iat"),
        ("iat of text", good().claim("iat", json!("0")), "iat"),
        ("no exp", good().without("exp"), "exp"),
        ("expired", good().claim("iat", at(-200)).claim("exp", at(-80)), "expired"),
        ("from the future", good().claim("iat", at(400)).claim("exp", at(500)), "expired"),
        ("no jti", good().without("jti"), "jti"),
        ("an empty jti", good().claim("jti", json!("")), "jti"),
        ("a long jti", good().claim("jti", json!("j".repeat(256))), "jti"),
        ("a number for a jti", good().claim("jti", json!(5)), "jti"),
        ("no events", good().without("events"), "event"),
        ("no event", good().claim("events", json!({})), "event"),
        ("another event", good().claim("events", json!({ "https://example.com/event": {} })), "event"),
        ("events in a list", good().claim("events", json!([EVENT])), "event"),
        ("an event that is no object", good().claim("events", json!({ EVENT: true })), "event"),
        ("an event of null", good().claim("events", json!({ EVENT: null })), "event"),
        ("a nonce", good().claim("nonce", json!("n")), "nonce"),
        ("a nonce of null", good().claim("nonce", json!(null)), "nonce"),
        ("neither sid nor sub", good().without("sid").without("sub"), "sub"),
        ("sid of null", good().claim("sid", json!(null)), "session id"),
        ("an empty sub", good().claim("sub", json!("")), "sub"),
    ];
    for (what, forged, why) in table {
        match outcome(&issuers, &forged.sign(&key)) {
            LogoutOutcome::Refused(reason) => assert!(reason.contains(why), "{what}: {reason}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    let another_key = good().sign(&TestKey::es256("1"));
    assert_eq!(outcome(&issuers, &another_key), LogoutOutcome::Refused("signature is wrong"));
    let elsewhere = good().claim("iss", json!("https://another.example")).sign(&key);
    assert!(issuers.verify_logout(&elsewhere, now()).is_none());

    for (what, fine) in [
        ("Keycloak before 25", good().header("typ", json!("JWT"))),
        ("no type", good().without_header("typ")),
        ("in full", good().header("typ", json!("application/logout+jwt"))),
        ("among others", good().claim("aud", json!(["other", "web"]))),
        ("with more events", good().claim("events", json!({ EVENT: { "x": 1 }, "https://example.com/e": [] }))),
        ("the last moment", good().claim("exp", json!(253_402_300_799_i64))),
    ] {
        assert!(matches!(outcome(&issuers, &fine.sign(&key)), LogoutOutcome::End(_)), "{what}");
    }
}

#[test]
fn neither_passes_for_the_other() {
    let key = TestKey::es256("1");
    // The laxest settings: one audience for both, and both types.
    let issuers = knowing(Issuer::new(ISSUER).audience("web").typ(["JWT"]).accept_untyped(), &[&key]);
    for typ in [json!("JWT"), json!("logout+jwt")] {
        let logout = good(&key).header("typ", typ.clone()).sign(&key);
        assert!(matches!(outcome(&issuers, &logout), LogoutOutcome::End(_)));
        assert!(verify(&issuers, &logout).is_err(), "{typ}");
    }
    let access = Forged::good(&key).header("typ", json!("JWT")).claim("aud", json!("web")).claim("jti", json!("1"));
    assert!(verify(&issuers, &access.sign(&key)).is_ok());
    assert!(matches!(outcome(&issuers, &access.sign(&key)), LogoutOutcome::Refused(_)));
}

#[test]
fn it_counts_once_but_not_before_it_was_carried_out() {
    let key = TestKey::es256("1");
    let issuers = receiver(&key);
    let token = good(&key).sign(&key);
    // The database was away: the issuer comes again.
    let _not_carried_out = ends(&issuers, &token);
    issuers.logged_out(ends(&issuers, &token), now());
    assert_eq!(outcome(&issuers, &token), LogoutOutcome::Repeated);
    // It is the `jti` that counts, for as long as the token would be good.
    let renamed = good(&key).claim("sid", json!("another")).sign(&key);
    assert_eq!(outcome(&issuers, &renamed), LogoutOutcome::Repeated);
    let next = good(&key).claim("jti", json!("next")).sign(&key);
    assert!(matches!(outcome(&issuers, &next), LogoutOutcome::End(_)));
    let later = now() + time::Duration::seconds(123);
    let Some(Outcome::Done(late)) = issuers.verify_logout(&token, later) else { panic!("the key is known") };
    assert_eq!(late, LogoutOutcome::Refused("expired"));
}

#[test]
fn what_is_remembered_is_bounded_and_refuses_nothing() {
    let key = TestKey::eddsa("1");
    let issuers = receiver(&key);
    let numbered = |number: i64, lives: i64| {
        let exp: Value = json!(now().unix_timestamp() + lives);
        good(&key).claim("jti", json!(number.to_string())).claim("exp", exp).sign(&key)
    };
    // The first is the nearest to its end.
    let first = numbered(0, 60);
    issuers.logged_out(ends(&issuers, &first), now());
    for number in 1..=10_000 {
        issuers.logged_out(ends(&issuers, &numbered(number, 3_600)), now());
    }
    assert!(matches!(outcome(&issuers, &first), LogoutOutcome::End(_)), "it had to go");
    for number in [1, 5_000, 10_000] {
        assert_eq!(outcome(&issuers, &numbered(number, 3_600)), LogoutOutcome::Repeated, "{number}");
    }
    assert_eq!(issuers.seen_logouts.len(), 10_000);

    // What has expired goes first.
    let later = now() + time::Duration::seconds(3_700);
    let Some(Outcome::Done(LogoutOutcome::End(late))) = issuers.verify_logout(&numbered(10_001, 7_200), later) else {
        panic!("the key is known")
    };
    issuers.logged_out(late, later);
    assert_eq!(issuers.seen_logouts.len(), 1);
}
