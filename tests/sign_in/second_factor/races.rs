//! Confirmed here, used there; confirmed twice at once.

use tokio_postgres::Client;

use super::gate::Gate;
use super::http::{cookie, post};
use super::site::{Browser, In, Node, count, two};
use super::support::TestDb;
use super::{REQUIRED, confirmed, half_in, row};

const ROUNDS: usize = 200;

/// The other node has it in memory as pending, and is asked before it can have been told. Not one 401.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_new_token_works_at_once_where_it_was_known_as_pending() {
    let (_db, nodes, _sql) = two(|builder| builder).await;
    let mut refused = Vec::new();
    for round in 0..ROUNDS {
        let (here, there) = (&nodes[round % 2], &nodes[(round + 1) % 2]);
        let mut browser = Browser::default();
        let half = half_in(&mut browser, here, "ahmed", round % 4 < 2).await;
        assert_eq!(there.me(&half.sent).await, REQUIRED, "known there as pending");
        let full = confirmed(&mut browser, here, &half).await;
        let line = there.me(&full.sent).await;
        if line != "200 ahmed" {
            refused.push(line);
        }
    }
    assert_eq!(refused, Vec::<String>::new(), "of {ROUNDS}");
    println!("{ROUNDS} confirmed here and used there, 0 refused");
}

/// The control: there it was known as pending indeed, by memory alone. Where nothing can be read any more it is still told
/// so, and the new token is not taken for a bad one either.
#[tokio::test]
async fn what_is_in_memory_would_have_refused_it() {
    let db = TestDb::new().await;
    let gate = Gate::to(db.url()).await;
    let here = Node::at(db.url(), |builder| builder).await;
    let minutes = std::time::Duration::from_secs(600);
    let there = Node::at(&gate.url(db.url()), |builder| builder.outage_grace(minutes)).await;
    for by_cookie in [false, true] {
        let mut browser = Browser::default();
        let half = half_in(&mut browser, &here, "ahmed", by_cookie).await;
        assert_eq!(there.me(&half.sent).await, REQUIRED);
        gate.shut();
        assert_eq!(there.me(&half.sent).await, REQUIRED, "the control: from memory");
        let full = confirmed(&mut browser, &here, &half).await;
        assert_eq!(there.me(&full.sent).await, "503 temporarily_unavailable", "no evidence against it");
        gate.open();
        there.answers(&full.sent, "200 ahmed").await;
        there.answers(&half.sent, "401 token_expired").await;
    }
}

/// Two tabs, one code: one of them is in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    for round in 0..40 {
        let half = half_in(&mut Browser::default(), &nodes[0], "ahmed", false).await;
        for node in &nodes {
            assert_eq!(node.me(&half.sent).await, REQUIRED);
        }
        let confirming = [0, round % 2].map(|at| {
            let (node, sent) = (nodes[at].clone(), half.sent.clone());
            tokio::spawn(async move { post(&node.app, "/second-factor", &sent).await })
        });
        let [one, other] = confirming;
        let mut answers = [one.await.unwrap(), other.await.unwrap()];
        answers.sort_by_key(|answer| answer.status);
        let full = Browser::default().is_in(&answers[0]);
        let late = answers[1].line();
        assert!(["401 invalid_token", "401 token_expired"].contains(&late.as_str()), "{late}");
        for node in &nodes {
            assert_eq!(node.me(&full.sent).await, "200 ahmed", "the second one has done it no harm");
        }
    }
    assert_eq!(count(&sql, "SELECT count(*) FROM device_sessions.sessions WHERE pending").await, 0);
}

/// As one writes it first: read that it is pending, then make it a session.
async fn naive_read(sql: &Client, half: &In) -> bool {
    row(sql, &half.id).await == "pending"
}

async fn naive_write(sql: &Client, half: &In) -> u64 {
    let update = "UPDATE device_sessions.sessions SET pending = false, generation = generation + 1 WHERE id::text = $1";
    sql.execute(update, &[&half.id]).await.unwrap()
}

/// The control.
#[tokio::test]
async fn read_then_written_both_win() {
    let (db, [node, _], one) = two(|builder| builder).await;
    let other = db.connect().await;
    let half = half_in(&mut Browser::default(), &node, "ahmed", false).await;
    assert!(naive_read(&one, &half).await && naive_read(&other, &half).await);
    assert_eq!((naive_write(&one, &half).await, naive_write(&other, &half).await), (1, 1), "the control must lose");
}

/// Signed out while the code is on its way: never a session that nobody ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_signing_out_everywhere() {
    let (_db, nodes, sql) = two(|builder| builder).await;
    let (mut before, mut after) = (0, 0);
    for round in 0..40 {
        let owner = Browser::default().login(&nodes[0], "ahmed", false).await;
        let half = half_in(&mut Browser::default(), &nodes[0], "ahmed", true).await;
        let (ending, confirming) = (nodes[round % 2].clone(), nodes[(round / 2) % 2].clone());
        let ended =
            tokio::spawn(async move { super::http::delete(&ending.app, "/sessions", &owner.sent).await.status });
        let sent = half.sent.clone();
        let answer = tokio::spawn(async move { post(&confirming.app, "/second-factor", &sent).await }).await.unwrap();
        assert_eq!(ended.await.unwrap(), 200);
        let live = "SELECT count(*) FROM device_sessions.sessions WHERE ended_at IS NULL";
        assert_eq!(count(&sql, live).await, 0, "ended as pending, or as a session");
        match answer.status.as_u16() {
            200 => {
                before += 1;
                let token = answer.headers.get("set-cookie").unwrap().to_str().unwrap();
                let token = token.trim_start_matches("__Host-session=").split(';').next().unwrap();
                for node in &nodes {
                    node.answers(&[cookie(token)], "401 session_ended revoked_by_user").await;
                }
            }
            401 => {
                after += 1;
                assert_eq!(answer.line(), "401 session_ended revoked_by_user");
            }
            other => panic!("{other}"),
        }
    }
    println!("{before} confirmed before the end, {after} after it");
}
