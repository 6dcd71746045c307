//! Who goes where there is one session too many, who is refused, and who does not count: the same on both stores.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, response::IntoResponse, response::Response, routing::post as to_post};
use axum_device_sessions::{
    Client, Clock, DeviceType, EndReason, Error, ErrorKind, MemoryStore, OnLimit, PendingSession, PostgresStore,
    Session, SessionId, SessionLimit, SessionStore, SessionValidationLayer, Sessions, SessionsBuilder, SignIn,
    SignedIn, UserId,
};
use time::OffsetDateTime;

use crate::{
    http::{app, bearer, get, on, post, sign_in},
    support::{TestDb, eventually},
};

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::MemoryStore::new()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                let db = super::TestDb::new().await;
                let store = super::PostgresStore::connect(db.url()).await.unwrap();
                store.migrate().await.unwrap();
                super::$name(store).await;
            })*
        }
    };
}

on_both!(
    the_oldest_goes,
    the_one_not_used_for_longest_goes,
    who_is_refused_leaves_nothing,
    a_limit_that_is_lowered_is_kept_from_the_next_sign_in_on,
    a_limit_of_some_users,
    kinds_of_clients_are_counted_apart,
    the_same_device_needs_no_room,
    pending_ones_do_not_count,
);

/// Nothing is written down meanwhile.
fn lazily(store: impl SessionStore) -> SessionsBuilder {
    on(store).activity_interval(Duration::from_secs(3_600))
}

async fn limited(store: impl SessionStore, limit: impl Into<SessionLimit>, on_limit: OnLimit) -> Sessions {
    lazily(store).max_sessions_per_user(limit, on_limit).build().await.unwrap()
}

async fn ids(sessions: &Sessions, user: &str) -> Vec<SessionId> {
    let mut ids: Vec<_> = sessions.list(&user.into(), None).await.unwrap().iter().map(|one| one.id).collect();
    ids.sort();
    ids
}

fn sorted<const N: usize>(sessions: [&SignedIn; N]) -> Vec<SessionId> {
    let mut ids: Vec<_> = sessions.iter().map(|signed_in| signed_in.session.id).collect();
    ids.sort();
    ids
}

/// Why, and by which session, each of the user's ended ones ended: the one that ended last comes first.
async fn ends(sessions: &Sessions, user: &str) -> Vec<(SessionId, EndReason, Option<String>)> {
    let history = sessions.history(&user.into()).await.unwrap();
    let how = |one: Session| one.ended.map(|ended| (one.id, ended.reason, ended.by));
    history.into_iter().filter_map(how).collect()
}

fn by(ended: &SignedIn, newcomer: &SignedIn, reason: EndReason) -> (SessionId, EndReason, Option<String>) {
    (ended.session.id, reason, Some(newcomer.session.id.to_string()))
}

fn layered(router: Router, sessions: &Sessions) -> Router {
    router.layer(SessionValidationLayer::new(sessions.clone()))
}

async fn use_it(sessions: &Sessions, signed_in: &SignedIn) -> String {
    get(&layered(app(), sessions), "/me", &[bearer(&signed_in.access_token)]).await.line()
}

/// When a session was made says the database, and when it was used this node: by ages that differ by how long an answer took.
async fn a_while_after(signed_in: &SignedIn) {
    let then = signed_in.session.created_at + Duration::from_millis(500);
    eventually("what was before is clearly older", async || OffsetDateTime::now_utc() > then).await;
}

async fn the_oldest_goes(store: impl SessionStore) {
    let sessions = limited(store, 2, OnLimit::EndOldest).await;
    let (a, b) = (sign_in(&sessions, "ahmed").await, sign_in(&sessions, "ahmed").await);
    let lena = sign_in(&sessions, "lena").await;
    assert_eq!(use_it(&sessions, &a).await, "200 ahmed");
    let c = sign_in(&sessions, "ahmed").await;
    assert_eq!(use_it(&sessions, &a).await, "401 session_ended limit", "just used, and the oldest all the same");
    assert_eq!(ids(&sessions, "ahmed").await, sorted([&b, &c]));
    assert_eq!(ends(&sessions, "ahmed").await, [by(&a, &c, EndReason::Limit)]);
    assert_eq!(use_it(&sessions, &lena).await, "200 lena", "others' do not count");
}

async fn the_one_not_used_for_longest_goes(store: impl SessionStore) {
    let sessions = limited(store, 2, OnLimit::EndLeastRecentlyActive).await;
    let (a, b) = (sign_in(&sessions, "ahmed").await, sign_in(&sessions, "ahmed").await);
    a_while_after(&b).await;
    // In the database the first is the older one still: what this node has seen is not written down yet.
    assert_eq!(use_it(&sessions, &a).await, "200 ahmed");
    let c = sign_in(&sessions, "ahmed").await;
    assert_eq!(ids(&sessions, "ahmed").await, sorted([&a, &c]));
    assert_eq!(ends(&sessions, "ahmed").await, [by(&b, &c, EndReason::Limit)]);
    // Neither was used since: the first was used before the third came.
    let d = sign_in(&sessions, "ahmed").await;
    assert_eq!(ids(&sessions, "ahmed").await, sorted([&c, &d]));
}

