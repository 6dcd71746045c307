//! Setting it and taking it back.

use axum::http::Method;
use axum_device_sessions::{ErrorKind, NotDelivered, PostgresStore, PushTarget, SessionId, Wants};

use super::{
    PATH, by,
    http::{ask, on},
    is_problem, kept,
    notices::Told,
    notified::{Base, World},
    put, put_text, reached,
    support::{TestDb, eventually},
};

#[tokio::test]
async fn one_for_each_session() {
    for world in World::both().await {
        let (phone, tablet) = (world.on("ahmed", "phone").await, world.on("ahmed", "tablet").await);
        let app = &world.apps[1];
        let set = async |signed_in, token| {
            let answer = put(app, &by(signed_in), "fcm", token).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (204, ""));
        };
        let forget = async |signed_in| {
            for _also_where_there_is_none in 0..2 {
                let answer = ask(app, Method::DELETE, PATH, &by(signed_in)).await;
                assert_eq!((answer.status.as_u16(), answer.text()), (204, ""));
            }
        };
        // Each of these signs in on a new device, and no more than three of those are told in an hour.
        let later = async || world.later(std::time::Duration::from_secs(2 * 3_600)).await;
        set(&phone, "one").await;
        set(&phone, "one").await;
        assert_eq!(reached(&world, "ahmed", "a").await, ["one"]);
        set(&phone, "two").await;
        later().await;
        assert_eq!(reached(&world, "ahmed", "b").await, ["two"], "set anew, the one before is forgotten");
        set(&tablet, "three").await;
        later().await;
        assert_eq!(reached(&world, "ahmed", "c").await, ["three", "two"]);
        set(&tablet, "two").await;
        later().await;
        assert_eq!(reached(&world, "ahmed", "d").await, ["two"], "the same app, now in another session");
        if let Some(sql) = world.sql() {
            assert_eq!(kept(sql).await, [(tablet.session.id.to_string(), "two".to_owned())]);
        }
        // Whoever signed in to the app after them gets it, and they do not.
        let lena = world.on("lena", "the same phone").await;
        set(&lena, "two").await;
        later().await;
        assert_eq!(reached(&world, "ahmed", "e").await, Vec::<String>::new());
        assert_eq!(reached(&world, "lena", "e").await, ["two"]);
        forget(&tablet).await;
        later().await;
        assert_eq!(reached(&world, "lena", "f").await, ["two"], "of another session");
        forget(&lena).await;
        later().await;
        assert_eq!(reached(&world, "lena", "g").await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn who_may_not() {
    for world in World::both().await {
        let phone = world.on("ahmed", "phone").await;
        for app in &world.apps {
            is_problem(&put(app, &[], "fcm", "secret-token").await, "401 missing_token");
            is_problem(&ask(app, Method::DELETE, PATH, &[]).await, "401 missing_token");
            is_problem(&put(app, &[super::bearer("garbage")], "fcm", "secret-token").await, "401 invalid_token");
        }
        let half = axum_device_sessions::SignIn::new("ahmed").second_factor_to_come();
        let half = world.sign_in(half).await;
        is_problem(&put(&world.apps[0], &by(&half), "fcm", "secret-token").await, "401 second_factor_required");
        let target = || Some(PushTarget::new("fcm", "secret-token"));
        for id in [half.session.id, SessionId::new()] {
            let refused = world.nodes[0].set_push_target(id, target()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidToken);
            assert!(!format!("{refused:?} {refused}").contains("secret-token"));
        }
        world.end(phone.session.id, axum_device_sessions::EndReason::RevokedByUser, None).await;
        let line = "401 session_ended revoked_by_user";
        is_problem(&put(&world.apps[0], &by(&phone), "fcm", "secret-token").await, line);
        assert!(world.nodes[0].set_push_target(phone.session.id, target()).await.is_err());
        assert_eq!(reached(&world, "ahmed", "laptop").await, Vec::<String>::new());
    }
}

/// By cookie, from a page of another site: it would have the farewell sent elsewhere.
#[tokio::test]
async fn another_sites_page_may_not() {
    let [world, _] = World::both().await;
    let phone = world.on("ahmed", "phone").await;
    let token = super::http::COOKIE.of(phone.session.id);
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("same-origin", 204), ("none", 204)] {
        let sent = [super::http::cookie(&token), ("sec-fetch-site", site.to_owned())];
        assert_eq!(put(&world.apps[0], &sent, "fcm", "one").await.status, status, "PUT {site}");
        assert_eq!(ask(&world.apps[0], Method::DELETE, PATH, &sent).await.status, status, "DELETE {site}");
    }
    let sent = [super::http::cookie(&token), ("sec-fetch-site", "cross-site".to_owned())];
    assert_eq!(put(&world.apps[0], &sent, "fcm", "one").await.line(), "403 cross_site_request");
}

#[tokio::test]
async fn what_can_be_none() {
    let long = |len: usize| "t".repeat(len);
    for world in World::both().await {
        let sent = by(&world.on("ahmed", "phone").await);
        let app = &world.apps[0];
        for (provider, token) in [
            ("apns", "good".to_owned()), // nobody here pushes to it
            ("", "good".to_owned()),
            ("FCM", "good".to_owned()),
            ("fcm ", "good".to_owned()),
            ("fcm", String::new()),
            ("fcm", long(2_049)),
            ("fcm", "with space".to_owned()),
            ("fcm", "new\nline".to_owned()),
            ("fcm", "nul\0".to_owned()),
            ("fcm", "ungültig".to_owned()),
            ("events", "good".to_owned()), // a notifier's name is no provider
        ] {
            let answer = put(app, &sent, provider, &token).await;
            assert_eq!(answer.status, 422, "{provider} {token}");
        }
        for body in
            ["", "null", "{}", "[]", "\"fcm\"", "{\"provider\":\"fcm\"}", "{\"provider\":1,\"token\":\"a\"}", "{"]
        {
            assert_eq!(put_text(app, &sent, body).await.status, 422, "{body}");
        }
        assert_eq!(put_text(app, &sent, vec![0xff; 10]).await.status, 422);
        assert_eq!(put_text(app, &sent, long(100_000)).await.status, 422);
        // FCM's have about 160 characters, APNs' are of variable length.
        for token in [long(1), long(163), long(2_048)] {
            assert_eq!(put(app, &sent, "fcm", &token).await.status, 204);
        }
        if let Some(sql) = world.sql() {
            assert_eq!(kept(sql).await.len(), 1, "the last one");
        }
    }
}

/// The provider says that there is no such device: that one is forgotten, and no other; what waits for it is too.
#[tokio::test]
async fn one_that_is_gone() {
    let answer = |notice: &axum_device_sessions::Notice| match &notice.message {
        axum_device_sessions::Message::NewLogin { target } | axum_device_sessions::Message::ForceLogout { target }
            if target.token.starts_with("gone") =>
        {
            Err(NotDelivered::gone("UNREGISTERED"))
        }
        _ => Ok(()),
    };
    let push = || Told::answering(Wants::push("fcm"), answer);
    let db = TestDb::new().await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    let sql = db.connect().await;
    let clock = axum_device_sessions::Clock::manual();
    let memory = axum_device_sessions::MemoryStore::with_clock(clock.clone());
    for world in [
        World::of([on(store)], push(), Base::Postgres(db, sql)).await,
        World::of([on(memory).clock(clock.clone())], push(), Base::Memory(clock)).await,
    ] {
        for (device, token) in [("phone", "gone"), ("tablet", "there")] {
            world.is_reached(&world.on("ahmed", device).await, token).await;
        }
        let lena = world.on("lena", "phone").await;
        world.is_reached(&lena, "gone-too").await;
        assert_eq!(reached(&world, "ahmed", "laptop").await, ["there"]);
        assert_eq!(reached(&world, "ahmed", "watch").await, ["there"]);
        if let Some(sql) = world.sql() {
            eventually("the one is gone", async || kept(sql).await.len() == 2).await;
            world.settled().await;
            let dead = "SELECT count(*) FROM device_sessions.outbox";
            assert_eq!(sql.query_one(dead, &[]).await.unwrap().get::<_, i64>(0), 0, "no dead letters of it");
        }
        // A farewell, too.
        world.end(lena.session.id, axum_device_sessions::EndReason::RevokedByUser, None).await;
        assert_eq!(world.since("lena", &[]).await, "session.created, session.ended revoked_by_user");
    }
}
