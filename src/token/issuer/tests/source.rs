//! Promises: random `kid`s cost one fetch a cooldown and never put off the one that finds a new key; what cannot be fetched
//! takes nothing away, and is no "no".

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{
    super::{
        Fetched, Issuers,
        fetch::Fetcher,
        source::{COOLDOWN, KeySource, LookUp, RENEW_AFTER},
    },
    Forged, TestKey, issuer, jwks,
    server::{Answer, Server},
    settle, verify,
};
use crate::{
    clock::{Clock, Tick},
    token::TokenRefusal,
};

const SECOND: Duration = Duration::from_secs(1);

fn issuers(server: &Server, clock: &Clock) -> Issuers {
    Issuers::seal(vec![issuer().jwks_url(server.keys_url())], None, clock).unwrap()
}

/// A token whose key nobody has, and whose signature nobody looks at before it is found.
fn stranger(number: usize) -> String {
    let key = TestKey { kid: format!("stranger {number}"), ..TestKey::eddsa("") };
    Forged::good(&key).sign(&key)
}

/// Many of them, without a signature each.
fn strangers(count: usize) -> Vec<String> {
    let token = stranger(0);
    let (_, rest) = token.split_once('.').unwrap();
    let header = |number| json!({ "typ": "at+jwt", "alg": "ES256", "kid": format!("stranger {number}") });
    (0..count).map(|number| format!("{}.{rest}", super::base64url(header(number).to_string().as_bytes()))).collect()
}

