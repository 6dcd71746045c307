//! What an alert says, and what does not come to be told.

use axum_device_sessions::{
    DeviceType, EndReason, EndTarget, ErrorKind, Message, OnLimit, PostgresStore, SessionId, SessionStore, Sessions,
    SignIn, SignInPolicy, Signal, store::Retention,
};
use time::{Duration, OffsetDateTime};

use crate::{
    http::on,
    notices::Told,
    notified::{Base, MOSCOW, World, caller},
    support::{TestDb, eventually},
};

/// The same in each of them: which device, where, when; and of one event.
#[tokio::test]
async fn device_place_and_time() {
    for world in World::both().await {
        let phone = world.on("ahmed", "phone").await;
        world.is_reached(&phone, "phone").await;
        let laptop = world.sign_in(SignIn::new("ahmed").client(caller("laptop", MOSCOW))).await;
        let notices = world.notices("ahmed").await;
        let of_alert: Vec<_> =
            notices.iter().filter(|notice| notice.event.kind.as_str() == "login.new_device").collect();
        assert_eq!(of_alert.len(), 3, "the event, the phone, the mail");
        for notice in &of_alert {
            let event = &notice.event;
            assert_eq!(event.session_id, laptop.session.id);
            assert_eq!((event.device_name.as_str(), &event.device_type), ("Unknown device", &DeviceType::Other));
            assert_eq!(event.ip_address.map(|ip| ip.to_string()).as_deref(), MOSCOW);
            assert_eq!(event.location.as_deref(), Some("Moscow, Russia"));
            assert_eq!(event.country_code.as_deref(), Some("RU"));
            assert_eq!(event.signals, [Signal::NewDevice]);
            assert!((event.at - OffsetDateTime::now_utc()).abs() < Duration::MINUTE, "{}", event.at);
            assert_eq!(event.id, of_alert[0].event.id, "{}: one event, whoever is told of it", world.name());
        }
        let ids: std::collections::BTreeSet<_> = notices.iter().map(|notice| notice.id).collect();
        assert_eq!(ids.len(), notices.len(), "each notice has an id of its own");
        // No device is given the link: whoever signs in first on a stolen phone could say what they like.
        let texts = of_alert.iter().map(|notice| format!("{:?} {}", notice.message, notice.event.device_name));
        assert!(texts.clone().all(|text| !text.contains("https://") && !text.contains("phone")), "{texts:?}");
    }
}

/// Also where it is known what was unusual from the row alone: it was on the other node, minutes ago.
#[tokio::test]
async fn the_signals_of_the_sign_in_are_told_when_it_is_confirmed() {
    for world in World::both().await {
        world.sign_in(SignIn::new("ahmed").client(caller("phone", MOSCOW))).await;
        let sign_in = SignIn::new("ahmed").client(caller("laptop", crate::notified::BERLIN)).failed_attempts(7);
        let half = world.sign_in(sign_in.policy(|_| SignInPolicy::RequireSecondFactor)).await;
        let kinds = |signals: &[Signal]| signals.iter().map(Signal::kind).collect::<Vec<_>>();
        let expected = ["new_device", "new_country", "impossible_travel", "failures_before"];
        assert_eq!(kinds(&half.signals), expected);
        assert_eq!(world.asks(1, http::Method::POST, "/confirm", &half).await.status, 200);
        for kind in ["login.new_device", "login.suspicious"] {
            let told = world.events_of("ahmed", kind).await;
            assert_eq!(told.len(), 1, "{kind}");
            // In whole seconds, as everybody is told them.
            let json = |signals: &[Signal]| serde_json::to_value(signals).unwrap();
            assert_eq!(json(&told[0].event.signals), json(&half.signals), "{}: {kind}", world.name());
        }
        if let Some(sql) = world.sql() {
            let kept = "SELECT count(*) FROM device_sessions.sessions WHERE signals IS NOT NULL";
            assert_eq!(sql.query_one(kept, &[]).await.unwrap().get::<_, i64>(0), 0, "not kept any longer");
        }
    }
}

#[tokio::test]
async fn a_sign_in_that_there_is_no_room_for_is_not_told() {
    let limited = |builder: axum_device_sessions::SessionsBuilder| builder.max_sessions_per_user(1, OnLimit::Refuse);
    for world in [World::on_postgres(limited).await, World::in_memory(limited).await] {
        let phone = world.on("ahmed", "phone").await;
        world.is_reached(&phone, "phone").await;
        let refused = world.nodes[0].sign_in(SignIn::new("ahmed").client(caller("laptop", None))).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::SessionLimit);
        assert_eq!(world.since("ahmed", &[]).await, "session.created");
        // Not known either, and told where there is room.
        world.end(phone.session.id, EndReason::Logout, None).await;
        world.on("ahmed", "laptop").await;
        let told = "login.new_device, mail, 2 session.created, session.ended logout";
        assert_eq!(world.since("ahmed", &[]).await, told);
    }
}

