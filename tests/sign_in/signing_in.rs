//! Signing in: what it answers, what goes into the token and the row, and who is refused.

use std::collections::HashMap;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderValue, Request, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get as to, post as to_post};
use axum_device_sessions::{
    AccessTokens, Claims, Client, CurrentSession, Error, ErrorKind, Issue, MemoryStore, PostgresStore,
    SessionValidationLayer, Sessions, SignIn, SignedIn, UserId, VerifyingKey,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    http::{SECRET, app, ask_with, bearer, get, in_memory, on, post, sign_in},
    support::TestDb,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Roles {
    roles: Vec<String>,
    admin: bool,
}

fn roles() -> Roles {
    Roles { roles: vec!["editor".to_owned(), "ü \"quoted\" \u{1F600}".to_owned()], admin: true }
}

async fn on_postgres(db: &TestDb) -> PostgresStore {
    let store = PostgresStore::connect(db.url()).await.expect("connects");
    store.migrate().await.expect("migrates");
    store
}

fn layered(router: Router, sessions: &Sessions) -> Router {
    router.layer(SessionValidationLayer::new(sessions.clone()))
}

/// RFC 6749 §5.1, and the session beside it.
#[tokio::test]
async fn the_answer_to_a_login() {
    async fn login(State(sessions): State<Sessions>, client: Client) -> Result<SignedIn, Error> {
        sessions.sign_in(SignIn::new("ahmed").client(client)).await
    }
    let sessions = in_memory().await;
    let login = Router::new().route("/login", to_post(login)).with_state(sessions.clone());
    let app = layered(login.merge(app()), &sessions);
    let answer = post(&app, "/login", &[]).await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.header(&header::CONTENT_TYPE), Some("application/json"));
    assert_eq!(answer.header(&header::CACHE_CONTROL), Some("no-store"));
    let set: Vec<_> = answer.headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect();
    assert!(matches!(set[..], [one] if one.starts_with("__Host-device=")), "the device's, and no session: {set:?}");
    let body = answer.json();
    let keys: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["access_token", "expires_in", "refresh_token", "session", "token_type"]);
    assert_eq!(body["token_type"], "Bearer");
    let expires_in = body["expires_in"].as_u64().expect("whole seconds");
    assert!((855..=900).contains(&expires_in), "15 min less up to 5 %: {expires_in}");

    let mut current = get(&app, "/sessions/current", &[bearer(body["access_token"].as_str().unwrap())]).await.json();
    let mut session = body["session"].clone();
    assert_eq!(session["isCurrent"], true);
    // It has been active since.
    for (name, value) in [("lastActivityAt", Value::Null), ("expiresAt", Value::Null)] {
        current[name] = value.clone();
        session[name] = value;
    }
    assert_eq!(session, current, "the object of GET /sessions");
}

#[tokio::test]
async fn an_answer_of_the_applications_own() {
    async fn login(State(sessions): State<Sessions>) -> Result<Response, Error> {
        let signed_in = sessions.sign_in(SignIn::new("ahmed")).await?;
        Ok((signed_in, Html("welcome")).into_response())
    }
    let app = Router::new().route("/", to_post(login)).with_state(in_memory().await);
    let answer = post(&app, "/", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "welcome"));
    assert_eq!(answer.header(&header::CONTENT_TYPE), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header(&header::CACHE_CONTROL), Some("no-store"));
}

/// Neither the token nor the application's data gets into a log.
#[tokio::test]
async fn what_debug_shows() {
    let sessions = in_memory().await;
    let sign_in = SignIn::new("ahmed").claims(&roles()).metadata(&"something private");
    assert!(!format!("{sign_in:?}").contains("editor") && !format!("{sign_in:?}").contains("private"));
    let signed_in = sessions.sign_in(sign_in).await.unwrap();
    assert!(!format!("{signed_in:?}").contains(&signed_in.access_token));
}

