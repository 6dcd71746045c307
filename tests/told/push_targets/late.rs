//! What could not be sent while somebody was signed in is not sent to whoever has the device afterwards.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum_device_sessions::{Clock, EndReason, MemoryStore, Message, NotDelivered, PostgresStore, Wants};

use super::{
    http::on,
    notices::Told,
    notified::{Base, World},
    support::{TestDb, eventually},
};

#[tokio::test]
async fn a_sign_in_is_not_told_to_a_device_that_is_somebody_elses_by_now() {
    let away = Arc::new(AtomicBool::new(true));
    let tried = Arc::new(AtomicUsize::new(0));
    let push = || {
        let (away, tried) = (Arc::clone(&away), Arc::clone(&tried));
        Told::answering(Wants::push("fcm"), move |notice| {
            if away.load(Ordering::Relaxed) && matches!(notice.message, Message::NewLogin { .. }) {
                tried.fetch_add(1, Ordering::Relaxed);
                return Err(NotDelivered::retry("the provider is away"));
            }
            Ok(())
        })
    };
    let db = TestDb::new().await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    let sql = db.connect().await;
    let clock = Clock::manual();
    let memory = on(MemoryStore::with_clock(clock.clone())).clock(clock.clone());
    for world in [
        World::of([on(store)], push(), Base::Postgres(db, sql)).await,
        World::of([memory], push(), Base::Memory(clock)).await,
    ] {
        away.store(true, Ordering::Relaxed);
        tried.store(0, Ordering::Relaxed);
        let (phone, tablet, watch) =
            (world.on("ahmed", "phone").await, world.on("ahmed", "tablet").await, world.on("ahmed", "watch").await);
        world.is_reached(&phone, "phone").await;
        world.is_reached(&tablet, "tablet").await;
        world.is_reached(&watch, "watch").await;
        world.on("ahmed", "laptop").await;
        eventually("each is tried", async || tried.load(Ordering::Relaxed) >= 3).await;
        world.end(phone.session.id, EndReason::Logout, None).await;
        let next = world.on("lena", "phone").await;
        world.is_reached(&next, "phone").await;
        // The first control: a thief who signs the others out does not keep them from being told.
        world.end(watch.session.id, EndReason::RevokedByUser, None).await;
        away.store(false, Ordering::Relaxed);
        world.later(Duration::from_secs(60)).await;
        // The second: whoever is still signed in.
        eventually("those are told", async || world.push.notices().len() >= 3).await;
        world.settled().await;
        let mut told = world.push.texts();
        told.sort();
        assert_eq!(
            told,
            ["force_logout watch revoked_by_user", "new_login tablet", "new_login watch"],
            "{}",
            world.name()
        );
    }
}
