//! The verifier prepares, compares and borrows what it can. Here is the plain way to the same answers: jsonwebtoken's check of
//! the signature, every member in a map of its own, every value parsed by serde. Whatever is sent, both say the same, to the
//! words of the refusal.

use std::collections::{BTreeMap, BTreeSet};

use jsonwebtoken::{Algorithm, DecodingKey};
use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use serde::{
    Deserialize,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};
use time::OffsetDateTime;

use super::{
    super::{
        AccessTokens, SigningKey, TokenRefusal, TokenUse, VerifiedToken, VerifyingKey, claims::is_reserved,
        verifier::Verifier,
    },
    RSA, SECRET,
    fuzz::{apply, edit},
    hs256, new_token, now, pem_of, sign, sign_bytes, sign_text,
    vectors::*,
};
use crate::session::UserId;

const NAME: &str = "axum-device-sessions";

/// What the plain reader makes of a member that comes twice.
#[derive(Clone, Copy, PartialEq)]
enum Twice {
    Refused,
    /// As a map of serde_json does: the control.
    LastCounts,
}

struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

fn object(text: &str, twice: Twice) -> Option<BTreeMap<String, &RawValue>> {
    let Object(members) = serde_json::from_str(text).ok()?;
    let (count, map) = (members.len(), BTreeMap::from_iter(members));
    (twice == Twice::LastCounts || map.len() == count).then_some(map)
}

fn read<T: DeserializeOwned>(members: &BTreeMap<String, &RawValue>, name: &str) -> Option<T> {
    serde_json::from_str(members.get(name)?.get()).ok()
}

fn text_of(part: &str) -> Option<String> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// For `SECRET` alone, and all other settings as they are by default.
fn plain(token: &str, usage: TokenUse, now: OffsetDateTime, twice: Twice) -> Result<VerifiedToken, TokenRefusal> {
    let kid = VerifyingKey::hs256(SECRET).unwrap().kid;
    if token.len() > 8 * 1024 {
        return Err("longer than 8 KiB".into());
    }
    let &[header, payload, signature] = &token.split('.').collect::<Vec<_>>()[..] else {
        return Err("not a JWT".into());
    };
    let header = text_of(header).ok_or("header is not base64url of text")?;
    let header = object(&header, twice).ok_or("header is no object or names a member twice")?;
    if header.contains_key("crit") {
        return Err("critical header extension".into());
    }
    let typ = read::<String>(&header, "typ").map(|typ| typ.to_ascii_lowercase()).unwrap_or_default();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    let usage = [usage, TokenUse::Pending].into_iter().find(|usage| usage.media_type() == typ);
    let usage = usage.ok_or("not the `typ` that belongs here")?;
    let named = read::<String>(&header, "kid").filter(|kid| kid.len() <= 128).ok_or("no usable `kid`")?;
    if named != kid {
        return Err("`kid` of no known key".into());
    }
    if read::<String>(&header, "alg").as_deref() != Some("HS256") {
        return Err("not the algorithm of its key".into());
    }
    let (message, _) = token.rsplit_once('.').unwrap();
    let key = DecodingKey::from_secret(SECRET);
    if jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, Algorithm::HS256) != Ok(true) {
        return Err("signature is wrong".into());
    }

    let payload = text_of(payload).ok_or("payload is not base64url of text")?;
    let claims = object(&payload, twice).ok_or("claims are no object or name one twice")?;
    let has_custom = claims.keys().any(|name| !is_reserved(name));
    if has_custom && serde_json::from_str::<Map<String, Value>>(&payload).is_err() {
        return Err("custom claims cannot be read".into());
    }
    let missing = |name: &'static str| match claims.contains_key(name) {
        false => TokenRefusal::Invalid(format!("claim missing: {name}").leak()),
        true => TokenRefusal::Invalid(format!("claim of the wrong type or form: {name}").leak()),
    };
    let text = |name| read::<String>(&claims, name).ok_or_else(|| missing(name));
    let seconds = |name| {
        let seconds = read::<u64>(&claims, name).and_then(|seconds| i64::try_from(seconds).ok());
        seconds.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok()).ok_or_else(|| missing(name))
    };
    text("jti")?;
    let issuer = text("iss")?;
    let audience: Vec<String> = match text("aud") {
        Ok(one) => vec![one],
        Err(otherwise) => read(&claims, "aud").ok_or(otherwise)?,
    };
    let user = text("sub").ok().filter(|id| (1..=255).contains(&id.len())).ok_or_else(|| missing("sub"))?;
    let (expires_at, issued_at) = (seconds("exp")?, seconds("iat")?);
    let not_before = if claims.contains_key("nbf") { Some(seconds("nbf")?) } else { None };
    let session_id = text("session_id")?.parse().map_err(|_| missing("session_id"))?;
    let generation = match claims.contains_key("gen") {
        true => Some(read::<u64>(&claims, "gen").ok_or_else(|| missing("gen"))?),
        false => None,
    };
    if issuer != NAME {
        return Err("another issuer".into());
    }
    if !audience.iter().any(|one| one == NAME) {
        return Err("another audience".into());
    }
    let leeway = time::Duration::seconds(2);
    if not_before.is_some_and(|from| from - now > leeway) {
        return Err("not valid yet".into());
    }
    if expires_at <= issued_at {
        return Err("expires before it is issued".into());
    }
    let left = expires_at - now + leeway;
    let (pending, user_id) = (usage == TokenUse::Pending, UserId::from(user));
    if left <= time::Duration::ZERO || issued_at - now > time::Duration::seconds(300) {
        return Err(match pending {
            true => "on the way to a second factor for too long".into(),
            false => TokenRefusal::Expired { session_id, user_id },
        });
    }
    Ok(VerifiedToken {
        session_id,
        user_id,
        generation,
        age: (now - issued_at).try_into().unwrap_or_default(),
        expires_in: left.unsigned_abs(),
        pending,
        of_another_key: false,
        claims: has_custom.then(|| payload.into()),
    })
}

