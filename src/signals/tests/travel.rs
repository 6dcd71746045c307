use time::{Duration, OffsetDateTime};

use super::{NOW, asked, place, session};
use crate::{
    place::Position,
    session::Session,
    signals::{Attempt, Signal, travel::distance_km},
};

/// See its first line. `-` is `None`.
const TABLE: &str = include_str!("cities.txt");

struct Row {
    text: &'static str,
    from: Position,
    to: Position,
    minutes: i64,
    expected: bool,
}

fn rows() -> Vec<Row> {
    let point = |cells: &[&str]| {
        let accuracy_km = (cells[2] != "-").then(|| cells[2].parse().unwrap());
        Position::new(cells[0].parse().unwrap(), cells[1].parse().unwrap(), accuracy_km).unwrap()
    };
    let row = |text: &'static str| {
        let cells: Vec<_> = text.split(" | ").collect();
        let expected = match cells[9] {
            "yes" => true,
            "no" => false,
            other => panic!("{other}: {text}"),
        };
        Row { text, from: point(&cells[1..4]), to: point(&cells[5..8]), minutes: cells[8].parse().unwrap(), expected }
    };
    TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(row).collect()
}

/// A rule: live sessions, where and when they sign in now.
type Rule = fn(&[Session], Position, OffsetDateTime) -> bool;

fn ours(live: &[Session], here: Position, now: OffsetDateTime) -> bool {
    let location = place(here);
    let attempt = Attempt { ip_address: None, location: Some(&location), failures: 0 };
    asked(live, &attempt, now).iter().any(|signal| matches!(signal, Signal::ImpossibleTravel { .. }))
}

fn hours(since: OffsetDateTime, now: OffsetDateTime) -> f64 {
    (now - since).as_seconds_f64() / 3_600.0
}

fn newest(live: &[Session]) -> OffsetDateTime {
    live.iter().map(|session| session.last_activity_at).max().unwrap()
}

/// What tutorials show: no accuracy, no tolerance, no least time.
fn naive(live: &[Session], here: Position, now: OffsetDateTime) -> bool {
    let far = |session: &Session| Some(distance_km(session.position?, here) / hours(session.last_activity_at, now));
    live.iter().filter_map(far).any(|km_per_hour| km_per_hour > 1_000.0)
}

/// `geo-velocity.ts` of Logto (read at 02c71309): the newest *known place*, and the time of the newest sign-in.
fn logto(live: &[Session], here: Position, now: OffsetDateTime) -> bool {
    let placed = live.iter().filter(|session| session.position.is_some());
    let from = placed.max_by_key(|session| session.last_activity_at).unwrap().position.unwrap();
    let hours = hours(newest(live), now);
    hours > 0.0 && distance_km(from, here) / hours > 900.0
}

/// That mistake alone: our rule, with the time of the newest row.
fn ours_with_the_newest_time(live: &[Session], here: Position, now: OffsetDateTime) -> bool {
    let at = newest(live);
    let live: Vec<_> = live.iter().cloned().map(|session| Session { last_activity_at: at, ..session }).collect();
    ours(&live, here, now)
}

/// `policies/geoip/models.py` of authentik (read at 458e3641): days for hours, and the tolerance makes it stricter.
#[expect(clippy::cast_precision_loss, reason = "small")]
fn authentik(live: &[Session], here: Position, now: OffsetDateTime) -> bool {
    let far = |session: &Session| {
        let hours = ((now - session.last_activity_at).whole_seconds() / 86_400).max(1) as f64;
        Some(distance_km(session.position?, here) >= 1_000.0 * hours - 50.0)
    };
    live.iter().filter_map(far).any(|too_far| too_far)
}

/// The rows that a rule gets wrong: whoever has the session is alone, or has a phone too, which was used ten minutes
/// ago from an address of which nobody knows the place.
fn wrong(rule: Rule, with_phone: bool) -> Vec<&'static str> {
    let answer = |row: &Row| {
        let mut live = vec![session(Some(row.from), NOW - Duration::minutes(row.minutes))];
        if with_phone {
            live.push(session(None, NOW - Duration::minutes(10)));
        }
        rule(&live, row.to, NOW)
    };
    rows().iter().filter(|row| answer(row) != row.expected).map(|row| row.text).collect()
}

