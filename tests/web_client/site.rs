//! A service with a page that holds tokens, and what may go wrong on the way: it holds answers back, says 503, loses answers.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use axum_device_sessions::{
    Clock, CurrentSession, EndReason, EndTarget, Error, FreshSession, MemoryStore, PendingSession,
    SessionValidationLayer, Sessions, SignIn, SignedIn, routes,
};
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, task::yield_now};

use super::{http::on, support::eventually};

/// What the wrapper sees of the service, and what the service saw of it.
#[derive(Default)]
pub(super) struct Faults {
    /// So many answers are 503 instead, save to a refresh.
    unavailable: AtomicUsize,
    /// So many of a refresh.
    refresh_unavailable: AtomicUsize,
    /// So many answers of a refresh that has been done break off halfway.
    lost: AtomicUsize,
    /// So many refreshes are never answered.
    unanswered: AtomicUsize,
    /// Requests for `/me` wait.
    held: watch::Sender<bool>,
    pub(super) waiting: AtomicUsize,
    /// Refreshes wait until so many have come.
    pub(super) together: AtomicUsize,
    /// The token of each refresh that came.
    refreshed: Mutex<Vec<String>>,
    pub(super) orders: AtomicUsize,
}

pub(super) struct Site {
    pub(super) url: String,
    pub(super) sessions: Sessions,
    pub(super) faults: Arc<Faults>,
    clock: Clock,
}

impl Faults {
    pub(super) fn refresh_unavailable(&self, times: usize) {
        self.refresh_unavailable.store(times, Ordering::SeqCst);
    }
}

impl Site {
    pub(super) async fn start() -> Self {
        let clock = Clock::manual();
        let builder =
            on(MemoryStore::with_clock(clock.clone())).clock(clock.clone()).require_fresh(Duration::from_secs(300));
        let sessions = builder.build().await.unwrap();
        let faults = Arc::<Faults>::default();
        let app = app(&sessions, &faults);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // By this name browsers have locks without https.
        let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, sessions, faults, clock }
    }

    /// All access tokens have expired, and nothing else has.
    pub(super) fn tokens_expire(&self) {
        self.clock.advance(Duration::from_secs(16 * 60));
    }

    pub(super) fn say_503(&self, times: usize) {
        self.faults.unavailable.store(times, Ordering::SeqCst);
    }

    pub(super) fn lose_answers(&self, times: usize) {
        self.faults.lost.store(times, Ordering::SeqCst);
    }

    pub(super) fn answer_not(&self, times: usize) {
        self.faults.unanswered.store(times, Ordering::SeqCst);
    }

    pub(super) fn hold(&self) {
        self.faults.held.send_replace(true);
    }

    /// Lets them go when so many have come.
    pub(super) async fn release(&self, waiting: usize) {
        eventually("requests that wait", || async { self.faults.waiting.load(Ordering::SeqCst) == waiting }).await;
        self.faults.held.send_replace(false);
    }

    /// The tokens of the refreshes since this was last asked.
    pub(super) fn refreshes(&self) -> Vec<String> {
        std::mem::take(&mut *self.faults.refreshed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) async fn end_all(&self) {
        let target = EndTarget::All { user: "ahmed".into(), caller: None };
        self.sessions.end(target, EndReason::RevokedByUser, None).await.unwrap();
    }
}

