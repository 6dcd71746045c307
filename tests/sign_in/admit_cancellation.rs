//! Whoever goes away while signing in, confirming, renaming or importing, at whatever point: as in `cancellation.rs`, each is
//! dropped after its first poll, after its second, and so on until it completes. Nothing is left open, the next one is
//! served, and the limit and "one session a device" hold all the while.

#![cfg(feature = "postgres")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, routing::get};
use axum_device_sessions::{
    Client as Caller, Device, ImportSession, OnLimit, PendingSession, PostgresStore, SessionId, SessionStore,
    SessionValidationLayer, Sessions, SignIn,
    store::{Imported, NewSession},
};
use deadpool_postgres::{Manager, Pool, Runtime};
use time::OffsetDateTime;
use tokio_postgres::{Client, NoTls};

use crate::{
    dropped::{cancelled_after, leftovers},
    http,
    support::{TestDb, eventually},
};

/// A pool of two connections, one of them for writes: whatever is lost is missed at once.
struct Subject {
    _db: TestDb,
    pool: Pool,
    sessions: Sessions,
    store: PostgresStore,
    sql: Client,
}

impl Subject {
    async fn new() -> Self {
        let db = TestDb::new().await;
        let manager = Manager::new(db.url().parse().unwrap(), NoTls);
        let pool = Pool::builder(manager).max_size(2).runtime(Runtime::Tokio1).build().unwrap();
        let [store, own] = [(); 2].map(|()| PostgresStore::from_pool(pool.clone()).unwrap());
        store.migrate().await.unwrap();
        let builder = http::on(own).max_sessions_per_user(2, OnLimit::EndOldest);
        let sessions = builder.activity_interval(Duration::from_secs(3_600)).build().await.unwrap();
        Self { sql: db.connect().await, _db: db, pool, sessions, store }
    }

    fn forget_connections(&self) {
        self.pool.retain(|_, _| false);
    }

    async fn check(&self, what: &str, polls: usize) {
        eventually(&format!("nothing is left of {what} dropped after {polls} polls"), || async {
            leftovers(&self.sql).await.is_empty() && self.pool.status().available == self.pool.status().size
        })
        .await;
        let rule = "SELECT count(*), count(DISTINCT device_key), count(*) FILTER (WHERE pending) \
                    FROM device_sessions.sessions WHERE ended_at IS NULL AND user_id = 'ahmed'";
        let row = self.sql.query_one(rule, &[]).await.unwrap();
        let (live, devices, pending) = (row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2));
        assert!(live - pending <= 2 && pending <= 5, "{what}, {polls}: {live} live, {pending} of them pending");
        assert_eq!(live - pending, devices.min(live - pending), "{what}, {polls}: one a device");
        // An end says for which session it was; that is there, or nothing has happened.
        let half = "SELECT count(*) FROM device_sessions.sessions s WHERE end_reason IN ('limit', 'replaced') AND NOT EXISTS \
                    (SELECT FROM device_sessions.sessions n WHERE n.id::text = s.ended_by)";
        assert_eq!(self.sql.query_one(half, &[]).await.unwrap().get::<_, i64>(0), 0, "{what}, {polls}");
    }
}

/// What `Sessions` does runs in a task of its own: whoever asks waits for that once. What happens in the middle of its
/// transaction is in `admit_faults.rs`; the store's own futures are dropped there here.
fn report(what: &str, polls: usize) {
    eprintln!("{what}: done at poll {polls}");
    let least = if what.starts_with("the store's") { 6 } else { 2 };
    assert!(polls >= least, "{what} hardly waited: too little was tested");
}

fn on_device(n: usize) -> SignIn {
    SignIn::new("ahmed").client(Caller::new(None, None).device_id(format!("the app on device {}", n % 3)))
}

#[tokio::test]
async fn a_sign_in_that_ends_others() {
    let subject = Subject::new().await;
    for polls in 0.. {
        subject.forget_connections();
        let done = cancelled_after(polls, subject.sessions.sign_in(on_device(polls))).await;
        subject.check("a sign-in", polls).await;
        subject.sessions.sign_in(on_device(polls + 1)).await.unwrap();
        if let Some(done) = done {
            done.unwrap();
            return report("a sign-in", polls);
        }
    }
}

