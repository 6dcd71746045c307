//! Dropping a future part-way, and what that left in the database.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::future::poll_fn;
use std::task::Poll;

use tokio_postgres::Client;

/// Polls so many times, then drops.
pub(crate) async fn cancelled_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let (mut future, mut left) = (Box::pin(future), polls);
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// What other connections to this database are in the middle of, and the locks that they hold.
const LEFTOVERS: &str = "SELECT coalesce(a.state, 'starting') || ' ' || coalesce(l.mode, '') || ' ' || left(a.query, 60) \
    FROM pg_stat_activity a LEFT JOIN pg_locks l USING (pid) \
    WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() \
    AND (a.state <> 'idle' OR l.pid IS NOT NULL)";

pub(crate) async fn leftovers(checker: &Client) -> Vec<String> {
    checker.query(LEFTOVERS, &[]).await.expect("checked").iter().map(|row| row.get(0)).collect()
}
