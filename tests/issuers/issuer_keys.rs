//! The keys of an issuer over HTTP: what is answered while it cannot be asked, what becomes of a key that it takes back, and
//! what it costs it when somebody sends tokens of keys that never were. Beside a verifier that asks for each key it does
//! not know, and keeps what it has.

#![cfg(all(feature = "jwks", feature = "postgres", feature = "routes", feature = "test-util"))]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum_device_sessions::Clock;
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    accepting::{LONGEST, Node, node, of},
    idp::{API, Idp, Key, Mood, base64url, now, unique},
    support::{TestDb, eventually},
};

/// From one fetch to the next.
const COOLDOWN: Duration = Duration::from_secs(10);
/// After so long keys are fetched anew.
const RENEWAL: Duration = Duration::from_secs(600);
/// The promise (P3).
const DEADLINE: Duration = Duration::from_secs(4);

/// A node with a clock of its own, so that a cooldown is over when the test says so.
async fn by_clock(db: &TestDb, idp: &Idp) -> (Arc<Node>, Clock) {
    let clock = Clock::manual();
    let issuer = of(idp).adopt_sessions(LONGEST);
    (Arc::new(node(db, |builder| builder.clock(clock.clone()).accept_tokens_of(issuer)).await), clock)
}

/// Of a key that is in no set. Nobody has to sign it to be a nuisance.
fn stray(idp: &Idp, kid: &str) -> String {
    let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": kid });
    let token = [header, idp.token("lena", "stray").claims].map(|part| base64url(part.to_string()));
    format!("{}.{}.{}", token[0], token[1], base64url([7; 64]))
}

/// What one writes first. Right in everything but when it asks.
#[derive(Clone, Default)]
struct Naive {
    keys: Arc<Mutex<HashMap<String, DecodingKey>>>,
}

impl Naive {
    async fn status(&self, url: &str, token: &str) -> u16 {
        let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
        let known = self.keys.lock().unwrap().get(&kid).cloned();
        let Some(key) = known else {
            let Ok(answer) = reqwest::get(format!("{url}/keys")).await else { return 401 };
            let Ok(set) = answer.json::<JwkSet>().await else { return 401 };
            let usable =
                set.keys.iter().map(|jwk| (jwk.common.key_id.clone().unwrap(), DecodingKey::from_jwk(jwk).unwrap()));
            self.keys.lock().unwrap().extend(usable);
            let known = self.keys.lock().unwrap().get(&kid).cloned();
            return known.map_or(401, |key| Self::verify(token, &key));
        };
        Self::verify(token, &key)
    }

    fn verify(token: &str, key: &DecodingKey) -> u16 {
        let mut rules = Validation::new(jsonwebtoken::Algorithm::ES256);
        rules.set_audience(&[API]);
        if jsonwebtoken::decode::<Value>(token, key, &rules).is_ok() { 200 } else { 401 }
    }
}

/// Asks with all of them at once; how many were answered what, and how long the slowest took.
async fn at_once(node: &Arc<Node>, tokens: Vec<String>) -> (HashMap<String, usize>, Duration) {
    let began = Instant::now();
    let mut asking = JoinSet::new();
    for token in tokens {
        let node = Arc::clone(node);
        asking.spawn(async move { node.me(&token).await });
    }
    let mut answers = HashMap::new();
    for answer in asking.join_all().await {
        *answers.entry(answer).or_default() += 1;
    }
    (answers, began.elapsed())
}

fn all(count: usize, line: &str) -> HashMap<String, usize> {
    HashMap::from([(line.to_owned(), count)])
}

/// Nothing was learnt about the token, so nobody is told that it is bad.
#[tokio::test]
async fn an_issuer_that_is_away() {
    let db = TestDb::new().await;
    let mut idp = Idp::reserve().await;
    let (node, clock) = by_clock(&db, &idp).await;
    let (second, naive) = (Key::es256("second"), Naive::default());
    let (first, unknown) = (idp.sign("lena", "one"), idp.token("lena", "two").sign(&second));

    // From cold; `Answer::line` sees to Retry-After.
    assert_eq!(node.me(&first).await, "503 temporarily_unavailable");
    assert_eq!(naive.status(&idp.url, &first).await, 401, "naively the user is signed out");
    idp.come_back().await;
    assert_eq!(node.me(&first).await, "503 temporarily_unavailable", "not asked again so soon, and still not known");
    clock.advance(COOLDOWN);
    assert_eq!(node.me(&first).await, "200 lena");

    // Known keys need nobody.
    idp.go_away().await;
    clock.advance(COOLDOWN);
    assert_eq!(node.me(&unknown).await, "503 temporarily_unavailable");
    assert_eq!(node.me(&first).await, "200 lena");
    assert_eq!(node.me(&idp.sign("sam", "three")).await, "200 sam", "never seen, of a known key");
    idp.come_back().await;
    idp.mood(Mood::Broken);
    clock.advance(COOLDOWN);
    assert_eq!(node.me(&unknown).await, "503 temporarily_unavailable", "an error is no key set either");
    idp.mood(Mood::Well);
    idp.publish(&[&idp.key, &second]);
    clock.advance(COOLDOWN);
    assert_eq!(node.me(&unknown).await, "200 lena");

    // It was asked, and has no such key.
    clock.advance(COOLDOWN);
    let before = idp.fetches();
    assert_eq!(node.me(&stray(&idp, "third")).await, "401 invalid_token");
    assert_eq!(idp.fetches(), before + 1);
}

