mod laws;
mod travel;

use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::{Attempt, Past, Signal, signals};
use crate::{
    place::{Location, Position},
    session::{Session, SessionId, UserId},
};

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn session(position: Option<Position>, last_activity_at: OffsetDateTime) -> Session {
    Session { position, last_activity_at, ..Session::fake(UserId::from("ahmed")) }
}

fn place(position: Position) -> Location {
    Location { position: Some(position), ..Location::default() }
}

fn country(code: &str) -> Location {
    Location { country_code: Some(code.to_owned()), ..Location::default() }
}

fn of(live: &[Session]) -> Past<'_> {
    Past { live, has_devices: true, device_is_known: true, countries: &[], last_seen_at: None }
}

const NOTHING: Attempt<'_> = Attempt { ip_address: None, location: None, failures: 0 };

/// On a known device, with nothing else known than these sessions.
fn asked(live: &[Session], attempt: &Attempt<'_>, now: OffsetDateTime) -> Vec<Signal> {
    signals(&of(live), attempt, now)
}

#[test]
fn new_device() {
    for (has_devices, device_is_known, expected) in
        [(true, false, true), (true, true, false), (false, false, false), (false, true, false)]
    {
        let past = Past { has_devices, device_is_known, ..of(&[]) };
        let expected = if expected { vec![Signal::NewDevice] } else { vec![] };
        assert_eq!(
            signals(&past, &NOTHING, NOW),
            expected,
            "{has_devices} {device_is_known}: the first ever is silent"
        );
    }
}

