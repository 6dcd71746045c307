//! Nothing that anyone can send makes it panic, and nothing but the very text that was signed is accepted.

use proptest::prelude::*;

use super::{Forged, SECRET, hs256, sign, sign_bytes, verify};

#[derive(Clone, Debug)]
pub(super) enum Edit {
    Replace(prop::sample::Index, char),
    Insert(prop::sample::Index, char),
    Delete(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Cut(prop::sample::Index),
    Append(String),
}

pub(super) fn edit() -> impl Strategy<Value = Edit> {
    // Mostly characters of tokens, so that most edits get past the decoder.
    let character =
        || prop_oneof![8 => "[A-Za-z0-9_.=-]".prop_map(|text| text.chars().next().unwrap()), 1 => any::<char>()];
    let place = any::<prop::sample::Index>;
    prop_oneof![
        (place(), character()).prop_map(|(at, with)| Edit::Replace(at, with)),
        (place(), character()).prop_map(|(at, with)| Edit::Insert(at, with)),
        place().prop_map(Edit::Delete),
        (place(), place()).prop_map(|(one, other)| Edit::Swap(one, other)),
        place().prop_map(Edit::Cut),
        "[A-Za-z0-9_.=-]{1,8}".prop_map(Edit::Append),
    ]
}

pub(super) fn apply(token: &str, edit: &Edit) -> String {
    let mut text: Vec<char> = token.chars().collect();
    let length = text.len();
    match edit {
        Edit::Replace(at, with) => text[at.index(length)] = *with,
        Edit::Insert(at, with) => text.insert(at.index(length), *with),
        Edit::Delete(at) => drop(text.remove(at.index(length))),
        Edit::Swap(one, other) => text.swap(one.index(length), other.index(length)),
        Edit::Cut(at) => text.truncate(at.index(length)),
        Edit::Append(more) => text.extend(more.chars()),
    }
    text.into_iter().collect()
}

/// JSON of any shape, with the names that matter among the members.
fn json() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("iss"),
        Just("aud"),
        Just("sub"),
        Just("exp"),
        Just("iat"),
        Just("nbf"),
        Just("jti"),
        Just("session_id"),
        Just("typ"),
        Just("alg"),
        Just("kid"),
        Just("crit"),
        Just("x"),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| value.to_string()),
        any::<String>().prop_map(|value| serde_json::Value::from(value).to_string()),
        Just("\"axum-device-sessions\"".to_owned()),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(",")))
    });
    prop::collection::vec((name, value), 0..10).prop_map(|members| {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>()) {
        prop_assert!(verify(&hs256(), &text).is_err());
    }

    #[test]
    fn any_three_parts(text in "[A-Za-z0-9_=-]{0,40}\\.[A-Za-z0-9_=-]{0,40}\\.[A-Za-z0-9_=-]{0,40}") {
        prop_assert!(verify(&hs256(), &text).is_err());
    }

    /// HS256 has one signature a message (ECDSA has two, which is why nothing may be keyed by the signature alone).
    #[test]
    fn an_edited_token(edits in prop::collection::vec(edit(), 1..4)) {
        let token = sign(&hs256());
        let edited = edits.iter().fold(token.clone(), |text, edit| if text.is_empty() { text } else { apply(&text, edit) });
        prop_assert_eq!(verify(&hs256(), &edited).is_ok(), edited == token);
    }

    /// Even with a good signature: an issuer that went mad.
    #[test]
    fn any_signed_bytes(header in any::<Vec<u8>>(), claims in any::<Vec<u8>>()) {
        let good = Forged::good();
        prop_assert!(verify(&hs256(), &sign_bytes(&header, good.claims.to_string().as_bytes(), SECRET)).is_err());
        prop_assert!(verify(&hs256(), &sign_bytes(good.header.to_string().as_bytes(), &claims, SECRET)).is_err());
    }

    #[test]
    fn any_signed_json(header in json(), claims in json()) {
        let good = Forged::good();
        prop_assert!(verify(&hs256(), &sign_bytes(header.as_bytes(), good.claims.to_string().as_bytes(), SECRET)).is_err());
        prop_assert!(verify(&hs256(), &sign_bytes(good.header.to_string().as_bytes(), claims.as_bytes(), SECRET)).is_err());
    }

    #[test]
    fn any_pem(text in "(-----BEGIN (PUBLIC|PRIVATE|RSA PRIVATE) KEY-----)?[A-Za-z0-9+/=\n]{0,80}(-----END (PUBLIC|PRIVATE|RSA PRIVATE) KEY-----)?") {
        use super::super::{SigningKey, VerifyingKey};
        prop_assert!(SigningKey::rs256_pem(&text).is_err());
        prop_assert!(SigningKey::es256_pem(&text).is_err());
        prop_assert!(SigningKey::eddsa_pem(&text).is_err());
        prop_assert!(VerifyingKey::rs256_pem(&text).is_err());
        prop_assert!(VerifyingKey::es256_pem(&text).is_err());
        prop_assert!(VerifyingKey::eddsa_pem(&text).is_err());
    }
}
