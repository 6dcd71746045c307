//! What a node keeps of an active session: the growth of this process's resident memory while a million sessions make their first
//! request, token, reading, caches and all, divided by their number. `memory`; `SESSIONS=200000` for fewer.
//!
//! The rows are those of fifty browsers, apps and tools, each signed in the real way once and then copied in the database under
//! new ids, users and addresses; the tokens are re-signed copies of a real one. So what is read and kept is what it would be.

#[path = "../../../../examples/support/local_postgres.rs"]
mod local_postgres;

use std::net::IpAddr;

use axum::{Router, body::Body, extract::Request, http::HeaderValue, routing::get};
use axum_device_sessions::{
    AccessTokens, Client, CurrentSession, PostgresStore, SessionValidationLayer, Sessions, SignIn,
};
use compare::{
    forge::Forge,
    record::{Goal, goal, note, row},
};
use local_postgres::LocalPostgres;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use tower::Service as _;
use uuid::Uuid;

const SECTION: &str = "Memory";
const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";
/// Requests under way at a time.
const AT_ONCE: usize = 1_024;

fn main() {
    let quick = std::env::var_os("QUICK").is_some();
    let default = if quick { 50_000 } else { 1_000_000 };
    let count = std::env::var("SESSIONS").map_or(default, |text| text.parse().expect("a number"));
    // One thread: glibc's allocator keeps a heap for each, and what those have to spare is not ours.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(count));
}

async fn run(count: usize) {
    let server = LocalPostgres::start(&[("fsync", "off")]).expect("Postgres' programs are installed");
    let (db, connection) = tokio_postgres::connect(&server.url(), NoTls).await.expect("it has just been started");
    tokio::spawn(connection);
    let signs = sessions(&server, 1_000).await;
    let mut token = String::new();
    for (n, user_agent) in USER_AGENTS.iter().enumerate() {
        let client = Client::new(Some(user_agent), Some(IpAddr::from([203, 0, 113, 7])));
        let signed_in = signs.sign_in(SignIn::new(format!("template-{n}")).client(client)).await.expect("it signs in");
        token = signed_in.access_token;
    }
    copy_rows(&db, count).await;
    let forge = Forge::of(&token, SECRET);

    // Besides, the front takes its part of the room, and holds some that the rest holds too.
    let room = u64::try_from(count + 20_000).expect("a number of sessions");
    let node = sessions(&server, room).await;
    let app: Router = Router::new()
        .route("/", get(async |_: CurrentSession| "ok"))
        .layer(SessionValidationLayer::new(node.clone()))
        .with_state(());
    // What is set up once is no session's.
    ask_all(&app, &forge, 0..count / 100).await;
    let before = resident();
    ask_all(&app, &forge, count / 100..count).await;
    let of = u32::try_from(count - count / 100).expect("a number of sessions");
    let each = (resident() - before) / f64::from(of);
    assert_eq!(node.health().cached_sessions, count, "all of them are kept");
    node.shutdown().await.expect("the database is there");
    let flushed = (resident() - before) / f64::from(of);
    row(
        SECTION,
        &format!("{count} active sessions"),
        &[("while they wait to be written down", each, "B each"), ("after the flush", flushed, "B each")],
    );
    goal(SECTION, "an active session with its token, caches included", each, "B", Goal::AtMost(1_000.0));
    note(
        SECTION,
        "Aim: 600 bytes. Growth of the resident memory of a process (glibc's allocator) while each session makes its first request; \
         rows of 20 kinds of clients, tokens of 350 bytes (HS256).",
    );
}

async fn sessions(server: &LocalPostgres, room: u64) -> Sessions {
    let store = PostgresStore::connect(&server.url()).await.expect("it has just been started");
    store.migrate().await.expect("the schema is made");
    let tokens = AccessTokens::hs256(SECRET).expect("32 bytes");
    // So that none is written down while it is counted.
    let builder = Sessions::builder(store).access_tokens(tokens).max_cached_sessions(room);
    builder.activity_interval(std::time::Duration::from_secs(3_600)).build().await.expect("the settings agree")
}

/// `count` rows with ids that [`id`] knows, users and addresses of their own.
async fn copy_rows(db: &tokio_postgres::Client, count: usize) {
    let columns = "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns \
                   WHERE table_schema = 'device_sessions' AND table_name = 'sessions' \
                   AND column_name NOT IN ('id', 'user_id', 'ip_address', 'device_key') AND is_generated = 'NEVER'";
    let columns: String = db.query_one(columns, &[]).await.expect("a table").get(0);
    let copy = format!(
        "WITH template AS (SELECT row_number() OVER () - 1 AS n, * FROM device_sessions.sessions) \
         INSERT INTO device_sessions.sessions (id, user_id, ip_address, device_key, {columns}) \
         SELECT lpad(to_hex(one), 32, '0')::uuid, 'user-' || one, '10.0.0.0'::inet + one, device_key, {columns} \
         FROM generate_series(0, {count} - 1) AS one JOIN template ON template.n = one % (SELECT count(*) FROM template)"
    );
    db.batch_execute(&copy).await.expect("rows like those that are there");
}

async fn ask_all(app: &Router, forge: &Forge, which: std::ops::Range<usize>) {
    let mut under_way = JoinSet::new();
    for n in which {
        if under_way.len() >= AT_ONCE {
            under_way.join_next().await.expect("one is under way").expect("no panic");
        }
        let (mut app, token) = (app.clone(), forge.token(&format!("user-{n}"), Uuid::from_u128(n as u128)));
        under_way.spawn(async move {
            let mut request = Request::new(Body::empty());
            let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a token");
            request.headers_mut().insert("authorization", value);
            assert_eq!(app.call(request).await.expect("infallible").status(), 200);
        });
    }
    while under_way.join_next().await.is_some() {}
}

/// In bytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("Linux tells it");
    let kib: f64 = line.split_whitespace().nth(1).expect("a figure").parse().expect("a number");
    kib * 1024.0
}

const USER_AGENTS: [&str; 20] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0.0.0 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 15; Pixel 8 Pro) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 14; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 15; SM-A556B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Android 15; Mobile; rv:143.0) Gecko/143.0 Firefox/143.0",
    "MyApp/3.2.1 (com.example.app; build:412; iOS 18.6.0) Alamofire/5.9.1",
    "okhttp/4.12.0",
];
