//! Every rule in one table: what a verifier over plain jsonwebtoken takes or never asks, which RFC says otherwise, and that it is
//! refused here. The other tests of this directory go round each of them; this one says that none is missing.

use serde_json::json;

use super::{
    super::{
        AccessTokens, SigningKey, TokenKeys, TokenUse, VerifyingKey,
        refresh::{RefreshTokens, ServerSecrets},
    },
    Forged, RSA, SECRET, hs256, naive_accepts, naive_accepts_with, now, pem_of, provider, rfc, sign, sign_bytes,
    vectors::*,
    verify,
};
use crate::{ConfigError, session::SessionId};

/// What is refused, and by which words.
enum Given {
    Token(String, Plain, &'static str),
    TokenFor(TokenKeys, String, &'static str),
    Key(Result<(), ConfigError>, &'static str),
    Set(AccessTokens, &'static str),
    RefreshToken(String),
    /// The test that shows it in a process of its own.
    Provider(&'static str),
}

use Given::{Key, Provider, RefreshToken, Set, Token, TokenFor};

/// What jsonwebtoken makes of it, as it comes: the control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plain {
    Takes,
    Refuses,
}

use Plain::{Refuses, Takes};

fn tokens() -> Vec<(&'static str, Given)> {
    let good = Forged::good;
    let base = now().unix_timestamp();
    let header = |name: &str, value| good().header(name, value).sign();
    let claim = |name: &str, value| good().claim(name, value).sign();
    let signed = sign(&hs256());
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(signed.chars().next_back().unwrap()).unwrap();
    let stray = format!("{}{}", &signed[..signed.len() - 1], &alphabet[last + 1..last + 2]);
    let expired = good().claim("iat", json!(base - 900)).claim("exp", json!(base - 55)).sign();
    let ahead = good().claim("iat", json!(base + 3_600)).claim("exp", json!(base + 7_200)).sign();
    let attackers = [SECRET, b"another"].concat();
    let jwk = json!({ "kty": "oct", "k": "YW5vdGhlciBzZWNyZXQsIGFzIGxvbmcgYXMgaXQgdGFrZXM" });
    let brought = good().header("jwk", jwk).header("jku", json!("https://evil.example/keys"));
    let brought = sign_bytes(brought.header.to_string().as_bytes(), good().claims.to_string().as_bytes(), &attackers);
    let rsa = VerifyingKey::rs256_pem(&RSA.1).unwrap();
    let as_secret = good().header("kid", json!(rsa.kid())).header.to_string();
    let as_secret = sign_bytes(as_secret.as_bytes(), good().claims.to_string().as_bytes(), RSA.1.as_bytes());
    let next = AccessTokens::hs256(&attackers).unwrap().seal().unwrap();
    let refresh = RefreshTokens::new(&ServerSecrets::new(vec![SECRET.to_vec()]).unwrap()).unwrap();
    vec![
        // RFC 7519 §4.1, RFC 9068 §2.2: claims that are there, of their type, and asked.
        ("exp: a minute of leeway", Token(expired, Takes, "Expired")),
        ("exp as text", Token(claim("exp", json!((base + 900).to_string())), Refuses, "form: exp")),
        ("no exp", Token(good().without("exp").sign(), Refuses, "missing: exp")),
        ("nbf is not asked", Token(claim("nbf", json!(base + 3_600)), Takes, "not valid yet")),
        ("nbf as text", Token(claim("nbf", json!((base - 900).to_string())), Takes, "form: nbf")),
        ("iat is not asked", Token(ahead, Takes, "Expired")),
        ("no iat", Token(good().without("iat").sign(), Takes, "missing: iat")),
        ("no iss", Token(good().without("iss").sign(), Takes, "missing: iss")),
        ("iss of another type", Token(claim("iss", json!(5)), Takes, "form: iss")),
        ("another iss", Token(claim("iss", json!("another")), Refuses, "another issuer")),
        ("no aud", Token(good().without("aud").sign(), Takes, "missing: aud")),
        ("aud of another type", Token(claim("aud", json!({})), Takes, "form: aud")),
        ("another aud", Token(claim("aud", json!("another")), Refuses, "another audience")),
        ("no sub", Token(good().without("sub").sign(), Takes, "missing: sub")),
        ("no jti", Token(good().without("jti").sign(), Takes, "missing: jti")),
        ("no session_id", Token(good().without("session_id").sign(), Takes, "missing: session_id")),
        ("session_id that is no UUID", Token(claim("session_id", json!("' OR 1=1")), Takes, "form: session_id")),
        ("session_id twice", Token(good().sign_with_text(r#""session_id":"x""#), Takes, "twice")),
        // RFC 8725 §3.11: one use, one type.
        ("no typ", Token(good().without_header("typ").sign(), Takes, "typ")),
        ("the typ of the session cookie", Token(header("typ", json!("session+jwt")), Takes, "typ")),
        ("a refresh token for an access token", Token(refresh.make(SessionId::new(), 1), Refuses, "not a JWT")),
        ("an access token for a refresh token", RefreshToken(signed.clone())),
        // RFC 7515 §4.1.11, RFC 7797.
        ("crit that is not understood", Token(header("crit", json!(["unknown"])), Takes, "critical")),
        (
            "b64=false",
            Token(good().header("b64", json!(false)).header("crit", json!(["b64"])).sign(), Takes, "critical"),
        ),
        // RFC 8725 §3.1, §3.10: key and algorithm are ours to choose.
        ("alg none", Token(header("alg", json!("none")), Refuses, "algorithm")),
        ("no signature", Token(signed[..=signed.rfind('.').unwrap()].into(), Refuses, "signature")),
        ("another alg of the family", Token(header("alg", json!("HS384")), Refuses, "algorithm")),
        ("alg ES512", Token(header("alg", json!("ES512")), Refuses, "algorithm")),
        ("a public key as secret", TokenFor(AccessTokens::verify_only(rsa).seal().unwrap(), as_secret, "algorithm")),
        ("a key that the token brings", Token(brought, Refuses, "signature")),
        ("no kid", Token(good().without_header("kid").sign(), Takes, "kid")),
        ("kid of no key", Token(header("kid", json!("../../dev/null")), Takes, "kid")),
        ("kid over 128 bytes", Token(header("kid", json!("k".repeat(129))), Takes, "kid")),
        ("a key that is not published yet", Token(sign(&next), Refuses, "no known key")),
        // What it costs: size, depth, one way to write it.
        ("over 8 KiB", Token(claim("x", json!("x".repeat(8 * 1024))), Takes, "8 KiB")),
        ("200 deep", Token(claim("x", (0..100).fold(json!(0), |inner, _| json!([[inner]]))), Refuses, "custom claims")),
        ("base64 with padding", Token(format!("{signed}="), Refuses, "signature")),
        ("base64 with stray bits", Token(stray, Refuses, "signature")),
    ]
}

fn keys() -> Vec<(&'static str, Given)> {
    let secret = |secret: &[u8], says| Key(SigningKey::hs256(secret).map(drop), says);
    let private = |body| pem_of("PRIVATE KEY", body);
    let public = |body| pem_of("PUBLIC KEY", body);
    let rs_private = |pem: String, says| Key(SigningKey::rs256_pem(pem).map(drop), says);
    let rs_public = |pem: String, says| Key(VerifyingKey::rs256_pem(pem).map(drop), says);
    let es = |pem: String, says| Key(VerifyingKey::es256_pem(pem).map(drop), says);
    let ed = |pem: String, says| Key(VerifyingKey::eddsa_pem(pem).map(drop), says);
    let kid = |kid: &str| Key(VerifyingKey::hs256(SECRET).unwrap().with_kid(kid).map(drop), "1 to 128");
    vec![
        // RFC 7518 §3.2, RFC 8725 §3.5.
        ("HS256 without a secret", secret(b"", "has 0")),
        ("HS256 with 31 bytes", secret(&SECRET[..31], "has 31")),
        ("HS256 with one byte repeated", secret(&[7; 64], "one byte repeated")),
        ("HS256 with a PEM file", secret(public(P256_PUBLIC).as_bytes(), "PEM")),
        // RFC 7518 §3.3.
        ("RSA of 1024 bits that signs", rs_private(private(RSA1024_PRIVATE), "2048")),
        ("RSA of 1024 bits", rs_public(public(RSA1024_PUBLIC), "2048")),
        ("RSA of 2040 bits", rs_public(public(RSA2040_PUBLIC), "2048")),
        // What the key is for: a PEM file says it by its algorithm, as a JWK by `use`.
        ("a key for RSA-PSS", rs_public(public(RSA_PSS_PUBLIC), "PSS")),
        ("a key that agrees on secrets", ed(public(X25519_PUBLIC), "X25519")),
        ("a private key to check with", es(private(P256_PRIVATE), "private key")),
        ("a public key to sign with", rs_private(RSA.1.clone(), "public half")),
        // RFC 7518 §3.4, RFC 8037 §3.1: its curve.
        ("ES256 on P-384", es(public(P384_PUBLIC), "P-384")),
        ("ES256 on P-521 (ES512)", es(rfc::p521_public(), "P-521")),
        ("ES256 on secp256k1", es(public(K256_PUBLIC), "secp256k1")),
        ("EdDSA with Ed448", ed(public(ED448_PUBLIC), "Ed448")),
        ("another family", es(RSA.1.clone(), "this is an RSA key")),
        // It stands in every token and in logs.
        ("an empty kid", kid("")),
        ("a kid of 129 bytes", kid(&"k".repeat(129))),
        ("a kid with a line break", kid("a\nb")),
    ]
}

fn sets() -> Vec<(&'static str, Given)> {
    let hs = || AccessTokens::hs256(SECRET).unwrap();
    let same = || VerifyingKey::hs256(SECRET).unwrap();
    let other = || VerifyingKey::hs256([SECRET, b"2"].concat()).unwrap();
    let public = || VerifyingKey::es256_pem(pem_of("PUBLIC KEY", P256_PUBLIC)).unwrap();
    let one = |key: VerifyingKey| key.with_kid("one").unwrap();
    let mixed = AccessTokens::verify_only(public()).also_accept(same());
    let minutes = std::time::Duration::from_secs(61);
    vec![
        ("one key twice", Set(hs().also_accept(same()), "two keys")),
        ("one kid twice", Set(hs().also_accept(one(other())).also_accept(one(same())), "two keys")),
        ("a secret beside a public key", Set(hs().also_accept(public()), "side by side")),
        ("a public key beside a secret", Set(mixed, "side by side")),
        ("no issuer", Set(hs().issuer(""), "must not be empty")),
        ("no audience", Set(hs().audience(""), "must not be empty")),
        ("over a minute of leeway", Set(hs().leeway(minutes), "too long")),
        // Both features of jsonwebtoken, or none: a placeholder that panics at the first token and stays.
        ("two crypto providers, or none", Provider("a_placeholder_that_panics")),
        ("a provider without our algorithms", Provider("a_provider_without_our_algorithms")),
        ("a provider that accepts everything", Provider("a_provider_that_accepts_everything")),
    ]
}

#[test]
fn every_rule_is_kept() {
    let rows: Vec<_> = [tokens(), keys(), sets()].into_iter().flatten().collect();
    let (count, mut tokens, mut taken) = (rows.len(), 0, 0);
    let careless = jsonwebtoken::DecodingKey::from_secret(RSA.1.as_bytes());
    for (rule, given) in rows {
        match given {
            Token(token, plain, why) => {
                assert_eq!(naive_accepts(&token), plain == Takes, "the control: {rule}");
                let refusal = format!("{:?}", verify(&hs256(), &token).unwrap_err());
                assert!(refusal.contains(why), "{rule}: {refusal}");
                tokens += 1;
                taken += usize::from(plain == Takes);
            }
            TokenFor(keys, token, why) => {
                assert!(naive_accepts_with(&token, &careless, jsonwebtoken::Algorithm::HS256), "the control: {rule}");
                let refusal = format!("{:?}", keys.verify(&token, TokenUse::Access, now()).unwrap_err());
                assert!(refusal.contains(why), "{rule}: {refusal}");
                tokens += 1;
                taken += 1;
            }
            Key(made, says) => {
                let error = made.unwrap_err().to_string();
                assert!(error.contains(says), "{rule}: {error}");
            }
            Set(tokens, says) => {
                let error = tokens.seal().unwrap_err().to_string();
                assert!(error.contains(says), "{rule}: {error}");
            }
            RefreshToken(token) => {
                let secrets = ServerSecrets::new(vec![SECRET.to_vec()]).unwrap();
                assert!(RefreshTokens::new(&secrets).unwrap().read(&token).is_none(), "{rule}");
            }
            Provider(test) => provider::run(test),
        }
    }
    println!("{count} rules; jsonwebtoken as it comes takes {taken} of the {tokens} tokens");
}
