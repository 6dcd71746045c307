//! What a review of signing in has found once, each with its story, so that it does not come back.

use std::{
    task::{Context, Waker},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::header,
    routing::{get as to, post as to_post},
};
use axum_device_sessions::{
    Client, Error, ImportSession, MemoryStore, OnLimit, PendingSession, PostgresStore, SessionId,
    SessionValidationLayer, Sessions, SignIn, SignedIn, UserId,
};
use deadpool_postgres::{Manager, Pool, Runtime};
use time::OffsetDateTime;
use tokio_postgres::NoTls;

use crate::{
    http::{self, ACCESS, Answer, Sent, ask, bearer, get, on, post},
    support::{TestDb, eventually},
};

async fn confirm(State(sessions): State<Sessions>, pending: PendingSession) -> Result<SignedIn, Error> {
    sessions.confirm(&pending).await
}

async fn login_by_cookie(State(sessions): State<Sessions>, client: Client) -> Result<SignedIn, Error> {
    sessions.sign_in(SignIn::new("ahmed").client(client).cookie()).await
}

/// The mounted routes, and the ways in.
fn app(sessions: &Sessions) -> Router {
    Router::new()
        .route("/confirm", to_post(confirm))
        .route("/login", to_post(login_by_cookie))
        .with_state(sessions.clone())
        .merge(http::app())
        .layer(SessionValidationLayer::new(sessions.clone()))
}

fn pending(user: &str) -> SignIn {
    SignIn::new(user).second_factor_to_come()
}

/// What the browser would send back of these cookies.
fn cookies(answer: &Answer, names: &[&str]) -> Sent {
    let lines = answer.headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().unwrap());
    let sent: Vec<_> = lines
        .filter_map(|line| line.split(';').next())
        .filter(|pair| names.iter().any(|name| pair.starts_with(&format!("{name}="))))
        .collect();
    assert_eq!(sent.len(), names.len(), "{:?}", answer.headers);
    ("cookie", sent.join("; "))
}

/// Pending sessions are in no list, but a hundred of them, which whoever has the password can make, were all that there
/// was room for in the history of ended sessions, and the real ones were not told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_sessions_push_nothing_out_of_the_history() {
    async fn check(sessions: Sessions) {
        let app = app(&sessions);
        let real = sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
        assert_eq!(post(&app, "/auth/logout", &[bearer(&real.access_token)]).await.status, 204);
        for _ in 0..Sessions::HISTORY + 5 {
            sessions.sign_in(pending("ahmed")).await.unwrap();
        }
        let told: Vec<_> = sessions.history(&"ahmed".into()).await.unwrap().iter().map(|one| one.id).collect();
        assert_eq!(told, [real.session.id]);
    }
    check(on(MemoryStore::new()).build().await.unwrap()).await;
    let db = TestDb::new().await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    check(on(store).build().await.unwrap()).await;
}

/// A strict layer inside of another took over that a session was pending, from memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_layer_reads_pending_sessions_too() {
    let db = TestDb::new().await;
    let pool =
        Pool::builder(Manager::new(db.url().parse().unwrap(), NoTls)).max_size(4).runtime(Runtime::Tokio1).build();
    let store = PostgresStore::from_pool(pool.unwrap()).unwrap();
    store.migrate().await.unwrap();
    // Not told of changes.
    let sessions = on(store).max_staleness(Duration::from_secs(60)).build().await.unwrap();
    let strict = || SessionValidationLayer::new(sessions.clone()).strict();
    let who = || to(|pending: PendingSession| async move { pending.user_id().to_string() });
    let nested = Router::new().route("/nested", who()).layer(strict());
    let app = nested.route("/", who()).layer(SessionValidationLayer::new(sessions.clone()));
    let signed_in = sessions.sign_in(pending("ahmed")).await.unwrap();
    let sent = [bearer(&signed_in.access_token)];
    assert_eq!(get(&app, "/", &sent).await.line(), "200 ahmed");
    let sql = "UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'revoked_by_admin'";
    db.connect().await.execute(sql, &[]).await.unwrap();
    assert_eq!(get(&app, "/", &sent).await.line(), "200 ahmed", "from memory");
    assert_eq!(get(&app, "/nested", &sent).await.line(), "401 session_ended revoked_by_admin");
}

