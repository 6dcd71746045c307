//! What happens while a cookie is being made anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::routing::any;
use axum_device_sessions::{CurrentSession, EndReason, EndTarget, Issue, PostgresStore, SignIn};
use tokio::sync::{Barrier, Notify};

use super::http::{cookie, get, on};
use super::support::TestDb;
use super::{MINUTE, at_rest, cookie_for, read, set_cookies, set_token, site, site_with, token_of};

/// All of them carry the old cookie and are answered together.
#[tokio::test]
async fn fifty_requests_at_once_are_one_renewal() {
    const REQUESTS: usize = 50;
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let (sessions, clock) = at_rest(|builder| {
        builder.on_issue(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::task::yield_now().await;
                Ok(Issue::allow())
            }
        })
    })
    .await;
    let all_there = Arc::new(Barrier::new(REQUESTS));
    let more = Router::new().route("/together", any(move || async move { _ = all_there.wait().await }));
    let app = site_with(&sessions, more);
    let token = cookie_for(&sessions, "ahmed").await;
    clock.advance(16 * MINUTE);
    asked.store(0, Ordering::SeqCst);
    let requests = (0..REQUESTS).map(|_| {
        let (app, sent) = (app.clone(), [cookie(&token)]);
        tokio::spawn(async move { get(&app, "/together", &sent).await })
    });
    let mut renewed = 0;
    for request in requests.collect::<Vec<_>>() {
        let answer = request.await.unwrap();
        assert_eq!(answer.status, 200);
        renewed += set_cookies(&answer).len();
    }
    assert_eq!((renewed, asked.load(Ordering::SeqCst)), (1, 1));
}

/// By its own handler, before the head of the answer is written.
#[tokio::test]
async fn a_session_that_has_ended_meanwhile_gets_none() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let (sessions, clock) = at_rest(|builder| {
        builder.on_issue(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(Issue::allow()) }
        })
    })
    .await;
    let ends = sessions.clone();
    let end = any(move |session: CurrentSession| async move {
        let target = EndTarget::One { id: session.id(), user: None };
        ends.end(target, EndReason::CredentialChange, None).await.unwrap();
    });
    let app = site_with(&sessions, Router::new().route("/end", end));
    let token = cookie_for(&sessions, "ahmed").await;
    clock.advance(16 * MINUTE);
    let answer = get(&app, "/end", &[cookie(&token)]).await;
    assert_eq!((answer.status.as_u16(), set_cookies(&answer).len()), (200, 0));
    assert_eq!(asked.load(Ordering::SeqCst), 1, "at the sign-in; why ask again");
}

/// While `on_issue` is being asked: it ends, or its user proves anew who they are. A token that was made void by that must
/// not become a good one.
#[tokio::test]
async fn what_happens_while_the_application_is_asked() {
    let (reached, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (waits, told) = (Arc::clone(&reached), Arc::clone(&go_on));
    let hold = Arc::new(AtomicU32::new(0));
    let held = Arc::clone(&hold);
    let (sessions, clock) = at_rest(|builder| {
        builder.on_issue(move |_| {
            let (waits, told) = (Arc::clone(&waits), Arc::clone(&told));
            let hold = held.swap(0, Ordering::SeqCst) == 1;
            async move {
                if hold {
                    waits.notify_one();
                    told.notified().await;
                }
                Ok(Issue::allow())
            }
        })
    })
    .await;
    let app = site(&sessions);
    for (path, renewed) in [("/auth/logout", 0), ("/reauthenticate", 0), ("/page", 1)] {
        let token = cookie_for(&sessions, "ahmed").await;
        clock.advance(16 * MINUTE);
        hold.store(1, Ordering::SeqCst);
        let page = {
            let (app, sent) = (app.clone(), [cookie(&token)]);
            tokio::spawn(async move { get(&app, "/page", &sent).await })
        };
        reached.notified().await;
        let meanwhile = super::http::post(&app, path, &[cookie(&token)]).await;
        assert!(meanwhile.status.is_success());
        go_on.notify_one();
        let answer = page.await.unwrap();
        assert_eq!((answer.line().as_str(), set_cookies(&answer).len()), ("200 ahmed", renewed), "{path}");
    }
}

/// On a real database: the first rotation of generations, and an end by another node.
#[tokio::test]
async fn on_postgres() {
    let db = TestDb::new().await;
    let node = async || {
        let store = PostgresStore::connect(db.url()).await.unwrap();
        store.migrate().await.unwrap();
        let ttl = std::time::Duration::from_millis(1);
        on(store).access_token_ttl(ttl).build().await.unwrap()
    };
    let (here, there) = (node().await, node().await);
    let (app, elsewhere) = (site(&here), site(&there));
    let first = token_of(&here, SignIn::new("ahmed")).await;
    let proved = super::http::post(&app, "/reauthenticate", &[cookie(&first)]).await;
    let second = set_token(&proved).unwrap();
    // Not while the other node is just being told that the session changed: then there is nothing to judge by.
    let third = std::sync::Mutex::new(None);
    super::support::eventually("it is made anew on the other node", || async {
        let new = set_token(&get(&elsewhere, "/page", &[cookie(&second)]).await);
        *third.lock().unwrap() = new.clone();
        new.is_some()
    })
    .await;
    let third = third.into_inner().unwrap().unwrap();
    let generation = |token: &str| read(token)[1]["gen"].as_u64().unwrap();
    assert_eq!([&first, &second, &third].map(|token| generation(token)), [1, 2, 2]);
    assert_eq!(get(&app, "/page", &[cookie(&third)]).await.line(), "200 ahmed");
    assert_eq!(super::http::post(&app, "/auth/logout", &[cookie(&third)]).await.status, 204);
    super::support::eventually("the other node has heard of the end", || async {
        let answer = get(&elsewhere, "/page", &[cookie(&third)]).await;
        answer.status == 401 && set_cookies(&answer).is_empty()
    })
    .await;
}
