//! Refresh tokens: which session and which generation, and a MAC under a key that is not in the database. The successor of
//! a token can be made again at any time, so nothing secret has to be kept for a retry.

use uuid::Uuid;

use super::{
    rule::Generation,
    secret::{Seal, ServerSecrets},
};
use crate::{error::ConfigError, session::SessionId};

/// version ‖ session id ‖ generation, sealed.
const VERSION: u8 = 1;
const BODY: usize = 1 + 16 + 8;

/// Makes refresh tokens, and reads those that it or another node made.
#[derive(Debug)]
pub(crate) struct RefreshTokens(Seal);

impl RefreshTokens {
    pub(crate) fn new(secrets: &ServerSecrets) -> Result<Self, ConfigError> {
        Seal::new(secrets, "refresh token v1").map(Self)
    }

    /// The token of this generation: the same each time.
    pub(crate) fn make(&self, id: SessionId, generation: Generation) -> String {
        let mut body = Vec::with_capacity(BODY);
        body.push(VERSION);
        body.extend(id.as_uuid().as_bytes());
        body.extend(generation.to_be_bytes());
        self.0.seal(&body)
    }

    /// Session and generation, if it is one of these.
    pub(crate) fn read(&self, token: &str) -> Option<(SessionId, Generation)> {
        let body = self.0.open::<BODY>(token)?;
        let (version, rest) = body.split_first()?;
        let (id, generation) = rest.split_at(16);
        (*version == VERSION).then_some(())?;
        let generation = Generation::from_be_bytes(generation.try_into().ok()?);
        // What a column can hold, and the next one too.
        (1..i64::MAX.unsigned_abs()).contains(&generation).then_some(())?;
        Some((Uuid::from_slice(id).ok()?.into(), generation))
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    const MAC: usize = 32;

    fn tokens(first: u8, others: &[u8]) -> RefreshTokens {
        let secret = |seed: &u8| (0..32).map(|byte| byte ^ seed).collect();
        let secrets = std::iter::once(&first).chain(others).map(secret).collect();
        RefreshTokens::new(&ServerSecrets::new(secrets).unwrap()).unwrap()
    }

    #[test]
    fn a_token_is_the_same_each_time_and_read_by_whoever_has_the_secret() {
        let id = SessionId::new();
        let token = tokens(1, &[]).make(id, 7);
        assert_eq!(token, tokens(1, &[2]).make(id, 7));
        assert_eq!(tokens(2, &[1]).read(&token), Some((id, 7)), "the old secret is still accepted");
        assert_eq!(tokens(2, &[3]).read(&token), None);
        assert_ne!(token, tokens(2, &[1]).make(id, 7), "but the new one makes");
    }

    /// Computed apart from this crate, by another implementation of HKDF and HMAC: label, salt and layout must not change by
    /// accident, or every refresh token becomes void.
    #[test]
    fn a_fixed_token() {
        let id = SessionId::from(Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001));
        assert_eq!(tokens(0, &[]).make(id, 7), FIXED);
        assert_eq!(tokens(0, &[]).read(FIXED), Some((id, 7)));
    }

    const FIXED: &str = "AQGYwN4AAHAAgAAAAAAAAAEAAAAAAAAAB4tA05f5LFfB0ZOnSqTWzBKg6P0sjI3VM3AhHzWqy9G2";

    #[test]
    fn no_generation_that_a_column_cannot_hold() {
        let tokens = tokens(1, &[]);
        for (generation, is_read) in [
            (0, false),
            (1, true),
            (i64::MAX.unsigned_abs() - 1, true),
            (i64::MAX.unsigned_abs(), false),
            (u64::MAX, false),
        ] {
            assert_eq!(tokens.read(&tokens.make(SessionId::new(), generation)).is_some(), is_read, "{generation}");
        }
    }

    #[test]
    fn weak_secrets_are_refused() {
        for weak in [vec![], vec![vec![1; 31]], vec![vec![7; 64]], vec![(0..32).collect(), vec![]]] {
            assert!(ServerSecrets::new(weak).is_err());
        }
    }

    proptest! {
        #[test]
        fn nothing_else_is_read(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(tokens(1, &[2]).read(&text), None);
            prop_assert_eq!(tokens(1, &[2]).read(&URL_SAFE_NO_PAD.encode(bytes)), None);
        }

        #[test]
        fn a_changed_bit_is_noticed(generation in any::<u64>(), bit in 0..(BODY + MAC) * 8) {
            let token = tokens(1, &[]).make(SessionId::new(), generation);
            let mut bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(tokens(1, &[]).read(&URL_SAFE_NO_PAD.encode(bytes)), None);
        }
    }
}