async fn login(State(sessions): State<Sessions>, client: Client) -> Result<SignedIn, Error> {
    sessions.sign_in(SignIn::new("ahmed").client(client)).await
}

async fn who_is_refused_leaves_nothing(store: impl SessionStore) {
    let sessions = limited(store, 2, OnLimit::Refuse).await;
    let (a, b) = (sign_in(&sessions, "ahmed").await, sign_in(&sessions, "ahmed").await);
    a_while_after(&b).await;
    assert_eq!(use_it(&sessions, &a).await, "200 ahmed");
    let known = |id: &str| SignIn::new("ahmed").client(Client::new(None, None).device_id(id));
    let error = sessions.sign_in(known("an installation of an app")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionLimit);
    let mut told: Vec<_> = error.sessions().iter().map(|session| session.id).collect();
    told.sort();
    assert_eq!(told, sorted([&a, &b]));

    let router = Router::new().route("/login", to_post(login)).with_state(sessions.clone());
    let answer = post(&layered(router, &sessions), "/login", &[]).await;
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), body["code"].as_str().unwrap()), (409, "session_limit_reached"));
    assert_eq!(answer.header(&http::header::SET_COOKIE), None);
    assert_eq!(answer.header(&http::header::CACHE_CONTROL), Some("no-store"));
    let list = body["sessions"].as_array().unwrap();
    let listed: Vec<_> = list.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(listed, [a.session.id.to_string(), b.session.id.to_string()], "the last used first");
    for secret in [&a, &b].map(|one| [&one.access_token, &one.refresh_token]).concat() {
        assert!(!answer.text().contains(secret.as_str()) && !answer.text().contains("token"), "{}", answer.text());
    }

    assert_eq!(ids(&sessions, "ahmed").await, sorted([&a, &b]));
    assert_eq!(ends(&sessions, "ahmed").await, []);
    // There is room again; and no device is known by a sign-in that was refused.
    sessions.admin().end_all(&"ahmed".into(), EndReason::Logout, "the test").await.unwrap();
    let first = sessions.sign_in(known("an installation of an app")).await.unwrap();
    assert_eq!(first.signals, [], "the first device ever");
}

async fn a_limit_that_is_lowered_is_kept_from_the_next_sign_in_on(store: impl SessionStore) {
    // Zero stands for none.
    let limit = Arc::new(AtomicU32::new(0));
    let now = Arc::clone(&limit);
    let asked = SessionLimit::of_user(move |_| Some(now.load(Ordering::SeqCst)).filter(|limit| *limit > 0));
    let sessions = limited(store, asked, OnLimit::EndOldest).await;
    let mut there = Vec::new();
    for _ in 0..7 {
        there.push(sign_in(&sessions, "ahmed").await);
    }
    assert_eq!(ids(&sessions, "ahmed").await.len(), 7);
    limit.store(2, Ordering::SeqCst);
    let last = sign_in(&sessions, "ahmed").await;
    assert_eq!(ids(&sessions, "ahmed").await, sorted([&there[6], &last]));
    let mut ended = ends(&sessions, "ahmed").await;
    ended.sort_by_key(|(id, ..)| *id);
    assert_eq!(ended, there[..6].iter().map(|one| by(one, &last, EndReason::Limit)).collect::<Vec<_>>());
}

async fn a_limit_of_some_users(store: impl SessionStore) {
    let plan = |user: &UserId| match user.as_str() {
        "business" => None,
        "locked out" => Some(0),
        _ => Some(1),
    };
    let sessions = limited(store, SessionLimit::of_user(plan), OnLimit::EndOldest).await;
    for user in ["business", "ahmed"] {
        for _ in 0..4 {
            sign_in(&sessions, user).await;
        }
    }
    assert_eq!((ids(&sessions, "business").await.len(), ids(&sessions, "ahmed").await.len()), (4, 1));
    let error = sessions.sign_in(SignIn::new("locked out")).await.unwrap_err();
    assert_eq!((error.kind(), error.sessions().len()), (ErrorKind::SessionLimit, 0));
}

const BROWSER: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

async fn kinds_of_clients_are_counted_apart(store: impl SessionStore) {
    let of_kind = |_: &UserId, kind| match kind {
        DeviceType::Web => Some(2),
        DeviceType::Other => Some(1),
        _ => Some(0),
    };
    let sessions = limited(store, SessionLimit::of_client_type(of_kind), OnLimit::EndOldest).await;
    let web = async || {
        let client = Client::new(Some(BROWSER), None);
        sessions.sign_in(SignIn::new("ahmed").client(client)).await.unwrap()
    };
    let (first, other, second) = (web().await, sign_in(&sessions, "ahmed").await, web().await);
    assert_eq!((first.session.device.kind, other.session.device.kind), (DeviceType::Web, DeviceType::Other));
    assert_eq!(ids(&sessions, "ahmed").await.len(), 3, "two and one");
    let third = web().await;
    assert_eq!(ids(&sessions, "ahmed").await, sorted([&other, &second, &third]));
    let other_too = sign_in(&sessions, "ahmed").await;
    assert_eq!(ids(&sessions, "ahmed").await, sorted([&second, &third, &other_too]));
    let client = Client::new(Some("Shop/7 CFNetwork/1490 Darwin/23.1.0"), None);
    let error = sessions.sign_in(SignIn::new("ahmed").client(client)).await.unwrap_err();
    assert_eq!((error.kind(), error.sessions().len()), (ErrorKind::SessionLimit, 0), "none of this kind");
    assert_eq!(ids(&sessions, "ahmed").await.len(), 3, "and none ends for it");
}

