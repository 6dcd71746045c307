//! What the tests share: a Postgres, a database of its own for each test, and waiting for a condition.
//!
//! A test that needs Postgres fails where there is none; it is never skipped.

#![allow(dead_code, reason = "each test binary uses a part of it")]

#[path = "../../examples/support/local_postgres.rs"]
mod local_postgres;

use std::future::Future;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use local_postgres::LocalPostgres;
use tokio_postgres::{Client, Config, NoTls};

/// One cluster for all tests of this process. A static is never dropped: the watchdog takes it down when we exit.
static SHARED: OnceLock<Result<LocalPostgres, String>> = OnceLock::new();

/// Database names differ within the process; the process id makes them tell whose they are in the log.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A database of one test, gone when the value is dropped.
#[derive(Debug)]
pub(crate) struct TestDb {
    name: String,
    config: Config,
    url: String,
    /// What to connect to in order to drop the database.
    admin_url: String,
    own: Option<LocalPostgres>,
}

impl TestDb {
    /// A new, empty database in the cluster that the tests of this process share.
    pub(crate) async fn new() -> Self {
        match SHARED.get_or_init(|| start(&[])) {
            Ok(server) => Self::create(server.url(), None).await,
            Err(why) => panic!("this test needs Postgres: {why}"),
        }
    }

    /// A new, empty database in a cluster of its own, for tests that stop the server or need other settings.
    pub(crate) async fn own_cluster(settings: &[(&str, &str)]) -> Self {
        match start(settings) {
            Ok(server) => Self::create(server.url(), Some(server)).await,
            Err(why) => panic!("this test needs Postgres: {why}"),
        }
    }

    async fn create(admin_url: String, own: Option<LocalPostgres>) -> Self {
        let name = format!("t_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // template0, unlike template1, has no connections that would be in the way.
        execute(&admin_url, &format!("CREATE DATABASE {name} TEMPLATE template0")).await.expect("create a database");
        let server = admin_url.strip_suffix("/postgres").expect("the url ends in its database");
        let url = format!("{server}/{name}");
        let config = url.parse().expect("our own url");
        Self { name, config, url, admin_url, own }
    }

    /// Where the code under test connects to.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The name of the database.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A connection of the test's own; its other half runs as a task.
    pub(crate) async fn connect(&self) -> Client {
        connect(&self.config).await.expect("connect to the test's database")
    }

    /// The server of [`TestDb::own_cluster`]. The shared one is not handed out: other tests use it.
    pub(crate) fn server(&self) -> &LocalPostgres {
        self.own.as_ref().expect("only TestDb::own_cluster has a server of its own")
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        if self.own.is_some() {
            // The cluster goes, and the database with it.
            return;
        }
        // FORCE: connections of the test or of its pools may still be open.
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let url = std::mem::take(&mut self.admin_url);
        // We may be inside a runtime, which cannot block, or unwinding past one: a thread and runtime of its own.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(execute(&url, &sql))
        });
        // No panic here: a second one while unwinding would hide what the test found.
        match dropped.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("cannot drop {}: {error}", self.name),
            Err(_) => eprintln!("cannot drop {}: the thread panicked", self.name),
        }
    }
}

/// Waits until `condition` holds, and panics with `what` if it does not within 20 s.
///
/// The one place in the tests that sleeps. Real time, so that a test with a paused clock waits for I/O all the same.
pub(crate) async fn eventually<F, Fut>(what: &str, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// The shared cluster can count statements: `CREATE EXTENSION pg_stat_statements` works. It counts for the whole
/// cluster, so select by `dbid`.
pub(crate) fn can_count_statements() -> bool {
    LocalPostgres::find().is_some_and(|bin| has_stat_statements(&bin))
}

fn start(settings: &[(&str, &str)]) -> Result<LocalPostgres, String> {
    let mut all = vec![("max_connections", "300")];
    if can_count_statements() {
        all.push(("shared_preload_libraries", "pg_stat_statements"));
    }
    all.extend(settings);
    LocalPostgres::start(&all)
}

/// Part of the server on Homebrew and Debian, a package of its own elsewhere.
fn has_stat_statements(bin: &Path) -> bool {
    // PATH may name a directory of links.
    let initdb = bin.join("initdb").canonicalize().unwrap_or_default();
    let Some(prefix) = initdb.parent().and_then(Path::parent) else { return false };
    ["lib", "lib/postgresql", "lib/pgsql", "lib64/pgsql"]
        .iter()
        .flat_map(|lib| ["so", "dylib"].map(|ext| prefix.join(lib).join(format!("pg_stat_statements.{ext}"))))
        .any(|library| library.is_file())
}

pub(crate) async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // Its error reaches whoever uses the client.
    tokio::spawn(connection);
    Ok(client)
}

async fn execute(url: &str, sql: &str) -> Result<(), tokio_postgres::Error> {
    connect(&url.parse()?).await?.batch_execute(sql).await
}
