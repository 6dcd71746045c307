//! The database goes away under load, in three ways. Nobody is signed out by it: answers are 200 while what is known
//! may be believed, then 503 with `Retry-After`, each within 4 s, and 200 again once it is back. `SOAK_SECS` (6 by
//! default) is how long it stays away.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/stall.rs"]
mod stall;
mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::State, http::HeaderMap, routing::get};
use axum_device_sessions::{CurrentSession, PostgresStore, SessionValidationLayer, Sessions, SignIn, SignedIn, routes};
use cluster::tokens;
use deadpool_postgres::{Manager, Pool, Runtime};
use http::{Request, StatusCode};
use stall::{Hold, Stall};
use support::{TestDb, eventually};
use tokio_postgres::NoTls;
use tower::ServiceExt as _;

/// The promise (P3).
const DEADLINE: Duration = Duration::from_secs(4);

fn away() -> Duration {
    Duration::from_secs(std::env::var("SOAK_SECS").map_or(6, |text| text.parse().unwrap()))
}

/// What was answered, and how long the slowest of each took.
type Answers = BTreeMap<u16, (usize, Duration)>;

/// Asks until told to stop: the same few sessions again and again, and now and then the list, which always reads.
async fn load(app: Router, known: Vec<String>, cold: Vec<String>, stop: Arc<AtomicBool>) -> Answers {
    let answers = Arc::new(Mutex::new(Answers::new()));
    let cold = Arc::new(Mutex::new(cold));
    let mut clients = Vec::new();
    for client in 0..4 {
        let (app, known, stop) = (app.clone(), known.clone(), Arc::clone(&stop));
        let (answers, cold) = (Arc::clone(&answers), Arc::clone(&cold));
        clients.push(tokio::spawn(async move {
            for turn in 0_usize.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let never_seen = (turn % 50 == 0).then(|| cold.lock().unwrap().pop()).flatten();
                let token = never_seen.as_ref().unwrap_or(&known[turn % known.len()]);
                let path = if turn % 20 == client { "/sessions" } else { "/" };
                let asked = Instant::now();
                let answer = app.clone().oneshot(request(path, token)).await.unwrap();
                let took = asked.elapsed();
                if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
                    assert!(answer.headers().contains_key("retry-after"), "503 says when to try again");
                    assert!(!answer.headers().contains_key("set-cookie"), "and touches no cookie");
                }
                note(&answers, answer.status(), took);
                tokio::task::yield_now().await;
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    answers.lock().unwrap().clone()
}

fn note(answers: &Mutex<Answers>, status: StatusCode, took: Duration) {
    let mut answers = answers.lock().unwrap();
    let seen = answers.entry(status.as_u16()).or_default();
    *seen = (seen.0 + 1, seen.1.max(took));
}

fn request(path: &str, token: &str) -> Request<Body> {
    Request::get(path).header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap()
}

fn app(sessions: &Sessions) -> Router {
    Router::new()
        .route("/", get(|_: CurrentSession| async {}))
        .nest("/sessions", routes::sessions())
        .layer(SessionValidationLayer::new(sessions.clone()))
}

/// Two hundred sessions of which forty are known to the node.
async fn people(sessions: &Sessions) -> (Vec<String>, Vec<String>) {
    let mut all = Vec::new();
    for user in 0..200 {
        let SignedIn { access_token, .. } = sessions.sign_in(SignIn::new(format!("user-{user}"))).await.unwrap();
        all.push(access_token);
    }
    let cold = all.split_off(40);
    for token in &all {
        assert_eq!(app(sessions).oneshot(request("/", token)).await.unwrap().status(), StatusCode::OK);
    }
    (all, cold)
}

/// Puts the load on, takes the database away and brings it back, and looks at the answers.
async fn outage(name: &str, sessions: Sessions, take_away: impl AsyncFnOnce(), bring_back: impl AsyncFnOnce()) {
    let (known, cold) = people(&sessions).await;
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(load(app(&sessions), known.clone(), cold, Arc::clone(&stop)));
    take_away().await;
    tokio::time::sleep(away()).await;
    bring_back().await;
    eventually("all is well again, without a restart", || async {
        let (list, hit) = (request("/sessions", &known[0]), request("/", &known[1]));
        app(&sessions).oneshot(list).await.unwrap().status() == StatusCode::OK
            && app(&sessions).oneshot(hit).await.unwrap().status() == StatusCode::OK
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let answers = load.await.unwrap();
    println!("{name}: {answers:?}");
    assert_eq!(wrong(&answers), None, "{answers:?}");
    // Each 503 of the black hole takes seconds, so there are few.
    assert!(answers[&200].0 > 20 && answers[&503].0 >= 3, "both were seen: {answers:?}");
}

/// The first answer that must not be, if there is one.
fn wrong(answers: &Answers) -> Option<(u16, Duration)> {
    let bad = |status: u16, slowest: Duration| !matches!(status, 200 | 503) || slowest > DEADLINE;
    answers.iter().find(|(status, seen)| bad(**status, seen.1)).map(|(status, seen)| (*status, seen.1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_stopped() {
    let db = TestDb::own_cluster(&[]).await;
    let sessions = cluster::node(db.url()).await;
    let server = db.server();
    outage("stopped", sessions, async || server.stop_immediate(), async || server.start_again().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_swallows_everything() {
    let db = TestDb::new().await;
    let stall = Stall::to(db.url()).await;
    let sessions = cluster::node(&stall.url(db.url())).await;
    outage("black hole", sessions, async || stall.hold(Hold::Everything), async || stall.hold(Hold::Nothing)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_takes_the_whole_pool() {
    let db = TestDb::new().await;
    let pool = Pool::builder(Manager::new(db.url().parse().unwrap(), NoTls))
        .max_size(4)
        .runtime(Runtime::Tokio1)
        .build()
        .unwrap();
    let store = PostgresStore::from_pool(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    let sessions = Sessions::builder(store).access_tokens(tokens()).build().await.unwrap();
    let mut taken = Vec::new();
    let hoard = Mutex::new(&mut taken);
    let take = async || {
        for _ in 0..4 {
            let one = pool.get().await.unwrap();
            hoard.lock().unwrap().push(one);
        }
    };
    let give_back = async || hoard.lock().unwrap().clear();
    outage("exhausted", sessions, take, give_back).await;
}

/// The control: "no session found" for whatever goes wrong, as most tutorials have it, signs everybody out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_naive_design_signs_people_out() {
    async fn naive(State(pool): State<Pool>, headers: HeaderMap) -> StatusCode {
        let id = headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ").parse::<uuid::Uuid>();
        let found = async {
            let select = "SELECT FROM device_sessions.sessions WHERE id = $1 AND ended_at IS NULL";
            pool.get().await.ok()?.query_opt(select, &[&id.ok()?]).await.ok()?
        };
        if found.await.is_some() { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
    }
    let db = TestDb::own_cluster(&[]).await;
    let sessions = cluster::node(db.url()).await;
    let session = sessions.sign_in(SignIn::new("ahmed")).await.unwrap().session.id.to_string();
    let manager = Manager::new(db.url().parse().unwrap(), NoTls);
    let pool = Pool::builder(manager).runtime(Runtime::Tokio1).build().unwrap();
    let app = Router::new().route("/", get(naive)).route("/sessions", get(naive)).with_state(pool);
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(load(app.clone(), vec![session.clone()], Vec::new(), Arc::clone(&stop)));
    eventually("it works", || async {
        app.clone().oneshot(request("/", &session)).await.unwrap().status() == StatusCode::OK
    })
    .await;
    db.server().stop_immediate();
    eventually("it signs people out", || async {
        app.clone().oneshot(request("/", &session)).await.unwrap().status() == StatusCode::UNAUTHORIZED
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    assert!(wrong(&load.await.unwrap()).is_some(), "the checker sees it");
}

/// The host's choice: who was validated before goes on for a bounded time, nobody else, and nobody whose end is known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grace_lets_the_known_go_on_and_then_ends() {
    let db = TestDb::own_cluster(&[]).await;
    let clock = axum_device_sessions::Clock::manual();
    let second = Duration::from_secs(1);
    let mut node = nodes_with_grace(&db, &clock, 30 * second).await;
    let (known, cold) = people(&node).await;
    let status = async |node: &Sessions, token: &str| app(node).oneshot(request("/", token)).await.unwrap().status();
    let (ended, live) = (&known[0], &known[1]);
    let me = app(&node).oneshot(request("/sessions/current", ended)).await.unwrap();
    let me = axum::body::to_bytes(me.into_body(), usize::MAX).await.unwrap();
    let me: serde_json::Value = serde_json::from_slice(&me).unwrap();
    let id = me["id"].as_str().unwrap().parse().unwrap();
    let target = axum_device_sessions::EndTarget::One { id, user: None };
    node.end(target, axum_device_sessions::EndReason::Logout, None).await.unwrap();
    db.server().stop_immediate();
    // Past what may be believed without grace, by any lease.
    clock.advance(20 * second);
    assert_eq!(status(&node, live).await, StatusCode::OK, "validated before");
    assert_eq!(status(&node, ended).await, StatusCode::UNAUTHORIZED, "known to have ended");
    assert_eq!(status(&node, &cold[0]).await, StatusCode::SERVICE_UNAVAILABLE, "never seen here");
    clock.advance(20 * second);
    assert_eq!(status(&node, live).await, StatusCode::SERVICE_UNAVAILABLE, "bounded");
    // The control: without grace it is 503 from the first moment on.
    db.server().start_again().unwrap();
    node = nodes_with_grace(&db, &clock, Duration::ZERO).await;
    eventually("it is known again", || async { status(&node, live).await == StatusCode::OK }).await;
    db.server().stop_immediate();
    clock.advance(20 * second);
    assert_eq!(status(&node, live).await, StatusCode::SERVICE_UNAVAILABLE);
}

async fn nodes_with_grace(db: &TestDb, clock: &axum_device_sessions::Clock, grace: Duration) -> Sessions {
    let settings = cluster::builder(db.url()).await.clock(clock.clone()).outage_grace(grace);
    settings.build().await.unwrap()
}
