//! Events in each process that asks for them.

use axum_device_sessions::{EventStream, SignIn};
use tokio_postgres::Client;

use super::{
    builder, end, outbox,
    support::{TestDb, eventually},
};

async fn streams(sql: &Client) -> i64 {
    let streams = "SELECT count(*) FROM device_sessions.sinks WHERE name LIKE 'stream-%' AND until > now()";
    sql.query_one(streams, &[]).await.unwrap().get(0)
}

async fn next(events: &mut EventStream) -> String {
    let event = events.next().await.unwrap().unwrap();
    format!("{} {}", event.user_id, event.kind)
}

#[tokio::test]
async fn each_process_gets_all_of_them() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let nodes = [builder(&db).await.build().await.unwrap(), builder(&db).await.build().await.unwrap()];
    let mut events = [nodes[0].events().await.unwrap(), nodes[1].events().await.unwrap()];
    assert_eq!(streams(&sql).await, 2);
    let id = nodes[0].sign_in(SignIn::new("ahmed")).await.unwrap().session.id;
    nodes[1].sign_in(SignIn::new("lena")).await.unwrap();
    let by_hand = "UPDATE device_sessions.sessions SET ended_at = now() WHERE id = $1";
    sql.execute(by_hand, &[&id.as_uuid()]).await.unwrap();
    for events in &mut events {
        let mut told = [next(events).await, next(events).await, next(events).await];
        let place = |what: &str| told.iter().position(|told| told == what).expect(what);
        assert!(place("ahmed session.created") < place("ahmed session.ended"));
        told.sort();
        assert_eq!(told, ["ahmed session.created", "ahmed session.ended", "lena session.created"]);
    }
    // A second reader in the same process reads the same; it is registered once.
    let mut second = nodes[0].events().await.unwrap();
    assert_eq!(streams(&sql).await, 2);
    nodes[1].sign_in(SignIn::new("mira")).await.unwrap();
    for events in events.iter_mut().chain([&mut second]) {
        assert_eq!(next(events).await, "mira session.created");
    }
    nodes[0].shutdown().await.unwrap();
    assert!(second.next().await.is_none());
    assert_eq!(streams(&sql).await, 1, "it has said that it goes");
    nodes[1].shutdown().await.unwrap();
    nodes[1].sign_in(SignIn::new("nobody listens")).await.unwrap();
    assert_eq!((streams(&sql).await, outbox::letters(&sql).await), (0, 0));
}

#[tokio::test]
async fn a_slow_reader_is_told_how_many_it_has_missed() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let node = builder(&db).await.build().await.unwrap();
    let (mut slow, mut quick) = (node.events().await.unwrap(), node.events().await.unwrap());
    let crowd = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
        SELECT gen_random_uuid(), 'user-' || n, now() + interval '1 day', 'Some', 'web' FROM generate_series(1, 1500) n";
    sql.batch_execute(crowd).await.unwrap();
    outbox::poke(&sql).await;
    for _ in 0..1_500 {
        quick.next().await.unwrap().unwrap();
    }
    eventually("nobody waits for it", async || outbox::letters(&sql).await == 0).await;
    for _ in 0..1_024 {
        slow.next().await.unwrap().unwrap();
    }
    // It is told with the next one.
    let id = node.sign_in(SignIn::new("ahmed")).await.unwrap().session.id;
    assert_eq!(slow.next().await.unwrap().unwrap_err().count, 1_500 - 1_024);
    assert_eq!(next(&mut slow).await, "ahmed session.created");
    end(&node, id).await;
    assert_eq!(next(&mut slow).await, "ahmed session.ended");
}

/// Dropped, it is found with the next event, or at its next renewal a quarter of a minute later.
#[tokio::test]
async fn a_dropped_stream_is_registered_no_more() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let node = builder(&db).await.build().await.unwrap();
    let events = node.events().await.unwrap();
    assert_eq!(streams(&sql).await, 1);
    drop(events);
    node.sign_in(SignIn::new("mira")).await.unwrap();
    eventually("it is gone", async || streams(&sql).await == 0).await;
    node.sign_in(SignIn::new("ahmed")).await.unwrap();
    assert_eq!(outbox::letters(&sql).await, 0);
    // And another one can be had.
    let mut events = node.events().await.unwrap();
    node.sign_in(SignIn::new("lena")).await.unwrap();
    assert_eq!(next(&mut events).await, "lena session.created");
}