#[tokio::test]
async fn ten_thousand_random_kids_cost_one_fetch_a_cooldown() {
    let key = TestKey::es256("1");
    let server = Server::start(&jwks(&[&key])).await;
    let clock = Clock::manual();
    let issuers = issuers(&server, &clock);
    let good = Forged::good(&key).sign(&key);

    let tokens = strangers(10_000);
    let mut asked = 0;
    for token in &tokens {
        match settle(&issuers, token).await {
            Err(Fetched::UnknownKid) => asked += 1,
            Ok(Err(TokenRefusal::Invalid(why))) => assert!(why.contains("no known key")),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((server.fetches(), asked), (1, 1), "at once");
    assert!(verify(&issuers, &good).is_ok(), "found on the way");

    // And over a hundred seconds, a hundred a second.
    for second in tokens.chunks(100) {
        clock.advance(SECOND);
        for token in second {
            assert!(!matches!(settle(&issuers, token).await, Ok(Ok(_)) | Err(Fetched::Unavailable)));
        }
    }
    println!("10,000 random kids at once: 1 fetch; 10,000 more in 100 s: {} more", server.fetches() - 1);
    assert!((9..=11).contains(&server.fetches()), "{}", server.fetches());
}

/// The control: a cooldown that every request for an unknown key pushes forward.
#[derive(Default)]
struct Sliding(Option<Tick>);

impl Sliding {
    fn is_due(&mut self, now: Tick) -> bool {
        let due = self.0.is_none_or(|asked| now.since(asked) >= COOLDOWN);
        self.0 = Some(now);
        due
    }
}

#[tokio::test]
async fn a_new_key_is_found_under_a_flood() {
    let (old, new) = (TestKey::es256("old"), TestKey::es256("new"));
    let server = Server::start(&jwks(&[&old])).await;
    let clock = Clock::manual();
    let issuers = issuers(&server, &clock);
    let mut flood = strangers(1_000).into_iter().cycle();
    let mut sliding = Sliding::default();
    let mut control_fetches = 0;

    assert!(settle(&issuers, &Forged::good(&old).sign(&old)).await.unwrap().is_ok());
    control_fetches += usize::from(sliding.is_due(clock.tick()));
    server.publish(&jwks(&[&old, &new]));
    let token = Forged::good(&new).sign(&new);

    let mut waited = Duration::ZERO;
    loop {
        for stranger in flood.by_ref().take(10) {
            let _refused = settle(&issuers, &stranger).await;
            control_fetches += usize::from(sliding.is_due(clock.tick()));
        }
        if matches!(settle(&issuers, &token).await, Ok(Ok(_))) {
            break;
        }
        clock.advance(SECOND);
        waited += SECOND;
        assert!(waited <= COOLDOWN, "starved");
    }
    println!("a new key under a flood: found after {waited:?}, {} fetches", server.fetches());
    assert_eq!(server.fetches(), 2);
    for stranger in flood.take(1_000) {
        clock.advance(SECOND);
        let _refused = settle(&issuers, &stranger).await;
        control_fetches += usize::from(sliding.is_due(clock.tick()));
    }
    assert_eq!(control_fetches, 1, "the control: a sliding cooldown never fetches again, in a thousand seconds");
    assert!(server.fetches() > 90, "{}", server.fetches());
}

fn faults() -> Vec<(&'static str, Answer)> {
    let text = |text: &str| Answer::Body(text.as_bytes().to_vec());
    let many: Vec<Value> = (0..101).map(|number| TestKey::eddsa(&number.to_string()).jwk).collect();
    vec![
        ("500", Answer::Status(500)),
        ("503", Answer::Status(503)),
        ("404", Answer::Status(404)),
        ("204", Answer::Status(204)),
        ("a redirect", Answer::Redirect("/elsewhere")),
        ("hangs up", Answer::HangsUp),
        ("more than 256 KiB", Answer::Endless),
        ("nothing", text("")),
        ("garbage", Answer::Body(vec![0xff; 100])),
        ("a page", text("<html>502 Bad Gateway</html>")),
        ("no object", text("[]")),
        ("no keys", text("{}")),
        ("`keys` twice", text(r#"{"keys":[],"keys":[]}"#)),
        ("an empty set", text(r#"{"keys":[]}"#)),
        ("only keys that cannot be used", text(r#"{"keys":[{"kty":"oct","kid":"1","k":"AAAA"}]}"#)),
        ("101 keys", Answer::Body(json!({ "keys": many }).to_string().into_bytes())),
        ("cut off", text(r#"{"keys":[{"kty":"#)),
    ]
}

#[tokio::test]
async fn what_cannot_be_fetched_takes_nothing_away_and_is_no_refusal() {
    let (old, new) = (TestKey::es256("old"), TestKey::es256("new"));
    for (what, fault) in faults() {
        let server = Server::start(&jwks(&[&old])).await;
        let clock = Clock::manual();
        let issuers = issuers(&server, &clock);
        let (known, unknown) = (Forged::good(&old).sign(&old), Forged::good(&new).sign(&new));
        let stamp = settle(&issuers, &known).await.unwrap().unwrap().stamp;

        server.answer(fault);
        clock.advance(COOLDOWN);
        assert_eq!(settle(&issuers, &unknown).await, Err(Fetched::Unavailable), "{what}");
        assert_eq!(settle(&issuers, &unknown).await, Err(Fetched::Unavailable), "{what}: within the cooldown too");
        assert_eq!(server.fetches(), 2, "{what}: one fetch a cooldown");
        assert_eq!(server.asked_for("/elsewhere"), 0, "{what}");
        assert!(verify(&issuers, &known).is_ok() && issuers.holds(stamp), "{what}");
        // Far beyond the age at which keys are renewed, they go on.
        clock.advance(RENEW_AFTER * 100);
        assert!(verify(&issuers, &known).is_ok() && issuers.holds(stamp), "{what}");

        server.publish(&jwks(&[&old, &new]));
        join(&issuers).await;
        clock.advance(COOLDOWN);
        assert!(settle(&issuers, &unknown).await.unwrap().is_ok(), "{what}: back again");
        assert!(issuers.holds(stamp), "{what}: no key went");
    }
}

#[tokio::test]
async fn without_any_keys_a_failing_issuer_is_no_refusal() {
    let key = TestKey::es256("1");
    let server = Server::start(&jwks(&[&key])).await;
    server.answer(Answer::Status(500));
    let clock = Clock::manual();
    let issuers = issuers(&server, &clock);
    let token = Forged::good(&key).sign(&key);
    for _ in 0..100 {
        assert_eq!(settle(&issuers, &token).await, Err(Fetched::Unavailable));
    }
    assert_eq!(server.fetches(), 1);
    server.publish(&jwks(&[&key]));
    clock.advance(COOLDOWN);
    assert!(settle(&issuers, &token).await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_that_wait_share_one_fetch() {
    let key = TestKey::es256("1");
    let server = Server::start(&json!({})).await;
    let gate = Arc::new(Semaphore::new(0));
    server.answer(Answer::Held(Arc::clone(&gate), jwks(&[&key])));
    let issuers = Arc::new(issuers(&server, &Clock::manual()));
    let token: Arc<str> = Forged::good(&key).sign(&key).into();

    let waiting: Vec<_> = (0..1_000)
        .map(|_| {
            let (issuers, token) = (Arc::clone(&issuers), Arc::clone(&token));
            tokio::spawn(async move { settle(&issuers, &token).await })
        })
        .collect();
    // One of them goes while the fetch is under way, the one that began it.
    tokio::task::yield_now().await;
    waiting[0].abort();
    gate.add_permits(1_000);
    let mut found = 0;
    for one in waiting {
        match one.await {
            Ok(verified) => found += usize::from(verified.unwrap().is_ok()),
            Err(gone) => assert!(gone.is_cancelled()),
        }
    }
    println!("1,000 concurrent verifications of one unknown kid: {} fetch", server.fetches());
    assert!(found >= 999);
    assert_eq!(server.fetches(), 1);

    // The control: where each fetches for itself.
    server.publish(&jwks(&[&key]));
    let fetcher = Fetcher::new(super::ISSUER.into(), Some(&server.keys_url()), SECOND * 10).unwrap();
    let fetcher = Arc::new(fetcher);
    let each: Vec<_> = (0..50)
        .map(|_| {
            tokio::spawn({
                let fetcher = Arc::clone(&fetcher);
                async move { fetcher.fetch().await.is_ok() }
            })
        })
        .collect();
    for one in each {
        assert!(one.await.unwrap());
    }
    assert_eq!(server.fetches(), 51);
}

#[tokio::test]
async fn a_kid_that_was_not_there_causes_no_fetch_for_a_while() {
    let key = TestKey::es256("1");
    let server = Server::start(&jwks(&[&key])).await;
    let clock = Clock::manual();
    let issuers = issuers(&server, &clock);
    let gone = stranger(1);
    assert_eq!(settle(&issuers, &gone).await, Err(Fetched::UnknownKid));
    for _ in 0..9 {
        clock.advance(SECOND);
        assert!(matches!(settle(&issuers, &gone).await, Ok(Err(_))));
    }
    assert_eq!(server.fetches(), 1);
    clock.advance(SECOND);
    assert_eq!(settle(&issuers, &gone).await, Err(Fetched::UnknownKid));
    assert_eq!(server.fetches(), 2);
}

#[tokio::test]
async fn a_key_that_was_taken_back_is_refused_from_the_next_fetch_on() {
    let (old, new) = (TestKey::es256("old"), TestKey::es256("new"));
    let server = Server::start(&jwks(&[&old])).await;
    let clock = Clock::manual();
    let issuers = issuers(&server, &clock);
    let token = Forged::good(&old).sign(&old);
    let first = settle(&issuers, &token).await.unwrap().unwrap().stamp;

    // One more key voids nothing.
    server.publish(&jwks(&[&old, &new]));
    clock.advance(RENEW_AFTER);
    assert!(issuers.holds(first), "by what is known, while it is renewed behind the request's back");
    join(&issuers).await;
    assert_eq!(server.fetches(), 2);
    assert!(issuers.holds(first));

    server.publish(&jwks(&[&new]));
    clock.advance(RENEW_AFTER - SECOND);
    assert!(issuers.holds(first));
    assert_eq!(server.fetches(), 2, "not yet");
    clock.advance(SECOND);
    assert!(issuers.holds(first));
    join(&issuers).await;
    assert_eq!(server.fetches(), 3);
    assert!(!issuers.holds(first), "remembered tokens are to be verified again");
    assert_eq!(verify(&issuers, &token), Err(TokenRefusal::Invalid("`kid` of no known key")));

    // The same name for another key is another key.
    let second = settle(&issuers, &Forged::good(&new).sign(&new)).await.unwrap().unwrap().stamp;
    server.publish(&jwks(&[&TestKey::es256("new")]));
    clock.advance(RENEW_AFTER);
    let _renews = issuers.holds(second);
    join(&issuers).await;
    assert!(!issuers.holds(second));
}

#[tokio::test]
async fn renewals_that_fail_back_off() {
    let key = TestKey::es256("1");
    let server = Server::start(&jwks(&[&key])).await;
    let clock = Clock::manual();
    let issuers = issuers(&server, &clock);
    let stamp = settle(&issuers, &Forged::good(&key).sign(&key)).await.unwrap().unwrap().stamp;
    server.answer(Answer::Status(500));
    clock.advance(RENEW_AFTER);
    let mut at = Vec::new();
    for second in 0..1_800 {
        let before = server.fetches();
        assert!(issuers.holds(stamp));
        join(&issuers).await;
        if server.fetches() > before {
            at.push(second);
        }
        clock.advance(SECOND);
    }
    assert_eq!(at, [0, 20, 60, 140, 300, 620, 1_220]);
}

#[tokio::test]
async fn an_issuer_that_never_answers_is_given_up() {
    let server = Server::start(&json!({})).await;
    server.answer(Answer::Held(Arc::new(Semaphore::new(0)), json!({})));
    let limit = Duration::from_millis(50);
    let fetcher = Fetcher::new(super::ISSUER.into(), Some(&server.keys_url()), limit).unwrap();
    let source = KeySource::new(super::ISSUER.into(), fetcher, Vec::new(), Clock::manual());
    assert!(matches!(source.look_up("1"), LookUp::Ask));
    assert_eq!(source.ask("1").await, Fetched::Unavailable);
    assert_eq!(server.fetches(), 1);
}

#[tokio::test]
async fn https_means_https() {
    // A server that speaks plain HTTP at an `https` address: as much as anybody in between could do without a certificate.
    let key = TestKey::es256("1");
    let server = Server::start(&jwks(&[&key])).await;
    let url = server.keys_url().replace("http://", "https://");
    let issuers = Issuers::seal(vec![issuer().jwks_url(url)], None, &Clock::manual()).unwrap();
    assert_eq!(settle(&issuers, &Forged::good(&key).sign(&key)).await, Err(Fetched::Unavailable));
    assert_eq!(server.fetches(), 0);
}

#[tokio::test]
async fn keys_are_found_by_discovery() {
    let key = TestKey::es256("1");
    let server = Server::start(&jwks(&[&key])).await;
    let clock = Clock::manual();
    let found = super::Issuer::new(&server.base).audience("api");
    let found = Issuers::seal(vec![found], None, &clock).unwrap();
    let token = Forged::good(&key).claim("iss", json!(server.base)).sign(&key);
    assert!(settle(&found, &token).await.unwrap().is_ok());
    assert_eq!((server.asked_for("/.well-known/openid-configuration"), server.fetches()), (1, 1));

    // Somebody else's configuration, served under this name.
    server.call_itself("https://another.example");
    let other = Issuers::seal(vec![super::Issuer::new(&server.base).audience("api")], None, &clock).unwrap();
    assert_eq!(settle(&other, &token).await, Err(Fetched::Unavailable));
    assert_eq!(server.fetches(), 1, "its keys are not even asked for");
}

#[tokio::test]
async fn a_token_that_can_never_be_good_causes_no_fetch() {
    let key = TestKey::es256("1");
    let server = Server::start(&jwks(&[&key])).await;
    let issuers = issuers(&server, &Clock::manual());
    for forged in [
        Forged::good(&key).header("alg", json!("none")),
        Forged::good(&key).header("alg", json!("HS256")),
        Forged::good(&key).header("alg", json!("PS256")),
        Forged::good(&key).header("typ", json!("logout+jwt")),
        Forged::good(&key).header("crit", json!(["x"])),
        Forged::good(&key).header("kid", json!("k".repeat(129))),
        Forged::good(&key).header("kid", json!("")),
        Forged::good(&key).without_header("kid"),
    ] {
        assert!(matches!(settle(&issuers, &forged.sign(&key)).await, Ok(Err(_))));
    }
    let elsewhere = Forged::good(&key).claim("iss", json!("https://another.example")).sign(&key);
    assert!(issuers.verify(&elsewhere, super::now()).is_none());
    assert_eq!(server.fetches(), 0);
}

/// Waits for a renewal that is under way.
async fn join(issuers: &Issuers) {
    issuers.all[0].source.landed().await;
}
