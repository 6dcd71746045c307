//! Refreshes that come together: one successor for all of them, one end for all replays, and no tokens that outlive an end.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::collections::HashSet;

use axum_device_sessions::EndReason;
use tokio::task::JoinSet;

use crate::{
    http::Answer,
    refresh::{Node, Pair, end_reason, naive, past_the_grace, tokens_in_row, two_nodes, waiting_for_locks},
    support::{TestDb, eventually},
};

/// The same token, so often at once, on these nodes in turn.
async fn together(nodes: &[Node], times: usize, refresh_token: &str) -> Vec<Answer> {
    let mut tasks = JoinSet::new();
    for number in 0..times {
        let (node, token) = (nodes[number % nodes.len()].clone(), refresh_token.to_owned());
        tasks.spawn(async move { node.refresh(&token).await });
    }
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_refreshes_of_one_token_make_one_successor() {
    let (_db, nodes, sql) = two_nodes().await;
    for on in [&nodes[..1], &nodes[..]] {
        for _ in 0..10 {
            let first = nodes[0].sign_in("ahmed").await;
            let (id, mut token) = (first.session.id, first.refresh_token);
            for generation in 2..4 {
                let pairs: Vec<_> = together(on, 20, &token).await.iter().map(Pair::of).collect();
                let successors: HashSet<_> = pairs.iter().map(|pair| &pair.refresh).collect();
                assert_eq!(successors.len(), 1);
                let row = tokens_in_row(&sql, id).await;
                assert_eq!(row, format!("{generation} of {}, floor 1", generation - 1));
                for node in &nodes {
                    // Each of them: other jitter, other signature, the same generation.
                    for pair in &pairs {
                        assert_eq!(node.me(&pair.access).await, "200 ahmed");
                    }
                }
                token.clone_from(&pairs[0].refresh);
                // Or the next one would be a tab that loads while the others refresh.
                past_the_grace(&sql, id).await;
            }
        }
    }
}

/// The control.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_then_write_forks_the_session_or_signs_it_out() {
    let db = TestDb::new().await;
    let first = naive::table(&db.connect().await).await;
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let client = db.connect().await;
        tasks.spawn(async move { naive::refresh(&client, first).await });
    }
    let answers = tasks.join_all().await;
    let successors: HashSet<_> = answers.iter().collect();
    println!("naive: {} different answers to one token, None is a sign-out: {answers:?}", successors.len());
    assert!(successors.len() > 1, "the control must lose");
}

/// A session whose first token is older than the root of the current one: presented again it is a theft.
async fn with_a_stale_token(node: &Node, sql: &tokio_postgres::Client) -> (axum_device_sessions::SignedIn, Pair) {
    let signed_in = node.sign_in("ahmed").await;
    let second = Pair::of(&node.refresh(&signed_in.refresh_token).await);
    past_the_grace(sql, signed_in.session.id).await;
    let third = Pair::of(&node.refresh(&second.refresh).await);
    (signed_in, third)
}

const COUNT_ENDS: &str = "CREATE TABLE ends (id uuid NOT NULL); \
    CREATE FUNCTION count_end() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN INSERT INTO public.ends VALUES (OLD.id); RETURN NULL; END $$;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_replays_of_an_old_token_end_the_session_once() {
    const REUSE: &str = "401 session_ended refresh_reuse";
    let (_db, nodes, sql) = two_nodes().await;
    sql.batch_execute(COUNT_ENDS).await.unwrap();
    sql.batch_execute(
        "CREATE TRIGGER count_end AFTER UPDATE OF ended_at ON device_sessions.sessions \
         FOR EACH ROW WHEN (OLD.ended_at IS NULL) EXECUTE FUNCTION count_end()",
    )
    .await
    .unwrap();
    for round in 0..10 {
        let (stolen, current) = with_a_stale_token(&nodes[0], &sql).await;
        let id = stolen.session.id;
        for node in &nodes {
            assert_eq!(node.me(&current.access).await, "200 ahmed", "each node knows it as live");
        }
        let on = if round < 5 { &nodes[..] } else { &nodes[..1] };
        for answer in together(on, 10, &stolen.refresh_token).await {
            assert_eq!(answer.line(), REUSE);
        }
        assert_eq!(end_reason(&sql, id).await.as_deref(), Some("refresh_reuse"));
        let ends = sql.query_one("SELECT count(*) FROM ends WHERE id = $1", &[&id.as_uuid()]).await.unwrap();
        assert_eq!(ends.get::<_, i64>(0), 1);
        for node in on {
            assert_eq!(node.me(&current.access).await, REUSE, "at once where it was found");
        }
        for node in &nodes {
            eventually("told", || async { node.me(&current.access).await == REUSE }).await;
            assert_eq!(node.me(&stolen.access_token).await, REUSE);
            assert_eq!(node.refresh(&current.refresh).await.line(), REUSE);
            assert_eq!(node.refresh(&stolen.refresh_token).await.line(), REUSE);
        }
    }
}

