//! A file that is replaced is taken over; one that is broken is not.

use std::{
    fs,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use super::{Directory, GeoIp, Mmdb, cities, city, text_at};

const OFTEN: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(20);

fn newer() -> Mmdb {
    Mmdb::new("Test-City", 2).with("203.0.113.0/24", city("Paris", "FR", "France", (48.86, 2.35)))
}

/// Waits until this is the answer.
async fn until(places: &GeoIp, answer: &str) {
    let begun = Instant::now();
    while text_at(places, "203.0.113.9").as_deref() != Some(answer) {
        assert!(begun.elapsed() < LONG, "never {answer}, but {:?}", text_at(places, "203.0.113.9"));
        tokio::time::sleep(OFTEN).await;
    }
}

/// So many looks later.
async fn looks(count: u32) {
    tokio::time::sleep(OFTEN * count).await;
}

#[tokio::test]
async fn a_newer_file_is_taken_over() {
    let directory = Directory::new();
    cities(1).put(&directory.file());
    let places = GeoIp::open(directory.file()).await.unwrap().check_every(OFTEN);
    let clone = places.clone();
    until(&places, "Berlin, Germany").await;
    newer().put(&directory.file());
    until(&places, "Paris, France").await;
    assert_eq!(text_at(&clone, "203.0.113.9").as_deref(), Some("Paris, France"), "clones are the same file");
    assert_eq!(places.file.database.load().build_epoch(), 2);
}

#[tokio::test]
async fn a_file_of_the_same_length_and_second_is_newer_too() {
    let directory = Directory::new();
    let named = |name| Mmdb::new("Test-City", 1).with("203.0.113.0/24", city(name, "DE", "Germany", (1.0, 1.0)));
    named("Berlin").put(&directory.file());
    let places = GeoIp::open(directory.file()).await.unwrap().check_every(OFTEN);
    for name in ["Munich", "Bremen", "Kassel"] {
        named(name).put(&directory.file());
        until(&places, &format!("{name}, Germany")).await;
    }
}

#[tokio::test]
async fn a_broken_file_leaves_the_old_one_in_place() {
    let directory = Directory::new();
    let path = directory.file();
    cities(1).put(&path);
    let places = GeoIp::open(&path).await.unwrap().check_every(OFTEN);
    let whole = newer().bytes();
    let other = Mmdb::new("Test-ASN", 3).with("203.0.113.0/24", super::text("AS64512")).bytes();
    for broken in [&whole[..whole.len() / 2], &whole[..whole.len() - 1], b"", &other] {
        fs::write(&path, broken).unwrap();
        looks(5).await;
        assert_eq!(text_at(&places, "203.0.113.9").as_deref(), Some("Berlin, Germany"));
    }
    fs::remove_file(&path).unwrap();
    looks(5).await;
    assert_eq!(text_at(&places, "203.0.113.9").as_deref(), Some("Berlin, Germany"), "without its file");

    // Written in place, in two parts: between them it is half a file.
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    looks(5).await;
    fs::write(&path, &whole).unwrap();
    until(&places, "Paris, France").await;
}

#[tokio::test]
async fn it_may_be_looked_at_more_often_later() {
    let directory = Directory::new();
    cities(1).put(&directory.file());
    let places = GeoIp::open(directory.file()).await.unwrap().check_every(Duration::MAX);
    looks(2).await;
    newer().put(&directory.file());
    // Does not wait for the end of the interval that has begun.
    let places = places.check_every(Duration::ZERO);
    until(&places, "Paris, France").await;
}

#[tokio::test]
async fn the_looking_ends_with_the_last_handle() {
    let directory = Directory::new();
    cities(1).put(&directory.file());
    let before = alive();
    let places = GeoIp::open(directory.file()).await.unwrap().check_every(Duration::MAX);
    let clone = places.clone();
    let file: Weak<_> = Arc::downgrade(&places.file);
    drop(places);
    looks(2).await;
    assert_eq!(alive(), before + 1, "a clone is left");
    assert_eq!(text_at(&clone, "203.0.113.9").as_deref(), Some("Berlin, Germany"));
    drop(clone);
    assert!(file.upgrade().is_none(), "the task holds no file");
    let begun = Instant::now();
    while alive() > before {
        assert!(begun.elapsed() < LONG, "the task goes on");
        tokio::time::sleep(OFTEN).await;
    }
}

/// Tasks of this test's runtime.
fn alive() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}
