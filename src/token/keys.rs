//! The keys that sign and check tokens. One key has one algorithm, and a key that cannot protect anything is refused here,
//! at start, not found out later.

use std::fmt;

use aws_lc_rs::{
    digest,
    encoding::{AsDer, Pkcs8V1Der},
    hmac,
    rsa::{PublicEncryptingKey, PublicKey as RsaPublicKey},
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        ParsedPublicKey, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

use super::{
    jwk::Public,
    pem::{self, Kind, Label},
};
use crate::error::{BoxError, ConfigError};

/// RFC 7518 §3.2: an HMAC key at least as long as the hash, 256 bits for HS256.
const MIN_SECRET: usize = 32;

/// The longest `kid`, in bytes: it stands in every token.
pub(super) const MAX_KID: usize = 128;

/// A key that signs access tokens: private material together with the half that checks them.
///
/// Its id (`kid`) goes into the header of each token and says which key checks it. By default it is derived from the key
/// itself, so that [`SigningKey`] and [`VerifyingKey`] of one pair agree on every node without any setting:
/// base64url(SHA-256(SPKI)) of the public half, for HS256 a truncated HMAC of a fixed text. `Debug` shows algorithm and
/// `kid` only.
pub struct SigningKey {
    pub(super) encoding: EncodingKey,
    pub(super) verifying: VerifyingKey,
}

/// A key that checks access tokens and cannot make them (but for HS256, where the secret does both).
///
/// Its id is derived as that of [`SigningKey`]. `Debug` shows algorithm and `kid` only.
#[derive(Clone)]
pub struct VerifyingKey {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
    pub(super) kid: String,
    /// What may be told to everybody; `None` for a secret.
    pub(super) public: Option<Public>,
}

impl SigningKey {
    /// HS256: HMAC-SHA-256 with a secret that every node shares.
    ///
    /// # Errors
    ///
    /// Fewer than 32 bytes (whoever has one token can search a shorter secret at leisure), all bytes equal, or a PEM file
    /// (a public key as an HMAC secret is a known forgery).
    pub fn hs256(secret: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let secret = secret.as_ref();
        let verifying = VerifyingKey::hs256(secret)?;
        Ok(Self { encoding: EncodingKey::from_secret(secret), verifying })
    }

    /// RS256: RSA PKCS#1 v1.5 with SHA-256. Takes an unencrypted private key as PKCS#8 (`BEGIN PRIVATE KEY`) or PKCS#1
    /// (`BEGIN RSA PRIVATE KEY`) PEM.
    ///
    /// # Errors
    ///
    /// Not such a PEM, not an RSA key, or a modulus outside 2048 to 8192 bits (RFC 7518 §3.3).
    pub fn rs256_pem(pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let pair = rsa_pair(pem.as_ref())?;
        let spki = pair.public_key().as_der().map_err(|cause| ConfigError::because(UNUSABLE_RSA, cause))?;
        let verifying = VerifyingKey::rs256(pair.public_key().as_ref(), spki.as_ref())?;
        Ok(Self { encoding: EncodingKey::from_rsa_der(&pkcs1(&pair)?), verifying })
    }

    /// ES256: ECDSA on P-256 with SHA-256. Takes an unencrypted private key as PKCS#8 PEM.
    ///
    /// # Errors
    ///
    /// Not such a PEM, or a key of another family or curve.
    pub fn es256_pem(pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let (_, der) = pem::private(pem.as_ref(), Kind::P256)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).map_err(damaged)?;
        let spki = pair.public_key().as_der().map_err(damaged)?;
        let verifying = VerifyingKey::es256(pair.public_key().as_ref(), spki.as_ref())?;
        Ok(Self { encoding: EncodingKey::from_ec_der(&der), verifying })
    }

    /// EdDSA with Ed25519. Takes an unencrypted private key as PKCS#8 PEM.
    ///
    /// # Errors
    ///
    /// Not such a PEM, or a key of another kind (X25519, Ed448).
    pub fn eddsa_pem(pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let (_, der) = pem::private(pem.as_ref(), Kind::Ed25519)?;
        let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(damaged)?;
        let spki = pair.public_key().as_der().map_err(damaged)?;
        let verifying = VerifyingKey::eddsa(pair.public_key().as_ref(), spki.as_ref())?;
        Ok(Self { encoding: EncodingKey::from_ed_der(&der), verifying })
    }

    /// Another id than the derived one, where something else prescribes it. Give the same to the [`VerifyingKey`].
    ///
    /// # Errors
    ///
    /// Empty, over 128 bytes, or with anything but printable ASCII.
    pub fn with_kid(mut self, kid: impl Into<String>) -> Result<Self, ConfigError> {
        self.verifying = self.verifying.with_kid(kid)?;
        Ok(self)
    }

    /// The id of this key, as in the header of each token.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.verifying.kid
    }
}

