//! The refresh is carried out, and its answer does not arrive: between client and node, or between node and database.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use axum_device_sessions::SignedIn;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::{
    proxy::Proxy,
    refresh::{
        DEADLINE, Node, Pair, all_told, end_reason, generation_of, is_seen, naive, past_the_grace, tokens_in_row,
        two_nodes, waiting_for_locks, whole_row,
    },
    support::{TestDb, eventually},
};

const REUSE: &str = "401 session_ended refresh_reuse";

/// Serves over real connections.
async fn serve(node: &Node) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = node.app.clone();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// The request of a client that closes the connection after it, byte for byte.
fn request(refresh_token: &str) -> String {
    let body = format!(r#"{{"refresh_token":"{refresh_token}"}}"#);
    let length = body.len();
    format!(
        "POST /auth/refresh HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

/// A proxy that hears the whole answer, keeps it, and closes the connection to the client.
async fn swallowing(server: SocketAddr) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (swallowed, answers) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut from_client, _to_client) = client.into_split();
            let (mut from_server, mut to_server) = TcpStream::connect(server).await.unwrap().into_split();
            let asking = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            let mut answer = String::new();
            from_server.read_to_string(&mut answer).await.unwrap();
            asking.abort();
            swallowed.send(answer).unwrap();
        }
    });
    (address, answers)
}

/// The tokens of an answer that nobody was given.
async fn lost(proxy: SocketAddr, answers: &mut mpsc::UnboundedReceiver<String>, refresh_token: &str) -> Pair {
    let mut client = TcpStream::connect(proxy).await.unwrap();
    client.write_all(request(refresh_token).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _reset = client.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "the client has heard nothing");
    let answer = answers.recv().await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "and it was carried out: {head}");
    Pair::in_body(&serde_json::from_str(body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_given_again_within_the_grace() {
    let (_db, nodes, sql) = two_nodes().await;
    let (proxy, mut answers) = swallowing(serve(&nodes[0]).await).await;
    let signed_in = nodes[0].sign_in("ahmed").await;
    let id = signed_in.session.id;
    let unheard = lost(proxy, &mut answers, &signed_in.refresh_token).await;
    for node in [&nodes[1], &nodes[0], &nodes[1]] {
        let pair = Pair::of(&node.refresh(&signed_in.refresh_token).await);
        assert_eq!(pair.refresh, unheard.refresh, "the same successor");
        assert_eq!(tokens_in_row(&sql, id).await, "2 of 1, floor 1");
    }
    for node in &nodes {
        assert_eq!(node.me(&unheard.access).await, "200 ahmed", "it is one pair");
    }
}

/// However often it is lost: the client's token stays the root, and whoever heard a lost answer is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_grace_a_lost_answer_is_void() {
    for losses in 1..4 {
        let (_db, nodes, sql) = two_nodes().await;
        let (proxy, mut answers) = swallowing(serve(&nodes[0]).await).await;
        let signed_in = nodes[0].sign_in("ahmed").await;
        let id = signed_in.session.id;
        let mut unheard = Vec::new();
        for _ in 0..losses {
            unheard.push(lost(proxy, &mut answers, &signed_in.refresh_token).await);
            past_the_grace(&sql, id).await;
        }
        for node in &nodes {
            // Known on each, so that the other one has to be told.
            assert_eq!(node.me(&signed_in.access_token).await, "200 ahmed");
        }
        let pair = Pair::of(&nodes[0].refresh(&signed_in.refresh_token).await);
        let current = generation_of(&pair.refresh);
        assert_eq!(current, 2 + losses);
        assert_eq!(tokens_in_row(&sql, id).await, format!("{current} of 1, floor {current} but 1"));
        let asked = Instant::now();
        all_told(&nodes[0], &nodes[1]).await;
        println!("told within {:?}", asked.elapsed());
        for unheard in &unheard {
            for node in &nodes {
                assert_eq!(node.me(&unheard.access).await, "401 token_expired");
            }
        }
        for node in &nodes {
            assert_eq!(node.me(&signed_in.access_token).await, "200 ahmed", "the root's tells nobody anything");
            assert_eq!(node.me(&pair.access).await, "200 ahmed");
        }
        assert_eq!(end_reason(&sql, id).await, None);
        // Whoever has a lost one after all.
        assert_eq!(nodes[1].refresh(&unheard[0].refresh).await.line(), REUSE);
        for node in &nodes {
            eventually("told", || async { node.me(&pair.access).await == REUSE }).await;
        }
    }
}

/// The client hangs up as soon as it has asked; the node carries it out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_may_ask_again() {
    let (db, nodes, sql) = two_nodes().await;
    let address = serve(&nodes[0]).await;
    let mut holder = db.connect().await;
    for _ in 0..5 {
        let signed_in = nodes[0].sign_in("ahmed").await;
        let id = signed_in.session.id;
        let hold = holder.transaction().await.unwrap();
        hold.execute("SELECT FROM device_sessions.sessions WHERE id = $1 FOR UPDATE", &[&id.as_uuid()]).await.unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request(&signed_in.refresh_token).as_bytes()).await.unwrap();
        waiting_for_locks(&sql, 1).await;
        drop(client);
        hold.rollback().await.unwrap();
        eventually("carried out", || async { tokens_in_row(&sql, id).await == "2 of 1, floor 1" }).await;
        let pair = Pair::of(&nodes[1].refresh(&signed_in.refresh_token).await);
        assert_eq!(generation_of(&pair.refresh), 2);
        assert_eq!(nodes[0].me(&pair.access).await, "200 ahmed");
    }
}

