//! `GET /sessions?state=ended`: what a user looks back on.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::time::Duration;

use axum_device_sessions::{
    EndReason, PostgresStore, SessionStore, SignedIn,
    store::{Expire, Idle},
};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    http::{get, sign_in},
    site::{Site, auth, ids},
};

const ENDED: &str = "/sessions?state=ended";

fn time_of(session: &Value, name: &str) -> i64 {
    OffsetDateTime::parse(session[name].as_str().unwrap(), &Rfc3339).unwrap().unix_timestamp()
}

impl Site {
    /// Writes what happened to this one; all times are seconds from now.
    async fn happened(&self, to: &SignedIn, set: &str) {
        let sql = format!("UPDATE device_sessions.sessions SET {set} WHERE id = '{}'", to.session.id);
        self.sql.batch_execute(&sql).await.unwrap();
    }

    /// On the same database, as another node would have it.
    async fn another_store(&self) -> PostgresStore {
        let sql = "SELECT inet_server_port(), current_database()::text";
        let row = self.sql.query_one(sql, &[]).await.unwrap();
        let (port, name): (i32, String) = (row.get(0), row.get(1));
        PostgresStore::connect(&format!("postgres://postgres@127.0.0.1:{port}/{name}")).await.unwrap()
    }

    async fn ended(&self, asks: &SignedIn) -> Vec<(String, String, i64)> {
        let list = get(&self.app, ENDED, &auth(asks)).await.json();
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let one = |session: &Value| {
            let text = |name: &str| session[name].as_str().unwrap().to_owned();
            (text("id"), text("endReason"), time_of(session, "endedAt") - now)
        };
        list.as_array().unwrap().iter().map(one).collect()
    }
}

#[tokio::test]
async fn the_newest_end_comes_first() {
    let site = Site::new().await;
    let asks = site.sign_in("ahmed").await;
    assert_eq!(get(&site.app, ENDED, &auth(&asks)).await.json(), json!([]));
    let (first, third, second) =
        (site.sign_in("ahmed").await, site.sign_in("ahmed").await, site.sign_in("ahmed").await);
    let lenas = site.sign_in("lena").await;
    for (one, at) in [(&first, 30), (&second, 20), (&lenas, 15)] {
        let set = format!("ended_at = now() - interval '{at} s', end_reason = 'replaced', ended_by = 'secret'");
        site.happened(one, &set).await;
    }
    site.end(third.session.id, EndReason::RevokedByUser).await;

    let answer = get(&site.app, ENDED, &auth(&asks)).await;
    assert_eq!(answer.header(&http::header::CACHE_CONTROL), Some("no-store"));
    let expected = [&third, &second, &first].map(|one| one.session.id.to_string());
    assert_eq!(ids(&answer), expected);
    let live = get(&site.app, "/sessions", &auth(&asks)).await.json();
    let mut keys: Vec<_> = live[0].as_object().unwrap().keys().cloned().collect();
    keys.extend(["endReason".to_owned(), "endedAt".to_owned()]);
    keys.sort();
    for (place, session) in answer.json().as_array().unwrap().iter().enumerate() {
        let mut found: Vec<_> = session.as_object().unwrap().keys().cloned().collect();
        found.sort();
        assert_eq!(found, keys, "as everywhere, and how it ended");
        assert_eq!(session["endReason"], if place == 0 { "revoked_by_user" } else { "replaced" });
        assert_eq!(session["isCurrent"], false);
        assert_eq!(session["expiresAt"], session["endedAt"]);
    }
    assert!(!answer.text().contains("secret") && !answer.text().contains("the test"), "on whose word is not told");
    for token in [&asks, &first, &second, &third, &lenas].map(|one| &one.access_token) {
        assert!(!answer.text().contains(token.as_str()));
    }
    assert_eq!(ids(&get(&site.app, ENDED, &auth(&site.sign_in("lena").await)).await), [lenas.session.id.to_string()]);
}

