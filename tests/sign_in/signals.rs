//! What is unusual about a sign-in, end to end: what is kept of a user's past, and what is concluded from it.

#![cfg(all(feature = "postgres", feature = "routes", feature = "test-util"))]

mod world;

use std::time::Duration;

use axum_device_sessions::{EndReason, EndTarget, ErrorKind, ImportSession, SessionId, SignIn, SignInPolicy, Signal};
use serde_json::json;
use time::OffsetDateTime;
use world::{BERLIN, MOSCOW, POTSDAM, World, caller, kinds};

use crate::{http, support};

#[tokio::test]
async fn a_device_is_new_once() {
    for world in World::both().await {
        assert_eq!(world.sign_in("phone", None).await.signals, [], "the first of all");
        assert_eq!(world.sign_in("phone", None).await.signals, []);
        assert_eq!(world.sign_in("laptop", None).await.signals, [Signal::NewDevice]);
        assert_eq!(world.sign_in("laptop", None).await.signals, []);
        assert_eq!(
            world.sessions.sign_in(SignIn::new("ahmed")).await.unwrap().signals,
            [Signal::NewDevice],
            "by nothing"
        );
        let other = SignIn::new("lena").client(caller("laptop", None));
        assert_eq!(world.sessions.sign_in(other).await.unwrap().signals, [], "of each user alone");
    }
}

#[tokio::test]
async fn a_country_is_new_until_a_session_or_a_sign_in_was_there() {
    for world in World::both().await {
        assert_eq!(world.sign_in("phone", None).await.signals, [], "no place");
        let there = world.sign_in("phone", MOSCOW).await;
        assert_eq!(there.signals, [], "the first country");
        world.travels(&there, BERLIN).await;
        // In Germany is a live session, and no sign-in was.
        world.later(1).await;
        assert_eq!(world.sign_in("tablet", BERLIN).await.signals, [Signal::NewDevice]);
        world.end_all().await;
        assert_eq!(world.sign_in("tablet", BERLIN).await.signals, [], "known by that sign-in");

        let other = async |user: &str, address| {
            world.sessions.sign_in(SignIn::new(user).client(caller("phone", address))).await.unwrap()
        };
        // Travelled there, and ended: nobody has signed in from there.
        let first = other("lena", MOSCOW).await;
        world.travels(&first, BERLIN).await;
        let target = EndTarget::All { user: "lena".into(), caller: None };
        world.sessions.end(target, EndReason::Logout, None).await.unwrap();
        let new = Signal::NewCountry { country_code: "DE".into(), known: vec!["RU".into()] };
        assert_eq!(other("lena", BERLIN).await.signals, [new]);
        assert_eq!(other("lena", BERLIN).await.signals, []);
    }
}

#[tokio::test]
async fn a_country_is_known_for_half_a_year() {
    for (days, expected) in [(179, vec![]), (181, vec!["new_country"])] {
        for world in World::both().await {
            world.sign_in("phone", MOSCOW).await;
            world.end_all().await;
            world.later(days - 10).await;
            assert_eq!(kinds(&world.sign_in("phone", BERLIN).await), ["new_country", "long_absence"]);
            world.end_all().await;
            world.later(10).await;
            assert_eq!(kinds(&world.sign_in("phone", MOSCOW).await), expected, "after {days} days");
        }
    }
}

#[tokio::test]
async fn nobody_travels_that_fast() {
    for world in World::both().await {
        let one = world.sign_in("phone", MOSCOW).await;
        let two = world.sign_in("tablet", MOSCOW).await;
        let ended = world.sign_in("laptop", MOSCOW).await;
        world.end(&ended).await;
        // Not in yet: of whoever has the password.
        let waits = SignIn::new("ahmed").client(caller("desktop", MOSCOW)).second_factor_to_come();
        assert!(world.sessions.sign_in(waits).await.unwrap().pending);
        world.travels(&two, POTSDAM).await;
        let found = world.sign_in("watch", BERLIN).await.signals;
        let [Signal::NewDevice, Signal::ImpossibleTravel { session_id, from, distance_km, within }] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!((*session_id, from.as_deref()), (one.session.id, Some("Moscow, Russia")));
        // 1,609 km, less 20 twice and 50.
        assert!((1_510..=1_525).contains(distance_km) && *within < Duration::from_secs(300), "{found:?}");
        world.end(&one).await;
        assert_eq!(kinds(&world.sign_in("television", BERLIN).await), ["new_device"], "the control: nobody is there");
    }
}