#[tokio::test]
async fn claims_there_and_back() {
    let sessions = in_memory().await;
    let app = Router::new()
        .route("/roles", to(|Claims(roles): Claims<Roles>| async move { axum::Json(roles) }))
        .route("/all", to(|Claims(all): Claims<HashMap<String, Value>>| async move { axum::Json(all) }));
    let app = layered(app, &sessions);
    let with = async |sign_in: SignIn| bearer(sessions.sign_in(sign_in).await.unwrap().access_token);

    let sent = [with(SignIn::new("ahmed").claims(&roles())).await];
    for _from_database_then_memory in 0..2 {
        assert_eq!(get(&app, "/roles", &sent).await.json(), json!(roles()));
    }
    let all = get(&app, "/all", &sent).await.json();
    assert_eq!(
        (&all["sub"], &all["iss"], &all["admin"]),
        (&json!("ahmed"), &json!("axum-device-sessions"), &json!(true))
    );

    // Not what the handler takes any more: fetch a new token, do not sign in again.
    for other in [SignIn::new("ahmed"), SignIn::new("ahmed").claims(&json!({ "roles": 7 }))] {
        let sent = [with(other).await];
        assert_eq!(get(&app, "/roles", &sent).await.line(), "401 token_expired");
        assert_eq!(get(&app, "/all", &sent).await.status, 200);
    }
    for (sent, line) in [(vec![], "401 missing_token"), (vec![bearer("garbage")], "401 invalid_token")] {
        assert_eq!(get(&app, "/roles", &sent).await.line(), line);
    }
}

/// A sign-in that is refused: how, what the client is told, and that nobody is signed in by it.
#[tokio::test]
async fn what_cannot_be_signed_in() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let asks = on(on_postgres(&db).await).on_issue(|token| async move {
        match token.user_id().as_str() {
            "disabled" => Ok(Issue::refuse()),
            "unknown" => Err("the directory's secret address does not answer".into()),
            "shapeless" => Ok(Issue::with_claims(&"admin")?),
            "overreaching" => Ok(Issue::with_claims(&json!({ "exp": 99_999_999_999_u64 }))?),
            _ => Ok(Issue::allow()),
        }
    });
    let sessions = asks.build().await.unwrap();
    let new = |user: &str| SignIn::new(user);
    let long = "x".repeat(256);
    let with = |claims: Value| new("ahmed").claims(&claims);
    let mut refusals = vec![
        ("empty user id", new(""), ErrorKind::InvalidInput, "400 invalid_request"),
        ("user id of 256 bytes", SignIn::new(long.as_str()), ErrorKind::InvalidInput, "400 invalid_request"),
        ("user id with NUL", new("ah\0med"), ErrorKind::InvalidInput, "400 invalid_request"),
        ("claims: text", with(json!("admin")), ErrorKind::InvalidClaims, "500 internal_error"),
        ("claims: list", with(json!([1])), ErrorKind::InvalidClaims, "500 internal_error"),
        ("claims: nothing", with(json!(null)), ErrorKind::InvalidClaims, "500 internal_error"),
        ("claims: too large", with(json!({ "x": "y".repeat(9_000) })), ErrorKind::InvalidClaims, "500 internal_error"),
        ("metadata with NUL", new("ahmed").metadata(&"a\0b"), ErrorKind::InvalidClaims, "500 internal_error"),
        ("on_issue refuses", new("disabled"), ErrorKind::Refused, "403 account_disabled"),
        ("on_issue fails", new("unknown"), ErrorKind::Unavailable, "503 temporarily_unavailable"),
        ("on_issue says no object", new("shapeless"), ErrorKind::InvalidClaims, "500 internal_error"),
        ("on_issue takes a registered name", new("overreaching"), ErrorKind::InvalidClaims, "500 internal_error"),
    ];
    for name in ["iss", "aud", "sub", "exp", "iat", "nbf", "jti", "session_id", "gen"] {
        refusals.push((name, with(json!({ name: "mine" })), ErrorKind::InvalidClaims, "500 internal_error"));
    }
    for (name, sign_in, kind, line) in refusals {
        let error = sessions.sign_in(sign_in).await.expect_err(name);
        assert_eq!(error.kind(), kind, "{name}: {error:?}");
        let app =
            Router::new().fallback(|State(error): State<std::sync::Arc<std::sync::Mutex<Option<Error>>>>| async move {
                error.lock().unwrap().take().unwrap()
            });
        let internal = [error.to_string(), "secret address".to_owned(), "claims".to_owned(), "user id".to_owned()];
        let app = app.with_state(std::sync::Arc::new(std::sync::Mutex::new(Some(error))));
        let answer = get(&app, "/", &[]).await;
        assert_eq!(answer.line(), line, "{name}");
        for text in internal {
            assert!(!answer.text().contains(&text), "{name}: {text:?} in {}", answer.text());
        }
        let rows: i64 = sql.query_one("SELECT count(*) FROM device_sessions.sessions", &[]).await.unwrap().get(0);
        assert_eq!(rows, 0, "{name}: nothing left behind");
    }
    // The longest that there is, in bytes, and everything but NUL.
    let longest = "ü".repeat(127) + "x";
    assert_eq!(longest.len(), UserId::MAX_LEN);
    for user in [longest.as_str(), "o'neill; DROP TABLE x", "\u{1}\u{7f}\n", " ", "{\"a\":1}"] {
        let signed_in = sign_in(&sessions, user).await;
        let answer = get(&layered(app(), &sessions), "/me", &[bearer(signed_in.access_token)]).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, user));
    }
}