/// Countries of sign-ins, of live sessions, of the attempt; what is said to be known.
type CountryRow =
    (&'static [&'static str], &'static [&'static str], Option<&'static str>, Option<&'static [&'static str]>);

#[test]
fn new_country() {
    let table: [CountryRow; 14] = [
        (&["RU"], &[], Some("US"), Some(&["RU"])),
        (&["RU", "US"], &[], Some("US"), None),
        (&["ru"], &[], Some("RU"), None),
        (&["RU"], &[], Some("ru"), None),
        (&["RU"], &[], Some("us"), Some(&["RU"])),
        (&["RU"], &["US"], Some("US"), None),
        (&[], &["us"], Some("US"), None),
        (&[], &["RU"], Some("US"), Some(&["RU"])),
        (&["US", "de", "DE", "AT"], &["RU", "at"], Some("FR"), Some(&["AT", "DE", "RU", "US"])),
        (&[], &[], Some("US"), None),
        (&["", " "], &[""], Some("US"), None),
        (&["RU"], &[], None, None),
        (&["RU"], &[], Some(""), None),
        (&["RU "], &[], Some(" RU"), None),
    ];
    for (signed_in, live, here, expected) in table {
        let countries: Vec<_> = signed_in.iter().map(|code| (*code).to_owned()).collect();
        let in_country = |code: &&str| Session { country_code: Some((*code).to_owned()), ..session(None, NOW) };
        let live: Vec<_> = live.iter().map(in_country).collect();
        let location = here.map(country);
        let attempt = Attempt { location: location.as_ref(), ..NOTHING };
        let found = signals(&Past { countries: &countries, ..of(&live) }, &attempt, NOW);
        let signal = |known: &[&str]| Signal::NewCountry {
            country_code: here.unwrap_or_default().to_uppercase(),
            known: known.iter().map(|code| (*code).to_owned()).collect(),
        };
        assert_eq!(found, expected.map(signal).into_iter().collect::<Vec<_>>(), "{signed_in:?} {here:?}");
    }
}

#[test]
fn a_pending_session_makes_no_country_known() {
    let pending = Session { pending: true, country_code: Some("US".to_owned()), ..session(None, NOW) };
    let location = country("US");
    let attempt = Attempt { location: Some(&location), ..NOTHING };
    let countries = ["RU".to_owned()];
    let live = [pending];
    assert_eq!(signals(&Past { countries: &countries, ..of(&live) }, &attempt, NOW).len(), 1);
    assert!(asked(&live, &attempt, NOW).is_empty(), "still a cold start");
}

#[test]
fn at_most_ten_countries_are_named_and_all_are_known() {
    let countries: Vec<_> = ('A'..='Z').map(|letter| format!("X{letter}")).rev().collect();
    let said = |code: &str| {
        let location = country(code);
        signals(&Past { countries: &countries, ..of(&[]) }, &Attempt { location: Some(&location), ..NOTHING }, NOW)
    };
    assert!(said("xz").is_empty());
    let [Signal::NewCountry { known, .. }] = &said("RU")[..] else { panic!() };
    assert_eq!(known.join(" "), "XA XB XC XD XE XF XG XH XI XJ");
}

#[test]
fn long_absence() {
    let exactly = Duration::days(30);
    let table = [
        (Some(exactly), false),
        (Some(exactly + Duration::NANOSECOND), true),
        (Some(exactly - Duration::SECOND), false),
        (Some(Duration::days(400)), true),
        (Some(Duration::days(-400)), false),
        (None, false),
    ];
    for (ago, expected) in table {
        let last_seen_at = ago.map(|ago| NOW - ago);
        let found = signals(&Past { last_seen_at, ..of(&[]) }, &NOTHING, NOW);
        let expected = last_seen_at.filter(|_| expected).map(|last_seen_at| Signal::LongAbsence { last_seen_at });
        assert_eq!(found, Vec::from_iter(expected), "{ago:?}");
    }
    let extremes = [time::PrimitiveDateTime::MIN.assume_utc(), time::PrimitiveDateTime::MAX.assume_utc()];
    let found = |last, now| signals(&Past { last_seen_at: Some(last), ..of(&[]) }, &NOTHING, now).len();
    assert_eq!((found(extremes[0], extremes[1]), found(extremes[1], extremes[0])), (1, 0));
}

#[test]
fn failures_before() {
    for (failures, expected) in [(0, false), (1, false), (4, false), (5, true), (6, true), (u32::MAX, true)] {
        let expected = expected.then_some(Signal::FailuresBefore { count: failures });
        assert_eq!(signals(&of(&[]), &Attempt { failures, ..NOTHING }, NOW), Vec::from_iter(expected));
    }
}

#[test]
fn nothing_known_is_nothing_unusual() {
    let past = Past { has_devices: false, device_is_known: false, ..of(&[]) };
    assert!(signals(&past, &NOTHING, NOW).is_empty());
    let here = Location { position: Position::new(55.7522, 37.6156, Some(20)), ..country("RU") };
    let attempt = Attempt { ip_address: Some([203, 0, 113, 7].into()), location: Some(&here), failures: 0 };
    assert!(signals(&past, &attempt, NOW).is_empty(), "the first sign-in ever");
}

#[test]
fn all_at_once_come_in_order() {
    let live =
        [Session { country_code: Some("RU".to_owned()), ..session(Position::new(55.7522, 37.6156, Some(20)), NOW) }];
    let here = Location { position: Position::new(40.7143, -74.0060, Some(20)), ..country("US") };
    let attempt = Attempt { location: Some(&here), failures: 5, ..NOTHING };
    let past = Past { device_is_known: false, last_seen_at: Some(NOW - Duration::days(31)), ..of(&live) };
    let kinds: Vec<_> = signals(&past, &attempt, NOW).iter().map(Signal::kind).collect();
    assert_eq!(kinds, ["new_device", "new_country", "impossible_travel", "long_absence", "failures_before"]);
}

#[test]
fn the_json_of_each() {
    let session_id = SessionId::new();
    let travel = |from| Signal::ImpossibleTravel {
        session_id,
        from,
        distance_km: 7_420,
        within: std::time::Duration::from_millis(7_200_999),
    };
    let cases = [
        (Signal::NewDevice, json!({"kind": "new_device"})),
        (
            Signal::NewCountry { country_code: "US".to_owned(), known: vec!["RU".to_owned()] },
            json!({"kind": "new_country", "countryCode": "US", "known": ["RU"]}),
        ),
        (
            travel(Some("Moscow, Russia".to_owned())),
            json!({"kind": "impossible_travel", "sessionId": session_id, "from": "Moscow, Russia",
                "distanceKm": 7_420, "withinSeconds": 7_200}),
        ),
        (
            travel(None),
            json!({"kind": "impossible_travel", "sessionId": session_id, "from": null, "distanceKm": 7_420,
                "withinSeconds": 7_200}),
        ),
        (
            Signal::LongAbsence { last_seen_at: NOW },
            json!({"kind": "long_absence", "lastSeenAt": "1970-01-01T00:00:00Z"}),
        ),
        (Signal::FailuresBefore { count: 5 }, json!({"kind": "failures_before", "count": 5})),
    ];
    for (signal, expected) in cases {
        let found = serde_json::to_value(&signal).unwrap();
        assert_eq!(found["kind"], signal.kind());
        assert_eq!(found, expected);
    }
}