#[tokio::test]
async fn a_long_absence_outlives_the_rows_that_tell_of_it() {
    for world in World::both().await {
        world.sign_in("phone", None).await;
        world.later(29).await;
        assert_eq!(world.sign_in("phone", None).await.signals, []);
        world.later(20).await;
        let one = world.sign_in("tablet", None).await;
        world.later(10).await;
        world.travels(&one, MOSCOW).await;
        world.end_all().await;
        world.later(31).await;
        for purged in [false, true] {
            if purged {
                world.purge().await;
            }
            let absence = world.look("phone").await;
            let [Signal::LongAbsence { last_seen_at }] = &absence[..] else { panic!("{absence:?}") };
            let days = (world.now().await - *last_seen_at).as_seconds_f64() / 86_400.0;
            assert!((30.9..31.1).contains(&days), "by its activity, not by its sign-in: {days}");
        }
        assert_eq!(kinds(&world.sign_in("phone", None).await), ["long_absence"]);
        assert_eq!(world.sign_in("phone", None).await.signals, []);
    }
}

#[tokio::test]
async fn failures_are_as_the_application_counts() {
    for world in World::both().await {
        let after = async |count| {
            let sign_in = SignIn::new("ahmed").client(caller("phone", None)).failed_attempts(count);
            world.sessions.sign_in(sign_in).await.unwrap().signals
        };
        assert_eq!(after(4).await, []);
        assert_eq!(after(5).await, [Signal::FailuresBefore { count: 5 }]);
        assert_eq!(after(u32::MAX).await, [Signal::FailuresBefore { count: u32::MAX }]);
    }
}

/// Neither refused nor pending, it makes nothing known.
#[tokio::test]
async fn only_a_completed_sign_in_makes_anything_known() {
    for world in World::both().await {
        world.sign_in("phone", MOSCOW).await;
        world.end_all().await;
        let from_berlin = |policy| {
            SignIn::new("ahmed").client(caller("tablet", BERLIN)).policy(move |signals| {
                assert_eq!(signals.iter().map(Signal::kind).collect::<Vec<_>>(), ["new_device", "new_country"]);
                policy
            })
        };
        let refused = world.sessions.sign_in(from_berlin(SignInPolicy::Refuse)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::SignInRefused);
        world.knows(1, &["RU"]).await;
        let pending = world.sessions.sign_in(from_berlin(SignInPolicy::RequireSecondFactor)).await.unwrap();
        assert!(pending.pending && pending.refresh_token.is_empty());
        assert_eq!(pending.signals.len(), 2);
        world.knows(1, &["RU"]).await;
        assert_eq!(world.confirm(&pending).await, 200);
        world.knows(2, &["DE", "RU"]).await;
        assert_eq!(world.sign_in("tablet", BERLIN).await.signals, []);
        for policy in [SignInPolicy::Allow, SignInPolicy::Tell] {
            let asked = SignIn::new("ahmed").client(caller("tablet", BERLIN)).policy(move |_| policy);
            assert!(!world.sessions.sign_in(asked).await.unwrap().pending);
        }
    }
}

/// Of another system, no devices are known; its times are true.
#[tokio::test]
async fn the_first_sign_in_after_an_import() {
    for world in World::both().await {
        let now = world.now().await;
        let import = async |user: &str, age: i64| {
            let at: OffsetDateTime = now - time::Duration::days(age);
            let row = ImportSession::new(SessionId::new(), user, at).metadata(&json!({}));
            assert_eq!(world.sessions.import([row.ip_address([203, 0, 113, 7].into())]).await.unwrap(), 1);
            let sign_in = SignIn::new(user).client(caller("phone", BERLIN));
            (world.sessions.sign_in(sign_in).await.unwrap().signals, at)
        };
        assert_eq!(import("lena", 3).await.0, []);
        let (signals, at) = import("omar", 60).await;
        let [Signal::LongAbsence { last_seen_at }] = signals[..] else { panic!("{signals:?}") };
        assert!((last_seen_at - at).abs() < time::Duration::MILLISECOND, "the truth: {last_seen_at} {at}");
    }
}
