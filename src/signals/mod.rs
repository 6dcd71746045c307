//! What is unusual about a sign-in: a pure function of what is known of the user's past and of now. It decides nothing.

mod travel;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;

use crate::{
    place::Location,
    session::{Session, SessionId},
};

/// Something unusual about a sign-in, with what it is concluded from. It may well be the user: a new phone, a holiday,
/// a VPN.
///
/// Serialises for events and logs: its [`kind`](Signal::kind) and its fields, in camelCase, times in RFC 3339.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Signal {
    /// A device from which this user has not signed in before. Not said of the first device ever.
    NewDevice,
    /// A country from which the user has not signed in, and has no session, for the last 180 days.
    NewCountry {
        /// ISO 3166-1 alpha-2 code of it.
        country_code: String,
        /// Those that are known: in order, and at most ten.
        known: Vec<String>,
    },
    /// Nobody travels that fast between a live session's last place and this one.
    ImpossibleTravel {
        /// The session that is elsewhere.
        session_id: SessionId,
        /// Where it was last seen: "Moscow, Russia".
        from: Option<String>,
        /// How far apart at least: the distance less what both places may be wrong by, and a tolerance.
        distance_km: u32,
        /// How long ago it was seen there. Serialised as whole `withinSeconds`.
        #[serde(rename = "withinSeconds", serialize_with = "seconds", deserialize_with = "from_seconds")]
        within: Duration,
    },
    /// The user has not been seen for long.
    LongAbsence {
        /// When they were last seen.
        #[serde(with = "time::serde::rfc3339")]
        last_seen_at: OffsetDateTime,
    },
    /// Several attempts failed before this one.
    FailuresBefore {
        /// How many, as the application counted.
        count: u32,
    },
}

impl Signal {
    /// Which one it is, without what it is concluded from: `new_device`, `new_country`, `impossible_travel`,
    /// `long_absence` or `failures_before`. This text is stable.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NewDevice => "new_device",
            Self::NewCountry { .. } => "new_country",
            Self::ImpossibleTravel { .. } => "impossible_travel",
            Self::LongAbsence { .. } => "long_absence",
            Self::FailuresBefore { .. } => "failures_before",
        }
    }
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_secs())
}

fn from_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

/// What is known of the user.
#[derive(Clone, Debug)]
pub(crate) struct Past<'a> {
    /// Their live sessions. Place and time of each are of one row.
    pub(crate) live: &'a [Session],
    /// Some device of theirs is known.
    pub(crate) has_devices: bool,
    /// This one is.
    pub(crate) device_is_known: bool,
    /// The countries from which they signed in lately.
    pub(crate) countries: &'a [String],
    /// When they were last seen, on any device.
    pub(crate) last_seen_at: Option<OffsetDateTime>,
}

/// The sign-in.
#[derive(Clone, Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) ip_address: Option<IpAddr>,
    pub(crate) location: Option<&'a Location>,
    pub(crate) failures: u32,
}

/// Evidence is for a person to read.
const MAX_KNOWN: usize = 10;

/// As Logto has it. ASVS 6.3.5 names no number.
const LONG: time::Duration = time::Duration::days(30);

/// Fewer is a person with a typo and an old password, and says nothing; common lockouts (CIS) begin at five. NIST SP
/// 800-63B §5.2.2 would have a hundred, but as the limit of what is allowed, not of what is worth a word.
const MANY_FAILURES: u32 = 5;

/// What is unusual about it, in the order of [`Signal`]. What is not known is not unusual.
pub(crate) fn signals(past: &Past<'_>, attempt: &Attempt<'_>, now: OffsetDateTime) -> Vec<Signal> {
    // The first device of all is new to everybody.
    let new_device = (past.has_devices && !past.device_is_known).then_some(Signal::NewDevice);
    let away = past.last_seen_at.filter(|at| now - *at > LONG);
    let failures = (attempt.failures >= MANY_FAILURES).then_some(attempt.failures);
    [
        new_device,
        new_country(past, attempt),
        travel::impossible_travel(past.live, attempt, now),
        away.map(|last_seen_at| Signal::LongAbsence { last_seen_at }),
        failures.map(|count| Signal::FailuresBefore { count }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn new_country(past: &Past<'_>, attempt: &Attempt<'_>) -> Option<Signal> {
    let country_code = code(attempt.location?.country_code.as_deref()?)?;
    // Where a running session has travelled is known. Not so where somebody has only shown a password.
    let sessions =
        past.live.iter().filter(|session| !session.pending).filter_map(|session| session.country_code.as_deref());
    let known: BTreeSet<_> = past.countries.iter().map(String::as_str).chain(sessions).filter_map(code).collect();
    let is_new = !known.is_empty() && !known.contains(&country_code);
    is_new.then(|| Signal::NewCountry { country_code, known: known.into_iter().take(MAX_KNOWN).collect() })
}

/// Sources differ in case, and some say "" for what they do not know.
fn code(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_ascii_uppercase())
}
