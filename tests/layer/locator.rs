//! Whoever tells places is in nobody's way: asked seldom, off the path of requests, and free to fail.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum_device_sessions::{ClientIp, Location, SessionsBuilder};
use serde_json::{Value, json};

use crate::{
    served::{Served, node},
    support::{TestDb, eventually},
};

const MOSCOW: &str = "203.0.113.7";
const BERLIN: &str = "198.51.100.9";

fn by(address: &str) -> [(&str, &str); 1] {
    [("x-forwarded-for", address)]
}

fn behind_a_proxy(builder: SessionsBuilder) -> SessionsBuilder {
    builder.client_ip(ClientIp::x_forwarded_for(["127.0.0.0/8"]).unwrap())
}

/// Counts, and can be told to panic, or to keep who asks.
#[derive(Default)]
struct Odd {
    asked: AtomicUsize,
    panics: AtomicBool,
    holds: AtomicBool,
}

impl Odd {
    fn locator(self: &Arc<Self>) -> impl Fn(IpAddr) -> Option<Location> + Clone + use<> {
        let odd = Arc::clone(self);
        move |_| {
            odd.asked.fetch_add(1, Ordering::SeqCst);
            assert!(!odd.panics.load(Ordering::SeqCst), "as the test wants it");
            while odd.holds.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            let mut somewhere = Location::default();
            somewhere.city = Some("Somewhere".to_owned());
            Some(somewhere)
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn private_addresses_are_not_asked_about() {
    let (db, odd) = (TestDb::new().await, Arc::new(Odd::default()));
    let sessions = node(&db, |builder| behind_a_proxy(builder).locator(odd.locator())).await;
    let served = Served::start(&sessions).await;
    for private in
        ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.0.1", "0.0.0.0", "::1", "fe80::1", "fd00::1"]
    {
        let signed_in = served.sign_in(&by(private)).await;
        assert_eq!((&signed_in["session"]["ipAddress"], odd.asked()), (&json!(private), 0));
        served.ask("GET /me", &signed_in, &by(private)).await;
        sessions.flush_activity().await.unwrap();
        assert_eq!(odd.asked(), 0, "{private}");
    }
    served.sign_in(&by(MOSCOW)).await;
    assert_eq!(odd.asked(), 1, "the control");
}

/// It costs its place, and nothing else: neither a sign-in nor the task that writes for all.
#[tokio::test]
async fn a_locator_may_panic() {
    let (db, odd) = (TestDb::new().await, Arc::new(Odd::default()));
    let sessions = node(&db, |builder| behind_a_proxy(builder).locator(odd.locator())).await;
    let served = Served::start(&sessions).await;
    let signed_in = served.sign_in(&by(MOSCOW)).await;
    odd.panics.store(true, Ordering::SeqCst);
    assert_eq!(served.sign_in(&by(MOSCOW)).await["session"]["location"], Value::Null);
    served.ask("GET /me", &signed_in, &by(BERLIN)).await;
    sessions.flush_activity().await.unwrap();
    assert_eq!((sessions.health().queued_activity, odd.asked()), (0, 3));
    let listed = served.listed(&signed_in).await;
    assert_eq!((&listed["ipAddress"], &listed["location"]), (&json!(BERLIN), &Value::Null));
    // The control: what it would do to a task.
    let naive = odd.locator();
    assert!(tokio::spawn(async move { naive(IpAddr::from([203, 0, 113, 7])) }).await.unwrap_err().is_panic());

    odd.panics.store(false, Ordering::SeqCst);
    sessions.flush_activity().await.unwrap();
    served.ask("GET /me", &signed_in, &by(BERLIN)).await;
    sessions.flush_activity().await.unwrap();
    assert_eq!(served.listed(&signed_in).await["location"], "Somewhere", "the writer is at work");
}

/// One that does what it must not holds up the writing, and no request.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_do_not_wait_for_a_locator() {
    let (db, odd) = (TestDb::new().await, Arc::new(Odd::default()));
    let sessions = node(&db, |builder| behind_a_proxy(builder).locator(odd.locator())).await;
    let served = Served::start(&sessions).await;
    let signed_in = served.sign_in(&by(MOSCOW)).await;
    served.ask("GET /me", &signed_in, &by(BERLIN)).await;
    let before = odd.asked();
    odd.holds.store(true, Ordering::SeqCst);
    let flush = {
        let sessions = sessions.clone();
        tokio::spawn(async move { sessions.flush_activity().await })
    };
    eventually("the writer asks", async || odd.asked() > before).await;
    for _ in 0..100 {
        served.ask("GET /me", &signed_in, &by(BERLIN)).await;
    }
    assert!(!flush.is_finished());
    // The control: a handler that asks by itself.
    let naive = odd.locator();
    let handler = tokio::spawn(async move { naive(IpAddr::from([203, 0, 113, 7])) });
    eventually("the handler asks", async || odd.asked() > before + 1).await;
    served.ask("GET /me", &signed_in, &by(BERLIN)).await;
    assert!(!handler.is_finished() && !flush.is_finished());
    odd.holds.store(false, Ordering::SeqCst);
    flush.await.unwrap().unwrap();
    assert!(handler.await.unwrap().is_some());
}

/// Once a session and flush at most, however many requests there are.
#[tokio::test]
async fn a_request_asks_for_no_place() {
    const SESSIONS: usize = 10;
    let (db, odd) = (TestDb::new().await, Arc::new(Odd::default()));
    let sessions = node(&db, |builder| behind_a_proxy(builder).locator(odd.locator())).await;
    let served = Served::start(&sessions).await;
    let mut signed_in = Vec::new();
    for _ in 0..SESSIONS {
        signed_in.push(served.sign_in(&by(MOSCOW)).await);
    }
    assert_eq!(odd.asked(), SESSIONS, "once a sign-in");
    for flushes in 1..=2 {
        for n in 0..500 {
            served.ask("GET /me", &signed_in[n % SESSIONS], &by([MOSCOW, BERLIN][n % 2])).await;
        }
        assert_eq!(odd.asked(), flushes * SESSIONS, "no request asked");
        sessions.flush_activity().await.unwrap();
        assert_eq!(odd.asked(), (flushes + 1) * SESSIONS);
    }
}
