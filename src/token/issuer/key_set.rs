//! A published key set (JWKS, RFC 7517), read so that each key that is kept has one name and one algorithm. Keys that we
//! have no use for are passed over: a new sort of key in a set must not cost the old ones.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::value::RawValue;

use crate::token::{claims::Members, keys::MAX_KID};

/// The longest key set, in bytes. A hundred RSA keys with their certificates take half of it.
pub(super) const MAX_BODY: usize = 256 * 1024;

/// The most keys in a set. Issuers publish two or three.
const MAX_KEYS: usize = 100;

/// An algorithm that a published key can have, by its name: no shared secret, and nothing that aws-lc does not do (ES512).
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        // RFC 9864 names the curve.
        "Ed25519" => Some(Algorithm::EdDSA),
        _ => name.parse().ok().filter(|algorithm: &Algorithm| algorithm.family() != AlgorithmFamily::Hmac),
    }
}

/// The keys of an issuer that can be used, by their `kid`.
#[derive(Default)]
pub(super) struct KeySet(BTreeMap<String, Key>);

pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    decoding: DecodingKey,
    /// What it was made of, to see whether it is still the same.
    material: Vec<u8>,
}

impl KeySet {
    /// A set without a single usable key counts as unreadable: whoever issues tokens has one, and a glitch of theirs must
    /// not sign everybody out.
    pub(super) fn read(body: &[u8], accepted: &[Algorithm]) -> Result<Self, &'static str> {
        if body.len() > MAX_BODY {
            return Err("the key set is longer than 256 KiB");
        }
        let body = std::str::from_utf8(body).map_err(|_| "the key set is not text")?;
        let set: Members<'_> = serde_json::from_str(body).map_err(|_| "the key set is no object of JSON")?;
        let keys = set.get("keys").ok_or("the key set has no `keys`")?;
        let keys: Vec<&RawValue> = serde_json::from_str(keys.get()).map_err(|_| "`keys` is no array")?;
        if keys.len() > MAX_KEYS {
            return Err("the key set has more than 100 keys");
        }

        // `None`: the name of two keys, so of neither.
        let mut named: BTreeMap<String, Option<Key>> = BTreeMap::new();
        for key in keys {
            match read_key(key, accepted) {
                Ok((kid, key)) => {
                    named
                        .entry(kid)
                        .and_modify(|earlier| {
                            tracing::warn!("a key set has two keys of one `kid`: neither is used");
                            *earlier = None;
                        })
                        .or_insert(Some(key));
                }
                Err(why) => tracing::debug!(why, "a published key is not used"),
            }
        }
        let usable = Self(named.into_iter().filter_map(|(kid, key)| Some((kid, key?))).collect());
        if usable.0.is_empty() { Err("the key set has no usable key") } else { Ok(usable) }
    }

    pub(super) fn get(&self, kid: &str) -> Option<&Key> {
        self.0.get(kid)
    }

    /// Whether each of those keys is here, under its name and the same.
    pub(super) fn keeps_all_of(&self, earlier: &Self) -> bool {
        earlier.0.iter().all(|(kid, old)| {
            self.0.get(kid).is_some_and(|new| new.algorithm == old.algorithm && new.material == old.material)
        })
    }
}

impl Key {
    /// Whether the signature is this key's. One that is not base64url is evidence of nothing but a bad token.
    pub(super) fn verifies(&self, message: &str, signature: &str) -> bool {
        let signed = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.decoding, self.algorithm);
        signed.unwrap_or(false)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(kid, key)| (kid, key.algorithm))).finish()
    }
}