/// Remembered tokens too; those of the other keys do not notice.
#[tokio::test]
async fn a_key_that_is_taken_back() {
    let (db, mut idp) = (TestDb::new().await, Idp::start().await);
    let (node, clock) = by_clock(&db, &idp).await;
    let (naive, second) = (Naive::default(), Key::es256("second"));
    idp.publish(&[&idp.key, &second]);
    // Longer than the test's hours.
    let stolen = idp.token("lena", "one").claim("exp", now() + 30_000).sign(&idp.key);
    let good = idp.token("sam", "two").claim("exp", now() + 30_000).sign(&second);
    for _ in 0..2 {
        assert_eq!((node.me(&stolen).await, node.me(&good).await), ("200 lena".into(), "200 sam".into()));
    }
    assert_eq!((naive.status(&idp.url, &stolen).await, naive.status(&idp.url, &good).await), (200, 200));
    assert_eq!(idp.fetches(), 2, "one of each");

    // A failed fetch takes nothing away, and is made behind the requests' backs.
    idp.go_away().await;
    clock.advance(RENEWAL);
    for _ in 0..20 {
        assert_eq!((node.me(&stolen).await, node.me(&good).await), ("200 lena".into(), "200 sam".into()));
    }
    idp.publish(&[&second]);
    idp.come_back().await;
    clock.advance(RENEWAL);
    eventually("the key is gone", || async {
        assert_eq!(node.me(&good).await, "200 sam");
        node.me(&stolen).await == "401 invalid_token"
    })
    .await;
    assert_eq!(idp.fetches(), 3, "one renewal");
    assert_eq!(node.me(&idp.token("lena", "new").sign(&idp.key)).await, "401 invalid_token");
    assert_eq!(node.me(&good).await, "200 sam");
    assert_eq!(naive.status(&idp.url, &stolen).await, 200, "naively for as long as the process lives");
}

/// Whoever has a key that is known does not wait for the others; who waits is answered in time, and all wait for one fetch.
#[tokio::test]
async fn an_issuer_that_is_slow() {
    const WAITING: usize = 50;
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let (node, clock) = by_clock(&db, &idp).await;
    let known = idp.sign("lena", "one");
    assert_eq!(node.me(&known).await, "200 lena");
    let asked = || idp.fetches() + idp.discoveries();
    let before = asked();
    idp.mood(Mood::Slow);
    clock.advance(COOLDOWN);
    let strays: Vec<_> = (0..WAITING).map(|_| stray(&idp, &unique())).collect();
    let waiting = tokio::spawn({
        let (node, strays) = (Arc::clone(&node), strays.clone());
        async move { at_once(&node, strays).await }
    });
    eventually("it is asked", || async { asked() > before }).await;
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut served = 0;
    while served < 200 && !waiting.is_finished() {
        let asked = Instant::now();
        assert_eq!(node.me(&known).await, "200 lena");
        slowest = slowest.max(asked.elapsed());
        served += 1;
    }
    let took = began.elapsed();
    assert!(served > 10, "while the others wait: {served}");
    let (answers, longest) = waiting.await.unwrap();
    assert_eq!(answers, all(WAITING, "503 temporarily_unavailable"));
    assert_eq!(asked(), before + 1, "one fetch for all");
    assert!(longest < 2 * DEADLINE, "{longest:?}");
    println!(
        "{served} requests of a known key in {took:?}, the slowest {slowest:?}; {WAITING} others within {longest:?}"
    );

    let (naive, before) = (Naive::default(), idp.fetches());
    let naive_asks = async {
        let mut asking = JoinSet::new();
        for token in strays {
            let (naive, url) = (naive.clone(), idp.url.clone());
            asking.spawn(async move { naive.status(&url, &token).await });
        }
        asking.join_all().await
    };
    let well = async {
        eventually("all of them ask", || async { idp.fetches() == before + WAITING }).await;
        idp.mood(Mood::Well);
    };
    tokio::join!(naive_asks, well);
    println!("naively: {WAITING} fetches");
}

/// Somebody sends what never was a token. The issuer hears of it once a cooldown, and the users not at all.
#[tokio::test]
async fn a_flood_of_unknown_keys() {
    const FLOOD: usize = 500;
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let (node, clock) = by_clock(&db, &idp).await;
    let flood = || (0..FLOOD).map(|_| stray(&idp, &unique())).collect::<Vec<_>>();
    let good = idp.sign("lena", "one");
    assert_eq!(node.me(&good).await, "200 lena");
    assert_eq!(idp.fetches(), 1);

    let (answers, took) = at_once(&node, flood()).await;
    assert_eq!(answers, all(FLOOD, "401 invalid_token"));
    assert_eq!(idp.fetches(), 1, "within the cooldown");
    println!("{FLOOD} at once in {took:?}");
    for round in 2..=3 {
        clock.advance(COOLDOWN);
        let mut tokens = flood();
        tokens.extend((0..100).map(|_| good.clone()));
        let (answers, took) = at_once(&node, tokens).await;
        let expected = [all(FLOOD, "401 invalid_token"), all(100, "200 lena")].into_iter().flatten().collect();
        assert_eq!((answers, idp.fetches()), (expected, round));
        assert!(took < 2 * DEADLINE, "{took:?}");
    }
    // A key that is new is found by the next fetch, in the middle of it.
    let second = Key::es256("second");
    idp.publish(&[&idp.key, &second]);
    clock.advance(COOLDOWN);
    let mut tokens = flood();
    tokens.insert(FLOOD / 2, idp.token("sam", "two").sign(&second));
    let (answers, _) = at_once(&node, tokens).await;
    assert_eq!((answers["200 sam"], answers["401 invalid_token"], idp.fetches()), (1, FLOOD, 4));
    assert_eq!(node.me(&good).await, "200 lena");

    let (naive, before) = (Naive::default(), idp.fetches());
    for token in flood().iter().take(100) {
        assert_eq!(naive.status(&idp.url, token).await, 401);
    }
    assert_eq!(idp.fetches() - before, 100, "naively one each");
}
