//! The mounted routes: statuses, bodies and headers exactly as promised, on a real Postgres.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::FromRef;
use axum::http::{Method, header};
use axum::routing::get as to;
use axum_device_sessions::{
    Clock, CurrentSession, EndReason, MemoryStore, PostgresStore, SessionId, SessionValidationLayer, Sessions,
    SignedIn, routes,
};
use serde_json::{Value, json};

use crate::{
    http::{ACCESS, COOKIE, LONG_AGO, Token, app, ask, bearer, cookie, delete, get, on, post, sign_in},
    site::{Site, assert_json, assert_no_content, auth, ids, one},
    support::{self, TestDb},
};

/// Every route under every credential that is refused.
#[tokio::test]
async fn all_of_them_want_a_live_session() {
    let site = Site::new().await;
    let SignedIn { session, .. } = site.sign_in("ahmed").await;
    let ended = site.sign_in("ahmed").await;
    site.end(ended.session.id, EndReason::RevokedByAdmin).await;
    let id = session.id;
    for (method, path) in [
        (Method::GET, "/sessions".to_owned()),
        (Method::HEAD, "/sessions".to_owned()),
        (Method::GET, "/sessions/current".to_owned()),
        (Method::DELETE, one(SessionId::new())),
        (Method::DELETE, one("not-a-uuid")),
        (Method::DELETE, "/sessions/others".to_owned()),
        (Method::DELETE, "/sessions".to_owned()),
    ] {
        for (sent, line) in [
            (vec![], "401 missing_token"),
            (vec![bearer("garbage")], "401 invalid_token"),
            (vec![cookie("garbage")], "401 invalid_token"),
            (vec![bearer(Token { expires_in: LONG_AGO, ..ACCESS }.of(id))], "401 token_expired"),
            (vec![bearer(&ended.access_token)], "401 session_ended revoked_by_admin"),
            (vec![bearer(ACCESS.of(id)), cookie(COOKIE.of(ended.session.id))], "400 invalid_request"),
        ] {
            let answer = ask(&site.app, method.clone(), &path, &sent).await;
            assert_eq!(answer.header(&header::SET_COOKIE), None);
            if method == Method::HEAD {
                assert_eq!((answer.status.as_str(), answer.text()), (&line[..3], ""));
            } else {
                assert_eq!(answer.line(), line, "{method} {path} {sent:?}");
            }
        }
    }
    assert_eq!(site.end_of(id).await, None);
}

/// Exactly these members, present also where they are not known, and never a token.
#[tokio::test]
async fn what_a_session_looks_like() {
    let site = Site::new().await;
    let bare = site.sign_in("ahmed").await;
    let answer = get(&site.app, "/sessions/current", &auth(&bare)).await;
    let session = answer.json();
    let time = |name: &str| {
        let text = session[name].as_str().unwrap();
        assert!(text.ends_with('Z') && text.as_bytes()[10] == b'T', "RFC 3339 in UTC: {text}");
        time_of(text)
    };
    let (created, seen, expires) = (time("createdAt"), time("lastActivityAt"), time("expiresAt"));
    assert!(created <= seen && (expires - seen - 14 * 86_400).abs() <= 1, "{session}");
    assert_json(
        &answer,
        &json!({
            "id": bare.session.id.to_string(), "deviceName": "Unknown device", "deviceType": "other",
            "formFactor": null, "os": null, "osVersion": null, "browser": null, "browserVersion": null, "model": null,
            "ipAddress": null, "location": null, "countryCode": null, "createdAt": session["createdAt"],
            "lastActivityAt": session["lastActivityAt"], "expiresAt": session["expiresAt"], "isCurrent": true,
        }),
    );
    let list = get(&site.app, "/sessions", &auth(&bare)).await.json();
    let keys = |session: &Value| session.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&list[0]), keys(&session), "one form of a session everywhere");
}

/// Seconds since 1970 of an RFC 3339 time.
fn time_of(text: &str) -> i64 {
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};
    OffsetDateTime::parse(text, &Rfc3339).expect("RFC 3339").unix_timestamp()
}

