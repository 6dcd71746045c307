//! Without the database, and with a client that takes its time.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use axum_device_sessions::MemoryStore;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::gate::Gate;
use super::http::{get, on};
use super::rename;
use super::site::{Browser, Node};
use super::support::{TestDb, eventually};

/// The promise (P3).
const DEADLINE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn the_database_is_away() {
    let db = TestDb::new().await;
    let gate = Gate::to(db.url()).await;
    let node = Node::at(&gate.url(db.url()), |builder| builder.outage_grace(Duration::from_secs(600))).await;
    let ahmed = Browser::default().login(&node, "ahmed", false).await;
    assert_eq!(node.me(&ahmed.sent).await, "200 ahmed");
    gate.shut();
    let asked = Instant::now();
    let line = rename(&node.app, &ahmed.id, "Away", &ahmed.sent).await.line();
    println!("{line} after {:?}", asked.elapsed());
    assert_eq!(line, "503 temporarily_unavailable");
    assert!(asked.elapsed() < DEADLINE);
    gate.open();
    eventually("it is back", async || rename(&node.app, &ahmed.id, "Back", &ahmed.sent).await.status == 200).await;
    assert_eq!(get(&node.app, "/name", &ahmed.sent).await.line(), "200 Back");
}

/// In paused time. The deadline is for the database; a phone in a tunnel may take longer to say what it wants.
#[tokio::test(start_paused = true)]
async fn a_slow_client_pays_with_its_own_time() {
    let node = Node::of(on(MemoryStore::new()).build().await.unwrap());
    let ahmed = Browser::default().login(&node, "ahmed", false).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = node.app.clone();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut client = TcpStream::connect(address).await.unwrap();
    let body = r#"{"deviceName":"Slow"}"#;
    let head = format!(
        "PATCH /sessions/{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         {}: {}\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        ahmed.id,
        ahmed.sent[0].0,
        ahmed.sent[0].1,
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    client.read_exact(&mut interim).await.unwrap();
    assert_eq!(interim, *b"HTTP/1.1 100 Continue\r\n\r\n", "the handler asks for the body");
    tokio::time::advance(3 * DEADLINE).await;
    client.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(r#""deviceName":"Slow""#), "{answer}");
}
