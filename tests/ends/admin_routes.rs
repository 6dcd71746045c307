//! `routes::admin_routes`: the guard comes before everything; what is not understood ends nothing.

#![cfg(all(feature = "postgres", feature = "routes"))]

use axum::{
    Router,
    body::Body,
    extract::FromRequestParts,
    http::{Method, Request, StatusCode, header, request::Parts},
};
use axum_device_sessions::{
    EndReason, PostgresStore, SessionValidationLayer, Sessions, SignedIn,
    routes::{self, Administrator},
};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::{
    http::{self, Answer, ask_with, bearer, get, on, sign_in},
    support::TestDb,
};

/// Who says so. Real guards look at more than a header.
struct Staff(String);

impl<S: Send + Sync> FromRequestParts<S> for Staff {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let name = parts.headers.get("x-staff").and_then(|name| name.to_str().ok());
        name.map(|name| Self(name.to_owned())).ok_or((StatusCode::IM_A_TEAPOT, "staff only"))
    }
}

impl Administrator for Staff {
    fn actor(&self) -> String {
        format!("staff: {}", self.0)
    }
}

struct Office {
    app: Router,
    sessions: Sessions,
    sql: Client,
    ahmed: SignedIn,
    lena: SignedIn,
    _db: TestDb,
}

impl Office {
    async fn new() -> Self {
        let db = TestDb::new().await;
        let store = PostgresStore::connect(db.url()).await.unwrap();
        store.migrate().await.unwrap();
        let sessions = on(store).build().await.unwrap();
        let (ahmed, lena) = (sign_in(&sessions, "ahmed").await, sign_in(&sessions, "lena").await);
        let sql = db.connect().await;
        let places = "UPDATE device_sessions.sessions SET ip_address = CASE user_id WHEN 'lena' THEN '203.0.113.7'::inet \
                      ELSE '2001:db8::1' END, device_type = CASE user_id WHEN 'lena' THEN 'ios' ELSE 'web' END, \
                      device_name = user_id || '''s thing'";
        sql.batch_execute(places).await.unwrap();
        let app = Router::new()
            .nest("/admin", routes::admin_routes::<Staff, _>())
            .merge(http::app())
            .layer(SessionValidationLayer::new(sessions.clone()));
        Self { app, sessions, sql, ahmed, lena, _db: db }
    }

    async fn list(&self, query: &str) -> Answer {
        no_store(get(&self.app, &format!("/admin{query}"), &[("x-staff", "lena".to_owned())]).await)
    }

    async fn end(&self, body: &Value) -> Answer {
        self.send("/admin/end", "application/json", &body.to_string(), true).await
    }

    async fn send(&self, path: &str, content_type: &str, body: &str, staff: bool) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, content_type);
        let request = if staff { request.header("x-staff", "lena") } else { request };
        no_store(ask_with(&self.app, request.body(Body::from(body.to_owned())).unwrap()).await)
    }

    async fn live(&self) -> i64 {
        let sql = "SELECT count(*) FROM device_sessions.sessions WHERE ended_at IS NULL";
        self.sql.query_one(sql, &[]).await.unwrap().get(0)
    }
}

/// Of every answer: not to be cached, and no token in it.
fn no_store(answer: Answer) -> Answer {
    assert_eq!(answer.header(&header::CACHE_CONTROL), Some("no-store"), "{answer:?}");
    assert!(!answer.text().contains("eyJ"), "{}", answer.text());
    answer
}

