//! A client that goes away while its refresh is under way: the rotation is done whole or not at all, nothing is left open,
//! and the same token works. See `cancellation.rs` for the rest of the API.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::time::Duration;

use axum_device_sessions::{Issue, PostgresStore, SignedIn};
use deadpool_postgres::{Manager, Pool, Runtime};
use tokio_postgres::{Client, NoTls};
use tower::ServiceExt as _;

use crate::{
    dropped::{cancelled_after, leftovers},
    http,
    proxy::Proxy,
    refresh::{Node, Pair, generation_of, refresh_request, tokens_in_row},
    support::{TestDb, eventually},
};

/// A node whose pool has two connections, one of them for writes: whatever is lost is missed at once.
struct Subject {
    db: TestDb,
    pool: Pool,
    node: Node,
    sql: Client,
}

impl Subject {
    /// With an `on_issue` that asks the application's database.
    async fn new(proxy: impl AsyncFnOnce(&str) -> String) -> Self {
        let db = TestDb::new().await;
        let pool = pool(&proxy(db.url()).await);
        let store = PostgresStore::from_pool(pool.clone()).unwrap();
        store.migrate().await.unwrap();
        let (sql, own) = (db.connect().await, pool.clone());
        let builder = http::on(store).activity_interval(Duration::from_secs(3_600)).on_issue(move |_| {
            let pool = own.clone();
            async move {
                pool.get().await?.simple_query("SELECT 'reader' AS role").await?;
                Ok(Issue::allow())
            }
        });
        Self { node: Node::of(builder.build().await.unwrap()), pool, sql, db }
    }

    async fn assert_nothing_left(&self, what: &str) {
        eventually(&format!("nothing is left of {what}"), async || {
            leftovers(&self.sql).await.is_empty() && self.pool.status().available == self.pool.status().size
        })
        .await;
    }

    /// Whole or not at all; and then the next refresh with the same token, on what connections there are.
    async fn assert_sound(&self, what: &str, signed_in: &SignedIn) {
        self.assert_nothing_left(what).await;
        let row = tokens_in_row(&self.sql, signed_in.session.id).await;
        assert!(["1, floor 1", "2 of 1, floor 1"].contains(&row.as_str()), "{what}: {row}");
        let pair = Pair::of(&self.node.refresh(&signed_in.refresh_token).await);
        assert_eq!(generation_of(&pair.refresh), 2, "{what}");
        assert_eq!(self.node.me(&pair.access).await, "200 ahmed", "{what}");
        let seen = async || tokens_in_row(&self.sql, signed_in.session.id).await == "2 of 1, seen, floor 1";
        eventually("confirmed", seen).await;
        self.assert_nothing_left(what).await;
    }
}

fn pool(url: &str) -> Pool {
    let manager = Manager::new(url.parse().unwrap(), NoTls);
    Pool::builder(manager).max_size(2).runtime(Runtime::Tokio1).build().unwrap()
}

/// Dropped after its first poll, after its second, and so on. The layer reads first, for the access token beside it.
#[tokio::test]
async fn a_request_dropped_at_each_poll() {
    let subject = Subject::new(async |url| url.to_owned()).await;
    let elsewhere = Node::on(subject.db.url()).await;
    for polls in 0.. {
        let signed_in = elsewhere.sign_in("ahmed").await;
        subject.pool.retain(|_, _| false);
        let (mut request, bearer) = (refresh_request(&signed_in.refresh_token), http::bearer(&signed_in.access_token));
        request.headers_mut().insert(bearer.0, bearer.1.parse().unwrap());
        let done = cancelled_after(polls, subject.node.app.clone().oneshot(request)).await;
        subject.assert_sound(&format!("a refresh dropped after {polls} polls"), &signed_in).await;
        if let Some(done) = done {
            assert_eq!(done.unwrap().status(), 200);
            println!("a refresh: done at poll {polls}");
            assert!(polls >= 3, "it hardly waited: too little was tested");
            return;
        }
    }
}

/// Dropped while the database is about to answer each statement in turn; then it answers, or the connection breaks.
#[tokio::test]
async fn a_request_dropped_at_each_statement() {
    for breaks in [false, true] {
        let mut trap = None;
        let subject = Subject::new(async |url| {
            let proxy = trap.insert(Proxy::to(url).await);
            proxy.url(url)
        })
        .await;
        let (proxy, elsewhere) = (trap.unwrap(), Node::on(subject.db.url()).await);
        for statement in [
            "SELECT id, user_id",
            "SELECT 'reader'",
            "BEGIN ISOLATION",
            "ORDER BY id FOR NO KEY UPDATE",
            "AS broken_at FROM",
            "SET generation",
            "COMMIT\0",
        ] {
            let signed_in = elsewhere.sign_in("ahmed").await;
            let (node, token) = (subject.node.clone(), signed_in.refresh_token.clone());
            let held = proxy.hold(statement);
            let refreshing = tokio::spawn(async move { node.refresh(&token).await });
            held.answered().await;
            refreshing.abort();
            assert!(refreshing.await.is_err_and(|gone| gone.is_cancelled()), "the client has gone");
            if breaks {
                held.cut();
            } else {
                held.release();
                // Begun, it is carried out, whoever has gone.
                let row = async || tokens_in_row(&subject.sql, signed_in.session.id).await == "2 of 1, floor 1";
                eventually("carried out", row).await;
            }
            subject.assert_sound(&format!("{statement}, breaks: {breaks}"), &signed_in).await;
        }
    }
}

/// The control: the same statements on a pooled connection, in the task of the request. deadpool takes the connection
/// back as it is, in the middle of the transaction and with the lock of the row.
#[tokio::test]
async fn a_careless_rotation_is_found_by_the_same_check() {
    let subject = Subject::new(async |url| url.to_owned()).await;
    let mut left = Vec::new();
    for polls in 0.. {
        let (pool, id) = (pool(subject.db.url()), subject.node.sign_in("ahmed").await.session.id.as_uuid());
        let done = cancelled_after(polls, async {
            let client = pool.get().await.unwrap();
            client.batch_execute("BEGIN").await.unwrap();
            let lock = "SELECT generation FROM device_sessions.sessions WHERE id = $1 FOR UPDATE";
            let generation: i64 = client.query_one(lock, &[&id]).await.unwrap().get(0);
            let update = "UPDATE device_sessions.sessions SET generation = $2 WHERE id = $1";
            client.execute(update, &[&id, &(generation + 1)]).await.unwrap();
            client.batch_execute("COMMIT").await.unwrap();
        })
        .await
        .is_some();
        let rests = async || !leftovers(&subject.sql).await.iter().any(|one| one.starts_with("active"));
        eventually("it rests", rests).await;
        let found = leftovers(&subject.sql).await;
        if found.iter().any(|one| one.starts_with("idle in transaction")) {
            assert!(pool.status().available > 0, "and the next borrower gets it");
            left.push(polls);
        }
        drop(pool);
        eventually("closed", async || leftovers(&subject.sql).await.is_empty()).await;
        if done {
            println!("a careless rotation: left open when dropped after {left:?} of {polls} polls");
            break;
        }
    }
    assert!(!left.is_empty(), "the control must be caught");
}
