//! Refresh and logout by refresh token: statuses, bodies and headers exactly as promised, and what a refresh extends.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use axum_device_sessions::MemoryStore;
use serde_json::json;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    http::{self, ACCESS, LONG_AGO, Token, ask_with, bearer, cookie},
    refresh::{
        Node, Pair, end_reason, generation_of, json_request, past_the_grace, payload, refresh_request, tokens_in_row,
        two_nodes, whole_row,
    },
    support::TestDb,
};

#[tokio::test]
async fn the_answer_to_a_refresh() {
    let db = TestDb::new().await;
    let node = Node::on(db.url()).await;
    let signed_in = node.sign_in("ahmed").await;
    let answer = node.refresh(&signed_in.refresh_token).await;
    let pair = Pair::of(&answer);
    let body = answer.json();
    let mut keys: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["access_token", "expires_in", "refresh_token", "token_type"]);
    assert_eq!(body["token_type"], "Bearer");
    // 15 minutes, jittered down by up to 5 %.
    let expires_in = body["expires_in"].as_u64().unwrap();
    assert!((855..=900).contains(&expires_in), "{expires_in}");
    assert_eq!(answer.header(&header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(answer.header(&header::CONTENT_TYPE), Some("application/json"));
    assert_eq!(answer.header(&header::SET_COOKIE), None);
    assert_eq!(generation_of(&pair.refresh), 2);
    let claims = payload(&pair.access);
    assert_eq!(claims["sub"], "ahmed");
    assert_eq!(claims["session_id"], signed_in.session.id.to_string());
    // One is rounded up, the other down.
    assert!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap() <= 901);
    assert_ne!(claims["jti"], payload(&signed_in.access_token)["jti"]);
}

