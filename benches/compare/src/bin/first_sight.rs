//! A token that the node has never seen: what the layer pays to judge it over what it pays for one that it remembers, beside a
//! bare `jsonwebtoken::decode` of the same tokens. `cargo run --release --bin first_sight`; a short form with `QUICK=1`; with names of
//! algorithms, those alone, for a profiler.
//! The sessions are known throughout, so nothing is loaded: a user whose app has just refreshed.

use std::{hint::black_box, time::Instant};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use axum::{Router, body::Body, extract::Request, http::HeaderValue, routing::get};
use axum_device_sessions::{
    AccessTokens, CurrentSession, MemoryStore, SessionValidationLayer, Sessions, SignIn, SigningKey,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use compare::{
    record::{Goal, goal, note, row},
    report::numbers::{median, spread},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation, crypto, decode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tower::Service as _;
use uuid::Uuid;

const SECTION: &str = "First sight";
const NAME: &str = "axum-device-sessions";
const SECRET: &[u8] = b"0123456789abcdefghijklmnopqrstuv";
const SESSIONS: usize = 20;
/// Tokens of each algorithm that one round shows for the first time: few, so that most rounds pass undisturbed. Rounds times this stays far below the 100,000 tokens that
/// are remembered by default, so none is pushed out.
const A_ROUND: usize = 25;
/// As many go before them untimed, or what ran last would have left its own code and data in the processor's caches.
const WARM_UP: usize = 5;
const ALONE: usize = 0;
const IN_TURNS: usize = 1;

/// What a service that decodes by hand reads.
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    session_id: Uuid,
    iat: i64,
    exp: i64,
}

struct Subject {
    name: &'static str,
    algorithm: Algorithm,
    app: Router,
    decoding: DecodingKey,
    validation: Validation,
    tokens: Vec<String>,
    /// Alone, and with the others between.
    times: [Times; 2],
}

/// Nanoseconds a token, by round.
#[derive(Default)]
struct Times {
    bare: Vec<f64>,
    first: Vec<f64>,
    remembered: Vec<f64>,
}

fn main() {
    let rounds = if std::env::var("QUICK").is_ok() { 20 } else { 161 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(rounds));
}

async fn run(rounds: usize) {
    note(
        SECTION,
        &format!(
            "Each token is met once by `jsonwebtoken::decode` (key and `Validation` of `exp`, `iss`, `aud` made beforehand) and by \
             the router with the layer, then by the router again. \"First sight\" is what the first request took over the \
             second: signature, claims, remembering. {A_ROUND} tokens a round, behind {WARM_UP} that are not timed; decode goes \
             before the requests in every other round and after them in the rest. \"Alone\": {rounds} rounds of one algorithm, then \
             of the next. \"In turns\": as many more, a round of each algorithm after the other, so that the processor's caches \
             hold less of what is needed, as in a service that does other things between; the goals are judged by this. \
             {SESSIONS} sessions an algorithm, all known to the node, `MemoryStore`; one thread."
        ),
    );
    let wanted: Vec<_> = std::env::args().skip(1).collect();
    let mut subjects = Vec::new();
    for (name, algorithm) in [
        ("HS256", Algorithm::HS256),
        ("RS256", Algorithm::RS256),
        ("ES256", Algorithm::ES256),
        ("EdDSA", Algorithm::EdDSA),
    ] {
        if !wanted.is_empty() && !wanted.iter().any(|one| one == name) {
            continue;
        }
        subjects.push(Subject::new(name, algorithm, 2 * rounds * (WARM_UP + A_ROUND)).await);
    }
    for subject in &mut subjects {
        for round in 0..rounds {
            subject.round(round, ALONE).await;
        }
    }
    for round in rounds..2 * rounds {
        for subject in &mut subjects {
            subject.round(round, IN_TURNS).await;
        }
    }
    for subject in &subjects {
        subject.tell();
    }
}

impl Subject {
    async fn new(name: &'static str, algorithm: Algorithm, count: usize) -> Self {
        let (tokens, encoding, decoding) = keys(algorithm);
        let building = Sessions::builder(MemoryStore::new()).access_tokens(tokens).server_secret(SECRET).build();
        let sessions = building.await.expect("the defaults agree");
        let mut app = Router::new()
            .route("/", get(async |_: CurrentSession| "ok"))
            .layer(SessionValidationLayer::new(sessions.clone()));
        let mut first_tokens = Vec::new();
        for n in 0..SESSIONS {
            let signed_in = sessions.sign_in(SignIn::new(format!("user-{n}"))).await.expect("in memory");
            ask(&mut app, request(&signed_in.access_token)).await;
            first_tokens.push(signed_in.access_token);
        }
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[NAME]);
        validation.set_audience(&[NAME]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let tokens = (0..count).map(|n| another(&first_tokens[n % SESSIONS], &encoding, algorithm)).collect();
        Self { name, algorithm, app, decoding, validation, tokens, times: Default::default() }
    }

    async fn round(&mut self, round: usize, phase: usize) {
        let before = round.is_multiple_of(2).then(|| self.decode(round));
        let first = self.requests(round).await;
        let remembered = self.requests(round).await;
        let bare = before.unwrap_or_else(|| self.decode(round));
        let times = &mut self.times[phase];
        times.bare.push(bare);
        times.first.push(first);
        times.remembered.push(remembered);
        // The node's own tasks get their turn here and not in a time that is taken.
        tokio::task::yield_now().await;
    }

    fn decode(&self, round: usize) -> f64 {
        let mut start = Instant::now();
        for (n, token) in self.tokens_of(round).iter().enumerate() {
            if n == WARM_UP {
                start = Instant::now();
            }
            let read = decode::<Claims>(token, &self.decoding, &self.validation).expect("a good token");
            black_box(read);
        }
        a_token(start)
    }

    /// Requests are made beforehand, answers dropped afterwards: neither is the layer's.
    async fn requests(&mut self, round: usize) -> f64 {
        let requests: Vec<_> = self.tokens_of(round).iter().map(|token| request(token)).collect();
        let mut answers = Vec::with_capacity(requests.len());
        let mut start = Instant::now();
        for (n, request) in requests.into_iter().enumerate() {
            if n == WARM_UP {
                start = Instant::now();
            }
            answers.push(self.app.call(request).await.expect("infallible"));
        }
        let taken = a_token(start);
        assert!(
            answers.iter().all(|answer| answer.status() == 200),
            "{:?}: a token of ours is refused",
            self.algorithm
        );
        taken
    }

    fn tokens_of(&self, round: usize) -> &[String] {
        let each = WARM_UP + A_ROUND;
        &self.tokens[round * each..][..each]
    }

    fn tell(&self) {
        for (phase, when) in [(ALONE, "alone"), (IN_TURNS, "in turns")] {
            let Times { bare, first, remembered } = &self.times[phase];
            // Differences are taken round by round: whatever lasts for a while is in both.
            let added: Vec<_> = first.iter().zip(remembered).map(|(first, again)| first - again).collect();
            let of_bare = median(&added) / median(bare);
            for (who, times, of_bare) in [("ours", &added, of_bare), ("bare `decode`", bare, 1.0)] {
                let (low, high) = spread(times);
                let figures = [
                    ("first sight", median(times), "ns"),
                    ("p10", low, "ns"),
                    ("p90", high, "ns"),
                    ("of a bare decode", of_bare, "x"),
                ];
                row(SECTION, &format!("{} {when}: {who}", self.name), &figures);
            }
            // By the harder one: between two new tokens, a service does other things.
            if phase == IN_TURNS {
                let what = format!("ours, of a bare decode: {}", self.name);
                goal(SECTION, &what, of_bare, "x", Goal::AtMost(1.5));
            }
        }
    }
}

async fn ask(app: &mut Router, request: Request) {
    assert_eq!(app.call(request).await.expect("infallible").status(), 200);
}

fn request(token: &str) -> Request {
    let mut request = Request::new(Body::empty());
    let headers = request.headers_mut();
    headers.insert("host", HeaderValue::from_static("app.example.com"));
    headers.insert("user-agent", HeaderValue::from_static("Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0"));
    headers.insert("accept", HeaderValue::from_static("application/json"));
    headers.insert("authorization", HeaderValue::try_from(format!("Bearer {token}")).expect("a token"));
    request
}

fn a_token(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e9 / A_ROUND as f64
}

/// The same header and claims, to the letter, but for `jti`, as a refresh would bring.
fn another(token: &str, encoding: &EncodingKey, algorithm: Algorithm) -> String {
    let ours = "a token of ours";
    let (header, payload) = token.rsplit_once('.').and_then(|(message, _)| message.split_once('.')).expect(ours);
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).expect(ours)).expect(ours);
    let claims: Map<String, Value> = serde_json::from_str(&payload).expect(ours);
    let payload = payload.replace(claims["jti"].as_str().expect(ours), &Uuid::now_v7().to_string());
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let signature = crypto::sign(message.as_bytes(), encoding, algorithm).expect("a key that signs");
    format!("{message}.{signature}")
}