impl VerifyingKey {
    /// The secret of HS256.
    pub(super) fn secret(&self) -> Option<&[u8]> {
        if self.algorithm == Algorithm::HS256 { self.decoding.try_get_as_bytes().ok() } else { None }
    }

    /// HS256. The secret also signs, so whoever checks tokens with it can make them: for a service that should not, take
    /// one of the others.
    ///
    /// # Errors
    ///
    /// As [`SigningKey::hs256`].
    pub fn hs256(secret: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let secret = secret.as_ref();
        refuse_weak(secret)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        // Half of the output: nothing about the secret follows from it, and 128 bits tell keys apart.
        let kid = URL_SAFE_NO_PAD.encode(&hmac::sign(&key, b"axum-device-sessions kid").as_ref()[..16]);
        Ok(Self { algorithm: Algorithm::HS256, decoding: DecodingKey::from_secret(secret), kid, public: None })
    }

    /// RS256. Takes the public half as SPKI PEM (`BEGIN PUBLIC KEY`).
    ///
    /// # Errors
    ///
    /// Not such a PEM, not an RSA key, or a modulus outside 2048 to 8192 bits.
    pub fn rs256_pem(pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let der = pem::public(pem.as_ref(), Kind::Rsa)?;
        // Only this type looks at the size; jsonwebtoken would take any, and then no token would ever be good.
        let sized = PublicEncryptingKey::from_der(&der).map_err(|cause| ConfigError::because(UNUSABLE_RSA, cause))?;
        let spki = sized.as_der().map_err(|cause| ConfigError::because(UNUSABLE_RSA, cause))?;
        let key = RsaPublicKey::from_der(spki.as_ref()).map_err(|cause| ConfigError::because(UNUSABLE_RSA, cause))?;
        Self::rs256(key.as_ref(), spki.as_ref())
    }

    /// ES256. Takes the public half as SPKI PEM.
    ///
    /// # Errors
    ///
    /// Not such a PEM, or a key of another family or curve.
    pub fn es256_pem(pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let der = pem::public(pem.as_ref(), Kind::P256)?;
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &der).map_err(damaged)?;
        let spki = key.as_der().map_err(damaged)?;
        // Written out anew by the library, so the point is uncompressed and comes last.
        Self::es256(last::<65>(spki.as_ref())?, spki.as_ref())
    }

    /// EdDSA with Ed25519. Takes the public half as SPKI PEM.
    ///
    /// # Errors
    ///
    /// Not such a PEM, or a key of another kind.
    pub fn eddsa_pem(pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let der = pem::public(pem.as_ref(), Kind::Ed25519)?;
        let key = ParsedPublicKey::new(&ED25519, &der).map_err(damaged)?;
        let spki = key.as_der().map_err(damaged)?;
        Self::eddsa(last::<32>(spki.as_ref())?, spki.as_ref())
    }

    /// As [`SigningKey::with_kid`].
    ///
    /// # Errors
    ///
    /// Empty, over 128 bytes, or with anything but printable ASCII.
    pub fn with_kid(mut self, kid: impl Into<String>) -> Result<Self, ConfigError> {
        let kid = kid.into();
        let printable = kid.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !printable || kid.is_empty() || kid.len() > MAX_KID {
            return Err(ConfigError::new(format!("a key id (`kid`) has 1 to {MAX_KID} bytes of printable ASCII")));
        }
        self.kid = kid;
        Ok(self)
    }

    /// The id of this key: it checks the tokens whose header names it.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    fn rs256(pkcs1: &[u8], spki: &[u8]) -> Result<Self, ConfigError> {
        let public = Public::rsa(pkcs1).ok_or_else(|| damaged("no RSA public key"))?;
        Ok(Self::asymmetric(Algorithm::RS256, DecodingKey::from_rsa_der(pkcs1), public, spki))
    }

    fn es256(point: &[u8], spki: &[u8]) -> Result<Self, ConfigError> {
        let public = Public::p256(point).ok_or_else(|| damaged("no point of P-256"))?;
        Ok(Self::asymmetric(Algorithm::ES256, DecodingKey::from_ec_der(point), public, spki))
    }

    fn eddsa(point: &[u8], spki: &[u8]) -> Result<Self, ConfigError> {
        let public = Public::ed25519(point).ok_or_else(|| damaged("no point of Ed25519"))?;
        Ok(Self::asymmetric(Algorithm::EdDSA, DecodingKey::from_ed_der(point), public, spki))
    }

    fn asymmetric(algorithm: Algorithm, decoding: DecodingKey, public: Public, spki: &[u8]) -> Self {
        let kid = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, spki));
        Self { algorithm, decoding, kid, public: Some(public) }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show("SigningKey", &self.verifying, f)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show("VerifyingKey", self, f)
    }
}