/// Those who wait for the turn of their user, and go.
#[tokio::test]
async fn a_sign_in_that_waits_for_another() {
    let subject = Subject::new().await;
    for polls in 0.. {
        let first = tokio::spawn({
            let sessions = subject.sessions.clone();
            async move { sessions.sign_in(on_device(0)).await }
        });
        let done = cancelled_after(polls, subject.sessions.sign_in(on_device(1))).await;
        first.await.unwrap().unwrap();
        subject.check("a sign-in in a queue", polls).await;
        subject.sessions.sign_in(on_device(2)).await.unwrap();
        if let Some(done) = done {
            done.unwrap();
            return report("a sign-in in a queue", polls);
        }
    }
}

#[tokio::test]
async fn a_confirmation() {
    let subject = Subject::new().await;
    let slot: Arc<Mutex<Option<PendingSession>>> = Arc::default();
    let keep = Arc::clone(&slot);
    let app = Router::new()
        .route("/pending", get(|pending: PendingSession| async move { *keep.lock().unwrap() = Some(pending) }))
        .layer(SessionValidationLayer::new(subject.sessions.clone()));
    for polls in 0.. {
        let signed_in = subject.sessions.sign_in(on_device(polls).second_factor_to_come()).await.unwrap();
        let answer = http::get(&app, "/pending", &[http::bearer(&signed_in.access_token)]).await;
        assert_eq!(answer.status, 200);
        let pending = slot.lock().unwrap().take().unwrap();
        subject.forget_connections();
        let done = cancelled_after(polls, subject.sessions.confirm(&pending)).await;
        subject.check("a confirmation", polls).await;
        subject.sessions.sign_in(on_device(polls + 1)).await.unwrap();
        if let Some(done) = done {
            assert!(!done.unwrap().pending);
            return report("a confirmation", polls);
        }
    }
}

/// As an application calls them, and the store itself: that one in the middle of its transaction.
#[tokio::test]
async fn a_new_name_and_an_import() {
    let subject = Subject::new().await;
    let id = subject.sessions.sign_in(on_device(0)).await.unwrap().session.id;
    let (user, now) = ("ahmed".into(), OffsetDateTime::now_utc());
    for what in ["rename", "import", "the store's rename", "the store's import", "the store's create"] {
        for polls in 0.. {
            subject.forget_connections();
            let new = || NewSession::new(SessionId::new(), "lena".into(), Device::named("x"), Duration::from_secs(60));
            let name = format!("Name {polls}");
            let done = match what {
                "rename" => {
                    cancelled_after(polls, subject.sessions.rename(&user, id, &name)).await.map(|done| done.is_ok())
                }
                "import" => {
                    let rows = [(); 3].map(|()| ImportSession::new(SessionId::new(), "lena", now));
                    cancelled_after(polls, subject.sessions.import(rows)).await.map(|done| done.unwrap() == 3)
                }
                "the store's rename" => {
                    cancelled_after(polls, subject.store.rename(id, &user, &name)).await.map(|done| done.is_ok())
                }
                "the store's import" => {
                    let rows = (0..3).map(|_| Imported::new(new(), now, now)).collect();
                    cancelled_after(polls, subject.store.import(rows)).await.map(|done| done.unwrap() == 3)
                }
                _ => cancelled_after(polls, subject.store.create(new())).await.map(|done| done.is_ok()),
            };
            subject.check(what, polls).await;
            // All of an import or nothing of it.
            let lena = "SELECT count(*) FROM device_sessions.sessions WHERE user_id = 'lena' AND created_at = $1";
            let rows: i64 = subject.sql.query_one(lena, &[&now]).await.unwrap().get(0);
            assert_eq!(rows % 3, 0, "{what}, {polls}");
            assert!(subject.store.rename(id, &user, "The next").await.unwrap().is_some(), "waits for no lock");
            if let Some(well) = done {
                assert!(well, "{what}");
                report(what, polls);
                break;
            }
        }
    }
}
