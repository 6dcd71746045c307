//! The examples of RFC 7520 (JSON Object Signing and Encryption), rebuilt from its keys and inputs, and one of RFC 8037.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::{
    super::key_set::{KeySet, algorithm},
    Forged, TestKey, issuer, knowing, learn, verify,
};
use crate::token::TokenRefusal;

/// RFC 7520 §4: what all its examples sign. It has characters that are not ASCII.
const PAYLOAD: &str = "It\u{2019}s a dangerous business, Frodo, going out your door. You step onto the road, and if you \
                       don't keep your feet, there\u{2019}s no knowing where you might be swept off to.";
const BILBO: &str = "bilbo.baggins@hobbiton.example";

/// §3.4: its RSA key.
pub(super) const RSA_N: &str = "\
    n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_Ns\
    YOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCu\
    EHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";
const RSA_D: &str = "\
    bWUC9B-EFRIo8kpGfh0ZuyGPvMNKvYWNtB_ikiH9k20eT-O1q_I78eiZkpXxXQ0UTEs2LsNRS-8uJbvQ-A1irkwMSMkK1J3XTGgdrhCku9gRldY7sNA_\
    AKZGh-Q661_42rINLRCe8W-nZ34ui_qOfkLnK9QWDDqpaIsA-bMwWWSDFu2MUBYwkHTMEzLYGqOe04noqeq1hExBTHBOBdkMXiuFhUq1BU6l-DqEiWxq\
    g82sXt2h-LMnT3046AOYJoRioz75tSUQfGCshWTBnP5uDjd18kKhyv07lhfSJdrPdM5Plyl21hsFf4L_mHCuoFau7gdsPfHPxxjVOcOpBrQzwQ";
const RSA_P: &str = "\
    3Slxg_DwTXJcb6095RoXygQCAZ5RnAvZlno1yhHtnUex_fp7AZ_9nRaO7HX_-SFfGQeutao2TDjDAWU4Vupk8rw9JR0AzZ0N2fvuIAmr_WCsmGpeNqQn\
    ev1T7IyEsnh8UMt-n5CafhkikzhEsrmndH6LxOrvRJlsPp6Zv8bUq0k";
const RSA_Q: &str = "\
    uKE2dh-cTf6ERF4k4e_jy78GfPYUIaUyoSSJuBzp3Cubk3OCqs6grT8bR_cu0Dm1MZwWmtdqDyI95HrUeq3MP15vMMON8lHTeZu2lmKvwqW7anV5UzhM\
    1iZ7z4yMkuUwFWoBvyY898EXvRD-hdqRxHlSqAZ192zB3pVFJ0s7pFc";
const RSA_DP: &str = "\
    B8PVvXkvJrj2L-GYQ7v3y9r6Kw5g9SahXBwsWUzp19TVlgI-YV85q1NIb1rxQtD-IsXXR3-TanevuRPRt5OBOdiMGQp8pbt26gljYfKU_E9xn-RULHz0\
    -ed9E9gXLKD4VGngpz-PfQ_q29pk5xWHoJp009Qf1HvChixRX59ehik";
const RSA_DQ: &str = "\
    CLDmDGduhylc9o7r84rEUVn7pzQ6PF83Y-iBZx5NT-TpnOZKF1pErAMVeKzFEl41DlHHqqBLSM0W1sOFbwTxYWZDm6sI6og5iTbwQGIC3gnJKbi_7k_v\
    JgGHwHxgPaX2PnvP-zyEkDERuf-ry4c_Z11Cq9AqC2yeL6kdKT1cYF8";
const RSA_QI: &str = "\
    3PiqvXQN0zwMeE-sBvZgi289XP9XCQF3VWqPzMKnIgQp7_Tugo6-NZBKCQsMf3HaEGBjTVJs_jcK8-TRXvaKe-7ZMaQj8VfBdYkssbu0NKDDhjJ-Gtis\
    eaDVWt7dcH0cfwxgFUHpQh7FoCrjFJ6h6ZEpMF6xmujs4qMpPz8aaI4";

/// §4.1.2: RS256 has one signature a message.
const RS256_SIGNATURE: &str = "\
    MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA7818\
    5hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_\
    de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg";
/// §4.2.2: PS384 is salted, so it can only be checked.
const PS384_SIGNATURE: &str = "\
    cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhi\
    USMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2X\
    ez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw";
/// §3.1 and §4.3.2: P-521 and ES512.
const ES512_X: &str = "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt";
const ES512_Y: &str = "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1";
const ES512_SIGNATURE: &str = "\
    AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7X\
    rT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2";
/// §3.5 and §4.4: HS256.
const HS256_KID: &str = "018c0ae5-4d9b-471b-bfd6-eef314bc7037";
const HS256_SECRET: &str = "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg";
const HS256_SIGNATURE: &str = "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0";

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// RFC 8017 A.1.2, which is what the library wants: nine integers in a sequence.
pub(super) fn rsa_private() -> EncodingKey {
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82][..], &length, content].concat()
    }
    // A zero in front keeps a number positive; longer than needed is not allowed.
    let integer = |number: &[u8]| {
        let number = if number[0] >= 0x80 { [&[0][..], number].concat() } else { number.to_vec() };
        match u8::try_from(number.len()) {
            Ok(length) if length < 0x80 => [&[2, length][..], &number].concat(),
            Ok(length) => [&[2, 0x81, length][..], &number].concat(),
            Err(_) => der(2, &number),
        }
    };
    let parts = [RSA_N, "AQAB", RSA_D, RSA_P, RSA_Q, RSA_DP, RSA_DQ, RSA_QI];
    let numbers: Vec<u8> = [vec![0]].into_iter().chain(parts.map(decode)).flat_map(|part| integer(&part)).collect();
    EncodingKey::from_rsa_der(&der(0x30, &numbers))
}