#[tokio::test]
async fn on_issue_adds_claims_and_has_the_last_word() {
    let fresh = json!({ "roles": ["fresh"], "plan": "pro" });
    let sessions = on(MemoryStore::new())
        .on_issue(move |token| {
            let claims = json!({ "roles": fresh["roles"], "plan": fresh["plan"], "named": token.session_id() });
            async move { Ok(Issue::with_claims(&claims)?) }
        })
        .build()
        .await
        .unwrap();
    let app = Router::new().route("/", to(|Claims(all): Claims<Value>| async move { axum::Json(all) }));
    let stale = SignIn::new("ahmed").claims(&json!({ "roles": ["stale"], "theme": "dark" }));
    let signed_in = sessions.sign_in(stale).await.unwrap();
    let all = get(&layered(app, &sessions), "/", &[bearer(signed_in.access_token)]).await.json();
    assert_eq!(all["roles"], json!(["fresh"]));
    assert_eq!((&all["plan"], &all["theme"]), (&json!("pro"), &json!("dark")));
    assert_eq!(all["named"], json!(signed_in.session.id), "asked about the very session that is made");
}

#[tokio::test]
async fn a_service_that_only_verifies() {
    let db = TestDb::new().await;
    let signs = on(on_postgres(&db).await).build().await.unwrap();
    let key = VerifyingKey::hs256(SECRET).unwrap();
    let checks =
        Sessions::builder(on_postgres(&db).await).access_tokens(AccessTokens::verify_only(key)).build().await.unwrap();

    let error = checks.sign_in(SignIn::new("ahmed")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CannotSign);
    assert_eq!(error.into_response().status(), 500);
    assert_eq!(signs.list(&"ahmed".into(), None).await.unwrap(), [], "no row left behind");
    let token = sign_in(&signs, "ahmed").await.access_token;
    assert_eq!(get(&layered(app(), &checks), "/me", &[bearer(token)]).await.line(), "200 ahmed");
}

#[tokio::test]
async fn metadata_there_and_back() {
    async fn theme(session: CurrentSession) -> Result<axum::Json<Option<Roles>>, &'static str> {
        session.metadata().map(axum::Json).map_err(|_| "other metadata")
    }
    let db = TestDb::new().await;
    for sessions in [on(on_postgres(&db).await).build().await.unwrap(), in_memory().await] {
        let app = layered(Router::new().route("/", to(theme)).merge(app()), &sessions);
        for (sign_in, answer) in [
            (SignIn::new("ahmed").metadata(&roles()), Some(json!(roles()))),
            (SignIn::new("ahmed"), Some(Value::Null)),
            (SignIn::new("ahmed").metadata(&"text"), None),
        ] {
            let sent = [bearer(sessions.sign_in(sign_in).await.unwrap().access_token)];
            let told = get(&app, "/", &sent).await;
            assert_eq!((told.text() != "other metadata").then(|| told.json()), answer);
            // It is the application's: no route shows it.
            assert!(!get(&app, "/sessions", &sent).await.text().contains("editor"));
        }
    }
}

/// A login handler that takes what it is told, on a real database.
struct Desk {
    db: TestDb,
    app: Router,
}

impl Desk {
    async fn new() -> Self {
        let db = TestDb::new().await;
        let sessions = on(on_postgres(&db).await).build().await.expect("builds");
        let login = async |State(sessions): State<Sessions>, client: Client| {
            sessions.sign_in(SignIn::new("ahmed").client(client)).await
        };
        Self { db, app: Router::new().route("/", to_post(login)).with_state(sessions) }
    }

