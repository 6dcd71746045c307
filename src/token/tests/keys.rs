//! Promise: a weak, ambiguous or unsuitable key is refused while it is made, in words that say what to do.

use super::{
    super::AccessTokens, super::SigningKey, super::VerifyingKey, RSA, SECRET, pem, pem_of, sign_bytes, vectors::*,
};
use aws_lc_rs::{encoding::AsDer, encoding::Pkcs8V1Der, signature::RsaKeyPair};

fn private(body: &str) -> String {
    pem_of("PRIVATE KEY", body)
}

fn public(body: &str) -> String {
    pem_of("PUBLIC KEY", body)
}

#[test]
fn both_halves_have_one_kid_and_it_never_changes() {
    let hs256 = SigningKey::hs256(SECRET).unwrap();
    assert_eq!(hs256.kid(), "q8fqQ54nPZUC4Z5jpKWiYw");
    assert_eq!(hs256.kid(), VerifyingKey::hs256(SECRET).unwrap().kid());

    assert_eq!(SigningKey::es256_pem(private(P256_PRIVATE)).unwrap().kid(), P256_KID);
    assert_eq!(VerifyingKey::es256_pem(public(P256_PUBLIC)).unwrap().kid(), P256_KID);
    assert_eq!(VerifyingKey::es256_pem(public(P256_COMPRESSED)).unwrap().kid(), P256_KID);
    assert_eq!(SigningKey::eddsa_pem(private(ED25519_PRIVATE)).unwrap().kid(), ED25519_KID);
    assert_eq!(VerifyingKey::eddsa_pem(public(ED25519_PUBLIC)).unwrap().kid(), ED25519_KID);

    let (private, public) = &*RSA;
    assert_eq!(SigningKey::rs256_pem(private).unwrap().kid(), VerifyingKey::rs256_pem(public).unwrap().kid());
}

#[test]
fn rsa_as_pkcs1_is_the_same_key() {
    let key = SigningKey::rs256_pem(&RSA.0).unwrap();
    let pkcs1 = pem("RSA PRIVATE KEY", key.encoding.as_bytes());
    let again = SigningKey::rs256_pem(pkcs1).unwrap();
    assert_eq!(again.kid(), key.kid());
    assert_eq!(again.encoding.as_bytes(), key.encoding.as_bytes());

    let der: Pkcs8V1Der<'_> = RsaKeyPair::from_der(key.encoding.as_bytes()).unwrap().as_der().unwrap();
    assert_eq!(pem("PRIVATE KEY", der.as_ref()), RSA.0);
}

#[test]
fn a_kid_can_be_prescribed() {
    let named = SigningKey::hs256(SECRET).unwrap().with_kid("2026-11 a").unwrap();
    assert_eq!(named.kid(), "2026-11 a");
    assert_eq!(VerifyingKey::hs256(SECRET).unwrap().with_kid("k".repeat(128)).unwrap().kid().len(), 128);
    for bad in [String::new(), "k".repeat(129), "tab\t".into(), "line\n".into(), "ключ".into(), "\u{7f}".into()] {
        let error = SigningKey::hs256(SECRET).unwrap().with_kid(bad.as_str()).unwrap_err();
        assert!(error.to_string().contains("1 to 128"), "{bad:?}: {error}");
    }
}

#[test]
fn weak_secrets_are_refused_that_jsonwebtoken_takes() {
    let pem = public(P256_PUBLIC);
    let table: [(&[u8], &str); 6] = [
        (b"", "has 0"),
        (b"secret", "has 6"),
        (&SECRET[..31], "has 31"),
        (&[0; 32], "one byte repeated"),
        (&[b'x'; 64], "one byte repeated"),
        (pem.as_bytes(), "PEM"),
    ];
    for (secret, says) in table {
        // Negative control: jsonwebtoken signs with any.
        let token = sign_bytes(b"{}", b"{}", secret);
        assert!(token.len() > 40);
        for error in [
            SigningKey::hs256(secret).unwrap_err(),
            VerifyingKey::hs256(secret).unwrap_err(),
            AccessTokens::hs256(secret).unwrap_err(),
        ] {
            assert!(error.to_string().contains(says), "{error}");
        }
    }
    assert!(SigningKey::hs256(&SECRET[..32]).is_ok());
}