fn header(alg: &str, kid: &str) -> String {
    // In this order of members, which is the RFC's.
    format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#)
}

fn message(alg: &str, kid: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header(alg, kid)), URL_SAFE_NO_PAD.encode(PAYLOAD))
}

fn set(key: &Value, accepted: &[Algorithm]) -> Result<KeySet, &'static str> {
    KeySet::read(json!({ "keys": [key] }).to_string().as_bytes(), accepted)
}

fn rsa_public() -> Value {
    json!({ "kty": "RSA", "kid": BILBO, "use": "sig", "n": RSA_N, "e": "AQAB" })
}

#[test]
fn rfc_7520_4_1_rs256() {
    let key = TestKey { kid: BILBO.into(), algorithm: Algorithm::RS256, encoding: rsa_private(), jwk: rsa_public() };
    let rebuilt = key.sign(&header("RS256", BILBO), PAYLOAD);
    assert_eq!(rebuilt, format!("{}.{RS256_SIGNATURE}", message("RS256", BILBO)));

    let keys = set(&key.jwk, &[Algorithm::RS256]).unwrap();
    let found = keys.get(BILBO).unwrap();
    assert!(found.verifies(&message("RS256", BILBO), RS256_SIGNATURE));
    assert!(!found.verifies(&message("RS256", BILBO), PS384_SIGNATURE));
    assert!(!found.verifies(&message("PS384", BILBO), RS256_SIGNATURE));

    // With claims instead of the quotation, the same key signs a token that is accepted.
    let issuers = knowing(issuer(), &[&key]);
    assert!(verify(&issuers, &Forged::good(&key).sign(&key)).is_ok());
}

#[test]
fn rfc_7520_4_2_ps384() {
    let keys = set(&rsa_public(), &[Algorithm::PS384]).unwrap();
    let found = keys.get(BILBO).unwrap();
    assert_eq!(found.algorithm, Algorithm::PS384, "the first accepted one of its sort");
    assert!(found.verifies(&message("PS384", BILBO), PS384_SIGNATURE));
    assert!(!found.verifies(&message("PS384", BILBO), RS256_SIGNATURE));
}

#[test]
fn rfc_7520_4_3_es512_is_refused() {
    let key = json!({ "kty": "EC", "kid": BILBO, "use": "sig", "crv": "P-521", "x": ES512_X, "y": ES512_Y });
    assert_eq!(algorithm("ES512"), None);
    assert!(set(&key, &[Algorithm::ES256, Algorithm::ES384]).is_err());

    // Beside a key that can be used it is passed over, and its tokens are refused for their algorithm.
    let usable = TestKey::es256("usable");
    let issuers = knowing(issuer(), &[&usable]);
    learn(&issuers, &[&usable, &TestKey { jwk: key, ..TestKey::es256(BILBO) }]);
    let claims = Forged::good(&usable).claims.to_string();
    let token = format!(
        "{}.{}.{ES512_SIGNATURE}",
        URL_SAFE_NO_PAD.encode(header("ES512", BILBO).replacen('{', r#"{"typ":"at+jwt","#, 1)),
        URL_SAFE_NO_PAD.encode(claims)
    );
    assert_eq!(verify(&issuers, &token), Err(TokenRefusal::Invalid("no accepted `alg`")));
}

#[test]
fn rfc_7520_4_4_hs256_is_refused() {
    let secret = EncodingKey::from_secret(&decode(HS256_SECRET));
    let jwk = json!({ "kty": "oct", "kid": HS256_KID, "use": "sig", "alg": "HS256", "k": HS256_SECRET });
    let key = TestKey { kid: HS256_KID.into(), algorithm: Algorithm::HS256, encoding: secret, jwk };
    let rebuilt = key.sign(&header("HS256", HS256_KID), PAYLOAD);
    assert_eq!(rebuilt, format!("{}.{HS256_SIGNATURE}", message("HS256", HS256_KID)));

    // Ours may be; one that an issuer publishes is known to everybody.
    assert!(set(&key.jwk, &[Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]).is_err());
    let usable = TestKey::es256("usable");
    let issuers = knowing(issuer(), &[&usable, &key]);
    let token = Forged::good(&key).sign(&key);
    assert_eq!(verify(&issuers, &token), Err(TokenRefusal::Invalid("no accepted `alg`")));
}

#[test]
fn rfc_8037_ed25519() {
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let keys = set(&key, &[Algorithm::EdDSA]).unwrap();
    let message = format!("eyJhbGciOiJFZERTQSJ9.{}", URL_SAFE_NO_PAD.encode("Example of Ed25519 signing"));
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let _already_installed = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    assert!(keys.get("1").unwrap().verifies(&message, signature));
}
