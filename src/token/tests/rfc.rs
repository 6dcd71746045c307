//! The examples of the RFCs, rebuilt from their keys and their inputs: what they sign, our keys sign to the letter (or accept,
//! where a signature is random), and what this crate does not do is refused.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{
    super::{AccessTokens, SigningKey, TokenRefusal, VerifyingKey, jwk},
    Forged, hs256, pem, sign_bytes, verify,
};

/// RFC 7520 §4, figure 7.
const FRODO: &str = "It\u{2019}s a dangerous business, Frodo, going out your door. You step onto the road, and if you don't keep \
                     your feet, there\u{2019}s no knowing where you might be swept off to.";
/// RFC 7515 §A.1.1.
const JOE: &str = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";

/// RFC 7520 §3.3 and §3.4: n, e, d, p, q, dp, dq, qi.
const BILBO_RSA: [&str; 8] = [
    "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-\
     QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOH\
     rtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw",
    "AQAB",
    "bWUC9B-EFRIo8kpGfh0ZuyGPvMNKvYWNtB_ikiH9k20eT-O1q_I78eiZkpXxXQ0UTEs2LsNRS-8uJbvQ-A1irkwMSMkK1J3XTGgdrhCku9gRldY7sNA_AKZGh-\
     Q661_42rINLRCe8W-nZ34ui_qOfkLnK9QWDDqpaIsA-bMwWWSDFu2MUBYwkHTMEzLYGqOe04noqeq1hExBTHBOBdkMXiuFhUq1BU6l-DqEiWxqg82sXt2h-LMn\
     T3046AOYJoRioz75tSUQfGCshWTBnP5uDjd18kKhyv07lhfSJdrPdM5Plyl21hsFf4L_mHCuoFau7gdsPfHPxxjVOcOpBrQzwQ",
    "3Slxg_DwTXJcb6095RoXygQCAZ5RnAvZlno1yhHtnUex_fp7AZ_9nRaO7HX_-SFfGQeutao2TDjDAWU4Vupk8rw9JR0AzZ0N2fvuIAmr_WCsmGpeNqQnev1T7I\
     yEsnh8UMt-n5CafhkikzhEsrmndH6LxOrvRJlsPp6Zv8bUq0k",
    "uKE2dh-cTf6ERF4k4e_jy78GfPYUIaUyoSSJuBzp3Cubk3OCqs6grT8bR_cu0Dm1MZwWmtdqDyI95HrUeq3MP15vMMON8lHTeZu2lmKvwqW7anV5UzhM1iZ7z4\
     yMkuUwFWoBvyY898EXvRD-hdqRxHlSqAZ192zB3pVFJ0s7pFc",
    "B8PVvXkvJrj2L-GYQ7v3y9r6Kw5g9SahXBwsWUzp19TVlgI-YV85q1NIb1rxQtD-IsXXR3-TanevuRPRt5OBOdiMGQp8pbt26gljYfKU_E9xn-RULHz0-ed9E9\
     gXLKD4VGngpz-PfQ_q29pk5xWHoJp009Qf1HvChixRX59ehik",
    "CLDmDGduhylc9o7r84rEUVn7pzQ6PF83Y-iBZx5NT-TpnOZKF1pErAMVeKzFEl41DlHHqqBLSM0W1sOFbwTxYWZDm6sI6og5iTbwQGIC3gnJKbi_7k_vJgGHwH\
     xgPaX2PnvP-zyEkDERuf-ry4c_Z11Cq9AqC2yeL6kdKT1cYF8",
    "3PiqvXQN0zwMeE-sBvZgi289XP9XCQF3VWqPzMKnIgQp7_Tugo6-NZBKCQsMf3HaEGBjTVJs_jcK8-TRXvaKe-7ZMaQj8VfBdYkssbu0NKDDhjJ-GtiseaDVWt\
     7dcH0cfwxgFUHpQh7FoCrjFJ6h6ZEpMF6xmujs4qMpPz8aaI4",
];
/// RFC 7520 §3.1: P-521, x and y.
const BILBO_EC: [&str; 2] = [
    "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt",
    "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1",
];
/// RFC 7515 §A.3.1: P-256, x, y and d.
const A3_EC: [&str; 3] = [
    "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
];
/// RFC 8037 §A.1: Ed25519, x and d.
const OKP: [&str; 2] = ["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"];