#[tokio::test]
async fn the_list_is_ones_own_live_sessions() {
    let site = Site::new().await;
    let (laptop, phone) = (site.sign_in("ahmed").await, site.sign_in("ahmed").await);
    let (gone, lenas) = (site.sign_in("ahmed").await, site.sign_in("lena").await);
    site.end(gone.session.id, EndReason::Logout).await;

    let list = get(&site.app, "/sessions", &auth(&laptop)).await;
    assert_eq!(list.header(&header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(list.header(&header::CONTENT_TYPE), Some("application/json"));
    assert_eq!(
        ids(&list),
        [laptop.session.id.to_string(), phone.session.id.to_string()],
        "the current one is active now"
    );
    let is_current: Vec<_> = list.json().as_array().unwrap().iter().map(|one| one["isCurrent"].clone()).collect();
    assert_eq!(is_current, [true, false]);
    for token in [&laptop.access_token, &phone.access_token] {
        assert!(!list.text().contains(token.as_str()));
    }
    assert_eq!(ids(&get(&site.app, "/sessions", &auth(&lenas)).await), [lenas.session.id.to_string()]);
}

/// A request a minute, by four sessions in turn: nothing is written before the flush, and the list knows it all the same.
#[tokio::test]
async fn the_list_is_in_order_of_activity_that_is_not_yet_written() {
    let clock = Clock::manual();
    let sessions = on(MemoryStore::with_clock(clock.clone())).clock(clock.clone()).build().await.unwrap();
    let app = app().layer(SessionValidationLayer::new(sessions.clone()));
    let minute = || clock.advance(Duration::from_secs(60));
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(sign_in(&sessions, "ahmed").await);
        minute();
    }
    for used in [1, 0, 2] {
        get(&app, "/me", &auth(&all[used])).await;
        minute();
    }
    // The fourth asks: active now. Then the order of use.
    let list = get(&app, "/sessions", &auth(&all[3])).await;
    let expected: Vec<_> = [3, 2, 0, 1].map(|index: usize| all[index].session.id.to_string()).into();
    assert_eq!(ids(&list), expected);
    let list = list.json();
    let seen: Vec<_> = (0..4).map(|place| time_of(list[place]["lastActivityAt"].as_str().unwrap())).collect();
    assert_eq!([seen[0] - seen[1], seen[1] - seen[2], seen[2] - seen[3]], [60, 60, 60]);
    let expires = time_of(list[1]["expiresAt"].as_str().unwrap());
    assert_eq!(expires - seen[1], 14 * 86_400, "idle timeout after the last activity");

    // Written or not makes no difference to anybody.
    sessions.flush_activity().await.unwrap();
    assert_eq!(get(&app, "/sessions", &auth(&all[3])).await.json(), list);
}

#[tokio::test]
async fn a_session_expires_at_the_nearer_of_idle_and_absolute() {
    const HOUR: u64 = 3_600;
    let clock = Clock::manual();
    let builder =
        on(MemoryStore::with_clock(clock.clone())).clock(clock.clone()).access_token_ttl(Duration::from_secs(9 * HOUR));
    let builder = builder.idle_timeout(Duration::from_secs(5 * HOUR)).absolute_lifetime(Duration::from_secs(7 * HOUR));
    let sessions = builder.build().await.unwrap();
    let app = app().layer(SessionValidationLayer::new(sessions.clone()));
    let signed_in = sign_in(&sessions, "ahmed").await;
    let began = signed_in.session.created_at.unix_timestamp();
    let in_hours = async |path| {
        let answer = get(&app, path, &auth(&signed_in)).await.json();
        let session = if answer.is_array() { &answer[0] } else { &answer };
        (time_of(session["expiresAt"].as_str().unwrap()) - began) / 3_600
    };
    for expected in [5, 6, 7, 7, 7] {
        assert_eq!((in_hours("/sessions").await, in_hours("/sessions/current").await), (expected, expected));
        clock.advance(Duration::from_secs(HOUR));
    }
}

#[tokio::test]
async fn ending_one() {
    let site = Site::new().await;
    let (laptop, phone) = (site.sign_in("ahmed").await, site.sign_in("ahmed").await);
    assert!(site.is_live(&phone).await);

    assert_no_content(&delete(&site.app, &one(phone.session.id), &auth(&laptop)).await);
    assert_eq!(get(&site.app, "/me", &auth(&phone)).await.line(), "401 session_ended revoked_by_user");
    assert!(site.is_live(&laptop).await);
    let end = Some(("revoked_by_user".to_owned(), Some(laptop.session.id.to_string())));
    assert_eq!(site.end_of(phone.session.id).await, end);

    // Again, also where something else had ended it: done is done, and the first end stands.
    assert_no_content(&delete(&site.app, &one(phone.session.id), &auth(&laptop)).await);
    let gone = site.sign_in("ahmed").await;
    site.end(gone.session.id, EndReason::Logout).await;
    assert_no_content(&delete(&site.app, &one(gone.session.id), &auth(&laptop)).await);
    assert_eq!(site.end_of(gone.session.id).await, Some(("logout".to_owned(), Some("the test".to_owned()))));
    assert_eq!(ids(&get(&site.app, "/sessions", &auth(&laptop)).await), [laptop.session.id.to_string()]);
}

/// Nobody learns whether an id exists.
#[tokio::test]
async fn ending_what_is_not_ones_own() {
    let site = Site::new().await;
    let (ahmed, lena) = (site.sign_in("ahmed").await, site.sign_in("lena").await);
    let ended = site.sign_in("lena").await;
    site.end(ended.session.id, EndReason::Logout).await;
    let unknown = delete(&site.app, &one(SessionId::new()), &auth(&ahmed)).await;
    assert_eq!(unknown.line(), "404 session_not_found");
    for id in [
        lena.session.id.to_string(),
        ended.session.id.to_string(),
        "not-a-uuid".to_owned(),
        "%FF%FE".to_owned(),
        "00000000-0000-0000-0000-000000000000".to_owned(),
        format!("{}0", ahmed.session.id),
        "%00".to_owned(),
        "..%2F..".to_owned(),
        "x".repeat(5_000),
    ] {
        let answer = delete(&site.app, &one(&id), &auth(&ahmed)).await;
        assert_eq!((answer.status, &answer.headers), (unknown.status, &unknown.headers), "{id}");
        assert_eq!(answer.text(), unknown.text(), "{id}");
    }
    assert!(site.is_live(&lena).await);
    assert_eq!(site.end_of(lena.session.id).await, None);
}

#[tokio::test]
async fn ending_ones_own_by_id() {
    let site = Site::new().await;
    let laptop = site.sign_in("ahmed").await;
    let id = laptop.session.id.to_string();
    for id in [id.clone(), id.to_uppercase()] {
        let answer = delete(&site.app, &one(id), &auth(&laptop)).await;
        assert_eq!(answer.line(), "409 current_session");
        assert!(answer.text().contains("logout"), "says what to do: {}", answer.text());
    }
    assert!(site.is_live(&laptop).await);
}

#[tokio::test]
async fn ending_the_others() {
    let site = Site::new().await;
    let laptop = site.sign_in("ahmed").await;
    let others = [site.sign_in("ahmed").await, site.sign_in("ahmed").await];
    let (gone, lena) = (site.sign_in("ahmed").await, site.sign_in("lena").await);
    site.end(gone.session.id, EndReason::Logout).await;
    for other in &others {
        assert!(site.is_live(other).await);
    }

    assert_json(&delete(&site.app, "/sessions/others", &auth(&laptop)).await, &json!({ "revoked": 2 }));
    for other in &others {
        assert_eq!(get(&site.app, "/me", &auth(other)).await.line(), "401 session_ended revoked_by_user");
        let by = Some(laptop.session.id.to_string());
        assert_eq!(site.end_of(other.session.id).await, Some(("revoked_by_user".to_owned(), by)));
    }
    assert!(site.is_live(&laptop).await && site.is_live(&lena).await);
    assert_json(&delete(&site.app, "/sessions/others", &auth(&laptop)).await, &json!({ "revoked": 0 }));
}

#[tokio::test]
async fn ending_all() {
    let site = Site::new().await;
    let (laptop, phone, lena) = (site.sign_in("ahmed").await, site.sign_in("ahmed").await, site.sign_in("lena").await);
    assert!(site.is_live(&phone).await);
    assert_json(&delete(&site.app, "/sessions", &auth(&laptop)).await, &json!({ "revoked": 2 }));
    for ended in [&laptop, &phone] {
        assert_eq!(get(&site.app, "/me", &auth(ended)).await.line(), "401 session_ended revoked_by_user");
    }
    assert!(site.is_live(&lena).await);
    assert_eq!(delete(&site.app, "/sessions", &auth(&laptop)).await.line(), "401 session_ended revoked_by_user");
}

/// The session that asks has been ended elsewhere, and this node does not know it yet.
#[tokio::test]
async fn an_ended_session_ends_no_others() {
    let site = Site::new().await;
    let (thief, owner) = (site.sign_in("ahmed").await, site.sign_in("ahmed").await);
    assert!(site.is_live(&thief).await, "in memory now");
    let by_hand = "UPDATE device_sessions.sessions SET ended_at = now() WHERE id = $1";
    site.sql.execute(by_hand, &[&thief.session.id.as_uuid()]).await.unwrap();
    for path in ["/sessions/others", "/sessions"] {
        let answer = delete(&site.app, path, &auth(&thief)).await;
        assert_eq!(answer.line(), "401 session_ended revoked_by_admin", "{path}");
    }
    assert!(site.is_live(&owner).await);
    assert_eq!(get(&site.app, "/me", &auth(&thief)).await.line(), "401 session_ended revoked_by_admin");
}

#[tokio::test]
async fn twenty_at_once_end_one() {
    let site = Site::new().await;
    let (laptop, phone) = (site.sign_in("ahmed").await, site.sign_in("ahmed").await);
    // A second end of a row would change nothing in it, so the test keeps a log.
    site.sql
        .batch_execute(
            "CREATE TABLE ends (id uuid); \
             CREATE FUNCTION log_end() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN INSERT INTO ends VALUES (NEW.id); RETURN NULL; END $$; \
             CREATE TRIGGER log_end AFTER UPDATE OF ended_at ON device_sessions.sessions \
             FOR EACH ROW EXECUTE FUNCTION log_end();",
        )
        .await
        .unwrap();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (app, path, sent) = (site.app.clone(), one(phone.session.id), auth(&laptop));
        requests.spawn(async move { delete(&app, &path, &sent).await });
    }
    for answer in requests.join_all().await {
        assert_no_content(&answer);
    }
    let ends: i64 = site.sql.query_one("SELECT count(*) FROM ends", &[]).await.unwrap().get(0);
    assert_eq!(ends, 1, "ended once in the database");
}

