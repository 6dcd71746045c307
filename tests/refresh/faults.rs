//! The database is away: 503 in time, nothing rotated, and afterwards the same token works. What is known for certain is
//! 401.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::sync::{Arc, Mutex};

use axum_device_sessions::PostgresStore;
use deadpool_postgres::{Manager, Pool, Runtime};
use tokio_postgres::NoTls;

use crate::{
    http,
    refresh::{Node, Pair, generation_of, naive, tokens_in_row, two_nodes, unavailable, waiting_for_locks, whole_row},
    stall::{Hold, Stall},
    support::{TestDb, eventually},
};

const AWAY: &str = "503 temporarily_unavailable";

async fn works_again(node: &Node, refresh_token: &str) {
    let answer = Arc::new(Mutex::new(None));
    eventually("it works again", || async {
        let got = node.refresh(refresh_token).await;
        let came = got.status == 200;
        assert!(came || got.line() == AWAY, "{}", got.line());
        *answer.lock().unwrap() = Some(got);
        came
    })
    .await;
    let pair = Pair::of(&answer.lock().unwrap().take().unwrap());
    assert_eq!(generation_of(&pair.refresh), 2);
    assert_eq!(node.me(&pair.access).await, "200 ahmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_stopped() {
    let db = TestDb::own_cluster(&[]).await;
    let node = Node::on(db.url()).await;
    let (known, cold) = (node.sign_in("ahmed").await, node.sign_in("ahmed").await);
    assert_eq!(node.me(&known.access_token).await, "200 ahmed");
    db.server().stop_immediate();
    unavailable("stopped", &node, &known.refresh_token).await;
    unavailable("stopped, not known", &node, &cold.refresh_token).await;
    assert_eq!(node.refresh("garbage").await.line(), "401 invalid_token", "that is known for certain");
    db.server().start_again().unwrap();
    let sql = db.connect().await;
    for signed_in in [known, cold] {
        assert_eq!(tokens_in_row(&sql, signed_in.session.id).await, "1, floor 1", "nothing was rotated");
        works_again(&node, &signed_in.refresh_token).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_swallows_everything() {
    let db = TestDb::new().await;
    let stall = Stall::to(db.url()).await;
    let (node, sql) = (Node::on(&stall.url(db.url())).await, db.connect().await);
    let signed_in = node.sign_in("ahmed").await;
    let before = whole_row(&sql, signed_in.session.id).await;
    stall.hold(Hold::Everything);
    unavailable("black hole", &node, &signed_in.refresh_token).await;
    stall.hold(Hold::Nothing);
    assert_eq!(whole_row(&sql, signed_in.session.id).await, before, "nothing was rotated");
    works_again(&node, &signed_in.refresh_token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_has_the_whole_pool() {
    let db = TestDb::new().await;
    let manager = Manager::new(db.url().parse().unwrap(), NoTls);
    let pool = Pool::builder(manager).max_size(4).runtime(Runtime::Tokio1).build().unwrap();
    let store = PostgresStore::from_pool(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    let (node, sql) = (Node::of(http::on(store).build().await.unwrap()), db.connect().await);
    let signed_in = node.sign_in("ahmed").await;
    let before = whole_row(&sql, signed_in.session.id).await;
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(pool.get().await.unwrap());
    }
    unavailable("exhausted", &node, &signed_in.refresh_token).await;
    drop(taken);
    assert_eq!(whole_row(&sql, signed_in.session.id).await, before, "nothing was rotated");
    works_again(&node, &signed_in.refresh_token).await;
}

/// Of one row, by a hand in psql, say. It costs that session's refresh and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_holds_the_row() {
    let (db, nodes, sql) = two_nodes().await;
    let mut holder = db.connect().await;
    let (signed_in, other) = (nodes[0].sign_in("ahmed").await, nodes[0].sign_in("ahmed").await);
    let id = signed_in.session.id;
    let before = whole_row(&sql, id).await;
    let hold = holder.transaction().await.unwrap();
    hold.execute("SELECT FROM device_sessions.sessions WHERE id = $1 FOR UPDATE", &[&id.as_uuid()]).await.unwrap();
    let [first, second] = [0, 1].map(|node| {
        let (node, token) = (nodes[node].clone(), signed_in.refresh_token.clone());
        tokio::spawn(async move { unavailable("locked", &node, &token).await })
    });
    waiting_for_locks(&sql, 2).await;
    for node in &nodes {
        assert_eq!(node.me(&signed_in.access_token).await, "200 ahmed", "requests do not wait");
        assert_eq!(node.refresh(&other.refresh_token).await.status, 200, "nor do other sessions");
    }
    first.await.unwrap();
    second.await.unwrap();
    hold.rollback().await.unwrap();
    assert_eq!(whole_row(&sql, id).await, before, "nothing was rotated");
    works_again(&nodes[1], &signed_in.refresh_token).await;
}

/// The control: what goes wrong is "no such token", and the client signs in again.
#[tokio::test]
async fn the_naive_design_signs_out_whom_it_cannot_look_up() {
    let db = TestDb::new().await;
    let (sql, holder) = (db.connect().await, db.connect().await);
    let first = naive::table(&sql).await;
    holder.batch_execute("BEGIN; SELECT FROM naive FOR UPDATE").await.unwrap();
    sql.batch_execute("SET lock_timeout = '100ms'").await.unwrap();
    assert_eq!(naive::refresh(&sql, first).await, None, "the control must lose");
}