struct Example {
    of: &'static str,
    key: SigningKey,
    algorithm: Algorithm,
    header: &'static str,
    payload: &'static str,
    signature: &'static str,
    /// A signature of this algorithm is the same each time.
    repeats: bool,
}

fn examples() -> Vec<Example> {
    let hs256 = |key: &str| SigningKey::hs256(bytes(key)).unwrap();
    vec![
        Example {
            of: "RFC 7520 §4.1",
            key: SigningKey::rs256_pem(bilbo_rsa()).unwrap(),
            algorithm: Algorithm::RS256,
            header: r#"{"alg":"RS256","kid":"bilbo.baggins@hobbiton.example"}"#,
            payload: FRODO,
            signature: "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84\
                        wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSad\
                        nHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ\
                        41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
            repeats: true,
        },
        Example {
            of: "RFC 7520 §4.4",
            key: hs256("hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg"),
            algorithm: Algorithm::HS256,
            header: r#"{"alg":"HS256","kid":"018c0ae5-4d9b-471b-bfd6-eef314bc7037"}"#,
            payload: FRODO,
            signature: "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0",
            repeats: true,
        },
        Example {
            of: "RFC 7515 §A.1",
            key: hs256("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"),
            algorithm: Algorithm::HS256,
            header: "{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}",
            payload: JOE,
            signature: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            repeats: true,
        },
        Example {
            of: "RFC 7515 §A.3",
            key: SigningKey::es256_pem(a3_ec()).unwrap(),
            algorithm: Algorithm::ES256,
            header: r#"{"alg":"ES256"}"#,
            payload: JOE,
            signature: "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
            repeats: false,
        },
        Example {
            of: "RFC 8037 §A.4",
            key: SigningKey::eddsa_pem(okp()).unwrap(),
            algorithm: Algorithm::EdDSA,
            header: r#"{"alg":"EdDSA"}"#,
            payload: "Example of Ed25519 signing",
            signature: "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
            repeats: true,
        },
    ]
}

#[test]
fn what_the_rfcs_sign() {
    let _as_seal_does = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    for Example { of, key, algorithm, header, payload, signature, repeats } in examples() {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let ours = jsonwebtoken::crypto::sign(message.as_bytes(), &key.encoding, algorithm).unwrap();
        assert_eq!(ours == signature, repeats, "{of}");
        let checks = |signature: &str, message: &str| {
            let key = &key.verifying;
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.decoding, key.algorithm).unwrap()
        };
        assert!(checks(signature, &message) && checks(&ours, &message), "{of}");
        assert!(!checks(signature, &format!("{message}A")), "the control: {of}");
        // They are no tokens of ours: well signed, and another type or none.
        let keys = AccessTokens::signing_with(key).seal().unwrap();
        let refusal = verify(&keys, &format!("{message}.{signature}"));
        assert_eq!(refusal, Err(TokenRefusal::Invalid("not the `typ` that belongs here")), "{of}");
    }
}

/// RFC 7520 §3.3, RFC 7515 §A.3.1, RFC 8037 §A.2: their public keys, written as we write them.
#[test]
fn the_public_keys_of_the_rfcs() {
    let written = |key: SigningKey| -> serde_json::Value {
        let key = key.with_kid("1").unwrap().verifying;
        serde_json::from_str::<serde_json::Value>(&jwk::set(&[key])).unwrap()["keys"][0].take()
    };
    let ([n, e, ..], [x, y, _], [okp_x, _]) = (BILBO_RSA, A3_EC, OKP);
    assert_eq!(
        written(SigningKey::rs256_pem(bilbo_rsa()).unwrap()),
        json!({ "kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": n, "e": e })
    );
    assert_eq!(
        written(SigningKey::es256_pem(a3_ec()).unwrap()),
        json!({ "kty": "EC", "kid": "1", "use": "sig", "alg": "ES256", "crv": "P-256", "x": x, "y": y })
    );
    assert_eq!(
        written(SigningKey::eddsa_pem(okp()).unwrap()),
        json!({ "kty": "OKP", "kid": "1", "use": "sig", "alg": "EdDSA", "crv": "Ed25519", "x": okp_x })
    );
}

