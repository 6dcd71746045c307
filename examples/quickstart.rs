//! Who is signed in where, and "sign out my lost phone", as a small service of its own.
//!
//! ```sh
//! cargo run --example quickstart              # serves, and prints curl lines to paste
//! cargo run --example quickstart -- --story   # tells the story of a lost phone over real HTTP
//! ```
//!
//! What an application writes itself is in this file. Beside it, in `support/`: reading the environment
//! (`DATABASE_URL`, `SIGNING_SECRET`, .. all optional), serving and stopping, the story, and a throw-away Postgres for where none is given.

#![expect(clippy::print_stdout, reason = "it talks to people in a terminal")]

use std::process::ExitCode;

use axum::{
    Json, Router,
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
#[cfg(feature = "geoip")]
use axum_device_sessions::GeoIp;
#[cfg(feature = "webhook")]
use axum_device_sessions::Webhook;
use axum_device_sessions::{
    AccessTokens, Client, CurrentSession, Error, MemoryStore, PendingSession, PostgresStore, SessionValidationLayer,
    Sessions, SignIn, Signal, SignedIn,
    routes::{self, Administrator},
};
use environment::{Environment, Failure};
use receiver::{Outside, Receiver};
use serde::Deserialize;
use serde_json::{Value, json};
use serving::serve;
use tokio::sync::oneshot;

#[path = "support/environment.rs"]
mod environment;
#[path = "support/local_postgres.rs"]
mod local_postgres;
#[path = "support/receiver.rs"]
mod receiver;
#[path = "support/serving.rs"]
mod serving;
#[path = "support/story.rs"]
mod story;
#[path = "support/terminal.rs"]
mod terminal;

/// Where sessions are kept, the key that signs access tokens, and who is told of what. All else has a default.
async fn sessions(environment: &Environment, told: Outside, here: &str) -> Result<Sessions, Failure> {
    let access_tokens = AccessTokens::hs256(&environment.signing_secret)?;
    let builder = match environment.database.url() {
        Some(url) => {
            let mut store = PostgresStore::connect(&url).await?;
            if let Some(direct) = &environment.listen_url {
                store = store.listen_url(direct)?;
            }
            store.migrate().await?;
            Sessions::builder(store)
        }
        None => Sessions::builder(MemoryStore::new()),
    };
    let builder = environment.settings(builder);
    #[cfg(feature = "geoip")]
    let builder = match &environment.geoip_file {
        Some(file) => builder.locator(GeoIp::open(file).await?),
        None => builder,
    };
    #[cfg(feature = "webhook")]
    let builder = match &environment.webhook {
        Some((url, secret)) => builder.notify("webhook", Webhook::new(url, secret)?),
        None => builder,
    };
    // The name stays the same from start to start: what is still to be told stands under it in the database.
    let name = told.provider.clone();
    let builder = builder.notify(name, told).alert_links(format!("{here}/alerts"));
    Ok(builder.access_tokens(access_tokens).build().await?)
}

fn app(sessions: Sessions) -> Router {
    Router::new()
        .route("/me", get(me))
        .route("/public", get(public))
        .nest("/sessions", routes::sessions())
        .nest("/auth", routes::auth())
        .route("/auth/second-factor", post(second_factor))
        .route("/auth/reauthenticate", post(reauthenticate))
        .nest("/alerts", routes::alerts())
        .merge(routes::jwks())
        .nest("/admin/sessions", routes::admin_routes::<Staff, _>())
        .layer(SessionValidationLayer::new(sessions.clone()))
        // Added after the layer, so outside of it: nobody has to be signed in, and a stale token does not matter.
        .route("/auth/login", post(login))
        .route("/health", get(health))
        .with_state(sessions)
}

/// Checking the password is the application's own affair; what follows is the crate's.
async fn login(
    State(sessions): State<Sessions>,
    client: Client,
    Json(Credentials { username, password, cookie }): Json<Credentials>,
) -> Result<Response, Error> {
    if !is_right(&username, &password) {
        return Ok(wrong_credentials());
    }
    let with_second_factor = username == WITH_SECOND_FACTOR;
    let sign_in = SignIn::new(username).client(client);
    let sign_in = if with_second_factor { sign_in.second_factor_to_come() } else { sign_in };
    let sign_in = if cookie { sign_in.cookie() } else { sign_in };
    let signed_in = sessions.sign_in(sign_in).await?;
    tell_what_is_unusual(&signed_in);
    Ok(signed_in.into_response())
}

/// An application would send a mail.
fn tell_what_is_unusual(SignedIn { session, signals, .. }: &SignedIn) {
    if !signals.is_empty() {
        let kinds: Vec<_> = signals.iter().map(Signal::kind).collect();
        println!("unusual sign-in of {} on {}: {}", session.user_id, session.device.name, kinds.join(", "));
    }
}

/// The code of an authenticator app, say. Until it is right, there is no session, only the way to one.
async fn second_factor(
    State(sessions): State<Sessions>,
    pending: PendingSession,
    Json(SecondFactor { code }): Json<SecondFactor>,
) -> Result<Response, Error> {
    if code != "123456" {
        return Ok(wrong_credentials());
    }
    Ok(sessions.confirm(&pending).await?.into_response())
}

/// The password once more, for what needs a fresh sign-in: the session stays and gets new tokens.
async fn reauthenticate(
    State(sessions): State<Sessions>,
    session: CurrentSession,
    Json(Password { password }): Json<Password>,
) -> Result<Response, Error> {
    if !is_right(session.user_id().as_str(), &password) {
        return Ok(wrong_credentials());
    }
    Ok(sessions.reauthenticated(&session).await?.into_response())
}

/// Runs for live sessions alone: without one the answer is 401, and this function is not called.
async fn me(session: CurrentSession) -> Json<Value> {
    let device_name = &session.device().name;
    Json(json!({ "user": session.user_id(), "sessionId": session.id(), "deviceName": device_name }))
}

/// For everybody; knows who is signed in.
async fn public(session: Option<CurrentSession>) -> Json<Value> {
    Json(json!({ "user": session.as_ref().map(CurrentSession::user_id) }))
}

async fn health(State(sessions): State<Sessions>) -> Response {
    let health = sessions.health();
    let status = if health.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

#[derive(Deserialize)]
struct SecondFactor {
    code: String,
}

#[derive(Deserialize)]
struct Password {
    password: String,
}

/// Who may see and end the sessions of everybody: here it is `sam`. Without such an extractor the routes cannot be mounted.
struct Staff(CurrentSession);

impl<S: Send + Sync> FromRequestParts<S> for Staff {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let session = <CurrentSession as FromRequestParts<S>>::from_request_parts(parts, state).await;
        let session = session.map_err(IntoResponse::into_response)?;
        if session.user_id().as_str() == "sam" { Ok(Self(session)) } else { Err(StatusCode::FORBIDDEN.into_response()) }
    }
}

impl Administrator for Staff {
    fn actor(&self) -> String {
        format!("staff: {}", self.0.user_id())
    }
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
    /// For a browser: a cookie in place of tokens.
    #[serde(default)]
    cookie: bool,
}

/// `mia` has a second factor: `123456`.
const WITH_SECOND_FACTOR: &str = "mia";

/// `ahmed`, `lena`, `sam`, `mia`, and as many of `user-1`, `user-2`, .. as you like.
fn is_right(username: &str, password: &str) -> bool {
    let numbered = |n: &str| (1..=18).contains(&n.len()) && n.bytes().all(|digit| digit.is_ascii_digit());
    let known = ["ahmed", "lena", "sam", WITH_SECOND_FACTOR].contains(&username)
        || username.strip_prefix("user-").is_some_and(numbered);
    known && password == "demo"
}

fn wrong_credentials() -> Response {
    let problem = json!({
        "type": "about:blank", "title": "Unauthorized", "status": 401,
        "code": "wrong_credentials", "detail": "unknown user or wrong password",
    });
    (StatusCode::UNAUTHORIZED, [("content-type", "application/problem+json")], problem.to_string()).into_response()
}

async fn run() -> Result<(), Failure> {
    let environment = Environment::read(true)?;
    println!("store: {}", environment.database);
    let listener = terminal::listen(&environment.bind).await?;
    let address = listener.local_addr()?;
    let here = environment.public_url.clone().unwrap_or_else(|| terminal::url(address));
    let receiver = Receiver::start().await?;
    let url = environment.notice_url.clone().unwrap_or_else(|| receiver.url.clone());
    let outside = Outside::new(url, environment.provider()?)?;
    let provider = outside.provider.clone();
    let sessions = sessions(&environment, outside, &here).await?;

    if environment.story {
        let (over, end) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, app(sessions.clone()), sessions, async { drop(end.await) }));
        let told = story::tell(address, &environment.database, (provider, receiver)).await;
        drop(over);
        server.await??;
        return told;
    }

    receiver.print();
    let stop = terminal::stop_signal()?;
    terminal::print_what_to_paste(address);
    println!("listening on http://{address}");
    serve(listener, app(sessions.clone()), sessions, stop).await
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
