//! An end by an administrator: told to every node, carried out whole or done again, and in nobody's way.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::time::Duration;

use axum_device_sessions::{
    DeviceType, EndReason, ErrorKind, MemoryStore, PostgresStore, SessionFilter, SessionId, SessionStore,
    SessionValidationLayer, Sessions, store::Activity,
};
use tokio_postgres::Client;

use crate::{
    http::{app, bearer, get, on, sign_in},
    support::{TestDb, eventually},
};

const EVERYONE: SessionFilter = SessionFilter::everyone();

async fn store(db: &TestDb) -> PostgresStore {
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    store
}

async fn many(db: &Client, rows: i32, users: i32) {
    let sql = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
               SELECT gen_random_uuid(), 'user-' || n % $2, now() + interval '1 day', 'Test', 'other' \
               FROM generate_series(1, $1) AS n";
    db.execute(sql, &[&rows, &users]).await.unwrap();
}

async fn ended(db: &Client) -> i64 {
    let sql = "SELECT count(*) FROM device_sessions.sessions WHERE ended_at IS NOT NULL";
    db.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn every_node_is_told() {
    let db = TestDb::new().await;
    let (a, b) = (on(store(&db).await).build().await.unwrap(), on(store(&db).await).build().await.unwrap());
    let apps = [&a, &b].map(|sessions| app().layer(SessionValidationLayer::new(sessions.clone())));
    let client = db.connect().await;
    let admin = a.admin();
    for way in 0..3 {
        let mut signed_in = Vec::new();
        for user in ["ahmed", "ahmed", "lena"] {
            signed_in.push(sign_in(&a, user).await);
        }
        let me = async |app: usize, one: usize| get(&apps[app], "/me", &[bearer(&signed_in[one].access_token)]).await;
        for one in 0..3 {
            assert_eq!((me(0, one).await.status.as_u16(), me(1, one).await.status.as_u16()), (200, 200));
        }
        let (ended, reason) = match way {
            0 => (
                admin.end(&EVERYONE.on_device_type(DeviceType::Other), EndReason::AccountDisabled, "lena").await,
                "account_disabled",
            ),
            1 => (admin.end_all(&"ahmed".into(), EndReason::RevokedByAlert, "lena").await, "revoked_by_alert"),
            _ => (admin.on_credential_change(&"ahmed".into(), None).await, "credential_change"),
        };
        let gone = if way == 0 { 3 } else { 2 };
        assert_eq!(ended.unwrap(), gone);
        for (one, signed_in) in signed_in.iter().enumerate() {
            if one >= gone {
                assert_eq!(me(1, one).await.line(), "200 lena");
                continue;
            }
            let line = format!("401 session_ended {reason}");
            assert_eq!(me(0, one).await.line(), line, "at once where it was ended");
            eventually("the other node refuses", async || me(1, one).await.status == 401).await;
            assert_eq!(me(1, one).await.line(), line);
            let sql = "SELECT end_reason, ended_by, ended_at <= now() FROM device_sessions.sessions WHERE id = $1";
            let row = client.query_one(sql, &[&signed_in.session.id.as_uuid()]).await.unwrap();
            let by = if way == 2 { None } else { Some("lena") };
            assert_eq!((row.get::<_, &str>(0), row.get::<_, Option<&str>>(1), row.get(2)), (reason, by, true));
        }
        admin.end(&EVERYONE, EndReason::Logout, "the test").await.unwrap();
    }
}

/// Whoever holds the last row makes it fail half-way; or the caller has gone by then.
#[tokio::test]
async fn interrupted_it_is_done_again() {
    let db = TestDb::new().await;
    let sessions = on(store(&db).await).build().await.unwrap();
    let (client, holder) = (db.connect().await, db.connect().await);
    for caller_goes in [false, true] {
        client.batch_execute("TRUNCATE device_sessions.sessions").await.unwrap();
        many(&client, 2_300, 300).await;
        holder.batch_execute("BEGIN").await.unwrap();
        let last = "SELECT 1 FROM device_sessions.sessions WHERE (user_id, id) = (SELECT user_id, id \
                    FROM device_sessions.sessions ORDER BY user_id DESC, id DESC LIMIT 1) FOR UPDATE";
        holder.query_one(last, &[]).await.unwrap();
        let admin = sessions.admin();
        let end = tokio::spawn(async move { admin.end(&EVERYONE, EndReason::RevokedByAdmin, "breach").await });
        eventually("the first steps are done", async || ended(&client).await == 2_000).await;
        if caller_goes {
            end.abort();
            assert!(end.await.unwrap_err().is_cancelled());
        } else {
            assert_eq!(end.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
        }
        assert_eq!(ended(&client).await, 2_000, "whole steps");
        holder.batch_execute("COMMIT").await.unwrap();
        let again = sessions.admin().end(&EVERYONE, EndReason::RevokedByAdmin, "breach").await.unwrap();
        assert!(again == 300 || caller_goes, "what was left, unless the step under way did it: {again}");
        assert_eq!(ended(&client).await, 2_300);
    }
}

/// The server itself counts the deadlocks. (That careless ends do deadlock is shown elsewhere.)
#[tokio::test]
async fn everything_at_once_and_no_deadlock() {
    let db = TestDb::own_cluster(&[("deadlock_timeout", "20ms")]).await;
    let (a, b) = (on(store(&db).await).build().await.unwrap(), on(store(&db).await).build().await.unwrap());
    let (c, client) = (store(&db).await, db.connect().await);
    for _ in 0..5 {
        many(&client, 1_500, 5).await;
        let rows = client.query("SELECT id FROM device_sessions.sessions WHERE ended_at IS NULL", &[]).await.unwrap();
        let ids: Vec<SessionId> = rows.iter().map(|row| row.get::<_, uuid::Uuid>(0).into()).collect();
        let everyone =
            async |node: &Sessions| node.admin().end(&EVERYONE, EndReason::RevokedByAdmin, "x").await.unwrap();
        let users = async || {
            let mut ended = 0;
            for user in 0..5 {
                let user = format!("user-{user}").into();
                ended += b.admin().end_all(&user, EndReason::RevokedByAlert, "y").await.unwrap();
            }
            ended
        };
        let flushes = async || {
            for turn in 0..6 {
                let mut batch: Vec<_> = ids.iter().map(|id| Activity::new(*id, Duration::ZERO, None)).collect();
                if turn % 2 == 0 {
                    batch.reverse();
                }
                c.record_activity(batch).await.unwrap();
            }
        };
        let sign_ins = async || {
            for user in 0..5 {
                sign_in(&a, &format!("user-{user}")).await;
            }
        };
        let (one, two, three, ..) = tokio::join!(everyone(&a), users(), everyone(&b), flushes(), sign_ins(), flushes());
        assert!(one + two + three >= 1_500, "{one} {two} {three}");
        everyone(&a).await;
    }
    assert_eq!(a.admin().count(&EVERYONE).await.unwrap(), 0);
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn an_actor_that_cannot_be_kept_ends_nobody() {
    let sessions = on(MemoryStore::new()).build().await.unwrap();
    sign_in(&sessions, "ahmed").await;
    let admin = sessions.admin();
    for actor in ["", "a\0b", &"x".repeat(256)] {
        for filter in [EVERYONE, EVERYONE.of_user("ahmed")] {
            let error = admin.end(&filter, EndReason::Logout, actor).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        admin.end_all(&"ahmed".into(), EndReason::Logout, actor).await.unwrap_err();
    }
    assert_eq!(admin.count(&EVERYONE).await.unwrap(), 1);
    assert_eq!(admin.end_all(&"ahmed".into(), EndReason::Logout, &"x".repeat(255)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_changed_credential_ends_all_but_the_one_it_was_changed_on() {
    let db = TestDb::new().await;
    let sessions = on(store(&db).await).build().await.unwrap();
    let app = app().layer(SessionValidationLayer::new(sessions.clone()));
    let (ahmed, lena) = (sign_in(&sessions, "ahmed").await, sign_in(&sessions, "lena").await);
    let (admin, keep) = (sessions.admin(), ahmed.session.id);
    let user = "ahmed".into();
    let more = async || drop((sign_in(&sessions, "ahmed").await, sign_in(&sessions, "ahmed").await));
    more().await;
    assert_eq!(admin.on_credential_change(&user, Some(keep)).await.unwrap(), 2);
    assert_eq!(admin.on_credential_change(&user, Some(keep)).await.unwrap(), 0);
    assert_eq!(get(&app, "/me", &[bearer(&ahmed.access_token)]).await.line(), "200 ahmed");
    let ended = sessions.history(&user).await.unwrap();
    assert!(ended.iter().all(|one| one.ended.as_ref().unwrap().by == Some(keep.to_string())));
    // With one to keep that is not there, ends all: which of them is the thief's cannot be known.
    let gone = ended[0].id;
    for (keep, expected) in [(Some(gone), 3), (Some(SessionId::new()), 2), (Some(lena.session.id), 2), (None, 2)] {
        more().await;
        assert_eq!(admin.on_credential_change(&user, keep).await.unwrap(), expected, "{keep:?}");
        assert_eq!(sessions.list(&user, None).await.unwrap(), []);
    }
    assert!(
        sessions
            .history(&user)
            .await
            .unwrap()
            .iter()
            .all(|one| { one.ended.as_ref().unwrap().reason == EndReason::CredentialChange })
    );
    assert_eq!(sessions.list(&"lena".into(), None).await.unwrap().len(), 1);
}
