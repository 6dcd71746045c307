//! Whoever goes away, at whatever point: no transaction stays open, no lock, no connection is lost, and the next one is
//! served. Every operation is dropped after its first poll, after its second, and so on until it completes; one of less
//! than three polls is no test and fails.

#![cfg(feature = "postgres")]

use std::time::Duration;

use axum_device_sessions::{
    Device, EndOutcome, EndReason, EndTarget, Issue, PostgresStore, SessionFilter, SessionId, SessionStore, SignIn,
    store::{Activity, EndRequest, Expire, Idle, NewSession, Retention},
};
use deadpool_postgres::{Manager, Pool, Runtime};
use tokio_postgres::{Client, NoTls};

use crate::{
    dropped::{cancelled_after, leftovers},
    node::{Node, cold, migrated},
    support::{TestDb, eventually},
};

/// A store whose pool has two connections, one of them for writes: whatever is lost is missed at once.
struct Subject {
    db: TestDb,
    pool: Pool,
    store: PostgresStore,
    node: Node,
    checker: Client,
}

impl Subject {
    async fn new() -> Self {
        let db = TestDb::new().await;
        migrated(&db).await;
        let pool = pool(&db);
        let [store, nodes] = [(); 2].map(|()| PostgresStore::from_pool(pool.clone()).expect("a store"));
        let checker = db.connect().await;
        Self { node: Node::new(nodes).await, pool, store, checker, db }
    }

    /// So that connecting is a part of what comes next, and may be cut off as well.
    fn forget_connections(&self) {
        self.pool.retain(|_, _| false);
    }

    async fn assert_nothing_left(&self, what: &str, polls: usize) {
        eventually(&format!("nothing is left of {what} dropped after {polls} polls"), async || {
            leftovers(&self.checker).await.is_empty() && self.pool.status().available == self.pool.status().size
        })
        .await;
    }

    async fn cold(&self) -> axum_device_sessions::SignedIn {
        cold(&self.checker, "ahmed", 1).await.remove(0)
    }
}

fn pool(db: &TestDb) -> Pool {
    let manager = Manager::new(db.url().parse().expect("a url"), NoTls);
    Pool::builder(manager).max_size(2).runtime(Runtime::Tokio1).build().expect("a pool")
}

fn report(what: &str, polls: usize) {
    eprintln!("{what}: done at poll {polls}");
    assert!(polls >= 3, "{what} hardly waited: too little was tested");
}

/// The outer layer reads, and the strict one inside reads again.
#[tokio::test]
async fn a_request_that_loads() {
    let subject = Subject::new().await;
    for polls in 0.. {
        let signed_in = subject.cold().await;
        let done = cancelled_after(polls, subject.node.request("GET", "/strict", &signed_in)).await.is_some();
        subject.assert_nothing_left("a request", polls).await;
        assert!(subject.node.is_let_in(&signed_in).await, "no flight is stuck");
        if done {
            return report("a request that loads", polls);
        }
    }
}

/// With an `on_issue` that asks the application's database.
#[tokio::test]
async fn a_sign_in() {
    let subject = Subject::new().await;
    let pool = subject.pool.clone();
    let node = Node::with(PostgresStore::from_pool(pool.clone()).expect("a store"), |builder| {
        builder.on_issue(move |_| {
            let pool = pool.clone();
            async move {
                pool.get().await?.simple_query("SELECT 'reader' AS role").await?;
                Ok(Issue::allow())
            }
        })
    })
    .await;
    for polls in 0.. {
        let done = cancelled_after(polls, node.sessions.sign_in(SignIn::new("ahmed"))).await;
        subject.assert_nothing_left("a sign-in", polls).await;
        let next = node.sign_in("ahmed").await;
        assert!(node.is_let_in(&next).await);
        if let Some(done) = done {
            assert!(node.is_let_in(&done.expect("signed in")).await);
            return report("a sign-in", polls);
        }
    }
}

