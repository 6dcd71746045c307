//! `GET /.well-known/jwks.json`: another library checks our tokens by what it finds there, and finds nothing that signs.

use axum::Router;
use axum::http::{Method, header};
use axum_device_sessions::{AccessTokens, MemoryStore, SessionValidationLayer, Sessions, routes};
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use crate::{
    http::{self, ask, bearer, get, in_memory, sign_in},
    keys::{Algorithm, Pair},
};

const PATH: &str = "/.well-known/jwks.json";
const ROOT: &[u8] = b"a server secret of the tests, of 32 and more bytes";

async fn with(tokens: AccessTokens) -> Sessions {
    Sessions::builder(MemoryStore::new()).access_tokens(tokens).server_secret(ROOT).build().await.expect("builds")
}

fn app(sessions: &Sessions) -> Router {
    Router::new().merge(routes::jwks()).layer(SessionValidationLayer::new(sessions.clone()))
}

/// Another service: jsonwebtoken with its own reading of JWKs, the key chosen by `kid`.
async fn elsewhere_accepts(app: &Router, token: &str) -> Result<Value, String> {
    let set: JwkSet = serde_json::from_slice(&get(app, PATH, &[]).await.body).map_err(|error| error.to_string())?;
    let header = decode_header(token).map_err(|error| error.to_string())?;
    let jwk = set.find(header.kid.as_deref().unwrap_or_default()).ok_or("no such key")?;
    assert_eq!(jwk.common.public_key_use, Some(PublicKeyUse::Signature));
    let algorithm = jwk.common.key_algorithm.map(|algorithm| algorithm.to_string());
    assert_eq!(algorithm, Some(format!("{:?}", header.alg)));
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&["axum-device-sessions"]);
    validation.set_issuer(&["axum-device-sessions"]);
    let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
    decode::<Value>(token, &key, &validation).map(|token| token.claims).map_err(|error| error.to_string())
}

#[tokio::test]
async fn another_library_checks_our_tokens_by_it() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let (ours, others) = (with(Pair::new(algorithm).signs()).await, with(Pair::new(algorithm).signs()).await);
        let token = sign_in(&ours, "ahmed").await;
        let claims = elsewhere_accepts(&app(&ours), &token.access_token).await.expect("a good token");
        assert_eq!(claims["session_id"], token.session.id.to_string(), "{algorithm:?}");
        // The control: not by the keys of somebody else, nor changed.
        assert_eq!(elsewhere_accepts(&app(&others), &token.access_token).await.unwrap_err(), "no such key");
        let (message, _) = token.access_token.rsplit_once('.').expect("a token");
        let (_, foreign) = token.access_token.split_at(message.len() - 2);
        let changed = format!("{}AA{}", &message[..message.len() - 2], &foreign[2..]);
        assert!(elsewhere_accepts(&app(&ours), &changed).await.is_err());
    }
}

/// The members that RFC 7517 §4, RFC 7518 §6 and RFC 8037 §2 want of a public key for signatures, and no other: not `d`, `p`, `q`,
/// `dp`, `dq`, `qi`, `oth`, `k`.
#[tokio::test]
async fn nothing_but_public_members_is_in_it() {
    let pairs = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa].map(Pair::new);
    let tokens = pairs[1..].iter().fold(pairs[0].signs(), |tokens, pair| tokens.also_accept(pair.verifying()));
    let answer = get(&app(&with(tokens).await), PATH, &[]).await;
    let keys = answer.json();
    let keys = keys["keys"].as_array().expect("an array");
    assert_eq!((answer.json().as_object().expect("an object").len(), keys.len()), (1, 3));
    let expected: [(&str, &str, &[&str]); 3] = [
        ("RSA", "RS256", &["alg", "e", "kid", "kty", "n", "use"]),
        ("EC", "ES256", &["alg", "crv", "kid", "kty", "use", "x", "y"]),
        ("OKP", "EdDSA", &["alg", "crv", "kid", "kty", "use", "x"]),
    ];
    for ((key, pair), (kty, alg, names)) in keys.iter().zip(&pairs).zip(expected) {
        let mut members: Vec<&str> = key.as_object().expect("an object").keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, names);
        assert_eq!((key["kty"].as_str(), key["alg"].as_str()), (Some(kty), Some(alg)));
        assert_eq!((key["use"].as_str(), key["kid"].as_str()), (Some("sig"), Some(pair.verifying().kid())));
        let jwk: Jwk = serde_json::from_value(key.clone()).expect("a JWK");
        assert!(jwk.is_supported() && jwk.common.key_algorithm != Some(KeyAlgorithm::UNKNOWN_ALGORITHM));
    }
}

