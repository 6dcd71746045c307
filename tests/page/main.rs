//! The page of a user's devices: what it shows and does over HTTP, and in a real browser, with scripts and without.

#![cfg(all(feature = "page", feature = "postgres", feature = "test-util"))]
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../support/axe.rs"]
mod axe;
#[path = "../support/chromium.rs"]
mod chromium;
mod clicks;
mod doing;
#[path = "../support/gate.rs"]
mod gate;
mod guarded;
#[path = "../support/http.rs"]
mod http;
mod jar;
mod listing;
mod looks;
mod mounted;
mod script;
#[path = "../support/streams.rs"]
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod theme;
mod visitors;
mod words;

use axum::{
    Form, Router,
    extract::{Query, State},
    response::{Html, Redirect},
    routing::get,
};
use axum_device_sessions::{
    Client, Error, SessionValidationLayer, Sessions, SignIn, SignedIn,
    routes::{self, PageTheme},
};
use serde::Deserialize;

/// Where it is mounted, unless a test is about that.
const PAGE: &str = "/account/devices";
const LAPTOP: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
    Version/18.5 Mobile/15E148 Safari/604.1";
const TABLET: &str = "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
    Version/16.6 Mobile/15E148 Safari/604.1";

fn theme() -> PageTheme {
    let theme = PageTheme::new("Example").login_url("/sign-in?next={page}&reason={reason}").unwrap();
    theme.link("Account", "/account").unwrap()
}

#[derive(Deserialize)]
struct SignInForm {
    user: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Came {
    next: String,
    reason: String,
}

/// An application of one page, with a form to sign in by that says how somebody came there.
fn site(sessions: &Sessions, theme: PageTheme) -> Router {
    site_at(PAGE, sessions, theme)
}

fn site_at(prefix: &str, sessions: &Sessions, theme: PageTheme) -> Router {
    with_sign_in(sessions, Router::new().nest(prefix, routes::page(theme)))
}

fn with_sign_in(sessions: &Sessions, pages: Router<Sessions>) -> Router {
    async fn sign_in(
        State(sessions): State<Sessions>,
        client: Client,
        Query(came): Query<Came>,
        Form(form): Form<SignInForm>,
    ) -> Result<(SignedIn, Redirect), Error> {
        let signed_in = sessions.sign_in(SignIn::new(form.user).client(client).cookie()).await?;
        Ok((signed_in, Redirect::to(if came.next.is_empty() { PAGE } else { &came.next })))
    }
    async fn form(Query(came): Query<Came>) -> Html<String> {
        assert!(!came.reason.contains('<'));
        let form = "<form method=post><input id=user name=user><button id=sign-in>Sign in</button></form>";
        Html(format!(
            "<!doctype html><html lang=en><title>Sign in</title><p id=reason>{}</p>{form}</html>",
            came.reason
        ))
    }
    pages
        .layer(SessionValidationLayer::new(sessions.clone()))
        .route("/sign-in", get(form).post(sign_in))
        .with_state(sessions.clone())
}
