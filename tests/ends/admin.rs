//! What an administrator lists, counts and ends is what the filter means, on every store, and all of it.

#![cfg(all(feature = "postgres", feature = "routes"))]

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use axum_device_sessions::{
    Device, DeviceType, EndReason, MemoryStore, PostgresStore, SessionFilter, SessionId, SessionStore, Sessions,
    store::NewSession,
};
use tokio_postgres::Client;

use crate::{http::on, support::TestDb};

const DAY: Duration = Duration::from_secs(86_400);
const EVERYONE: SessionFilter = SessionFilter::everyone();

async fn store(db: &TestDb) -> PostgresStore {
    let store = PostgresStore::connect(db.url()).await.unwrap();
    store.migrate().await.unwrap();
    store
}

fn row(user: &str, name: &str, kind: &str, ip: Option<&str>) -> NewSession {
    let mut device = Device::named(name);
    device.kind = DeviceType::from(kind);
    let mut new = NewSession::new(SessionId::new(), user.into(), device, DAY);
    new.ip_address = ip.map(|ip| ip.parse::<IpAddr>().unwrap());
    new
}

/// The same rows in any store, and one that is over.
async fn people(store: &dyn SessionStore) -> Vec<SessionId> {
    let mut ids = Vec::new();
    for new in [
        row("ahmed", "Chrome on Windows", "web", Some("203.0.113.7")),
        row("ahmed", "App on iPhone", "ios", Some("2001:db8::1")),
        row("lena", "Chrome on Windows", "web", Some("198.51.100.1")),
        row("lena", "App on Pixel", "android", None),
        row("sam", "Firefox on Linux", "web", Some("203.0.113.200")),
    ] {
        ids.push(store.create(new).await.unwrap().id);
    }
    let mut over = row("ahmed", "Chrome on Windows", "web", Some("203.0.113.7"));
    over.absolute_lifetime = Duration::ZERO;
    store.create(over).await.unwrap();
    ids
}

/// Each condition alone, and some together; and of the five above those that it means.
fn cases(ids: &[SessionId]) -> Vec<(SessionFilter, &'static [usize])> {
    let network = |text: &str| text.parse().unwrap();
    vec![
        (EVERYONE, &[0, 1, 2, 3, 4]),
        (EVERYONE.of_user("ahmed"), &[0, 1]),
        (EVERYONE.of_user("nobody"), &[]),
        (EVERYONE.with_ids([ids[1], ids[3], SessionId::new()]), &[1, 3]),
        (EVERYONE.with_ids([]), &[]),
        (EVERYONE.on_device("Chrome on Windows"), &[0, 2]),
        (EVERYONE.on_device("Chrome"), &[]),
        (EVERYONE.on_device_type(DeviceType::Android), &[3]),
        (EVERYONE.from_network(network("203.0.113.0/24")), &[0, 4]),
        (EVERYONE.from_network(network("203.0.113.200")), &[4]),
        (EVERYONE.from_network(network("2001:db8::/32")), &[1]),
        (EVERYONE.from_network(network("0.0.0.0/0")), &[0, 2, 4]),
        (EVERYONE.of_user("lena").on_device_type(DeviceType::Web), &[2]),
        (EVERYONE.of_user("lena").from_network(network("203.0.113.0/24")), &[]),
        (EVERYONE.with_ids([ids[0], ids[2]]).of_user("ahmed"), &[0]),
        (EVERYONE.on_device("Chrome on Windows").from_network(network("198.51.100.0/24")), &[2]),
    ]
}

fn sorted(ids: impl IntoIterator<Item = SessionId>) -> BTreeSet<SessionId> {
    ids.into_iter().collect()
}

async fn listed(sessions: &Sessions, filter: &SessionFilter) -> BTreeSet<SessionId> {
    sorted(sessions.admin().list(filter, None).await.unwrap().sessions.iter().map(|session| session.id))
}