#[tokio::test]
async fn a_wrong_method_is_405_and_not_cached() {
    let site = Site::new().await;
    let signed_in = site.sign_in("ahmed").await;
    for (method, path) in [
        (Method::POST, "/sessions"),
        (Method::PUT, "/sessions/current"),
        (Method::GET, "/sessions/others"),
        (Method::PUT, "/sessions/0199b1c0-0000-7000-8000-000000000000"),
        (Method::GET, "/auth/logout"),
    ] {
        let answer = ask(&site.app, method.clone(), path, &auth(&signed_in)).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.header(&header::CACHE_CONTROL), Some("no-store"), "{method} {path}");
        assert!(answer.header(&header::ALLOW).is_some(), "{method} {path}");
    }
    assert!(site.is_live(&signed_in).await);
}

/// Nested or merged, under any prefix, beside handlers of any state.
#[tokio::test]
async fn where_the_routes_can_be_mounted() {
    #[derive(Clone, FromRef)]
    struct AppState {
        sessions: Sessions,
        name: &'static str,
    }
    let site = Site::new().await;
    let layer = || SessionValidationLayer::new(site.sessions.clone());
    let stateful = || {
        let name = |axum::extract::State(name): axum::extract::State<&'static str>| async move { name };
        let sessions = |axum::extract::State(sessions): axum::extract::State<Sessions>, current: CurrentSession| async move {
            sessions.list(current.user_id(), None).await.map(|all| all.len().to_string())
        };
        Router::<AppState>::new().route("/name", to(name)).route("/count", to(sessions))
    };
    let state = AppState { sessions: site.sessions.clone(), name: "app" };
    for (place, list, end, logout, app) in [
        (
            "nested",
            "/s",
            "/s/",
            "/logout",
            Router::new().nest("/s", routes::sessions()).merge(routes::auth()).layer(layer()),
        ),
        ("merged", "/", "/", "/logout", Router::new().merge(routes::sessions()).merge(routes::auth()).layer(layer())),
        (
            "deep",
            "/api/v1/me/devices",
            "/api/v1/me/devices/",
            "/api/v1/logout",
            Router::new()
                .nest("/api/v1", routes::auth().nest("/me", Router::new().nest("/devices", routes::sessions())))
                .layer(layer()),
        ),
        (
            "below a parameter",
            "/t/7/sessions",
            "/t/7/sessions/",
            "/t/7/logout",
            Router::new().nest("/t/{tenant}", routes::auth().nest("/sessions", routes::sessions())).layer(layer()),
        ),
        (
            "with a state",
            "/s",
            "/s/",
            "/a/logout",
            stateful().nest("/s", routes::sessions()).nest("/a", routes::auth()).layer(layer()).with_state(state),
        ),
    ] {
        let (laptop, phone) = (site.sign_in(place).await, site.sign_in(place).await);
        assert_eq!(ids(&get(&app, list, &auth(&laptop)).await).len(), 2, "{place}");
        assert_no_content(&delete(&app, &format!("{end}{}", phone.session.id), &auth(&laptop)).await);
        assert_eq!(delete(&app, &format!("{end}{}", laptop.session.id), &auth(&laptop)).await.status, 409, "{place}");
        assert_eq!(get(&app, &format!("{end}current"), &auth(&laptop)).await.status, 200, "{place}");
        assert_no_content(&post(&app, logout, &auth(&laptop)).await);
        assert_eq!(get(&app, list, &auth(&laptop)).await.line(), "401 session_ended logout", "{place}");
        if place == "with a state" {
            let last = auth(&site.sign_in(place).await);
            assert_eq!(get(&app, "/name", &[]).await.text(), "app");
            assert_eq!(get(&app, "/count", &last).await.text(), "1");
        }
    }
}