/// What the refresh says to the database, in order: whichever answer is lost, it was done whole or not at all.
const STATEMENTS: [(&str, bool); 6] = [
    ("SELECT id, user_id", false),
    ("BEGIN ISOLATION", false),
    ("ORDER BY id FOR NO KEY UPDATE", false),
    ("AS broken_at FROM", false),
    ("SET generation", false),
    // With its end: BEGIN says READ COMMITTED.
    ("COMMIT\0", true),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_databases_answer_is_lost() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let proxy = Proxy::to(db.url()).await;
    let (behind, other) = (Node::on(&proxy.url(db.url())).await, Node::on(db.url()).await);
    for (statement, done) in STATEMENTS {
        // Of a session that the node behind the proxy does not know.
        let signed_in = other.sign_in("ahmed").await;
        let (id, token) = (signed_in.session.id, signed_in.refresh_token.clone());
        let before = whole_row(&sql, id).await;
        let held = proxy.hold(statement);
        let asked = Instant::now();
        let refreshing = {
            let (node, token) = (behind.clone(), token.clone());
            tokio::spawn(async move { node.refresh(&token).await })
        };
        held.answered().await;
        held.cut();
        assert_eq!(refreshing.await.unwrap().line(), "503 temporarily_unavailable", "{statement}");
        assert!(asked.elapsed() < DEADLINE, "{statement}");
        if done {
            assert_eq!(tokens_in_row(&sql, id).await, "2 of 1, floor 1");
        } else {
            assert_eq!(whole_row(&sql, id).await, before, "{statement}");
        }
        // Where it was done, this is the same successor. Its own node may be reconnecting.
        let pair = Pair::of(&other.refresh(&token).await);
        assert_eq!(generation_of(&pair.refresh), 2, "{statement}");
        assert_eq!(tokens_in_row(&sql, id).await, "2 of 1, floor 1");
        eventually("as before", || async { behind.refresh(&token).await.status == 200 }).await;
        assert_eq!(generation_of(&Pair::of(&behind.refresh(&token).await).refresh), 2);
        assert_eq!(other.me(&pair.access).await, "200 ahmed");
    }
}

/// The same for the end of a reused token's session: 503, and it has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_databases_answer_to_an_end_by_reuse_is_lost() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let proxy = Proxy::to(db.url()).await;
    let (behind, other) = (Node::on(&proxy.url(db.url())).await, Node::on(db.url()).await);
    let signed_in: SignedIn = other.sign_in("ahmed").await;
    let id = signed_in.session.id;
    let second = Pair::of(&other.refresh(&signed_in.refresh_token).await);
    past_the_grace(&sql, id).await;
    let third = Pair::of(&other.refresh(&second.refresh).await);
    for node in [&behind, &other] {
        assert_eq!(node.me(&third.access).await, "200 ahmed");
    }
    // The confirmation is through, or it would be caught in place of the end.
    eventually("seen", || async { is_seen(&sql, id).await }).await;
    let ending = proxy.hold("SET ended_at");
    let replay = {
        let (node, token) = (behind.clone(), signed_in.refresh_token.clone());
        tokio::spawn(async move { node.refresh(&token).await })
    };
    ending.answered().await;
    let held = proxy.hold("COMMIT\0");
    ending.release();
    held.answered().await;
    held.cut();
    assert_eq!(replay.await.unwrap().line(), "503 temporarily_unavailable");
    assert_eq!(end_reason(&sql, id).await.as_deref(), Some("refresh_reuse"));
    for node in [&behind, &other] {
        eventually("told", || async { node.me(&third.access).await == REUSE }).await;
        eventually("asked", || async { node.refresh(&third.refresh).await.line() == REUSE }).await;
    }
}

/// The control: one use, no grace, as the letter of RFC 9700 has it and a simple rotation does it.
#[tokio::test]
async fn one_lost_answer_signs_the_user_out() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let first = naive::table(&sql).await;
    let _lost = naive::refresh(&sql, first).await.unwrap();
    assert_eq!(naive::refresh(&sql, first).await, None, "the control must lose");
}
