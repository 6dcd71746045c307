//! The nodes, and who asks them all the time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum_device_sessions::{Clock, PostgresStore, SessionValidationLayer, Sessions, routes};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::http::{Answer, app, ask_with, bearer, get, sign_in};
use super::keys::Pair;
use super::support::{TestDb, eventually};
use super::{KEPT, SECOND, TTL};

const CLIENTS: usize = 6;
/// Time passes in steps of this; a client that has less than `EARLY` left refreshes.
const STEP: u64 = 30;
const EARLY: u64 = 4 * STEP;

pub(crate) struct Node {
    pub(crate) sessions: Sessions,
    pub(crate) app: Router,
}

pub(crate) struct World {
    pub(crate) nodes: [Node; 2],
    pub(crate) clock: Clock,
    now: Arc<AtomicU64>,
}

impl World {
    pub(crate) async fn new(db: &TestDb, key: &Pair) -> Self {
        let clock = Clock::manual();
        let node = async || {
            let store = PostgresStore::connect(db.url()).await.unwrap();
            store.migrate().await.unwrap();
            let builder = Sessions::builder(store).access_tokens(key.signs()).clock(clock.clone());
            let builder = builder.server_secret("a server secret of this test, 32 and more bytes");
            let sessions = builder.access_token_ttl(Duration::from_secs(TTL)).build().await.unwrap();
            let layer = SessionValidationLayer::new(sessions.clone());
            Node { app: app().merge(routes::jwks()).layer(layer), sessions }
        };
        Self { nodes: [node().await, node().await], clock, now: Arc::default() }
    }

    /// Lets time pass, never under a client that has not looked at its clock since.
    pub(crate) async fn pass(&self, load: &Load, seconds: u64) {
        for _ in 0..seconds.div_ceil(STEP) {
            self.clock.advance(u32::try_from(STEP).unwrap() * SECOND);
            self.now.fetch_add(STEP, Ordering::SeqCst);
            load.rounds(2).await;
        }
    }
}

/// What was answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) requests: u64,
    pub(crate) refreshes: u64,
    pub(crate) sign_ins: u64,
    pub(crate) unauthorized: u64,
    /// Neither 200 nor 401.
    pub(crate) other: u64,
    /// Another service does not take it, by the set that it keeps.
    pub(crate) refused_elsewhere: u64,
    kids: Vec<String>,
}

impl Told {
    /// How many tokens were issued that name this key.
    pub(crate) fn by_key(&self, key: &Pair) -> usize {
        self.kids.iter().filter(|kid| *kid == key.verifying().kid()).count()
    }

    fn answered(&mut self, answer: &Answer) -> bool {
        match answer.status.as_u16() {
            200 => return true,
            401 => self.unauthorized += 1,
            _ => self.other += 1,
        }
        false
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, refreshes, sign_ins, unauthorized, other, refused_elsewhere, kids } = self;
        write!(f, "{requests} requests, {refreshes} refreshes, {sign_ins} sign-ins, {} tokens: ", kids.len())?;
        write!(f, "{unauthorized} x 401, {other} x something else, {refused_elsewhere} refused by another service")
    }
}

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    rounds: Vec<Arc<AtomicU64>>,
    told: Arc<std::sync::Mutex<Told>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(world: &World) -> Self {
        let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let rounds: Vec<Arc<AtomicU64>> = (0..CLIENTS).map(|_| Arc::default()).collect();
        let client = |(number, rounds): (usize, &Arc<AtomicU64>)| {
            let sessions = world.nodes.each_ref().map(|node| node.sessions.clone());
            let apps = world.nodes.each_ref().map(|node| node.app.clone());
            let client = Client { number, sessions, apps, now: Arc::clone(&world.now), told: Arc::clone(&told) };
            tokio::spawn(client.run(Arc::clone(&stop), Arc::clone(rounds)))
        };
        let tasks = rounds.iter().enumerate().map(client).collect();
        Self { stop, rounds, told, tasks }
    }

    /// Until every client has gone round so often more.
    pub(crate) async fn rounds(&self, more: u64) {
        for rounds in &self.rounds {
            let until = rounds.load(Ordering::SeqCst) + more;
            eventually("clients go round", async || {
                assert!(!self.tasks.iter().any(JoinHandle::is_finished), "a client has failed");
                rounds.load(Ordering::SeqCst) >= until
            })
            .await;
        }
    }

    pub(crate) fn signed_by(&self, key: &Pair) -> usize {
        self.told.lock().unwrap().by_key(key)
    }

    pub(crate) async fn stop(self) -> Told {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.told.lock().unwrap().clone()
    }
}

