//! Sessions of another issuer, registered at first sight: one row whoever comes first, listed and ended like any other, and
//! once ended never back while a token of it may come.

#![cfg(all(feature = "jwks", feature = "postgres", feature = "routes"))]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum_device_sessions::{PostgresStore, SessionId, SessionStore, UserId, store::Retention};
use tokio::{sync::Barrier, task::JoinSet};
use tokio_postgres::{Client, error::SqlState};
use uuid::Uuid;

use crate::{
    accepting::{LONGEST, Row, adopting, node, of, put_in, rows},
    http::{bearer, delete, get, post},
    idp::{Idp, unique},
    support::{TestDb, eventually},
};

const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/17.5 Mobile/15E148 Safari/604.1";

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 50_000))
}

/// Twenty at once, at two nodes that have never heard of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_sight_makes_one_row() {
    const AT_ONCE: usize = 20;
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let mapped = || of(&idp).adopt_sessions(LONGEST).user(|claims| Some(UserId::from(claims.subject().to_uppercase())));
    let one = Arc::new(node(&db, |builder| builder.accept_tokens_of(mapped())).await);
    let two = Arc::new(node(&db, |builder| builder.accept_tokens_of(mapped())).await);
    let sql = db.connect().await;
    for (round, sid) in [unique(), "VQs8Zm3wT1y-not a uuid".to_owned()].into_iter().enumerate() {
        let token = idp.sign("lena", &sid);
        let start = Arc::new(Barrier::new(AT_ONCE));
        let mut asking = JoinSet::new();
        for turn in 0..AT_ONCE {
            let (node, start, token) = (Arc::clone([&one, &two][turn % 2]), Arc::clone(&start), token.clone());
            asking.spawn(async move {
                start.wait().await;
                node.me_by(&token, CHROME, address(7)).await
            });
        }
        assert_eq!(asking.join_all().await, ["200 LENA"; AT_ONCE]);
        let rows = rows(&sql).await;
        let id = rows[round].id;
        // A UUID stands for itself; anything else becomes one.
        assert!(Uuid::parse_str(&sid).map_or(id.as_uuid().get_version_num() == 5, |uuid| id == uuid.into()));
        let (device, address) = ("Chrome on Windows".to_owned(), Some("192.0.2.7".to_owned()));
        let row = Row { id, user: "LENA".into(), device, address, issuer: Some(idp.url.clone()), ended: None };
        assert_eq!((rows.len(), &rows[round]), (round + 1, &row));
    }
    let lasts = sql
        .query_one("SELECT bool_and(expires_at - created_at = interval '10 hours') FROM device_sessions.sessions", &[]);
    assert!(lasts.await.unwrap().get::<_, bool>(0));

    assert_eq!(naively_adopted(&db, AT_ONCE).await, (1, AT_ONCE - 1), "naively all the others are an error 500");
}

/// Looks, and adds what is not there. How many of those that do so at once succeed, and how many do not.
async fn naively_adopted(db: &TestDb, at_once: usize) -> (usize, usize) {
    let (id, looked) = (Uuid::now_v7(), Arc::new(Barrier::new(at_once)));
    let mut adopting = JoinSet::new();
    for _ in 0..at_once {
        let (client, looked) = (db.connect().await, Arc::clone(&looked));
        adopting.spawn(async move {
            let found = client.query("SELECT FROM device_sessions.sessions WHERE id = $1", &[&id]).await.unwrap();
            assert!(found.is_empty());
            looked.wait().await;
            let insert = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
                          VALUES ($1, 'naive', now() + interval '1 day', 'Naive', 'other')";
            client.execute(insert, &[&id]).await.map_err(|error| error.code().cloned())
        });
    }
    let (done, failed): (Vec<_>, Vec<_>) = adopting.join_all().await.into_iter().partition(Result::is_ok);
    assert!(failed.iter().all(|failed| *failed == Err(Some(SqlState::UNIQUE_VIOLATION))));
    (done.len(), failed.len())
}

/// The list of devices and the remote sign-out, for a service that signs nobody in.
#[tokio::test]
async fn listed_and_ended_from_another_device() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let (one, two) = (adopting(&db, &idp).await, adopting(&db, &idp).await);
    let (laptop, phone) = (idp.sign("lena", "laptop"), idp.sign("lena", "phone"));
    assert_eq!(one.me_by(&laptop, CHROME, address(1)).await, "200 lena");
    assert_eq!(two.me_by(&phone, SAFARI, address(2)).await, "200 lena");
    assert_eq!((one.me(&phone).await, two.me(&laptop).await), ("200 lena".into(), "200 lena".into()));

    let list = get(&two.app, "/sessions", &[bearer(&phone)]).await.json();
    let told = |name: &str| list.as_array().unwrap().iter().map(|session| session[name].clone()).collect::<Vec<_>>();
    assert_eq!(told("isCurrent"), [true, false]);
    assert_eq!(told("deviceName"), ["Safari on iPhone", "Chrome on Windows"]);
    assert_eq!(told("ipAddress"), ["192.0.2.2", "192.0.2.1"]);
    let path = format!("/sessions/{}", list[1]["id"].as_str().unwrap());
    assert_eq!(delete(&two.app, &path, &[bearer(idp.sign("sam", "other"))]).await.line(), "404 session_not_found");
    assert_eq!(one.me(&laptop).await, "200 lena");

    assert_eq!(delete(&two.app, &path, &[bearer(&phone)]).await.line(), "204");
    let ended = Instant::now();
    assert_eq!(two.me(&laptop).await, "401 session_ended revoked_by_user", "on this node at once");
    one.refuses(&laptop, "401 session_ended revoked_by_user").await;
    let took = ended.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    println!("refused by the other node after {took:?}");
    // Nor by another token of the same session, nor on a node that comes later.
    let (another, late) = (idp.sign("lena", "laptop"), adopting(&db, &idp).await);
    for node in [&one, &two, &late] {
        assert_eq!(node.me(&another).await, "401 session_ended revoked_by_user");
        assert_eq!(node.me(&phone).await, "200 lena");
    }
    // Logging out is of one's own.
    assert_eq!(post(&two.app, "/auth/logout", &[bearer(&phone)]).await.line(), "204");
    one.refuses(&phone, "401 session_ended logout").await;
}

