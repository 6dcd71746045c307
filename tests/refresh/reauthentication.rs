//! `Sessions::reauthenticated`: the same session, new tokens, and no way from the old ones to them.

#![cfg(all(feature = "postgres", feature = "routes"))]

use axum_device_sessions::{EndReason, ErrorKind, SignedIn};
use time::OffsetDateTime;
use tokio_postgres::Client;

use crate::{
    refresh::{
        Node, Pair, all_told, end_reason, generation_of, naive, past_the_grace, tokens_in_row, two_nodes, whole_row,
    },
    support::{TestDb, eventually},
};

async fn authenticated_at(sql: &Client, signed_in: &SignedIn) -> OffsetDateTime {
    let select = "SELECT authenticated_at FROM device_sessions.sessions WHERE id = $1";
    sql.query_one(select, &[&signed_in.session.id.as_uuid()]).await.unwrap().get(0)
}

/// Known on each node.
async fn signed_in(nodes: &[Node; 2]) -> SignedIn {
    let signed_in = nodes[0].sign_in("ahmed").await;
    for node in nodes {
        assert_eq!(node.me(&signed_in.access_token).await, "200 ahmed");
    }
    signed_in
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_stays_and_its_old_tokens_do_not() {
    let (_db, nodes, sql) = two_nodes().await;
    let old = signed_in(&nodes).await;
    let id = old.session.id;
    let before = authenticated_at(&sql, &old).await;
    let current = nodes[0].current(&old.access_token).await;
    let waiters = [tokio::spawn(current.ended()), tokio::spawn(nodes[1].current(&old.access_token).await.ended())];

    let new = nodes[0].sessions.reauthenticated(&current).await.unwrap();
    assert_eq!(nodes[0].me(&old.access_token).await, "401 token_expired", "at once where it was done");
    assert_eq!((new.session.id, generation_of(&new.refresh_token)), (id, 2));
    assert!(new.session.is_current && new.session.authenticated_at > before);
    assert_eq!(new.session.created_at, old.session.created_at);
    assert!(authenticated_at(&sql, &old).await > before);
    assert_eq!(tokens_in_row(&sql, id).await, "2, seen, floor 2");
    let rows: i64 = sql.query_one("SELECT count(*) FROM device_sessions.sessions", &[]).await.unwrap().get(0);
    assert_eq!(rows, 1, "no new row");

    eventually("told", || async { nodes[1].me(&old.access_token).await == "401 token_expired" }).await;
    for node in &nodes {
        assert_eq!(node.me(&new.access_token).await, "200 ahmed");
        // Of a tab that refreshed in the same moment: it gets nothing, and nothing happens.
        let row = whole_row(&sql, id).await;
        assert_eq!(node.refresh(&old.refresh_token).await.line(), "401 invalid_token");
        assert_eq!(whole_row(&sql, id).await, row);
        assert_eq!(node.me(&new.access_token).await, "200 ahmed");
    }
    // A stream that the old token opened goes on, and hears of the end when there is one.
    let third = Pair::of(&nodes[1].refresh(&new.refresh_token).await);
    assert_eq!(generation_of(&third.refresh), 3);
    nodes[1].end(id, EndReason::Logout).await;
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), EndReason::Logout, "not before, and why");
    }
}

/// Who knew the old token, and comes later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_token_past_the_grace_is_a_theft() {
    let (_db, nodes, sql) = two_nodes().await;
    let old = signed_in(&nodes).await;
    let second = Pair::of(&nodes[0].refresh(&old.refresh_token).await);
    let current = nodes[1].current(&second.access).await;
    let new = nodes[1].sessions.reauthenticated(&current).await.unwrap();
    all_told(&nodes[1], &nodes[0]).await;
    for node in &nodes {
        for old in [&old.access_token, &second.access] {
            assert_eq!(node.me(old).await, "401 token_expired", "the root's, too");
        }
    }
    past_the_grace(&sql, old.session.id).await;
    assert_eq!(nodes[0].refresh(&second.refresh).await.line(), "401 session_ended refresh_reuse");
    assert_eq!(end_reason(&sql, old.session.id).await.as_deref(), Some("refresh_reuse"));
    for node in &nodes {
        let ended = async || node.me(&new.access_token).await == "401 session_ended refresh_reuse";
        eventually("told", ended).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_session_is_not_renewed() {
    let (_db, nodes, sql) = two_nodes().await;
    for (by, reason) in [(0, EndReason::Logout), (1, EndReason::RevokedByUser)] {
        let old = signed_in(&nodes).await;
        let current = nodes[0].current(&old.access_token).await;
        nodes[by].end(old.session.id, reason.clone()).await;
        let row = whole_row(&sql, old.session.id).await;
        let error = nodes[0].sessions.reauthenticated(&current).await.unwrap_err();
        assert_eq!((error.kind(), error.end_reason()), (ErrorKind::SessionEnded, Some(&reason)));
        assert_eq!(whole_row(&sql, old.session.id).await, row);
    }
}

/// Many at once: each gets tokens of a generation of its own, and the last one's work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn together_with_refreshes_there_is_one_chain() {
    let (_db, nodes, sql) = two_nodes().await;
    let old = signed_in(&nodes).await;
    // Before any of them makes the old token void.
    let mut currents = Vec::new();
    for number in 0..4 {
        currents.push(nodes[number % 2].current(&old.access_token).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..10 {
        let (node, token) = (nodes[number % 2].clone(), old.refresh_token.clone());
        if let Some(current) = currents.pop() {
            tasks.spawn(async move { Some(Pair::from(&node.sessions.reauthenticated(&current).await.unwrap())) });
        } else {
            tasks.spawn(async move {
                let answer = node.refresh(&token).await;
                assert!(answer.status == 200 || answer.line() == "401 invalid_token", "{}", answer.text());
                (answer.status == 200).then(|| Pair::of(&answer))
            });
        }
    }
    let pairs: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let last = pairs.iter().max_by_key(|pair| generation_of(&pair.refresh)).unwrap();
    assert_eq!(end_reason(&sql, old.session.id).await, None);
    all_told(&nodes[0], &nodes[1]).await;
    all_told(&nodes[1], &nodes[0]).await;
    for node in &nodes {
        assert_eq!(node.me(&last.access).await, "200 ahmed");
        assert_eq!(node.me(&old.access_token).await, "401 token_expired");
    }
}

/// The control: "has proved anew who they are" noted in the row, and the tokens left as they are.
#[tokio::test]
async fn a_stamp_alone_takes_the_thief_along() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let stolen = naive::table(&sql).await;
    sql.batch_execute("ALTER TABLE naive ADD COLUMN authenticated_at timestamptz").await.unwrap();
    sql.batch_execute("UPDATE naive SET authenticated_at = now()").await.unwrap();
    assert!(naive::refresh(&sql, stolen).await.is_some(), "the control must lose");
}