#[tokio::test]
async fn without_the_layer_it_is_named() {
    let app = app();
    for (method, path) in [
        (Method::GET, "/sessions"),
        (Method::GET, "/sessions/current"),
        (Method::DELETE, "/sessions"),
        (Method::DELETE, "/sessions/others"),
        (Method::DELETE, "/sessions/not-a-uuid"),
        (Method::POST, "/auth/logout"),
    ] {
        let answer = ask(&app, method, path, &[bearer("garbage")]).await;
        assert_eq!(answer.line(), "500 internal_error", "{path}");
        assert!(answer.text().contains("SessionValidationLayer"), "{}", answer.text());
    }
}

/// The database goes away under a session that is in memory: every route says "try again", nothing says "sign in".
#[tokio::test]
async fn while_the_database_is_away() {
    let db = TestDb::own_cluster(&[]).await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    let sessions = on(store).build().await.unwrap();
    let app = app().layer(SessionValidationLayer::new(sessions.clone()));
    let (laptop, phone) = (sign_in(&sessions, "ahmed").await, sign_in(&sessions, "ahmed").await);
    // `phone` is not in memory: there the layer refuses; `laptop` is, and there the routes themselves meet the database.
    assert_eq!(get(&app, "/me", &auth(&laptop)).await.status, 200);
    db.server().stop_immediate();

    let expired = Token { expires_in: LONG_AGO, ..ACCESS }.of(laptop.session.id);
    for (method, path, sent) in [
        (Method::GET, "/sessions".to_owned(), auth(&laptop)),
        (Method::GET, "/sessions".to_owned(), auth(&phone)),
        (Method::GET, "/sessions/current".to_owned(), auth(&phone)),
        (Method::DELETE, one(phone.session.id), auth(&laptop)),
        (Method::DELETE, "/sessions/others".to_owned(), auth(&laptop)),
        (Method::DELETE, "/sessions".to_owned(), auth(&laptop)),
        (Method::DELETE, "/sessions".to_owned(), [cookie(COOKIE.of(phone.session.id))]),
        (Method::POST, "/auth/logout".to_owned(), auth(&laptop)),
        (Method::POST, "/auth/logout".to_owned(), auth(&phone)),
        (Method::POST, "/auth/logout".to_owned(), [bearer(&expired)]),
        (Method::POST, "/auth/logout".to_owned(), [cookie(COOKIE.of(phone.session.id))]),
    ] {
        let asked = Instant::now();
        let answer = ask(&app, method.clone(), &path, &sent).await;
        assert_eq!(answer.line(), "503 temporarily_unavailable", "{method} {path} {sent:?}");
        assert!(asked.elapsed() < Duration::from_secs(4), "{method} {path} took too long");
        assert_eq!(answer.header(&header::SET_COOKIE), None, "no cookie is taken back");
    }

    db.server().start_again().unwrap();
    support::eventually("the database answers", async || get(&app, "/sessions", &auth(&phone)).await.status == 200)
        .await;
    assert_eq!(ids(&get(&app, "/sessions", &auth(&phone)).await).len(), 2, "nothing had ended");
}