/// Of another device and of all, by requests of a session that must be read first.
#[tokio::test]
async fn an_end() {
    let subject = Subject::new().await;
    for what in ["an end of another one", "an end of all"] {
        for polls in 0.. {
            let (caller, other) = (subject.cold().await, subject.cold().await);
            assert!(subject.node.is_let_in(&other).await);
            let path = if what == "an end of all" {
                "/sessions".to_owned()
            } else {
                format!("/sessions/{}", other.session.id)
            };
            let end = subject.node.request("DELETE", &path, &caller);
            let done = cancelled_after(polls, end).await;
            if polls > 1 {
                // Begun, it is carried out, whoever has gone. (The first poll begins to read the caller's session.)
                eventually("it is carried out", async || !subject.node.is_let_in(&other).await).await;
            }
            subject.assert_nothing_left(what, polls).await;
            let again = EndTarget::One { id: other.session.id, user: None };
            subject.node.sessions.end(again, EndReason::Logout, None).await.expect("answered");
            assert!(!subject.node.is_let_in(&other).await);
            if let Some(done) = done {
                assert!(done.status().is_success());
                report(what, polls);
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_list() {
    let subject = Subject::new().await;
    let signed_in = subject.cold().await;
    for polls in 0.. {
        subject.forget_connections();
        let done = cancelled_after(polls, subject.node.sessions.list(&"ahmed".into(), None)).await;
        subject.assert_nothing_left("a list", polls).await;
        assert!(subject.node.is_let_in(&signed_in).await);
        if let Some(done) = done {
            assert_eq!(done.expect("listed").len(), 1);
            return report("a list", polls);
        }
    }
}

#[tokio::test]
async fn a_flush() {
    let subject = Subject::new().await;
    let signed_in = subject.cold().await;
    let moved = "SELECT last_activity_at::text FROM device_sessions.sessions";
    for polls in 0.. {
        let before: String = subject.checker.query_one(moved, &[]).await.expect("read").get(0);
        assert!(subject.node.is_let_in(&signed_in).await);
        let done = cancelled_after(polls, async {
            subject.node.request("GET", "/strict", &signed_in).await;
            subject.node.sessions.flush_activity().await
        })
        .await
        .is_some();
        subject.assert_nothing_left("a flush", polls).await;
        subject.node.sessions.flush_activity().await.expect("the next one");
        let after: String = subject.checker.query_one(moved, &[]).await.expect("read").get(0);
        assert_ne!(before, after, "nothing was lost");
        if done {
            return report("a request and a flush", polls);
        }
    }
}

/// What runs in spawned tasks above, dropped in the middle here: every statement of every transaction.
#[tokio::test]
async fn the_store_itself() {
    let subject = Subject::new().await;
    let store = &subject.store;
    let kept = subject.cold().await.session.id;
    let all = [
        "create",
        "load",
        "load many",
        "list",
        "history",
        "walk",
        "walk on",
        "end",
        "end all",
        "end these",
        "record",
        "expire",
        "purge",
        "check",
        "migrate",
    ];
    for what in all {
        for polls in 0.. {
            let id = subject.cold().await.session.id;
            subject.forget_connections();
            let request = |target| EndRequest::new(target, EndReason::Logout, None);
            let device = Device::named("Test");
            let done = match what {
                "create" => {
                    let new = NewSession::new(SessionId::new(), "lena".into(), device, Duration::from_secs(60));
                    cancelled_after(polls, store.create(new)).await.map(|done| drop(done.expect(what)))
                }
                "load" => cancelled_after(polls, store.load(&[id])).await.map(|done| drop(done.expect(what))),
                "load many" => {
                    cancelled_after(polls, store.load(&[id, kept])).await.map(|done| drop(done.expect(what)))
                }
                "list" => cancelled_after(polls, store.list(&"ahmed".into())).await.map(|done| drop(done.expect(what))),
                "end" => {
                    let end = store.end(request(EndTarget::One { id, user: None }));
                    cancelled_after(polls, end).await.map(|done| drop(done.expect(what)))
                }
                "end all" => {
                    let end = store.end(request(EndTarget::Others { user: "ahmed".into(), keep: id }));
                    cancelled_after(polls, end).await.map(|done| drop(done.expect(what)))
                }
                "end these" => {
                    let end = store.end(request(EndTarget::These { ids: vec![id, kept] }));
                    cancelled_after(polls, end).await.map(|done| drop(done.expect(what)))
                }
                "history" => cancelled_after(polls, store.history(&"ahmed".into(), Duration::from_secs(86_400), 9))
                    .await
                    .map(|done| drop(done.expect(what))),
                "walk" | "walk on" => {
                    let (everyone, after) = (SessionFilter::everyone(), (what == "walk on").then_some(kept));
                    cancelled_after(polls, store.walk(&everyone, after)).await.map(|done| drop(done.expect(what)))
                }
                "expire" => {
                    // Of each kind one, so that every statement runs.
                    let over = "UPDATE device_sessions.sessions SET expires_at = now() WHERE id = $1";
                    let over_too = subject.cold().await.session.id;
                    subject.checker.execute(over, &[&over_too.as_uuid()]).await.expect("over");
                    let idle = Some(Idle::new(Duration::ZERO, Duration::ZERO));
                    let expire = store.expire(Expire::new(idle, Duration::ZERO));
                    cancelled_after(polls, expire).await.map(|done| assert!(!done.expect(what).ended.is_empty()))
                }
                "purge" => {
                    let old = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type, \
                               ended_at, end_reason) SELECT gen_random_uuid(), 'lena', now(), 'Test', 'other', \
                               now() - days * interval '1 day', 'logout' FROM unnest('{2,4}'::int[]) AS days";
                    subject.checker.batch_execute(old).await.expect("old ones");
                    let day = Duration::from_secs(86_400);
                    let purge = store.purge(Retention::new(day, 3 * day));
                    cancelled_after(polls, purge).await.map(|done| assert!(done.expect(what).deleted > 0))
                }
                "record" => {
                    let batch = vec![Activity::new(id, Duration::ZERO, None)];
                    cancelled_after(polls, store.record_activity(batch)).await.map(|done| drop(done.expect(what)))
                }
                "check" => cancelled_after(polls, store.check()).await.map(|done| done.expect(what)),
                _ => {
                    let elsewhere = PostgresStore::from_pool(subject.pool.clone()).expect("a store");
                    let elsewhere = elsewhere.schema(&format!("migrated_{polls}")).expect("a name");
                    cancelled_after(polls, elsewhere.migrate()).await.map(|done| done.expect(what))
                }
            };
            // Before the next one, whose COMMIT would tidy up.
            subject.assert_nothing_left(what, polls).await;
            // The next write has the only connection for writes, and waits for no lock.
            let next = store.end(request(EndTarget::One { id, user: None })).await.expect("the next write");
            assert_ne!(next, EndOutcome::NotFound);
            assert_eq!(store.load(&[id]).await.expect("the next read").sessions.len(), 1);
            if done.is_some() {
                report(what, polls);
                break;
            }
        }
    }
}

/// The control: a transaction on a pooled connection, without care. deadpool takes the connection back as it is.
#[tokio::test]
async fn a_careless_transaction_is_found_by_the_same_check() {
    let subject = Subject::new().await;
    let mut left = Vec::new();
    for polls in 0.. {
        let (pool, id) = (pool(&subject.db), subject.cold().await.session.id.as_uuid());
        let done = cancelled_after(polls, async {
            let client = pool.get().await.expect("free");
            client.batch_execute("BEGIN").await.expect("begin");
            let sql = "UPDATE device_sessions.sessions SET ended_at = now() WHERE id = $1";
            client.execute(sql, &[&id]).await.expect("ended");
            client.batch_execute("COMMIT").await.expect("commit");
        })
        .await
        .is_some();
        eventually("it rests", async || !leftovers(&subject.checker).await.iter().any(|one| one.starts_with("active")))
            .await;
        let found = leftovers(&subject.checker).await;
        if found.iter().any(|one| one.starts_with("idle in transaction")) {
            assert!(pool.status().available > 0, "and the next borrower gets it");
            left.push(polls);
        }
        drop(pool);
        eventually("closed", async || leftovers(&subject.checker).await.is_empty()).await;
        if done {
            println!("a careless transaction: left open when dropped after {left:?} of {polls} polls");
            break;
        }
    }
    assert!(!left.is_empty(), "the control must be caught");
}
