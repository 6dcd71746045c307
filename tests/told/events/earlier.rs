//! A role whose grants are those of the version before: its nodes go on beside new ones during a deployment, and a new one says
//! at its start what is missing, not to the first user with a new device.

use axum_device_sessions::{PostgresStore, store::MIGRATIONS};
use tokio_postgres::NoTls;

use crate::{http::on, notices::Told, support::TestDb};

/// As `docs/database.md` had it for version 6.
const GRANTS: &str = "GRANT USAGE ON SCHEMA device_sessions TO app; \
    GRANT SELECT, INSERT, UPDATE, DELETE ON device_sessions.sessions TO app; \
    GRANT SELECT, INSERT, UPDATE, DELETE ON device_sessions.devices, device_sessions.countries TO app; \
    GRANT SELECT, INSERT, UPDATE ON device_sessions.upkeep TO app; \
    GRANT SELECT ON device_sessions.migrations TO app";

#[tokio::test]
async fn old_nodes_go_on_and_new_ones_say_what_is_missing() {
    let db = TestDb::new().await;
    let owner = db.connect().await;
    for migration in &MIGRATIONS[..6] {
        owner.batch_execute(migration.sql).await.unwrap();
    }
    let role = format!("app_{}", db.name());
    owner.batch_execute(&format!("CREATE ROLE {role} LOGIN")).await.unwrap();
    owner.batch_execute(&GRANTS.replace(" TO app", &format!(" TO {role}"))).await.unwrap();
    let url = db.url().replacen("postgres@", &format!("{role}@"), 1);
    let (theirs, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let row = |pending: bool| {
        format!(
            "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type, pending) \
             VALUES (gen_random_uuid(), 'ahmed', now() + interval '1 day', 'Chrome on Windows', 'web', {pending})"
        )
    };
    theirs.batch_execute(&row(true)).await.unwrap();

    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    let told = Told::everything();
    let new = on(store).notify("test", told.clone()).build().await.unwrap();
    // What nodes of version 6 write, by the rights that they have: it is told by the new one.
    theirs.batch_execute("UPDATE device_sessions.sessions SET pending = false, replaces = NULL").await.unwrap();
    theirs.batch_execute(&row(false)).await.unwrap();
    theirs.batch_execute("UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'logout'").await.unwrap();
    let mut texts: Vec<_> = told.count(4).await.iter().map(crate::notices::text).collect();
    texts.sort();
    assert_eq!(texts, ["session.created", "session.created", "session.ended logout", "session.ended logout"]);

    let error = on(PostgresStore::connect(&url).await.unwrap()).build().await.unwrap_err();
    let text = format!("{error} {:?}", std::error::Error::source(&error));
    assert!(text.contains("docs/database.md") && text.contains("alerts, outbox, push_targets, sinks"), "{text}");
    let grants = "GRANT SELECT, INSERT, UPDATE, DELETE ON device_sessions.sinks, device_sessions.outbox, \
        device_sessions.push_targets, device_sessions.alerts TO app";
    owner.batch_execute(&grants.replace(" TO app", &format!(" TO {role}"))).await.unwrap();
    on(PostgresStore::connect(&url).await.unwrap()).build().await.unwrap().shutdown().await.unwrap();
    new.shutdown().await.unwrap();
    connection.abort();
}
