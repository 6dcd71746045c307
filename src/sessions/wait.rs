//! Waiting for the end of a session. A waiter makes no requests, so it looks for itself.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{ANSWER_WITHIN, KnownToken, Refusal, Refused, Sessions, Verdict};
use crate::session::EndReason;

/// See `CurrentSession::ended`.
pub(super) async fn ended(token: Arc<KnownToken>) -> EndReason {
    loop {
        // Registered before looking, so that a change in between is not slept through.
        let changed = token.state.changed();
        let mut changed = pin!(changed.notified());
        changed.as_mut().enable();
        let pause = match look(&token).await {
            Ok(reason) => return reason,
            Err(pause) => pause,
        };
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Why it ended; or how long to wait before looking again. Looking costs no read while what is in memory may be
/// believed, so one timer serves every case: a lost lease, polling, and the session's own expiry.
async fn look(token: &Arc<KnownToken>) -> Result<EndReason, Duration> {
    // Not kept while waiting: a waiter keeps nothing alive.
    let sessions = token.home.upgrade().map(Sessions::from_inner).ok_or(Duration::MAX)?;
    let settings = &sessions.0.settings;
    let (verdict, has_read) = match sessions.judge_cached(token, sessions.tick()) {
        Some(verdict) => (verdict, false),
        None => {
            let deadline = Instant::now() + ANSWER_WITHIN;
            let judged = sessions.read_and_judge(token, false, None, deadline).await;
            (judged.unwrap_or(Verdict::Unavailable), true)
        }
    };
    match verdict {
        // By `outage_grace`, and not by a read: as unavailable, or else it would be looked at without a pause.
        Verdict::Live(current) if has_read && sessions.0.cache.believed_until(current.reading()) <= sessions.tick() => {
            Err(settings.max_staleness)
        }
        Verdict::Live(current) => {
            // Until it runs out, or until what was just looked at could not be believed any more.
            let until = current.ends_at(settings.lives).min(sessions.0.cache.believed_until(current.reading()));
            Err(until.since(sessions.tick()).clamp(SHORTEST, settings.max_staleness))
        }
        Verdict::Refused(Refused { why: Refusal::SessionEnded(reason), .. }) => Ok(reason),
        // Its token has been superseded; the session lives, and is told of by its row when it ends.
        Verdict::Refused(Refused { why: Refusal::TokenExpired, .. }) => Err(settings.max_staleness),
        // Deleted, by somebody who may write to the database.
        Verdict::Refused(_) => Ok(EndReason::RevokedByAdmin),
        Verdict::Unavailable | Verdict::Anonymous | Verdict::Pending(_) => Err(settings.max_staleness),
    }
}

/// A session about to expire is not looked at in a tight loop.
const SHORTEST: Duration = Duration::from_millis(1);
