//! Reads one key out of a PEM file and says what is wrong with it in words that lead to the right command.
//!
//! jsonwebtoken's own reader takes a public key where a private one is meant and the other way round, any curve and any
//! size, and finds out at the first token. Here the label, the family and the curve are looked at before anything else.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::error::ConfigError;

/// What is inside a PEM block: still to be parsed by the cryptography library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    /// PKCS#8.
    Private,
    /// PKCS#1, RSA only.
    RsaPrivate,
    /// SubjectPublicKeyInfo.
    Public,
}

/// The kinds of key that people hand over, by the DER of their object identifier (tag and length included).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rsa,
    P256,
    Ed25519,
    /// Some other kind; its name is for the error text.
    Other(&'static str),
}

const KINDS: [(&[u8], Kind); 10] = [
    (&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1], Kind::Rsa),
    (&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], Kind::P256),
    (&[6, 3, 0x2b, 0x65, 0x70], Kind::Ed25519),
    (&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10], Kind::Other("an RSA key for PSS only")),
    (&[6, 5, 0x2b, 0x81, 4, 0, 34], Kind::Other("a P-384 key")),
    (&[6, 5, 0x2b, 0x81, 4, 0, 35], Kind::Other("a P-521 key")),
    (&[6, 5, 0x2b, 0x81, 4, 0, 10], Kind::Other("a secp256k1 key")),
    (&[6, 3, 0x2b, 0x65, 0x71], Kind::Other("an Ed448 key")),
    (&[6, 3, 0x2b, 0x65, 0x6e], Kind::Other("an X25519 key, which agrees on secrets and cannot sign")),
    (&[6, 3, 0x2b, 0x65, 0x6f], Kind::Other("an X448 key, which agrees on secrets and cannot sign")),
];

/// The algorithm identifier stands before any key material, within this many bytes of PKCS#8 and of SPKI alike.
const IDENTIFIER_WITHIN: usize = 40;

impl Kind {
    /// A guess, for the error text and the choice of parser: the parser decides.
    fn of(der: &[u8]) -> Option<Self> {
        let head = &der[..der.len().min(IDENTIFIER_WITHIN)];
        let found =
            KINDS.iter().filter_map(|(id, kind)| Some((head.windows(id.len()).position(|at| at == *id)?, *kind)));
        found.min_by_key(|(position, _)| *position).map(|(_, kind)| kind)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Rsa => "an RSA key",
            Self::P256 => "a P-256 key",
            Self::Ed25519 => "an Ed25519 key",
            Self::Other(name) => name,
        }
    }
}

/// The private key of that kind in `pem`, as DER.
pub(crate) fn private(pem: &[u8], kind: Kind) -> Result<(Label, Vec<u8>), ConfigError> {
    let (label, der) = single_block(pem)?;
    match label {
        Label::Public => Err(ConfigError::new(
            "this is the public half of a key and signing needs the private one: give the PEM that begins with \
             `-----BEGIN PRIVATE KEY-----`, or use `VerifyingKey` where tokens are only checked",
        )),
        Label::RsaPrivate => expect(Kind::Rsa, kind).map(|()| (label, der)),
        Label::Private => expect_in(&der, kind).map(|()| (label, der)),
    }
}

/// The public key of that kind in `pem`, as SPKI DER.
pub(super) fn public(pem: &[u8], kind: Kind) -> Result<Vec<u8>, ConfigError> {
    let (label, der) = single_block(pem)?;
    if label != Label::Public {
        return Err(ConfigError::new(
            "this is a private key and checking tokens needs only the public half: keep the private one where tokens are \
             issued and give what `openssl pkey -in key.pem -pubout` prints",
        ));
    }
    expect_in(&der, kind).map(|()| der)
}

fn expect_in(der: &[u8], wanted: Kind) -> Result<(), ConfigError> {
    expect(Kind::of(der).unwrap_or(Kind::Other("something else")), wanted)
}

fn expect(found: Kind, wanted: Kind) -> Result<(), ConfigError> {
    if found == wanted {
        return Ok(());
    }
    Err(ConfigError::new(format!(
        "wrong kind of key: {} is needed and this is {}. RS256 takes RSA, ES256 takes P-256, EdDSA takes Ed25519; use the \
         constructor of that name or make another key with `openssl genpkey`",
        wanted.name(),
        found.name()
    )))
}

/// Exactly one key: with two in a file there would be no telling which of them counts.
fn single_block(pem: &[u8]) -> Result<(Label, Vec<u8>), ConfigError> {
    const BEGIN: &str = "-----BEGIN ";
    let not_pem = || ConfigError::new("not a PEM file: it has to begin with a line like `-----BEGIN PUBLIC KEY-----`");

    let text = std::str::from_utf8(pem).map_err(|_| not_pem())?;
    let (_, after_begin) = text.split_once(BEGIN).ok_or_else(not_pem)?;
    if after_begin.contains(BEGIN) {
        return Err(ConfigError::new("this PEM file has several blocks: give a file with exactly one key"));
    }
    let (name, after_name) = after_begin.split_once("-----").ok_or_else(not_pem)?;
    let label = label(name)?;
    let (body, _) = after_name.split_once(&format!("-----END {name}-----")).ok_or_else(|| {
        ConfigError::new("this PEM file is cut off: the `-----END ..-----` line of its key is missing")
    })?;
    let body: String = body.split_ascii_whitespace().collect();
    // The decoder's error would quote a byte of the key.
    let der = STANDARD.decode(body).map_err(|_| {
        ConfigError::new(
            "the body of this PEM file is not base64: take it unencrypted and unedited. Where it came through an \
             environment variable, its line breaks may have become the two characters `\\n`",
        )
    })?;
    Ok((label, der))
}

fn label(name: &str) -> Result<Label, ConfigError> {
    let instead = match name {
        "PRIVATE KEY" => return Ok(Label::Private),
        "RSA PRIVATE KEY" => return Ok(Label::RsaPrivate),
        "PUBLIC KEY" => return Ok(Label::Public),
        "ENCRYPTED PRIVATE KEY" => "an encrypted private key: decrypt it with `openssl pkey -in key.pem`",
        "EC PRIVATE KEY" | "EC PARAMETERS" => {
            "a SEC1 private key: convert it with `openssl pkcs8 -topk8 -nocrypt -in key.pem`"
        }
        "OPENSSH PRIVATE KEY" => "an OpenSSH key: make one with `openssl genpkey`",
        "RSA PUBLIC KEY" => "a PKCS#1 public key: convert it with `openssl rsa -RSAPublicKey_in -pubout -in key.pem`",
        "CERTIFICATE" => "a certificate: take its key with `openssl x509 -pubkey -noout -in cert.pem`",
        _ => "not a key: a `PRIVATE KEY` (PKCS#8) or `PUBLIC KEY` (SPKI) is needed",
    };
    Err(ConfigError::new(format!("this PEM file holds {instead}")))
}