/// A session that has run out, and is not marked yet, is nobody's device any more.
#[tokio::test]
async fn a_session_that_has_run_out_is_not_told() {
    let world = World::on_postgres(|builder| builder).await;
    let phone = world.on("ahmed", "phone").await;
    world.is_reached(&phone, "phone").await;
    world.settled().await;
    let Base::Postgres(db, sql) = &world.base else { panic!("on Postgres") };
    // Nobody marks it meanwhile.
    let holder = db.connect().await;
    let turn = "SELECT pg_advisory_lock(hashtextextended('device_sessions upkeep', 0))::text";
    holder.query_one(turn, &[]).await.unwrap();
    sql.batch_execute("UPDATE device_sessions.sessions SET expires_at = now()").await.unwrap();
    world.on("ahmed", "laptop").await;
    let told = "login.new_device, mail, 2 session.created";
    assert_eq!(world.since("ahmed", &[]).await, told);
}

/// Nobody is told anything where nobody is to be, and nothing is kept.
#[tokio::test]
async fn without_a_notifier_nothing_is_recorded() {
    let db = TestDb::new().await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    let sessions: Sessions = on(store).build().await.unwrap();
    for device in ["phone", "laptop", "tablet"] {
        sessions.sign_in(SignIn::new("ahmed").client(caller(device, MOSCOW))).await.unwrap();
    }
    let all = EndTarget::All { user: "ahmed".into(), caller: None };
    sessions.end(all, EndReason::RevokedByAdmin, None).await.unwrap();
    let sql = db.connect().await;
    for table in ["outbox", "alerts", "sinks", "push_targets"] {
        let rows = format!("SELECT count(*) FROM device_sessions.{table}");
        assert_eq!(sql.query_one(&rows, &[]).await.unwrap().get::<_, i64>(0), 0, "{table}");
    }
}

/// In another schema, by a role that may not use the default one.
#[tokio::test]
async fn in_a_schema_of_another_name() {
    let db = TestDb::new().await;
    let at = async || PostgresStore::connect(db.url()).await.unwrap().schema("who_is_in").unwrap();
    at().await.migrate().await.unwrap();
    let (told, mail) = (Told::everything(), Told::of(axum_device_sessions::Wants::mail()));
    let builder = on(at().await).notify("events", told.clone()).notify("mail", mail.clone());
    let sessions = builder.build().await.unwrap();
    for device in ["phone", "laptop"] {
        sessions.sign_in(SignIn::new("ahmed").client(caller(device, None))).await.unwrap();
    }
    let session = axum_device_sessions::ImportSession::new(SessionId::new(), "ahmed", OffsetDateTime::now_utc());
    assert_eq!(sessions.import([session]).await.unwrap(), 1);
    told.count(3).await;
    let mails = mail.count(1).await;
    assert!(matches!(&mails[0].message, Message::NewLoginMail { disown_url: None }), "no address was given");
}

/// What was unusual about a sign-in says where somebody is; it goes with the rest of that.
#[tokio::test]
async fn what_is_kept_for_the_second_factor_is_scrubbed() {
    let world = World::on_postgres(|builder| builder).await;
    let Base::Postgres(db, sql) = &world.base else { panic!("on Postgres") };
    world.sign_in(SignIn::new("ahmed").client(caller("phone", MOSCOW))).await;
    let sign_in = SignIn::new("ahmed").client(caller("laptop", crate::notified::BERLIN)).second_factor_to_come();
    let half = world.sign_in(sign_in).await;
    let kept = async || {
        let kept = "SELECT signals::text FROM device_sessions.sessions WHERE id = $1";
        sql.query_one(kept, &[&half.session.id.as_uuid()]).await.unwrap().get::<_, Option<String>>(0)
    };
    assert!(kept().await.is_some_and(|signals| signals.contains("Moscow")));
    world.end(half.session.id, EndReason::RevokedByAdmin, None).await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    let retention = Retention::new(std::time::Duration::ZERO, std::time::Duration::from_secs(86_400));
    let scrubbed = async || {
        store.purge(retention).await.unwrap();
        kept().await.is_none()
    };
    eventually("scrubbed", scrubbed).await;
}

/// It says where somebody was: it goes when no link to it is good any more, and not before.
#[tokio::test]
async fn what_was_told_is_kept_for_as_long_as_its_link() {
    let world = World::on_postgres(|builder| builder).await;
    let Base::Postgres(db, sql) = &world.base else { panic!("on Postgres") };
    world.somebody_signs_in("ahmed").await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    let days = |days: u64| std::time::Duration::from_secs(days * 86_400);
    let kept = async || sql.query("SELECT FROM device_sessions.alerts", &[]).await.unwrap().len();
    // A node may be at it just now: then this does nothing.
    let is_gone = async || {
        store.purge(Retention::new(days(14), days(30))).await.unwrap();
        kept().await == 0
    };
    world.later(days(7)).await;
    store.purge(Retention::new(days(14), days(30))).await.unwrap();
    assert_eq!(kept().await, 1, "its link may still be good");
    world.later(days(1) + std::time::Duration::from_secs(60)).await;
    eventually("it is gone", is_gone).await;
}