#[tokio::test]
async fn a_secret_is_never_in_it() {
    for sessions in [in_memory().await, with(AccessTokens::hs256(http::SECRET).expect("a secret")).await] {
        assert_eq!(get(&app(&sessions), PATH, &[]).await.text(), r#"{"keys":[]}"#);
        assert_eq!(sessions.jwks(), r#"{"keys":[]}"#);
    }
}

#[tokio::test]
async fn it_may_be_kept_for_a_while_and_wants_no_session() {
    let sessions = with(Pair::new(Algorithm::EdDsa).signs()).await;
    let live = sign_in(&sessions, "ahmed").await.access_token;
    for sent in [vec![], vec![bearer(&live)], vec![bearer("garbage")]] {
        for method in [Method::GET, Method::HEAD] {
            let answer = ask(&app(&sessions), method.clone(), PATH, &sent).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header(&header::CONTENT_TYPE), Some("application/json"));
            assert_eq!(answer.header(&header::CACHE_CONTROL), Some("public, max-age=300"));
            assert_eq!(answer.text(), if method == Method::GET { sessions.jwks() } else { String::new() });
        }
    }
    assert_eq!(ask(&app(&sessions), Method::POST, PATH, &[]).await.status, 405);
    // A mistake in the setup is told, and not kept by anybody: `line` looks at that.
    assert_eq!(get(&Router::new().merge(routes::jwks()), PATH, &[]).await.line(), "500 internal_error");
    let required = SessionValidationLayer::new(sessions).required();
    assert_eq!(get(&Router::new().merge(routes::jwks()).layer(required), PATH, &[]).await.line(), "401 missing_token");
}

/// As it changes, so does what others accept.
#[tokio::test]
async fn it_follows_the_keys() {
    let (old, new) = (Pair::new(Algorithm::Es256), Pair::new(Algorithm::EdDsa));
    let sessions = with(old.signs()).await;
    let app = app(&sessions);
    let kids = async || {
        let set: JwkSet = serde_json::from_slice(&get(&app, PATH, &[]).await.body).expect("a set");
        set.keys.iter().map(|key| key.common.key_id.clone().expect("a kid")).collect::<Vec<_>>()
    };
    let (old_kid, new_kid) = (old.verifying().kid().to_owned(), new.verifying().kid().to_owned());
    let old_token = sign_in(&sessions, "ahmed").await.access_token;
    assert_eq!(kids().await, [old_kid.as_str()]);
    sessions.replace_keys(old.signs().also_accept(new.verifying())).expect("publishes");
    assert_eq!(kids().await, [old_kid.as_str(), &new_kid]);
    sessions.replace_keys(new.signs().also_accept(old.verifying())).expect("signs");
    assert_eq!(kids().await, [new_kid.as_str(), &old_kid]);
    let new_token = sign_in(&sessions, "ahmed").await.access_token;
    assert!(elsewhere_accepts(&app, &old_token).await.is_ok() && elsewhere_accepts(&app, &new_token).await.is_ok());
    sessions.replace_keys(new.signs()).expect("retires");
    assert_eq!(kids().await, [new_kid.as_str()]);
    assert_eq!(elsewhere_accepts(&app, &old_token).await.unwrap_err(), "no such key");
    assert!(elsewhere_accepts(&app, &new_token).await.is_ok());
}
