//! `GET /sessions/events` as HTTP: who is let in, what the head says, heartbeats, clients that go away, shutting down.

#![cfg(all(feature = "postgres", feature = "routes", feature = "test-util"))]

use std::time::Duration;

use axum::{Router, body::Body, http::Request, response::IntoResponse};
use axum_device_sessions::{
    Client, Coherence, EndReason, EndTarget, PostgresStore, SessionValidationLayer, Sessions, SessionsBuilder, SignIn,
    routes,
};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet, time::Instant};
use tower::ServiceExt;

use crate::{
    gate::Gate,
    node::{FLUSHES, LOADS, Node, count_statements, migrated, statements},
    streams::{Events, client, serve, within_patience},
    support::{TestDb, eventually},
};

fn app(sessions: &Sessions) -> Router {
    Router::new().nest("/sessions", routes::sessions()).layer(SessionValidationLayer::new(sessions.clone()))
}

async fn end_all(sessions: &Sessions, user: &str) {
    let target = EndTarget::All { user: user.into(), caller: None };
    sessions.end(target, EndReason::RevokedByAdmin, None).await.unwrap();
}

#[tokio::test]
async fn who_is_let_in_and_what_the_head_says() {
    let db = TestDb::new().await;
    let sessions = Node::new(migrated(&db).await).await.sessions;
    let base = serve(app(&sessions)).await;
    let url = format!("{base}/sessions/events");

    let pending = sessions.sign_in(SignIn::new("mia").second_factor_to_come()).await.unwrap();
    for (request, code) in [
        (client().get(&url), "missing_token"),
        (client().get(&url).bearer_auth("x.y.z"), "invalid_token"),
        (client().get(&url).bearer_auth(&pending.access_token), "second_factor_required"),
        // Not by the query string.
        (client().get(format!("{url}?access_token={}", pending.access_token)), "missing_token"),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (401, &"application/problem+json".parse().unwrap())
        );
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], code);
    }

    // As a page of the same site: EventSource sends the cookie, and these.
    let sign_in = SignIn::new("ahmed").client(Client::new(None, None)).cookie();
    let answer = sessions.sign_in(sign_in).await.unwrap().into_response();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let request = client().get(&url).header("cookie", cookie).header("sec-fetch-site", "same-origin");
    let stream = Events::open(request.header("accept", "text/event-stream")).await;
    let head = |name: &str| -> Vec<_> {
        stream.headers().get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(head("content-type"), ["text/event-stream"]);
    assert_eq!(head("cache-control"), ["no-store"]);
    assert_eq!(head("x-accel-buffering"), ["no"]);
    assert_eq!(head("content-length"), [""; 0]);
    end_all(&sessions, "ahmed").await;
    stream.says("revoked_by_admin").await;
}

/// Time passes by itself where everything waits for it.
#[tokio::test(start_paused = true)]
async fn heartbeats_come_before_a_proxy_loses_patience() {
    let sessions = Sessions::in_memory();
    let signed_in = sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    let request =
        Request::get("/sessions/events").header("authorization", format!("Bearer {}", signed_in.access_token));
    let answer = app(&sessions).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let mut body = answer.into_body();
    let mut next = async || body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(next().await, "retry: 3000\n: open\n\n");
    let mut last = Instant::now();
    for _ in 0..100 {
        assert_eq!(next().await, ":\n\n");
        // Of the paused clock, so exact but for its steps of a millisecond.
        assert_eq!(last.elapsed().as_secs(), 15);
        last = Instant::now();
    }
    end_all(&sessions, "ahmed").await;
    assert_eq!(next().await, "event: ended\ndata: {\"reason\":\"revoked_by_admin\"}\n\n");
    assert!(body.frame().await.is_none());
}

/// The cache has room for one and tidies up now and then, so what is known far beyond that is held by the streams.
#[tokio::test]
async fn a_client_that_goes_away_leaves_no_waiter() {
    const CLIENTS: usize = 50;
    let db = TestDb::new().await;
    let sessions = Node::with(migrated(&db).await, |builder| builder.max_cached_sessions(1)).await.sessions;
    let base = serve(app(&sessions)).await;
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        streams.push(Events::of(&base, &sessions.sign_in(SignIn::new("ahmed")).await.unwrap()).await);
    }
    // By another newcomer, so that the cache tidies up.
    let known = async || {
        drop(Events::of(&base, &sessions.sign_in(SignIn::new("lena")).await.unwrap()).await);
        sessions.health().cached_sessions
    };
    assert!(known().await >= CLIENTS, "the control: a stream that is open keeps its session in mind");
    drop(streams);
    eventually("they are forgotten", || async { known().await < CLIENTS / 2 }).await;
}

