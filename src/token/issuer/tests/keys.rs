//! Promise: a weak, ambiguous or unsuitable key of a set is passed over and costs the others nothing.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{super::key_set::KeySet, TestKey, base64url, vectors::RSA_N};

const ACCEPTED: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

fn read(keys: &[Value]) -> Result<KeySet, &'static str> {
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes(), &ACCEPTED)
}

fn with(key: &Value, name: &str, value: Value) -> Value {
    let mut key = key.clone();
    key[name] = value;
    key
}

fn without(key: &Value, name: &str) -> Value {
    let mut key = key.clone();
    key.as_object_mut().unwrap().remove(name).unwrap();
    key
}

/// Of so many bits, and odd.
fn modulus(bits: usize) -> String {
    let mut bytes = vec![0xff; bits.div_ceil(8)];
    bytes[0] = u8::MAX >> ((8 - bits % 8) % 8);
    base64url(&bytes)
}

#[test]
fn keys_that_cannot_protect_anything_are_passed_over() {
    let good = TestKey::es256("good").jwk;
    let (ec, ed, rsa) = (TestKey::es256("bad").jwk, TestKey::eddsa("bad").jwk, TestKey::rs256("bad").jwk);
    let x = URL_SAFE_NO_PAD.decode(ec["x"].as_str().unwrap()).unwrap();
    let off_curve: Vec<u8> = x.iter().map(|byte| byte ^ 1).collect();
    let table = [
        ("for encryption", with(&ec, "use", json!("enc"))),
        ("for who knows what", with(&ec, "use", json!(5))),
        ("for signing alone", with(&ec, "key_ops", json!(["sign"]))),
        ("for wrapping", with(&ec, "key_ops", json!(["wrapKey"]))),
        ("operations unreadable", with(&ec, "key_ops", json!("verify"))),
        ("without a name", without(&ec, "kid")),
        ("an empty name", with(&ec, "kid", json!(""))),
        ("a name of 129 bytes", with(&ec, "kid", json!("k".repeat(129)))),
        ("a number for a name", with(&ec, "kid", json!(5))),
        ("without a sort", without(&ec, "kty")),
        ("a shared secret", json!({ "kty": "oct", "kid": "bad", "alg": "HS256", "k": base64url(&[7; 32]) })),
        ("an empty secret", json!({ "kty": "oct", "kid": "bad", "k": "" })),
        ("a sort to come", json!({ "kty": "AKP", "kid": "bad", "alg": "ML-DSA-65", "pub": "AAAA" })),
        ("its private half published", with(&ec, "d", json!(base64url(&[7; 32])))),
        ("HS256 by an RSA key", with(&rsa, "alg", json!("HS256"))),
        ("ES256 by an RSA key", with(&rsa, "alg", json!("ES256"))),
        ("RS256 by a curve", with(&ec, "alg", json!("RS256"))),
        ("EdDSA by P-256", with(&ec, "alg", json!("EdDSA"))),
        ("ES384 by P-256", with(&ec, "alg", json!("ES384"))),
        ("none", with(&ec, "alg", json!("none"))),
        ("an algorithm that is not accepted", with(&rsa, "alg", json!("RS512"))),
        ("encryption by its algorithm", with(&rsa, "alg", json!("RSA-OAEP-256"))),
        ("a number for an algorithm", with(&ec, "alg", json!(5))),
        ("RSA of 512 bits", with(&rsa, "n", json!(modulus(512)))),
        ("RSA of 1024 bits", with(&rsa, "n", json!(modulus(1024)))),
        ("RSA of 2047 bits", with(&rsa, "n", json!(modulus(2047)))),
        ("RSA of 1024 bits, padded", with(&rsa, "n", json!(base64url(&[vec![0; 128], vec![0xff; 128]].concat())))),
        ("RSA of 8193 bits", with(&rsa, "n", json!(modulus(8193)))),
        ("an even modulus", with(&rsa, "n", json!(base64url(&[0xfe; 256])))),
        ("no modulus", without(&rsa, "n")),
        ("an empty modulus", with(&rsa, "n", json!(""))),
        ("a modulus that is no base64url", with(&rsa, "n", json!(RSA_N.replace('-', "+")))),
        ("no exponent", without(&rsa, "e")),
        ("an exponent of nothing", with(&rsa, "e", json!(""))),
        ("an exponent of 0", with(&rsa, "e", json!("AA"))),
        ("an exponent of 1", with(&rsa, "e", json!("AQ"))),
        ("an exponent of 1, padded", with(&rsa, "e", json!(base64url(&[0, 0, 1])))),
        ("an exponent of 2", with(&rsa, "e", json!("Ag"))),
        ("an exponent of five bytes", with(&rsa, "e", json!(base64url(&[1, 0, 0, 0, 1])))),
        ("P-384, which is not accepted", with(&ec, "crv", json!("P-384"))),
        ("P-521", with(&ec, "crv", json!("P-521"))),
        ("secp256k1", with(&ec, "crv", json!("secp256k1"))),
        ("no curve", without(&ec, "crv")),
        ("not on the curve", with(&ec, "x", json!(base64url(&off_curve)))),
        ("a short coordinate", with(&ec, "x", json!(base64url(&x[1..])))),
        ("a long coordinate", with(&ec, "x", json!(base64url(&[&[0][..], &x].concat())))),
        ("the point at infinity", with(&with(&ec, "x", json!(base64url(&[0; 32]))), "y", json!(base64url(&[0; 32])))),
        ("Ed448", with(&ed, "crv", json!("Ed448"))),
        ("X25519, which cannot sign", with(&ed, "crv", json!("X25519"))),
        ("a short Ed25519 key", with(&ed, "x", json!(base64url(&[7; 31])))),
        ("no Ed25519 key", without(&ed, "x")),
        ("no key", json!({})),
        ("no object", json!("bad")),
        ("null", json!(null)),
    ];
    for (what, bad) in table {
        let keys = read(&[bad.clone(), good.clone()]).unwrap();
        assert!(keys.get("good").is_some(), "{what}");
        assert!(keys.get("bad").is_none(), "{what}: {keys:?}");
        assert_eq!(read(&[bad]).err(), Some("the key set has no usable key"), "{what}");
    }
    let member_twice = format!(r#"{{"keys":[{},{}]}}"#, ec.to_string().replacen('{', r#"{"kid":"bad","#, 1), good);
    let keys = KeySet::read(member_twice.as_bytes(), &ACCEPTED).unwrap();
    assert!(keys.get("bad").is_none() && keys.get("good").is_some());
}

#[test]
fn what_is_beside_the_point_changes_nothing() {
    let (ec, rsa) = (TestKey::es256("1").jwk, TestKey::rs256("1").jwk);
    for (what, key, algorithm) in [
        ("as it is", ec.clone(), Algorithm::ES256),
        ("with its algorithm", with(&ec, "alg", json!("ES256")), Algorithm::ES256),
        ("without a use", without(&ec, "use"), Algorithm::ES256),
        ("for verifying", with(&ec, "key_ops", json!(["verify"])), Algorithm::ES256),
        ("with a certificate", with(&ec, "x5c", json!(["AAAA"])), Algorithm::ES256),
        ("with something new", with(&ec, "new", json!({ "a": [1] })), Algorithm::ES256),
        ("a name of 128 bytes", with(&ec, "kid", json!("k".repeat(128))), Algorithm::ES256),
        ("RSA without an algorithm", without(&rsa, "alg"), Algorithm::RS256),
        (
            "a modulus with a zero in front",
            with(&rsa, "n", json!(format!("AJ{}", &zero_in_front()[2..]))),
            Algorithm::RS256,
        ),
        ("an exponent of 3", with(&rsa, "e", json!("Aw")), Algorithm::RS256),
        ("Ed25519 by its newer name", with(&TestKey::eddsa("1").jwk, "alg", json!("Ed25519")), Algorithm::EdDSA),
    ] {
        let kid = key["kid"].as_str().unwrap().to_owned();
        let keys = read(&[key]).unwrap_or_else(|why| panic!("{what}: {why}"));
        assert_eq!(keys.get(&kid).unwrap().algorithm, algorithm, "{what}");
    }
}

fn zero_in_front() -> String {
    base64url(&[vec![0], URL_SAFE_NO_PAD.decode(RSA_N).unwrap()].concat())
}

#[test]
fn a_name_of_two_keys_is_the_name_of_none() {
    let (one, other, good) = (TestKey::es256("1").jwk, TestKey::eddsa("1").jwk, TestKey::es256("good").jwk);
    for twice in
        [vec![one.clone(), other.clone()], vec![one.clone(), one.clone()], vec![one.clone(), other, one.clone()]]
    {
        let keys = read(&[twice, vec![good.clone()]].concat()).unwrap();
        assert!(keys.get("1").is_none() && keys.get("good").is_some());
    }
    // One that could not be used anyway leaves no doubt.
    let keys = read(&[with(&one, "use", json!("enc")), one]).unwrap();
    assert!(keys.get("1").is_some());
}

#[test]
fn a_set_has_bounds() {
    let keys: Vec<Value> = (0..100).map(|number| TestKey::eddsa(&number.to_string()).jwk).collect();
    assert!(read(&keys).unwrap().get("99").is_some());
    let padded = |length: usize| {
        let set = json!({ "keys": [keys[0]], "fill": "" }).to_string();
        let fill = "x".repeat(length - set.len());
        set.replacen(r#""fill":"""#, &format!(r#""fill":"{fill}""#), 1)
    };
    assert!(KeySet::read(padded(256 * 1024).as_bytes(), &ACCEPTED).is_ok());
    assert_eq!(
        KeySet::read(padded(256 * 1024 + 1).as_bytes(), &ACCEPTED).err(),
        Some("the key set is longer than 256 KiB")
    );
}

#[test]
fn debug_shows_names_alone() {
    let key = TestKey::eddsa("name");
    let shown = format!("{:?}", read(std::slice::from_ref(&key.jwk)).unwrap());
    assert_eq!(shown, r#"{"name": EdDSA}"#);
}
