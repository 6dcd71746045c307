//! The schema: migrations, from one node and from many, and what the database itself protects whoever writes.

#![cfg(feature = "postgres")]

use std::time::Duration;

use axum_device_sessions::{
    AccessTokens, Device, EndReason, EndTarget, ErrorKind, PostgresStore, SessionId, SessionStore, Sessions,
    store::{Activity, EndRequest, MIGRATIONS, NewSession},
};
use deadpool_postgres::{Manager, Pool, Runtime};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, error::SqlState};

use crate::{
    node::{SECRET, end_in_row, migrated},
    support::TestDb,
};

async fn connect(db: &TestDb) -> PostgresStore {
    PostgresStore::connect(db.url()).await.expect("connect")
}

async fn count(db: &Client, sql: &str) -> i64 {
    db.query_one(sql, &[]).await.expect("counted").get(0)
}

/// A session of ahmed's, on the database.
async fn create(store: &PostgresStore) -> SessionId {
    let device = Device::named("Chrome on Windows");
    let new = NewSession::new(SessionId::new(), "ahmed".into(), device, Duration::from_secs(86_400));
    store.create(new).await.expect("created").id
}

#[tokio::test]
async fn twelve_nodes_migrate_an_empty_database_at_once() {
    for schema in ["device_sessions", "tenant_7"] {
        let db = TestDb::new().await;
        let mut nodes = JoinSet::new();
        for _ in 0..12 {
            let store = connect(&db).await.schema(schema).expect("a plain name");
            nodes.spawn(async move {
                store.migrate().await?;
                store.check().await
            });
        }
        for migrated in nodes.join_all().await {
            migrated.expect("no node fails");
        }
        let client = db.connect().await;
        let applied = count(&client, &format!("SELECT count(*) FROM {schema}.migrations")).await;
        assert_eq!(usize::try_from(applied).expect("a count"), MIGRATIONS.len(), "each once");
        let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('device_sessions', 'tenant_7')";
        assert_eq!(count(&client, schemas).await, 1, "and nothing elsewhere");
    }
}

