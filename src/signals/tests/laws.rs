use std::{
    f64::consts::PI,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use proptest::{option, prelude::*};
use time::{Duration, OffsetDateTime, PrimitiveDateTime, UtcOffset};

use super::{NOW, asked, place, session};
use crate::{
    place::Position,
    session::Session,
    signals::{Attempt, Signal, travel::distance_km},
};

const EARTH_KM: f64 = 6_371.008_8;

/// Distance and seconds, if it fires.
fn fires(session: &Session, to: Position, at: OffsetDateTime, ip_address: Option<IpAddr>) -> Option<(u32, u64)> {
    let location = place(to);
    let attempt = Attempt { ip_address, location: Some(&location), failures: 0 };
    match &asked(std::slice::from_ref(session), &attempt, at)[..] {
        [Signal::ImpossibleTravel { distance_km, within, .. }] => Some((*distance_km, within.as_secs())),
        [] => None,
        other => panic!("{other:?}"),
    }
}

/// The other formula: by the angle between two vectors.
fn by_vectors(one: Position, other: Position) -> f64 {
    let vector = |point: Position| {
        let (latitude, longitude) = (point.latitude.to_radians(), point.longitude.to_radians());
        [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
    };
    let ([a, b, c], [d, e, f]) = (vector(one), vector(other));
    let cross = [b * f - c * e, c * d - a * f, a * e - b * d];
    let sine = cross.iter().map(|part| part * part).sum::<f64>().sqrt();
    EARTH_KM * sine.atan2(a * d + b * e + c * f)
}

prop_compose! {
    /// Half of all pairs are near each other, where the rule turns.
    fn pair()(
        (latitude, longitude) in (-90.0..=90.0, -180.0..=180.0), (north, east) in (-6.0..6.0, -6.0..6.0),
        far in option::of((-90.0..=90.0, -180.0..=180.0)), accuracies in [0_u32..=220, 0..=220],
    ) -> (Position, Position) {
        let near = (f64::clamp(latitude + north, -90.0, 90.0), f64::clamp(longitude + east, -180.0, 180.0));
        let (other_latitude, other_longitude) = far.unwrap_or(near);
        let point = |latitude, longitude, accuracy| Position::new(latitude, longitude, Some(accuracy)).unwrap();
        (point(latitude, longitude, accuracies[0]), point(other_latitude, other_longitude, accuracies[1]))
    }
}

/// From the row being two minutes ahead to a day ago; most of it where the rule turns.
fn seconds() -> impl Strategy<Value = i64> {
    prop_oneof![-120_i64..3_600, 0_i64..86_400]
}

fn some_accuracy() -> impl Strategy<Value = Option<u32>> {
    option::of(prop_oneof![0_u32..220, any::<u32>()])
}

fn seen(from: Position, seconds: i64) -> Session {
    session(Some(from), NOW - Duration::seconds(seconds))
}

fn less_sure(point: Position, by: u32) -> Position {
    Position { accuracy_km: point.accuracy_km.map(|km| km + by), ..point }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn either_way_is_the_same((one, other) in pair(), seconds in seconds()) {
        let there = fires(&seen(one, seconds), other, NOW, None);
        let back = fires(&session(Some(other), NOW), one, NOW - Duration::seconds(seconds), None);
        prop_assert_eq!(there, back);
    }

    #[test]
    fn it_is_the_formula((one, other) in pair(), seconds in seconds()) {
        let sum = one.accuracy_km.unwrap() + other.accuracy_km.unwrap();
        let km = by_vectors(one, other) - f64::from(sum) - 50.0;
        let unsure = one.accuracy_km > Some(200) || other.accuracy_km > Some(200);
        let fastest = 1_000.0 * seconds.unsigned_abs().max(600) as f64 / 3_600.0;
        // Two formulas differ by metres.
        prop_assume!((km - fastest).abs() > 0.1);
        let found = fires(&seen(one, seconds), other, NOW, None);
        prop_assert_eq!(found.is_some(), !unsure && km > fastest, "{} km", km);
        if let Some((distance_km, within)) = found {
            prop_assert!(km > 166.0 && within == seconds.unsigned_abs());
            prop_assert!((f64::from(distance_km) + 0.5 - km).abs() < 0.6, "rounded down");
        }
    }

    #[test]
    fn more_time_or_less_accuracy_accuses_nobody(
        (one, other) in pair(), seconds in 0_i64..86_400, later in 0_i64..7_200, by in [0_u32..50, 0..50],
    ) {
        if fires(&seen(one, seconds), other, NOW, None).is_none() {
            let (one, other) = (less_sure(one, by[0]), less_sure(other, by[1]));
            prop_assert_eq!(fires(&seen(one, seconds + later), other, NOW, None), None);
        }
    }

    #[test]
    fn never_on_the_same_network(
        (one, other) in pair(), v4 in any::<u32>(), v6 in any::<u128>(), host in any::<u128>(),
    ) {
        let [v4, near, next] = [v4, v4 ^ u32::from(host.to_be_bytes()[0]), v4 ^ 0x100].map(Ipv4Addr::from);
        // Not one that is a mapped v4 address itself.
        let v6 = v6 | 1 << 127;
        let [v6, v6_near, v6_next] = [v6, v6 ^ (host >> 48), v6 ^ 1 << 80].map(Ipv6Addr::from);
        let [v4_mapped, near_mapped] = [v4, near].map(|address| address.to_ipv6_mapped());
        let networks: [(IpAddr, IpAddr); 4] = [
            (v4.into(), near.into()),
            (v4.into(), near_mapped.into()),
            (v4_mapped.into(), near.into()),
            (v6.into(), v6_near.into()),
        ];
        for (was, is) in networks {
            let session = Session { ip_address: Some(was), ..seen(one, 0) };
            prop_assert_eq!(fires(&session, other, NOW, Some(is)), None);
        }
        let expected = fires(&seen(one, 0), other, NOW, None);
        let next_door: [(IpAddr, IpAddr); 3] =
            [(v4.into(), next.into()), (v6.into(), v6_next.into()), (v4.into(), v6.into())];
        for (was, is) in next_door {
            let session = Session { ip_address: Some(was), ..seen(one, 0) };
            prop_assert_eq!(fires(&session, other, NOW, Some(is)), expected, "{} and {}", was, is);
        }
    }

    #[test]
    fn never_without_both_places_and_accuracies((one, other) in pair(), seconds in seconds()) {
        let unsure = |point: Position| Position { accuracy_km: None, ..point };
        prop_assert_eq!(fires(&seen(unsure(one), seconds), other, NOW, None), None);
        prop_assert_eq!(fires(&seen(one, seconds), unsure(other), NOW, None), None);
        prop_assert_eq!(fires(&session(None, NOW), other, NOW, None), None);
        let nowhere = Attempt { ip_address: None, location: None, failures: 0 };
        prop_assert!(asked(&[seen(one, seconds)], &nowhere, NOW).is_empty());
    }

    #[test]
    fn the_distance_is_that_of_another_formula((one, other) in pair()) {
        let km = distance_km(one, other);
        prop_assert!((km - by_vectors(one, other)).abs() < 0.001 || (km - PI * EARTH_KM).abs() < 1.0, "{}", km);
    }

    #[test]
    fn no_number_and_no_date_panics(
        numbers in [proptest::num::f64::ANY, proptest::num::f64::ANY, proptest::num::f64::ANY], bits in any::<u64>(),
        on_the_globe in any::<bool>(), accuracies in [some_accuracy(), some_accuracy()], dates in [0_usize..5, 0..5],
    ) {
        let east = UtcOffset::from_hms(23, 59, 59).unwrap();
        let extremes = [
            NOW, PrimitiveDateTime::MIN.assume_utc(), PrimitiveDateTime::MAX.assume_utc(),
            PrimitiveDateTime::MIN.assume_offset(east), PrimitiveDateTime::MAX.assume_offset(-east),
        ];
        let mut from = Position::new(0.0, 0.0, accuracies[0]).unwrap();
        let mut to = Position::new(0.0, 180.0, accuracies[1]).unwrap();
        if !on_the_globe {
            (from.latitude, from.longitude) = (numbers[0], numbers[1]);
            (to.latitude, to.longitude) = (numbers[2], f64::from_bits(bits));
        }
        let found = fires(&session(Some(from), extremes[dates[0]]), to, extremes[dates[1]], None);
        if [from, to].iter().any(|point| Position::new(point.latitude, point.longitude, None).is_none()) {
            prop_assert_eq!(found, None);
        }
    }
}

#[test]
fn where_formulas_go_wrong() {
    let point = |latitude, longitude| Position::new(latitude, longitude, None).unwrap();
    let half = PI * EARTH_KM;
    let cases = [
        ("antipodes", (0.0, 0.0), (0.0, 180.0), half),
        ("antipodes", (45.0, 30.0), (-45.0, -150.0), half),
        ("from pole to pole", (90.0, 10.0), (-90.0, -80.0), half),
        ("at a pole longitudes mean nothing", (90.0, -170.0), (90.0, 35.0), 0.0),
        ("from pole to equator", (-90.0, 0.0), (0.0, 77.0), half / 2.0),
        ("over the date line", (0.0, 179.9), (0.0, -179.9), half / 900.0),
        ("the date line itself", (20.0, 180.0), (20.0, -180.0), 0.0),
        ("one metre", (0.0, 0.0), (0.000_009, 0.0), 0.001_001),
    ];
    for (name, one, other, expected) in cases {
        let km = distance_km(point(one.0, one.1), point(other.0, other.1));
        assert!((km - expected).abs() < 0.000_1, "{name}: {km}, not {expected}");
    }
}

#[test]
fn the_limits_are_sharp() {
    let point = |longitude, accuracy| Position::new(0.0, longitude, Some(accuracy)).unwrap();
    let (one, other) = (point(0.0, 20), point(30.0, 30));
    // 3,235.8 km at least: 3 h 14 min 9 s at 1,000 km/h.
    let km = EARTH_KM * PI / 6.0 - 100.0;
    let limit = Duration::seconds_f64(km * 3.6);
    let after = |time: Duration| fires(&session(Some(one), NOW - time), other, NOW, None).is_some();
    assert_eq!((after(limit - Duration::MILLISECOND), after(limit + Duration::MILLISECOND)), (true, false));
    // 166.7 km in ten minutes or in none.
    let far = |km: f64| (km + 50.0) / (EARTH_KM * PI / 180.0);
    for (km, expected) in [(166.66, false), (166.67, true)] {
        for seconds in [0, 1, 599, 600] {
            assert_eq!(fires(&seen(point(0.0, 0), seconds), point(far(km), 0), NOW, None).is_some(), expected);
        }
    }
    for (accuracy, expected) in [(200, true), (201, false)] {
        assert_eq!(fires(&seen(point(0.0, accuracy), 0), point(90.0, 0), NOW, None).is_some(), expected);
        assert_eq!(fires(&seen(point(0.0, 0), 0), point(90.0, accuracy), NOW, None).is_some(), expected);
    }
    let off = Position { latitude: 91.0, ..point(0.0, 0) };
    assert_eq!(fires(&seen(off, 0), point(0.0, 0), NOW, None), None, "off the globe");
}