#[test]
fn real_journeys() {
    for with_phone in [false, true] {
        let wrong = wrong(ours, with_phone);
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }
    let yes = rows().iter().filter(|row| row.expected).count();
    assert!(rows().len() >= 60 && yes >= 20, "{yes} of {}", rows().len());
}

/// Negative control: the table must be able to tell the rules that others shipped from ours.
#[test]
fn the_rules_of_others_fail_on_the_table() {
    let fails = |name: &str, rule: Rule, on: &[&str]| {
        let all = rows().len();
        let [alone, with_phone] = [false, true].map(|with_phone| wrong(rule, with_phone));
        println!("{name}: {} of {all} right, {} with a phone besides", all - alone.len(), all - with_phone.len());
        for note in on {
            assert!(with_phone.iter().any(|row| row.ends_with(note)), "{name}: {note}\n{}", with_phone.join("\n"));
        }
        (all - alone.len(), all - with_phone.len())
    };
    let all = rows().len();
    assert_eq!(fails("ours", ours, &[]), (all, all));
    let (alone, _) = fails("no accuracy, no tolerance", naive, &["phone and laptop", "mobile exit", "| far away"]);
    assert!(alone < all * 4 / 5);
    let (alone, phone) = fails("Logto", logto, &["longest nonstop, 18 h 50", "Eurostar", "mobile exit"]);
    assert!(phone < alone && phone < all / 2, "the wrong row's time is what makes it worse");
    let (alone, phone) = fails("ours, time of the newest row", ours_with_the_newest_time, &["Eurostar"]);
    assert!(alone == all && phone < all * 4 / 5);
    let (alone, _) = fails("authentik", authentik, &["longest nonstop, 18 h 50", "253 km at least", "mobile exit"]);
    assert!(alone < all * 4 / 5);
}

/// Known limit: 1,111 km/h over ground. Who surfs to the last second before take-off, and from touchdown on, is told.
#[test]
fn the_record_crossing_from_runway_to_runway_is_not_believed() {
    let [new_york, london] = [(40.7143, -74.0060), (51.5085, -0.1257)];
    let point = |(latitude, longitude)| Position::new(latitude, longitude, Some(20)).unwrap();
    let live = [session(Some(point(new_york)), NOW - Duration::minutes(4 * 60 + 56))];
    assert!(ours(&live, point(london), NOW));
}

#[test]
fn the_most_evident_session_is_named_and_only_once() {
    let point = |latitude, longitude| Position::new(latitude, longitude, Some(20));
    let here = place(point(51.5085, -0.1257).unwrap());
    let ago = |minutes| NOW - Duration::minutes(minutes);
    let mut paris = session(point(48.8534, 2.3488), ago(2));
    paris.location = Some("Paris, France".to_owned());
    let new_york = session(point(40.7143, -74.0060), ago(200));
    let sydney = Session { pending: true, ..session(point(-33.8679, 151.2073), ago(1)) };
    let attempt = Attempt { ip_address: None, location: Some(&here), failures: 0 };
    let evidence = |signals: Vec<Signal>| match &signals[..] {
        [Signal::ImpossibleTravel { session_id, from, distance_km, within }] => {
            (*session_id, from.clone(), *distance_km, within.as_secs())
        }
        other => panic!("{other:?}"),
    };
    // 1,644 km/h against 1,521: not the farthest, not the newest, but the fastest.
    let both = [sydney.clone(), new_york.clone(), paris.clone()];
    let new_york_only = [sydney.clone(), new_york.clone()];
    assert_eq!(evidence(asked(&new_york_only, &attempt, NOW)), (new_york.id, None, 5_480, 12_000));
    let (id, .., elapsed) = evidence(asked(&both, &attempt, NOW));
    assert_eq!((id, elapsed), (new_york.id, 12_000));
    let nearer = Session { last_activity_at: ago(300), ..new_york };
    let found = evidence(asked(&[nearer, paris.clone(), sydney.clone()], &attempt, NOW));
    assert_eq!(found, (paris.id, Some("Paris, France".to_owned()), 253, 120), "the real time, not ten minutes");
    assert!(asked(&[sydney], &attempt, NOW).is_empty(), "a pending session is nobody's yet");
}
