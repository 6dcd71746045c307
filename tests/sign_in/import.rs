//! Sessions of another system, taken over: rows as they were, and tokens that go on working.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::{net::IpAddr, time::Duration};

use axum::{Json, Router, extract::State, routing::post as to_post};
use axum_device_sessions::{
    Claims, Client as Caller, CurrentSession, Error, ErrorKind, ImportSession, MemoryStore, OnLimit, PostgresStore,
    SessionId, SessionStore, SessionValidationLayer, Sessions, SignIn, SignedIn,
    store::{Expire, Idle},
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_postgres::Client;

use crate::{
    http::{ACCESS, app, bearer, get, on, post},
    support::{self, TestDb},
};

const DAY: time::Duration = time::Duration::days(1);
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0";

async fn store(db: &TestDb) -> PostgresStore {
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    store
}

/// Of whole milliseconds: Postgres has no nanoseconds.
fn ago(span: time::Duration) -> OffsetDateTime {
    let at = OffsetDateTime::now_utc() - span;
    at.replace_nanosecond(at.nanosecond() / 1_000_000 * 1_000_000).unwrap()
}

fn old(user: &str) -> ImportSession {
    ImportSession::new(SessionId::new(), user, ago(3 * DAY))
}

async fn count(sql: &Client) -> i64 {
    sql.query_one("SELECT count(*) FROM device_sessions.sessions", &[]).await.unwrap().get(0)
}

/// In one call, again, and with half of them there already.
#[tokio::test]
async fn thousands_at_once_and_again() {
    let db = TestDb::new().await;
    let (sessions, sql) = (on(store(&db).await).build().await.unwrap(), db.connect().await);
    let ids: Vec<_> = (0..5_000).map(|_| SessionId::new()).collect();
    let row = |n: usize| {
        ImportSession::new(ids[n], format!("user {}", n % 100), ago(3 * DAY))
            .user_agent(FIREFOX)
            .metadata(&json!({ "n": n }))
    };
    assert_eq!(sessions.import((0..1_000).map(row)).await.unwrap(), 1_000);
    assert_eq!(sessions.import((0..1_000).map(row)).await.unwrap(), 0, "again");
    let began = std::time::Instant::now();
    assert_eq!(sessions.import((0..5_000).rev().map(row)).await.unwrap(), 4_000);
    println!("5,000 rows, 4,000 of them new: {:?}", began.elapsed());
    assert_eq!(count(&sql).await, 5_000);
    // Twice in one call: the first one.
    let id = SessionId::new();
    let twice = ["first", "second"].map(|name| ImportSession::new(id, "lena", ago(DAY)).device_name(name));
    assert_eq!(sessions.import(twice).await.unwrap(), 1);
    assert_eq!(sessions.list(&"lena".into(), None).await.unwrap()[0].device.name, "first");
    assert_eq!(sessions.import([]).await.unwrap(), 0);
}

/// Two that import the same rows in opposite orders wait for each other, never in a circle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_add_each_row_once() {
    let db = TestDb::new().await;
    let one = on(store(&db).await).build().await.unwrap();
    let two = on(store(&db).await).build().await.unwrap();
    for _ in 0..10 {
        let ids: Vec<_> = (0..500).map(|_| SessionId::new()).collect();
        let row = |id: &SessionId| ImportSession::new(*id, "ahmed", ago(DAY));
        let forth: Vec<_> = ids.iter().map(row).collect();
        let back: Vec<_> = ids.iter().rev().map(row).collect();
        let (forth, back) = tokio::join!(one.import(forth), two.import(back));
        assert_eq!(forth.unwrap() + back.unwrap(), 500);
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let sql = db.connect().await;
    assert_eq!(sql.query_one(deadlocks, &[]).await.unwrap().get::<_, i64>(0), 0);

    // The control: each in its own order.
    let (one, two) = (db.connect().await, db.connect().await);
    let add = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
               VALUES ($1, 'ahmed', now(), 'Test', 'other') ON CONFLICT (id) DO NOTHING";
    let [first, second] = [uuid::Uuid::now_v7(), uuid::Uuid::now_v7()];
    for (by, id) in [(&one, first), (&two, second)] {
        by.batch_execute("BEGIN").await.unwrap();
        by.execute(add, &[&id]).await.unwrap();
    }
    let (forth, back) =
        tokio::join!(async { one.execute(add, &[&second]).await }, async { two.execute(add, &[&first]).await });
    let code = forth.and(back).unwrap_err().code().cloned();
    assert_eq!(code, Some(tokio_postgres::error::SqlState::T_R_DEADLOCK_DETECTED));
}

#[tokio::test]
async fn what_is_brought_is_kept_and_what_is_there_stays() {
    let db = TestDb::new().await;
    for sessions in [on(store(&db).await).build().await.unwrap(), on(MemoryStore::new()).build().await.unwrap()] {
        let ours = sessions.sign_in(SignIn::new("ahmed")).await.unwrap().session;
        let taken = ImportSession::new(ours.id, "somebody else", ago(DAY)).device_name("Theirs");
        assert_eq!(sessions.import([taken]).await.unwrap(), 0);
        let (named, plain) = (SessionId::new(), SessionId::new());
        let (created, active) = (ago(30 * DAY), ago(DAY));
        let address = IpAddr::from([203, 0, 113, 7]);
        let first = ImportSession::new(named, "ahmed", created).last_activity_at(active).user_agent(FIREFOX);
        let rows = [
            first.ip_address(address).device_name("Lena's laptop"),
            ImportSession::new(plain, "ahmed", active).user_agent(FIREFOX),
        ];
        assert_eq!(sessions.import(rows).await.unwrap(), 2);
        let list = sessions.list(&"ahmed".into(), None).await.unwrap();
        let find = |id| list.iter().find(|one| one.id == id).unwrap();
        assert_eq!(find(ours.id).device.name, ours.device.name, "untouched");
        assert_eq!((find(named).created_at, find(named).last_activity_at), (created, active));
        assert_eq!(find(named).absolute_expires_at, created + 90 * DAY, "as if signed in here then");
        assert_eq!((find(named).device.name.as_str(), find(named).ip_address), ("Lena's laptop", Some(address)));
        assert_eq!((find(plain).device.name.as_str(), find(plain).last_activity_at), ("Firefox on Linux", active));
        assert_eq!(find(named).authenticated_at, created, "who they are was proved then, not now");
    }
}

/// A hand-made token of the old system: the same secret, and the id in `session_id`.
#[tokio::test]
async fn old_tokens_go_on_working_with_claims_and_metadata() {
    async fn all(Claims(all): Claims<Value>) -> Json<Value> {
        Json(all)
    }
    async fn again(State(sessions): State<Sessions>, current: CurrentSession) -> Result<SignedIn, Error> {
        assert_eq!(current.metadata::<Value>().unwrap(), Some(json!({ "cart": 7 })));
        sessions.reauthenticated(&current).await
    }
    let db = TestDb::new().await;
    let sessions = on(store(&db).await).build().await.unwrap();
    let router = Router::new().route("/again", to_post(again)).route("/all", axum::routing::get(all));
    let app = router.with_state(sessions.clone()).merge(app()).layer(SessionValidationLayer::new(sessions.clone()));
    let id = SessionId::new();
    let token = [bearer(ACCESS.of(id))];
    assert_eq!(get(&app, "/me", &token).await.line(), "401 invalid_token", "not yet");
    let row =
        ImportSession::new(id, "ahmed", ago(DAY)).claims(&json!({ "plan": "pro" })).metadata(&json!({ "cart": 7 }));
    assert_eq!(sessions.import([row]).await.unwrap(), 1);
    support::eventually("what was not there is", async || get(&app, "/me", &token).await.line() == "200 ahmed").await;
    assert_eq!(get(&app, "/sessions", &token).await.json().as_array().unwrap().len(), 1);
    let anew = post(&app, "/again", &token).await.json();
    let anew = [bearer(anew["access_token"].as_str().unwrap())];
    assert_eq!(get(&app, "/all", &anew).await.json()["plan"], "pro");
    assert_eq!(get(&app, "/me", &[bearer(ACCESS.of(SessionId::new()))]).await.line(), "401 invalid_token");
}

#[tokio::test]
async fn bad_input_imports_nothing() {
    let db = TestDb::new().await;
    let (sessions, sql) = (on(store(&db).await).build().await.unwrap(), db.connect().await);
    let long = "x".repeat(256);
    let year = |year| OffsetDateTime::now_utc().replace_year(year).unwrap();
    let (input, claims) = (ErrorKind::InvalidInput, ErrorKind::InvalidClaims);
    for (name, bad, kind) in [
        ("no user", old(""), input),
        ("user too long", old(&long), input),
        ("user with NUL", old("a\0b"), input),
        ("before there was time", ImportSession::new(SessionId::new(), "ahmed", year(-5_000)), input),
        ("claims: text", old("ahmed").claims(&"admin"), claims),
        ("claims: of ours", old("ahmed").claims(&json!({ "exp": 1 })), claims),
        ("claims: too large", old("ahmed").claims(&json!({ "x": "y".repeat(9_000) })), claims),
        ("claims with NUL", old("ahmed").claims(&json!({ "x": "a\0b" })), claims),
        ("metadata with NUL", old("ahmed").metadata(&"a\0b"), claims),
    ] {
        let error = sessions.import([old("lena"), bad, old("omar")]).await.expect_err(name);
        assert_eq!((error.kind(), count(&sql).await), (kind, 0), "{name}: {error:?}");
    }
    // What is odd and no harm.
    let odd = old("ahmed").user_agent("a\0b\u{1}").device_name("a\u{202e}b").ip_address(IpAddr::from([0; 16]));
    assert_eq!(sessions.import([odd, ImportSession::new(SessionId::new(), "ahmed", year(1))]).await.unwrap(), 2);
}

#[tokio::test]
async fn nothing_is_of_the_future_and_what_is_too_old_ends_soon() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let here = on(PostgresStore::connect(db.url()).await.unwrap()).build().await.unwrap();
    for sessions in [here, on(MemoryStore::new()).build().await.unwrap()] {
        let ahead = ImportSession::new(SessionId::new(), "lena", ago(-5 * DAY)).last_activity_at(ago(-9 * DAY));
        sessions.import([ahead]).await.unwrap();
        let session = sessions.list(&"lena".into(), None).await.unwrap().remove(0);
        let now = ago(-time::Duration::SECOND);
        assert!(session.created_at <= now && session.last_activity_at <= now, "{session:?}");
        assert!(session.absolute_expires_at <= now + 90 * DAY, "{session:?}");
        let [idle, absolute] = [20 * DAY, 100 * DAY].map(|age| ImportSession::new(SessionId::new(), "ahmed", ago(age)));
        let absolute = absolute.last_activity_at(ago(time::Duration::HOUR));
        assert_eq!(sessions.import([idle, absolute, old("ahmed")]).await.unwrap(), 3);
        let left = sessions.list(&"ahmed".into(), None).await.unwrap();
        assert_eq!(left.len(), 1, "no longer listed: {left:?}");
    }
    // By the task for that, or by this if it comes first.
    let idle = Idle::new(Duration::from_secs(14 * 86_400), Duration::ZERO);
    store.expire(Expire::new(Some(idle), Duration::ZERO)).await.unwrap();
    let sql =
        "SELECT array_agg(end_reason ORDER BY end_reason) FROM device_sessions.sessions WHERE ended_at IS NOT NULL";
    let reasons: Option<Vec<String>> = db.connect().await.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(reasons.unwrap_or_default(), ["absolute", "idle"]);
}

#[tokio::test]
async fn the_next_sign_in_keeps_the_limit() {
    let db = TestDb::new().await;
    let limited = on(store(&db).await).max_sessions_per_user(3, OnLimit::EndLeastRecentlyActive);
    let sessions = limited.build().await.unwrap();
    let rows: Vec<_> = (1..=5).map(|day| ImportSession::new(SessionId::new(), "ahmed", ago(day * DAY))).collect();
    assert_eq!(sessions.import(rows).await.unwrap(), 5);
    let listed = async || sessions.list(&"ahmed".into(), None).await.unwrap();
    assert_eq!(listed().await.len(), 5, "nobody is signed out by an import");
    let caller = Caller::new(Some(FIREFOX), None).device_id("an id of a device, 16");
    let signed_in = sessions.sign_in(SignIn::new("ahmed").client(caller)).await.unwrap();
    let left = listed().await;
    assert_eq!(left.len(), 3);
    assert!(left.iter().all(|one| one.id == signed_in.session.id || one.created_at > ago(3 * DAY)), "{left:?}");
    assert_eq!(signed_in.signals, [], "nobody is alerted");
}
