//! Browser mode: the cookie, who may use it and from where, and how it is made anew.

#[path = "browser/cookie.rs"]
mod cookie;
#[path = "browser/cross_site.rs"]
mod cross_site;
#[path = "support/http.rs"]
mod http;
#[path = "browser/loopback.rs"]
mod loopback;
#[path = "browser/renewal.rs"]
mod renewal;
#[path = "browser/renewal_races.rs"]
mod renewal_races;
mod support;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::Redirect;
use axum::routing::{any, post as to_post};
use axum_device_sessions::{
    Client, Clock, CurrentSession, Error, MemoryStore, SessionValidationLayer, Sessions, SessionsBuilder, SignIn,
    SignedIn, SignedOut,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Answer, Sent, app, on};
use serde_json::Value;

/// In memory, on a clock that stands still.
async fn at_rest(settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> (Sessions, Clock) {
    let clock = Clock::manual();
    let builder = on(MemoryStore::with_clock(clock.clone())).clock(clock.clone());
    (settings(builder).build().await.expect("builds"), clock)
}

/// The mounted routes, and what an application in browser mode has of its own.
fn site(sessions: &Sessions) -> Router {
    site_with(sessions, Router::new())
}

fn site_with(sessions: &Sessions, more: Router<Sessions>) -> Router {
    async fn login(State(sessions): State<Sessions>, client: Client) -> Result<SignedIn, Error> {
        sessions.sign_in(SignIn::new("ahmed").client(client).cookie()).await
    }
    async fn form(State(sessions): State<Sessions>, client: Client) -> Result<(SignedIn, Redirect), Error> {
        let signed_in = sessions.sign_in(SignIn::new("ahmed").client(client).cookie()).await?;
        Ok((signed_in, Redirect::to("/")))
    }
    async fn sign_out(
        State(sessions): State<Sessions>,
        session: CurrentSession,
    ) -> Result<(SignedOut, Redirect), Error> {
        Ok((sessions.sign_out(&session).await?, Redirect::to("/sign-in")))
    }
    async fn again(State(sessions): State<Sessions>, session: CurrentSession) -> Result<SignedIn, Error> {
        sessions.reauthenticated(&session).await
    }
    more.route("/page", any(|session: CurrentSession| async move { session.user_id().to_string() }))
        .route("/open", any(|| async { "open" }))
        .route("/sign-out", to_post(sign_out))
        .route("/reauthenticate", to_post(again))
        .with_state(sessions.clone())
        .merge(app())
        .layer(SessionValidationLayer::new(sessions.clone()))
        .merge(Router::new().route("/login", to_post(login)).route("/form", to_post(form)).with_state(sessions.clone()))
}

/// A session in a cookie: its token.
async fn cookie_for(sessions: &Sessions, user: &str) -> String {
    token_of(sessions, SignIn::new(user)).await
}

async fn token_of(sessions: &Sessions, sign_in: SignIn) -> String {
    async fn answer(signed_in: SignedIn) -> Answer {
        let app = Router::new().route("/", to_post(move || async move { signed_in }));
        http::post(&app, "/", &[]).await
    }
    let sign_in = sign_in.client(Client::new(None, None)).cookie();
    let signed_in = sessions.sign_in(sign_in).await.expect("signs in");
    set_token(&answer(signed_in).await).expect("a cookie")
}

/// The lines of `Set-Cookie`, the token written as `TOKEN`.
fn set_cookies(answer: &Answer) -> Vec<String> {
    let lines = answer.headers.get_all(header::SET_COOKIE).iter();
    lines
        .map(|line| {
            assert!(line.is_sensitive(), "not for logs");
            let line = line.to_str().expect("text");
            let (name, rest) = line.split_once('=').expect("a name");
            let (token, attributes) = rest.split_once(';').expect("attributes");
            let token = if token.is_empty() { "" } else { "TOKEN" };
            format!("{name}={token};{attributes}")
        })
        .collect()
}

/// The token of the session cookie that this answer sets.
fn set_token(answer: &Answer) -> Option<String> {
    let mut lines = answer.headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().expect("text"));
    lines.find_map(|line| Some(line.strip_prefix("__Host-session=")?.split(';').next()?.to_owned()))
}

/// Header and claims of a token.
fn read(token: &str) -> [Value; 2] {
    let mut parts = token.split('.').map(|part| {
        let json = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        serde_json::from_slice(&json).unwrap_or_default()
    });
    [parts.next().expect("a header"), parts.next().expect("claims")]
}

fn header(name: &'static str, value: &str) -> Sent {
    (name, value.to_owned())
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MINUTE: Duration = Duration::from_secs(60);
