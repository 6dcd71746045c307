//! What other services check our tokens with: the public halves of the keys, as a JWK set (RFC 7517 §5).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde::Serialize;

use super::keys::VerifyingKey;

/// A public key as RFC 7518 §6.2 and §6.3 and RFC 8037 §2 write it. There is no variant for a secret and no field for a
/// private member, so none can get out.
#[derive(Clone, Serialize)]
#[serde(tag = "kty")]
pub(super) enum Public {
    #[serde(rename = "RSA")]
    Rsa { n: String, e: String },
    #[serde(rename = "EC")]
    Ec { crv: &'static str, x: String, y: String },
    #[serde(rename = "OKP")]
    Okp { crv: &'static str, x: String },
}

impl Public {
    /// Of an `RSAPublicKey` (RFC 8017 §A.1.1); `None` if it is none.
    pub(super) fn rsa(pkcs1: &[u8]) -> Option<Self> {
        let (SEQUENCE, numbers, []) = element(pkcs1)? else { return None };
        let (INTEGER, modulus, rest) = element(numbers)? else { return None };
        let (INTEGER, exponent, []) = element(rest)? else { return None };
        Some(Self::Rsa { n: unsigned(modulus), e: unsigned(exponent) })
    }

    /// Of a point of P-256 as SEC 1 writes it, uncompressed.
    pub(super) fn p256(point: &[u8]) -> Option<Self> {
        let (4, coordinates) = point.split_first()? else { return None };
        let (x, y) = coordinates.split_at_checked(32).filter(|(_, y)| y.len() == 32)?;
        // RFC 7518 §6.2.1.2: always as long as the curve's numbers, leading zeros included.
        Some(Self::Ec { crv: "P-256", x: URL_SAFE_NO_PAD.encode(x), y: URL_SAFE_NO_PAD.encode(y) })
    }

    pub(super) fn ed25519(point: &[u8]) -> Option<Self> {
        (point.len() == 32).then(|| Self::Okp { crv: "Ed25519", x: URL_SAFE_NO_PAD.encode(point) })
    }
}

#[derive(Serialize)]
struct Jwk<'a> {
    #[serde(flatten)]
    public: &'a Public,
    r#use: &'static str,
    alg: Algorithm,
    kid: &'a str,
}

#[derive(Serialize)]
struct Set<'a> {
    keys: Vec<Jwk<'a>>,
}

/// The set as JSON; empty where the keys are secrets.
pub(super) fn set(keys: &[VerifyingKey]) -> String {
    let keys = keys.iter().filter_map(of).collect();
    // Text only: there is nothing here that JSON cannot hold.
    serde_json::to_string(&Set { keys }).unwrap_or_default()
}

fn of(key: &VerifyingKey) -> Option<Jwk<'_>> {
    let public = key.public.as_ref()?;
    Some(Jwk { public, r#use: "sig", alg: key.algorithm, kid: &key.kid })
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// Tag and content of the first element of DER, and what comes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => rest.split_first_chunk().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// RFC 7518 §2: as few bytes as the number needs; DER puts a zero before a first byte of 0x80 and above.
fn unsigned(integer: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(integer.strip_prefix(&[0]).unwrap_or(integer))
}
