//! What is signed is accepted: by every algorithm, by the keys that are listed, with the claims that were given.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{
    super::AccessTokens, super::SigningKey, super::TokenKeys, super::TokenRefusal, super::VerifyingKey, RSA, SECRET,
    SESSION, hs256, new_token, now, pem_of, sign, vectors::*, verify,
};
use crate::{ErrorKind, session::UserId};

fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

/// Of each algorithm: the pair, and a second key of another sort that may stand beside it.
fn pairs() -> Vec<(SigningKey, VerifyingKey)> {
    let (rsa, rsa_public) = &*RSA;
    vec![
        (SigningKey::hs256(SECRET).unwrap(), VerifyingKey::hs256(SECRET).unwrap()),
        (SigningKey::rs256_pem(rsa).unwrap(), VerifyingKey::rs256_pem(rsa_public).unwrap()),
        (
            SigningKey::es256_pem(pem_of("PRIVATE KEY", P256_PRIVATE)).unwrap(),
            VerifyingKey::es256_pem(pem_of("PUBLIC KEY", P256_COMPRESSED)).unwrap(),
        ),
        (
            SigningKey::eddsa_pem(pem_of("PRIVATE KEY", ED25519_PRIVATE)).unwrap(),
            VerifyingKey::eddsa_pem(pem_of("PUBLIC KEY", ED25519_PUBLIC)).unwrap(),
        ),
    ]
}

fn only(key: VerifyingKey) -> TokenKeys {
    AccessTokens::verify_only(key).seal().unwrap()
}

#[test]
fn every_algorithm_there_and_back() {
    for ((signing, verifying), name) in pairs().into_iter().zip(["HS256", "RS256", "ES256", "EdDSA"]) {
        let kid = verifying.kid().to_owned();
        let signer = AccessTokens::signing_with(signing).seal().unwrap();
        let token = sign(&signer);
        assert_eq!(part(&token, 0), json!({ "typ": "at+jwt", "alg": name, "kid": kid }));
        for keys in [signer, only(verifying)] {
            let verified = verify(&keys, &token).unwrap();
            assert_eq!(
                (verified.session_id.to_string(), verified.user_id.as_str()),
                (SESSION.into(), "lena"),
                "{name}"
            );
        }
        let tampered = format!("{}A{}", &token[..token.len() - 9], &token[token.len() - 8..]);
        let tampered = if tampered == token { token.replacen("A", "B", 1) } else { tampered };
        assert!(verify(&hs256(), &tampered).is_err());
    }
}

#[test]
fn the_claims_are_the_documented_ones() {
    let token = sign(&AccessTokens::hs256(SECRET).unwrap().issuer("login").audience("shop").seal().unwrap());
    let claims = part(&token, 1);
    let mut names: Vec<&String> = claims.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["aud", "exp", "gen", "iat", "iss", "jti", "session_id", "sub"]);
    assert_eq!((&claims["iss"], &claims["aud"], &claims["sub"]), (&json!("login"), &json!("shop"), &json!("lena")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);

    assert_ne!(part(&sign(&hs256()), 1)["jti"], part(&sign(&hs256()), 1)["jti"]);
    assert_eq!(verify(&hs256(), &token), Err(TokenRefusal::Invalid("another issuer")));
    let shop = AccessTokens::hs256(SECRET).unwrap().audience("shop").seal().unwrap();
    assert_eq!(verify(&hs256(), &sign(&shop)), Err(TokenRefusal::Invalid("another audience")));
}

