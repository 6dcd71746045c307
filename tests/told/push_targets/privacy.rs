//! A token is the provider's, for one app on one device: it is in no list, no event, no log and no error.

use axum_device_sessions::{
    Clock, EndReason, MemoryStore, NotDelivered, PostgresStore, PushTarget, SessionFilter, Wants,
};

use super::{
    by,
    http::{get, on},
    log,
    notices::Told,
    notified::{Base, World},
    put,
    support::{TestDb, eventually},
};

const SECRET: &str = "secret-token-of-the-phone";

#[tokio::test]
async fn nobody_is_shown_it() {
    let log = log::of_this_process();
    let refusing = || Told::answering(Wants::push("fcm"), |_| Err(NotDelivered::refused("a wrong key")));
    let db = TestDb::new().await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    let sql = db.connect().await;
    let clock = Clock::manual();
    let memory = on(MemoryStore::with_clock(clock.clone())).clock(clock.clone());
    for world in [
        World::of([on(store)], refusing(), Base::Postgres(db, sql)).await,
        World::of([memory], refusing(), Base::Memory(clock)).await,
    ] {
        let mut seen = Vec::new();
        let phone = world.on("ahmed", "phone").await;
        let answer = put(&world.apps[0], &by(&phone), "fcm", SECRET).await;
        seen.push(format!("{answer:?}"));
        seen.push(format!("{:?}", PushTarget::new("fcm", SECRET)));
        for path in ["/sessions", "/sessions/current"] {
            seen.push(get(&world.apps[0], path, &by(&phone)).await.text().to_owned());
        }
        let node = &world.nodes[0];
        seen.push(format!("{:?}", node.admin().list(&SessionFilter::everyone(), None).await.unwrap()));
        seen.push(format!("{node:?}"));
        let laptop = world.on("ahmed", "laptop").await;
        world.end(phone.session.id, EndReason::RevokedByUser, None).await;
        seen.push(get(&world.apps[0], "/sessions?state=ended", &by(&laptop)).await.text().to_owned());
        let dead = async || node.admin().dead_letters(None).await.unwrap().len() == 2;
        eventually("an alert and a farewell that cannot be delivered", dead).await;
        let dead = node.admin().dead_letters(None).await.unwrap();
        let purposes: Vec<_> = dead.iter().map(|letter| letter.purpose).collect();
        assert_eq!(purposes, ["new_login", "force_logout"]);
        seen.push(format!("{dead:?}"));
        let told = async || world.events.texts().contains(&"session.ended revoked_by_user".to_owned());
        eventually("the end is told", told).await;
        for notice in [world.events.notices(), world.mail.notices()].concat() {
            seen.push(format!("{notice:?} {}", serde_json::to_string(&notice.event).unwrap()));
        }
        seen.push(format!("{:?}", node.set_push_target(phone.session.id, Some(PushTarget::new("fcm", SECRET))).await));
        seen.push(format!("{:?}", node.set_push_target(laptop.session.id, Some(PushTarget::new("x", SECRET))).await));
        let logged = log.text();
        assert!(logged.contains("not delivered, and not tried again"), "the log is there");
        seen.push(logged);
        for text in seen {
            assert!(!text.contains(SECRET), "{}: {text}", world.name());
        }
    }
}
