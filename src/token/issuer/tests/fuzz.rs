//! Nothing that anyone can send or publish makes it panic, and nothing but the very text that was signed is accepted.

use std::sync::LazyLock;

use jsonwebtoken::Algorithm;
use proptest::prelude::*;

use super::{
    super::{LogoutOutcome, Outcome, key_set::KeySet},
    Forged, Issuers, TestKey, issuer, knowing, now, verify,
};

static KEY: LazyLock<TestKey> = LazyLock::new(|| TestKey::eddsa("1"));
static ISSUERS: LazyLock<Issuers> = LazyLock::new(|| knowing(issuer(), &[&KEY]));

fn accepted(token: &str) -> bool {
    let logout = ISSUERS.verify_logout(token, now());
    verify(&ISSUERS, token).is_ok() || matches!(logout, Some(Outcome::Done(LogoutOutcome::End(_))))
}

/// JSON of any shape, with the names that matter among the members.
fn json() -> impl Strategy<Value = String> {
    let names = [
        "iss", "aud", "sub", "exp", "iat", "nbf", "jti", "sid", "azp", "events", "nonce", "typ", "alg", "kid", "crit",
        "keys", "kty", "crv", "x", "y", "n", "e", "use",
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| value.to_string()),
        any::<String>().prop_map(|value| serde_json::Value::from(value).to_string()),
        Just(format!("\"{}\"", super::ISSUER)),
        Just("\"RSA\"".to_owned()),
        Just("\"EC\"".to_owned()),
        Just("\"P-256\"".to_owned()),
    ];
    let value = leaf.prop_recursive(3, 16, 4, move |inner| {
        let member = (prop::sample::select(names.to_vec()), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..6).prop_map(|members| object(&members)),
        ]
    });
    prop::collection::vec((prop::sample::select(names.to_vec()), value), 0..10).prop_map(|members| object(&members))
}

fn object(members: &[(&str, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>()) {
        prop_assert!(!accepted(&text));
    }

    #[test]
    fn any_bytes_in_three_parts(header in any::<Vec<u8>>(), payload in any::<Vec<u8>>(), signature in any::<Vec<u8>>()) {
        let token = [header, payload, signature].map(|part| super::base64url(&part)).join(".");
        prop_assert!(!accepted(&token));
    }

    #[test]
    fn an_edited_token(at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_.=-]") {
        let token = Forged::good(&KEY).sign(&KEY);
        let at = at.index(token.len());
        let edited = format!("{}{with}{}", &token[..at], &token[at + 1..]);
        prop_assert_eq!(accepted(&edited), edited == token);
    }

    /// Even with a good signature: an issuer that went mad.
    #[test]
    fn any_signed_bytes(header in any::<Vec<u8>>(), claims in any::<Vec<u8>>()) {
        let good = Forged::good(&KEY);
        prop_assert!(!accepted(&KEY.sign_bytes(&header, good.claims.to_string().as_bytes())));
        prop_assert!(!accepted(&KEY.sign_bytes(good.header.to_string().as_bytes(), &claims)));
    }

    #[test]
    fn any_signed_json(header in json(), claims in json()) {
        let good = Forged::good(&KEY);
        prop_assert!(!accepted(&KEY.sign(&header, &good.claims.to_string())));
        prop_assert!(!accepted(&KEY.sign(&good.header.to_string(), &claims)));
    }

    /// Good claims with any among them: it may be good still, and must not panic.
    #[test]
    fn any_claim(more in json()) {
        let good = Forged::good(&KEY);
        let claims = good.claims.to_string();
        let joined = format!("{},{}", &claims[..claims.len() - 1], &more[1..]);
        let _either_way = accepted(&KEY.sign(&good.header.to_string(), &joined));
    }

    /// However long: over the cap it is not even taken apart.
    #[test]
    fn any_length(length in 16_385_usize..100_000, dots in prop::collection::vec(any::<prop::sample::Index>(), 0..4)) {
        let mut text = vec![b'e'; length];
        for dot in dots {
            text[dot.index(length)] = b'.';
        }
        prop_assert!(ISSUERS.verify(std::str::from_utf8(&text).unwrap(), now()).is_none());
    }

    #[test]
    fn any_key_set(bytes in any::<Vec<u8>>(), set in json()) {
        let accepted = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
        prop_assert!(KeySet::read(&bytes, &accepted).is_err());
        let _either_way = KeySet::read(set.as_bytes(), &accepted);
        let _either_way = KeySet::read(format!("{{\"keys\":[{set}]}}").as_bytes(), &accepted);
    }
}
