//! The database is away, and what is written where.

use axum::http::Method;
use axum_device_sessions::{PostgresStore, SessionId, SessionStore as _, UserId};
use uuid::Uuid;

use super::{
    gate::Gate,
    get,
    http::on,
    log,
    notified::{Base, World, application},
    post,
    proxy::Proxy,
    support::eventually,
};

/// What cannot be found out is not "too late".
#[tokio::test]
async fn while_the_database_is_away() {
    let world = World::on_postgres(|builder| builder).await;
    let (laptop, link) = world.somebody_signs_in("ahmed").await;
    let Base::Postgres(db, _) = &world.base else { panic!("on Postgres") };
    let gate = Gate::to(db.url()).await;
    let store = PostgresStore::connect(&gate.url(db.url())).await.unwrap();
    let app = application(&on(store).build().await.unwrap());
    assert_eq!(get(&app, &link).await.status, 200);
    gate.shut();
    for answer in [get(&app, &link).await, post(&app, &link).await] {
        assert_eq!(answer.line(), "503 temporarily_unavailable");
    }
    assert_eq!(get(&app, "garbage").await.status, 410, "for which nobody has to be asked");
    gate.open();
    eventually("it is back", async || get(&app, &link).await.status == 200).await;
    assert_eq!(world.asks(0, Method::GET, "/me", &laptop).await.line(), "200 ahmed", "nothing has happened");
    assert_eq!(post(&app, &link).await.status, 200, "and it was not used up");
}

/// BEGIN fails and its connection lives, as where it alone is cancelled: the link is not used up. The control is a statement that is
/// sent along with BEGIN: it is carried out, by itself.
#[tokio::test]
async fn while_no_transaction_can_begin() {
    let world = World::on_postgres(|builder| builder).await;
    let (laptop, link) = world.somebody_signs_in("ahmed").await;
    let Base::Postgres(db, sql) = &world.base else { panic!("on Postgres") };
    let proxy = Proxy::to(db.url()).await;
    let url = proxy.url(db.url());
    let store = PostgresStore::connect(&url).await.unwrap();
    let app = application(&on(PostgresStore::connect(&url).await.unwrap()).build().await.unwrap());
    let ids = "SELECT id FROM device_sessions.sessions WHERE user_id = 'ahmed' AND device_name <> 'Mine'";
    let id: Uuid = sql.query(ids, &[]).await.unwrap()[0].get(0);

    proxy.spoil(Some("BEGIN ISOLATION"));
    assert_eq!(post(&app, &link).await.line(), "503 temporarily_unavailable");
    let renamed = store.rename(SessionId::from(id), &UserId::from("ahmed"), "Mine").await;
    assert!(renamed.is_err(), "nothing can begin");
    let name = "SELECT device_name FROM device_sessions.sessions WHERE id = $1";
    assert_eq!(sql.query_one(name, &[&id]).await.unwrap().get::<_, String>(0), "Mine", "the control");
    proxy.spoil(None);

    assert_eq!(world.asks(0, Method::GET, "/me", &laptop).await.line(), "200 ahmed", "nothing has happened");
    assert_eq!(post(&app, &link).await.status, 200, "and it was not used up");
}

/// Whoever reads the log, or the database, cannot press the button.
#[tokio::test]
async fn nothing_of_it_is_in_the_log_or_in_the_database() {
    let log = log::of_this_process();
    for world in World::both().await {
        let (laptop, link) = world.somebody_signs_in("ahmed").await;
        world.is_reached(&laptop, "the-token-of-the-laptop").await;
        let mut printed = format!("{:?}", world.nodes[0].alert(&link).await.unwrap());
        printed.extend(world.notices("ahmed").await.iter().map(|notice| format!("{notice:?}")));
        printed.push_str(&format!("{:?}", world.nodes[0].alert("garbage").await.unwrap_err()));
        printed.push_str(&format!("{:?}", world.nodes[0].disown(&link).await.unwrap()));
        printed.push_str(&format!("{:?}", world.nodes[0].disown(&link).await.unwrap_err()));
        printed.extend(world.notices("ahmed").await.iter().map(|notice| format!("{notice:?}")));
        printed.push_str(&serde_json::to_string(&world.notices("ahmed").await.last().unwrap().event).unwrap());
        if let Some(sql) = world.sql() {
            let all = "SELECT string_agg(a::text, ' ') || (SELECT coalesce(string_agg(o::text, ' '), '') \
                       FROM device_sessions.outbox o) FROM device_sessions.alerts a";
            printed.push_str(&sql.query_one(all, &[]).await.unwrap().get::<_, String>(0));
        }
        let logged = log.text();
        assert!(logged.contains("an unusual sign-in"), "the log is there");
        printed.push_str(&logged);
        for secret in [link.as_str(), &link[..20], &link[link.len() - 20..], "the-token-of-the-laptop"] {
            assert!(!printed.contains(secret), "{}: {secret}", world.name());
        }
    }
}
