//! Places: of whom they are told, and how they move with the address.

#![cfg(all(feature = "postgres", feature = "routes", feature = "geoip"))]

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum_device_sessions::{
    ClientIp, GeoIp, PostgresStore, SessionId, Sessions, SessionsBuilder,
    store::{Activity, Retention, SessionStore},
};
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    mmdb::{Mmdb, city},
    served::{Served, node},
    support::{TestDb, eventually},
};

const MOSCOW: &str = "203.0.113.7";
const BERLIN: &str = "198.51.100.9";
/// Public, and of no place.
const NOWHERE: &str = "192.0.2.1";

fn by(address: &str) -> [(&str, &str); 1] {
    [("x-forwarded-for", address)]
}

/// A file of places that goes with the test.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ads-places-{}-{}.mmdb", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let file = Self(std::env::temp_dir().join(name));
        file.put("Moscow", 1);
        file
    }

    /// What is called Moscow may be called otherwise one day.
    fn put(&self, moscow: &str, epoch: u64) {
        Mmdb::new("GeoLite2-City", epoch)
            .with("203.0.113.0/24", city(moscow, "RU", "Russia", (55.75, 37.62)))
            .with("198.51.100.0/24", city("Berlin", "DE", "Germany", (52.52, 13.4)))
            .put(&self.0);
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

/// Behind a proxy on this machine that names the country as well.
fn behind_a_proxy(builder: SessionsBuilder) -> SessionsBuilder {
    let client_ip = ClientIp::x_forwarded_for(["127.0.0.0/8"]).unwrap().country_header("cf-ipcountry").unwrap();
    builder.client_ip(client_ip)
}

async fn located(db: &TestDb, file: &File) -> Sessions {
    let places = GeoIp::open(&file.0).await.unwrap();
    node(db, |builder| behind_a_proxy(builder).locator(places)).await
}

/// Notes what each UPDATE of a session leaves in its row.
async fn note_updates(sql: &Client) {
    let watch = "CREATE TABLE noted (id uuid, at timestamptz, ip inet, place jsonb); \
                 CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO noted VALUES (NEW.id, \
                 NEW.last_activity_at, NEW.ip_address, jsonb_build_array(NEW.location, NEW.country_code, NEW.latitude, \
                 NEW.longitude, NEW.accuracy_km)); RETURN NULL; END $$; \
                 CREATE TRIGGER note AFTER UPDATE ON device_sessions.sessions FOR EACH ROW EXECUTE FUNCTION note()";
    sql.batch_execute(watch).await.unwrap();
}

/// What was noted since, in order: whether the time went on, the address, and the place.
async fn noted(sql: &Client, before: &mut Value) -> Vec<(bool, Option<String>, Value)> {
    let take =
        "WITH gone AS (DELETE FROM noted RETURNING *) SELECT to_jsonb(at), host(ip), place FROM gone ORDER BY at";
    let mut all = Vec::new();
    for row in sql.query(take, &[]).await.unwrap() {
        let at: Value = row.get(0);
        all.push((*before == Value::Null || at.as_str() > before.as_str(), row.get(1), row.get(2)));
        *before = at;
    }
    all
}

#[tokio::test]
async fn a_place_moves_with_its_address_in_one_update() {
    let (db, file) = (TestDb::new().await, File::new());
    let (sessions, sql) = (located(&db, &file).await, db.connect().await);
    let served = Served::start(&sessions).await;
    let signed_in = served.sign_in(&by(MOSCOW)).await;
    for told in [signed_in["session"].clone(), served.listed(&signed_in).await] {
        assert_eq!((&told["location"], &told["countryCode"]), (&json!("Moscow, Russia"), &json!("RU")));
        assert_eq!((&told["ipAddress"], &told["latitude"]), (&json!(MOSCOW), &Value::Null));
    }
    // What the list above was asked from is the proxy itself: written down before anything is noted.
    sessions.flush_activity().await.unwrap();
    note_updates(&sql).await;
    let mut last = Value::Null;
    let somewhere = json!(["Berlin, Germany", "DE", 52.52, 13.4, 20]);
    let nowhere = json!([null, null, null, null, null]);
    for (address, place) in
        [(MOSCOW, json!(["Moscow, Russia", "RU", 55.75, 37.62, 20])), (BERLIN, somewhere), (NOWHERE, nowhere)]
    {
        served.ask("GET /me", &signed_in, &by(address)).await;
        assert_eq!(noted(&sql, &mut last).await, [], "not on the way of the request");
        sessions.flush_activity().await.unwrap();
        assert_eq!(noted(&sql, &mut last).await, [(true, Some(address.to_owned()), place)], "{address}");
    }
    // Back in Berlin, and from there without a known address: the time alone goes on.
    served.ask("GET /me", &signed_in, &by(BERLIN)).await;
    sessions.flush_activity().await.unwrap();
    let there = noted(&sql, &mut last).await;
    Served::without_connect_info(&sessions).await.ask("GET /me", &signed_in, &by(MOSCOW)).await;
    sessions.flush_activity().await.unwrap();
    assert_eq!(noted(&sql, &mut last).await, there);
}

#[tokio::test]
async fn a_row_without_a_place_gets_one_later() {
    let (db, file) = (TestDb::new().await, File::new());
    let before = node(&db, behind_a_proxy).await;
    let signed_in = Served::start(&before).await.sign_in(&by(MOSCOW)).await;
    assert_eq!(signed_in["session"]["location"], Value::Null);
    let sessions = located(&db, &file).await;
    let served = Served::start(&sessions).await;
    served.ask("GET /me", &signed_in, &by(MOSCOW)).await;
    sessions.flush_activity().await.unwrap();
    assert_eq!(served.listed(&signed_in).await["location"], "Moscow, Russia");
}

/// By a node that knows no places, say because its file is gone: all in one batch, and each in one update.
#[tokio::test]
async fn a_place_stays_with_its_address_where_none_is_known() {
    let (db, file) = (TestDb::new().await, File::new());
    let (sessions, sql) = (located(&db, &file).await, db.connect().await);
    let served = Served::start(&sessions).await;
    let mut ids: Vec<SessionId> = Vec::new();
    for _ in 0..5 {
        let signed_in = served.sign_in(&by(MOSCOW)).await;
        ids.push(signed_in["session"]["id"].as_str().unwrap().parse().unwrap());
    }
    let [same, without, elsewhere, nameless, unplaced] = ids[..] else { unreachable!() };
    let prepare = "UPDATE device_sessions.sessions SET location = NULL, country_code = NULL WHERE id = ANY($1)";
    sql.execute(prepare, &[&vec![nameless.as_uuid(), unplaced.as_uuid()]]).await.unwrap();
    let prepare = "UPDATE device_sessions.sessions SET latitude = NULL, longitude = NULL, accuracy_km = NULL, \
                   ip_address = NULL WHERE id = $1";
    sql.execute(prepare, &[&unplaced.as_uuid()]).await.unwrap();
    note_updates(&sql).await;

    let [moscow, berlin] = [MOSCOW, BERLIN].map(|address| Some(address.parse().unwrap()));
    let seen = [(same, moscow), (without, None), (elsewhere, berlin), (nameless, moscow), (unplaced, moscow)];
    let seen = seen.map(|(id, address)| Activity::new(id, Duration::ZERO, address));
    let store = PostgresStore::connect(db.url()).await.unwrap();
    assert_eq!(store.record_activity(seen.into()).await.unwrap(), []);

    let rows = sql.query("SELECT id, host(ip), place FROM noted ORDER BY id", &[]).await.unwrap();
    let left: Vec<(Uuid, Option<String>, Value)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let (there, nowhere) = (json!(["Moscow, Russia", "RU", 55.75, 37.62, 20]), json!([null, null, null, null, null]));
    let row = |id: SessionId, address: &str, place: &Value| (id.as_uuid(), Some(address.to_owned()), place.clone());
    let mut expected = [
        row(same, MOSCOW, &there),
        row(without, MOSCOW, &there),
        row(elsewhere, BERLIN, &nowhere),
        row(nameless, MOSCOW, &nowhere),
        row(unplaced, MOSCOW, &nowhere),
    ];
    expected.sort_by_key(|(id, ..)| *id);
    assert_eq!(left, expected);
}

#[tokio::test]
async fn a_newer_file_is_taken_without_a_restart() {
    let (db, file) = (TestDb::new().await, File::new());
    let places = GeoIp::open(&file.0).await.unwrap().check_every(Duration::from_millis(1));
    let sessions = node(&db, |builder| behind_a_proxy(builder).locator(places)).await;
    let served = Served::start(&sessions).await;
    assert_eq!(served.sign_in(&by(MOSCOW)).await["session"]["location"], "Moscow, Russia");
    file.put("Zelenograd", 2);
    eventually("a sign-in is somewhere else", async || {
        served.sign_in(&by(MOSCOW)).await["session"]["location"] == "Zelenograd, Russia"
    })
    .await;
}

#[tokio::test]
async fn a_header_names_the_country_where_its_sender_is_trusted() {
    let (db, file) = (TestDb::new().await, File::new());
    let sessions = located(&db, &file).await;
    let served = Served::start(&sessions).await;
    let told = async |served: &Served, address: &str| {
        let session = served.sign_in(&[("x-forwarded-for", address), ("cf-ipcountry", "de")]).await["session"].clone();
        [session["location"].clone(), session["countryCode"].clone()]
    };
    assert_eq!(told(&served, NOWHERE).await, [json!("Germany"), json!("DE")]);
    assert_eq!(told(&served, MOSCOW).await, [json!("Moscow, Russia"), json!("RU")], "the locator knows better");
    let elsewhere = ClientIp::x_forwarded_for(["10.0.0.0/8"]).unwrap().country_header("cf-ipcountry").unwrap();
    let places = GeoIp::open(&file.0).await.unwrap();
    let distrustful = node(&db, |builder| builder.client_ip(elsewhere).locator(places)).await;
    let served = Served::start(&distrustful).await;
    assert_eq!(told(&served, MOSCOW).await, [Value::Null, Value::Null], "anybody could say so");
}

#[tokio::test]
async fn scrubbed_with_the_address() {
    let (db, file) = (TestDb::new().await, File::new());
    let (sessions, sql) = (located(&db, &file).await, db.connect().await);
    let served = Served::start(&sessions).await;
    let [ended, live] = [served.sign_in(&by(MOSCOW)).await, served.sign_in(&by(MOSCOW)).await];
    let end = "UPDATE device_sessions.sessions SET ended_at = now() - interval '15 days' WHERE id::text = $1";
    sql.execute(end, &[&ended["session"]["id"].as_str()]).await.unwrap();
    let store = PostgresStore::connect(db.url()).await.unwrap();
    let day = Duration::from_secs(86_400);
    store.purge(Retention::new(14 * day, 28 * day)).await.unwrap();
    let told = "SELECT num_nonnulls(ip_address, location, country_code, latitude, longitude, accuracy_km) \
                FROM device_sessions.sessions WHERE id::text = $1";
    for (one, left) in [(&ended, 0), (&live, 6)] {
        let row = sql.query_one(told, &[&one["session"]["id"].as_str()]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), left);
    }
}
