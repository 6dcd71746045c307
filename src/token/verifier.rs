//! A key that checks tokens, ready for use: what is the same for each of its tokens is worked out once.

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{keys::VerifyingKey, sign::header, verify::TokenUse};

/// The counterpart of [`Signer`](super::sign::Signer).
pub(super) struct Verifier {
    pub(super) key: VerifyingKey,
    /// Of HS256. jsonwebtoken would expand the secret anew for every token, for two of the hash's blocks that never differ.
    hmac: Option<hmac::Key>,
    /// The header of its tokens by use, as nodes of this crate write it.
    headers: [(TokenUse, String); 3],
}

impl Verifier {
    pub(super) fn new(key: VerifyingKey) -> Self {
        let hmac = key.secret().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret));
        let headers = [TokenUse::Access, TokenUse::Cookie, TokenUse::Pending].map(|usage| (usage, header(&key, usage)));
        Self { key, hmac, headers }
    }

    /// What a token with this encoded header is for, where that is for certain: it is to the letter the one that nodes of this
    /// crate write with this key. Any other has to be read.
    pub(super) fn written_for(&self, encoded: &str) -> Option<TokenUse> {
        self.headers.iter().find(|(_, header)| header == encoded).map(|(usage, _)| *usage)
    }

    /// Whether the signature is this key's. One that is not base64url is evidence of nothing but a bad token.
    pub(super) fn verifies(&self, message: &str, signature: &str) -> bool {
        let Some(hmac) = &self.hmac else {
            let VerifyingKey { decoding, algorithm, .. } = &self.key;
            return jsonwebtoken::crypto::verify(signature, message.as_bytes(), decoding, *algorithm).unwrap_or(false);
        };
        // What does not fit is longer than any tag. The comparison is in constant time.
        let mut tag = [0; TAG_ROOM];
        let length = URL_SAFE_NO_PAD.decode_slice(signature, &mut tag);
        length.is_ok_and(|length| hmac::verify(hmac, message.as_bytes(), &tag[..length]).is_ok())
    }
}

/// 32 bytes, and as much as the decoder wants to have at hand.
const TAG_ROOM: usize = 48;

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}
