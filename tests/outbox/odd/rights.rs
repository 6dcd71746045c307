//! Who may make others believe what: nobody but the trigger; and two who claim the same device.

use std::sync::Arc;

use axum_device_sessions::{PushTarget, SignIn, Wants};

use super::{builder, notices::Told, outbox, support::TestDb};

/// A role that may use the schema and make tables of its own makes up no events.
#[tokio::test]
async fn nobody_makes_up_what_happened() {
    let db = TestDb::new().await;
    let sessions = builder(&db).await.notify("test", Told::everything()).build().await.unwrap();
    sessions.shutdown().await.unwrap();
    let sql = db.connect().await;
    let role = format!(
        "CREATE ROLE liar_{0}; GRANT USAGE ON SCHEMA device_sessions TO liar_{0}; \
         GRANT SELECT ON device_sessions.sessions TO liar_{0}; CREATE SCHEMA liar AUTHORIZATION liar_{0}; \
         SET ROLE liar_{0}; CREATE TABLE liar.sessions (LIKE device_sessions.sessions INCLUDING DEFAULTS)",
        db.name()
    );
    sql.batch_execute(&role).await.unwrap();
    let lie = "INSERT INTO liar.sessions (id, user_id, expires_at, device_name, device_type) \
        VALUES (gen_random_uuid(), 'ahmed', now(), 'a lie', 'web')";
    sql.batch_execute(lie).await.unwrap();
    let refused = async |statement: &str| match sql.batch_execute(statement).await {
        Ok(()) => panic!("{statement}: allowed"),
        Err(error) => assert_eq!(error.as_db_error().unwrap().code().code(), "42501", "{statement}: {error}"),
    };
    refused(
        "CREATE TRIGGER lie AFTER DELETE ON liar.sessions FOR EACH ROW EXECUTE FUNCTION device_sessions.tell_events(); \
         DELETE FROM liar.sessions",
    )
    .await;
    refused("SELECT device_sessions.tell_of(s, 'session.ended', '{}') FROM device_sessions.sessions s").await;
    refused("INSERT INTO device_sessions.outbox DEFAULT VALUES").await;
    sql.batch_execute("RESET ROLE").await.unwrap();
    assert_eq!(outbox::letters(&sql).await, 0);
}

/// An app that signs in twice at once sends its token with both: the later one counts, and none is told that it is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_is_claimed_twice_at_once_belongs_to_one() {
    let db = TestDb::new().await;
    let sessions = builder(&db).await.notify("phone", Told::of(Wants::push("fcm"))).build().await.unwrap();
    let mut ids = Vec::new();
    for user in ["ahmed", "lena", "mira"] {
        ids.push(sessions.sign_in(SignIn::new(user)).await.unwrap().session.id);
    }
    let sql = db.connect().await;
    for round in 0..30 {
        let barrier = Arc::new(tokio::sync::Barrier::new(ids.len()));
        let claims = ids.iter().map(|id| {
            let (sessions, barrier, id) = (sessions.clone(), Arc::clone(&barrier), *id);
            tokio::spawn(async move {
                barrier.wait().await;
                sessions.set_push_target(id, Some(PushTarget::new("fcm", format!("token-{round}")))).await
            })
        });
        for claim in claims.collect::<Vec<_>>() {
            claim.await.unwrap().unwrap();
        }
        let sql = sql.query("SELECT token FROM device_sessions.push_targets", &[]).await.unwrap();
        let tokens: Vec<String> = sql.iter().map(|row| row.get(0)).collect();
        assert_eq!(tokens, [format!("token-{round}")]);
    }
}