/// Nobody has marked them: upkeep comes every quarter of an hour here.
#[tokio::test]
async fn what_has_run_out_is_there_before_it_is_marked() {
    let site = Site::new().await;
    let asks = site.sign_in("ahmed").await;
    const FORTNIGHT: i64 = 14 * 86_400;
    // Last used, absolute end; and when and why it is over. The allowance is 20 s.
    let cases = [
        (-FORTNIGHT - 60, 86_400, Some((-60, "idle"))),
        (-1, -120, Some((-120, "absolute"))),
        (-FORTNIGHT - 300, -180, Some((-300, "idle"))),
        (-FORTNIGHT - 410, -400, Some((-400, "absolute"))),
        (-FORTNIGHT - 10, 86_400, None),
    ];
    let mut expected = Vec::new();
    for (used, ends, over) in cases {
        let one = site.sign_in("ahmed").await;
        let set = format!(
            "last_activity_at = now() + interval '{used} s', expires_at = now() + interval '{ends} s', \
             created_at = now() - interval '80 days'"
        );
        site.happened(&one, &set).await;
        expected.extend(over.map(|(at, reason)| (one.session.id.to_string(), reason, at)));
    }
    let found = site.ended(&asks).await;
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((id, reason, at), (found_id, found_reason, found_at)) in expected.iter().zip(&found) {
        assert_eq!((id, *reason), (found_id, found_reason.as_str()), "{found:?}");
        assert!((at - found_at).abs() <= 15, "{reason}: {at}, told {found_at}");
    }
    assert_eq!(ids(&get(&site.app, "/sessions", &auth(&asks)).await).len(), 2, "the one that asks and the last one");
    let marked = "SELECT count(*) FROM device_sessions.sessions WHERE ended_at IS NOT NULL";
    assert_eq!(site.sql.query_one(marked, &[]).await.unwrap().get::<_, i64>(0), 0);
    // Marking changes nothing of what is told.
    let store = site.another_store().await;
    let idle = Idle::new(Duration::from_secs(14 * 86_400), Duration::from_secs(20));
    let request = Expire::new(Some(idle), Duration::ZERO);
    assert_eq!(store.expire(request).await.unwrap().ended.len(), expected.len());
    for (before, after) in found.iter().zip(site.ended(&asks).await) {
        assert_eq!((&before.0, &before.1), (&after.0, &after.1));
        assert!((before.2 - after.2).abs() <= 15, "{}: {} and then {}", before.1, before.2, after.2);
    }
}

#[tokio::test]
async fn the_state_is_active_or_ended() {
    let site = Site::new().await;
    let (asks, other) = (site.sign_in("ahmed").await, site.sign_in("ahmed").await);
    site.end(other.session.id, EndReason::Logout).await;
    let sent = auth(&asks);
    for path in ["/sessions", "/sessions?state=active", "/sessions?other=1"] {
        assert_eq!(ids(&get(&site.app, path, &sent).await), [asks.session.id.to_string()], "{path}");
    }
    for path in ["?state=", "?state=all", "?state=Ended", "?state=ended&state=active", "?state=%FF"] {
        assert_eq!(get(&site.app, &format!("/sessions{path}"), &sent).await.line(), "400 invalid_request", "{path}");
    }
    assert_eq!(get(&site.app, ENDED, &[]).await.line(), "401 missing_token");
    assert_eq!(get(&site.app, ENDED, &auth(&other)).await.line(), "401 session_ended logout");
}

#[tokio::test]
async fn the_last_hundred_are_told() {
    let site = Site::new().await;
    let asks = sign_in(&site.sessions, "ahmed").await;
    let many = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, ended_at, end_reason, device_name, device_type) \
                SELECT gen_random_uuid(), 'ahmed', now(), now() - n * interval '1 s', 'logout', n::text, 'other' \
                FROM generate_series(1, 150) AS n";
    site.sql.batch_execute(many).await.unwrap();
    let list = get(&site.app, ENDED, &auth(&asks)).await.json();
    let names: Vec<_> = list.as_array().unwrap().iter().map(|one| one["deviceName"].as_str().unwrap()).collect();
    assert_eq!(names, (1..=100).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(ids(&get(&site.app, "/sessions", &auth(&asks)).await).len(), 1);
}
