//! What happens is told to those who want to know, in order, whoever made it happen.

#![cfg(feature = "postgres")]

use axum_device_sessions::{
    AccessTokens, EndReason, EndTarget, MemoryStore, PostgresStore, PushTarget, Sessions, SessionsBuilder, SignIn,
    Wants,
};
use notices::Told;
use support::TestDb;

use crate::{notices, support};

const SECRET: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

fn with(builder: SessionsBuilder) -> SessionsBuilder {
    builder.access_tokens(AccessTokens::hs256(SECRET).unwrap())
}

async fn postgres(db: &TestDb) -> SessionsBuilder {
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    with(Sessions::builder(store))
}

async fn on_both(test: impl AsyncFn(SessionsBuilder)) {
    let db = TestDb::new().await;
    test(postgres(&db).await).await;
    test(with(Sessions::builder(MemoryStore::new()))).await;
}

#[tokio::test]
async fn the_life_of_a_session() {
    on_both(async |builder| {
        let told = Told::everything();
        let sessions = builder.notify("test", told.clone()).build().await.unwrap();
        let user = "ahmed".into();
        let signed_in = sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
        let id = signed_in.session.id;
        sessions.refresh(&signed_in.refresh_token, None).await.unwrap();
        sessions.rename(&user, id, "My phone").await.unwrap();
        let one = EndTarget::One { id, user: None };
        sessions.end(one, EndReason::RevokedByAdmin, Some("support".to_owned())).await.unwrap();
        let notices = told.count(4).await;
        let expected = ["session.created", "session.refreshed", "session.renamed", "session.ended revoked_by_admin"];
        assert_eq!(told.texts(), expected);
        assert!(notices.iter().all(|notice| notice.event.session_id == id && notice.event.user_id == user));
        assert_eq!(notices[3].event.actor.as_deref(), Some("support"));
        assert_eq!(notices[3].event.device_name, "My phone");
        assert_eq!(notices[0].event.device_name, signed_in.session.device.name);
    })
    .await;
}

#[tokio::test]
async fn the_device_that_is_signed_out_is_told_by_push_and_forgotten() {
    on_both(async |builder| {
        let (phone, told) = (Told::of(Wants::push("fcm")), Told::everything());
        let sessions = builder.notify("phone", phone.clone()).notify("test", told.clone()).build().await.unwrap();
        let id = sessions.sign_in(SignIn::new("ahmed")).await.unwrap().session.id;
        sessions.set_push_target(id, Some(PushTarget::new("fcm", "token-1"))).await.unwrap();
        sessions.end(EndTarget::One { id, user: None }, EndReason::RevokedByUser, None).await.unwrap();
        told.count(2).await;
        phone.count(1).await;
        assert_eq!(phone.texts(), ["force_logout token-1 revoked_by_user"]);
        assert!(sessions.set_push_target(id, None).await.is_err(), "the session has ended");
    })
    .await;
}

/// Whatever role does it.
#[tokio::test]
async fn a_hand_in_psql_is_told_too() {
    let db = TestDb::new().await;
    let told = Told::everything();
    let sessions = postgres(&db).await.notify("test", told.clone()).build().await.unwrap();
    let session = sessions.sign_in(SignIn::new("ahmed")).await.unwrap().session;
    let sql = db.connect().await;
    let role = format!(
        "CREATE ROLE hand_{0}; GRANT USAGE ON SCHEMA device_sessions TO hand_{0}; \
         GRANT SELECT, UPDATE ON device_sessions.sessions TO hand_{0}; SET ROLE hand_{0}; \
         BEGIN; UPDATE device_sessions.sessions SET ended_at = now(); ROLLBACK; \
         UPDATE device_sessions.sessions SET ended_at = now()",
        db.name()
    );
    sql.batch_execute(&role).await.unwrap();
    let notices = told.count(2).await;
    assert_eq!(told.texts(), ["session.created", "session.ended revoked_by_admin"]);
    assert_eq!(notices[1].event.session_id, session.id);
    assert_eq!(notices[1].event.actor.as_deref(), Some("postgres"), "the role that connected");
}

#[tokio::test]
async fn a_stream_in_this_process() {
    on_both(async |builder| {
        let sessions = builder.build().await.unwrap();
        sessions.sign_in(SignIn::new("before")).await.unwrap();
        let mut events = sessions.events().await.unwrap();
        let id = sessions.sign_in(SignIn::new("ahmed")).await.unwrap().session.id;
        let event = events.next().await.unwrap().unwrap();
        assert_eq!((event.kind.as_str(), event.session_id), ("session.created", id));
        sessions.shutdown().await.unwrap();
        assert!(events.next().await.is_none());
    })
    .await;
}
