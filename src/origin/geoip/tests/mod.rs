//! By files that the tests write themselves.

mod damaged;
#[path = "../../../../tests/support/mmdb.rs"]
mod mmdb;
mod reload;

use std::{
    env, fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use self::mmdb::{Mmdb, Value, city, country, map, names, text};
use super::GeoIp;
use crate::{origin::Locator, place::Location};

/// A directory of one test, gone when it is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("axum-device-sessions-geoip-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("places.mmdb")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Left over in the worst case, in a directory for that.
        drop(fs::remove_dir_all(&self.0));
    }
}

fn berlin() -> Value {
    city("Berlin", "DE", "Germany", (52.52, 13.4))
}

fn cities(build_epoch: u64) -> Mmdb {
    Mmdb::new("Test-City", build_epoch)
        .with("203.0.113.0/24", berlin())
        .with("2001:db8::/32", city("Moscow", "RU", "Russia", (55.75, 37.62)))
}

fn at(places: &GeoIp, address: &str) -> Option<Location> {
    places.locate(address.parse::<IpAddr>().unwrap())
}

/// "City, Country", or nothing.
fn text_at(places: &GeoIp, address: &str) -> Option<String> {
    at(places, address)?.text()
}

async fn open(mmdb: &Mmdb) -> GeoIp {
    let directory = Directory::new();
    mmdb.put(&directory.file());
    // What was read stays, without its file.
    GeoIp::open(directory.file()).await.unwrap()
}

