//! The clients: they sign in, ask and sign out at random, on random nodes, and write down what they were answered.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use uuid::Uuid;

/// One exchange, on the one clock of this process.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) what: What,
    pub(crate) node: usize,
    pub(crate) session: Uuid,
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
    /// 0: no answer within 5 s.
    pub(crate) status: u16,
    pub(crate) code: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Ask,
    End,
}

#[derive(Debug)]
struct Known {
    id: Uuid,
    token: String,
    /// The token of a session of the same user that is never ended.
    owner: usize,
    claimed: AtomicBool,
}

struct Shared<'a> {
    client: Client,
    nodes: &'a [String],
    owners: Vec<String>,
    sessions: Mutex<Vec<std::sync::Arc<Known>>>,
    log: Mutex<Vec<Entry>>,
    random: AtomicU64,
}

const USERS: usize = 5;
const CLIENTS: usize = 6;
/// Asked for among the newest so many: also those that ended some time ago.
const RECENT: usize = 600;

pub(crate) async fn run(nodes: &[String], lasts: Duration) -> Vec<Entry> {
    let seed = std::env::var("SOAK_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap());
    println!("SOAK_SEED={seed}");
    let client = Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    let mut shared = Shared {
        client,
        nodes,
        owners: Vec::new(),
        sessions: Mutex::default(),
        log: Mutex::default(),
        random: AtomicU64::new(seed),
    };
    for owner in 0..USERS {
        shared.owners.push(shared.sign_in(owner, 0).await.expect("all is well at first").1);
    }
    let until = Instant::now() + lasts;
    let shared = &shared;
    all((0..CLIENTS).map(|_| Box::pin(shared.one_client(until))).collect()).await;
    shared.log.lock().unwrap().clone()
}

/// Until all of them are done.
async fn all(mut all: Vec<std::pin::Pin<Box<impl Future<Output = ()>>>>) {
    std::future::poll_fn(|cx| {
        all.retain_mut(|one| one.as_mut().poll(cx).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

impl Shared<'_> {
    /// xorshift: repeatable from the printed seed, as far as timing is.
    fn below(&self, bound: usize) -> usize {
        let mut x = self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        x ^= x >> 30;
        x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x ^= x >> 27;
        usize::try_from(x % bound as u64).unwrap()
    }

    async fn one_client(&self, until: Instant) {
        while Instant::now() < until {
            let node = self.below(self.nodes.len());
            match self.below(100) {
                0..5 => {
                    let owner = self.below(USERS);
                    if let Some((id, token)) = self.sign_in(owner, node).await {
                        let known = Known { id, token, owner, claimed: AtomicBool::new(false) };
                        self.sessions.lock().unwrap().push(known.into());
                    }
                }
                5..9 => self.end_one(node, until).await,
                _ => {
                    let Some(known) = self.pick() else { continue };
                    self.exchange(What::Ask, node, known.id, &known.token).await;
                }
            }
        }
    }

    fn pick(&self) -> Option<std::sync::Arc<Known>> {
        let sessions = self.sessions.lock().unwrap();
        let recent = sessions.len().min(RECENT);
        (recent > 0).then(|| sessions[sessions.len() - 1 - self.below(recent)].clone())
    }

    /// Until it is acknowledged: only then must it hold.
    async fn end_one(&self, mut node: usize, until: Instant) {
        let Some(known) = self.pick().filter(|known| !known.claimed.swap(true, Ordering::AcqRel)) else { return };
        while self.exchange(What::End, node, known.id, &self.owners[known.owner]).await != 204 {
            if Instant::now() > until {
                return;
            }
            node = self.below(self.nodes.len());
        }
    }

    async fn exchange(&self, what: What, node: usize, session: Uuid, token: &str) -> u16 {
        let (method, path) = match what {
            What::Ask => (Method::GET, "/me".to_owned()),
            What::End => (Method::DELETE, format!("/sessions/{session}")),
        };
        let request = self.client.request(method, format!("{}{path}", self.nodes[node])).bearer_auth(token);
        let sent = Instant::now();
        let (status, code) = match request.send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                let body: Value = answer.json().await.unwrap_or_default();
                (status, body["code"].as_str().unwrap_or_default().to_owned())
            }
            Err(_) => (0, String::new()),
        };
        let entry = Entry { what, node, session, sent, answered: Instant::now(), status, code };
        self.log.lock().unwrap().push(entry);
        status
    }

    async fn sign_in(&self, user: usize, node: usize) -> Option<(Uuid, String)> {
        let login = format!("{}/auth/login", self.nodes[node]);
        let body = json!({ "username": format!("user-{user}"), "password": "demo" });
        let answer: Value = self.client.post(login).json(&body).send().await.ok()?.json().await.ok()?;
        Some((answer["session"]["id"].as_str()?.parse().ok()?, answer["access_token"].as_str()?.to_owned()))
    }
}
