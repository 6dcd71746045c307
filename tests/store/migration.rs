//! A database of the version before, with sessions in it, is brought up to this one: nobody is signed out, nothing that was
//! there changes, and nobody is told that their own device is a new one.

#![cfg(feature = "postgres")]

use axum_device_sessions::{
    AccessTokens, Client as Caller, EndReason, MemoryStore, PostgresStore, Sessions, SignIn, Signal, SignedIn,
    store::MIGRATIONS,
};
use tokio_postgres::Client;

use crate::{
    node::{self, Node, cold},
    support::TestDb,
};

/// Every column that the version before had, in a line for each row.
const OLD: &str = "SELECT (to_jsonb(s) - '{device_key,pending,replaces,latitude,longitude,accuracy_km,signals}'::text[])::text \
    FROM device_sessions.sessions s ORDER BY id";

async fn old_rows(sql: &Client) -> Vec<String> {
    sql.query(OLD, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// As version 5 leaves it: live ones, one that has ended, one of another issuer, with all that a row can tell.
async fn version_5() -> (TestDb, Client, Vec<SignedIn>) {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    for migration in &MIGRATIONS[..5] {
        sql.batch_execute(migration.sql).await.unwrap();
    }
    let live = cold(&sql, "ahmed", 3).await;
    let rows = "UPDATE device_sessions.sessions SET created_at = now() - interval '9 days', authenticated_at = NULL, \
                    last_activity_at = now() - interval '2 hours', ip_address = '203.0.113.7', location = 'Moscow, Russia', \
                    country_code = 'RU', user_agent = 'Mozilla/5.0', metadata = '7', claims = '{\"roles\": [\"editor\"]}'; \
                INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type, ended_at, end_reason) \
                VALUES (gen_random_uuid(), 'ahmed', now() + interval '1 day', 'Old', 'web', now() - interval '1 day', 'logout'); \
                INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type, issuer) \
                VALUES (gen_random_uuid(), 'lena', now() + interval '1 day', 'Theirs', 'web', 'https://idp.example')";
    sql.batch_execute(rows).await.unwrap();
    (db, sql, live)
}

#[tokio::test]
async fn nobody_notices_but_the_operator() {
    let (db, sql, live) = version_5().await;
    let before = old_rows(&sql).await;
    // It says so, and does not begin.
    let store = PostgresStore::connect(db.url()).await.unwrap();
    let tokens = AccessTokens::hs256(node::SECRET).unwrap();
    let error = Sessions::builder(store).access_tokens(tokens).build().await.unwrap_err();
    assert!(format!("{error:?}").contains("version 5 found, 7 needed"), "{error:?}");

    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    assert_eq!(old_rows(&sql).await, before);
    store.migrate().await.unwrap();
    let node = Node::new(store).await;
    for signed_in in &live {
        assert!(node.is_let_in(signed_in).await);
    }
    let listed = node.sessions.list(&"ahmed".into(), None).await.unwrap();
    assert_eq!(listed.len(), 3);
    for one in &listed {
        assert_eq!((one.location.as_deref(), one.country_code.as_deref()), (Some("Moscow, Russia"), Some("RU")));
        assert_eq!((&one.metadata, one.authenticated_at), (&Some(7.into()), one.created_at));
    }
    assert_eq!(node.sessions.history(&"ahmed".into()).await.unwrap().len(), 1);
    assert_eq!(node.sessions.list(&"lena".into(), None).await.unwrap().len(), 1);

    let on_device = async |user: &str, device: &str| {
        let client = Caller::new(None, None).device_id(device);
        node.sessions.sign_in(SignIn::new(user).client(client)).await.unwrap()
    };
    let first = on_device("ahmed", "the app on the phone").await;
    assert_eq!(first.signals, [], "no device was known before: the first one is silent");
    assert!(node.is_let_in(&first).await);
    assert_eq!(on_device("ahmed", "the app on the tablet").await.signals, [Signal::NewDevice], "the control");
    // What was there can be renamed and ended like any other.
    let renamed = node.sessions.rename(&"ahmed".into(), live[0].session.id, "Mine").await.unwrap();
    assert_eq!(renamed.unwrap().device.name, "Mine");
    node.sessions.admin().end_all(&"ahmed".into(), EndReason::RevokedByAdmin, "the test").await.unwrap();
    assert!(!node.is_let_in(&live[0]).await);
}

/// During a deployment: nodes of the version before go on writing what they know of.
#[tokio::test]
async fn a_node_of_the_version_before_goes_on() {
    let (db, sql, _) = version_5().await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    let node = Node::new(store).await;
    // It names the columns of its own version.
    let theirs = cold(&sql, "sam", 1).await.remove(0);
    assert!(node.is_let_in(&theirs).await);
    let old = Node::new(MemoryStore::new()).await;
    assert!(!old.is_let_in(&theirs).await, "the control: it is not let in by its token alone");
}