fn app(sessions: &Sessions, faults: &Arc<Faults>) -> Router {
    async fn sign_in(State(sessions): State<Sessions>) -> Result<SignedIn, Error> {
        sessions.sign_in(SignIn::new("ahmed")).await
    }
    async fn first_factor(State(sessions): State<Sessions>) -> Result<SignedIn, Error> {
        sessions.sign_in(SignIn::new("ahmed").second_factor_to_come()).await
    }
    async fn second_factor(State(sessions): State<Sessions>, pending: PendingSession) -> Result<SignedIn, Error> {
        sessions.confirm(&pending).await
    }
    async fn reauthenticate(State(sessions): State<Sessions>, session: CurrentSession) -> Result<SignedIn, Error> {
        sessions.reauthenticated(&session).await
    }
    let orders = Arc::clone(faults);
    let order = async move |_: CurrentSession| {
        orders.orders.fetch_add(1, Ordering::SeqCst);
        "ordered"
    };
    Router::new()
        .route("/me", get(async |session: CurrentSession| session.user_id().to_string()))
        .route("/orders", post(order))
        .route("/payment", post(async |_: FreshSession| "paid"))
        .route("/second-factor", post(second_factor))
        .route("/reauthenticate", post(reauthenticate))
        .nest("/auth", routes::auth())
        .layer(SessionValidationLayer::new(sessions.clone()))
        .layer(middleware::from_fn_with_state(Arc::clone(faults), faulty))
        .route("/sign-in", post(sign_in))
        .route("/first-factor", post(first_factor))
        .route("/", get(Html(PAGE)))
        .route("/sessions.js", get(|| async { script(include_str!("../../docs/clients/sessions.js")) }))
        .route("/naive.js", get(|| async { script(include_str!("naive.js")) }))
        .with_state(sessions.clone())
}

fn script(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "text/javascript")], text).into_response()
}

const PAGE: &str = r#"<!doctype html><title>Shop</title><script type="module">
import { Sessions } from "/sessions.js";
import { Naive } from "/naive.js";
window.because = [];
window.client = (options) => window.sessions = new Sessions({ ended: (reason) => because.push(reason), ...options });
window.naive = new Naive();
window.signIn = async (path = "/sign-in") => sessions.signedIn(await (await fetch(path, { method: "POST" })).json());
client();
</script>"#;

async fn faulty(State(faults): State<Arc<Faults>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if path == "/me" && *faults.held.borrow() {
        faults.waiting.fetch_add(1, Ordering::SeqCst);
        let mut held = faults.held.subscribe();
        held.wait_for(|held| !held).await.unwrap();
        faults.waiting.fetch_sub(1, Ordering::SeqCst);
    }
    if path != "/auth/refresh" {
        return if taken(&faults.unavailable) { unavailable() } else { next.run(request).await };
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 10_000).await.unwrap();
    let token = serde_json::from_slice::<serde_json::Value>(&body).unwrap()["refresh_token"].to_string();
    let come = {
        let mut refreshed = faults.refreshed.lock().unwrap_or_else(PoisonError::into_inner);
        refreshed.push(token);
        refreshed.len()
    };
    if come < faults.together.load(Ordering::SeqCst) {
        let all = || faults.refreshed.lock().unwrap_or_else(PoisonError::into_inner).len();
        eventually("the others", || async { all() >= faults.together.load(Ordering::SeqCst) }).await;
    }
    if taken(&faults.refresh_unavailable) {
        return unavailable();
    }
    let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
    if taken(&faults.unanswered) {
        return std::future::pending().await;
    }
    if taken(&faults.lost) {
        let (parts, body) = answer.into_parts();
        let whole = to_bytes(body, 10_000).await.unwrap();
        let half = whole.slice(..whole.len() / 2);
        let cut = async {
            // Lets the server send what it has: where nothing of an answer came, Chromium itself may ask again.
            yield_now().await;
            Err(io::Error::other("the tunnel begins"))
        };
        let broken = stream::once(async { Ok(half) }).chain(stream::once(cut));
        return Response::from_parts(parts, Body::from_stream(broken));
    }
    answer
}

fn taken(times: &AtomicUsize) -> bool {
    times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

/// As the README has it.
fn unavailable() -> Response {
    let problem = json!({ "type": "about:blank", "status": 503, "code": "temporarily_unavailable" });
    let mut answer = (StatusCode::SERVICE_UNAVAILABLE, Json(problem)).into_response();
    answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
    answer
}
