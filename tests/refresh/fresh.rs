//! Whoever wants to do something that matters has to have proved who they are a short while ago (RFC 9470).

use std::time::Duration;

use axum::{Router, http::header, routing::get as on_get};
use axum_device_sessions::{
    Clock, CurrentSession, FreshSession, MemoryStore, PostgresStore, SessionValidationLayer, Sessions, SignedIn,
};

use crate::{
    http::{Answer, Sent, app, ask, bearer, delete, get, on, post, sign_in},
    support::{TestDb, eventually},
};

const MINUTE: Duration = Duration::from_secs(60);

fn site(sessions: &Sessions) -> Router {
    app()
        .route("/key", on_get(|FreshSession(session): FreshSession| async move { session.user_id().to_string() }))
        .layer(SessionValidationLayer::new(sessions.clone()))
}

fn auth(signed_in: &SignedIn) -> [Sent; 1] {
    [bearer(&signed_in.access_token)]
}

#[track_caller]
fn assert_asks_for_more(answer: &Answer, seconds: u64) {
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (401, Some("fresh_auth_required")));
    let challenge =
        format!(r#"Bearer realm="sessions", error="insufficient_user_authentication", max_age="{seconds}""#);
    assert_eq!(answer.header(&header::WWW_AUTHENTICATE), Some(challenge.as_str()));
    assert_eq!(answer.header(&header::CACHE_CONTROL), Some("no-store"));
}

#[tokio::test]
async fn the_ending_routes_ask_for_a_fresh_user_where_that_is_wanted() {
    let clock = Clock::manual();
    let store = MemoryStore::with_clock(clock.clone());
    let sessions = on(store).clock(clock.clone()).require_fresh(5 * MINUTE).build().await.expect("builds");
    let site = site(&sessions);
    let (laptop, phone) = (sign_in(&sessions, "ahmed").await, sign_in(&sessions, "ahmed").await);
    clock.advance(5 * MINUTE);
    assert_eq!(get(&site, "/key", &auth(&laptop)).await.line(), "200 ahmed");
    clock.advance(Duration::from_millis(1));
    let one = format!("/sessions/{}", phone.session.id);
    for path in [one.as_str(), "/sessions/others", "/sessions"] {
        assert_asks_for_more(&delete(&site, path, &auth(&laptop)).await, 300);
    }
    assert_asks_for_more(&get(&site, "/key", &auth(&laptop)).await, 300);
    // What ends nobody else's session does not.
    assert_eq!(get(&site, "/sessions", &auth(&laptop)).await.status, 200);
    assert_eq!(get(&site, "/me", &auth(&phone)).await.line(), "200 ahmed", "nothing was ended");
    let again = renewed(&sessions, &site, &laptop).await;
    assert_eq!(delete(&site, &one, &auth(&again)).await.status, 204);
    assert_eq!(get(&site, "/me", &auth(&phone)).await.line(), "401 session_ended revoked_by_user");
    clock.advance(6 * MINUTE);
    assert_eq!(post(&site, "/auth/logout", &auth(&again)).await.status, 204, "signing out oneself never");
}

/// Proves anew who it is; the session stays, its earlier token does not.
async fn renewed(sessions: &Sessions, site: &Router, signed_in: &SignedIn) -> SignedIn {
    let (current, caught) = (std::sync::Arc::new(std::sync::Mutex::new(None)), site.clone());
    let slot = std::sync::Arc::clone(&current);
    let catch = Router::new()
        .route("/catch", on_get(move |session: CurrentSession| async move { *slot.lock().unwrap() = Some(session) }))
        .layer(SessionValidationLayer::new(sessions.clone()));
    assert_eq!(get(&catch, "/catch", &auth(signed_in)).await.status, 200);
    let current = current.lock().unwrap().take().expect("caught");
    let again = sessions.reauthenticated(&current).await.expect("reauthenticated");
    assert_eq!(again.session.id, signed_in.session.id);
    assert!(again.session.authenticated_at > signed_in.session.authenticated_at);
    assert_eq!(get(&caught, "/me", &auth(signed_in)).await.line(), "401 token_expired");
    again
}

#[tokio::test]
async fn without_the_setting_the_routes_do_not_ask_and_the_extractor_means_ten_minutes() {
    let clock = Clock::manual();
    let store = MemoryStore::with_clock(clock.clone());
    let sessions = on(store).clock(clock.clone()).build().await.expect("builds");
    let site = site(&sessions);
    let signed_in = sign_in(&sessions, "ahmed").await;
    clock.advance(10 * MINUTE + Duration::from_millis(1));
    assert_asks_for_more(&get(&site, "/key", &auth(&signed_in)).await, 600);
    assert_eq!(delete(&site, "/sessions/others", &auth(&signed_in)).await.status, 200);
    assert_eq!(ask(&site, http::Method::GET, "/key", &[]).await.line(), "401 missing_token");
}

/// Two nodes, each with the row in memory. Ages are made by moving the row's time.
#[tokio::test]
async fn it_is_right_on_every_node_at_once() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let store = PostgresStore::connect(db.url()).await.expect("connects");
        store.migrate().await.expect("migrates");
        let sessions = on(store).require_fresh(5 * MINUTE).build().await.expect("builds");
        nodes.push((site(&sessions), sessions));
    }
    let [(here, sessions), (there, _)] = &nodes[..] else { panic!("two nodes") };
    let signed_in = sign_in(sessions, "ahmed").await;
    for node in [here, there] {
        assert_eq!(get(node, "/key", &auth(&signed_in)).await.line(), "200 ahmed");
    }
    let id = signed_in.session.id.as_uuid();
    let aged =
        "UPDATE device_sessions.sessions SET authenticated_at = authenticated_at - interval '1 hour' WHERE id = $1";
    sql.execute(aged, &[&id]).await.expect("ages");
    for node in [here, there] {
        eventually("it is known to be old", || async { get(node, "/key", &auth(&signed_in)).await.status == 401 })
            .await;
        assert_asks_for_more(&get(node, "/key", &auth(&signed_in)).await, 300);
    }
    let again = renewed(sessions, here, &signed_in).await;
    // The other node has an old reading, and looks again before it refuses.
    assert_eq!(get(there, "/key", &auth(&again)).await.line(), "200 ahmed");
    assert_eq!(get(here, "/key", &auth(&again)).await.line(), "200 ahmed");
    eventually("the old token is refused there", || async { get(there, "/me", &auth(&signed_in)).await.status == 401 })
        .await;
}
