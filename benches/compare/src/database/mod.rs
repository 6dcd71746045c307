//! What `database`, `cold` and `refusal` have in common: a Postgres of their own, what it counts, sessions to fill it with,
//! and a node of an application on it.

pub mod cold;
pub mod counters;
pub mod flush;
#[allow(clippy::all, reason = "the library's, and checked there")]
#[path = "../../../../examples/support/local_postgres.rs"]
mod local_postgres;
pub mod million;
pub mod node;
pub mod refusal;
mod rival;
pub mod spread;
pub mod tutorial;

use std::time::{Duration, Instant};

use local_postgres::LocalPostgres;
use tokio_postgres::{Client, Config, NoTls};

/// What each of them is measured with, for the notes.
pub const SETTINGS: &str = "A private Postgres on the same machine, reached by TCP over loopback: fsync=on, \
    synchronous_commit=on unless said otherwise, shared_buffers=1GB, max_wal_size=16GB and checkpoint_timeout=30min (so that \
    no checkpoint falls into a round), pg_stat_statements loaded; all else as initdb leaves it";

/// A Postgres of this program's own, gone with it.
pub struct Server(LocalPostgres);

impl Server {
    /// It needs Postgres' server programs, with `pg_stat_statements` (a package of its own on some systems).
    pub fn start() -> Self {
        let settings = [
            ("fsync", "on"),
            ("shared_buffers", "1GB"),
            ("max_wal_size", "16GB"),
            ("checkpoint_timeout", "30min"),
            ("shared_preload_libraries", "pg_stat_statements"),
        ];
        Self(LocalPostgres::start(&settings).expect("Postgres' programs and pg_stat_statements are installed"))
    }

    pub fn url(&self) -> String {
        self.0.url()
    }

    pub async fn connect(&self) -> Client {
        connect(&self.url()).await
    }
}

/// A plain connection, driven by a task of its own.
pub async fn connect(url: &str) -> Client {
    let config: Config = url.parse().expect("a URL");
    let (client, connection) = config.connect(NoTls).await.expect("the server is up");
    tokio::spawn(connection);
    client
}

/// The short form, for trying the programs out.
pub fn quick() -> bool {
    std::env::var_os("QUICK").is_some_and(|value| value != "0")
}

/// Waits for what comes by itself within seconds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !holds().await {
        assert!(since.elapsed() < Duration::from_secs(60), "waited a minute for this: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The same sequence in each run, and as good as random.
pub const fn scattered(n: usize) -> usize {
    let mut x = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x >> 33) as usize
}

/// Counts, for figures: exact up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
pub const fn float(count: usize) -> f64 {
    count as f64
}