/// The browser's own session, in the cookie that a sign-in overwrites, took up the room: refused, or another one ended for
/// it and then it too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_browser_gives_up_makes_room() {
    async fn check(sessions: Sessions) {
        let app = app(&sessions);
        let first = post(&app, "/login", &[]).await;
        assert_eq!(first.status, 200);
        // The cookie of the device is gone, or the session is older than that.
        let second = post(&app, "/login", &[cookies(&first, &["__Host-session"])]).await;
        assert_eq!(second.status, 200, "{}", second.text());
        let live = sessions.list(&"ahmed".into(), None).await.unwrap();
        assert_eq!(
            live.iter().map(|one| one.id.to_string()).collect::<Vec<_>>(),
            [second.json()["session"]["id"].as_str().unwrap()]
        );
        let ended = sessions.history(&"ahmed".into()).await.unwrap();
        let reasons: Vec<_> = ended.iter().map(|one| one.ended.as_ref().unwrap().reason.as_str()).collect();
        assert_eq!(reasons, ["replaced"]);
        assert_eq!(post(&app, "/login", &[]).await.status, 409, "another browser");
    }
    check(on(MemoryStore::new()).max_sessions_per_user(1, OnLimit::Refuse).build().await.unwrap()).await;
    let db = TestDb::new().await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    check(on(store).max_sessions_per_user(1, OnLimit::Refuse).build().await.unwrap()).await;
}

/// .. and so when it is remembered until the second factor has been shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_browser_gives_up_makes_room_when_it_is_confirmed() {
    async fn later(State(sessions): State<Sessions>, client: Client) -> Result<SignedIn, Error> {
        sessions.sign_in(pending("ahmed").client(client).cookie()).await
    }
    async fn check(sessions: Sessions) {
        let app = app(&sessions).merge(Router::new().route("/later", to_post(later)).with_state(sessions.clone()));
        let first = post(&app, "/login", &[]).await;
        let on_the_way = post(&app, "/later", &[cookies(&first, &["__Host-session"])]).await;
        assert_eq!(on_the_way.status, 200);
        assert_eq!(sessions.list(&"ahmed".into(), None).await.unwrap().len(), 1, "the first");
        let second = post(&app, "/confirm", &[cookies(&on_the_way, &["__Host-session"])]).await;
        assert_eq!(second.status, 200, "{}", second.text());
        assert_eq!(get(&app, "/me", &[cookies(&second, &["__Host-session"])]).await.line(), "200 ahmed");
        assert_eq!(
            get(&app, "/me", &[cookies(&first, &["__Host-session"])]).await.line(),
            "401 session_ended replaced"
        );
        assert_eq!(get(&app, "/me", &[cookies(&on_the_way, &["__Host-session"])]).await.line(), "401 token_expired");
    }
    check(on(MemoryStore::new()).max_sessions_per_user(1, OnLimit::Refuse).build().await.unwrap()).await;
    let db = TestDb::new().await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    check(on(store).max_sessions_per_user(1, OnLimit::Refuse).build().await.unwrap()).await;
}

/// A client that went away from its confirmation left this node believing that the session is pending, where there is
/// nobody to tell it otherwise.
#[tokio::test]
async fn a_confirmation_that_nobody_waits_for_is_known_on_this_node() {
    let sessions = on(MemoryStore::new()).build().await.unwrap();
    let app = app(&sessions);
    let signed_in = sessions.sign_in(pending("ahmed")).await.unwrap();
    let sent = [bearer(&signed_in.access_token)];
    assert_eq!(get(&app, "/me", &sent).await.line_of_second_factor(), "401 second_factor_required");
    {
        let mut confirming = std::pin::pin!(post(&app, "/confirm", &sent));
        let polled = confirming.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "and now the client goes away");
    }
    let live = || async { sessions.list(&"ahmed".into(), None).await.unwrap().len() == 1 };
    eventually("it is carried out all the same", live).await;
    tokio::task::yield_now().await;
    assert_eq!(get(&app, "/me", &sent).await.line_of_second_factor(), "401 token_expired");
}

