//! The lock that makes the limit exact: what waits for it, what does not, and what comes of those who waited too long.

#![cfg(feature = "postgres")]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use axum_device_sessions::{EndReason, ErrorKind, OnLimit, Sessions, SignIn, SignInPolicy, UserId};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::{
    cluster::{self, told},
    support::{TestDb, eventually},
};

/// Every answer of the crate comes within this time (P3).
const DEADLINE: Duration = Duration::from_secs(4);

async fn limited(db: &TestDb, limit: u32, on_limit: OnLimit) -> Sessions {
    let builder = cluster::builder(db.url()).await.activity_interval(Duration::from_secs(3_600));
    let sessions = builder.max_sessions_per_user(limit, on_limit).build().await.unwrap();
    told(&sessions).await;
    sessions
}

/// Holds what a sign-in of this user holds, as a hand in psql might.
async fn hold(db: &TestDb, user: &str) -> Client {
    let holder = db.connect().await;
    holder.batch_execute("BEGIN").await.unwrap();
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('device_sessions user ' || $1, 0))::text";
    holder.query_one(lock, &[&user]).await.unwrap();
    holder
}

async fn waiting(sql: &Client) -> i64 {
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    sql.query_one(waiting, &[]).await.unwrap().get(0)
}

async fn rows(sql: &Client, of: &str) -> i64 {
    let count = format!("SELECT count(*) FROM device_sessions.sessions WHERE {of}");
    sql.query_one(&count, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn users_do_not_wait_for_each_other() {
    let db = TestDb::new().await;
    let sessions = limited(&db, 3, OnLimit::EndOldest).await;
    let holder = hold(&db, "ahmed").await;
    let sql = db.connect().await;
    let held = tokio::spawn({
        let sessions = sessions.clone();
        async move { sessions.sign_in(SignIn::new("ahmed")).await }
    });
    eventually("one waits", || async { waiting(&sql).await == 1 }).await;
    // More than the pool has connections.
    let mut others = JoinSet::new();
    for n in 0..12 {
        let sessions = sessions.clone();
        others.spawn(async move { sessions.sign_in(SignIn::new(format!("user-{n}"))).await.unwrap() });
    }
    assert_eq!(others.join_all().await.len(), 12);
    assert_eq!(waiting(&sql).await, 1, "and the one still waits");
    holder.batch_execute("COMMIT").await.unwrap();
    held.await.unwrap().unwrap();
    assert_eq!(rows(&sql, "ended_at IS NULL").await, 13);
}

#[tokio::test]
async fn a_lock_that_somebody_keeps_is_told_in_time_and_nothing_comes_of_it() {
    let db = TestDb::new().await;
    let sessions = limited(&db, 1, OnLimit::EndOldest).await;
    let first = sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    let sql = db.connect().await;
    let holder = hold(&db, "ahmed").await;
    // By how much this machine is late with what is due at that time.
    let late = tokio::spawn(async {
        let due = Instant::now() + Duration::from_millis(3_500);
        tokio::time::sleep_until(due.into()).await;
        due.elapsed()
    });
    let mut clients = JoinSet::new();
    for _ in 0..12 {
        let sessions = sessions.clone();
        clients.spawn(async move {
            let asked = Instant::now();
            let error = sessions.sign_in(SignIn::new("ahmed")).await.unwrap_err();
            (error.kind(), asked.elapsed())
        });
    }
    // One at a time waits in the database; the pool is there for others.
    eventually("the first waits", || async { waiting(&sql).await > 0 }).await;
    assert_eq!(waiting(&sql).await, 1);
    let answers = clients.join_all().await;
    let longest = answers.iter().map(|(_, took)| *took).max().unwrap();
    println!("12 sign-ins behind a lock that is kept: the last was answered after {longest:.1?}");
    assert!(answers.iter().all(|(kind, _)| *kind == ErrorKind::Unavailable), "{answers:?}");
    assert!(longest < DEADLINE + late.await.unwrap(), "{longest:?}");
    // All have been told that they failed. Whoever had not begun by then does not begin: the queue does not go on for as
    // long as the lock is kept, and nobody's session ends for one that nobody has.
    eventually("nobody waits", || async { waiting(&sql).await == 0 }).await;
    holder.batch_execute("COMMIT").await.unwrap();
    drop(holder);
    // Whoever comes now comes after all that were in the queue.
    let lena = sessions.sign_in(SignIn::new("ahmed").policy(|_| SignInPolicy::Refuse)).await.unwrap_err();
    assert_eq!(lena.kind(), ErrorKind::SignInRefused);
    assert_eq!(rows(&sql, "true").await, 1, "nothing is left of them");
    assert_eq!(cluster::ask(&sessions, &first).await, http::StatusCode::OK);
}

/// Backends that serve the pool.
async fn backends(sql: &Client) -> BTreeSet<i32> {
    let pids = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    sql.query(pids, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Whoever has a password could else make the pool connect anew for each attempt.
#[tokio::test]
async fn a_refusal_costs_no_connection() {
    let db = TestDb::new().await;
    let sessions = limited(&db, 1, OnLimit::Refuse).await;
    sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    let sql = db.connect().await;
    let before = backends(&sql).await;
    for _ in 0..20 {
        let error = sessions.sign_in(SignIn::new("ahmed")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SessionLimit);
        let refused = SignIn::new("lena").policy(|_| SignInPolicy::Refuse);
        assert_eq!(sessions.sign_in(refused).await.unwrap_err().kind(), ErrorKind::SignInRefused);
    }
    // One more may have been made where a beat was late.
    assert!(backends(&sql).await.is_superset(&before));
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(sql.query_one(locks, &[]).await.unwrap().get::<_, i64>(0), 0, "and no lock");
}

/// Sign-ins and "sign out everywhere" of one user at once: never a fourth, and what was there before an end is ended by it.
#[tokio::test]
async fn a_limit_and_the_end_of_all() {
    let db = TestDb::new().await;
    let nodes = [limited(&db, 3, OnLimit::EndOldest).await, limited(&db, 3, OnLimit::EndOldest).await];
    let user = UserId::from("ahmed");
    let (sql, mut tasks) = (db.connect().await, JoinSet::new());
    for n in 0..8 {
        let (node, user) = (nodes[n % 2].clone(), user.clone());
        tasks.spawn(async move {
            for _ in 0..40 {
                if n < 6 {
                    node.sign_in(SignIn::new(user.clone())).await.unwrap();
                } else {
                    node.admin().end_all(&user, EndReason::RevokedByAdmin, "the test").await.unwrap();
                }
            }
        });
    }
    let mut most = 0;
    while !tasks.is_empty() {
        most = most.max(rows(&sql, "ended_at IS NULL").await);
        while tasks.try_join_next().is_some() {}
        tokio::task::yield_now().await;
    }
    let [all, limit, revoked] =
        [rows(&sql, "true").await, rows(&sql, "end_reason = 'limit'").await, rows(&sql, "ended_by = 'the test'").await];
    let live = rows(&sql, "ended_at IS NULL").await;
    println!("{all} sign-ins: at most {most} live at once, {limit} ended as limit, {revoked} by an admin, {live} left");
    assert!(most <= 3 && most > 0);
    assert_eq!((all, limit + revoked + live), (240, 240), "each ended once, for one reason");
    assert!(limit > 0 && revoked > 0);
    nodes[0].admin().end_all(&user, EndReason::RevokedByAdmin, "the test").await.unwrap();
    assert_eq!(rows(&sql, "ended_at IS NULL").await, 0);
}

/// What has run out and was not swept yet does not count, and is ended as of when it ran out.
#[tokio::test]
async fn what_has_run_out_does_not_count() {
    let db = TestDb::new().await;
    let sessions = limited(&db, 2, OnLimit::Refuse).await;
    let sql = db.connect().await;
    let [idle, absolute] = [sessions.sign_in(SignIn::new("ahmed")).await, sessions.sign_in(SignIn::new("ahmed")).await]
        .map(|signed_in| signed_in.unwrap().session.id.as_uuid());
    let long_ago = "UPDATE device_sessions.sessions SET created_at = now() - interval '40 days', \
                    last_activity_at = now() - interval '39 days' WHERE id = $1";
    sql.execute(long_ago, &[&idle]).await.unwrap();
    let over = "UPDATE device_sessions.sessions SET expires_at = now() - interval '1 minute' WHERE id = $1";
    sql.execute(over, &[&absolute]).await.unwrap();
    // The sweep comes much later: activity is written down once an hour here.
    for _ in 0..2 {
        sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    }
    assert_eq!(sessions.sign_in(SignIn::new("ahmed")).await.unwrap_err().kind(), ErrorKind::SessionLimit);
    let how = "SELECT end_reason, ended_by, ended_at > last_activity_at AND ended_at < now() - interval '1 day' \
               FROM device_sessions.sessions WHERE id = $1";
    let row = sql.query_one(how, &[&idle]).await.unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), (Some("idle"), None::<&str>, true));
    assert_eq!(rows(&sql, "end_reason = 'limit'").await, 0);
}
