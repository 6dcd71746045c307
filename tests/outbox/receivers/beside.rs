//! What a hanging receiver costs everybody else: nothing.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum_device_sessions::{
    AccessTokens, Delivery, EventKind, NotDelivered, Notice, Notifier, PostgresStore, Sessions, SignIn, Wants,
};
use deadpool_postgres::{Manager, Pool, Runtime};
use tokio_postgres::NoTls;

use super::{
    SECRET, end,
    notices::Told,
    support::{TestDb, eventually},
};

/// As long as the test says so, it never answers.
#[derive(Clone, Default)]
struct Hanging {
    hangs: Arc<AtomicBool>,
    begun: Arc<AtomicUsize>,
}

impl Notifier for Hanging {
    fn wants(&self) -> Wants {
        Wants::events(EventKind::ALL.iter().copied())
    }

    async fn deliver(&self, _: &Notice) -> Result<(), NotDelivered> {
        if self.hangs.load(Ordering::Relaxed) {
            self.begun.fetch_add(1, Ordering::Relaxed);
            pending().await
        }
        Ok(())
    }
}

const ROUNDS: usize = 40;

async fn median(sessions: &Sessions, user: &str) -> Duration {
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let signed_in = sessions.sign_in(SignIn::new(user)).await.unwrap();
        end(sessions, signed_in.session.id).await;
        took.push(began.elapsed());
    }
    took.sort();
    took[ROUNDS / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_hanging_receiver() {
    let db = TestDb::new().await;
    let pool = Pool::builder(Manager::new(db.url().parse().unwrap(), NoTls));
    let pool = pool.max_size(2).runtime(Runtime::Tokio1).build().unwrap();
    let store = PostgresStore::from_pool(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    let (hanging, good) = (Hanging::default(), Told::everything());
    let builder = Sessions::builder(store).access_tokens(AccessTokens::hs256(SECRET).unwrap());
    let builder = builder.delivery(Delivery::default().timeout(Duration::from_secs(60)));
    let sessions = builder.notify("hanging", hanging.clone()).notify("good", good.clone()).build().await.unwrap();
    let _warm = median(&sessions, "warm").await;
    let before = median(&sessions, "before").await;
    hanging.hangs.store(true, Ordering::Relaxed);
    let during = median(&sessions, "during").await;
    // As many as may be under way are, and no more.
    eventually("they hang", async || hanging.begun.load(Ordering::Relaxed) == 16).await;
    good.count(3 * 2 * ROUNDS).await;
    let ratio = during.as_secs_f64() / before.as_secs_f64();
    println!("a sign-in and an end: {before:?}, beside a hanging receiver {during:?} ({ratio:.2} times)");
    assert!(ratio < 3.0, "{before:?} {during:?}");

    let sql = db.connect().await;
    let held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'";
    let held = async || sql.query_one(held, &[]).await.unwrap().get::<_, i64>(0);
    let free = || pool.status().available == pool.status().size;
    eventually("no connection is held", async || free() && held().await == 0).await;
    assert_eq!(hanging.begun.load(Ordering::Relaxed), 16, "they hang still");
    // The control: whoever calls from inside of the transaction holds one.
    let naive = pool.get().await.unwrap();
    naive.batch_execute("BEGIN; SELECT FROM device_sessions.outbox LIMIT 1 FOR UPDATE").await.unwrap();
    assert!(!free() && held().await >= 1);
    naive.batch_execute("ROLLBACK").await.unwrap();
    drop(naive);

    // And a shutdown does not wait for it; another node may try at once.
    let began = Instant::now();
    sessions.shutdown().await.unwrap();
    println!("shut down beside it within {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(4));
    let due = "SELECT count(*) FROM device_sessions.outbox WHERE due_at > statement_timestamp() + interval '2 seconds'";
    assert_eq!(sql.query_one(due, &[]).await.unwrap().get::<_, i64>(0), 0, "none is kept by whoever is gone");
}
