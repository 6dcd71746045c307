//! What the database counts by itself: statements, rows written, WAL.

use time::OffsetDateTime;
use tokio_postgres::Client;

use super::eventually;

/// Statements that read sessions, one or many.
pub const LOADS: &str = "SELECT id, user_id%WHERE id = %";
/// The statement that writes activity.
pub const FLUSHES: &str = "WITH seen AS%";
/// What stands around a write.
pub const AROUND: &str = "^(BEGIN|START|SET|SAVEPOINT|COMMIT|ROLLBACK)";

/// A connection of its own to look by. What it asks itself is counted nowhere here.
pub struct Counters(pub Client);

impl Counters {
    pub async fn new(client: Client) -> Self {
        let statements = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SET pg_stat_statements.track = 'none'";
        client.batch_execute(statements).await.expect("pg_stat_statements");
        Self(client)
    }

    pub async fn reset(&self) {
        self.0.batch_execute("SELECT pg_stat_statements_reset()").await.expect("ours to reset");
    }

    pub async fn checkpoint(&self) {
        self.0.batch_execute("CHECKPOINT").await.expect("ours to ask for");
    }

    async fn number(&self, sql: &str) -> i64 {
        self.0.query_one(sql, &[]).await.expect("plain SQL").get(0)
    }

    /// The database's time, less what a node's coarse clock may be behind.
    pub async fn now(&self) -> OffsetDateTime {
        let sql = "SELECT clock_timestamp() - interval '0.2 s'";
        self.0.query_one(sql, &[]).await.expect("plain SQL").get(0)
    }

    /// Calls of statements since the last reset.
    pub async fn statements(&self) -> Statements {
        let sql = "SELECT coalesce(sum(calls), 0)::int8, \
            coalesce(sum(calls) FILTER (WHERE query LIKE $1), 0)::int8, \
            coalesce(sum(calls) FILTER (WHERE query LIKE $2), 0)::int8, \
            coalesce(sum(calls) FILTER (WHERE query ~ $3), 0)::int8 FROM pg_stat_statements";
        let row = self.0.query_one(sql, &[&LOADS, &FLUSHES, &AROUND]).await.expect("plain SQL");
        Statements { all: row.get(0), loads: row.get(1), flushes: row.get(2), around: row.get(3) }
    }

    /// Where the WAL stands: what two of these differ by has been written between them, on its way to the disk or there.
    pub async fn wal(&self) -> i64 {
        self.number("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8").await
    }

    /// Versions of rows of sessions written, and how many of them stayed on their page (HOT): as far as backends have told.
    pub async fn updates(&self) -> Updates {
        let sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables \
                   WHERE schemaname = 'device_sessions' AND relname = 'sessions'";
        let row = self.0.query_one(sql, &[]).await.expect("migrated");
        Updates { all: row.get(0), hot: row.get(1) }
    }

    /// A backend tells what it counted at its end, if not before: until no other is left.
    pub async fn all_told(&self) {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                      AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        eventually("the other connections have ended", async || self.number(others).await == 0).await;
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Statements {
    pub all: i64,
    pub loads: i64,
    pub flushes: i64,
    /// BEGIN, SET and COMMIT.
    pub around: i64,
}

#[derive(Clone, Copy, Debug)]
pub struct Updates {
    pub all: i64,
    pub hot: i64,
}
