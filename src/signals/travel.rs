//! Two places, and the time between them: could it have been one person?

use std::{net::IpAddr, time::Duration};

use time::OffsetDateTime;

use super::{Attempt, Signal};
use crate::{place::Position, session::Session};

/// Mean radius of the earth (IUGG).
const EARTH_KM: f64 = 6_371.008_8;

/// A place that is no surer than this tells a region: exits of mobile networks, centres of countries.
const MAX_ACCURACY_KM: u32 = 200;

/// Sources claim to be surer than they are.
const TOLERANCE_KM: f64 = 50.0;

/// Clocks differ and activity is written down in batches, so shorter times mean nothing. It also keeps everything
/// within 166 km silent, which is where location databases err most.
const MIN_TIME: Duration = Duration::from_secs(10 * 60);

/// An airliner does 900, and the jet stream helps: less accuses travellers (Logto takes 900, Curity 250). Much more
/// would let stolen sessions pass within a continent. authentik takes 1,000 as well.
const MAX_KM_PER_HOUR: f64 = 1_000.0;

/// The session that is the hardest to reach from here, if nobody can. Each is judged by its own place *and* its own
/// time: the time of another row (Logto) makes travellers of those who only have two devices.
pub(super) fn impossible_travel(live: &[Session], attempt: &Attempt<'_>, now: OffsetDateTime) -> Option<Signal> {
    let here = attempt.location?.position?;
    live.iter()
        .filter(|session| !session.pending && !same_network(session.ip_address, attempt.ip_address))
        .filter_map(|session| {
            let km = apart_at_least(session.position?, here)?;
            // The row may be from a node whose clock is ahead.
            let within = (now - session.last_activity_at).unsigned_abs();
            let km_per_hour = km * 3_600.0 / within.max(MIN_TIME).as_secs_f64();
            (km_per_hour > MAX_KM_PER_HOUR).then_some((km_per_hour, km, within, session))
        })
        .max_by(|(one, ..), (other, ..)| one.total_cmp(other))
        .map(|(_, km, within, session)| Signal::ImpossibleTravel {
            session_id: session.id,
            from: session.location.clone(),
            distance_km: whole(km),
            within,
        })
}

/// How far apart two places are at least; negative where they may be one. `None` where that cannot be told.
fn apart_at_least(one: Position, other: Position) -> Option<f64> {
    let (one, one_accuracy) = evaluable(one)?;
    let (other, other_accuracy) = evaluable(other)?;
    let unsure = f64::from(one_accuracy + other_accuracy) + TOLERANCE_KM;
    Some(distance_km(one, other) - unsure)
}

fn evaluable(position: Position) -> Option<(Position, u32)> {
    let accuracy = position.accuracy_km.filter(|km| *km <= MAX_ACCURACY_KM)?;
    // Its fields are open: it may have been moved off the globe, or be no number.
    let position = Position::new(position.latitude, position.longitude, position.accuracy_km)?;
    Some((position, accuracy))
}

/// Along the great circle, by the haversine formula: good for near places too, and blind to the date line.
pub(super) fn distance_km(one: Position, other: Position) -> f64 {
    let half_sine = |one: f64, other: f64| ((one - other).to_radians() / 2.0).sin().powi(2);
    let parallels = one.latitude.to_radians().cos() * other.latitude.to_radians().cos();
    let haversine = half_sine(one.latitude, other.latitude) + parallels * half_sine(one.longitude, other.longitude);
    // Antipodes may round to more than 1, of which there is no arc sine.
    2.0 * EARTH_KM * haversine.sqrt().min(1.0).asin()
}

/// The smallest blocks that are routed by themselves: /24 and /48. All of one is in one place, whatever a database
/// says of its parts; and a device changes its address within them at will.
fn same_network(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    match (one.map(|ip| ip.to_canonical()), other.map(|ip| ip.to_canonical())) {
        (Some(IpAddr::V4(one)), Some(IpAddr::V4(other))) => one.octets()[..3] == other.octets()[..3],
        (Some(IpAddr::V6(one)), Some(IpAddr::V6(other))) => one.segments()[..3] == other.segments()[..3],
        _ => false,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to half the earth's girth, 20,016")]
fn whole(km: f64) -> u32 {
    km as u32
}
