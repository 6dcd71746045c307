//! One connection, for as long as it lives.

use std::{sync::Arc, time::Duration};

use axum_device_sessions::Notifier;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use crate::{DEVICE, World, another, force_logout};

/// Also where Apple lets in one request at a time, as it does until it has seen a valid token.
#[tokio::test]
async fn a_hundred_at_once_share_one() {
    for streams in [100, 1] {
        let world = World::with_streams(streams).await;
        let notices: Vec<_> = (0..100).map(|device| force_logout(&format!("{device:064x}"))).collect();
        for delivered in join_all(notices.iter().map(|notice| world.apns.deliver(notice))).await {
            delivered.unwrap();
        }
        assert_eq!((world.apple.seen().len(), world.apple.connections()), (100, 1));

        // Hours later.
        world.pass(10 * 60);
        world.apns.deliver(&force_logout(DEVICE)).await.unwrap();
        assert_eq!(world.apple.connections(), 1);

        // Naively, each its own.
        let naive = join_all(notices.iter().map(async |notice| {
            let apns = another(&world.apple.url, &world.key).clock(world.clock.clone());
            drop(apns.deliver(notice).await);
        }));
        naive.await;
        assert_eq!(world.apple.connections(), 101);
    }
}

#[tokio::test]
async fn nothing_but_http_2() {
    let world = World::new().await;
    let one = reqwest::Client::builder().http1_only().build().unwrap();
    let url = format!("{}/3/device/{DEVICE}", world.apple.url);
    one.post(&url).send().await.unwrap_err();
    assert_eq!(world.apple.seen(), []);
    world.apns.deliver(&force_logout(DEVICE)).await.unwrap();
    assert_eq!(world.apple.single().status, 200);
}

/// GOAWAY: the next one goes by another connection, and none is lost.
#[tokio::test]
async fn apple_closes_it() {
    let world = World::new().await;
    for round in 1..=5 {
        let notices: Vec<_> = (0..20).map(|device| force_logout(&format!("{device:064x}"))).collect();
        for delivered in join_all(notices.iter().map(|notice| world.apns.deliver(notice))).await {
            delivered.unwrap();
        }
        assert_eq!(world.apple.seen().len(), round * 20);
        world.apple.leave();
    }
    assert!((2..=5).contains(&world.apple.connections()), "{}", world.apple.connections());
}

/// The other side has fallen silent, and TCP does not show it. The next delivery fails, before the worker's 10 s are over and
/// would drop it; and the one after that has a connection that works. Without a PING it waits, and so would all others.
#[tokio::test]
async fn a_connection_that_died_unnoticed() {
    let world = World::new().await;
    let naive = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let url = Arc::new(format!("{}/3/device/{DEVICE}", world.apple.url));
    world.apns.deliver(&force_logout(DEVICE)).await.unwrap();
    assert_eq!(naive.post(&*url).send().await.unwrap().status(), 403);
    assert_eq!(world.apple.connections(), 2);

    world.apple.freeze();
    let waiting = tokio::spawn(async move { naive.post(&*url).send().await.map(|answer| answer.status()) });
    let began = Instant::now();
    // The limit is for a client that would wait for ever.
    let delivered = timeout(Duration::from_secs(60), async { world.apns.deliver(&force_logout(DEVICE)).await }).await;
    let error = delivered.unwrap().unwrap_err();
    let took = began.elapsed();
    assert_eq!(error.to_string(), "not delivered");
    println!("a dead connection was given up after {took:?}");
    assert!(took.as_secs() < 10, "{took:?}");
    world.apns.deliver(&force_logout(DEVICE)).await.unwrap();
    assert_eq!(world.apple.connections(), 3);
    assert!(!waiting.is_finished(), "naively it waits");
    waiting.abort();
}
