//! What every store promises of signing in: which device it is, what it is called, what is taken over. One suite on each of
//! them, driven as an application drives it; what is the stores' own is in `tests/store_contract.rs`.

#![cfg(feature = "postgres")]

use std::net::IpAddr;

use axum_device_sessions::{Client, EndReason, EndTarget, ErrorKind, ImportSession, SessionId, SignIn, Signal};
use time::OffsetDateTime;

use crate::{
    http,
    world::{DAY, PHONE, TABLET, World, home, is_new, on_both},
};

on_both!(
    a_device_is_new_once,
    a_name_stays_with_the_device,
    two_users_of_one_device_know_nothing_of_each_other,
    who_may_rename_what,
    a_pending_session_makes_nothing_known,
    what_is_imported_is_there_once_and_as_it_was,
);

async fn a_device_is_new_once(world: World) {
    let first = world.sign_in("ahmed", PHONE).await;
    assert_eq!(first.signals, [], "the first one ever is silent");
    let other = world.sign_in("ahmed", TABLET).await;
    assert_eq!(other.signals, [Signal::NewDevice]);
    let again = world.sign_in("ahmed", PHONE).await;
    assert_eq!(again.signals, []);
    assert_eq!(world.live("ahmed").await.len(), 2);
    assert_eq!(world.ends("ahmed").await, [(first.session.id, EndReason::Replaced)]);
    // Known though no session is there any more.
    world.end(&other).await;
    assert_eq!(world.sign_in("ahmed", TABLET).await.signals, []);
    assert!(is_new(&world.sign_in("ahmed", "an app on a device of somebody else").await));
}

async fn a_name_stays_with_the_device(world: World) {
    let first = world.sign_in("ahmed", PHONE).await;
    assert_ne!(first.session.device.name, "Ahmed's");
    let renamed = world.rename("ahmed", first.session.id, "  Ahmed's ").await.unwrap();
    assert_eq!((renamed.id, renamed.device.name.as_str()), (first.session.id, "Ahmed's"));
    let listed = world.sessions.list(&"ahmed".into(), None).await.unwrap();
    assert_eq!(listed[0].device.name, "Ahmed's");
    assert_ne!(world.sign_in("ahmed", TABLET).await.session.device.name, "Ahmed's");
    let replacing = world.sign_in("ahmed", PHONE).await;
    assert_eq!(replacing.session.device.name, "Ahmed's");
    world.end(&replacing).await;
    assert_eq!(world.sign_in("ahmed", PHONE).await.session.device.name, "Ahmed's");
    // Where the device is not known, the session alone has it.
    let unknown = http::sign_in(&world.sessions, "ahmed").await;
    world.rename("ahmed", unknown.session.id, "By hand").await.unwrap();
    assert_ne!(http::sign_in(&world.sessions, "ahmed").await.session.device.name, "By hand");
}

async fn two_users_of_one_device_know_nothing_of_each_other(world: World) {
    let (ahmed, _) = (world.sign_in("ahmed", PHONE).await, world.sign_in("lena", TABLET).await);
    world.rename("ahmed", ahmed.session.id, "Ahmed's").await.unwrap();
    let lena = world.sign_in("lena", PHONE).await;
    assert!(is_new(&lena));
    assert_ne!(lena.session.device.name, "Ahmed's");
    world.rename("lena", lena.session.id, "Lena's").await.unwrap();
    assert_eq!(world.sign_in("ahmed", PHONE).await.session.device.name, "Ahmed's");
    assert_eq!((world.live("ahmed").await.len(), world.live("lena").await.len()), (1, 2));
}

async fn who_may_rename_what(world: World) {
    let (live, ended) = (world.sign_in("ahmed", PHONE).await, world.sign_in("ahmed", TABLET).await);
    world.end(&ended).await;
    let pending = world.sessions.sign_in(SignIn::new("ahmed").second_factor_to_come()).await.unwrap();
    for (what, user, id) in [
        ("ended", "ahmed", ended.session.id),
        ("pending", "ahmed", pending.session.id),
        ("somebody else's", "lena", live.session.id),
        ("unknown", "ahmed", SessionId::new()),
    ] {
        assert_eq!(world.rename(user, id, "Mine").await, None, "{what}");
    }
    assert_eq!(world.sessions.list(&"ahmed".into(), None).await.unwrap()[0].device.name, live.session.device.name);
    assert_ne!(world.sign_in("ahmed", TABLET).await.session.device.name, "Mine");
}

async fn a_pending_session_makes_nothing_known(world: World) {
    let live = world.sign_in("ahmed", PHONE).await;
    for _ in 0..2 {
        let client = Client::new(None, Some(IpAddr::from([198, 51, 100, 7]))).device_id(TABLET);
        let pending = SignIn::new("ahmed").client(client).second_factor_to_come();
        let pending = world.sessions.sign_in(pending).await.unwrap();
        let told: Vec<_> = pending.signals.iter().map(Signal::kind).collect();
        assert_eq!((pending.pending, told), (true, vec!["new_device", "new_country"]));
    }
    assert_eq!(world.live("ahmed").await, [live.session.id]);
    assert!(is_new(&world.sign_in("ahmed", TABLET).await));
}

async fn what_is_imported_is_there_once_and_as_it_was(world: World) {
    let ago = |days: i64| {
        let at = OffsetDateTime::now_utc() - time::Duration::days(days);
        // As exact as the database is.
        at.replace_microsecond(at.microsecond()).unwrap()
    };
    let (id, began, seen) = (SessionId::new(), ago(9), ago(2));
    let there = world.sign_in("ahmed", PHONE).await;
    let import = |name: &str| {
        let one = ImportSession::new(id, "lena", began).last_activity_at(seen).device_name(name).ip_address(home());
        let taken = ImportSession::new(there.session.id, "mallory", began);
        [one.metadata(&7), taken]
    };
    assert_eq!(world.sessions.import(import("Lena's")).await.unwrap(), 1, "an id that is there stays as it is");
    let before = world.sessions.list(&"lena".into(), None).await.unwrap();
    let [one] = &before[..] else { panic!("{before:?}") };
    assert_eq!((one.id, one.created_at, one.last_activity_at, one.authenticated_at), (id, began, seen, began));
    assert_eq!((one.device.name.as_str(), one.ip_address, &one.metadata), ("Lena's", Some(home()), &Some(7.into())));
    assert_eq!(one.absolute_expires_at, began + DAY * 3_000);
    assert_eq!(world.sessions.import(import("Another name")).await.unwrap(), 0);
    assert_eq!(world.sessions.list(&"lena".into(), None).await.unwrap(), before);
    assert_eq!((world.live("ahmed").await, world.live("mallory").await), (vec![there.session.id], vec![]));
    // One that cannot be used, and none of them is there.
    let bad = [ImportSession::new(SessionId::new(), "sam", began), ImportSession::new(SessionId::new(), "", began)];
    assert_eq!(world.sessions.import(bad).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(world.live("sam").await.is_empty());
    assert_eq!(world.sign_in("lena", PHONE).await.signals, [], "the first one ever");
    // Nor is one that has ended brought back.
    let target = EndTarget::One { id, user: None };
    world.sessions.end(target, EndReason::Logout, None).await.unwrap();
    assert_eq!(world.sessions.import(import("Again")).await.unwrap(), 0);
    assert!(!world.live("lena").await.contains(&id));
}
