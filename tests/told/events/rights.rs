//! What the role of an application may, as the documentation grants it, is enough for all of this.

use axum_device_sessions::{Delivery, PostgresStore, PushTarget, SessionsBuilder, SignIn, Wants, store::Retention};

use crate::{
    http::on,
    notices::Told,
    notified::{Base, MOSCOW, World, caller},
    support::TestDb,
};

const DOCUMENTED: &str = include_str!("../../../docs/database.md");

#[tokio::test]
async fn of_the_role_that_the_documentation_describes() {
    let db = TestDb::new().await;
    PostgresStore::connect(db.url()).await.unwrap().migrate().await.unwrap();
    let role = format!("app_{}", db.name());
    let grants: Vec<_> = DOCUMENTED.lines().filter(|line| line.starts_with("GRANT ")).collect();
    assert!(grants.len() >= 5, "{grants:?}");
    let admin = db.connect().await;
    admin.batch_execute(&format!("CREATE ROLE {role} LOGIN")).await.unwrap();
    for grant in grants {
        admin.batch_execute(&grant.replace(" TO app;", &format!(" TO {role};"))).await.unwrap();
    }
    let url = db.url().replacen("postgres@", &format!("{role}@"), 1);
    assert_ne!(url, db.url());
    let store = async || PostgresStore::connect(&url).await.unwrap();
    let plain = on(store().await).build().await.unwrap();
    plain.sign_in(SignIn::new("sam").client(caller("phone", None))).await.unwrap();
    // Nobody is to be told yet, and it is unusual all the same.
    plain.sign_in(SignIn::new("sam").client(caller("laptop", None))).await.unwrap();

    let settings = |builder: SessionsBuilder| builder.delivery(Delivery::default());
    let builder = settings(on(store().await));
    let world = World::of([builder], Told::of(Wants::push("fcm")), Base::Postgres(db, admin)).await;
    let phone = world.on("ahmed", "phone").await;
    world.is_reached(&phone, "phone").await;
    let laptop = world.sign_in(SignIn::new("ahmed").client(caller("laptop", MOSCOW))).await;
    world.nodes[0].set_push_target(laptop.session.id, Some(PushTarget::new("fcm", "laptop"))).await.unwrap();
    world.nodes[0].set_push_target(phone.session.id, None).await.unwrap();
    world.nodes[0].disown(&world.link("ahmed").await).await.unwrap();
    let told = "force_logout laptop revoked_by_alert, login.disowned, login.new_device, mail, new_login phone, \
                2 session.created, session.ended revoked_by_alert";
    assert_eq!(world.since("ahmed", &[]).await, told);
    assert_eq!(world.nodes[0].admin().dead_letters(None).await.unwrap().len(), 0);
    assert_eq!(world.nodes[0].admin().deliver_again([1]).await.unwrap(), 0);
    let mut events = world.nodes[0].events().await.unwrap();
    world.on("lena", "phone").await;
    assert_eq!(events.next().await.unwrap().unwrap().user_id.as_str(), "lena");
    let day = std::time::Duration::from_secs(86_400);
    axum_device_sessions::SessionStore::purge(&store().await, Retention::new(day, day)).await.unwrap();
}
