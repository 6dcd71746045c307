//! `GET /sessions/events` over real HTTP, on one node of two: what ends on the other, or by a hand in psql, is told.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::time::Duration;

use axum::{Router, extract::State, routing::post};
use axum_device_sessions::{
    Client, EndReason, EndTarget, PostgresStore, SessionValidationLayer, Sessions, SignIn, SignedIn, routes,
};
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::{
    cluster::{self, builder, current, node, told},
    stall::{Hold, Stall},
    streams::{Events, client, serve},
    support::{TestDb, eventually},
};

fn app(sessions: &Sessions) -> Router {
    async fn login(State(sessions): State<Sessions>, client: Client, user: String) -> SignedIn {
        sessions.sign_in(SignIn::new(user).client(client)).await.unwrap()
    }
    Router::new()
        .nest("/sessions", routes::sessions())
        .nest("/auth", routes::auth())
        .layer(SessionValidationLayer::new(sessions.clone()))
        .route("/login", post(login))
        .with_state(sessions.clone())
}

async fn sign_in(sessions: &Sessions, user: &str) -> SignedIn {
    sessions.sign_in(SignIn::new(user)).await.unwrap()
}

async fn end(sessions: &Sessions, signed_in: &SignedIn, reason: EndReason) {
    sessions.end(EndTarget::One { id: signed_in.session.id, user: None }, reason, None).await.unwrap();
}

#[tokio::test]
async fn an_end_on_the_other_node_is_told_with_its_reason() {
    let db = TestDb::new().await;
    let (a, b) = (node(db.url()).await, node(db.url()).await);
    let (on_a, on_b) = (serve(app(&a)).await, serve(app(&b)).await);
    for reason in [EndReason::RevokedByAdmin, EndReason::CredentialChange, EndReason::Other("moved \"away\"".into())] {
        let signed_in = sign_in(&a, "ahmed").await;
        let stream = Events::of(&on_b, &signed_in).await;
        end(&a, &signed_in, reason.clone()).await;
        stream.says(&reason.as_str().replace('"', "\\\"")).await;
    }
    // By the routes: logout, and all others.
    let (phone, laptop) = (sign_in(&a, "ahmed").await, sign_in(&a, "ahmed").await);
    let (on_phone, on_laptop) = (Events::of(&on_b, &phone).await, Events::of(&on_b, &laptop).await);
    let others = client().delete(format!("{on_a}/sessions/others")).bearer_auth(&laptop.access_token);
    assert_eq!(others.send().await.unwrap().status(), 200);
    on_phone.says("revoked_by_user").await;
    let logout = client().post(format!("{on_a}/auth/logout")).bearer_auth(&laptop.access_token);
    assert_eq!(logout.send().await.unwrap().status(), 204);
    on_laptop.says("logout").await;
}

#[tokio::test]
async fn an_end_by_hand_is_told() {
    let db = TestDb::new().await;
    let (a, b) = (node(db.url()).await, node(db.url()).await);
    let (psql, on_b) = (db.connect().await, serve(app(&b)).await);
    for (by_hand, reason) in [
        ("UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'limit'", "limit"),
        ("UPDATE device_sessions.sessions SET ended_at = now()", "revoked_by_admin"),
        ("DELETE FROM device_sessions.sessions", "revoked_by_admin"),
        ("TRUNCATE device_sessions.sessions", "revoked_by_admin"),
    ] {
        let stream = Events::of(&on_b, &sign_in(&a, "ahmed").await).await;
        psql.batch_execute(by_hand).await.unwrap();
        stream.says(reason).await;
    }
}