#[tokio::test]
async fn a_thousand_open_streams_cost_no_reads() {
    const STREAMS: usize = 1_000;
    let db = TestDb::new().await;
    let psql = db.connect().await;
    let settings = |builder: SessionsBuilder| builder.max_staleness(Duration::from_secs(3));
    let sessions = Node::with(migrated(&db).await, settings).await.sessions;
    eventually("told", || async { sessions.health().coherence == Coherence::Lease }).await;
    count_statements(&psql).await;
    let (base, http) = (serve(app(&sessions)).await, client());
    let mut streams = JoinSet::new();
    for user in 0..STREAMS {
        let token = sessions.sign_in(SignIn::new(format!("user-{user}"))).await.unwrap().access_token;
        streams.spawn(Events::open(http.get(format!("{base}/sessions/events")).bearer_auth(token)));
    }
    let streams = streams.join_all().await;
    assert!(statements(&psql, LOADS).await > 0, "the control: what is read is counted");
    psql.execute("SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database WHERE datname = current_database()", &[])
        .await
        .unwrap();
    // A beat comes each third of max_staleness: four times as long as what was read would be believed without.
    eventually("time has passed", || async { statements(&psql, "%pg_notify%").await > 12 }).await;
    let all = "SELECT query, calls FROM pg_stat_statements WHERE calls > 0 AND query NOT LIKE '%pg_stat%' \
               AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    for row in psql.query(all, &[]).await.unwrap() {
        let query: String = row.get(0);
        println!("{:>6}  {}", row.get::<_, i64>(1), query.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    assert_eq!(statements(&psql, LOADS).await, 0);
    assert_eq!(statements(&psql, FLUSHES).await, 0, "nor are they activity");
    psql.batch_execute("UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'limit'").await.unwrap();
    for stream in streams {
        stream.says("limit").await;
    }
}

/// Where the application lets sessions live on through an outage, their streams must not ask for the database all the time.
#[tokio::test]
async fn streams_in_an_outage_wait() {
    let db = TestDb::new().await;
    let gate = Gate::to(db.url()).await;
    migrated(&db).await;
    let store = PostgresStore::connect(&gate.url(db.url())).await.unwrap();
    let settings = |builder: SessionsBuilder| {
        builder.max_staleness(Duration::from_millis(500)).outage_grace(Duration::from_secs(30))
    };
    let sessions = Node::with(store, settings).await.sessions;
    let base = serve(app(&sessions)).await;
    let signed_in = sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    let stream = Events::of(&base, &signed_in).await;
    gate.shut();
    let (before, since) = (gate.connections(), Instant::now());
    eventually("it has lasted", || async { since.elapsed() > Duration::from_secs(3) }).await;
    let tried = gate.connections() - before;
    println!("{tried} connections tried in 3 s");
    assert!((1..60).contains(&tried), "{tried}");
    // And nobody was signed out by it.
    gate.open();
    let psql = db.connect().await;
    psql.batch_execute("UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'limit'").await.unwrap();
    stream.says("limit").await;
}

/// `close_streams` lets a graceful shutdown come to its end. The control is a server that does not call it.
#[tokio::test]
async fn a_graceful_shutdown_ends_with_close_streams_alone() {
    let start = async || {
        let sessions = Sessions::in_memory();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = axum::serve(listener, app(&sessions)).with_graceful_shutdown(async { _ = stopped.await });
        let serving = tokio::spawn(async move { serving.await });
        let stream = Events::of(&base, &sessions.sign_in(SignIn::new("ahmed")).await.unwrap()).await;
        (sessions, stop, serving, stream)
    };
    let (control, stop_control, serving_control, mut of_control) = start().await;
    let (sessions, stop, serving, stream) = start().await;
    let closing = sessions.closing();
    stop_control.send(()).unwrap();
    stop.send(()).unwrap();
    sessions.close_streams();
    assert_eq!(stream.all_it_says().await, "", "it is over, and the session is not");
    within_patience("the shutdown", serving).await.unwrap().unwrap();
    within_patience("others that ask", closing).await;
    within_patience("who asks late", sessions.closing()).await;
    assert!(of_control.is_silent().await && !serving_control.is_finished(), "the control: it hangs");
    control.close_streams();
    assert_eq!(of_control.all_it_says().await, "");
    within_patience("its shutdown", serving_control).await.unwrap().unwrap();
}
