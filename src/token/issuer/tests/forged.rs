//! Promise: only that issuer's access tokens for us pass. Each token here is good but for one thing, and says whether plain
//! jsonwebtoken with issuer and audience set would take it (the control: where it would, the check has to be ours).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::{Forged, ISSUER, Issuers, SESSION, TestKey, issuer, knowing, now, verify};
use crate::token::TokenRefusal;

const NAIVE_TAKES: bool = true;
const NAIVE_REFUSES: bool = false;

struct Case {
    key: TestKey,
    issuers: Issuers,
}

impl Case {
    fn new() -> Self {
        let key = TestKey::es256("1");
        let issuers = knowing(issuer(), &[&key]);
        Self { key, issuers }
    }

    fn good(&self) -> Forged {
        Forged::good(&self.key)
    }

    fn naive_accepts(&self, token: &str) -> bool {
        let part = |name: &str| self.key.jwk[name].as_str().unwrap().to_owned();
        let key = DecodingKey::from_ec_components(&part("x"), &part("y")).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&["api"]);
        jsonwebtoken::decode::<Value>(token, &key, &validation).is_ok()
    }

    fn refused(&self, what: &str, token: &str, why: &str, naive: bool) {
        assert_eq!(self.naive_accepts(token), naive, "the control: {what}");
        match verify(&self.issuers, token) {
            Err(TokenRefusal::Invalid(reason)) => assert!(reason.contains(why), "{what}: {reason}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn the_good_token_is_good() {
    let case = Case::new();
    let token = case.good().sign(&case.key);
    assert!(case.naive_accepts(&token));
    let verified = verify(&case.issuers, &token).unwrap();
    assert_eq!((&*verified.issuer, &*verified.subject, verified.user_id.as_str()), (ISSUER, "lena", "lena"));
    assert_eq!((&*verified.sid, verified.session_id.to_string()), (SESSION, SESSION.to_owned()));
    assert!((900..=902).contains(&verified.expires_in.as_secs()));
    assert_eq!(serde_json::from_str::<Value>(&verified.claims).unwrap(), case.good().claims);
    assert!(case.issuers.holds(verified.stamp));
    assert!(!format!("{verified:?}").contains("\"aud\""));

    for fine in [
        case.good().claim("aud", json!(["other", "api"])),
        case.good().without("iat"),
        case.good().claim("nbf", json!(0)),
        case.good().claim("roles", json!({ "deep": ["admin"] })),
        case.good().header("typ", json!("application/AT+JWT")),
        // Keys that the token brings along are not looked at.
        case.good().header("jku", json!("https://evil.example")).header("jwk", TestKey::es256("1").jwk),
        case.good().header("x5u", json!("https://evil.example")).header("x5c", json!(["AAAA"])),
    ] {
        assert!(verify(&case.issuers, &fine.sign(&case.key)).is_ok(), "{:?}", fine.header);
    }
    for key in [TestKey::eddsa("ed"), TestKey::rs256("rsa")] {
        let issuers = knowing(issuer(), &[&key]);
        assert!(verify(&issuers, &Forged::good(&key).sign(&key)).is_ok());
    }
}

#[test]
fn a_claim_is_missing_or_wrong() {
    let case = Case::new();
    let (good, key) = (|| case.good(), &case.key);
    for (name, why, naive) in [
        ("aud", "`aud`", NAIVE_TAKES),
        ("sub", "`sub`", NAIVE_TAKES),
        ("sid", "no session id", NAIVE_TAKES),
        ("exp", "`exp`", NAIVE_REFUSES),
    ] {
        case.refused(name, &good().without(name).sign(key), why, naive);
    }
    // Without `iss` it is nobody's.
    assert!(case.naive_accepts(&good().without("iss").sign(key)));
    for iss in [json!(5), json!(null), json!([ISSUER]), json!("https://id.example/"), json!("HTTPS://id.example")] {
        assert!(case.issuers.verify(&good().claim("iss", iss.clone()).sign(key), now()).is_none(), "{iss}");
    }
    let soon = now().unix_timestamp() + 900;
    for (name, value, why, naive) in [
        ("aud", json!("another"), "another audience", NAIVE_REFUSES),
        ("aud", json!("api "), "another audience", NAIVE_REFUSES),
        ("aud", json!([]), "another audience", NAIVE_REFUSES),
        ("aud", json!(5), "`aud`", NAIVE_TAKES),
        ("aud", json!({}), "`aud`", NAIVE_TAKES),
        ("aud", json!(null), "`aud`", NAIVE_TAKES),
        ("aud", json!(["api", 5]), "`aud`", NAIVE_TAKES),
        ("sub", json!(""), "`sub`", NAIVE_TAKES),
        ("sub", json!(5), "`sub`", NAIVE_TAKES),
        ("sub", json!("u".repeat(256)), "`sub`", NAIVE_TAKES),
        ("sid", json!(""), "session id", NAIVE_TAKES),
        ("sid", json!(5), "session id", NAIVE_TAKES),
        ("sid", json!(null), "session id", NAIVE_TAKES),
        ("sid", json!("s".repeat(256)), "session id", NAIVE_TAKES),
        ("nbf", json!(soon), "not valid yet", NAIVE_TAKES),
        ("nbf", json!("0"), "`nbf`", NAIVE_TAKES),
        ("nbf", json!(null), "`nbf`", NAIVE_TAKES),
        ("iat", json!("0"), "`iat`", NAIVE_TAKES),
        ("iat", json!(soon), "before it is issued", NAIVE_TAKES),
        ("exp", json!(soon.to_string()), "`exp`", NAIVE_REFUSES),
        ("exp", json!(null), "`exp`", NAIVE_REFUSES),
        ("exp", json!(soon as f64 + 0.5), "`exp`", NAIVE_TAKES),
        ("exp", json!(u64::MAX), "`exp`", NAIVE_TAKES),
        ("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {} }), "event", NAIVE_TAKES),
        ("events", json!(null), "event", NAIVE_TAKES),
    ] {
        case.refused(&format!("{name}: {value}"), &good().claim(name, value).sign(key), why, naive);
    }
    for (text, naive) in [
        (r#""sid":"another""#, NAIVE_TAKES),
        (r#""s\u0069d":"another""#, NAIVE_TAKES),
        (r#""role":"user","role":"admin""#, NAIVE_TAKES),
    ] {
        let token = good().sign_with_text(key, text);
        assert_eq!(case.naive_accepts(&token), naive, "the control: {text}");
        assert!(case.issuers.verify(&token, now()).is_none(), "it cannot be said whose it is: {text}");
    }
    let nested = format!(r#""deep":{}{}"#, "[".repeat(200), "]".repeat(200));
    case.refused("200 deep", &good().sign_with_text(key, &nested), "cannot be read", NAIVE_REFUSES);
}

#[test]
fn its_time_is_over_or_its_clock_is_wrong() {
    let case = Case::new();
    let at = |seconds: i64| json!(now().unix_timestamp() + seconds);
    let issued = |iat: i64, exp: i64| case.good().claim("iat", at(iat)).claim("exp", at(exp)).sign(&case.key);
    let expired = |token: &str| match verify(&case.issuers, token) {
        Err(TokenRefusal::Expired { session_id, user_id }) => {
            assert_eq!((session_id.to_string().as_str(), user_id.as_str()), (SESSION, "lena"));
        }
        other => panic!("{other:?}"),
    };
    assert!(case.naive_accepts(&issued(-900, -50)), "the control: a leeway of a minute");
    expired(&issued(-900, -50));
    expired(&issued(-900, -4));
    assert!(verify(&case.issuers, &issued(-900, 0)).is_ok(), "within the leeway");
    assert!(case.naive_accepts(&issued(400, 900)), "the control: issued tomorrow");
    expired(&issued(400, 900));
    assert!(verify(&case.issuers, &issued(200, 900)).is_ok());
    let soon = case.good().claim("nbf", at(1)).sign(&case.key);
    assert!(verify(&case.issuers, &soon).is_ok());
    // The last moment that can be written.
    let never = case.good().claim("exp", json!(253_402_300_799_i64)).sign(&case.key);
    assert!(verify(&case.issuers, &never).is_ok());
}

#[test]
fn the_header_is_another() {
    let case = Case::new();
    let (good, key) = (|| case.good(), &case.key);
    for typ in ["JWT", "logout+jwt", "dpop+jwt", "session+jwt", "at+jwt ", "", "application/"] {
        case.refused(typ, &good().header("typ", json!(typ)).sign(key), "typ", NAIVE_TAKES);
    }
    case.refused("typ: 5", &good().header("typ", json!(5)).sign(key), "typ", NAIVE_REFUSES);
    case.refused("no typ", &good().without_header("typ").sign(key), "typ", NAIVE_TAKES);
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!(null)] {
        case.refused("crit", &good().header("crit", crit).sign(key), "critical", NAIVE_TAKES);
    }
    case.refused("no kid", &good().without_header("kid").sign(key), "`kid`", NAIVE_TAKES);
    case.refused("long kid", &good().header("kid", json!("k".repeat(129))).sign(key), "`kid`", NAIVE_TAKES);
    for alg in ["none", "None", "HS256", "ES512", "es256", "", "RS512"] {
        let token = good().header("alg", json!(alg)).sign(key);
        case.refused(alg, &token, "alg", NAIVE_REFUSES);
        let unsigned = &token[..=token.rfind('.').unwrap()];
        case.refused(&format!("{alg}, unsigned"), unsigned, "alg", NAIVE_REFUSES);
    }
    // Accepted, but not that key's.
    case.refused("RS256", &good().header("alg", json!("RS256")).sign(key), "algorithm of its key", NAIVE_REFUSES);
    let header = good().header.to_string().replacen('{', r#"{"typ":"JWT","#, 1);
    case.refused("typ twice", &key.sign(&header, &good().claims.to_string()), "twice", NAIVE_REFUSES);

    let mut lax = issuer().typ(["JWT", "application/at+jwt"]).accept_untyped();
    lax = lax.algorithms(["ES256"]);
    let lax = knowing(lax, &[key]);
    for fine in [good().header("typ", json!("jwt")), good(), good().without_header("typ")] {
        assert!(verify(&lax, &fine.sign(key)).is_ok());
    }
    for typ in [json!("logout+jwt"), json!(""), json!(null)] {
        assert!(verify(&lax, &good().header("typ", typ).sign(key)).is_err());
    }
}

#[test]
fn the_signature_is_wrong() {
    let case = Case::new();
    let token = case.good().sign(&case.key);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let other_key = case.good().sign(&TestKey::es256("1"));
    case.refused("another key of that name", &other_key, "signature", NAIVE_REFUSES);
    case.refused("no signature", &format!("{message}."), "signature", NAIVE_REFUSES);
    case.refused("short", &token[..token.len() - 4], "signature", NAIVE_REFUSES);
    case.refused("padded", &format!("{token}="), "signature", NAIVE_REFUSES);
    // CVE-2022-21449: zeros are a signature of everything, for those who forget to look.
    let zeros = format!("{message}.{}", URL_SAFE_NO_PAD.encode([0; 64]));
    case.refused("zeros", &zeros, "signature", NAIVE_REFUSES);
    let other = case.good().claim("sub", json!("sam")).sign(&case.key);
    let payload = other.split('.').nth(1).unwrap();
    case.refused("another payload", &format!("{header}.{payload}.{signature}"), "signature", NAIVE_REFUSES);

    // HS256 with the published key, which everybody has, as its secret.
    let public = case.key.jwk.to_string();
    let forger = TestKey {
        kid: "1".into(),
        algorithm: Algorithm::HS256,
        encoding: jsonwebtoken::EncodingKey::from_secret(public.as_bytes()),
        jwk: json!({}),
    };
    case.refused("a public key as a secret", &Forged::good(&forger).sign(&forger), "alg", NAIVE_REFUSES);
}

#[test]
fn it_is_no_token_or_too_long() {
    let case = Case::new();
    let token = case.good().sign(&case.key);
    for text in ["", "token", "a.b", "..", ".....", "a.b.c.d.e", "é.é.é", &format!("{token}."), &format!(" .{token}")]
    {
        assert!(case.issuers.verify(text, now()).is_none(), "{text}");
    }
    let filled = |fill: usize| case.good().claim("fill", json!("x".repeat(fill))).sign(&case.key);
    let (fits, over) = (filled(11_700), filled(12_200));
    assert!((15_500..=16 * 1024).contains(&fits.len()) && verify(&case.issuers, &fits).is_ok(), "{}", fits.len());
    assert!(over.len() > 16 * 1024 && case.naive_accepts(&over) && case.issuers.verify(&over, now()).is_none());
}
