//! Behind a pooler in transaction mode, where `LISTEN` answers with success and stays deaf.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum_device_sessions::{Coherence, EndReason, EndTarget, PostgresStore, Sessions, SignIn};
use http::StatusCode;

use crate::{
    cluster::{ask, current, node, refused, tokens, told},
    naive,
    support::{TestDb, eventually},
};

const MAX_STALENESS: Duration = Duration::from_secs(1);

/// A pgbouncer of this test's own, gone with it.
struct Pooler {
    port: u16,
    child: Child,
    directory: PathBuf,
}

impl Pooler {
    async fn start(db: &TestDb) -> Self {
        let (server, name) = db.url().rsplit_once('/').unwrap();
        let (user, server_port) = server.trim_start_matches("postgres://").split_once("@127.0.0.1:").unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = std::env::temp_dir().join(format!("ads-bouncer-{}-{port}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let ini = directory.join("pgbouncer.ini");
        let mut file = fs::File::create(&ini).unwrap();
        write!(
            file,
            "[databases]\n{name} = host=127.0.0.1 port={server_port} user={user}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = 10\nmax_client_conn = 100\n"
        )
        .unwrap();
        // It ends when our end of the pipe is closed, however we end. It refuses to run as root.
        let script = "as=; [ \"$(id -u)\" = 0 ] && as='-u nobody'; PATH=$PATH:/usr/sbin; pgbouncer -q $as \"$1\" & read _; kill -9 $!";
        let child = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(&ini)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pooler = Self { port, child, directory };
        eventually("pgbouncer answers (is it installed? scripts/test does that)", || async {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
        pooler
    }

    fn url(&self, db: &TestDb) -> String {
        format!("postgres://anybody@127.0.0.1:{}/{}", self.port, db.name())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _gone = self.child.wait();
        let _gone = fs::remove_dir_all(&self.directory);
    }
}

#[tokio::test]
async fn everything_through_the_pooler_works_by_polling() {
    let db = TestDb::new().await;
    let pooler = Pooler::start(&db).await;
    let store = PostgresStore::connect(&pooler.url(&db)).await.unwrap();
    store.migrate().await.unwrap();
    let behind = Sessions::builder(store).access_tokens(tokens()).max_staleness(MAX_STALENESS).build().await.unwrap();
    eventually("the deaf listener is found out", || async {
        behind.health().last_error.is_some_and(|error| error.contains("pooler"))
    })
    .await;
    assert_eq!(behind.health().coherence, Coherence::Polling);

    let beside = node(db.url()).await;
    for round in 0..20 {
        let user = format!("user-{round}");
        let laptop = behind.sign_in(SignIn::new(user.as_str())).await.unwrap();
        let phone = beside.sign_in(SignIn::new(user.as_str())).await.unwrap();
        assert_eq!(ask(&behind, &laptop).await, StatusCode::OK);
        assert_eq!(ask(&behind, &phone).await, StatusCode::OK);
        assert_eq!(behind.list(&user.as_str().into(), None).await.unwrap().len(), 2);
        behind.flush_activity().await.unwrap();
        let keep = laptop.session.id;
        let others = EndTarget::Others { user: user.as_str().into(), keep };
        behind.end(others, EndReason::RevokedByUser, None).await.unwrap();
        assert_eq!(ask(&behind, &phone).await, StatusCode::UNAUTHORIZED);
        refused(&beside, &phone).await;
    }

    let signed_in = beside.sign_in(SignIn::new("ahmed")).await.unwrap();
    let (status, session) = current(&behind, &signed_in).await;
    assert_eq!(status, StatusCode::OK);
    let waiter = session.unwrap().ended();
    let one = EndTarget::One { id: signed_in.session.id, user: None };
    beside.end(one, EndReason::RevokedByAdmin, None).await.unwrap();
    let acknowledged = Instant::now();
    let mut last_let_in = Duration::ZERO;
    loop {
        let sent = acknowledged.elapsed();
        if ask(&behind, &signed_in).await != StatusCode::OK {
            break;
        }
        last_let_in = sent;
    }
    println!("behind the pooler: let in until {last_let_in:?} after the end");
    assert!(last_let_in <= MAX_STALENESS, "{last_let_in:?}");
    assert_eq!(waiter.await, EndReason::RevokedByAdmin);
    assert!(behind.health().healthy);
}

/// The control: `LISTEN` through the pooler is answered with success, and nothing is ever told.
#[tokio::test]
async fn the_naive_design_is_deaf_and_does_not_notice() {
    let db = TestDb::new().await;
    let pooler = Pooler::start(&db).await;
    let address = naive::serve(db.url(), Some(&pooler.url(&db))).await;
    let http = reqwest::Client::new();
    let body = serde_json::json!({ "username": "ahmed" });
    let signed_in = http.post(format!("{address}/auth/login")).json(&body).send().await.unwrap();
    let token = signed_in.json::<serde_json::Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
    let ask = || async { http.get(format!("{address}/me")).bearer_auth(&token).send().await.unwrap().status() };
    assert_eq!(ask().await, StatusCode::OK);
    let psql = db.connect().await;
    eventually("it believes that it listens", || async {
        let sql = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'";
        !psql.query(sql, &[]).await.unwrap().is_empty()
    })
    .await;
    psql.batch_execute("UPDATE device_sessions.sessions SET ended_at = now()").await.unwrap();
    let ended = Instant::now();
    eventually("longer than the bound", || async {
        assert_eq!(ask().await, StatusCode::OK, "it lets the ended session in");
        ended.elapsed() > 2 * MAX_STALENESS
    })
    .await;
}

#[tokio::test]
async fn with_a_listen_url_beside_the_pooler_it_is_told() {
    let db = TestDb::new().await;
    let pooler = Pooler::start(&db).await;
    let store = PostgresStore::connect(&pooler.url(&db)).await.unwrap().listen_url(db.url()).unwrap();
    store.migrate().await.unwrap();
    let sessions = Sessions::builder(store).access_tokens(tokens()).build().await.unwrap();
    told(&sessions).await;
}
