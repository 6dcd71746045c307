//! The crate in two minutes: sign in, let other devices sign in, sign them out, and see who is told of it, and how.
//!
//! ```sh
//! cargo run --example demo --features page    # then open the address that it prints; every password is "demo"
//! ```
//!
//! Pages are plain HTML forms, so all of it works without scripts; with them, an open page follows what happens. The other
//! devices are programs of this process that come over real HTTP with the headers of real ones. What goes out, pushes and
//! mails, stays in memory and is shown beside them.
//!
//! Sessions are kept in the Postgres at `DATABASE_URL`, else in a private, throw-away one, else in memory. One demo to a
//! database: another one would take away half of its pushes. Also read: `BIND`, `PUBLIC_URL`, `SIGNING_SECRET`, and the spans
//! of time that the quickstart knows (`IDLE_TIMEOUT_MS` ..).

#![expect(clippy::print_stdout, reason = "it talks to people in a terminal")]

use std::{process::ExitCode, sync::Arc};

use axum::{
    Json, Router,
    extract::{FromRef, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    middleware,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use axum_device_sessions::{
    AccessTokens, Client, ClientIp, CurrentSession, EndReason, Error, MemoryStore, PostgresStore, SessionRejection,
    SessionValidationLayer, Sessions, SignIn, SignedIn, SignedOut,
    routes::{self, PageTheme},
};
use devices::Devices;
use environment::{Environment, Failure};
use inbox::{Inbox, Outside};
use serde::Deserialize;
use serde_json::{Value, json};
use serving::serve;
use tokio::sync::watch;

mod devices;
#[path = "../support/environment.rs"]
mod environment;
mod home;
mod inbox;
#[path = "../support/local_postgres.rs"]
mod local_postgres;
mod places;
#[path = "../support/serving.rs"]
mod serving;
mod sign_in;
#[path = "../support/terminal.rs"]
#[allow(dead_code, reason = "what the quickstart prints is its own")]
mod terminal;
mod web;

/// What every handler may ask for.
#[derive(Clone, FromRef)]
struct Demo {
    sessions: Sessions,
    devices: Arc<Devices>,
    inbox: Arc<Inbox>,
    changed: Changed,
}

/// Rung when something on a page is to be shown anew.
#[derive(Clone)]
struct Changed(Arc<watch::Sender<()>>);

impl Changed {
    fn ring(&self) {
        self.0.send_replace(());
    }
}

async fn sessions(environment: &Environment, outside: Outside, here: &str) -> Result<Sessions, Failure> {
    let builder = match environment.database.url() {
        Some(url) => {
            let store = PostgresStore::connect(&url).await?;
            store.migrate().await?;
            Sessions::builder(store)
        }
        None => Sessions::builder(MemoryStore::new()),
    };
    let builder = builder
        .access_tokens(AccessTokens::hs256(&environment.signing_secret)?)
        // Safari takes no `Secure` cookie over plain http; this is for one's own machine.
        .insecure_cookie_on_loopback()
        // The simulated devices say where they are as a proxy on this machine would.
        .client_ip(ClientIp::x_forwarded_for(["127.0.0.0/8", "::1/128"])?)
        .locator(places::locate)
        .notify("demo-inbox", outside)
        .alert_links(format!("{here}/alerts"));
    Ok(environment.settings(builder).build().await?)
}

fn app(demo: Demo) -> Result<Router, Failure> {
    let layer = SessionValidationLayer::new(demo.sessions.clone());
    // For people: without a session they are sent to the form, and told why.
    let pages = Router::new()
        .route("/", get(home::page))
        .route("/now", get(home::now))
        .route("/changes", get(home::changes))
        .route("/simulate/{kind}", post(home::simulate))
        .route("/devices-of-the-demo/{device}/{what}", post(home::command))
        .route("/sign-out", post(sign_out))
        .layer(layer.clone().on_reject(to_the_form))
        // After the layer, so outside of it: a stale cookie does not matter here.
        .route("/sign-in", get(sign_in::form).post(sign_in::submit))
        .layer(middleware::map_response(web::hardened));
    // Back to where they came from, after signing in.
    let theme = PageTheme::new("Demo")
        .login_url("/sign-in?because={reason}&next={page}")?
        .logo("/assets/icon.svg")?
        .accent("#4353d6")?
        .link("Home", "/")?;
    // For apps, and what the crate has ready.
    let mounted = Router::new()
        .nest(sign_in::DEVICES, routes::page(theme))
        .nest("/sessions", routes::sessions())
        .nest("/api/auth", routes::auth())
        .route("/api/me", get(me))
        .nest("/alerts", routes::alerts())
        .layer(layer)
        .route("/api/auth/login", post(login));
    Ok(pages.merge(mounted).merge(web::assets()).with_state(demo))
}

/// A refusal of what another site made the browser send (403), and an outage (503), stay what they are.
fn to_the_form(rejection: &SessionRejection, _: &Parts) -> Response {
    // Of a hand in the database it may be any text.
    let reason = rejection.end_reason().map(EndReason::as_str).filter(|reason| web::because(reason).is_some());
    match (rejection.status(), reason) {
        (StatusCode::UNAUTHORIZED, Some(reason)) => Redirect::to(&format!("/sign-in?because={reason}")).into_response(),
        (StatusCode::UNAUTHORIZED, None) => Redirect::to("/sign-in").into_response(),
        (status, _) => {
            let mut answer = (status, web::page("Not now", &web::escape(&rejection.to_string()))).into_response();
            if status == StatusCode::SERVICE_UNAVAILABLE {
                answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            answer
        }
    }
}

async fn sign_out(State(sessions): State<Sessions>, session: CurrentSession) -> Result<(SignedOut, Redirect), Error> {
    Ok((sessions.sign_out(&session).await?, Redirect::to("/sign-in?because=logout")))
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

/// Checking the password is the application's own affair.
fn is_right(Credentials { username, password }: &Credentials) -> bool {
    sign_in::USERS.iter().any(|(name, _)| name == username) && password == "demo"
}

/// How apps sign in: tokens in the body, no cookie.
async fn login(
    State(sessions): State<Sessions>,
    client: Client,
    Json(form): Json<Credentials>,
) -> Result<SignedIn, Response> {
    if !is_right(&form) {
        return Err(StatusCode::UNAUTHORIZED.into_response());
    }
    let signed_in = sessions.sign_in(SignIn::new(form.username).client(client)).await;
    signed_in.map_err(IntoResponse::into_response)
}

async fn me(session: CurrentSession) -> Json<Value> {
    Json(json!({ "user": session.user_id(), "deviceName": session.device().name }))
}

async fn run() -> Result<(), Failure> {
    let environment = Environment::read(false)?;
    println!("store: {}", environment.database);
    let listener = terminal::listen(&environment.bind).await?;
    let address = listener.local_addr()?;
    // By this name browsers take `Secure` cookies over plain http.
    let local = format!("http://localhost:{}", address.port());
    let here = environment.public_url.clone().unwrap_or_else(|| local.clone());

    let changed = Changed(Arc::new(watch::Sender::new(())));
    let inbox = Arc::new(Inbox::new(changed.clone()));
    let devices = Arc::new(Devices::new(terminal::url(address), changed.clone())?);
    let outside = Outside { devices: Arc::clone(&devices), inbox: Arc::clone(&inbox) };
    let sessions = sessions(&environment, outside, &here).await?;
    let app = app(Demo { sessions: sessions.clone(), devices, inbox, changed })?;

    let stop = terminal::stop_signal()?;
    println!("open {here}, and a second browser (or a private window) beside it");
    println!("listening on http://{address}");
    serve(listener, app, sessions, stop).await
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