/// A UUID says whose it is by its row, once and for all.
#[tokio::test]
async fn a_session_does_not_change_hands() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let (one, two, sql) = (adopting(&db, &idp).await, adopting(&db, &idp).await, db.connect().await);
    for sid in [unique(), "no uuid".to_owned()] {
        assert_eq!(one.me(&idp.sign("lena", &sid)).await, "200 lena");
        for node in [&one, &two] {
            assert_eq!(node.me(&idp.sign("sam", &sid)).await, "401 invalid_token");
            assert_eq!(node.me(&idp.sign("lena", &sid)).await, "200 lena");
        }
    }
    assert!(rows(&sql).await.iter().all(|row| row.user == "lena" && row.ended.is_none()));
}

/// Purges the history down to nothing. That it has been at it is shown by a row of our own, which goes.
async fn purge(store: &PostgresStore, sql: &Client) {
    let witness = SessionId::new();
    put_in(sql, witness, "witness").await;
    let ends = "UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'logout' WHERE id = $1";
    sql.execute(ends, &[&witness.as_uuid()]).await.unwrap();
    eventually("purged", || async {
        store.purge(Retention::new(Duration::ZERO, Duration::ZERO)).await.unwrap();
        rows(sql).await.iter().all(|row| row.id != witness)
    })
    .await;
}

/// The history is purged, and the issuer's token is still good: the row is what says no.
#[tokio::test]
async fn an_ended_one_stays_ended() {
    let (db, idp) = (TestDb::new().await, Idp::start().await);
    let (first, sql) = (adopting(&db, &idp).await, db.connect().await);
    let token = idp.sign("lena", "one");
    assert_eq!(first.me_by(&token, CHROME, address(3)).await, "200 lena");
    assert_eq!(delete(&first.app, "/sessions", &[bearer(&token)]).await.json()["revoked"], 1);
    let store = PostgresStore::connect(db.url()).await.unwrap();
    purge(&store, &sql).await;
    let row = rows(&sql).await.remove(0);
    assert_eq!(row.ended, Some(("revoked_by_user".into(), Some(row.id.to_string()))));
    assert_eq!(first.me(&token).await, "401 session_ended revoked_by_user");
    // One that has nothing in memory.
    let second = adopting(&db, &idp).await;
    assert_eq!(second.me(&token).await, "401 session_ended revoked_by_user");
    assert_eq!(rows(&sql).await.len(), 1);

    // Naively, by the history alone: the next request of a thief makes it anew.
    set_aside(&sql).await;
    let careless = adopting(&db, &idp).await;
    assert_eq!(careless.me(&token).await, "200 lena", "so the row is what keeps it out");

    // When it could not live any longer there is nothing left to refuse, and the row goes.
    sql.execute("UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'logout'", &[]).await.unwrap();
    purge(&store, &sql).await;
    assert_eq!(rows(&sql).await.len(), 1);
    let long_ago = "UPDATE device_sessions.sessions SET created_at = now() - interval '11 hours', \
                    expires_at = now() - interval '1 hour'";
    sql.execute(long_ago, &[]).await.unwrap();
    purge(&store, &sql).await;
    assert_eq!(rows(&sql).await, []);
}

/// What a purge does to rows of our own sign-ins.
async fn set_aside(sql: &Client) {
    assert_eq!(sql.execute("DELETE FROM device_sessions.sessions", &[]).await.unwrap(), 1);
}

/// Nothing was learnt, so nobody is signed out; and nothing is left behind that would keep it out later.
#[tokio::test]
async fn the_database_is_away_at_first_sight() {
    let db = TestDb::own_cluster(&[]).await;
    let idp = Idp::start().await;
    let node = adopting(&db, &idp).await;
    let (known, new) = (idp.sign("lena", "known"), idp.sign("lena", "new"));
    assert_eq!(node.me(&known).await, "200 lena");
    db.server().stop_immediate();
    for _ in 0..3 {
        let asked = Instant::now();
        assert_eq!(node.me(&new).await, "503 temporarily_unavailable");
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
        assert_eq!(naive_status(&db).await, 401, "naively an error is as good as no row");
    }
    db.server().start_again().unwrap();
    eventually("it is let in", || async {
        let line = node.me(&new).await;
        assert!(line == "200 lena" || line == "503 temporarily_unavailable", "{line}");
        line == "200 lena"
    })
    .await;
    assert_eq!(node.me(&known).await, "200 lena");
    assert_eq!(rows(&db.connect().await).await.len(), 2);
}

async fn naive_status(db: &TestDb) -> u16 {
    let find = async || {
        let (client, connection) = tokio_postgres::connect(db.url(), tokio_postgres::NoTls).await.ok()?;
        tokio::spawn(connection);
        let id = SessionId::new().as_uuid();
        client.query_opt("SELECT FROM device_sessions.sessions WHERE id = $1", &[&id]).await.ok()?
    };
    if find().await.is_some() { 200 } else { 401 }
}