/// A token that was refused a moment before its session was imported went on being refused.
#[tokio::test]
async fn an_imported_session_is_known_at_once_on_this_node() {
    let sessions = on(MemoryStore::new()).build().await.unwrap();
    let app = app(&sessions);
    let id = SessionId::new();
    let sent = [bearer(ACCESS.of(id))];
    assert_eq!(get(&app, "/me", &sent).await.line(), "401 invalid_token");
    let imported = sessions.import([ImportSession::new(id, "ahmed", OffsetDateTime::now_utc())]).await.unwrap();
    assert_eq!(imported, 1);
    assert_eq!(get(&app, "/me", &sent).await.line(), "200 ahmed");
}

/// `Sessions::rename` of a session that is pending, and the end of what is on its way by its own logout.
#[tokio::test]
async fn pending_tokens_open_nothing() {
    let sessions = on(MemoryStore::new()).outage_grace(Duration::from_secs(60)).build().await.unwrap();
    let app = app(&sessions).merge(
        Router::new().nest("/strict", http::app()).layer(SessionValidationLayer::new(sessions.clone()).strict()),
    );
    let signed_in = sessions.sign_in(pending("ahmed")).await.unwrap();
    let (id, sent) = (signed_in.session.id, [bearer(&signed_in.access_token)]);
    assert!(signed_in.refresh_token.is_empty() && signed_in.pending);
    for path in ["/me", "/sessions", "/sessions/current", "/sessions/events", "/strict/me", "/strict/sessions"] {
        assert_eq!(get(&app, path, &sent).await.line_of_second_factor(), "401 second_factor_required", "{path}");
    }
    for path in ["/sessions", "/sessions/others"] {
        let answer = ask(&app, axum::http::Method::DELETE, path, &sent).await;
        assert_eq!(answer.line_of_second_factor(), "401 second_factor_required", "{path}");
    }
    // As another kind of credential.
    for typ in ["at+jwt", "session+jwt"] {
        let by_hand = http::Token { typ, ..ACCESS }.of(id);
        let sent = if typ == "at+jwt" { bearer(by_hand) } else { http::cookie(by_hand) };
        let answer = get(&app, "/me", &[sent]).await;
        assert_eq!(answer.status, 503, "no such token is ever made: {typ}");
    }
    assert_eq!(sessions.rename(&UserId::from("ahmed"), id, "mine").await.unwrap(), None);
    assert_eq!(post(&app, "/auth/logout", &sent).await.status, 204);
    assert_eq!(post(&app, "/confirm", &sent).await.line_of_second_factor(), "401 session_ended logout");
}

/// Browsers keep `SameSite=Lax` cookies back from what another site posts: the answer to it overwrote the device's cookie
/// with that of a new device, for whoever could make a browser post to the sign-in.
#[tokio::test]
async fn what_another_site_posts_does_not_take_the_devices_cookie_away() {
    async fn back_from_the_provider(State(sessions): State<Sessions>, client: Client) -> Result<SignedIn, Error> {
        sessions.sign_in(SignIn::new("ahmed").client(client).cookie().cross_site_checked()).await
    }
    let sessions = on(MemoryStore::new()).build().await.unwrap();
    let back = to(back_from_the_provider).post(back_from_the_provider);
    let app = Router::new().route("/back", back).with_state(sessions);
    let sent = [("sec-fetch-site", "cross-site".to_owned())];
    let sets = |answer: &Answer| {
        let lines = answer.headers.get_all(header::SET_COOKIE).iter();
        lines.filter_map(|line| line.to_str().unwrap().split('=').next().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(sets(&post(&app, "/back", &sent).await), ["__Host-session"]);
    assert_eq!(
        sets(&get(&app, "/back", &sent).await),
        ["__Host-session", "__Host-device"],
        "a redirect comes with them"
    );
    assert_eq!(sets(&post(&app, "/back", &[]).await), ["__Host-session", "__Host-device"]);
}

impl Answer {
    /// As `line`, whose check of the challenge does not know `second_factor_required`.
    fn line_of_second_factor(&self) -> String {
        let problem = self.json();
        let reason = problem["reason"].as_str().map(|reason| format!(" {reason}")).unwrap_or_default();
        format!("{} {}{reason}", self.status.as_u16(), problem["code"].as_str().unwrap_or_default())
    }
}
