//! Fresh asymmetric keys, as the PEM files that an operator has.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use axum_device_sessions::{AccessTokens, SigningKey, VerifyingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Es256,
    EdDsa,
}

/// One pair; as often as it is needed.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    algorithm: Algorithm,
    private: String,
    public: String,
}

impl Pair {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let random = SystemRandom::new();
        let (private, public) = match algorithm {
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
                let public = pair.public_key().as_der().expect("a key").as_ref().to_vec();
                (pair.as_der().expect("a key").as_ref().to_vec(), public)
            }
            Algorithm::Es256 => {
                let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private.as_ref()).expect("a key");
                (private.as_ref().to_vec(), pair.public_key().as_der().expect("a key").as_ref().to_vec())
            }
            Algorithm::EdDsa => {
                let private = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
                let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).expect("a key");
                (private.as_ref().to_vec(), pair.public_key().as_der().expect("a key").as_ref().to_vec())
            }
        };
        Self { algorithm, private: pem("PRIVATE KEY", &private), public: pem("PUBLIC KEY", &public) }
    }

    pub(crate) fn signing(&self) -> SigningKey {
        match self.algorithm {
            Algorithm::Rs256 => SigningKey::rs256_pem(&self.private),
            Algorithm::Es256 => SigningKey::es256_pem(&self.private),
            Algorithm::EdDsa => SigningKey::eddsa_pem(&self.private),
        }
        .expect("a good key")
    }

    pub(crate) fn verifying(&self) -> VerifyingKey {
        match self.algorithm {
            Algorithm::Rs256 => VerifyingKey::rs256_pem(&self.public),
            Algorithm::Es256 => VerifyingKey::es256_pem(&self.public),
            Algorithm::EdDsa => VerifyingKey::eddsa_pem(&self.public),
        }
        .expect("a good key")
    }

    /// Signs with it, and accepts no other.
    pub(crate) fn signs(&self) -> AccessTokens {
        AccessTokens::signing_with(self.signing())
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}