/// What a value may look like that is meant to be another, or none.
const ODD: &str = r#"
    null true 0 -0 -1 01 +1 1.0 1e3 1E400 18446744073709551615 18446744073709551616 9223372036854775808 1_000 0x10
    "" "\u0061" "\ud800" "\ud83d\ude00" "\x" "\" " "é" [] {} ["axum-device-sessions",1] ["another"] "another"
    ["\u0061xum-device-sessions"] "axum-device\u002dsessions" ["axum-device-sessions","another"] "another","another"
    "HS\u003256" "hs256" "none" "HS384" "RS256" "AT+jwt" "application/at+jwt" "pending+jwt" "session+jwt" "at\u002bjwt"
    "0191E0A27B6C7DEF8123456789ABCDEF" "{0191e0a2-7b6c-7def-8123-456789abcdef}"
    "urn:uuid:0191e0a2-7b6c-7def-8123-456789abcdef""#;

fn value() -> impl Strategy<Value = String> {
    let odd: Vec<_> = ODD.split_whitespace().chain(["", "\" \"", "\"\t\""]).map(str::to_owned).collect();
    let number = |around: i64| (around - 400..around + 400).prop_map(|number| number.to_string());
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    prop_oneof![
        8 => select(odd),
        2 => number(now().unix_timestamp()),
        1 => any::<String>().prop_map(|text| Value::from(text).to_string()),
        1 => select(vec![deep(100), deep(200), format!("\"{}\"", "k".repeat(129)), format!("\"{}\"", "s".repeat(256))]),
    ]
}

