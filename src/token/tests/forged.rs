//! Promise: only our tokens pass. Each token here is good but for one thing, and says whether plain jsonwebtoken with issuer
//! and audience set would take it (the control: where it would, the check has to be ours).

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde_json::{Value, json};

use super::{
    super::AccessTokens, super::TokenRefusal, super::TokenUse, super::VerifyingKey, Forged, RSA, SECRET, SESSION,
    hs256, naive_accepts, naive_accepts_with, now, sign, sign_bytes, sign_text, verify,
};

const NAIVE_TAKES: bool = true;
const NAIVE_REFUSES: bool = false;

fn refused(what: &str, token: &str, why: &str, naive: bool) {
    assert_eq!(naive_accepts(token), naive, "the control: {what}");
    match verify(&hs256(), token) {
        Err(TokenRefusal::Invalid(reason)) => assert!(reason.contains(why), "{what}: {reason}"),
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn the_good_token_is_good() {
    let token = Forged::good().sign();
    assert!(naive_accepts(&token));
    let verified = verify(&hs256(), &token).unwrap();
    assert_eq!((verified.session_id.to_string(), verified.user_id.as_str()), (SESSION.to_owned(), "lena"));
    assert_eq!(verified.claims, None);
}

#[test]
fn a_claim_is_missing() {
    for name in ["iss", "aud", "sub", "iat", "jti", "session_id"] {
        refused(name, &Forged::good().without(name).sign(), &format!("missing: {name}"), NAIVE_TAKES);
    }
    refused("exp", &Forged::good().without("exp").sign(), "missing: exp", NAIVE_REFUSES);
}

#[test]
fn a_claim_has_the_wrong_type() {
    for (name, values) in [
        ("iss", vec![json!(5), json!({}), json!(null), json!(["axum-device-sessions"])]),
        (
            "aud",
            vec![
                json!(5),
                json!({}),
                json!(null),
                json!([["axum-device-sessions"]]),
                json!(["axum-device-sessions", 5]),
            ],
        ),
        ("sub", vec![json!(5), json!({}), json!(null), json!(["lena"]), json!(true)]),
        ("iat", vec![json!("0"), json!({}), json!(null), json!(-1), json!(0.5), json!(1e99)]),
        ("nbf", vec![json!("0"), json!({}), json!(null), json!(-1), json!(0.5)]),
        ("jti", vec![json!(5), json!(null)]),
        ("session_id", vec![json!(5), json!(null), json!({}), json!([SESSION])]),
    ] {
        for value in values {
            let what = format!("{name}: {value}");
            // There the control stumbles over the brackets, which is no check of the claim: a number passes.
            let naive = !(name == "sub" && (value.is_object() || value.is_array()));
            refused(&what, &Forged::good().claim(name, value).sign(), &format!("form: {name}"), naive);
        }
    }
    let soon = now().unix_timestamp() + 900;
    for (value, naive) in [
        (json!(soon.to_string()), NAIVE_REFUSES),
        (json!(null), NAIVE_REFUSES),
        (json!(true), NAIVE_REFUSES),
        (json!(-soon), NAIVE_REFUSES),
        (json!(soon as f64 + 0.5), NAIVE_TAKES),
        (json!(u64::MAX), NAIVE_TAKES),
        (json!(1e300), NAIVE_REFUSES),
        (json!([soon]), NAIVE_REFUSES),
    ] {
        refused(&format!("exp: {value}"), &Forged::good().claim("exp", value).sign(), "form: exp", naive);
    }
}

#[test]
fn a_claim_has_the_wrong_value() {
    let table: &[(&str, Value, &str, bool)] = &[
        ("iss", json!("another"), "issuer", NAIVE_REFUSES),
        ("iss", json!(""), "issuer", NAIVE_REFUSES),
        ("aud", json!("another"), "audience", NAIVE_REFUSES),
        ("aud", json!(["a", "b"]), "audience", NAIVE_REFUSES),
        ("aud", json!([]), "audience", NAIVE_REFUSES),
        ("sub", json!(""), "sub", NAIVE_TAKES),
        ("sub", json!("u".repeat(256)), "sub", NAIVE_TAKES),
        ("session_id", json!(""), "session_id", NAIVE_TAKES),
        ("session_id", json!("' OR 1=1"), "session_id", NAIVE_TAKES),
        ("session_id", json!(&SESSION[1..]), "session_id", NAIVE_TAKES),
        ("session_id", json!(format!("{SESSION} ")), "session_id", NAIVE_TAKES),
    ];
    for (name, value, why, naive) in table {
        refused(&format!("{name}: {value}"), &Forged::good().claim(name, value.clone()).sign(), why, *naive);
    }
}

#[test]
fn an_audience_among_others_and_longest_user_are_accepted() {
    let several = Forged::good().claim("aud", json!(["other", "axum-device-sessions"]));
    assert!(verify(&hs256(), &several.sign()).is_ok());
    assert!(verify(&hs256(), &Forged::good().claim("sub", json!("u".repeat(255))).sign()).is_ok());
    assert!(verify(&hs256(), &Forged::good().claim("aud", json!(["axum-device-sessions"])).sign()).is_ok());
    // An escape is another way to write the same string.
    let escaped = sign_text(
        &Forged::good().header.to_string(),
        &Forged::good().claims.to_string().replace("\"lena\"", r#""l\u0065na""#),
    );
    assert_eq!(verify(&hs256(), &escaped).unwrap().user_id.as_str(), "lena");
}

#[test]
fn a_name_comes_twice() {
    let good = Forged::good;
    let exp = now().unix_timestamp() + 900;
    for (text, naive) in [
        (format!(r#""session_id":"{SESSION}""#), NAIVE_TAKES),
        (r#""session_id":"00000000-0000-0000-0000-000000000001""#.into(), NAIVE_TAKES),
        // The same name, written differently.
        (format!(r#""session\u005fid":"{SESSION}""#), NAIVE_TAKES),
        (r#""jti":"2""#.into(), NAIVE_TAKES),
        (r#""role":"user","role":"admin""#.into(), NAIVE_TAKES),
        (format!(r#""exp":{exp}"#), NAIVE_REFUSES),
        (r#""sub":"sam""#.into(), NAIVE_REFUSES),
    ] {
        refused(&text, &good().sign_with_text(&text), "twice", naive);
    }
    let header = good().header.to_string().replacen('{', r#"{"typ":"JWT","#, 1);
    refused("typ twice", &sign_text(&header, &good().claims.to_string()), "twice", NAIVE_REFUSES);
}

#[test]
fn the_type_is_another() {
    for typ in [
        "JWT",
        "session+jwt",
        "at+jwt ",
        "xat+jwt",
        "application/",
        "application/application/at+jwt",
        "appliçation/at+jwt",
        "",
    ] {
        refused(typ, &Forged::good().header("typ", json!(typ)).sign(), "typ", NAIVE_TAKES);
    }
    refused("typ: 5", &Forged::good().header("typ", json!(5)).sign(), "typ", NAIVE_REFUSES);
    refused("no typ", &Forged::good().without_header("typ").sign(), "typ", NAIVE_TAKES);

    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert!(verify(&hs256(), &Forged::good().header("typ", json!(typ)).sign()).is_ok(), "{typ}");
    }
    for (typ, usage, fits) in [
        ("session+jwt", TokenUse::Cookie, true),
        ("application/SESSION+jwt", TokenUse::Cookie, true),
        ("at+jwt", TokenUse::Cookie, false),
        ("JWT", TokenUse::Cookie, false),
    ] {
        let token = Forged::good().header("typ", json!(typ)).sign();
        assert_eq!(hs256().verify(&token, usage, now()).is_ok(), fits, "{typ}");
    }
}

#[test]
fn the_header_wants_what_we_do_not_do() {
    for crit in [json!(["exp"]), json!(["b64"]), json!(["unknown"]), json!([])] {
        refused("crit", &Forged::good().header("crit", crit).sign(), "critical", NAIVE_TAKES);
    }
    refused("crit: null", &Forged::good().header("crit", json!(null)).sign(), "critical", NAIVE_TAKES);
    refused("crit: text", &Forged::good().header("crit", json!("exp")).sign(), "critical", NAIVE_REFUSES);
    for (name, value, naive) in
        [("kid", json!("unknown"), NAIVE_TAKES), ("kid", json!(""), NAIVE_TAKES), ("kid", json!(5), NAIVE_REFUSES)]
    {
        refused(&value.to_string(), &Forged::good().header(name, value.clone()).sign(), "kid", naive);
    }
    refused("no kid", &Forged::good().without_header("kid").sign(), "kid", NAIVE_TAKES);
    refused("long kid", &Forged::good().header("kid", json!("k".repeat(129))).sign(), "no usable `kid`", NAIVE_TAKES);
    // Keys that the token brings along are not looked at.
    let own =
        Forged::good().header("jku", json!("https://evil.example/keys")).header("x5u", json!("https://evil.example"));
    assert!(verify(&hs256(), &own.sign()).is_ok());
}

#[test]
fn the_algorithm_is_another() {
    for (alg, naive) in [
        (json!("none"), NAIVE_REFUSES),
        (json!("None"), NAIVE_REFUSES),
        (json!("hs256"), NAIVE_REFUSES),
        (json!("HS384"), NAIVE_REFUSES),
        (json!("RS256"), NAIVE_REFUSES),
        (json!(""), NAIVE_REFUSES),
        (json!(null), NAIVE_REFUSES),
        (json!(["HS256"]), NAIVE_REFUSES),
    ] {
        let forged = Forged::good().header("alg", alg.clone());
        let token = forged.sign();
        refused(&alg.to_string(), &token, "algorithm", naive);
        let unsigned = &token[..=token.rfind('.').unwrap()];
        refused(&format!("{alg}, no signature"), unsigned, "algorithm", NAIVE_REFUSES);
    }
    refused("no alg", &Forged::good().without_header("alg").sign(), "algorithm", NAIVE_REFUSES);
}

#[test]
fn a_public_key_is_no_secret() {
    // The classic forgery: HS256 with the text of the RSA public key, which everybody has, as its secret.
    let key = VerifyingKey::rs256_pem(&RSA.1).unwrap();
    let header = Forged::good().header("kid", json!(key.kid())).header;
    let token =
        sign_bytes(header.to_string().as_bytes(), Forged::good().claims.to_string().as_bytes(), RSA.1.as_bytes());
    let careless = DecodingKey::from_secret(RSA.1.as_bytes());
    assert!(naive_accepts_with(&token, &careless, Algorithm::HS256), "the control");
    let keys = AccessTokens::verify_only(key).seal().unwrap();
    assert_eq!(verify(&keys, &token), Err(TokenRefusal::Invalid("not the algorithm of its key")));
}

#[test]
fn the_signature_is_wrong() {
    let token = sign(&hs256());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let (first, rest) = signature.split_at(1);
    let flipped = format!("{message}.{}{rest}", if first == "A" { "B" } else { "A" });
    refused("another signature", &flipped, "signature", NAIVE_REFUSES);
    refused("no signature", &format!("{message}."), "signature", NAIVE_REFUSES);
    refused("short signature", &token[..token.len() - 4], "signature", NAIVE_REFUSES);
    refused("long signature", &format!("{token}AAAA"), "signature", NAIVE_REFUSES);

    let other = Forged::good().claim("sub", json!("sam")).sign();
    let other_payload = other.split('.').nth(1).unwrap();
    refused("another payload", &format!("{header}.{other_payload}.{signature}"), "signature", NAIVE_REFUSES);

    let good = Forged::good();
    for secret in [&b""[..], b"secret", &SECRET[1..]] {
        let token = sign_bytes(good.header.to_string().as_bytes(), good.claims.to_string().as_bytes(), secret);
        refused("another secret", &token, "signature", NAIVE_REFUSES);
        // The control for the empty secret: jsonwebtoken takes it, so no key may have it (tests of `keys`).
        assert!(naive_accepts_with(&token, &DecodingKey::from_secret(secret), Algorithm::HS256));
    }
    assert_eq!(EncodingKey::from_secret(b"").as_bytes(), b"");
    // A good signature with padding, or with stray bits in its last character, is another text and no other token.
    refused("padding", &format!("{token}="), "signature", NAIVE_REFUSES);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(token.chars().next_back().unwrap()).unwrap();
    let stray = format!("{}{}", &token[..token.len() - 1], &alphabet[last + 1..last + 2]);
    refused("not canonical", &stray, "signature", NAIVE_REFUSES);
}

#[test]
fn it_is_no_token() {
    let token = sign(&hs256());
    let parts: Vec<&str> = token.split('.').collect();
    for (what, text) in [
        ("empty", String::new()),
        ("a word", "token".into()),
        ("one dot", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{token}.")),
        ("four parts, first empty", format!(".{token}")),
        ("five parts, as JWE", "a.b.c.d.e".into()),
        ("only dots", "..".into()),
        ("only five dots", ".....".into()),
        ("a space", format!(" {token}")),
        ("Bearer", format!("Bearer {token}")),
        ("not ASCII", "é.é.é".into()),
    ] {
        assert!(!naive_accepts(&text), "the control: {what}");
        let Err(TokenRefusal::Invalid(why)) = verify(&hs256(), &text) else { panic!("{what}") };
        assert_eq!(why == "not a JWT", text.matches('.').count() != 2, "{what}: {why}");
    }
    let claims = Forged::good().claims.to_string();
    let header = Forged::good().header.to_string();
    for (what, header, claims) in [
        ("header not UTF-8", &b"\xff\xfe"[..], claims.as_bytes()),
        ("header no object", b"[1]", claims.as_bytes()),
        ("header empty", b"", claims.as_bytes()),
        ("claims not UTF-8", header.as_bytes(), b"{\"\xff\":1}"),
        ("claims no object", header.as_bytes(), b"\"text\""),
        ("claims null", header.as_bytes(), b"null"),
        ("claims empty", header.as_bytes(), b""),
        ("claims and more", header.as_bytes(), &[claims.as_bytes(), b"{}"].concat()),
        ("claims with a BOM", header.as_bytes(), &[b"\xef\xbb\xbf", claims.as_bytes()].concat()),
    ] {
        let token = sign_bytes(header, claims, SECRET);
        assert!(!naive_accepts(&token), "the control: {what}");
        assert!(matches!(verify(&hs256(), &token), Err(TokenRefusal::Invalid(_))), "{what}");
    }
}

#[test]
fn it_is_too_large_or_too_deep() {
    let of_length =
        |length: usize| (1..length).map(|fill| sized(fill, length)).find(|token| token.len() >= length).unwrap();
    let (fits, over) = (of_length(8 * 1024 - 3), of_length(8 * 1024 + 1));
    assert!(fits.len() <= 8 * 1024 && verify(&hs256(), &fits).is_ok());
    refused("over 8 KiB", &over, "8 KiB", NAIVE_TAKES);

    let nested = |depth: usize| format!(r#""deep":{}{}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(verify(&hs256(), &Forged::good().sign_with_text(&nested(100))).is_ok());
    refused("200 deep", &Forged::good().sign_with_text(&nested(200)), "custom claims", NAIVE_REFUSES);
    refused("2000 deep", &Forged::good().sign_with_text(&nested(2_000)), "custom claims", NAIVE_REFUSES);
    refused("out of range", &Forged::good().sign_with_text(r#""n":1e999"#), "custom claims", NAIVE_REFUSES);
    refused("half a surrogate", &Forged::good().sign_with_text(r#""s":"\ud800""#), "custom claims", NAIVE_REFUSES);
}

/// Close to `length`, so that not every length is signed on the way.
fn sized(fill: usize, length: usize) -> String {
    let empty = Forged::good().claim("fill", json!("")).sign().len();
    let start = (length.saturating_sub(empty)) * 3 / 4;
    Forged::good().claim("fill", json!("x".repeat(start.saturating_sub(8) + fill))).sign()
}
