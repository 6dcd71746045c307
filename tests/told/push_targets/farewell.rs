//! The last that the device hears of a session: which ends tell it, and that the target is gone whatever it was.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum_device_sessions::{
    EndReason, EndTarget, ImportSession, Issue, OnLimit, PushTarget, SessionFilter, SessionId, SessionLimit,
    SessionsBuilder, SignIn, SignedIn,
};
use time::OffsetDateTime;

use super::{
    kept,
    notified::{World, caller},
};

/// What of a user was told but for its beginning, where the device is reached as "phone".
async fn told_of(world: &World, user: &str, ends: impl AsyncFnOnce(&SignedIn)) -> String {
    let phone = world.on(user, "phone").await;
    world.is_reached(&phone, user).await;
    ends(&phone).await;
    let told = world.since(user, &[]).await;
    if let Some(sql) = world.sql() {
        let left = kept(sql).await;
        assert!(!left.iter().any(|(_, token)| token == user), "{user}: {left:?}");
    }
    told.split(", ").filter(|one| !one.contains("session.created")).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn by_reason() {
    for world in World::both().await {
        for (reason, is_told) in [
            (EndReason::RevokedByUser, true),
            (EndReason::RevokedByAdmin, true),
            (EndReason::RevokedByAlert, true),
            (EndReason::Limit, true),
            (EndReason::RefreshReuse, true),
            (EndReason::CredentialChange, true),
            (EndReason::AccountDisabled, true),
            (EndReason::Other("fraud team".into()), true),
            (EndReason::Logout, false),
            (EndReason::Replaced, false),
            (EndReason::Idle, false),
            (EndReason::Absolute, false),
        ] {
            let user = format!("by-{}", reason.as_str().replace(' ', "-"));
            let end = async |phone: &SignedIn| world.end(phone.session.id, reason.clone(), Some("somebody")).await;
            let told = told_of(&world, &user, end).await;
            let mut expected = format!("session.ended {reason}");
            if reason == EndReason::RefreshReuse {
                expected = format!("refresh.reuse {reason}, {expected}");
            }
            if is_told {
                expected = format!("force_logout {user} {reason}, {expected}");
            }
            println!("{:8} {user:25} {told}", world.name());
            assert_eq!(told, expected, "{}", world.name());
        }
    }
}

/// By what really happens, and not by a reason that somebody gives.
#[tokio::test]
async fn by_what_happens() {
    let one_for_some = || SessionLimit::of_user(|user| (user.as_str() == "limited").then_some(1));
    let disabled = Arc::new(AtomicBool::new(false));
    let settings = |builder: SessionsBuilder| {
        let disabled = Arc::clone(&disabled);
        let builder = builder.max_sessions_per_user(one_for_some(), OnLimit::EndOldest).refresh_grace(Duration::ZERO);
        builder.on_issue(move |_| {
            let is_disabled = disabled.load(Ordering::Relaxed);
            async move { Ok(if is_disabled { Issue::refuse() } else { Issue::allow() }) }
        })
    };
    for world in [World::on_postgres(settings).await, World::in_memory(settings).await] {
        let world = &world;
        let refresh = async |phone: &SignedIn| world.nodes[1].refresh(&phone.refresh_token, None).await;
        let told = told_of(world, "limited", async |_| drop(world.on("limited", "laptop").await)).await;
        assert_eq!(told, "force_logout limited limit, login.new_device, mail, session.ended limit");
        let reuse = async |phone: &SignedIn| {
            refresh(phone).await.unwrap();
            refresh(phone).await.unwrap_err();
        };
        let told = told_of(world, "reused", reuse).await;
        let expected = "force_logout reused refresh_reuse, refresh.reuse refresh_reuse, session.ended refresh_reuse, \
                        session.refreshed";
        assert_eq!(told, expected);
        let disable = async |phone: &SignedIn| {
            disabled.store(true, Ordering::Relaxed);
            refresh(phone).await.unwrap_err();
            disabled.store(false, Ordering::Relaxed);
        };
        let told = told_of(world, "disabled", disable).await;
        assert_eq!(told, "force_logout disabled account_disabled, session.ended account_disabled");
        let changed = async |phone: &SignedIn| {
            let user = &phone.session.user_id;
            assert_eq!(world.nodes[1].admin().on_credential_change(user, None).await.unwrap(), 1);
        };
        let told = told_of(world, "changed", changed).await;
        assert_eq!(told, "force_logout changed credential_change, session.ended credential_change");
        let told = told_of(world, "again", async |_| drop(world.on("again", "phone").await)).await;
        assert_eq!(told, "session.ended replaced");
    }
}

/// The device, and whoever else is told of the end: of one event.
#[tokio::test]
async fn it_is_the_event_that_all_are_told() {
    for world in World::both().await {
        let phone = world.on("ahmed", "phone").await;
        world.is_reached(&phone, "phone").await;
        world.end(phone.session.id, EndReason::RevokedByAdmin, Some("staff: lena")).await;
        let all = world.notices("ahmed").await;
        let [ended, farewell] = &all[1..] else { panic!("{all:?}") };
        assert_eq!((&ended.event, ended.id == farewell.id), (&farewell.event, false), "{}", world.name());
        assert_eq!(farewell.event.session_id, phone.session.id);
        assert_eq!(farewell.event.actor.as_deref(), Some("staff: lena"));
    }
}

#[tokio::test]
async fn by_a_hand_in_psql() {
    let world = World::on_postgres(|builder| builder).await;
    let sql = world.sql().unwrap();
    let set = "UPDATE device_sessions.sessions SET ended_at =";
    for (user, statement, told) in [
        ("ended", format!("{set} now()"), Some("revoked_by_admin")),
        ("with-a-reason", format!("{set} now(), end_reason = 'fraud'"), Some("fraud")),
        ("long-ago", format!("{set} '-infinity'"), Some("revoked_by_admin")),
        ("as-logged-out", format!("{set} now(), end_reason = 'logout'"), None),
        ("deleted", "DELETE FROM device_sessions.sessions".to_owned(), Some("revoked_by_admin")),
        ("replicated", format!("SET session_replication_role = replica; {set} now()"), Some("revoked_by_admin")),
    ] {
        let hand = async |phone: &SignedIn| {
            let statement = format!("{statement} WHERE id = '{}'; RESET session_replication_role", phone.session.id);
            sql.batch_execute(&statement).await.unwrap();
        };
        let mut expected = format!("session.ended {}", told.unwrap_or("logout"));
        if let Some(reason) = told {
            expected = format!("force_logout {user} {reason}, {expected}");
        }
        assert_eq!(told_of(&world, user, hand).await, expected, "{user}");
    }
    let truncate = async |_: &SignedIn| sql.batch_execute("TRUNCATE device_sessions.sessions").await.unwrap();
    assert_eq!(told_of(&world, "truncated", truncate).await, "", "nobody knows whose they were; and it is forgotten");
}

/// A thousand of them, and each is told once.
#[tokio::test]
async fn by_the_thousand() {
    let world = World::on_postgres(|builder| builder).await;
    let sql = world.sql().unwrap();
    let now = OffsetDateTime::now_utc();
    let many = (0..1_000).map(|n| ImportSession::new(SessionId::new(), format!("user-{n}"), now));
    assert_eq!(world.nodes[0].import(many).await.unwrap(), 1_000);
    let fill = "INSERT INTO device_sessions.push_targets SELECT id, 'fcm', user_id FROM device_sessions.sessions";
    assert_eq!(sql.execute(fill, &[]).await.unwrap(), 1_000);
    let everyone = SessionFilter::everyone();
    let ended = world.nodes[1].admin().end(&everyone, EndReason::RevokedByAdmin, "staff: lena").await.unwrap();
    world.settled().await;
    let pushed: BTreeSet<_> = world.push.texts().into_iter().collect();
    println!("{ended} ended, {} told, {} targets left", pushed.len(), kept(sql).await.len());
    assert_eq!((ended, pushed.len(), world.push.texts().len(), kept(sql).await.len()), (1_000, 1_000, 1_000, 0));
}

/// Neither is a pending one told, nor one that somebody else has come to be reached at since.
#[tokio::test]
async fn whose_it_is_when_it_ends() {
    for world in World::both().await {
        let (phone, lena) = (world.on("ahmed", "phone").await, world.on("lena", "phone").await);
        world.is_reached(&phone, "the-phone").await;
        world.is_reached(&lena, "the-phone").await;
        world.end(phone.session.id, EndReason::RevokedByAdmin, None).await;
        assert_eq!(world.since("ahmed", &[]).await, "session.created, session.ended revoked_by_admin");
        let half = world.sign_in(SignIn::new("lena").client(caller("tablet", None)).second_factor_to_come()).await;
        let target = Some(PushTarget::new("fcm", "the-tablet"));
        assert!(world.nodes[0].set_push_target(half.session.id, target).await.is_err());
        let all = EndTarget::All { user: "lena".into(), caller: None };
        world.nodes[0].end(all, EndReason::RevokedByUser, None).await.unwrap();
        let told = "force_logout the-phone revoked_by_user, session.created, session.ended revoked_by_user";
        assert_eq!(world.since("lena", &[]).await, told);
    }
}