/// The session of a device that signs in again, and that of a stolen refresh token.
#[tokio::test]
async fn what_the_crate_ends_by_itself_is_told() {
    let db = TestDb::new().await;
    let (a, b) = (node(db.url()).await, node(db.url()).await);
    let (psql, on_a, on_b) = (db.connect().await, serve(app(&a)).await, serve(app(&b)).await);
    let login = async || -> Value {
        let request =
            client().post(format!("{on_a}/login")).header("device-id", "8c1f2a34-0d5e-4b67-9a3c-1f2e3d4c5b6a");
        request.body("ahmed").send().await.unwrap().json().await.unwrap()
    };
    let events =
        async |token: &str| Events::open(client().get(format!("{on_b}/sessions/events")).bearer_auth(token)).await;
    let refresh = async |token: &Value| {
        let request = client().post(format!("{on_a}/auth/refresh")).json(&json!({ "refresh_token": token }));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let first = login().await;
    let stream = events(first["access_token"].as_str().unwrap()).await;
    let second = login().await;
    stream.says("replaced").await;

    let stream = events(second["access_token"].as_str().unwrap()).await;
    let mut newest = second.clone();
    for _ in 0..2 {
        newest = refresh(&newest["refresh_token"]).await.1;
        let past = "UPDATE device_sessions.sessions SET consumed_at = consumed_at - interval '11 s', \
                    handed_at = handed_at - interval '11 s', broken_at = broken_at - interval '11 s'";
        psql.batch_execute(past).await.unwrap();
    }
    assert_eq!(refresh(&second["refresh_token"]).await.0, 401);
    stream.says("refresh_reuse").await;
}

/// Nor by what happens to the session itself short of its end: its stream says one thing, the end with which this test ends it.
#[tokio::test]
async fn nothing_else_is_told() {
    let db = TestDb::new().await;
    let (a, b) = (node(db.url()).await, node(db.url()).await);
    let (on_a, on_b) = (serve(app(&a)).await, serve(app(&b)).await);
    let signed_in = sign_in(&a, "ahmed").await;
    let mut stream = Events::of(&on_b, &signed_in).await;
    let rename =
        client().patch(format!("{on_a}/sessions/{}", signed_in.session.id)).bearer_auth(&signed_in.access_token);
    assert_eq!(rename.json(&json!({ "deviceName": "Mine" })).send().await.unwrap().status(), 200);
    let refresh = client().post(format!("{on_a}/auth/refresh"));
    let refresh = refresh.json(&json!({ "refresh_token": signed_in.refresh_token })).send().await.unwrap();
    let refreshed: Value = refresh.json().await.unwrap();
    // Voids the token by which the stream was opened.
    let again = a.reauthenticated(&current(&a, &signed_in).await.1.unwrap()).await.unwrap();
    for void in [&signed_in.access_token, refreshed["access_token"].as_str().unwrap()] {
        let request = || client().get(format!("{on_b}/sessions/current")).bearer_auth(void).send();
        eventually("that token is void", || async { request().await.unwrap().status() == 401 }).await;
    }
    for user in ["ahmed", "lena"] {
        let other = sign_in(&a, user).await;
        let of_other = Events::of(&on_b, &other).await;
        end(&a, &other, EndReason::RevokedByUser).await;
        of_other.says("revoked_by_user").await;
    }
    assert!(stream.is_silent().await);
    end(&a, &again, EndReason::AccountDisabled).await;
    stream.says("account_disabled").await;
}

/// The end is committed while nobody listens, so no notification of it ever comes.
#[tokio::test]
async fn an_end_in_the_listeners_gap_is_told() {
    let db = TestDb::new().await;
    let a = node(db.url()).await;
    let b = builder(db.url()).await.max_staleness(Duration::from_secs(1)).build().await.unwrap();
    told(&b).await;
    let (psql, on_b) = (db.connect().await, serve(app(&b)).await);
    let stream = Events::of(&on_b, &sign_in(&a, "ahmed").await).await;
    let lost = b.health().leases_lost;
    psql.batch_execute(
        "BEGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = 'axum-device-sessions' AND datname = current_database() \
         AND (query LIKE 'LISTEN%' OR query LIKE '%pg_notify%'); \
         UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'limit'; COMMIT",
    )
    .await
    .unwrap();
    stream.says("limit").await;
    eventually("it had lost its listener", || async { b.health().leases_lost > lost }).await;
}

/// The network holds what the listener should hear. The control is a node for which a notification is all there is, as its
/// readings are good for hours: it says nothing before the network lets go.
#[tokio::test]
async fn an_end_that_is_not_delivered_is_found() {
    let db = TestDb::new().await;
    let a = node(db.url()).await;
    let stall = Stall::to(db.url()).await;
    let behind = async |max_staleness| {
        let through = stall.url(db.url());
        let sessions =
            builder(&through).await.max_staleness(max_staleness).max_age(Duration::from_secs(36_000)).build();
        let sessions = sessions.await.unwrap();
        told(&sessions).await;
        sessions
    };
    let (b, control) = (behind(Duration::from_secs(1)).await, behind(Duration::from_secs(18_000)).await);
    let (on_b, on_control) = (serve(app(&b)).await, serve(app(&control)).await);
    let signed_in = sign_in(&a, "ahmed").await;
    let (stream, mut naive) = (Events::of(&on_b, &signed_in).await, Events::of(&on_control, &signed_in).await);
    stall.hold(Hold::Listeners);
    end(&a, &signed_in, EndReason::RevokedByAlert).await;
    stream.says("revoked_by_alert").await;
    assert!(naive.is_silent().await, "the control: nothing was delivered");
    stall.hold(Hold::Nothing);
    naive.says("revoked_by_alert").await;
}

#[tokio::test]
async fn a_node_that_polls_tells() {
    let db = TestDb::new().await;
    let a = node(db.url()).await;
    let config: tokio_postgres::Config = db.url().parse().unwrap();
    let pool = deadpool_postgres::Pool::builder(deadpool_postgres::Manager::new(config, NoTls)).build().unwrap();
    let b = Sessions::builder(PostgresStore::from_pool(pool).unwrap()).access_tokens(cluster::tokens());
    let b = b.max_staleness(Duration::from_millis(500)).build().await.unwrap();
    let on_b = serve(app(&b)).await;
    let signed_in = sign_in(&a, "ahmed").await;
    let stream = Events::of(&on_b, &signed_in).await;
    end(&a, &signed_in, EndReason::RevokedByAdmin).await;
    stream.says("revoked_by_admin").await;
}

/// An open stream, and being told, is no activity: else the first would never be idle.
#[tokio::test]
async fn a_session_that_runs_out_is_told() {
    let db = TestDb::new().await;
    for (idle, absolute, reason) in [(4, 60, "idle"), (30, 4, "absolute")] {
        let lives = async || {
            let builder = builder(db.url()).await.idle_timeout(Duration::from_secs(idle));
            let builder = builder.absolute_lifetime(Duration::from_secs(absolute));
            let sessions = builder.activity_interval(Duration::from_millis(50)).build().await.unwrap();
            told(&sessions).await;
            sessions
        };
        let (a, b) = (lives().await, lives().await);
        let on_b = serve(app(&b)).await;
        Events::of(&on_b, &sign_in(&a, "ahmed").await).await.says(reason).await;
    }
}
