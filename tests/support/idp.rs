//! An identity provider on the loopback address: discovery, keys, tokens. It counts what it is asked for, and can be slowed,
//! broken, taken away and told to sign with other keys.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// What this application is to the provider: the `aud` of its tokens.
pub(crate) const API: &str = "https://api.shop.example";

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// With an error.
    Broken,
    /// Not at all, until the mood changes.
    Slow,
}

/// A key pair. Its public half is published when the test says so.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) kid: String,
    algorithm: Algorithm,
    encoding: EncodingKey,
    jwk: Value,
}

impl Key {
    pub(crate) fn es256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        Self {
            kid: kid.into(),
            algorithm: Algorithm::ES256,
            encoding: EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()),
            jwk: json!({ "kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": base64url(x), "y": base64url(y) }),
        }
    }

    pub(crate) fn rs256(kid: &str) -> Self {
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public = pair.public_key();
        let (n, e) = (public.modulus(), public.exponent());
        Self {
            kid: kid.into(),
            algorithm: Algorithm::RS256,
            // The PKCS #1 key within, behind a header that has one length for all keys of this size.
            encoding: EncodingKey::from_rsa_der(&der.as_ref()[26..]),
            jwk: json!({
                "kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256",
                "n": base64url(n.big_endian_without_leading_zero()), "e": base64url(e.big_endian_without_leading_zero()),
            }),
        }
    }
}

/// A token before it is signed, to be changed in one place or another.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) typ: Option<&'static str>,
    pub(crate) claims: Value,
}

impl Draft {
    pub(crate) fn typ(self, typ: Option<&'static str>) -> Self {
        Self { typ, ..self }
    }

    pub(crate) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(name).expect("it was there");
        self
    }

    pub(crate) fn sign(&self, key: &Key) -> String {
        let header = Header { typ: self.typ.map(Into::into), kid: Some(key.kid.clone()), ..Header::new(key.algorithm) };
        jsonwebtoken::encode(&header, &self.claims, &key.encoding).unwrap()
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) struct Idp {
    pub(crate) url: String,
    /// What it signs with unless told otherwise; published at first.
    pub(crate) key: Key,
    shared: Arc<Shared>,
    address: SocketAddr,
    serving: Option<JoinHandle<()>>,
}

struct Shared {
    url: String,
    mood: watch::Sender<Mood>,
    keys: Mutex<Value>,
    asked: Mutex<HashMap<String, usize>>,
}

impl Idp {
    pub(crate) async fn start() -> Self {
        let mut idp = Self::reserve().await;
        idp.come_back().await;
        idp
    }

    /// One whose address is known and where nobody answers yet.
    pub(crate) async fn reserve() -> Self {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
        let (url, key) = (format!("http://{address}"), Key::es256("first"));
        let keys = Mutex::new(json!({ "keys": [&key.jwk] }));
        let shared =
            Arc::new(Shared { url: url.clone(), mood: watch::Sender::new(Mood::Well), keys, asked: Mutex::default() });
        Self { url, key, shared, address, serving: None }
    }

    /// Nobody listens there any more.
    pub(crate) async fn go_away(&mut self) {
        let serving = self.serving.take().expect("it is there");
        serving.abort();
        let _aborted = serving.await;
    }

    pub(crate) async fn come_back(&mut self) {
        assert!(self.serving.is_none(), "it is there");
        self.serving = Some(serve(self.address, Arc::clone(&self.shared)).await);
    }

    pub(crate) fn mood(&self, mood: Mood) {
        self.shared.mood.send_replace(mood);
    }

    /// These keys and no others.
    pub(crate) fn publish(&self, keys: &[&Key]) {
        *self.shared.keys.lock().unwrap() = json!({ "keys": keys.iter().map(|key| &key.jwk).collect::<Vec<_>>() });
    }

    /// How often its keys were asked for, wherever they are.
    pub(crate) fn fetches(&self) -> usize {
        let asked = self.shared.asked.lock().unwrap();
        asked.iter().filter(|(path, _)| !path.ends_with(DISCOVERY)).map(|(_, times)| times).sum()
    }

    pub(crate) fn discoveries(&self) -> usize {
        self.shared.asked.lock().unwrap().get(DISCOVERY).copied().unwrap_or_default()
    }

    /// An access token of RFC 9068, for an hour.
    pub(crate) fn token(&self, user: &str, sid: &str) -> Draft {
        let claims = json!({
            "iss": self.url, "aud": API, "sub": user, "exp": now() + 3_600, "iat": now(), "jti": unique(),
            "client_id": "shop-web", "sid": sid,
        });
        Draft { typ: Some("at+jwt"), claims }
    }

    pub(crate) fn sign(&self, user: &str, sid: &str) -> String {
        self.token(user, sid).sign(&self.key)
    }

    /// A logout token that names neither a user nor a session yet.
    pub(crate) fn logout(&self) -> Draft {
        let claims = json!({
            "iss": self.url, "aud": API, "exp": now() + 120, "iat": now(), "jti": unique(),
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        Draft { typ: Some("logout+jwt"), claims }
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

const DISCOVERY: &str = "/.well-known/openid-configuration";

pub(crate) fn unique() -> String {
    uuid::Uuid::now_v7().to_string()
}

async fn serve(address: SocketAddr, shared: Arc<Shared>) -> JoinHandle<()> {
    let listener = TcpListener::bind(address).await.expect("the address is still ours");
    let app = Router::new().fallback(answer).with_state(shared);
    tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") })
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    *shared.asked.lock().unwrap().entry(uri.path().to_owned()).or_default() += 1;
    let mood = *shared.mood.subscribe().wait_for(|mood| *mood != Mood::Slow).await.expect("we hold the sender");
    let mut answer = match uri.path() {
        _ if mood == Mood::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        DISCOVERY => Json(json!({ "issuer": shared.url, "jwks_uri": format!("{}/keys", shared.url) })).into_response(),
        _ => Json(shared.keys.lock().unwrap().clone()).into_response(),
    };
    // Else a connection that is kept would be served on when nobody listens any more.
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}
