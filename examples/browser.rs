//! Browser mode: sign in, a page, the list of devices with a button to sign each out, sign out. Plain HTML forms: it works
//! with scripts switched off.
//!
//! ```sh
//! cargo run --example browser    # then open http://localhost:3000; every password is "demo"
//! ```
//!
//! | environment | meaning |
//! |---|---|
//! | `DATABASE_URL` | keep sessions in this Postgres; else in memory |
//! | `BIND` | where to listen, if not at 127.0.0.1:3000 |
//! | `SIGNING_SECRET` | 32 bytes or more; random where it is not set, so that a restart signs everybody out |

#![expect(clippy::print_stdout, reason = "it talks to people in a terminal")]

use std::{env, error::Error as StdError, net::SocketAddr};

use axum::{
    Form, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use axum_device_sessions::{
    AccessTokens, Client, ClientHints, CurrentSession, EndReason, EndTarget, Error, MemoryStore, PostgresStore,
    Session, SessionId, SessionValidationLayer, Sessions, SignIn, SignedIn, SignedOut,
};
use serde::Deserialize;

/// The one thing that an application adds: where a visitor without a session is sent. A refusal of a request that another
/// site made the browser send (403), and an outage (503), stay what they are.
fn layer(sessions: Sessions) -> SessionValidationLayer {
    SessionValidationLayer::new(sessions).on_reject(|rejection, _| match rejection.status() {
        StatusCode::UNAUTHORIZED => Redirect::to("/sign-in").into_response(),
        status => (status, page("Not now", &escape(&rejection.to_string()))).into_response(),
    })
}

fn app(sessions: Sessions) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/devices/{id}/sign-out", post(sign_out_device))
        .route("/sign-out", post(sign_out))
        .layer(layer(sessions.clone()))
        // Added after the layer, so outside of it: a stale cookie does not matter here.
        .route("/sign-in", get(sign_in_form).post(sign_in))
        .with_state(sessions)
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

/// Checking the password is the application's own affair; what follows is the crate's.
async fn sign_in(
    State(sessions): State<Sessions>,
    client: Client,
    Form(form): Form<Credentials>,
) -> Result<(SignedIn, Redirect), Response> {
    if form.password != "demo" {
        let wrong = (StatusCode::UNAUTHORIZED, page("Sign in", &format!("<p>Wrong password.</p>{SIGN_IN}")));
        return Err(wrong.into_response());
    }
    let signed_in = sessions.sign_in(SignIn::new(form.username).client(client).cookie()).await;
    // To a page of its own, so that "reload" does not send the password again.
    Ok((signed_in.map_err(IntoResponse::into_response)?, Redirect::to("/")))
}

async fn sign_out(State(sessions): State<Sessions>, session: CurrentSession) -> Result<(SignedOut, Redirect), Error> {
    Ok((sessions.sign_out(&session).await?, Redirect::to("/sign-in")))
}

/// A form can only POST, so this is the application's own and not `DELETE /sessions/{id}` of the mounted routes.
async fn sign_out_device(
    State(sessions): State<Sessions>,
    session: CurrentSession,
    Path(id): Path<SessionId>,
) -> Result<Redirect, Error> {
    // Of this user: another's counts as not found.
    let target = EndTarget::One { id, user: Some(session.user_id().clone()) };
    sessions.end(target, EndReason::RevokedByUser, Some(session.id().to_string())).await?;
    Ok(Redirect::to("/"))
}

async fn home(State(sessions): State<Sessions>, session: CurrentSession) -> Result<Html<String>, Error> {
    let devices: String = sessions.list(session.user_id(), Some(session.id())).await?.iter().map(device).collect();
    let user = escape(session.user_id().as_str());
    let sign_out = r#"<form method="post" action="/sign-out"><button id="sign-out">Sign out</button></form>"#;
    Ok(page("Your devices", &format!(r#"<p id="user">{user}</p><ul>{devices}</ul>{sign_out}"#)))
}

fn device(session: &Session) -> String {
    let name = escape(&session.device.name);
    let more = if session.is_current {
        "this device".to_owned()
    } else {
        let action = format!("/devices/{}/sign-out", session.id);
        format!(r#"<form method="post" action="{action}"><button class="end">Sign out</button></form>"#)
    };
    format!(r#"<li class="device">{name} {more}</li>"#)
}

/// Asks for what tells Windows 11 from 10, and the models of phones.
async fn sign_in_form() -> (ClientHints, Html<String>) {
    (ClientHints, page("Sign in", SIGN_IN))
}

const SIGN_IN: &str = r#"<form method="post" action="/sign-in">
<label>User <input name="username" id="username" required></label>
<label>Password <input name="password" id="password" type="password" required></label>
<button id="sign-in">Sign in</button></form>"#;

fn page(title: &str, body: &str) -> Html<String> {
    let scripts = r#"<noscript id="scripts">Scripts are off: nothing here needs them.</noscript>"#;
    Html(format!("<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1>{body}{scripts}"))
}

/// A user's name and a device's are what strangers say.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

async fn sessions() -> Result<Sessions, Box<dyn StdError>> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let secret = env::var("SIGNING_SECRET").map_or_else(|_| secret.to_vec(), String::into_bytes);
    let builder = match env::var("DATABASE_URL") {
        Ok(url) => {
            let store = PostgresStore::connect(&url).await?;
            store.migrate().await?;
            Sessions::builder(store)
        }
        Err(_) => Sessions::builder(MemoryStore::new()),
    };
    // Safari takes no `Secure` cookie over plain http; this is for trying it out on one's own machine.
    let builder = builder.access_tokens(AccessTokens::hs256(secret)?).insecure_cookie_on_loopback();
    Ok(builder.build().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let sessions = sessions().await?;
    let bind = env::var("BIND").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = tokio::net::TcpListener::bind(&bind).await?;
    println!("listening on http://localhost:{}", listener.local_addr()?.port());
    let app = app(sessions.clone()).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(async { _ = tokio::signal::ctrl_c().await }).await?;
    Ok(sessions.shutdown().await?)
}
