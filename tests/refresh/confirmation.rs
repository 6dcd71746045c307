//! The first use of refreshed tokens is told to the database: soon, in few statements, once; and it finds who uses what was
//! given up.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::time::{Duration, Instant};

use axum_device_sessions::{EndReason, SignedIn};
use tokio_postgres::Client;

use crate::{
    gate::Gate,
    refresh::{
        Node, Pair, end_reason, is_seen, past_the_grace, tokens_in_row, two_nodes, waiting_for_locks, whole_row,
    },
    support::{self, TestDb, eventually},
};

/// Signed in and refreshed, the new tokens not used yet.
async fn refreshed(node: &Node) -> (SignedIn, Pair) {
    let signed_in = node.sign_in("ahmed").await;
    let pair = Pair::of(&node.refresh(&signed_in.refresh_token).await);
    (signed_in, pair)
}

/// How often statements like this have run in the test's database.
async fn statements(sql: &Client, like: &str) -> i64 {
    let count = "SELECT coalesce(sum(calls), 0)::int8 FROM pg_stat_statements WHERE query LIKE $1 \
                 AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    sql.query_one(count, &[&like]).await.unwrap().get(0)
}

/// Confirmations so far, with the refreshes: transactions, and statements that write.
async fn work(sql: &Client) -> (i64, i64) {
    let locks =
        statements(sql, "SELECT%FROM device_sessions.sessions WHERE id = ANY($1) ORDER BY id FOR NO KEY%").await;
    let writes = statements(sql, "UPDATE device_sessions.sessions SET generation%").await;
    (locks, writes + statements(sql, "UPDATE device_sessions.sessions SET seen%").await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_use_is_known_within_a_second() {
    let (_db, nodes, sql) = two_nodes().await;
    let mut took = Vec::new();
    for _ in 0..9 {
        let (signed_in, pair) = refreshed(&nodes[0]).await;
        let id = signed_in.session.id;
        assert_eq!(nodes[1].me(&signed_in.access_token).await, "200 ahmed");
        assert_eq!(tokens_in_row(&sql, id).await, "2 of 1, floor 1", "the old one proves nothing");
        let used = Instant::now();
        assert_eq!(nodes[1].me(&pair.access).await, "200 ahmed");
        eventually("seen", || async { is_seen(&sql, id).await }).await;
        took.push(used.elapsed());
        assert_eq!(tokens_in_row(&sql, id).await, "2 of 1, seen, floor 1");
        // From here on the root is not forgiven.
        past_the_grace(&sql, id).await;
        let late = nodes[0].refresh(&signed_in.refresh_token).await;
        assert_eq!(late.line(), "401 session_ended refresh_reuse");
    }
    took.sort();
    println!("seen after {took:?}");
    assert!(took[took.len() / 2] < Duration::from_secs(1), "{took:?}");
}

/// A hundred first uses while one confirmation is under way go out together, and later uses cost nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_first_uses_make_few_statements_and_later_ones_none() {
    if !support::can_count_statements() {
        return println!("no pg_stat_statements here");
    }
    let (_db, nodes, sql) = two_nodes().await;
    sql.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(refreshed(&nodes[0]).await);
    }
    let only_signed_in = nodes[0].sign_in("ahmed").await;
    let before = work(&sql).await;
    for (_, pair) in &crowd {
        assert_eq!(nodes[1].me(&pair.access).await, "200 ahmed");
    }
    for (signed_in, _) in &crowd {
        eventually("seen", || async { is_seen(&sql, signed_in.session.id).await }).await;
    }
    let after = work(&sql).await;
    println!("100 first uses one after the other: {} transactions, {} writes", after.0 - before.0, after.1 - before.1);
    assert!(after.1 - before.1 <= after.0 - before.0, "one statement for each batch: {before:?} {after:?}");

    let before = after;
    for _ in 0..3 {
        for (_, pair) in &crowd {
            assert_eq!(nodes[1].me(&pair.access).await, "200 ahmed");
        }
        assert_eq!(nodes[1].me(&only_signed_in.access_token).await, "200 ahmed");
    }
    // Whatever these had to say would have gone out before this one, or with it.
    let (last, pair) = refreshed(&nodes[0]).await;
    assert_eq!(nodes[1].me(&pair.access).await, "200 ahmed");
    eventually("seen", || async { is_seen(&sql, last.session.id).await }).await;
    let after = work(&sql).await;
    assert_eq!((after.0 - before.0, after.1 - before.1), (2, 2), "its own refresh and confirmation");
    assert_eq!(tokens_in_row(&sql, only_signed_in.session.id).await, "1, floor 1");
}

/// A row that somebody holds is its own session's affair.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_locked_row_does_not_keep_others_from_being_confirmed() {
    let (db, nodes, sql) = two_nodes().await;
    let mut holder = db.connect().await;
    let (locked, locked_pair) = refreshed(&nodes[0]).await;
    let (free, free_pair) = refreshed(&nodes[0]).await;
    for signed_in in [&locked, &free] {
        assert_eq!(nodes[0].me(&signed_in.access_token).await, "200 ahmed");
    }
    let hold = holder.transaction().await.unwrap();
    let lock = "SELECT FROM device_sessions.sessions WHERE id = $1 FOR UPDATE";
    hold.execute(lock, &[&locked.session.id.as_uuid()]).await.unwrap();
    for pair in [&locked_pair, &free_pair] {
        assert_eq!(nodes[0].me(&pair.access).await, "200 ahmed");
    }
    eventually("the other is seen", || async { is_seen(&sql, free.session.id).await }).await;
    assert!(!is_seen(&sql, locked.session.id).await);
    hold.rollback().await.unwrap();
    eventually("and then this one", || async { is_seen(&sql, locked.session.id).await }).await;
}

