//! An end that was acknowledged survives a crash of the server, whatever the defaults of the role: with
//! `synchronous_commit = off` a commit is acknowledged before it is on disk, and an ended session would come back.

use axum_device_sessions::{EndOutcome, EndReason, EndTarget, SignIn};
use http::StatusCode;

use crate::{
    cluster::{ask, builder},
    support::{TestDb, eventually},
};

#[tokio::test]
async fn acknowledged_ends_survive_a_crash() {
    // The WAL writer would put a lazy commit on disk by itself after a fifth of a second.
    let db = TestDb::own_cluster(&[("fsync", "on"), ("wal_writer_delay", "10s")]).await;
    let psql = db.connect().await;
    for isolation in ["read committed", "repeatable read", "serializable"] {
        psql.batch_execute(&format!(
            "ALTER DATABASE {0} SET synchronous_commit = off; \
             ALTER DATABASE {0} SET default_transaction_isolation = '{isolation}'",
            db.name()
        ))
        .await
        .unwrap();
        let node = builder(db.url()).await.build().await.unwrap();
        for user in 0..5 {
            let user = format!("user-{user}");
            let one = node.sign_in(SignIn::new(user.as_str())).await.unwrap();
            node.sign_in(SignIn::new(user.as_str())).await.unwrap();
            let target = EndTarget::Others { user: user.as_str().into(), keep: one.session.id };
            let outcome = node.end(target, EndReason::RevokedByUser, None).await.unwrap();
            assert!(matches!(outcome, EndOutcome::Ended(ended) if ended.len() == 1));
            assert_eq!(ask(&node, &one).await, StatusCode::OK);
            let target = EndTarget::One { id: one.session.id, user: None };
            node.end(target, EndReason::Logout, None).await.unwrap();
        }
    }
    let live = "SELECT count(*) FROM device_sessions.sessions WHERE ended_at IS NULL";
    let node = builder(db.url()).await.build().await.unwrap();
    let naive = node.sign_in(SignIn::new("naive")).await.unwrap();
    // The control: the same end, by somebody who takes the defaults as they are.
    let careless = db.connect().await;
    careless.batch_execute("UPDATE device_sessions.sessions SET ended_at = now()").await.unwrap();
    assert_eq!(careless.query_one(live, &[]).await.unwrap().get::<_, i64>(0), 0, "acknowledged");
    db.server().stop_immediate();
    db.server().start_again().unwrap();
    let psql = db.connect().await;
    let left = psql.query("SELECT id FROM device_sessions.sessions WHERE ended_at IS NULL", &[]).await.unwrap();
    let left: Vec<uuid::Uuid> = left.iter().map(|row| row.get(0)).collect();
    assert_eq!(left, [naive.session.id.as_uuid()], "ours have ended for good; the careless end is forgotten");
    eventually("the node is back", || async { ask(&node, &naive).await == StatusCode::OK }).await;
}