fn users(answer: &Answer) -> Vec<String> {
    let page = answer.json();
    page["sessions"].as_array().unwrap().iter().map(|one| one["userId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_outsider_gets_what_the_guard_says_and_nothing_happens() {
    let office = Office::new().await;
    let everyone = json!({ "reason": "revoked_by_admin", "everyone": true }).to_string();
    for body in [everyone.as_str(), "", "{", "[]", &json!({ "no such": 1 }).to_string()] {
        for content_type in ["application/json", "text/plain"] {
            let answer = office.send("/admin/end", content_type, body, false).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (418, "staff only"), "{body}");
        }
    }
    // A session of one's own is no way in.
    for query in ["", "?user=ahmed", "?no=such", "?network=nowhere"] {
        for sent in [vec![], vec![bearer(&office.ahmed.access_token)]] {
            let answer = no_store(get(&office.app, &format!("/admin{query}"), &sent).await);
            assert_eq!((answer.status.as_u16(), answer.text()), (418, "staff only"), "{query}");
        }
    }
    assert_eq!(office.live().await, 2);
}

#[tokio::test]
async fn the_list_of_everybody() {
    let office = Office::new().await;
    let lenas_day = office.lena.session.created_at;
    let stamp = lenas_day.format(&time::format_description::well_known::Rfc3339).unwrap();
    for (query, expected) in [
        ("", &["ahmed", "lena"][..]),
        ("?user=ahmed", &["ahmed"]),
        ("?user=nobody", &[]),
        ("?deviceName=lena's%20thing", &["lena"]),
        ("?deviceType=web", &["ahmed"]),
        ("?deviceType=android", &[]),
        ("?network=203.0.113.0/24", &["lena"]),
        ("?network=2001:db8::1", &["ahmed"]),
        ("?network=2001:db8::/32&user=lena", &[]),
        (&format!("?createdBefore={}", stamp.replace('+', "%2B")), &["ahmed"]),
    ] {
        let answer = office.list(query).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        assert_eq!(users(&answer), expected, "{query}");
        assert_eq!(answer.json()["next"], Value::Null);
    }
    let one = &office.list("?user=lena").await.json()["sessions"][0];
    let own = get(&office.app, "/sessions", &[bearer(&office.lena.access_token)]).await.json();
    let keys = |session: &Value| session.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut expected = keys(&own[0]);
    expected.push("userId".to_owned());
    expected.sort();
    let mut found = keys(one);
    found.sort();
    assert_eq!(found, expected, "as its owner sees it, and whose it is");
    assert_eq!((&one["id"], &one["isCurrent"]), (&json!(office.lena.session.id.to_string()), &json!(false)));
}

#[tokio::test]
async fn a_list_that_is_not_understood_is_400() {
    let office = Office::new().await;
    for query in [
        "?usr=ahmed",
        "?deviceType=phone",
        "?deviceType=",
        "?network=203.0.113.0/33",
        "?network=everywhere",
        "?createdBefore=yesterday",
        "?after=first",
        // Nobody's: an empty page would look like the last one.
        "?after=0199b1c0-0000-7000-8000-000000000000",
        "?ids=1",
        "?user=a&user=b",
    ] {
        assert_eq!(office.list(query).await.line(), "400 invalid_request", "{query}");
    }
}

#[tokio::test]
async fn the_pages_of_a_long_list() {
    let office = Office::new().await;
    let many = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
                SELECT gen_random_uuid(), 'user-' || n % 50, now() + interval '1 day', 'Test', 'other' \
                FROM generate_series(1, 2400) AS n";
    office.sql.batch_execute(many).await.unwrap();
    let (mut seen, mut query, mut pages) = (std::collections::BTreeSet::new(), String::new(), 0);
    loop {
        let page = office.list(&query).await.json();
        pages += 1;
        for session in page["sessions"].as_array().unwrap() {
            assert!(seen.insert(session["id"].as_str().unwrap().to_owned()), "on one page only");
        }
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?after={next}");
    }
    assert_eq!((seen.len(), pages), (2_402, 3));
}

#[tokio::test]
async fn ends_and_dry_runs() {
    let office = Office::new().await;
    let end = async |body: Value| office.end(&body).await;
    for (condition, matching) in [
        (json!({ "user": "ahmed" }), 1),
        (json!({ "ids": [office.lena.session.id.to_string()] }), 1),
        (json!({ "ids": [] }), 0),
        (json!({ "deviceName": "lena's thing" }), 1),
        (json!({ "deviceType": "ios" }), 1),
        (json!({ "network": "0.0.0.0/0" }), 1),
        (json!({ "createdBefore": "2100-01-01T00:00:00Z" }), 2),
        (json!({ "user": "ahmed", "deviceType": "ios" }), 0),
        (json!({ "everyone": true }), 2),
        (json!({ "everyone": false, "user": "lena" }), 1),
    ] {
        let mut body = condition.clone();
        body["reason"] = json!("revoked_by_admin");
        body["dryRun"] = json!(true);
        let answer = end(body).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "matching": matching })), "{condition}");
    }
    assert_eq!(office.live().await, 2, "none of that ended any");

    let of_lena = json!({ "user": "lena", "reason": "account_disabled" });
    for ended in [1, 0] {
        assert_eq!(end(of_lena.clone()).await.json(), json!({ "ended": ended, "more": false }));
    }
    let answer = get(&office.app, "/me", &[bearer(&office.lena.access_token)]).await;
    assert_eq!(answer.line(), "401 session_ended account_disabled");
    assert_eq!(get(&office.app, "/me", &[bearer(&office.ahmed.access_token)]).await.line(), "200 ahmed");
    let history = office.sessions.history(&"lena".into()).await.unwrap();
    let how = history[0].ended.clone().unwrap();
    assert_eq!((how.reason, how.by.as_deref()), (EndReason::AccountDisabled, Some("staff: lena")));
    let everyone = json!({ "everyone": true, "reason": "revoked_by_alert" });
    assert_eq!(end(everyone).await.json(), json!({ "ended": 1, "more": false }));
    assert_eq!((office.live().await, users(&office.list("").await).len()), (0, 0));
}