#[test]
fn unsuitable_private_keys_are_refused() {
    type Make = fn(&str) -> Result<SigningKey, crate::ConfigError>;
    let (rs256, es256, eddsa): (Make, Make, Make) =
        (|pem| SigningKey::rs256_pem(pem), |pem| SigningKey::es256_pem(pem), |pem| SigningKey::eddsa_pem(pem));
    let cut = P256_PRIVATE.len() / 2;
    let table: &[(Make, String, &str)] = &[
        (rs256, private(RSA1024_PRIVATE), "2048"),
        (rs256, private(P256_PRIVATE), "RSA key is needed and this is a P-256 key"),
        (rs256, RSA.1.clone(), "public half"),
        (es256, private(P384_PRIVATE), "P-256 key is needed and this is a P-384 key"),
        (es256, private(K256_PRIVATE), "secp256k1"),
        (es256, private(ED25519_PRIVATE), "this is an Ed25519 key"),
        (es256, RSA.0.clone(), "this is an RSA key"),
        (es256, pem_of("RSA PRIVATE KEY", "AAAA"), "this is an RSA key"),
        (es256, public(P256_PUBLIC), "public half"),
        (es256, pem_of("EC PRIVATE KEY", P256_PRIVATE), "openssl pkcs8"),
        (es256, pem_of("ENCRYPTED PRIVATE KEY", P256_PRIVATE), "decrypt"),
        (es256, private(&P256_PRIVATE[..cut - cut % 4]), "damaged"),
        (es256, private(&P256_PRIVATE[..cut - cut % 4 + 1]), "not base64"),
        (es256, private(P256_PRIVATE).replace('\n', "\\n"), "not base64"),
        (es256, private("AAAA"), "something else"),
        (es256, private(""), "something else"),
        (es256, format!("{0}{0}", private(P256_PRIVATE)), "several"),
        (es256, private(P256_PRIVATE).replace("END", "DNE"), "cut off"),
        (es256, P256_PRIVATE.into(), "not a PEM"),
        (es256, String::new(), "not a PEM"),
        (eddsa, private(X25519_PRIVATE), "X25519"),
        (eddsa, private(ED448_PRIVATE), "Ed448"),
        (eddsa, private(P256_PRIVATE), "this is a P-256 key"),
        (eddsa, public(ED25519_PUBLIC), "public half"),
    ];
    for (make, pem, says) in table {
        let error = make(pem).unwrap_err();
        assert!(error.to_string().contains(says), "{says}: {error}");
        assert_tells_nothing(&error, pem);
    }
    assert!(SigningKey::es256_pem([0xff, 0xfe]).is_err());
}

#[test]
fn unsuitable_public_keys_are_refused() {
    type Make = fn(&str) -> Result<VerifyingKey, crate::ConfigError>;
    let (rs256, es256, eddsa): (Make, Make, Make) =
        (|pem| VerifyingKey::rs256_pem(pem), |pem| VerifyingKey::es256_pem(pem), |pem| VerifyingKey::eddsa_pem(pem));
    let table: &[(Make, String, &str)] = &[
        (rs256, public(RSA1024_PUBLIC), "2048"),
        (rs256, public(RSA2040_PUBLIC), "2048"),
        (rs256, public(RSA_PSS_PUBLIC), "PSS"),
        (rs256, RSA.0.clone(), "private key"),
        (rs256, pem_of("RSA PUBLIC KEY", "AAAA"), "-RSAPublicKey_in"),
        (rs256, pem_of("CERTIFICATE", "AAAA"), "openssl x509"),
        (rs256, public(ED25519_PUBLIC), "this is an Ed25519 key"),
        (es256, public(P384_PUBLIC), "P-384"),
        (es256, public(K256_PUBLIC), "secp256k1"),
        (es256, RSA.1.clone(), "this is an RSA key"),
        (es256, private(P256_PRIVATE), "private key"),
        (es256, public(&P256_PUBLIC[..P256_PUBLIC.len() - 8]), "damaged"),
        (eddsa, public(X25519_PUBLIC), "X25519"),
        (eddsa, public(ED448_PUBLIC), "Ed448"),
        (eddsa, private(ED25519_PRIVATE), "private key"),
        (eddsa, "-----BEGIN PUBLIC KEY".into(), "not a PEM"),
    ];
    for (make, pem, says) in table {
        let error = make(pem).unwrap_err();
        assert!(error.to_string().contains(says), "{says}: {error}");
        assert_tells_nothing(&error, pem);
    }
    // A point that is not on the curve.
    assert!(P256_PUBLIC.ends_with("xmiMg=="));
    assert!(VerifyingKey::es256_pem(public(&P256_PUBLIC.replace("xmiMg==", "xmiMw=="))).is_err());
}

/// Eight characters of the body in an error would be six bytes of a key in a log.
fn assert_tells_nothing(error: &crate::ConfigError, pem: &str) {
    let told = format!("{error} {error:?} {:?}", std::error::Error::source(error).map(ToString::to_string));
    for line in pem.lines().filter(|line| !line.contains("---") && line.len() >= 8) {
        assert!(!told.contains(&line[..8]), "{told}");
    }
}

#[test]
fn debug_shows_no_key() {
    let signing = SigningKey::hs256(SECRET).unwrap();
    assert_eq!(format!("{signing:?}"), r#"SigningKey { algorithm: HS256, kid: "q8fqQ54nPZUC4Z5jpKWiYw", .. }"#);
    let tokens = AccessTokens::signing_with(signing);
    let tokens = tokens.also_accept(VerifyingKey::hs256([SECRET, b"2"].concat()).unwrap());
    let shown = format!("{tokens:?}");
    let shown = format!("{shown} {:?}", tokens.seal());
    assert!(!shown.contains("test secret") && !shown.contains("97, 32, 116"), "{shown}");
}
