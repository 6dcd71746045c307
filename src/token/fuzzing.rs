//! Arbitrary bytes into the readers of tokens, and what must hold of whatever comes out: for the property tests here and for
//! the longer runs of `fuzz/`.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use time::OffsetDateTime;

use super::{
    AccessTokens, TokenKeys, TokenUse,
    refresh::{RefreshTokens, ServerSecrets},
};

const SECRET: &[u8] = b"not a secret: 0123456789abcdefXYZ";

#[expect(clippy::expect_used, reason = "a good secret")]
static KEYS: LazyLock<TokenKeys> =
    LazyLock::new(|| AccessTokens::hs256(SECRET).and_then(AccessTokens::seal).expect("a good secret"));

#[expect(clippy::expect_used, reason = "a good secret")]
static REFRESH: LazyLock<RefreshTokens> = LazyLock::new(|| {
    let secrets = ServerSecrets::new(vec![SECRET.to_vec()]).expect("a good secret");
    RefreshTokens::new(&secrets).expect("a good secret")
});

/// As they come, they are no token: nobody guesses a signature. And again as header and claims that are properly signed, as by
/// an issuer that went mad, split at the first zero byte: these may be accepted or refused, in any case without a panic.
///
/// # Panics
///
/// Where a promise does not hold.
pub(crate) fn access_token(bytes: &[u8]) {
    let now = OffsetDateTime::UNIX_EPOCH;
    for usage in [TokenUse::Access, TokenUse::Cookie] {
        assert!(KEYS.verify(&String::from_utf8_lossy(bytes), usage, now).is_err(), "a signature was guessed");
        let mut parts = bytes.splitn(2, |byte| *byte == 0);
        let (header, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        // A header that is good, so that the claims are read as well.
        let good = KEYS.header(usage);
        for header in [URL_SAFE_NO_PAD.encode(header), good.to_owned()] {
            let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
            let key = EncodingKey::from_secret(SECRET);
            let Ok(signature) = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256) else {
                continue;
            };
            if let Ok(verified) = KEYS.verify(&format!("{message}.{signature}"), usage, now) {
                assert!(!verified.expires_in.is_zero() && !verified.user_id.as_str().is_empty());
            }
        }
    }
}

/// What is read is what this server made: the very same text, to the last character.
///
/// # Panics
///
/// Where a promise does not hold.
pub(crate) fn refresh_token(bytes: &[u8]) {
    for text in [String::from_utf8_lossy(bytes).into_owned(), URL_SAFE_NO_PAD.encode(bytes)] {
        if let Some((session, generation)) = REFRESH.read(&text) {
            assert_eq!(REFRESH.make(session, generation), text, "another way to write a token");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_024, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2_048)) {
            super::access_token(&bytes);
            super::refresh_token(&bytes);
        }

        /// Of the right length for a refresh token, and a little beside it.
        #[test]
        fn any_bytes_as_long_as_a_refresh_token(bytes in proptest::collection::vec(any::<u8>(), 55..60)) {
            super::refresh_token(&bytes);
        }

        /// Far over the cap: refused unread.
        #[test]
        fn any_long_text(text in "[A-Za-z0-9_.-]{1,4}", times in 4_096_usize..40_000) {
            super::access_token(text.repeat(times).as_bytes());
            super::refresh_token(text.repeat(times).as_bytes());
        }
    }

    #[test]
    fn what_is_made_is_read() {
        let id = crate::session::SessionId::new();
        assert_eq!(super::REFRESH.read(&super::REFRESH.make(id, 7)), Some((id, 7)));
        super::refresh_token(super::REFRESH.make(id, 7).as_bytes());
    }
}