#[tokio::test]
async fn an_end_that_is_not_understood_is_400_and_ends_nobody() {
    let office = Office::new().await;
    let reason = "revoked_by_admin";
    for body in [
        json!({}),
        json!([]),
        json!("everyone"),
        json!({ "reason": reason }),
        json!({ "reason": reason, "everyone": false }),
        json!({ "reason": reason, "user": null }),
        json!({ "reason": reason, "everyone": true, "user": "ahmed" }),
        json!({ "reason": reason, "everyone": true, "ids": [] }),
        json!({ "reason": reason, "usr": "ahmed" }),
        json!({ "reason": reason, "everyone": true, "devicename": "x" }),
        json!({ "user": "ahmed" }),
        json!({ "reason": "because", "user": "ahmed" }),
        json!({ "reason": "", "user": "ahmed" }),
        json!({ "reason": 7, "user": "ahmed" }),
        json!({ "reason": reason, "network": "10.0.0.0/33" }),
        json!({ "reason": reason, "network": "" }),
        json!({ "reason": reason, "deviceType": "phone" }),
        json!({ "reason": reason, "createdBefore": "yesterday" }),
        json!({ "reason": reason, "ids": ["not-a-uuid"] }),
        json!({ "reason": reason, "user": "ahmed", "dryRun": "no" }),
        json!({ "reason": reason, "user": "ahm\u{0}ed" }),
        json!({ "reason": reason, "deviceName": "\u{0}" }),
    ] {
        assert_eq!(office.end(&body).await.line(), "400 invalid_request", "{body}");
    }
    let good = json!({ "reason": reason, "everyone": true }).to_string();
    for (content_type, body) in [
        ("application/json", "{"),
        ("application/json", ""),
        ("application/json", "{\"reason\":\"logout\",\"everyone\":true,\"everyone\":true}"),
        ("text/plain", good.as_str()),
        ("application/x-www-form-urlencoded", "everyone=true&reason=logout"),
    ] {
        let answer = office.send("/admin/end", content_type, body, true).await;
        assert_eq!(answer.line(), "400 invalid_request", "{content_type} {body}");
    }
    assert_eq!(office.live().await, 2);
}

/// What the guard calls them is kept with the rows: it must fit.
#[tokio::test]
async fn an_actor_that_cannot_be_kept_ends_nobody() {
    let office = Office::new().await;
    for body in [json!({ "reason": "logout", "user": "ahmed" }), json!({ "reason": "logout", "everyone": true })] {
        let request = Request::post("/admin/end").header(header::CONTENT_TYPE, "application/json");
        let request = request.header("x-staff", "x".repeat(300)).body(Body::from(body.to_string())).unwrap();
        assert_eq!(no_store(ask_with(&office.app, request).await).line(), "400 invalid_request");
    }
    assert_eq!(office.live().await, 2);
}

#[tokio::test]
async fn without_the_layer_it_is_500() {
    let app: Router = Router::new().nest("/admin", routes::admin_routes::<Staff, _>());
    for (method, path) in [(Method::GET, "/admin"), (Method::POST, "/admin/end")] {
        let request = Request::builder().method(method).uri(path).header("x-staff", "lena");
        let answer = no_store(ask_with(&app, request.body(Body::empty()).unwrap()).await);
        assert_eq!(answer.line(), "500 internal_error");
    }
}