/// A node with everything it needs in memory, so that it goes on for a while without the database.
async fn behind_a_gate(db: &TestDb) -> (Gate, Node) {
    let gate = Gate::to(db.url()).await;
    let node = Node::with(&gate.url(db.url()), |builder| builder.max_staleness(Duration::from_secs(60))).await;
    (gate, node)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_that_is_lost_is_sent_again() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let (gate, node) = behind_a_gate(&db).await;
    let (signed_in, pair) = refreshed(&node).await;
    let id = signed_in.session.id;
    assert_eq!(node.me(&signed_in.access_token).await, "200 ahmed");
    let careless = {
        let (client, connection) = tokio_postgres::connect(&gate.url(db.url()), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    };
    gate.shut();
    assert!(!gate.is_open());
    assert_eq!(node.me(&pair.access).await, "200 ahmed", "from memory");
    // The control: told once, and whatever comes of it.
    let (second, _) = refreshed(&Node::on(db.url()).await).await;
    let tell = "UPDATE device_sessions.sessions SET seen = true WHERE id = $1 AND generation = 2";
    let _ = careless.execute(tell, &[&second.session.id.as_uuid()]).await;
    gate.open();
    eventually("seen", || async { is_seen(&sql, id).await }).await;
    assert!(!is_seen(&sql, second.session.id).await, "the control must lose");
}

/// The thief heard the lost answer and uses it where the floor is not known yet; or its use is reported late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_void_token_in_use_ends_the_session_and_wakes_who_waits() {
    const REUSE: &str = "401 session_ended refresh_reuse";
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let node = Node::on(db.url()).await;
    let (gate, behind) = behind_a_gate(&db).await;
    let (signed_in, thiefs) = refreshed(&node).await;
    let (other, others_thief) = refreshed(&node).await;
    let id = signed_in.session.id;
    let mut waiters = Vec::new();
    for node in [&node, &behind] {
        waiters.push(tokio::spawn(node.current(&signed_in.access_token).await.ended()));
        assert_eq!(node.me(&other.access_token).await, "200 ahmed");
    }
    gate.shut();
    assert_eq!(behind.me(&thiefs.access).await, "200 ahmed", "not told, and within its bounds");
    let mut owners = Vec::new();
    for signed_in in [&signed_in, &other] {
        past_the_grace(&sql, signed_in.session.id).await;
        owners.push(Pair::of(&node.refresh(&signed_in.refresh_token).await));
    }
    assert_eq!(tokens_in_row(&sql, id).await, "3 of 1, floor 3 but 1");
    assert_eq!(node.me(&thiefs.access).await, "401 token_expired");
    assert_eq!(end_reason(&sql, id).await, None);
    gate.open();
    for waiter in waiters {
        assert_eq!(
            tokio::time::timeout(Duration::from_secs(20), waiter).await.unwrap().unwrap(),
            EndReason::RefreshReuse
        );
    }
    assert_eq!(end_reason(&sql, id).await.as_deref(), Some("refresh_reuse"));
    for node in [&node, &behind] {
        for access in [&owners[0].access, &thiefs.access, &signed_in.access_token] {
            assert_eq!(node.me(access).await, REUSE);
        }
    }

    // The control, on the other session: "seen, if it is the current one" finds nobody.
    let tell = "UPDATE device_sessions.sessions SET seen = true WHERE id = $1 AND generation = 2";
    assert_eq!(sql.execute(tell, &[&other.session.id.as_uuid()]).await.unwrap(), 0);
    assert_eq!(node.me(&owners[1].access).await, "200 ahmed", "the control must lose");
    drop(others_thief);
}

/// A retry that arrives while the confirmation waits for the row: whoever comes first, the row is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_beside_a_retry_loses_nothing() {
    let (db, nodes, sql) = two_nodes().await;
    let mut holder = db.connect().await;
    let (signed_in, pair) = refreshed(&nodes[0]).await;
    let id = signed_in.session.id;
    let hold = holder.transaction().await.unwrap();
    hold.execute("SELECT FROM device_sessions.sessions WHERE id = $1 FOR UPDATE", &[&id.as_uuid()]).await.unwrap();
    let before = whole_row(&sql, id).await;
    let (node, token) = (nodes[0].clone(), signed_in.refresh_token.clone());
    let retry = tokio::spawn(async move { node.refresh(&token).await });
    waiting_for_locks(&sql, 1).await;
    assert_eq!(nodes[1].me(&pair.access).await, "200 ahmed");
    assert_eq!(whole_row(&sql, id).await, before);
    hold.rollback().await.unwrap();
    assert_eq!(Pair::of(&retry.await.unwrap()).refresh, pair.refresh);
    eventually("seen", || async { tokens_in_row(&sql, id).await == "2 of 1, seen, floor 1" }).await;
}