async fn the_same_device_needs_no_room(store: impl SessionStore) {
    let sessions = limited(store, 2, OnLimit::Refuse).await;
    let on_device = async |id: &str| {
        let client = Client::new(None, None).device_id(id);
        sessions.sign_in(SignIn::new("ahmed").client(client)).await
    };
    let (a, other) = (on_device("the first installation").await.unwrap(), sign_in(&sessions, "ahmed").await);
    let again = on_device("the first installation").await.unwrap();
    assert_eq!(ids(&sessions, "ahmed").await, sorted([&other, &again]));
    assert_eq!(ends(&sessions, "ahmed").await, [by(&a, &again, EndReason::Replaced)]);
    let error = on_device("the second installation").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionLimit);
}

async fn confirm(State(sessions): State<Sessions>, pending: PendingSession) -> Result<Response, Error> {
    Ok(sessions.confirm(&pending).await?.into_response())
}

async fn pending_ones_do_not_count(store: impl SessionStore) {
    let sessions = limited(store, 1, OnLimit::EndOldest).await;
    let router = Router::new().route("/confirm", to_post(confirm)).with_state(sessions.clone());
    let router = layered(router, &sessions);
    let first = sign_in(&sessions, "ahmed").await;
    let mut pending = Vec::new();
    for _ in 0..6 {
        pending.push(sessions.sign_in(SignIn::new("ahmed").second_factor_to_come()).await.unwrap());
    }
    assert_eq!(ids(&sessions, "ahmed").await, sorted([&first]), "none is listed, and none has ended another");
    assert_eq!(ends(&sessions, "ahmed").await, [], "nor are they told of when they end");
    // The first of six has gone: there are five at most.
    let sent = |one: &SignedIn| [bearer(&one.access_token)];
    assert_eq!(post(&router, "/confirm", &sent(&pending[0])).await.line(), "401 session_ended limit");
    let full = sign_in(&sessions, "ahmed").await;
    assert_eq!(ids(&sessions, "ahmed").await, sorted([&full]));
    assert_eq!(post(&router, "/confirm", &sent(&pending[5])).await.status, 200, "it has not ended for a sign-in");
    assert_eq!(ids(&sessions, "ahmed").await, sorted([&pending[5]]), "from here on it counts");
    assert_eq!(ends(&sessions, "ahmed").await[0], by(&full, &pending[5], EndReason::Limit));
}

/// As in the documentation: a plain number does.
#[tokio::test]
async fn nobody_could_sign_in() {
    let ten = on(MemoryStore::new()).max_sessions_per_user(10, OnLimit::EndLeastRecentlyActive).build().await;
    assert!(ten.is_ok());
    let none = on(MemoryStore::new()).max_sessions_per_user(0, OnLimit::Refuse).build().await.unwrap_err();
    assert!(none.to_string().contains("max_sessions_per_user is 0"), "{none}");
}

/// What has run out but was not swept yet does not count, and ends as of when it ran out.
#[tokio::test]
async fn what_has_run_out_does_not_count() {
    const IDLE: Duration = Duration::from_secs(600);
    let clock = Clock::manual();
    let builder = on(MemoryStore::with_clock(clock.clone())).clock(clock.clone()).idle_timeout(IDLE);
    let sessions = builder.max_sessions_per_user(2, OnLimit::Refuse).build().await.unwrap();
    let (a, b) = (sign_in(&sessions, "ahmed").await, sign_in(&sessions, "ahmed").await);
    clock.advance(IDLE / 2);
    assert_eq!(use_it(&sessions, &b).await, "200 ahmed");
    clock.advance(IDLE / 2);
    // Within the allowance it may have been seen elsewhere.
    assert_eq!(sessions.sign_in(SignIn::new("ahmed")).await.unwrap_err().kind(), ErrorKind::SessionLimit);
    clock.advance(IDLE / 4);
    let c = sign_in(&sessions, "ahmed").await;
    assert_eq!(ids(&sessions, "ahmed").await, sorted([&b, &c]));
    let history = sessions.history(&"ahmed".into()).await.unwrap();
    let [one] = &history[..] else { panic!("{history:?}") };
    let ended = one.ended.as_ref().unwrap();
    assert_eq!((one.id, &ended.reason, &ended.by), (a.session.id, &EndReason::Idle, &None));
    assert_eq!(ended.at, a.session.created_at + IDLE);
    // Over for good: what another node saw meanwhile must not bring a session too many back.
    assert_eq!(use_it(&sessions, &a).await, "401 session_ended idle");
}