#[test]
fn rotation() {
    let old = || [SECRET, b"old"].concat();
    let old_token = sign(&AccessTokens::hs256(old()).unwrap().seal().unwrap());
    let new = || AccessTokens::hs256(SECRET).unwrap();
    assert_eq!(verify(&new().seal().unwrap(), &old_token), Err(TokenRefusal::Invalid("`kid` of no known key")));
    let both = new().also_accept(VerifyingKey::hs256(old()).unwrap()).seal().unwrap();
    assert!(verify(&both, &old_token).is_ok());
    assert!(verify(&both, &sign(&both)).is_ok());
    assert!(verify(&new().seal().unwrap(), &sign(&both)).is_ok(), "the new key signs");

    // From one asymmetric algorithm to another.
    let mut pairs = pairs();
    let (_, ed_public) = pairs.pop().unwrap();
    let (es, _) = pairs.pop().unwrap();
    let ed_token = {
        let (ed, _) = self::pairs().pop().unwrap();
        sign(&AccessTokens::signing_with(ed).seal().unwrap())
    };
    let both = AccessTokens::signing_with(es).also_accept(ed_public).seal().unwrap();
    assert!(verify(&both, &ed_token).is_ok());
}

#[test]
fn ambiguous_sets_are_refused() {
    let hs = || AccessTokens::hs256(SECRET).unwrap();
    let says = |tokens: AccessTokens, text: &str| {
        let error = tokens.seal().unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    says(hs().also_accept(VerifyingKey::hs256(SECRET).unwrap()), "two keys");
    let named = |secret: &[u8]| VerifyingKey::hs256(secret).unwrap().with_kid("one").unwrap();
    says(hs().also_accept(named(&[SECRET, b"1"].concat())).also_accept(named(&[SECRET, b"2"].concat())), "two keys");
    let public = || VerifyingKey::es256_pem(pem_of("PUBLIC KEY", P256_PUBLIC)).unwrap();
    says(hs().also_accept(public()), "side by side");
    says(AccessTokens::verify_only(public()).also_accept(VerifyingKey::hs256(SECRET).unwrap()), "side by side");
    says(hs().issuer(""), "must not be empty");
    says(hs().audience(""), "must not be empty");
}

#[test]
fn keys_that_only_verify_do_not_sign() {
    let keys = only(VerifyingKey::hs256(SECRET).unwrap());
    assert!(!keys.can_sign() && hs256().can_sign());
    let error = keys.sign(&new_token(&UserId::from("lena"), now())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CannotSign);
}

#[test]
fn custom_claims_go_there_and_back() {
    let custom: Map<String, Value> =
        serde_json::from_value(json!({ "roles": ["admin", "é\u{1f600}\"\\"], "n": { "a": 1.5, "b": null } })).unwrap();
    let user = UserId::from("lena");
    let mut new = new_token(&user, now());
    new.custom = Some(&custom);
    let verified = verify(&hs256(), &hs256().sign(&new).unwrap()).unwrap();
    assert!(!format!("{verified:?}").contains("admin"));
    let payload: Map<String, Value> = serde_json::from_str(&verified.claims.unwrap()).unwrap();
    assert_eq!((&payload["roles"], &payload["n"]), (&custom["roles"], &custom["n"]));
    assert_eq!(payload["sub"], "lena");

    let empty = Map::new();
    new.custom = Some(&empty);
    assert_eq!(verify(&hs256(), &hs256().sign(&new).unwrap()).unwrap().claims, None);
}

#[test]
fn unusable_input_is_refused_when_signing() {
    let user = UserId::from("lena");
    let refused = |name: &str, value: Value| {
        let custom = Map::from_iter([(name.to_owned(), value)]);
        let mut new = new_token(&user, now());
        new.custom = Some(&custom);
        let error = hs256().sign(&new).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidClaims, "{name}");
        assert!(!error.to_string().contains("eyJ"));
    };
    for name in ["iss", "aud", "sub", "exp", "iat", "nbf", "jti", "session_id", "gen"] {
        refused(name, json!("mine"));
    }
    refused("large", json!("x".repeat(8 * 1024)));
    refused("deep", (0..150).fold(json!(0), |inner, _| json!([inner])));

    for bad in [String::new(), "u".repeat(256)] {
        let user = UserId::from(bad);
        assert_eq!(hs256().sign(&new_token(&user, now())).unwrap_err().kind(), ErrorKind::InvalidClaims);
    }
    let before_1970 = now() - Duration::from_secs(100 * 366 * 86_400);
    assert_eq!(hs256().sign(&new_token(&user, before_1970)).unwrap_err().kind(), ErrorKind::InvalidClaims);
}
