//! Signing in with a browser: a form, and a cookie.

use axum::{
    Form,
    extract::{Query, State},
    http::StatusCode,
    response::{Html, IntoResponse, Redirect, Response},
};
use axum_device_sessions::{Client, ClientHints, Sessions, SignIn, SignedIn};
use serde::Deserialize;

use crate::{Credentials, is_right, web};

pub(crate) const USERS: [(&str, &str); 3] = [("ahmed", "Ahmed"), ("lena", "Lena"), ("sam", "Sam")];

pub(crate) fn shown(user: &str) -> &'static str {
    USERS.iter().find(|(name, _)| *name == user).map_or("stranger", |(_, shown)| shown)
}

/// The crate's page, which sends people here and wants them back.
pub(crate) const DEVICES: &str = "/devices";

#[derive(Deserialize)]
pub(crate) struct Came {
    because: Option<String>,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(crate) struct SignInForm {
    #[serde(flatten)]
    credentials: Credentials,
    #[serde(default)]
    next: String,
}

/// Asks for what tells Windows 11 from 10, and the models of phones.
pub(crate) async fn form(Query(Came { because, next }): Query<Came>) -> (ClientHints, Html<String>) {
    // Only what is known is shown: anybody can make up a link.
    let why = because.as_deref().and_then(web::because).map(|why| notice("notice", why));
    (ClientHints, page(&why.unwrap_or_default(), way_on(&next)))
}

pub(crate) async fn submit(
    State(sessions): State<Sessions>,
    client: Client,
    Form(SignInForm { credentials, next }): Form<SignInForm>,
) -> Result<(SignedIn, Redirect), Response> {
    let next = way_on(&next);
    if !is_right(&credentials) {
        let wrong = notice("notice wrong", "That is not right: every password is “demo”.");
        return Err((StatusCode::UNAUTHORIZED, page(&wrong, next)).into_response());
    }
    let signed_in = sessions.sign_in(SignIn::new(credentials.username).client(client).cookie()).await;
    // To a page of its own, so that "reload" does not send the password again.
    Ok((signed_in.map_err(IntoResponse::into_response)?, Redirect::to(next)))
}

/// And nowhere else: anybody can make up that part of a link, too.
fn way_on(next: &str) -> &'static str {
    if next == DEVICES { DEVICES } else { "/" }
}

fn notice(class: &str, text: &str) -> String {
    format!(r#"<p class="{class}" role="alert" id="why">{text}</p>"#)
}

fn page(notice: &str, next: &str) -> Html<String> {
    let users: String = USERS
        .iter()
        .enumerate()
        .map(|(at, (name, shown))| {
            let checked = if at == 0 { " checked" } else { "" };
            format!(
                r#"<label class="user"><input type="radio" name="username" value="{name}"{checked}><span><i aria-hidden="true">{}</i>{shown}</span></label>"#,
                &shown[..1]
            )
        })
        .collect();
    web::page(
        "Sign in",
        &format!(
            r#"<main class="sign-in"><img src="/assets/icon.svg" alt="" width="56" height="56">
<h1>Sign in</h1>{notice}
<form method="post" action="/sign-in"><input type="hidden" name="next" value="{next}">
<fieldset><legend>Who are you?</legend><div class="users">{users}</div></fieldset>
<label for="password">Password</label>
<input id="password" name="password" type="password" value="demo" autocomplete="current-password" required>
<p class="hint">It is “demo”, for everybody.</p>
<button class="primary" id="sign-in">Sign in</button>
</form></main>"#
        ),
    )
}
