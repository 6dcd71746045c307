//! Changing keys under load: publish, sign, retire, on two nodes over one Postgres, while clients sign in, refresh and ask all
//! the time and another service checks their tokens by the published set. Nobody is refused. The control does it in one step.
//!
//! Time is virtual: it passes only after every client has gone round, so no token runs out under a client that looks after it.

#![cfg(all(feature = "postgres", feature = "routes", feature = "test-util"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "support/http.rs"]
mod http;
#[path = "support/keys.rs"]
mod keys;
#[path = "key_rotation/load.rs"]
mod load;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::{bearer, get, sign_in};
use keys::{Algorithm, Pair};
use load::{Load, World};
use support::TestDb;

const SECOND: Duration = Duration::from_secs(1);
/// How long an access token lives, and its leeway.
const TTL: u64 = 900;
const LEEWAY: u64 = 2;
/// How long others keep the set, as its answer says.
const KEPT: u64 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_under_load_and_nobody_is_refused() {
    let (old, new) = (Pair::new(Algorithm::Es256), Pair::new(Algorithm::EdDsa));
    let db = TestDb::new().await;
    let world = World::new(&db, &old).await;
    let load = Load::start(&world);
    load.rounds(20).await;

    // Publish. The nodes never change together: that is how it goes.
    for node in &world.nodes {
        node.sessions.replace_keys(old.signs().also_accept(new.verifying())).unwrap();
        load.rounds(3).await;
    }
    world.pass(&load, KEPT).await;
    assert_eq!(load.signed_by(&new), 0);

    // Sign.
    for node in &world.nodes {
        node.sessions.replace_keys(new.signs().also_accept(old.verifying())).unwrap();
        load.rounds(3).await;
    }
    world.pass(&load, TTL + LEEWAY).await;

    // Retire.
    for node in &world.nodes {
        node.sessions.replace_keys(new.signs()).unwrap();
        load.rounds(3).await;
    }
    world.pass(&load, KEPT).await;
    let told = load.stop().await;
    println!("publish, sign, retire: {told}");
    assert!(told.by_key(&old) > 0 && told.by_key(&new) > 0 && told.refreshes > 20 && told.sign_ins > 20, "{told}");
    assert_eq!((told.unauthorized, told.other, told.refused_elsewhere), (0, 0, 0), "{told}");

    // The control: the same load, the same keys, one step.
    let db = TestDb::new().await;
    let world = World::new(&db, &old).await;
    let load = Load::start(&world);
    load.rounds(20).await;
    for node in &world.nodes {
        node.sessions.replace_keys(new.signs()).unwrap();
        load.rounds(3).await;
    }
    world.pass(&load, KEPT).await;
    let told = load.stop().await;
    println!("in one step, the control: {told}");
    assert!(told.unauthorized > 0 && told.refused_elsewhere > 0, "{told}");
    assert_eq!(told.other, 0, "{told}");
}

/// When `replace_keys` has returned, no request that starts later gets in with a token of a key that is gone; and each of those
/// asked often enough before to be remembered. (The control, a cache beside the keys, is in `src/sessions/keys.rs`.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_key_is_refused_at_once() {
    let db = TestDb::new().await;
    let (mut before, mut after) = (0, 0);
    for _ in 0..20 {
        let (old, new) = (Pair::new(Algorithm::EdDsa), Pair::new(Algorithm::EdDsa));
        let world = World::new(&db, &old).await;
        let node = &world.nodes[0];
        let token = sign_in(&node.sessions, "ahmed").await.access_token;
        let (retired, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let asked = Arc::new(AtomicU64::new(0));
        let asking: Vec<_> = (0..4)
            .map(|_| {
                let (app, sent, asked) = (node.app.clone(), [bearer(&token)], Arc::clone(&asked));
                let (retired, stop) = (Arc::clone(&retired), Arc::clone(&stop));
                tokio::spawn(async move {
                    let (mut before, mut after) = (0_u32, 0_u32);
                    while !stop.load(Ordering::SeqCst) {
                        let gone = retired.load(Ordering::SeqCst);
                        let line = get(&app, "/me", &sent).await.line();
                        if gone {
                            assert_eq!(line, "401 invalid_token");
                            after += 1;
                        } else {
                            assert!(["200 ahmed", "401 invalid_token"].contains(&line.as_str()), "{line}");
                            before += u32::from(line == "200 ahmed");
                        }
                        asked.fetch_add(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                    }
                    (before, after)
                })
            })
            .collect();
        let reached = async |count: u64| {
            support::eventually("requests go on", async || asked.load(Ordering::SeqCst) >= count).await;
        };
        reached(40).await;
        node.sessions.replace_keys(new.signs()).unwrap();
        retired.store(true, Ordering::SeqCst);
        reached(asked.load(Ordering::SeqCst) + 20).await;
        stop.store(true, Ordering::SeqCst);
        for task in asking {
            let (let_in, refused) = task.await.unwrap();
            before += let_in;
            after += refused;
        }
    }
    println!("20 keys retired under load: {before} requests let in before, {after} refused after, none let in");
    assert!(before > 0 && after > 0);
}

/// Refresh tokens are not of these keys: a client whose access token went with its key refreshes and goes on.
#[tokio::test]
async fn a_refresh_token_outlives_the_keys() {
    let db = TestDb::new().await;
    let (old, new) = (Pair::new(Algorithm::Es256), Pair::new(Algorithm::Rs256));
    let world = World::new(&db, &old).await;
    let [a, b] = &world.nodes;
    let signed_in = sign_in(&a.sessions, "ahmed").await;
    for node in [a, b] {
        node.sessions.replace_keys(new.signs()).unwrap();
        assert_eq!(get(&node.app, "/me", &[bearer(&signed_in.access_token)]).await.line(), "401 invalid_token");
    }
    world.clock.advance(SECOND);
    let answer = load::refresh(&b.app, &signed_in.refresh_token).await;
    assert_eq!(answer.status, 200);
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(get(&a.app, "/me", &[bearer(&token)]).await.line(), "200 ahmed");
}