/// For each case anew: `make` gives the rows of [`people`] and nothing else that lives.
async fn each_condition(mut make: impl AsyncFnMut() -> (Sessions, Vec<SessionId>)) {
    for number in 0..=16 {
        let (sessions, ids) = make().await;
        let admin = sessions.admin();
        let mut cases = cases(&ids);
        // By the store's clock: those before the third.
        let all = admin.list(&EVERYONE, None).await.unwrap().sessions;
        let third = all.iter().find(|session| session.id == ids[2]).unwrap().created_at;
        cases.push((EVERYONE.created_before(third), &[0, 1]));
        let (filter, meant) = &cases[number];
        let meant = sorted(meant.iter().map(|place| ids[*place]));
        assert_eq!(listed(&sessions, filter).await, meant, "{filter:?}");
        assert_eq!(admin.count(filter).await.unwrap(), meant.len(), "{filter:?}");
        let end = async || admin.end(filter, EndReason::RevokedByAdmin, "support: lena").await.unwrap();
        assert_eq!((end().await, end().await), (meant.len(), 0), "{filter:?}");
        let rest: BTreeSet<_> = sorted(ids).difference(&meant).copied().collect();
        assert_eq!(listed(&sessions, &EVERYONE).await, rest, "{filter:?}");
        let users = ["ahmed", "lena", "sam"];
        let mut told = Vec::new();
        for user in users {
            told.extend(sessions.history(&user.into()).await.unwrap());
        }
        told.retain(|session| meant.contains(&session.id));
        assert_eq!(told.len(), meant.len());
        for ended in told.into_iter().map(|session| session.ended.unwrap()) {
            assert_eq!((ended.reason, ended.by.as_deref()), (EndReason::RevokedByAdmin, Some("support: lena")));
        }
    }
}

#[tokio::test]
async fn each_condition_in_memory() {
    each_condition(async || {
        let store = MemoryStore::new();
        let ids = people(&store).await;
        (on(store).build().await.unwrap(), ids)
    })
    .await;
}

#[tokio::test]
async fn each_condition_in_postgres() {
    let db = TestDb::new().await;
    each_condition(async || {
        let store = store(&db).await;
        db.connect().await.batch_execute("TRUNCATE device_sessions.sessions").await.unwrap();
        let ids = people(&store).await;
        (on(store).build().await.unwrap(), ids)
    })
    .await;
}

async fn many(db: &Client, rows: i32, users: i32) {
    let sql = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
               SELECT gen_random_uuid(), 'user-' || n % $2, now() + interval '1 day', 'Test', 'other' \
               FROM generate_series(1, $1) AS n";
    db.execute(sql, &[&rows, &users]).await.unwrap();
}

#[tokio::test]
async fn everyone_is_many_steps() {
    let (db, memory) = (TestDb::new().await, MemoryStore::new());
    for n in 0..2_500 {
        memory.create(row(&format!("user-{}", n % 400), "Test", "other", None)).await.unwrap();
    }
    let in_postgres = on(store(&db).await).build().await.unwrap();
    many(&db.connect().await, 2_500, 400).await;
    for sessions in [on(memory).build().await.unwrap(), in_postgres] {
        let admin = sessions.admin();
        assert_eq!(admin.count(&EVERYONE).await.unwrap(), 2_500);
        let (mut seen, mut users, mut after) = (BTreeSet::new(), Vec::new(), None);
        loop {
            let page = admin.list(&EVERYONE, after).await.unwrap();
            for session in page.sessions {
                assert!(seen.insert(session.id), "on one page only");
                users.push(session.user_id);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        users.dedup();
        assert_eq!((seen.len(), users.len()), (2_500, 400), "all, those of a user together");
        let end = async || admin.end(&EVERYONE, EndReason::RevokedByAdmin, "breach").await.unwrap();
        assert_eq!((end().await, end().await, admin.count(&EVERYONE).await.unwrap()), (2_500, 0, 0));
    }
}

/// With a history of no length, rows go while the walk stands on them.
#[tokio::test]
async fn a_walk_goes_on_where_the_row_it_stood_on_is_gone() {
    let db = TestDb::new().await;
    let sessions = on(store(&db).await).build().await.unwrap();
    let client = db.connect().await;
    let remove = "CREATE FUNCTION remove() RETURNS trigger LANGUAGE plpgsql AS \
                  $$ BEGIN DELETE FROM device_sessions.sessions WHERE id = NEW.id; RETURN NULL; END $$; \
                  CREATE TRIGGER remove AFTER UPDATE OF ended_at ON device_sessions.sessions \
                  FOR EACH ROW EXECUTE FUNCTION remove()";
    client.batch_execute(remove).await.unwrap();
    many(&client, 2_500, 400).await;
    assert_eq!(sessions.admin().end(&EVERYONE, EndReason::RevokedByAdmin, "breach").await.unwrap(), 2_500);
    let left = client.query_one("SELECT count(*) FROM device_sessions.sessions", &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 0);
}
