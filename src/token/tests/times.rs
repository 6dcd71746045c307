//! Times are judged against the clock that the caller passes, to the nanosecond.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use time::OffsetDateTime;

use super::{
    super::AccessTokens, super::TokenKeys, super::TokenRefusal, super::TokenUse, Forged, SECRET, SESSION, hs256,
    naive_accepts, new_token, now,
};
use crate::session::UserId;

fn with_leeway(leeway: Duration) -> TokenKeys {
    AccessTokens::hs256(SECRET).unwrap().leeway(leeway).seal().unwrap()
}

fn at(iat: i64, exp: i64) -> Forged {
    let now = now().unix_timestamp();
    Forged::good().claim("iat", json!(now + iat)).claim("exp", json!(now + exp))
}

fn judged(token: &Forged) -> Result<Duration, TokenRefusal> {
    hs256().verify(&token.sign(), TokenUse::Access, now()).map(|verified| verified.expires_in)
}

#[test]
fn expiry_and_its_leeway() {
    let expired = TokenRefusal::Expired { session_id: SESSION.parse().unwrap(), user_id: UserId::from("lena") };
    // The control takes everything up to a minute after its end.
    assert!(naive_accepts(&at(-900, -55).sign()));
    assert_eq!(judged(&at(-900, -55)), Err(expired.clone()));
    assert_eq!(judged(&at(-900, -3)), Err(expired.clone()));
    assert_eq!(judged(&at(-900, -1_000_000)), Err(TokenRefusal::Invalid("expires before it is issued")));

    // Exactly on the second, the wall clock held still.
    let now = now();
    let keys = hs256();
    let ends = |exp: i64| {
        let exp = now.unix_timestamp() + exp;
        let token = Forged::good().claim("iat", json!(now.unix_timestamp() - 900)).claim("exp", json!(exp)).sign();
        keys.verify(&token, TokenUse::Access, now).map(|verified| verified.expires_in)
    };
    assert_eq!(ends(-2), Err(expired));
    assert_eq!(ends(-1), Ok(Duration::from_secs(1)));
    assert_eq!(ends(0), Ok(Duration::from_secs(2)));
    assert_eq!(ends(900), Ok(Duration::from_secs(902)));
}

#[test]
fn an_expired_token_that_is_bad_otherwise_is_not_believed() {
    for bad in [
        at(-900, -100).header("typ", json!("JWT")),
        at(-900, -100).claim("aud", json!("another")),
        at(-900, -100).claim("iss", json!("another")),
        at(-900, -100).claim("sub", json!("")),
        at(-900, -100).claim("session_id", json!("x")),
        at(-900, -100).claim("nbf", json!(now().unix_timestamp() + 100)),
        at(-900, -100).without("jti"),
    ] {
        assert!(matches!(judged(&bad), Err(TokenRefusal::Invalid(_))), "{:?}", bad.claims);
    }
    let token = at(-900, -100).sign();
    let unsigned = format!("{}.AAAA", token.rsplit_once('.').unwrap().0);
    assert!(matches!(hs256().verify(&unsigned, TokenUse::Access, now()), Err(TokenRefusal::Invalid(_))));
}

#[test]
fn not_before_and_issued_at() {
    let base = now().unix_timestamp();
    let early = |nbf: i64| Forged::good().claim("nbf", json!(base + nbf));
    assert!(naive_accepts(&early(3_600).sign()), "the control");
    assert_eq!(judged(&early(3_600)), Err(TokenRefusal::Invalid("not valid yet")));
    assert!(judged(&early(1)).is_ok() && judged(&early(-3_600)).is_ok());

    assert!(naive_accepts(&at(3_600, 7_200).sign()), "the control");
    for (iat, exp) in [(3_600, 7_200), (310, 900)] {
        assert!(matches!(judged(&at(iat, exp)), Err(TokenRefusal::Expired { .. })), "refused, but not for good");
    }
    assert!(judged(&at(290, 900)).is_ok());

    assert!(naive_accepts(&at(100, 50).sign()), "the control");
    for (iat, exp) in [(100, 50), (100, 100), (-10, -10)] {
        assert_eq!(judged(&at(iat, exp)), Err(TokenRefusal::Invalid("expires before it is issued")));
    }
}

#[test]
fn the_leeway_is_bounded() {
    for (leeway, good) in [(0, true), (60_000, true), (60_001, false)] {
        let sealed = AccessTokens::hs256(SECRET).unwrap().leeway(Duration::from_millis(leeway)).seal();
        assert_eq!(sealed.is_ok(), good, "{leeway} ms");
    }
    assert!(AccessTokens::hs256(SECRET).unwrap().leeway(Duration::MAX).seal().is_err());
}

#[test]
fn lifetimes_are_rounded_up_to_seconds() {
    let user = UserId::from("lena");
    let start = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
    let keys = with_leeway(Duration::ZERO);
    for (fraction, lifetime, lives) in [
        (0, 900_000, 900_000),
        (0, 1, 1_000),
        (0, 0, 1_000),
        (0, 1_500, 2_000),
        (700, 900_000, 900_300),
        (700, 200, 300),
        (999, 1, 1),
    ] {
        let issued_at = start + Duration::from_millis(fraction);
        let mut new = new_token(&user, issued_at);
        new.lifetime = Duration::from_millis(lifetime);
        let verified = keys.verify(&keys.sign(&new).unwrap(), TokenUse::Access, issued_at).unwrap();
        assert_eq!(verified.expires_in, Duration::from_millis(lives), "{fraction} ms, {lifetime} ms");
    }
    let mut endless = new_token(&user, start);
    endless.lifetime = Duration::MAX;
    assert_eq!(keys.sign(&endless).unwrap_err().kind(), crate::ErrorKind::InvalidClaims);
}

proptest! {
    /// Good exactly while `now < exp + leeway`, for so long as it says.
    #[test]
    fn the_end_is_exact(leeway_ms in 0_u64..=60_000, offset_ns in -70_000_000_000_i64..70_000_000_000) {
        let exp = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let leeway = Duration::from_millis(leeway_ms);
        let keys = with_leeway(leeway);
        let now = exp + time::Duration::nanoseconds(offset_ns);
        let token = Forged::good()
            .claim("iat", json!(exp.unix_timestamp() - 900))
            .claim("exp", json!(exp.unix_timestamp()))
            .sign();
        let left = i128::try_from(leeway.as_nanos()).unwrap() - i128::from(offset_ns);
        match keys.verify(&token, TokenUse::Access, now) {
            Ok(verified) => prop_assert_eq!(i128::try_from(verified.expires_in.as_nanos()).unwrap(), left),
            Err(TokenRefusal::Expired { .. }) => prop_assert!(left <= 0),
            Err(other) => prop_assert!(false, "{:?}", other),
        }
    }
}