#[tokio::test]
async fn tokens_that_are_refused() {
    let db = TestDb::new().await;
    let (node, sql) = (Node::on(db.url()).await, db.connect().await);
    let signed_in = node.sign_in("ahmed").await;
    let before = whole_row(&sql, signed_in.session.id).await;
    let good = &signed_in.refresh_token;
    let flipped = {
        let other = if good.ends_with('A') { 'B' } else { 'A' };
        format!("{}{other}", &good[..good.len() - 1])
    };
    for token in
        ["", "garbage", &signed_in.access_token, &flipped, &good[1..], &format!("{good}="), &format!(" {good}")]
    {
        // `line` checks WWW-Authenticate and the body.
        assert_eq!(node.refresh(token).await.line(), "401 invalid_token", "{token}");
    }
    assert_eq!(node.me(good).await, "401 invalid_token", "a refresh token is no access token");
    let large = format!(r#"{{"refresh_token":"{}"}}"#, "A".repeat(4 * 1024));
    let fits = json!({ "refresh_token": good, "client_id": "x".repeat(3 * 1024) }).to_string();
    for (what, content_type, body, line) in [
        ("empty", Some("application/json"), "", "400 invalid_request"),
        ("not JSON", Some("application/json"), "refresh_token=x", "400 invalid_request"),
        ("a form", Some("application/x-www-form-urlencoded"), "refresh_token=x", "400 invalid_request"),
        ("no content type", None, r#"{"refresh_token":"x"}"#, "400 invalid_request"),
        ("text", Some("text/plain"), r#"{"refresh_token":"x"}"#, "400 invalid_request"),
        ("a number", Some("application/json"), r#"{"refresh_token":7}"#, "400 invalid_request"),
        ("null", Some("application/json"), r#"{"refresh_token":null}"#, "400 invalid_request"),
        ("another field", Some("application/json"), r#"{"token":"x"}"#, "400 invalid_request"),
        ("an array", Some("application/json"), "[]", "400 invalid_request"),
        ("too large", Some("application/json"), &large, "400 invalid_request"),
        ("text, in JSON", Some("application/json; charset=utf-8"), r#"{"refresh_token":"x"}"#, "401 invalid_token"),
    ] {
        let request = Request::post("/auth/refresh");
        let request = content_type.into_iter().fold(request, |request, value| request.header("content-type", value));
        let answer = ask_with(&node.app, request.body(Body::from(body.to_owned())).unwrap()).await;
        assert_eq!(answer.line(), line, "{what}");
    }
    assert_eq!(whole_row(&sql, signed_in.session.id).await, before, "none of them did anything");
    let request = Request::post("/auth/refresh").header("content-type", "application/json");
    let answer = ask_with(&node.app, request.body(Body::from(fits)).unwrap()).await;
    assert_eq!(answer.status, 200, "members of later versions are no matter, within 4 KiB: {}", answer.text());
}

/// The refresh token alone counts.
#[tokio::test]
async fn another_credential_beside_it_does_not_matter() {
    let db = TestDb::new().await;
    let node = Node::on(db.url()).await;
    let lena = node.sign_in("lena").await;
    for sent in [
        vec![bearer("garbage")],
        vec![bearer(Token { expires_in: LONG_AGO, ..ACCESS }.of(lena.session.id))],
        vec![bearer(&lena.access_token)],
        vec![bearer("one"), bearer("two")],
        vec![cookie("garbage")],
        vec![("authorization", "Basic dTpw".to_owned())],
    ] {
        let signed_in = node.sign_in("ahmed").await;
        let mut request = refresh_request(&signed_in.refresh_token);
        for (name, value) in &sent {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let pair = Pair::of(&ask_with(&node.app, request).await);
        assert_eq!(node.me(&pair.access).await, "200 ahmed", "{sent:?}");
    }
    assert_eq!(node.me(&lena.access_token).await, "200 lena");
}

#[tokio::test]
async fn logout_by_refresh_token() {
    let (_db, nodes, sql) = two_nodes().await;
    let logout = |token: &str| json_request("/auth/logout", &json!({ "refresh_token": token }));
    for old in [false, true] {
        let signed_in = nodes[0].sign_in("ahmed").await;
        let id = signed_in.session.id;
        let mut pair = Pair::of(&nodes[0].refresh(&signed_in.refresh_token).await);
        past_the_grace(&sql, id).await;
        pair = Pair::of(&nodes[0].refresh(&pair.refresh).await);
        // Who logs out with an old one means it; nobody is told of a theft.
        let sent = if old { &signed_in.refresh_token } else { &pair.refresh };
        let mut request = logout(sent);
        request.headers_mut().insert("authorization", "Bearer garbage".parse().unwrap());
        let answer = ask_with(&nodes[0].app, request).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (204, ""));
        assert_eq!(answer.header(&header::CACHE_CONTROL), Some("no-store"));
        assert_eq!(end_reason(&sql, id).await.as_deref(), Some("logout"));
        for node in &nodes {
            assert_eq!(ask_with(&node.app, logout(sent)).await.line(), "401 session_ended logout");
            assert_eq!(node.refresh(&pair.refresh).await.line(), "401 session_ended logout");
        }
    }
    assert_eq!(ask_with(&nodes[0].app, logout("garbage")).await.line(), "401 missing_token");
}

async fn times(sql: &Client, id: Uuid) -> (OffsetDateTime, OffsetDateTime) {
    let select = "SELECT last_activity_at, expires_at FROM device_sessions.sessions WHERE id = $1";
    let row = sql.query_one(select, &[&id]).await.unwrap();
    (row.get(0), row.get(1))
}

/// A refresh is activity; a retry is not, whether it gets the same again or a new generation.
#[tokio::test]
async fn a_retry_extends_nothing() {
    let db = TestDb::new().await;
    let (node, sql) = (Node::on(db.url()).await, db.connect().await);
    let signed_in = node.sign_in("ahmed").await;
    let id = signed_in.session.id.as_uuid();
    let (_, expires_at) = times(&sql, id).await;
    let an_hour_ago = "UPDATE device_sessions.sessions SET last_activity_at = last_activity_at - interval '1 hour'";
    sql.execute(an_hour_ago, &[]).await.unwrap();
    let (before, _) = times(&sql, id).await;
    node.refresh(&signed_in.refresh_token).await;
    node.sessions.flush_activity().await.unwrap();
    assert!(times(&sql, id).await.0 - before > time::Duration::minutes(50), "the first one counts");

    sql.execute(an_hour_ago, &[]).await.unwrap();
    let before = times(&sql, id).await;
    for generation in [2, 2, 3, 3, 4] {
        if generation > 2 && tokens_in_row(&sql, signed_in.session.id).await.starts_with(&(generation - 1).to_string())
        {
            past_the_grace(&sql, signed_in.session.id).await;
        }
        let pair = Pair::of(&node.refresh(&signed_in.refresh_token).await);
        assert_eq!(generation_of(&pair.refresh), generation);
        node.sessions.flush_activity().await.unwrap();
        assert_eq!(times(&sql, id).await, before);
    }
    assert_eq!(before.1, expires_at, "never moved");
}

#[tokio::test]
async fn an_access_token_never_outlives_its_session() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let node = Node::with(db.url(), |builder| builder.absolute_lifetime(Duration::from_secs(300))).await;
    let signed_in = node.sign_in("ahmed").await;
    let id = signed_in.session.id;
    let mut token = signed_in.refresh_token;
    for left in [300, 60, 20] {
        let nearer = "UPDATE device_sessions.sessions SET expires_at = least(expires_at, now() + $1 * interval '1 s')";
        sql.execute(nearer, &[&f64::from(left)]).await.unwrap();
        let answer = node.refresh(&token).await;
        let pair = Pair::of(&answer);
        assert!(answer.json()["expires_in"].as_i64().unwrap() <= i64::from(left), "{}", answer.text());
        let (_, ends) = times(&sql, id.as_uuid()).await;
        let expires = payload(&pair.access)["exp"].as_i64().unwrap();
        assert!(expires <= ends.unix_timestamp() + 1, "{expires} {ends}");
        past_the_grace(&sql, id).await;
        token = pair.refresh;
    }
    sql.execute("UPDATE device_sessions.sessions SET expires_at = now()", &[]).await.unwrap();
    assert_eq!(node.refresh(&token).await.line(), "401 session_ended absolute");
}

/// In paused time. The deadline is for the database; a phone in a tunnel may take longer to say what it wants.
#[tokio::test(start_paused = true)]
async fn a_body_that_comes_slowly_is_waited_for() {
    let node = Node::of(http::on(MemoryStore::new()).build().await.unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = node.app.clone();
    tokio::spawn(async move { axum::serve(listener, app).await });
    for path in ["refresh", "logout"] {
        let signed_in = node.sign_in("ahmed").await;
        let body = json!({ "refresh_token": signed_in.refresh_token }).to_string();
        let mut client = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /auth/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nexpect: 100-continue\r\n\r\n",
            body.len()
        );
        client.write_all(head.as_bytes()).await.unwrap();
        let mut interim = [0; 25];
        client.read_exact(&mut interim).await.unwrap();
        assert_eq!(interim, *b"HTTP/1.1 100 Continue\r\n\r\n", "the handler asks for the body");
        tokio::time::advance(Duration::from_secs(10)).await;
        client.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        let expected = if path == "refresh" { "HTTP/1.1 200" } else { "HTTP/1.1 204" };
        assert!(answer.starts_with(expected), "{path}: {answer}");
    }
}
