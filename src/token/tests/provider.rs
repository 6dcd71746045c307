//! Promise: a missing or broken cryptography provider is an error at start, not a panic at the first request.
//!
//! The provider is one for the whole process, so each case runs this test program again with a variable set.

use std::process::Command;

use super::{super::AccessTokens, super::VerifyingKey, SECRET, pem_of, vectors::P256_PUBLIC};
use jsonwebtoken::{
    Algorithm, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils, aws_lc},
    errors::{ErrorKind, Result},
    signature::{Error as SignatureError, Verifier},
};

const CASE: &str = "TOKEN_TEST_PROVIDER";

/// As the placeholder of jsonwebtoken when its features name two providers or none.
static PANICS: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| panic!("no provider"),
    verifier_factory: |_, _| panic!("no provider"),
    key_utils: KeyUtils::new_unimplemented(),
};

static REFUSES: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    key_utils: KeyUtils::new_unimplemented(),
};

static ACCEPTS_ALL: CryptoProvider = CryptoProvider {
    signer_factory: real_signer,
    verifier_factory: |algorithm, _| Ok(Box::new(Yes(*algorithm))),
    key_utils: KeyUtils::new_unimplemented(),
};

fn real_signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    (aws_lc::DEFAULT_PROVIDER.signer_factory)(algorithm, key)
}

struct Yes(Algorithm);

impl Verifier<Vec<u8>> for Yes {
    fn verify(&self, _: &[u8], _: &Vec<u8>) -> std::result::Result<(), SignatureError> {
        Ok(())
    }
}

impl JwtVerifier for Yes {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

/// Seals in a process of its own, where `provider` is the one that somebody installed first.
fn in_its_own_process(test: &str, provider: &'static CryptoProvider, says: &str) {
    if std::env::var_os(CASE).is_some() {
        provider.install_default().unwrap();
        let public = VerifyingKey::es256_pem(pem_of("PUBLIC KEY", P256_PUBLIC)).unwrap();
        for tokens in [AccessTokens::hs256(SECRET).unwrap(), AccessTokens::verify_only(public)] {
            let error = tokens.seal().unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("DEFAULT_PROVIDER"), "{error}");
        }
        println!("the case was run");
        return;
    }
    run(test);
}

/// One of the tests of this file, in a process of its own.
pub(super) fn run(test: &str) {
    let module = module_path!().split_once("::").unwrap().1;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{test}"), "--nocapture", "--test-threads=1"])
        .env(CASE, "1")
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && out.contains("the case was run"), "{out}\n{err}");
}

#[test]
fn a_placeholder_that_panics() {
    in_its_own_process("a_placeholder_that_panics", &PANICS, "no working cryptography provider");
}

#[test]
fn a_provider_without_our_algorithms() {
    in_its_own_process("a_provider_without_our_algorithms", &REFUSES, "cannot");
}

#[test]
fn a_provider_that_accepts_everything() {
    in_its_own_process("a_provider_that_accepts_everything", &ACCEPTS_ALL, "accepts a signature that is none");
}

#[test]
fn a_working_provider_that_somebody_else_installed_is_taken() {
    let _first_or_not = aws_lc::DEFAULT_PROVIDER.install_default();
    assert!(AccessTokens::hs256(SECRET).unwrap().seal().is_ok());
    assert!(AccessTokens::hs256(SECRET).unwrap().seal().is_ok());
}
