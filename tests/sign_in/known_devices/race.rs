//! One device, many sign-ins at once: one session.

use axum_device_sessions::{Client as Caller, SessionId, Sessions, SignIn};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::INSTALLED;
use crate::site::{count, two};
use crate::support::TestDb;

const LIVE: &str = "SELECT count(*) FROM device_sessions.sessions WHERE ended_at IS NULL";

async fn sign_in(sessions: &Sessions) -> SessionId {
    let client = Caller::new(None, None).device_id(INSTALLED);
    sessions.sign_in(SignIn::new("ahmed").client(client)).await.unwrap().session.id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_never_more_than_one() {
    let (db, nodes, sql) = two(|builder| builder).await;
    let (mut looks, mut most) = (0, 0);
    for round in 1..=5 {
        let mut signing_in = JoinSet::new();
        for number in 0..10 {
            let sessions = nodes[number % 2].sessions.clone();
            signing_in.spawn(async move { sign_in(&sessions).await });
        }
        let watcher = db.connect().await;
        let watching = tokio::spawn(async move {
            let (mut looks, mut most) = (0, 0);
            // Till all are in, and once after that.
            loop {
                let done = count(&watcher, "SELECT count(*) FROM device_sessions.sessions").await == 10 * round;
                most = most.max(count(&watcher, LIVE).await);
                looks += 1;
                if done {
                    return (looks, most);
                }
            }
        });
        let ids = signing_in.join_all().await;
        assert_eq!(count(&sql, LIVE).await, 1);
        let last: uuid::Uuid =
            sql.query_one("SELECT id FROM device_sessions.sessions WHERE ended_at IS NULL", &[]).await.unwrap().get(0);
        assert!(ids.iter().any(|id| id.as_uuid() == last));
        let seen = watching.await.unwrap();
        (looks, most) = (looks + seen.0, most.max(seen.1));
    }
    let replaced = "SELECT count(*) FROM device_sessions.sessions s WHERE end_reason = 'replaced' AND EXISTS \
                    (SELECT FROM device_sessions.sessions b WHERE b.id::text = s.ended_by)";
    assert_eq!(count(&sql, replaced).await, 49, "each by the next");
    assert_eq!(count(&sql, "SELECT count(*) FROM device_sessions.devices").await, 1);
    println!("50 sign-ins, {looks} looks, at most {most} live");
    assert_eq!(most, 1);
}

/// The same as one writes it first: end the device's earlier one, add the new one, and no lock.
async fn naive_begin(sql: &Client) {
    let key = [7_u8; 32];
    sql.batch_execute("BEGIN").await.unwrap();
    let end = "UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'replaced' \
               WHERE user_id = 'ahmed' AND device_key = $1 AND ended_at IS NULL";
    sql.execute(end, &[&&key[..]]).await.unwrap();
    let insert = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type, device_key) \
                  VALUES ($1, 'ahmed', now() + interval '1 day', 'Naive', 'other', $2)";
    sql.execute(insert, &[&uuid::Uuid::now_v7(), &&key[..]]).await.unwrap();
}

/// The control: both look before either is there.
#[tokio::test]
async fn without_the_users_lock_there_are_two() {
    let db = TestDb::new().await;
    crate::site::Node::at(db.url(), |builder| builder).await;
    let (one, other) = (db.connect().await, db.connect().await);
    naive_begin(&one).await;
    naive_begin(&other).await;
    one.batch_execute("COMMIT").await.unwrap();
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(count(&one, LIVE).await, 2, "the control must lose");
}