fn read_key(key: &RawValue, accepted: &[Algorithm]) -> Result<(String, Key), &'static str> {
    let key: Members<'_> = serde_json::from_str(key.get()).map_err(|_| "no object, or it names a member twice")?;
    let kid = key.text("kid").filter(|kid| (1..=MAX_KID).contains(&kid.len())).ok_or("no usable `kid`")?;
    if key.get("use").is_some() && key.text("use").as_deref() != Some("sig") {
        return Err("`use` is not signatures");
    }
    if let Some(operations) = key.get("key_ops") {
        let operations: Vec<String> = serde_json::from_str(operations.get()).map_err(|_| "unreadable `key_ops`")?;
        if !operations.iter().any(|operation| operation == "verify") {
            return Err("not for verifying");
        }
    }
    if key.get("d").is_some() {
        tracing::warn!(%kid, "an issuer publishes a private key: whoever reads it can sign, so it is not used");
        return Err("the private half is published");
    }

    let (material, decoding, fits): (_, _, fn(Algorithm) -> bool) = match key.text("kty").as_deref() {
        Some("RSA") => rsa(&key)?,
        Some("EC") => ec(&key)?,
        Some("OKP") => ed25519(&key)?,
        // `oct` would be a shared secret that is not secret.
        _ => return Err("another sort of key"),
    };
    let algorithm = match key.get("alg") {
        None => accepted.iter().copied().find(|algorithm| fits(*algorithm)),
        Some(_) => key.text("alg").and_then(|name| algorithm(&name)).filter(|algorithm| accepted.contains(algorithm)),
    };
    let algorithm =
        algorithm.filter(|algorithm| fits(*algorithm)).ok_or("no accepted `alg`, or not one of its sort")?;
    Ok((kid.into_owned(), Key { algorithm, decoding, material }))
}

type Material = (Vec<u8>, DecodingKey, fn(Algorithm) -> bool);

/// RFC 7518 §3.3: 2048 bits or more; the library takes up to 8192.
fn rsa(key: &Members<'_>) -> Result<Material, &'static str> {
    let (modulus, exponent) = (bytes(key, "n")?, bytes(key, "e")?);
    // Some write a leading zero, which the RFC forbids and which changes nothing.
    let modulus = &modulus[modulus.iter().take_while(|byte| **byte == 0).count()..];
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err("not 2048 to 8192 bits");
    }
    let number = exponent.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    // An exponent of 1 would make every message its own signature.
    if exponent.len() > 4 || number < 3 || number % 2 == 0 || modulus.last().is_none_or(|byte| byte % 2 == 0) {
        return Err("no RSA key");
    }
    let decoding = DecodingKey::from_rsa_raw_components(modulus, &exponent);
    Ok(([modulus, &exponent].concat(), decoding, |algorithm| algorithm.family() == AlgorithmFamily::Rsa))
}

fn ec(key: &Members<'_>) -> Result<Material, &'static str> {
    let (curve, length, fits): (_, _, fn(Algorithm) -> bool) = match key.text("crv").as_deref() {
        Some("P-256") => (&ECDSA_P256_SHA256_FIXED, 32, |algorithm| algorithm == Algorithm::ES256),
        Some("P-384") => (&ECDSA_P384_SHA384_FIXED, 48, |algorithm| algorithm == Algorithm::ES384),
        _ => return Err("another curve"),
    };
    let (x, y) = (bytes(key, "x")?, bytes(key, "y")?);
    if x.len() != length || y.len() != length {
        return Err("not the length of its curve");
    }
    let point = [&[4][..], &x, &y].concat();
    ParsedPublicKey::new(curve, &point).map_err(|_| "not a point of its curve")?;
    let decoding = DecodingKey::from_ec_der(&point);
    Ok((point, decoding, fits))
}

fn ed25519(key: &Members<'_>) -> Result<Material, &'static str> {
    if key.text("crv").as_deref() != Some("Ed25519") {
        return Err("another curve");
    }
    let x = bytes(key, "x")?;
    if x.len() != 32 {
        return Err("not the length of its curve");
    }
    ParsedPublicKey::new(&ED25519, &x).map_err(|_| "not a point of its curve")?;
    let decoding = DecodingKey::from_ed_der(&x);
    Ok((x, decoding, |algorithm| algorithm == Algorithm::EdDSA))
}

fn bytes(key: &Members<'_>, name: &str) -> Result<Vec<u8>, &'static str> {
    let text = key.text(name).ok_or("a part is missing")?;
    URL_SAFE_NO_PAD.decode(&*text).map_err(|_| "a part is not base64url")
}
