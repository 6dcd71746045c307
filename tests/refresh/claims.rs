//! A refresh takes nothing away: claims given at sign-in stay, a new server secret makes no token void, and tokens are made
//! void only where others can take their place.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, routing::get as to};
use axum_device_sessions::{
    AccessTokens, Claims, CurrentSession, ErrorKind, Issue, MemoryStore, PostgresStore, SessionValidationLayer,
    Sessions, SignIn, TokenPair,
};
use serde_json::{Value, json};

use crate::{
    http::{SECRET, bearer, get, on},
    support::TestDb,
};

fn claims(sessions: &Sessions) -> Router {
    Router::new()
        .route("/", to(|Claims(all): Claims<Value>| async move { Json(all) }))
        .layer(SessionValidationLayer::new(sessions.clone()))
}

async fn roles(sessions: &Sessions, access_token: &str) -> Value {
    get(&claims(sessions), "/", &[bearer(access_token)]).await.json()["roles"].clone()
}

async fn current(sessions: &Sessions, access_token: &str) -> CurrentSession {
    let caught = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&caught);
    let catch = Router::new()
        .route("/", to(move |session: CurrentSession| async move { *slot.lock().unwrap() = Some(session) }))
        .layer(SessionValidationLayer::new(sessions.clone()));
    assert_eq!(get(&catch, "/", &[bearer(access_token)]).await.status, 200);
    caught.lock().unwrap().take().expect("caught")
}

/// Without `on_issue` nobody else would know them.
#[tokio::test]
async fn claims_given_at_sign_in_are_in_every_later_token() {
    let db = TestDb::new().await;
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    for sessions in [on(store).build().await.unwrap(), on(MemoryStore::new()).build().await.unwrap()] {
        let given = json!({ "roles": ["admin"] });
        let signed_in = sessions.sign_in(SignIn::new("ahmed").claims(&given)).await.unwrap();
        assert_eq!(roles(&sessions, &signed_in.access_token).await, given["roles"]);
        let TokenPair { access_token, refresh_token, .. } =
            sessions.refresh(&signed_in.refresh_token, None).await.unwrap();
        assert_eq!(roles(&sessions, &access_token).await, given["roles"]);
        let again = sessions.refresh(&refresh_token, None).await.unwrap();
        let renewed = sessions.reauthenticated(&current(&sessions, &again.access_token).await).await.unwrap();
        assert_eq!(roles(&sessions, &renewed.access_token).await, given["roles"]);
    }
}

/// What cannot be signed makes nothing void.
#[tokio::test]
async fn bad_claims_leave_the_tokens_as_they_were() {
    let bad = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&bad);
    let issue = move |_| {
        let claims = if asked.load(Ordering::Relaxed) { json!({ "iss": "me" }) } else { json!({}) };
        async move { Ok(Issue::with_claims(&claims)?) }
    };
    // Strict, so that one token lost would end the session.
    let sessions = on(MemoryStore::new()).refresh_grace(Duration::ZERO).on_issue(issue).build().await.unwrap();
    let signed_in = sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    let session = current(&sessions, &signed_in.access_token).await;
    bad.store(true, Ordering::Relaxed);
    assert_eq!(sessions.reauthenticated(&session).await.unwrap_err().kind(), ErrorKind::InvalidClaims);
    let refused = sessions.refresh(&signed_in.refresh_token, None).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidClaims);
    bad.store(false, Ordering::Relaxed);
    assert_eq!(current(&sessions, &signed_in.access_token).await.id(), session.id());
    assert!(sessions.refresh(&signed_in.refresh_token, None).await.is_ok());
}

/// A `server_secret` given for the first time, on the sessions of before.
#[tokio::test]
async fn a_first_server_secret_makes_no_token_void() {
    let db = TestDb::new().await;
    let node = async |secret: Option<&[u8]>| {
        let store = PostgresStore::connect(db.url()).await.unwrap();
        store.migrate().await.unwrap();
        let builder = Sessions::builder(store).access_tokens(AccessTokens::hs256(SECRET).unwrap());
        let builder = secret.into_iter().fold(builder, |builder, secret| builder.server_secret(secret));
        builder.build().await.unwrap()
    };
    let before = node(None).await;
    let signed_in = before.sign_in(SignIn::new("ahmed")).await.unwrap();
    let after = node(Some(b"the first server secret, of 32 bytes or more")).await;
    assert!(after.refresh(&signed_in.refresh_token, None).await.is_ok());
}

/// Twenty tabs and an application that takes its time: nobody waits for the questions of the others.
#[tokio::test(start_paused = true)]
async fn a_slow_application_does_not_queue_up_the_tabs() {
    let slow = |_| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Issue::allow())
    };
    let sessions = on(MemoryStore::new()).on_issue(slow).build().await.unwrap();
    let signed_in = sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    let tabs: Vec<_> = (0..20)
        .map(|_| {
            let (sessions, token) = (sessions.clone(), signed_in.refresh_token.clone());
            tokio::spawn(async move { sessions.refresh(&token, None).await.map(|pair| pair.refresh_token) })
        })
        .collect();
    let mut answers = Vec::new();
    for tab in tabs {
        answers.push(tab.await.unwrap().unwrap());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "one successor");
}