/// RFC 7520 §4.3 and RFC 7515 §A.4 sign with ES512, RFC 7515 §A.5 not at all.
#[test]
fn what_this_crate_does_not_do() {
    let error = VerifyingKey::es256_pem(p521_public()).unwrap_err().to_string();
    assert!(error.contains("P-256 key is needed and this is a P-521 key"), "{error}");
    let of_an_rfc = |header: &str, payload: &str, signature: &str| {
        format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    };
    let frodo = of_an_rfc(
        r#"{"alg":"ES512","kid":"bilbo.baggins@hobbiton.example"}"#,
        FRODO,
        "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0\
         lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2",
    );
    let unsecured = of_an_rfc(r#"{"alg":"none"}"#, JOE, "");
    for token in [frodo, unsecured] {
        assert!(matches!(verify(&hs256(), &token), Err(TokenRefusal::Invalid(_))));
    }
    // And where all else is right: the algorithm alone is enough.
    for alg in ["ES512", "none"] {
        let good = Forged::good().header("alg", json!(alg));
        let token = sign_bytes(good.header.to_string().as_bytes(), good.claims.to_string().as_bytes(), super::SECRET);
        assert_eq!(verify(&hs256(), &token), Err(TokenRefusal::Invalid("not the algorithm of its key")));
    }
}

/// PKCS#1 (RFC 8017 §A.1.2).
fn bilbo_rsa() -> String {
    let numbers = BILBO_RSA.map(|number| {
        let number = bytes(number);
        der(2, &if number[0] < 0x80 { vec![number] } else { vec![vec![0], number] })
    });
    pem("RSA PRIVATE KEY", &der(0x30, &[vec![der(2, &[vec![0]])], numbers.to_vec()].concat()))
}

/// PKCS#8 around SEC1 (RFC 5915).
fn a3_ec() -> String {
    let [x, y, d] = A3_EC.map(bytes);
    let point = der(3, &[vec![0, 4], x, y]);
    let private = der(0x30, &[der(2, &[vec![1]]), der(4, &[d]), der(0xa1, &[point])]);
    let curve = vec![6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    pkcs8(&[EC_PUBLIC_KEY.to_vec(), curve], private)
}

/// PKCS#8 (RFC 8410 §7).
fn okp() -> String {
    pkcs8(&[vec![6, 3, 0x2b, 0x65, 0x70]], der(4, &[bytes(OKP[1])]))
}

/// SPKI (RFC 5480).
pub(super) fn p521_public() -> String {
    let [x, y] = BILBO_EC.map(bytes);
    let identifier = der(0x30, &[EC_PUBLIC_KEY.to_vec(), vec![6, 5, 0x2b, 0x81, 4, 0, 35]]);
    pem("PUBLIC KEY", &der(0x30, &[identifier, der(3, &[vec![0, 4], x, y])]))
}

fn pkcs8(identifier: &[Vec<u8>], private: Vec<u8>) -> String {
    pem("PRIVATE KEY", &der(0x30, &[der(2, &[vec![0]]), der(0x30, identifier), der(4, &[private])]))
}

const EC_PUBLIC_KEY: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];

fn bytes(base64url: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(base64url).unwrap()
}

fn der(tag: u8, contents: &[Vec<u8>]) -> Vec<u8> {
    let content = contents.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = match length {
        [0, short @ 0..=0x7f] => vec![short],
        [0, long] => vec![0x81, long],
        long => [&[0x82][..], &long].concat(),
    };
    [vec![tag], length, content].concat()
}