struct Client {
    number: usize,
    sessions: [Sessions; 2],
    apps: [Router; 2],
    /// Virtual, in seconds.
    now: Arc<AtomicU64>,
    told: Arc<std::sync::Mutex<Told>>,
}

struct Tokens {
    access: String,
    refresh: String,
    expires_at: u64,
}

impl Client {
    /// Asks one node and the other, and shows each new token to the other service. A third of them refresh when it is time, a third
    /// often, and a third sign in anew all the time.
    async fn run(self, stop: Arc<AtomicBool>, rounds: Arc<AtomicU64>) {
        let user = format!("user-{}", self.number);
        let mut elsewhere = Elsewhere { set: JwkSet { keys: Vec::new() }, until: 0 };
        let mut tokens = self.signed_in(&user, self.number).await;
        let mut round = self.number;
        while !stop.load(Ordering::SeqCst) {
            round += 1;
            let (app, other) = (&self.apps[round % 2], &self.apps[round / 2 % 2]);
            let due = tokens.expires_at < self.now() + EARLY;
            if self.number % 3 == 2 && round.is_multiple_of(20) {
                tokens = self.signed_in(&user, round / 20).await;
                self.shown(&mut elsewhere, app, &tokens).await;
            } else if due || (self.number % 3 == 1 && round.is_multiple_of(10)) {
                self.refreshed(&mut tokens, other).await;
                self.shown(&mut elsewhere, app, &tokens).await;
            }
            let answer = get(app, "/me", &[bearer(&tokens.access)]).await;
            let let_in = {
                let mut told = self.told();
                told.requests += 1;
                told.answered(&answer)
            };
            if !let_in {
                self.refreshed(&mut tokens, app).await;
            }
            rounds.fetch_add(1, Ordering::SeqCst);
            // From memory nothing ever waits, and others are to have their turn.
            tokio::task::yield_now().await;
        }
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    async fn signed_in(&self, user: &str, node: usize) -> Tokens {
        let now = self.now();
        let signed_in = sign_in(&self.sessions[node % 2], user).await;
        let mut told = self.told();
        told.sign_ins += 1;
        told.kids.push(kid(&signed_in.access_token));
        let expires_at = now + signed_in.expires_in.as_secs();
        Tokens { access: signed_in.access_token, refresh: signed_in.refresh_token, expires_at }
    }

    async fn refreshed(&self, tokens: &mut Tokens, app: &Router) {
        let now = self.now();
        let answer = refresh(app, &tokens.refresh).await;
        let mut told = self.told();
        told.refreshes += 1;
        if told.answered(&answer) {
            let answer = answer.json();
            let text = |name: &str| answer[name].as_str().unwrap().to_owned();
            let expires_at = now + answer["expires_in"].as_u64().unwrap();
            *tokens = Tokens { access: text("access_token"), refresh: text("refresh_token"), expires_at };
            told.kids.push(kid(&tokens.access));
        }
    }

    async fn shown(&self, elsewhere: &mut Elsewhere, app: &Router, tokens: &Tokens) {
        let accepts = elsewhere.accepts(app, self.now(), &tokens.access).await;
        self.told().refused_elsewhere += u64::from(!accepts);
    }
}

/// A service that checks signatures by the published set, and asks for it no more often than the answer says.
struct Elsewhere {
    set: JwkSet,
    until: u64,
}

impl Elsewhere {
    async fn accepts(&mut self, app: &Router, now: u64, token: &str) -> bool {
        if now >= self.until {
            let answer = get(app, "/.well-known/jwks.json", &[]).await;
            self.set = serde_json::from_slice(&answer.body).unwrap();
            self.until = now + KEPT;
        }
        let Some(jwk) = self.set.find(&kid(token)) else { return false };
        let mut validation = Validation::new(decode_header(token).unwrap().alg);
        validation.set_audience(&["axum-device-sessions"]);
        // The time here is virtual, and jsonwebtoken's is not.
        validation.validate_exp = false;
        decode::<Value>(token, &DecodingKey::from_jwk(jwk).unwrap(), &validation).is_ok()
    }
}

fn kid(token: &str) -> String {
    decode_header(token).unwrap().kid.unwrap()
}

pub(crate) async fn refresh(app: &Router, refresh_token: &str) -> Answer {
    let body = serde_json::json!({ "refresh_token": refresh_token }).to_string();
    let request = Request::post("/auth/refresh").header("content-type", "application/json").body(Body::from(body));
    ask_with(app, request.unwrap()).await
}
