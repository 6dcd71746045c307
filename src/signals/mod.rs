//! What is unusual about a sign-in: a pure function of what is known of the user's past and of now. It decides nothing.

use std::{net::IpAddr, time::Duration};

use time::OffsetDateTime;

use crate::{
    place::Location,
    session::{Session, SessionId},
};

/// Something unusual about a sign-in, with what it is concluded from. It may well be the user: a new phone, a holiday, a
/// VPN.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Signal {
    /// A device from which this user has not signed in before. Not said of the first device ever.
    NewDevice,
    /// A country from which the user has not signed in, and has no session, for the last 180 days.
    NewCountry {
        /// ISO 3166-1 alpha-2 code of it.
        country_code: String,
        /// Those that are known.
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
        /// How long ago it was seen there.
        within: Duration,
    },
    /// The user has not been seen for long.
    LongAbsence {
        /// When they were last seen.
        last_seen_at: OffsetDateTime,
    },
    /// Several attempts failed before this one.
    FailuresBefore {
        /// How many, as the application counted.
        count: u32,
    },
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

/// What is unusual about it.
pub(crate) fn signals(_past: &Past<'_>, _attempt: &Attempt<'_>, _now: OffsetDateTime) -> Vec<Signal> {
    Vec::new()
}
