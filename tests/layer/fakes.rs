//! A handler is testable in three lines (feature `test-util`).

use axum::Router;
use axum::routing::get as to;
use axum_device_sessions::{
    CurrentSession, EndReason, EndTarget, SessionValidationLayer, Sessions, SignIn, SignedIn, UserId,
};

use crate::http::{app, bearer, delete, get, post};

/// The handler that the tests below test.
async fn greet(session: CurrentSession) -> String {
    format!("hello {}", session.user_id())
}

async fn greet_anybody(session: Option<CurrentSession>) -> String {
    match session {
        Some(session) => greet(session).await,
        None => "hello stranger".to_owned(),
    }
}

#[tokio::test]
async fn a_handler_called_with_a_made_up_session() {
    assert_eq!(greet(CurrentSession::fake("ahmed")).await, "hello ahmed");
}

#[tokio::test]
async fn a_router_under_a_fake_layer() {
    let app = Router::new().route("/", to(greet)).layer(SessionValidationLayer::fake("ahmed"));
    assert_eq!(get(&app, "/", &[]).await.text(), "hello ahmed");
}

#[tokio::test]
async fn a_router_over_sessions_in_memory() {
    let sessions = Sessions::in_memory();
    let app = Router::new().route("/", to(greet)).layer(SessionValidationLayer::new(sessions.clone()));
    let SignedIn { access_token, session, .. } = sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    assert_eq!(get(&app, "/", &[bearer(&access_token)]).await.text(), "hello ahmed");

    let target = EndTarget::One { id: session.id, user: None };
    sessions.end(target, EndReason::RevokedByAdmin, None).await.unwrap();
    assert_eq!(get(&app, "/", &[bearer(&access_token)]).await.line(), "401 session_ended revoked_by_admin");
}

#[tokio::test]
async fn what_a_made_up_session_is() {
    let current = CurrentSession::fake("ahmed");
    let session = current.session();
    assert_eq!((session.id, &session.user_id), (current.id(), current.user_id()));
    assert!(session.is_current && session.ended.is_none());
    assert!(session.expires_at > session.created_at);
    assert_eq!(current.metadata::<String>().unwrap(), None);
    assert_ne!(CurrentSession::fake("ahmed").id(), current.id(), "each is another session");
}

#[tokio::test]
async fn a_fake_layer_passes_everything() {
    let layer = SessionValidationLayer::fake(UserId::from("ahmed")).required().strict();
    let app = Router::new().route("/", to(greet)).route("/anybody", to(greet_anybody)).layer(layer);
    for sent in [vec![], vec![bearer("garbage")]] {
        assert_eq!(get(&app, "/", &sent).await.text(), "hello ahmed");
        assert_eq!(get(&app, "/anybody", &sent).await.text(), "hello ahmed");
    }
}

/// There is no store behind it, and the answer says so instead of making something up.
#[tokio::test]
async fn the_mounted_routes_under_a_fake_layer() {
    let app = app().layer(SessionValidationLayer::fake("ahmed"));
    assert_eq!(get(&app, "/sessions/current", &[]).await.json()["deviceName"], "Test");
    for answer in [
        get(&app, "/sessions", &[]).await,
        delete(&app, "/sessions", &[]).await,
        delete(&app, "/sessions/others", &[]).await,
        post(&app, "/auth/logout", &[]).await,
    ] {
        assert_eq!(answer.line(), "500 internal_error");
        assert!(answer.text().contains("SessionValidationLayer::fake"), "{}", answer.text());
    }
}

/// A real layer inside of a fake one has its own opinion.
#[tokio::test]
async fn a_fake_session_opens_nothing_behind_a_real_layer() {
    let inner = Router::new().route("/", to(greet)).layer(SessionValidationLayer::new(Sessions::in_memory()));
    let app = inner.layer(SessionValidationLayer::fake("ahmed"));
    assert_eq!(get(&app, "/", &[]).await.line(), "401 missing_token");
}