fn keys(algorithm: Algorithm) -> (AccessTokens, EncodingKey, DecodingKey) {
    const MADE: &str = "a key that was just made";
    match algorithm {
        Algorithm::RS256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect(MADE);
            let private = pem("PRIVATE", AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).expect(MADE).as_ref());
            let public = pem("PUBLIC", AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect(MADE).as_ref());
            let key = SigningKey::rs256_pem(&private).expect(MADE);
            let encoding = EncodingKey::from_rsa_pem(private.as_bytes()).expect(MADE);
            (AccessTokens::signing_with(key), encoding, DecodingKey::from_rsa_pem(public.as_bytes()).expect(MADE))
        }
        Algorithm::ES256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect(MADE);
            let private = pem("PRIVATE", pair.to_pkcs8v1().expect(MADE).as_ref());
            let public = pem("PUBLIC", AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect(MADE).as_ref());
            let key = SigningKey::es256_pem(&private).expect(MADE);
            let encoding = EncodingKey::from_ec_pem(private.as_bytes()).expect(MADE);
            (AccessTokens::signing_with(key), encoding, DecodingKey::from_ec_pem(public.as_bytes()).expect(MADE))
        }
        Algorithm::EdDSA => {
            let pair = Ed25519KeyPair::generate().expect(MADE);
            let private = pem("PRIVATE", pair.to_pkcs8v1().expect(MADE).as_ref());
            let public = pem("PUBLIC", AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect(MADE).as_ref());
            let key = SigningKey::eddsa_pem(&private).expect(MADE);
            let encoding = EncodingKey::from_ed_pem(private.as_bytes()).expect(MADE);
            (AccessTokens::signing_with(key), encoding, DecodingKey::from_ed_pem(public.as_bytes()).expect(MADE))
        }
        _ => {
            let tokens = AccessTokens::hs256(SECRET).expect("32 bytes");
            (tokens, EncodingKey::from_secret(SECRET), DecodingKey::from_secret(SECRET))
        }
    }
}

fn pem(what: &str, der: &[u8]) -> String {
    format!("-----BEGIN {what} KEY-----\n{}\n-----END {what} KEY-----\n", STANDARD.encode(der))
}
