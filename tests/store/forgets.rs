//! How long every store remembers devices and countries that a user has signed in from. One suite on each of them.

#![cfg(feature = "postgres")]

use axum_device_sessions::{Client, EndReason, EndTarget, SignIn, Signal};

use crate::world::{PHONE, TABLET, World, is_new, on_both};

on_both!(
    a_device_is_forgotten_and_one_in_use_is_not,
    what_a_purge_removes_says_when_the_device_was_seen,
    of_a_hundred_and_one_devices_the_one_seen_longest_ago_goes,
    a_country_is_forgotten,
);

async fn a_device_is_forgotten_and_one_in_use_is_not(world: World) {
    let (phone, tablet) = (world.sign_in("ahmed", PHONE).await, world.sign_in("ahmed", TABLET).await);
    world.rename("ahmed", phone.session.id, "Ahmed's").await.unwrap();
    world.end(&tablet).await;
    world.days_pass(399).await;
    world.purge().await;
    assert!(!is_new(&world.sign_in("ahmed", TABLET).await), "not yet");
    let live = world.live("ahmed").await;
    assert_eq!(live.len(), 2);
    let target = EndTarget::Others { user: "ahmed".into(), keep: phone.session.id };
    world.sessions.end(target, EndReason::Logout, None).await.unwrap();
    world.days_pass(402).await;
    world.purge().await;
    assert!(is_new(&world.sign_in("ahmed", TABLET).await));
    // 801 days, in which nobody signed in on it: its session lives.
    let again = world.sign_in("ahmed", PHONE).await;
    assert_eq!((is_new(&again), again.session.device.name.as_str()), (false, "Ahmed's"));
}

async fn what_a_purge_removes_says_when_the_device_was_seen(world: World) {
    let (used, unused) = (world.sign_in("ahmed", PHONE).await, world.sign_in("ahmed", TABLET).await);
    world.end(&unused).await;
    world.days_pass(25).await;
    world.sessions.refresh(&used.refresh_token, None).await.unwrap();
    world.sessions.flush_activity().await.unwrap();
    world.end(&used).await;
    world.days_pass(35).await;
    world.purge().await;
    assert_eq!(world.ends("ahmed").await, [], "their rows are gone");
    world.days_pass(350).await;
    world.purge().await;
    // 410 days after the sign-in on each of them.
    assert!(!is_new(&world.sign_in("ahmed", PHONE).await), "seen 385 days ago");
    assert!(is_new(&world.sign_in("ahmed", TABLET).await));
}

async fn of_a_hundred_and_one_devices_the_one_seen_longest_ago_goes(world: World) {
    let device = |n: usize| format!("the app on device {n:03}");
    for n in 0..100 {
        world.sign_in("ahmed", &device(n)).await;
        world.days_pass(1).await;
    }
    // The first is seen again, so the second is the one.
    assert!(!is_new(&world.sign_in("ahmed", &device(0)).await));
    assert!(is_new(&world.sign_in("ahmed", &device(100)).await));
    for n in [100, 0, 99, 2] {
        assert!(!is_new(&world.sign_in("ahmed", &device(n)).await), "{n}");
    }
    assert!(is_new(&world.sign_in("ahmed", &device(1)).await));
}

async fn a_country_is_forgotten(world: World) {
    let from = async |address: [u8; 4]| {
        let client = Client::new(None, Some(address.into())).device_id(PHONE);
        let signed_in = world.sessions.sign_in(SignIn::new("ahmed").client(client)).await.unwrap();
        world.end(&signed_in).await;
        signed_in.signals.into_iter().find(|signal| matches!(signal, Signal::NewCountry { .. }))
    };
    let (home, away) = ([192, 0, 2, 1], [198, 51, 100, 7]);
    assert_eq!(from(home).await, None, "the first one ever is silent");
    let new = Signal::NewCountry { country_code: "RU".to_owned(), known: vec!["DE".to_owned()] };
    assert_eq!((from(away).await, from(away).await), (Some(new.clone()), None));
    world.days_pass(179).await;
    assert_eq!(from(home).await, None);
    world.days_pass(2).await;
    world.purge().await;
    assert_eq!(from(away).await, Some(new));
}