async fn refused(path: &Path) -> String {
    GeoIp::open(path).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_city_file_tells_the_place() {
    let places = open(&cities(1_700_000_000)).await;
    let found = at(&places, "203.0.113.9").unwrap();
    assert_eq!(found.text().as_deref(), Some("Berlin, Germany"));
    assert_eq!(found.country_code.as_deref(), Some("DE"));
    let position = found.position.unwrap();
    assert_eq!((position.latitude, position.longitude, position.accuracy_km), (52.52, 13.4, Some(20)));

    assert_eq!(at(&places, "::ffff:203.0.113.9"), Some(found), "IPv4 inside of IPv6");
    assert_eq!(text_at(&places, "2001:db8::7").as_deref(), Some("Moscow, Russia"));
    for unknown in ["203.0.114.1", "127.0.0.1", "::1", "2001:db9::1"] {
        assert_eq!(at(&places, unknown), None, "{unknown}");
    }
    let shown = format!("{places:?}");
    assert!(shown.contains("places.mmdb") && shown.contains("1700000000") && shown.len() < 200, "{shown}");
}

#[tokio::test]
async fn a_country_file_tells_the_country() {
    let file = Mmdb::new("Test-Country", 0)
        .with("203.0.113.0/24", map([("country", country("DE", "Germany"))]))
        .with("198.51.100.0/25", map([("registered_country", country("FR", "France"))]))
        .with(
            "198.51.100.128/25",
            map([("country", country("BE", "Belgium")), ("registered_country", country("FR", "France"))]),
        )
        .with("192.0.2.0/24", map([("continent", names([("en", "Europe")]))]));
    let places = open(&file).await;
    assert_eq!(text_at(&places, "203.0.113.9").as_deref(), Some("Germany"));
    assert_eq!(at(&places, "203.0.113.9").unwrap().position, None);
    assert_eq!(text_at(&places, "198.51.100.1").as_deref(), Some("France"), "where it was registered");
    assert_eq!(text_at(&places, "198.51.100.129").as_deref(), Some("Belgium"), "where it is");
    assert_eq!(at(&places, "192.0.2.1"), None, "a continent is no place");
}

#[tokio::test]
async fn names_are_told_in_a_language() {
    let record = map([
        ("city", names([("en", "Moscow"), ("ru", "Москва")])),
        ("country", map([("iso_code", text("RU")), ("names", map([("en", text("Russia"))]))])),
    ]);
    let places = open(&Mmdb::new("Test-City", 0).with("203.0.113.0/24", record)).await;
    assert_eq!(text_at(&places, "203.0.113.9").as_deref(), Some("Moscow, Russia"));
    let russian = places.clone().language("ru");
    assert_eq!(text_at(&russian, "203.0.113.9").as_deref(), Some("Москва, Russia"), "English where there is no other");
    assert_eq!(text_at(&places.language("xx"), "203.0.113.9").as_deref(), Some("Moscow, Russia"));
}

#[tokio::test]
async fn what_is_missing_or_of_another_type_is_unknown() {
    let location = |pairs| map([("country", country("DE", "Germany")), ("location", Value::Map(pairs))]);
    let pair = |name: &str, value| (name.to_owned(), value);
    let point = || vec![pair("latitude", Value::Double(52.5)), pair("longitude", Value::Double(13.4))];
    let with = |more| location([point(), vec![more]].concat());
    let file = Mmdb::new("Test-City", 0)
        .with("203.0.113.0/32", location(point()))
        .with("203.0.113.1/32", with(pair("accuracy_radius", Value::U32(1000))))
        .with("203.0.113.2/32", with(pair("accuracy_radius", Value::U64(u64::MAX))))
        .with("203.0.113.3/32", with(pair("accuracy_radius", text("wide"))))
        .with("203.0.113.4/32", location(vec![pair("latitude", Value::Double(52.5))]))
        .with("203.0.113.5/32", location(vec![pair("latitude", text("north")), pair("longitude", Value::Double(1.0))]))
        .with(
            "203.0.113.6/32",
            location(vec![pair("latitude", Value::Double(91.0)), pair("longitude", Value::Double(1.0))]),
        )
        .with("203.0.113.7/32", map([("country", text("DE")), ("city", names([("en", "Berlin")]))]))
        .with(
            "203.0.113.10/32",
            location(vec![pair("latitude", Value::Float(52.5)), pair("longitude", Value::I32(-13))]),
        )
        .with("203.0.113.8/32", text("nothing like it"))
        .with("203.0.113.9/32", Value::List(vec![text("DE")]));
    let places = open(&file).await;
    let accuracy = |address| at(&places, address).unwrap().position.map(|position| position.accuracy_km);
    assert_eq!(accuracy("203.0.113.0"), Some(None), "not told");
    assert_eq!(accuracy("203.0.113.1"), Some(Some(1000)));
    assert_eq!(accuracy("203.0.113.2"), Some(None), "too large");
    assert_eq!(accuracy("203.0.113.3"), Some(None), "no number");
    let others = at(&places, "203.0.113.10").unwrap().position.unwrap();
    assert_eq!((others.latitude, others.longitude), (52.5, -13.0), "other types of numbers");
    for nowhere in ["203.0.113.4", "203.0.113.5", "203.0.113.6"] {
        assert_eq!(accuracy(nowhere), None, "{nowhere}");
        assert_eq!(text_at(&places, nowhere).as_deref(), Some("Germany"));
    }
    assert_eq!(text_at(&places, "203.0.113.7").as_deref(), Some("Berlin"));
    assert_eq!(at(&places, "203.0.113.8"), None);
    assert_eq!(at(&places, "203.0.113.9"), None);
}

#[tokio::test]
async fn a_file_that_tells_no_place_is_refused() {
    let directory = Directory::new();
    let path = directory.file();
    assert!(refused(&path).await.contains("cannot be read"));
    assert!(refused(&directory.0).await.contains("cannot be read"), "a directory");
    for content in [&b""[..], b"not a file of places", &[0; 4096]] {
        fs::write(&path, content).unwrap();
        let text = refused(&path).await;
        assert!(text.contains("not an undamaged file in MaxMind's format") && text.contains("places.mmdb"), "{text}");
    }
    let network = map([("autonomous_system_number", Value::U32(64512))]);
    Mmdb::new("Test-ASN", 0).with("203.0.113.0/24", network).put(&path);
    let text = refused(&path).await;
    assert!(text.contains("\"Test-ASN\"") && text.contains("City or Country"), "{text}");
}

#[tokio::test]
async fn damage_anywhere_is_found_when_the_file_is_read() {
    let mut bytes = cities(1).bytes();
    let name = bytes.windows(6).position(|window| window == b"Moscow").unwrap();
    // The type and length of the name: its own addresses alone are concerned.
    bytes[name - 1] = 0xff;
    let directory = Directory::new();
    fs::write(directory.file(), bytes).unwrap();
    assert!(refused(&directory.file()).await.contains("not an undamaged file"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_not_read() {
    // Its length is told as none.
    assert!(refused(Path::new("/proc/self/status")).await.contains("cannot be read"));
}

/// Opening a pipe waits for somebody to write, for ever: on a thread that ends with the process only.
#[cfg(unix)]
#[tokio::test]
async fn a_pipe_is_not_waited_for() {
    let directory = Directory::new();
    let made = process::Command::new("mkfifo").arg(directory.file()).status().unwrap();
    assert!(made.success());
    let path = directory.file();
    let refused = tokio::time::timeout(std::time::Duration::from_secs(5), GeoIp::open(path.clone())).await;
    // Where it waits, a writer lets it go.
    drop(fs::OpenOptions::new().read(true).write(true).open(path).unwrap());
    assert!(refused.expect("it waits").unwrap_err().to_string().contains("cannot be read"));
}
