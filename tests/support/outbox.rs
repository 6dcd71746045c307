//! The outbox's rows, as the tests look at them and move them.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use tokio_postgres::Client;

/// How many there are, dead letters included.
pub(crate) async fn letters(db: &Client) -> i64 {
    db.query_one("SELECT count(*) FROM device_sessions.outbox", &[]).await.unwrap().get(0)
}

/// All leases lapse and all pauses are over: what is waited for elsewhere by waiting.
pub(crate) async fn time_passes(db: &Client) {
    let sql = "UPDATE device_sessions.outbox SET due_at = statement_timestamp() WHERE dead_at IS NULL";
    db.execute(sql, &[]).await.unwrap();
}

/// The same of the pauses alone, up to those that are as long as a lease: what is under way stays whose it is. Of rows that
/// nobody holds, as a worker locks several in an order of its own.
pub(crate) async fn pauses_end(db: &Client) {
    let sql = "WITH free AS ( \
                   SELECT seq FROM device_sessions.outbox \
                   WHERE dead_at IS NULL AND due_at < statement_timestamp() + interval '18 seconds' \
                   FOR UPDATE SKIP LOCKED \
               ) UPDATE device_sessions.outbox o SET due_at = statement_timestamp() FROM free WHERE o.seq = free.seq";
    db.execute(sql, &[]).await.unwrap();
}

/// Nodes are told by each change; this one changes nothing else.
pub(crate) async fn poke(db: &Client) {
    db.batch_execute("NOTIFY device_sessions_changes, '00000000-0000-0000-0000-000000000000'").await.unwrap();
}