/// Members of an object, most of them as they should be: left out, doubled, changed, or beside others.
fn members(good: &Map<String, Value>) -> impl Strategy<Value = String> + use<> {
    let names = r"iss aud sub exp iat nbf jti session_id gen typ alg kid crit x e\u0078p \u0073ub cri\u0074 k\u0069d é";
    let name = select(names.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let good: Vec<_> = good.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    let count = good.len();
    let odd = (name, value()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
    let odd = prop::collection::vec((odd, any::<prop::sample::Index>(), any::<bool>()), 0..3);
    let many = prop_oneof![6 => Just(0_usize), 1 => 20..40_usize];
    (odd, many, prop::collection::vec(any::<prop::sample::Index>(), 0..2)).prop_map(move |(odd, many, doubled)| {
        let mut members = good.clone();
        for (member, at, instead) in odd {
            match instead {
                true => members[at.index(count)] = member,
                false => members.insert(at.index(members.len() + 1), member),
            }
        }
        members.extend((0..many).map(|n| format!("\"x{n}\":{n}")));
        for at in doubled.iter().take(usize::from(many != 0)) {
            members.push(members[at.index(members.len())].clone());
        }
        format!("{{ {} }}", members.join(" , "))
    })
}

/// The same in every run: what it covers is counted below.
fn samples<S: Strategy>(strategy: &S, count: usize) -> impl Iterator<Item = S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

#[test]
fn both_ways_say_the_same_of_every_token() {
    let keys = hs256();
    let at = now();
    let [access, cookie, pending] = [TokenUse::Access, TokenUse::Cookie, TokenUse::Pending]
        .map(|usage| keys.sign(&super::NewToken { usage, ..new_token(&UserId::from("lena"), at) }).unwrap());
    let part = |token: &str, n: usize| -> Map<String, Value> {
        serde_json::from_str(&text_of(token.split('.').nth(n).unwrap()).unwrap()).unwrap()
    };
    let (mut said, mut naive_differs) = (BTreeMap::<String, usize>::new(), 0);
    let mut check = |token: &str| {
        for (usage, at) in
            [(TokenUse::Access, at), (TokenUse::Cookie, at), (TokenUse::Access, at + time::Duration::HOUR)]
        {
            let verified = keys.verify(token, usage, at);
            assert_eq!(verified, plain(token, usage, at, Twice::Refused), "{usage:?} {token}");
            naive_differs += usize::from(verified != plain(token, usage, at, Twice::LastCounts));
            let what = match verified {
                Ok(_) => "accepted",
                Err(TokenRefusal::Expired { .. }) => "expired",
                Err(TokenRefusal::Invalid(why)) => why,
            };
            *said.entry(what.to_owned()).or_default() += 1;
        }
    };
    for token in [&access, &cookie, &pending] {
        check(token);
        // The text of the token itself, as nobody signed it.
        samples(&prop::collection::vec(edit(), 1..3), 1_500).for_each(|edits| {
            check(
                &edits.iter().fold(token.clone(), |text, edit| if text.is_empty() { text } else { apply(&text, edit) }),
            );
        });
    }
    // What somebody signed with the key, whatever it was: with the header that is known to the letter, and with others.
    let known = text_of(access.split('.').next().unwrap()).unwrap();
    let (headers, claims) = (members(&part(&access, 0)), members(&part(&access, 1)));
    samples(&claims, 6_000).for_each(|claims| check(&sign_text(&known, &claims)));
    samples(&(headers, claims), 6_000).for_each(|(header, claims)| check(&sign_text(&header, &claims)));
    let bytes = prop::collection::vec(any::<u8>(), 0..8);
    samples(&bytes, 200).for_each(|claims| check(&sign_bytes(known.as_bytes(), &claims, SECRET)));
    samples(&bytes, 200).for_each(|header| check(&sign_bytes(&header, b"{}", SECRET)));
    check(&"a".repeat(9 * 1024));

    // The control: a reader that lets the last of two members count is found out by these very tokens.
    assert!(naive_differs > 100, "{naive_differs}");
    let reasons: BTreeSet<_> = said.keys().map(|why| why.split(':').next().unwrap()).collect();
    let all = "`kid` of no known key, accepted, another audience, another issuer, claim missing, claim of the wrong type or \
               form, claims are no object or name one twice, critical header extension, custom claims cannot be read, expired, \
               expires before it is issued, header is no object or names a member twice, header is not base64url of text, \
               longer than 8 KiB, no usable `kid`, not a JWT, not the `typ` that belongs here, not the algorithm of its key, \
               not valid yet, payload is not base64url of text, signature is wrong";
    assert!(all.split(", ").all(|why| reasons.contains(why)), "{said:?}");
    assert!(said["accepted"] > 1_000 && said["signature is wrong"] > 1_000, "{said:?}");
}

#[test]
fn both_ways_say_the_same_of_every_signature() {
    for (signing, verifying) in [
        (SigningKey::hs256(SECRET).unwrap(), VerifyingKey::hs256(SECRET).unwrap()),
        // Longer than a block of the hash, which is then hashed itself.
        (SigningKey::hs256([SECRET; 3].concat()).unwrap(), VerifyingKey::hs256([SECRET; 3].concat()).unwrap()),
        (SigningKey::rs256_pem(&RSA.0).unwrap(), VerifyingKey::rs256_pem(&RSA.1).unwrap()),
        (
            SigningKey::es256_pem(pem_of("PRIVATE KEY", P256_PRIVATE)).unwrap(),
            VerifyingKey::es256_pem(pem_of("PUBLIC KEY", P256_COMPRESSED)).unwrap(),
        ),
        (
            SigningKey::eddsa_pem(pem_of("PRIVATE KEY", ED25519_PRIVATE)).unwrap(),
            VerifyingKey::eddsa_pem(pem_of("PUBLIC KEY", ED25519_PUBLIC)).unwrap(),
        ),
    ] {
        let token = sign(&AccessTokens::signing_with(signing).seal().unwrap());
        let (message, signature) = token.rsplit_once('.').unwrap();
        let (decoding, algorithm) = (verifying.decoding.clone(), verifying.algorithm);
        let verifier = Verifier::new(verifying);
        let check = |message: &str, signature: &str| {
            let plain = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &decoding, algorithm) == Ok(true);
            assert_eq!(verifier.verifies(message, signature), plain, "{algorithm:?} {signature}");
            plain
        };
        assert!(check(message, signature), "the control");
        assert!(!check(&message[1..], signature) && !check(message, "") && !check(message, &signature[1..]));
        for longer in ["A", "=", "AA", "AAAA", &"A".repeat(43), &"A".repeat(1_000)] {
            assert!(!check(message, &format!("{signature}{longer}")));
        }
        (1..=600).step_by(7).for_each(|length| assert!(!check(message, &"A".repeat(length))));
        for edits in samples(&prop::collection::vec(edit(), 1..3), 200) {
            let edited = |text: &str| {
                edits.iter().fold(text.to_owned(), |text, edit| if text.is_empty() { text } else { apply(&text, edit) })
            };
            check(message, &edited(signature));
            check(&edited(message), signature);
        }
    }
}

/// It is taken for granted where a header is compared and not read.
#[test]
fn the_header_that_is_known_reads_as_what_it_is_known_for() {
    let token = sign(&hs256());
    let header: Value = serde_json::from_str(&text_of(token.split('.').next().unwrap()).unwrap()).unwrap();
    let verifier = Verifier::new(VerifyingKey::hs256(SECRET).unwrap());
    assert_eq!(verifier.written_for(token.split('.').next().unwrap()), Some(TokenUse::Access));
    assert_eq!(verifier.written_for(""), None);
    let other = VerifyingKey::hs256(SECRET).unwrap().with_kid("other").unwrap();
    assert_eq!(Verifier::new(other).written_for(token.split('.').next().unwrap()), None);
    let kid = verifier.key.kid();
    assert_eq!(header, serde_json::json!({ "typ": "at+jwt", "alg": "HS256", "kid": kid }));
}
