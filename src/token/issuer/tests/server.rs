//! An issuer's HTTP server on the loopback address. It counts what it is asked for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
};

/// What the server does when it is asked for keys.
#[derive(Clone)]
pub(super) enum Answer {
    Body(Vec<u8>),
    Status(u16),
    Redirect(&'static str),
    /// More than anybody would read, and no `Content-Length` to warn of it.
    Endless,
    /// Nothing until a permit comes, then these keys.
    Held(Arc<Semaphore>, Value),
    HangsUp,
}

pub(super) struct Server {
    pub(super) base: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    answer: Mutex<Answer>,
    /// What discovery calls itself; the server's own address if `None`.
    issuer: Mutex<Option<String>>,
    asked: Mutex<HashMap<String, usize>>,
}

impl Server {
    pub(super) async fn start(keys: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            answer: Mutex::new(Answer::Body(keys.to_string().into_bytes())),
            issuer: Mutex::default(),
            asked: Mutex::default(),
        });
        let (serving, own) = (Arc::clone(&shared), base.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&serving), own.clone()));
            }
        });
        Self { base, shared, task }
    }

    pub(super) fn keys_url(&self) -> String {
        format!("{}/keys", self.base)
    }

    pub(super) fn publish(&self, keys: &Value) {
        self.answer(Answer::Body(keys.to_string().into_bytes()));
    }

    pub(super) fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    pub(super) fn call_itself(&self, issuer: &str) {
        *self.shared.issuer.lock().unwrap() = Some(issuer.into());
    }

    /// How often the keys were asked for.
    pub(super) fn fetches(&self) -> usize {
        self.asked_for("/keys")
    }

    pub(super) fn asked_for(&self, path: &str) -> usize {
        self.shared.asked.lock().unwrap().get(path).copied().unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>, own: String) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            // A TLS handshake, of which it understands nothing.
            Ok(_) if request[0] == 0x16 => return,
            Ok(_) => {}
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap().to_owned();
    *shared.asked.lock().unwrap().entry(path.clone()).or_default() += 1;

    let answer = match path.as_str() {
        "/.well-known/openid-configuration" => {
            let issuer = shared.issuer.lock().unwrap().clone().unwrap_or_else(|| own.clone());
            Answer::Body(json!({ "issuer": issuer, "jwks_uri": format!("{own}/keys") }).to_string().into_bytes())
        }
        "/keys" => shared.answer.lock().unwrap().clone(),
        _ => Answer::Status(404),
    };
    let (head, body) = match answer {
        Answer::Body(body) => (format!("200 OK\r\ncontent-length: {}", body.len()), body),
        Answer::Status(status) => (format!("{status} Some\r\ncontent-length: 0"), Vec::new()),
        Answer::Redirect(to) => (format!("302 Found\r\nlocation: {own}{to}\r\ncontent-length: 0"), Vec::new()),
        Answer::Endless => ("200 OK".into(), vec![b' '; 2 * 1024 * 1024]),
        Answer::Held(gate, keys) => {
            gate.acquire().await.unwrap().forget();
            let body = keys.to_string().into_bytes();
            (format!("200 OK\r\ncontent-length: {}", body.len()), body)
        }
        Answer::HangsUp => return,
    };
    let _peer_may_be_gone = stream.write_all(format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").as_bytes()).await;
    let _peer_may_be_gone = stream.write_all(&body).await;
}
