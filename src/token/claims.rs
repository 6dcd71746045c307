//! What stands in a token, read strictly: every member once, every claim of ours there and of its one type.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::session::{SessionId, UserId};

/// Whether it is one of the claims that this crate writes or judges; an application cannot set them. `gen` is the refresh
/// generation.
pub(super) fn is_reserved(name: &str) -> bool {
    matches!(name, "iss" | "aud" | "sub" | "exp" | "iat" | "nbf" | "jti" | "session_id" | "gen")
}

/// The members of a JSON object, each once and not yet parsed.
///
/// A struct alone would let unknown members come twice, and a map alone would silently take the last: two readers of one
/// token could then see two different values.
pub(super) struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

/// A plain `Cow` would always be owned.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    /// Inlined, so that a name that is known beforehand is compared as a word or two.
    #[inline]
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(Text(one), _)| one == name).map(|(_, value)| *value)
    }

    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(text)
    }

    fn has_duplicates(&mut self) -> bool {
        let Self(members) = self;
        // One by one, unless somebody sends so many that the square of them would count. In place, since whoever has no key
        // shall not make us allocate much.
        if members.len() > FEW {
            members.sort_unstable_by(|(Text(one), _), (Text(other), _)| one.cmp(other));
            return members.windows(2).any(|two| two[0].0.0 == two[1].0.0);
        }
        (1..members.len()).any(|n| members[..n].iter().any(|(Text(earlier), _)| *earlier == members[n].0.0))
    }
}

/// More than any token has that somebody means well.
const FEW: usize = 32;

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                // As many as this crate writes, and some more.
                let mut members = Members(Vec::with_capacity(16));
                while let Some(member) = map.next_entry()? {
                    members.0.push(member);
                }
                if members.has_duplicates() {
                    return Err(A::Error::custom("a member comes twice"));
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// The claims that are judged, of a token whose signature is good.
pub(super) struct Claims<'a> {
    pub(super) issuer: Cow<'a, str>,
    pub(super) audience: Vec<Cow<'a, str>>,
    pub(super) user_id: UserId,
    pub(super) expires_at: OffsetDateTime,
    pub(super) issued_at: OffsetDateTime,
    pub(super) not_before: Option<OffsetDateTime>,
    pub(super) session_id: SessionId,
    pub(super) generation: Option<u64>,
    /// Whether there is anything that is not [reserved](is_reserved).
    pub(super) has_custom: bool,
}

/// The value of a claim, or why there is none: `&'static`, so that no part of a token can get into a log.
macro_rules! claim {
    ($members:ident, $name:literal, $read:expr) => {
        match $members.get($name) {
            None => Err(concat!("claim missing: ", $name)),
            Some(raw) => $read(raw).ok_or(concat!("claim of the wrong type or form: ", $name)),
        }
    };
}

impl<'a> Claims<'a> {
    pub(super) fn read(payload: &'a str) -> Result<Self, &'static str> {
        let members: Members<'a> =
            serde_json::from_str(payload).map_err(|_| "claims are no object or name one twice")?;
        let has_custom = members.0.iter().any(|(Text(name), _)| !is_reserved(name));
        // Custom claims are parsed later, by the application. What cannot be parsed at all (nested too deep, a number
        // out of range) is a bad token and not an error in a handler.
        if has_custom && serde_json::from_str::<Map<String, Value>>(payload).is_err() {
            return Err("custom claims cannot be read");
        }
        // RFC 9068 §2.2 requires it. Nothing is decided by it here.
        claim!(members, "jti", text)?;
        Ok(Self {
            issuer: claim!(members, "iss", text)?,
            audience: claim!(members, "aud", audience)?,
            user_id: claim!(members, "sub", user_id)?,
            expires_at: claim!(members, "exp", seconds)?,
            issued_at: claim!(members, "iat", seconds)?,
            not_before: if members.get("nbf").is_some() { Some(claim!(members, "nbf", seconds)?) } else { None },
            session_id: claim!(members, "session_id", session_id)?,
            generation: if members.get("gen").is_some() { Some(claim!(members, "gen", whole)?) } else { None },
            has_custom,
        })
    }
}

pub(super) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    // As it stands there, it has been read as JSON already: between quotes and without escapes, it says what it is.
    match raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        _ => serde_json::from_str(raw.get()).ok().map(|Text(text)| text),
    }
}

/// RFC 7519 §4.1.3: a string, or an array of strings.
pub(super) fn audience(raw: &RawValue) -> Option<Vec<Cow<'_, str>>> {
    text(raw).map(|one| vec![one]).or_else(|| serde_json::from_str(raw.get()).ok())
}

pub(super) fn user_id(raw: &RawValue) -> Option<UserId> {
    let id = text(raw)?;
    (1..=UserId::MAX_LEN).contains(&id.len()).then(|| UserId::from(&*id))
}

/// Whole seconds since 1970, as this crate writes them. RFC 7519 would allow fractions, which nobody writes and which
/// verifiers round in different ways.
pub(super) fn seconds(raw: &RawValue) -> Option<OffsetDateTime> {
    let seconds = whole(raw)?;
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()
}

/// What JSON lets pass as a number and `parse` takes is written in digits alone.
fn whole(raw: &RawValue) -> Option<u64> {
    raw.get().parse().ok()
}

fn session_id(raw: &RawValue) -> Option<SessionId> {
    Uuid::try_parse(&text(raw)?).ok().map(SessionId::from)
}
