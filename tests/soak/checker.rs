//! Goes through the log. Ending is one way, so one pass is enough.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    time::{Duration, Instant},
};

use tokio_postgres::Client;
use uuid::Uuid;

use super::driver::{Entry, What};

#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) requests: usize,
    pub(crate) ends: usize,
    /// Requests of sessions whose end had been acknowledged: what the promise is about.
    pub(crate) asked_after_an_end: usize,
    pub(crate) unavailable: usize,
    /// The latest request that was let in, counted from the acknowledgement of its session's end.
    pub(crate) latest: Duration,
    pub(crate) let_in_late: Vec<String>,
    pub(crate) without_cause: Vec<String>,
    pub(crate) unexpected: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests ({} of ended sessions, {} answered 503), {} ends; latest let in {:?} after an end; \
             let in too late: {}, refused without cause: {}",
            self.requests,
            self.asked_after_an_end,
            self.unavailable,
            self.ends,
            self.latest,
            self.let_in_late.len(),
            self.without_cause.len(),
        )
    }
}

pub(crate) async fn check(log: &[Entry], database: &Client, bound: Duration) -> Verdict {
    let ended_rows: HashSet<Uuid> = database
        .query("SELECT id FROM device_sessions.sessions WHERE ended_at IS NOT NULL", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let mut acknowledged: HashMap<Uuid, (Instant, usize)> = HashMap::new();
    let mut first_sent: HashMap<Uuid, Instant> = HashMap::new();
    for end in log.iter().filter(|entry| entry.what == What::End) {
        let sent = first_sent.entry(end.session).or_insert(end.sent);
        *sent = (*sent).min(end.sent);
        if end.status == 204 {
            acknowledged.entry(end.session).or_insert((end.answered, end.node));
        }
    }
    let mut verdict = Verdict { ends: acknowledged.len(), ..Verdict::default() };
    for ask in log.iter().filter(|entry| entry.what == What::Ask) {
        verdict.requests += 1;
        let end = acknowledged.get(&ask.session).filter(|(at, _)| *at < ask.sent);
        verdict.asked_after_an_end += usize::from(end.is_some());
        match (ask.status, end) {
            (200, None) => {}
            (200, Some((at, node))) => {
                let late = ask.sent - *at;
                verdict.latest = verdict.latest.max(late);
                if ask.node == *node || late > bound {
                    verdict.let_in_late.push(format!("{late:?} after the end by node {node}: {ask:?}"));
                }
            }
            (401, _) => {
                let told = first_sent.get(&ask.session).is_some_and(|sent| *sent < ask.answered);
                if !told || !ended_rows.contains(&ask.session) || ask.code != "session_ended" {
                    verdict.without_cause.push(format!("{ask:?}"));
                }
            }
            (503, _) => verdict.unavailable += 1,
            _ => verdict.unexpected.push(format!("{ask:?}")),
        }
    }
    verdict
}