    /// The session of a login with these headers, over a connection from there.
    async fn session_of(&self, sent: &[(&'static str, &[u8])], peer: Option<&str>) -> Value {
        let mut request = Request::post("/").body(Body::empty()).expect("a request");
        for (name, value) in sent {
            request.headers_mut().insert(*name, HeaderValue::from_bytes(value).expect("a header"));
        }
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().expect("an address")));
        }
        let answer = ask_with(&self.app, request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["session"].clone()
    }

    async fn device_of(&self, user_agent: &[u8]) -> Value {
        self.session_of(&[("user-agent", user_agent)], None).await
    }
}

#[tokio::test]
async fn the_device_is_named_by_its_user_agent() {
    let desk = Desk::new().await;
    for (user_agent, name, kind, form) in [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "Chrome on Windows",
            "web",
            json!("desktop"),
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 \
             Safari/537.36 Edg/126.0.0.0",
            "Edge on Windows",
            "web",
            json!("desktop"),
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
             Version/17.5 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
            "web",
            json!("phone"),
        ),
        ("curl/8.5.0", "curl", "other", json!(null)),
    ] {
        let session = desk.device_of(user_agent.as_bytes()).await;
        assert_eq!((&session["deviceName"], &session["deviceType"]), (&json!(name), &json!(kind)));
        assert_eq!(session["formFactor"], form, "{name}");
    }
}

/// A header is what a stranger says: any length, any bytes.
#[tokio::test]
async fn a_user_agent_that_means_harm() {
    let desk = Desk::new().await;
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0";
    let long = [firefox.as_bytes(), &b"\t\xc2\x85\xff\xe2\x80\xae".repeat(1_500)].concat();
    assert!(long.len() > 10_000);
    for (user_agent, name) in [
        (&long[..], "Firefox on Linux"),
        (b"", "Unknown device"),
        (b"\xff\xfe\xfd", "Unknown device"),
        (b"\t\t\t", "Unknown device"),
    ] {
        assert_eq!(desk.device_of(user_agent).await["deviceName"], name);
    }
    assert_eq!(desk.session_of(&[], None).await["deviceName"], "Unknown device");
    for user_agent in [&b"x".repeat(10_000)[..], b"<script>alert(1)</script>/1.0", &b"App/1.0 ".repeat(2_000)] {
        let session = desk.device_of(user_agent).await;
        let told = session["deviceName"].as_str().unwrap();
        assert!((1..=64).contains(&told.chars().count()), "{told}");
        assert!(told.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{told:?}");
    }
    let kept = desk.db.connect().await.query("SELECT user_agent FROM device_sessions.sessions", &[]).await.unwrap();
    for kept in kept.iter().filter_map(|row| row.get::<_, Option<String>>(0)) {
        assert!(kept.chars().count() <= 512 && !kept.chars().any(char::is_control), "{kept:?}");
    }
}

/// Only the connection says where a request comes from: anybody can write a header.
#[tokio::test]
async fn the_address_is_the_connections() {
    let desk = Desk::new().await;
    let forwarded = [("x-forwarded-for", &b"6.6.6.6"[..]), ("forwarded", b"for=6.6.6.6"), ("x-real-ip", b"6.6.6.6")];
    for (peer, address) in [
        (Some("192.0.2.7:4711"), json!("192.0.2.7")),
        (Some("[2001:db8::7]:4711"), json!("2001:db8::7")),
        (Some("[::ffff:192.0.2.7]:4711"), json!("192.0.2.7")),
        (None, json!(null)),
    ] {
        assert_eq!(desk.session_of(&forwarded, peer).await["ipAddress"], address, "{peer:?}");
    }
}

/// The address of the latest request that was written down, not that of the sign-in.
#[tokio::test]
async fn the_address_moves_with_the_device() {
    let db = TestDb::new().await;
    let sessions = on(on_postgres(&db).await).build().await.unwrap();
    let app = layered(app(), &sessions);
    let signed_in = sign_in(&sessions, "ahmed").await;
    for peer in ["192.0.2.7:4711", "[2001:db8::7]:4711"] {
        let peer: SocketAddr = peer.parse().unwrap();
        let (name, value) = bearer(&signed_in.access_token);
        let request = Request::get("/me").header(name, value).extension(ConnectInfo(peer));
        let request = request.header("x-forwarded-for", "6.6.6.6").body(Body::empty()).unwrap();
        assert_eq!(ask_with(&app, request).await.status, 200);
        sessions.flush_activity().await.unwrap();
        assert_eq!(sessions.list(&"ahmed".into(), None).await.unwrap()[0].ip_address, Some(peer.ip()));
    }
}