/// The control of the test above: the same SQL without our lock.
#[tokio::test]
async fn without_the_lock_all_but_one_fail() {
    let db = TestDb::new().await;
    let mut nodes = JoinSet::new();
    for _ in 0..12 {
        let client = db.connect().await;
        nodes.spawn(async move { client.batch_execute(MIGRATIONS[0].sql).await.is_ok() });
    }
    let succeeded = nodes.join_all().await.into_iter().filter(|succeeded| *succeeded).count();
    assert_eq!(succeeded, 1);
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let db = TestDb::new().await;
    let store = migrated(&db).await;
    let client = db.connect().await;
    let id = create(&store).await;
    let catalog = "SELECT string_agg(xmin::text || oid::text, ',' ORDER BY oid) FROM pg_class";
    let rows = "SELECT string_agg(xmin::text || version, ',' ORDER BY version) FROM device_sessions.migrations";
    let mut seen = Vec::new();
    for _ in 0..2 {
        let catalog: String = client.query_one(catalog, &[]).await.expect("read").get(0);
        let rows: String = client.query_one(rows, &[]).await.expect("read").get(0);
        seen.push((catalog, rows));
        store.migrate().await.expect("migrate");
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(store.load(&[id]).await.expect("loaded").sessions.len(), 1);
}

async fn build(store: PostgresStore) -> Result<Sessions, axum_device_sessions::ConfigError> {
    Sessions::builder(store).access_tokens(AccessTokens::hs256(SECRET).expect("a key")).build().await
}

#[tokio::test]
async fn build_names_what_to_run_and_is_content_with_what_another_tool_ran() {
    let db = TestDb::new().await;
    let message = build(connect(&db).await).await.expect_err("no schema").to_string();
    assert!(message.contains("migrate()"), "{message}");
    assert_eq!(connect(&db).await.check().await.expect_err("no schema").kind(), ErrorKind::Schema);

    let client = db.connect().await;
    for migration in MIGRATIONS {
        client.batch_execute(migration.sql).await.expect("applies as it is");
    }
    build(connect(&db).await).await.expect("the schema is there");
    connect(&db).await.migrate().await.expect("and migrate() agrees");
    let applied = count(&client, "SELECT count(*) FROM device_sessions.migrations").await;
    assert_eq!(usize::try_from(applied).expect("a count"), MIGRATIONS.len());

    // Older than we are.
    client.batch_execute("DELETE FROM device_sessions.migrations").await.expect("deleted");
    let message = build(connect(&db).await).await.expect_err("too old").to_string();
    assert!(message.contains("migrate()"), "{message}");
}

/// Managed databases hand out such roles: the schema is there, and new ones may not be made.
#[tokio::test]
async fn a_role_that_may_create_no_schema_migrates_into_its_own() {
    let db = TestDb::new().await;
    let role = format!("owner_{}", db.name());
    let admin = db.connect().await;
    let url = db.url().replacen("postgres@", &format!("{role}@"), 1);
    admin.batch_execute(&format!("CREATE ROLE {role} LOGIN")).await.expect("a role");

    let store = PostgresStore::connect(&url).await.expect("connect");
    // The control: this role may not make the schema, and that is no outage.
    assert_eq!(store.migrate().await.expect_err("not allowed").kind(), ErrorKind::Schema);
    admin.batch_execute(&format!("CREATE SCHEMA device_sessions AUTHORIZATION {role}")).await.expect("a schema");
    store.migrate().await.expect("migrate");
    let id = create(&store).await;
    let request = EndRequest::new(EndTarget::One { id, user: None }, EndReason::Logout, None);
    store.end(request).await.expect("ended");

    admin.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.expect("dropped");
}

#[tokio::test]
async fn the_database_keeps_an_end_whoever_writes() {
    let db = TestDb::new().await;
    let store = migrated(&db).await;
    let client = db.connect().await;
    let id = create(&store).await;
    let request = EndRequest::new(EndTarget::One { id, user: None }, EndReason::Logout, Some("lena".to_owned()));
    store.end(request).await.expect("ended");
    let first = store.load(&[id]).await.expect("loaded").sessions;

    let by_hand = async |change: &str| {
        client.execute(&format!("UPDATE device_sessions.sessions SET {change} WHERE id = $1"), &[&id.as_uuid()]).await
    };
    for change in [
        "ended_at = NULL",
        "ended_at = NULL, end_reason = NULL",
        "ended_at = NULL, last_activity_at = now(), expires_at = now() + interval '9 days'",
    ] {
        let refused = by_hand(change).await.expect_err("an end is for ever");
        assert_eq!(refused.code(), Some(&SqlState::RESTRICT_VIOLATION), "{change}");
    }
    for change in [
        "ended_at = now() + interval '1 day'",
        "end_reason = 'revoked_by_admin'",
        "end_reason = NULL, ended_by = NULL",
        "ended_at = now(), end_reason = 'limit', ended_by = 'me'",
    ] {
        by_hand(change).await.expect("taken, and of no effect");
    }
    // What tools for bulk changes set in order to skip triggers.
    client.batch_execute("SET session_replication_role = replica").await.expect("set");
    by_hand("ended_at = NULL, end_reason = NULL").await.expect_err("for ever");
    assert_eq!(store.load(&[id]).await.expect("loaded").sessions, first);
    client.execute("DELETE FROM device_sessions.sessions", &[]).await.expect("a purge may delete");
    assert!(store.load(&[id]).await.expect("loaded").sessions.is_empty());
}

/// The control of the test above: it is the trigger that keeps the end.
#[tokio::test]
async fn without_the_trigger_the_dead_rise() {
    let db = TestDb::new().await;
    let store = migrated(&db).await;
    let client = db.connect().await;
    let id = create(&store).await;
    client.batch_execute("ALTER TABLE device_sessions.sessions DISABLE TRIGGER keep_end").await.expect("disabled");
    let end = "UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'logout'";
    client.batch_execute(end).await.expect("ended");
    client
        .batch_execute("UPDATE device_sessions.sessions SET ended_at = NULL, end_reason = NULL")
        .await
        .expect("no one minds");
    assert_eq!(end_in_row(&client, id).await, None);
}

#[tokio::test]
async fn an_end_by_hand_gets_a_reason() {
    let db = TestDb::new().await;
    let store = migrated(&db).await;
    let client = db.connect().await;
    let (bare, explained) = (create(&store).await, create(&store).await);
    let sql = "UPDATE device_sessions.sessions SET ended_at = now() WHERE id = $1";
    client.execute(sql, &[&bare.as_uuid()]).await.expect("ended");
    let sql = "UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'account_disabled' WHERE id = $1";
    client.execute(sql, &[&explained.as_uuid()]).await.expect("ended");
    let expected = [(bare, EndReason::RevokedByAdmin, Some("postgres")), (explained, EndReason::AccountDisabled, None)];
    for (id, reason, by) in expected {
        let ended = store.load(&[id]).await.expect("loaded").sessions[0].ended.clone().expect("ended");
        assert_eq!((ended.reason, ended.by.as_deref()), (reason, by));
    }
}

/// An end must be on disk before anybody is told, and see what was committed while it waited; activity may be lost.
#[tokio::test]
async fn what_a_write_needs_is_set_whatever_the_defaults_are() {
    let db = TestDb::new().await;
    let store = migrated(&db).await;
    let client = db.connect().await;
    client
        .batch_execute(&format!(
            "ALTER DATABASE {0} SET default_transaction_isolation = 'repeatable read'; \
             ALTER DATABASE {0} SET synchronous_commit = off; \
             CREATE TABLE public.spy (action text, isolation text, synchronous text); \
             CREATE FUNCTION public.spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                INSERT INTO public.spy VALUES (TG_ARGV[0], current_setting('transaction_isolation'), \
                    current_setting('synchronous_commit')); RETURN NULL; END $$; \
             CREATE TRIGGER spy_create AFTER INSERT ON device_sessions.sessions \
                FOR EACH ROW EXECUTE FUNCTION public.spy('create'); \
             CREATE TRIGGER spy_end AFTER UPDATE OF ended_at ON device_sessions.sessions \
                FOR EACH ROW EXECUTE FUNCTION public.spy('end'); \
             CREATE TRIGGER spy_activity AFTER UPDATE OF last_activity_at ON device_sessions.sessions \
                FOR EACH ROW EXECUTE FUNCTION public.spy('activity')",
            db.name()
        ))
        .await
        .expect("spies");
    drop(store);
    let store = connect(&db).await;
    let id = create(&store).await;
    store.record_activity(vec![Activity::new(id, Duration::ZERO, None)]).await.expect("recorded");
    let request = EndRequest::new(EndTarget::All { user: "ahmed".into(), caller: Some(id) }, EndReason::Logout, None);
    store.end(request).await.expect("ended");
    let spied = client.query("SELECT action, isolation, synchronous FROM public.spy", &[]).await.expect("read");
    let spied: Vec<[String; 3]> = spied.iter().map(|row| [row.get(0), row.get(1), row.get(2)]).collect();
    assert_eq!(
        spied,
        [["create", "read committed", "on"], ["activity", "read committed", "off"], ["end", "read committed", "on"]]
    );
    // The control: a connection that says nothing has the defaults.
    let shown = db.connect().await.query_one("SHOW synchronous_commit", &[]).await.expect("shown");
    assert_eq!(shown.get::<_, &str>(0), "off");
}

#[tokio::test]
async fn the_user_agent_is_kept_and_what_postgres_cannot_hold_is_no_outage() {
    let db = TestDb::new().await;
    let store = migrated(&db).await;
    let mut new = NewSession::new(SessionId::new(), "ahmed".into(), Device::named("Test"), Duration::from_secs(60));
    new.user_agent = Some("Mozilla/5.0".to_owned());
    let id = store.create(new.clone()).await.expect("created").id;
    let kept = "SELECT user_agent FROM device_sessions.sessions";
    assert_eq!(db.connect().await.query_one(kept, &[]).await.expect("read").get::<_, &str>(0), "Mozilla/5.0");

    new.id = SessionId::new();
    new.metadata = Some(serde_json::json!({"nul": "\0"}));
    assert_eq!(store.create(new.clone()).await.expect_err("not in jsonb").kind(), ErrorKind::InvalidClaims);
    new.metadata = None;
    new.user_id = "x".repeat(256).into();
    assert_eq!(store.create(new).await.expect_err("too long").kind(), ErrorKind::InvalidInput);
    let request = EndRequest::new(EndTarget::One { id, user: None }, EndReason::Logout, Some("a\0b".to_owned()));
    assert_eq!(store.end(request).await.expect_err("not in text").kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_pool_of_one_is_refused() {
    let pool = |size| {
        let manager = Manager::new(tokio_postgres::Config::new(), NoTls);
        Pool::builder(manager).max_size(size).runtime(Runtime::Tokio1).build().expect("a pool")
    };
    let message = PostgresStore::from_pool(pool(1)).expect_err("one is not enough").to_string();
    assert!(message.contains("two connections"), "{message}");
    PostgresStore::from_pool(pool(2)).expect("two are");
}
