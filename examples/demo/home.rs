//! The page of somebody who is signed in: the simulated devices, and what went out.

use std::convert::Infallible;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{
        Html, IntoResponse, Redirect, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use axum_device_sessions::{CurrentSession, Sessions, UserId};
use futures_util::stream;
use serde_json::json;

use crate::{
    Changed, Demo,
    devices::{Kind, Simulated, State as Standing},
    environment::Failure,
    inbox::{Kind as Sent, Letter},
    sign_in,
    web::{because, escape, page as frame},
};

pub(crate) async fn page(State(demo): State<Demo>, session: CurrentSession) -> Html<String> {
    let (user, device) = (sign_in::shown(session.user_id().as_str()), escape(&session.device().name));
    let now = body(&demo, session.user_id());
    let body = format!(
        r#"<header><a class="brand" href="/"><img src="/assets/icon.svg" alt="" width="28" height="28">Demo</a>
<form method="post" action="/sign-out"><button class="quiet" id="sign-out">Sign out</button></form></header>
<main><section class="hello"><div><h1>Hello, <span id="user">{user}</span></h1><p>This is <strong id="device">{device}</strong>. Open a second browser, sign in there too, and sign one out from the other.</p></div>
<a class="button primary" id="devices" href="/devices">Your devices</a></section>
<section><h2>Simulate another device</h2>
<p>It signs in as you, over HTTP, with the headers of a real one, and says where it is reached by push.</p>
<div class="choices">{}{}{}</div></section>
<p id="news" class="hidden" role="status"></p><div id="now">{now}</div>
<noscript><p class="hint">Scripts are off: reload to see what is new.</p></noscript></main>"#,
        choice("iphone", PHONE, "iPhone", "an app, Moscow"),
        choice("galaxy", PHONE, "Galaxy", "an app, Istanbul"),
        choice("edge", LAPTOP, "Edge on Windows", "a browser, São Paulo"),
    );
    frame("Home", &body)
}

/// What changes, for the script.
pub(crate) async fn now(State(demo): State<Demo>, session: CurrentSession) -> Html<String> {
    Html(body(&demo, session.user_id()))
}

/// `changed` when there is something to see, at once too; `ended` with the reason when the session is over.
pub(crate) async fn changes(
    State(sessions): State<Sessions>,
    State(changed): State<Changed>,
    session: CurrentSession,
) -> impl IntoResponse {
    let over = Box::pin(session.ended());
    let closing = Box::pin(sessions.closing());
    let mut changes = changed.0.subscribe();
    changes.mark_changed();
    let events = stream::unfold(Some((over, closing, changes)), async |open| {
        let (mut over, mut closing, mut changes) = open?;
        tokio::select! {
            biased;
            reason = &mut over => {
                let ended = Event::default().event("ended").data(json!({ "reason": reason }).to_string());
                Some((Ok::<_, Infallible>(ended), None))
            }
            () = &mut closing => None,
            changed = changes.changed() => {
                changed.ok()?;
                Some((Ok(Event::default().event("changed").data("now")), Some((over, closing, changes))))
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

pub(crate) async fn simulate(State(demo): State<Demo>, session: CurrentSession, Path(kind): Path<Kind>) -> Response {
    let user = session.user_id().clone();
    // Of its own: a visitor who goes away leaves no device halfway.
    let added = tokio::spawn(async move { demo.devices.add(&user, kind).await }).await;
    done(added.map_err(Failure::from).flatten())
}

pub(crate) async fn command(
    State(demo): State<Demo>,
    session: CurrentSession,
    Path((number, what)): Path<(u32, String)>,
) -> Response {
    let (user, devices) = (session.user_id(), &demo.devices);
    done(match what.as_str() {
        "open" => devices.open_app(user, number).await,
        "sign-in" => devices.sign_in_again(user, number).await,
        "remove" => {
            devices.remove(user, number);
            Ok(())
        }
        _ => return StatusCode::NOT_FOUND.into_response(),
    })
}

fn done(done: Result<(), Failure>) -> Response {
    match done {
        Ok(()) => Redirect::to("/").into_response(),
        Err(failure) => {
            failure.report();
            (StatusCode::BAD_GATEWAY, frame("Not now", "<main><h1>That did not work.</h1></main>")).into_response()
        }
    }
}

fn body(demo: &Demo, user: &UserId) -> String {
    let devices: String = demo.devices.of(user).iter().map(card).collect();
    let devices = if devices.is_empty() {
        r#"<p class="empty">None yet. Let one sign in: it appears here, and in your list of devices.</p>"#.to_owned()
    } else {
        format!(r#"<ul class="cards">{devices}</ul>"#)
    };
    let letters: String = demo.inbox.of(user).iter().map(letter).collect();
    let letters = if letters.is_empty() {
        r#"<p class="empty">Nothing yet. A sign-in on a new device is told to you by mail, and to your other devices by push.</p>"#.to_owned()
    } else {
        format!(
            r#"<ol class="letters">{letters}</ol><p class="hint">At most three alerts an hour: whoever has a password could fill a mailbox otherwise.</p>"#
        )
    };
    format!(
        r#"<section class="devices"><h2>Simulated devices</h2>{devices}</section><section class="inbox"><h2>Inbox</h2>{letters}</section>"#
    )
}

fn card(device: &Simulated) -> String {
    let Simulated { number, name, place, kind, .. } = device;
    let icon = if *kind == Kind::Edge { LAPTOP } else { PHONE };
    let button = |what: &str, label: &str| {
        format!(
            r#"<form method="post" action="/devices-of-the-demo/{number}/{what}"><button id="{what}-{number}">{label}</button></form>"#
        )
    };
    let (class, state, says, buttons) = match &device.state {
        Standing::Online { says } => ("online", "Signed in".to_owned(), escape(says), button("open", "Use it")),
        Standing::SignedOut { reason, by } => {
            let why = because(reason).unwrap_or("It has to sign in again.");
            let more = format!(r#"{why} <span class="how">Told {by}: <code>{}</code></span>"#, escape(reason));
            let buttons = button("sign-in", "Sign in again") + &button("remove", "Remove");
            ("over", "Signed out".to_owned(), more, buttons)
        }
    };
    format!(
        r#"<li class="card {class}" id="device-{number}">{icon}<div><h3>{}</h3><p class="place">{}</p></div><span class="state">{state}</span><p class="says">{says}</p><div class="buttons">{buttons}</div></li>"#,
        escape(name),
        escape(place),
    )
}

fn letter(letter: &Letter) -> String {
    let (class, icon) = match letter.kind {
        Sent::Push => ("push", "Push"),
        Sent::Mail => ("mail", "Mail"),
        Sent::Event => ("event", "Event"),
    };
    let link = letter
        .not_me
        .as_deref()
        .map_or_else(String::new, |url| format!(r#"<a class="not-me" href="{}">That was not me</a>"#, escape(url)));
    let (id, to, subject) = (&letter.id, escape(&letter.to), escape(&letter.subject));
    let (hour, minute, second) = letter.at.to_hms();
    format!(
        r#"<li class="letter {class}" data-id="{id}" data-says="{icon} to {to}: {subject}"><p class="meta"><b>{icon}</b> to {to}<time>{hour:02}:{minute:02}:{second:02} UTC</time></p><h3>{subject}</h3><p>{}</p>{link}</li>"#,
        escape(&letter.text),
    )
}

fn choice(kind: &str, icon: &str, label: &str, what: &str) -> String {
    format!(
        r#"<form method="post" action="/simulate/{kind}"><button id="{kind}" class="choice">{icon}<span><b>{label}</b><small>{what}</small></span></button></form>"#
    )
}

const PHONE: &str = r#"<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><rect x="7" y="2.5" width="10" height="19" rx="2.5"/><path d="M11 18.5h2"/></svg>"#;
const LAPTOP: &str = r#"<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><rect x="4" y="4.5" width="16" height="11" rx="2"/><path d="M2 19.5h20"/></svg>"#;