fn show(name: &str, key: &VerifyingKey, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct(name).field("algorithm", &key.algorithm).field("kid", &key.kid).finish_non_exhaustive()
}

fn refuse_weak(secret: &[u8]) -> Result<(), ConfigError> {
    const ADVICE: &str = "make one with `openssl rand -base64 48` and give it to every node";
    if secret.len() < MIN_SECRET {
        return Err(ConfigError::new(format!(
            "an HS256 secret needs {MIN_SECRET} random bytes or more and this one has {}: {ADVICE}",
            secret.len()
        )));
    }
    if secret.iter().all(|byte| *byte == secret[0]) {
        return Err(ConfigError::new(format!(
            "this HS256 secret is one byte repeated, so anyone can guess it: {ADVICE}"
        )));
    }
    if secret.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return Err(ConfigError::new(
            "this HS256 secret is a PEM file; a public key as a secret lets everybody sign. Use `rs256_pem`, `es256_pem` \
             or `eddsa_pem` for it",
        ));
    }
    Ok(())
}

const UNUSABLE_RSA: &str = "unusable RSA key: RS256 needs an intact one of 2048 to 8192 bits. Make one with `openssl genpkey \
                            -algorithm RSA -pkeyopt rsa_keygen_bits:3072`";

/// The private key in a PEM file, of a size that RS256 takes.
pub(crate) fn rsa_pair(pem: &[u8]) -> Result<RsaKeyPair, ConfigError> {
    let (label, der) = pem::private(pem, Kind::Rsa)?;
    match label {
        Label::RsaPrivate => RsaKeyPair::from_der(&der),
        Label::Private | Label::Public => RsaKeyPair::from_pkcs8(&der),
    }
    .map_err(|cause| ConfigError::because(UNUSABLE_RSA, cause))
}

fn damaged(cause: impl Into<BoxError>) -> ConfigError {
    ConfigError::because(
        "this key is damaged or not in the usual form: export it again, or make one with `openssl genpkey`",
        cause,
    )
}

/// What jsonwebtoken wants to sign with, whichever way the key came: the PKCS#1 structure inside PKCS#8.
fn pkcs1(pair: &RsaKeyPair) -> Result<Vec<u8>, ConfigError> {
    // Written out anew by the library. For any key of 2048 bits or more all three lengths on the way take two bytes, so
    // what stands before (sequence, version, algorithm, octet string) is always as long.
    const BEFORE: usize = 26;
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|cause| ConfigError::because(UNUSABLE_RSA, cause))?;
    let inner = pkcs8.as_ref().get(BEFORE..).unwrap_or_default();
    RsaKeyPair::from_der(inner).map_err(|cause| ConfigError::because(UNUSABLE_RSA, cause))?;
    Ok(inner.to_vec())
}

fn last<const N: usize>(spki: &[u8]) -> Result<&[u8; N], ConfigError> {
    spki.last_chunk().ok_or_else(|| damaged("shorter than a public key"))
}