/// The control: the session is looked at, found live, and ended, by all ten.
#[tokio::test]
async fn replays_that_look_and_then_end_raise_ten_alarms() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    naive::table(&sql).await;
    sql.batch_execute(COUNT_ENDS).await.unwrap();
    sql.batch_execute(
        "ALTER TABLE naive ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid(); \
         CREATE TRIGGER count_end AFTER UPDATE OF ended ON naive FOR EACH ROW EXECUTE FUNCTION count_end()",
    )
    .await
    .unwrap();
    let stale = uuid::Uuid::now_v7();
    for _ in 0..10 {
        assert!(!naive::read(&sql, stale).await);
    }
    for _ in 0..10 {
        sql.execute("UPDATE naive SET ended = true", &[]).await.unwrap();
    }
    let ends: i64 = sql.query_one("SELECT count(*) FROM ends", &[]).await.unwrap().get(0);
    assert_eq!(ends, 10, "the control must lose");
}

/// Refresh and end wait for the same lock, in either order; the end is on one node, the refresh on the same or the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_tokens_that_work_are_handed_out_after_an_end() {
    const ENDED: &str = "401 session_ended logout";
    let (db, nodes, sql) = two_nodes().await;
    let mut holder = db.connect().await;
    for (refresh_first, on) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
        let signed_in = nodes[0].sign_in("ahmed").await;
        let id = signed_in.session.id;
        for node in &nodes {
            assert_eq!(node.me(&signed_in.access_token).await, "200 ahmed");
        }
        let hold = holder.transaction().await.unwrap();
        hold.execute("SELECT FROM device_sessions.sessions WHERE id = $1 FOR UPDATE", &[&id.as_uuid()]).await.unwrap();
        let (refreshing, ending) = (nodes[on].clone(), nodes[0].clone());
        let refresh = async move { refreshing.refresh(&signed_in.refresh_token).await };
        let end = async move { ending.end(id, EndReason::Logout).await };
        let (refreshed, ended);
        if refresh_first {
            refreshed = tokio::spawn(refresh);
            waiting_for_locks(&sql, 1).await;
            ended = tokio::spawn(end);
        } else {
            ended = tokio::spawn(end);
            waiting_for_locks(&sql, 1).await;
            refreshed = tokio::spawn(refresh);
        }
        waiting_for_locks(&sql, 2).await;
        hold.rollback().await.unwrap();
        ended.await.unwrap();
        let answer = refreshed.await.unwrap();
        if refresh_first {
            let pair = Pair::of(&answer);
            assert_eq!(nodes[0].me(&pair.access).await, ENDED, "at once on the node that ended it");
            eventually("the other is told", || async { nodes[1].me(&pair.access).await == ENDED }).await;
            for node in &nodes {
                assert_eq!(node.refresh(&pair.refresh).await.line(), ENDED);
            }
        } else {
            assert_eq!(answer.line(), ENDED);
        }
        let generation = if refresh_first { "2 of 1, floor 1" } else { "1, floor 1" };
        assert_eq!(tokens_in_row(&sql, id).await, generation);
    }
}

/// The control: reading takes no lock, so the end falls between reading and writing.
#[tokio::test]
async fn read_then_write_hands_out_tokens_after_the_end() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let first = naive::table(&sql).await;
    let may = naive::read(&sql, first).await;
    sql.execute("UPDATE naive SET ended = true", &[]).await.unwrap();
    let handed_out = if may { naive::write(&sql).await } else { None };
    assert!(handed_out.is_some(), "the control must lose");
}

/// On the node that has not been told as well: the row is asked, not the memory.
#[tokio::test]
async fn an_ended_sessions_token_is_refused_at_once_on_every_node() {
    let (_db, nodes, sql) = two_nodes().await;
    for reason in [EndReason::Logout, EndReason::RevokedByAdmin, EndReason::CredentialChange, EndReason::Limit] {
        let signed_in = nodes[0].sign_in("ahmed").await;
        let second = Pair::of(&nodes[1].refresh(&signed_in.refresh_token).await);
        nodes[0].end(signed_in.session.id, reason.clone()).await;
        for node in [&nodes[1], &nodes[0]] {
            for token in [&second.refresh, &signed_in.refresh_token] {
                assert_eq!(node.refresh(token).await.line(), format!("401 session_ended {reason}"));
            }
        }
    }
    // By hand, and nobody here did it.
    let signed_in = nodes[0].sign_in("ahmed").await;
    for node in &nodes {
        assert_eq!(node.me(&signed_in.access_token).await, "200 ahmed");
    }
    let by_hand = "UPDATE device_sessions.sessions SET ended_at = now() WHERE id = $1";
    sql.execute(by_hand, &[&signed_in.session.id.as_uuid()]).await.unwrap();
    for node in &nodes {
        assert_eq!(node.refresh(&signed_in.refresh_token).await.line(), "401 session_ended revoked_by_admin");
        assert_eq!(node.me(&signed_in.access_token).await, "401 session_ended revoked_by_admin");
    }
    // Deleted.
    let signed_in = nodes[0].sign_in("ahmed").await;
    let delete = "DELETE FROM device_sessions.sessions WHERE id = $1";
    sql.execute(delete, &[&signed_in.session.id.as_uuid()]).await.unwrap();
    for node in &nodes {
        assert_eq!(node.refresh(&signed_in.refresh_token).await.line(), "401 invalid_token");
    }
}
