//! Numbers for the `metrics` facade (feature `metrics`). Without the feature, and without a recorder, they cost nothing
//! worth measuring. Names are stable; all start with `device_sessions_`.

use std::time::Duration;

macro_rules! numbers {
    ($($(#[$doc:meta])* $kind:ident $function:ident($($argument:ident: $type:ty)?) = $name:literal $(, $value:expr)?;)*) => {
        $(
            $(#[$doc])*
            #[cfg(feature = "metrics")]
            pub(crate) fn $function($($argument: $type)?) {
                numbers!(@$kind $name $(, $value)?);
            }

            $(#[$doc])*
            #[cfg(not(feature = "metrics"))]
            pub(crate) const fn $function($(_: $type)?) {}
        )*
    };
    (@counter_by $name:literal, $value:expr) => { metrics::counter!($name, "reason" => $value).increment(1) };
    (@counter $name:literal) => { metrics::counter!($name).increment(1) };
    (@histogram $name:literal, $value:expr) => { metrics::histogram!($name).record($value) };
}

numbers! {
    /// A request was judged by what was in memory.
    counter hit() = "device_sessions_hits_total";
    /// A request had to wait for a read.
    counter miss() = "device_sessions_misses_total";
    /// A reading was there but could not be believed any more.
    counter trust_expired() = "device_sessions_trust_expired_total";
    /// A read of this many sessions went out.
    histogram batch(sessions: usize) = "device_sessions_load_batch_size", u32::try_from(sessions).unwrap_or(u32::MAX);
    /// A read of sessions failed.
    counter load_failed() = "device_sessions_load_failures_total";
    /// The database told of a change.
    counter told() = "device_sessions_notifications_total";
    /// The telling of changes broke off.
    counter lease_lost() = "device_sessions_leases_lost_total";
    /// This node ended a session, for this reason.
    counter_by ended(reason: &'static str) = "device_sessions_ended_total", reason;
    /// A refresh was answered, for this reason: `refresh`, `again`, `lost_response`, `state_lost`, `stale`, `late_prev`,
    /// `void`, `superseded`.
    counter_by refreshed(reason: &'static str) = "device_sessions_refreshes_total", reason;
    /// An attempt to deliver a notice is over: `delivered`, `again`, `dead`, `gone`.
    counter_by notice(reason: &'static str) = "device_sessions_notices_total", reason;
    /// So long after its end did this node learn of it.
    histogram end_seen(after: Duration) = "device_sessions_end_seen_seconds", after.as_secs_f64();
    /// So many rows of activity went out.
    histogram activity_written(rows: usize) = "device_sessions_activity_batch_size", u32::try_from(rows).unwrap_or(u32::MAX);
}
