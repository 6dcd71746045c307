//! Last activity: written in batches, never lost but by a crash, never moved back, never a revival.

#![cfg(all(feature = "postgres", feature = "test-util"))]

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum_device_sessions::{
    Clock, Device, EndReason, EndTarget, ErrorKind, MemoryStore, PostgresStore, SessionId, SessionStore, SignedIn,
    UserId,
    store::{Activity, EndRequest, NewSession},
};
use proptest::prelude::*;
use tokio_postgres::Client;

use crate::{
    node::{FLUSHES, Node, cold, count_statements, migrated, statements},
    proxy::Proxy,
    support::{TestDb, eventually},
};

/// Microseconds since the epoch, by the database's clock.
async fn last_activity(db: &Client, one: &SignedIn) -> i64 {
    let sql = "SELECT (extract(epoch FROM last_activity_at) * 1e6)::int8 FROM device_sessions.sessions WHERE id = $1";
    db.query_one(sql, &[&one.session.id.as_uuid()]).await.expect("the row").get(0)
}

async fn now(db: &Client) -> i64 {
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::int8";
    db.query_one(sql, &[]).await.expect("the time").get(0)
}

async fn touch(node: &Node, signed_in: &[SignedIn]) {
    for one in signed_in {
        assert_eq!(node.status(one).await, StatusCode::OK);
    }
}

fn queued(node: &Node) -> usize {
    node.sessions.health().queued_activity
}

#[tokio::test]
async fn a_flush_is_a_statement_for_a_thousand_sessions_however_often_they_were_seen() {
    let db = TestDb::new().await;
    let node = Node::new(migrated(&db).await).await;
    let client = db.connect().await;
    count_statements(&client).await;
    let signed_in = cold(&client, "ahmed", 2_500).await;
    for (rounds, sessions, expected) in [(10, 100, 1), (1, 2_500, 3), (3, 1, 1), (0, 0, 0)] {
        let before = statements(&client, FLUSHES).await;
        for _ in 0..rounds {
            touch(&node, &signed_in[..sessions]).await;
        }
        assert_eq!(queued(&node), sessions, "a session is queued once");
        node.sessions.flush_activity().await.expect("flushed");
        let sent = statements(&client, FLUSHES).await - before;
        println!("{} requests of {sessions} sessions: {sent} statements", rounds * sessions);
        assert_eq!((sent, queued(&node)), (expected, 0));
    }
}

/// Written as an age: what counts is when the request was, not when the flush is.
#[tokio::test]
async fn the_time_in_the_row_is_that_of_the_request() {
    let db = TestDb::new().await;
    let node = Node::new(migrated(&db).await).await;
    let client = db.connect().await;
    let signed_in = cold(&client, "ahmed", 1).await;
    touch(&node, &signed_in).await;
    let before = now(&client).await;
    touch(&node, &signed_in).await;
    let after = now(&client).await;
    eventually("half a second is over", async || now(&client).await > after + 500_000).await;
    let began = now(&client).await;
    node.sessions.flush_activity().await.expect("flushed");
    let took = now(&client).await - began;
    let written = last_activity(&client, &signed_in[0]).await;
    // The time moves in steps of 20 ms; and the age is taken a moment before the statement is sent.
    assert!((before - 21_000..after + took + 1_000).contains(&written), "{before} {written} {after} {took}");
}

#[tokio::test]
async fn it_is_written_every_interval_without_being_asked() {
    let db = TestDb::new().await;
    let store = migrated(&db).await;
    let node = Node::with(store, |builder| builder.activity_interval(Duration::from_millis(50))).await;
    let client = db.connect().await;
    let signed_in = cold(&client, "ahmed", 1).await;
    for _ in 0..3 {
        let before = last_activity(&client, &signed_in[0]).await;
        touch(&node, &signed_in).await;
        eventually("it is written", async || last_activity(&client, &signed_in[0]).await > before).await;
    }
}

#[tokio::test]
async fn shutdown_flushes_and_so_does_the_end_of_the_last_handle() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let client = db.connect().await;
    let signed_in = cold(&client, "ahmed", 1).await;
    let connections = async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'axum-device-sessions'";
        client.query_one(sql, &[]).await.expect("counted").get::<_, i64>(0)
    };
    eventually("the first store has gone", async || connections().await == 0).await;
    for with_shutdown in [true, false] {
        let node = Node::new(PostgresStore::connect(db.url()).await.expect("connect")).await;
        let before = last_activity(&client, &signed_in[0]).await;
        touch(&node, &signed_in).await;
        assert_eq!(last_activity(&client, &signed_in[0]).await, before, "the control: not yet");
        if with_shutdown {
            node.sessions.shutdown().await.expect("flushed");
            assert!(last_activity(&client, &signed_in[0]).await > before);
            touch(&node, &signed_in).await;
            node.sessions.shutdown().await.expect("again does no harm");
        }
        drop(node);
        eventually("it is written", async || last_activity(&client, &signed_in[0]).await > before).await;
        eventually("no task and no connection is left", async || connections().await == 0).await;
    }
}

#[tokio::test]
async fn a_flush_that_fails_keeps_everything_for_the_next() {
    let db = TestDb::own_cluster(&[]).await;
    let store = migrated(&db).await;
    let node = Node::with(store, |builder| builder.max_staleness(Duration::from_secs(60))).await;
    let client = db.connect().await;
    let signed_in = cold(&client, "ahmed", 1_200).await;
    touch(&node, &signed_in).await;
    let naive = PostgresStore::connect(db.url()).await.expect("connect");
    let mut naive_queue = vec![signed_in[0].session.id];

    db.server().stop_immediate();
    for _ in 0..2 {
        let error = node.sessions.flush_activity().await.expect_err("there is nobody");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(queued(&node), 1_200, "of both statements");
        // Seen meanwhile: still once in the queue.
        touch(&node, &signed_in[..3]).await;
    }
    // The control: take, then write.
    let batch = naive_queue.drain(..).map(|id| Activity::new(id, Duration::ZERO, None)).collect();
    naive.record_activity(batch).await.expect_err("there is nobody");
    assert!(naive_queue.is_empty(), "and nothing to write next time");

    db.server().start_again().expect("start again");
    eventually("flushed", async || node.sessions.flush_activity().await.is_ok()).await;
    assert_eq!(queued(&node), 0);
    let unmoved = "SELECT count(*) FROM device_sessions.sessions WHERE last_activity_at <= created_at";
    assert_eq!(db.connect().await.query_one(unmoved, &[]).await.expect("counted").get::<_, i64>(0), 0);
}

#[tokio::test]
async fn only_what_is_locked_stays_in_the_queue() {
    let db = TestDb::new().await;
    let node = Node::new(migrated(&db).await).await;
    let (client, locker) = (db.connect().await, db.connect().await);
    // Two statements, and of each one that is locked: the first and the last.
    let mut signed_in = cold(&client, "ahmed", 1_100).await;
    signed_in.sort_by_key(|one| one.session.id);
    signed_in.swap(3, 1_099);
    touch(&node, &signed_in).await;
    let [locked, ended, deleted, also_locked] = [0, 1, 2, 3].map(|place: usize| signed_in[place].session.id.as_uuid());
    let end = "UPDATE device_sessions.sessions SET ended_at = now() WHERE id = $1";
    client.execute(end, &[&ended]).await.expect("ended");
    client.execute("DELETE FROM device_sessions.sessions WHERE id = $1", &[&deleted]).await.expect("deleted");
    locker.batch_execute("BEGIN").await.expect("begin");
    let lock = "SELECT 1 FROM device_sessions.sessions WHERE id = ANY($1) FOR UPDATE";
    locker.execute(lock, &[&vec![locked, also_locked]]).await.expect("locked");

    let last = async |place: usize| last_activity(&client, &signed_in[place]).await;
    let before = [last(0).await, last(1).await, last(3).await];
    for _ in 0..2 {
        node.sessions.flush_activity().await.expect("a locked row is no failure");
        assert_eq!(queued(&node), 2);
        // Seen meanwhile: still once in the queue.
        touch(&node, &signed_in[..1]).await;
        assert_eq!(queued(&node), 2);
    }
    assert_eq!([last(0).await, last(1).await, last(3).await], before);
    locker.batch_execute("COMMIT").await.expect("commit");
    node.sessions.flush_activity().await.expect("flushed");
    assert_eq!(queued(&node), 0);
    assert!(last(0).await > before[0] && last(3).await > before[2]);
    assert_eq!(last(1).await, before[1]);
}

#[tokio::test]
async fn a_request_during_a_flush_is_in_the_next() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let client = db.connect().await;
    let proxy = Proxy::to(db.url()).await;
    let connect = async || PostgresStore::connect(&proxy.url(db.url())).await.expect("connect");
    let node = Node::new(connect().await).await;
    let signed_in = cold(&client, "ahmed", 1).await;
    touch(&node, &signed_in).await;

    let flush = |node: &Node| {
        let sessions = node.sessions.clone();
        tokio::spawn(async move { sessions.flush_activity().await })
    };
    let held = proxy.hold("WITH seen AS");
    let first = flush(&node);
    held.answered().await;
    let between = now(&client).await;
    eventually("a request later than the flush", async || {
        touch(&node, &signed_in).await;
        now(&client).await > between + 30_000
    })
    .await;
    touch(&node, &signed_in).await;
    held.release();
    first.await.expect("no panic").expect("flushed");
    assert!(last_activity(&client, &signed_in[0]).await < between);
    assert_eq!(queued(&node), 1);
    flush(&node).await.expect("no panic").expect("flushed");
    assert!(last_activity(&client, &signed_in[0]).await > between, "not lost");

    // The control: a mark that is taken away after the write takes the request with it.
    let (store, dirty) = (connect().await, AtomicBool::new(true));
    let held = proxy.hold("WITH seen AS");
    let batch = vec![Activity::new(signed_in[0].session.id, Duration::ZERO, None)];
    let write = tokio::spawn(async move { store.record_activity(batch).await });
    held.answered().await;
    dirty.store(true, Ordering::SeqCst);
    held.release();
    write.await.expect("no panic").expect("recorded");
    dirty.store(false, Ordering::SeqCst);
    assert!(!dirty.load(Ordering::SeqCst), "nothing says that there was a request");
}

#[derive(Clone, Debug)]
enum Step {
    /// Requests or activity of these, seen so many milliseconds ago, from there.
    Seen(Vec<(usize, u64, Option<u8>)>),
    Flush,
    Wait(u64),
    End(usize),
}

const SESSIONS: usize = 4;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let seen = (0..SESSIONS, 0_u64..200_000, proptest::option::of(0_u8..4));
    let step = prop_oneof![
        4 => proptest::collection::vec(seen, 1..5).prop_map(Step::Seen),
        2 => Just(Step::Flush),
        3 => (1_u64..100_000).prop_map(Step::Wait),
        1 => (0..SESSIONS).prop_map(Step::End),
    ];
    proptest::collection::vec(step, 1..40)
}

fn run(test: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// The store against a model that is a line long: the newest counts, the ended stand still.
    #[test]
    fn a_row_is_as_old_as_the_newest_request_before_its_end(steps in steps()) {
        run(async move {
            let clock = Clock::manual();
            let store = MemoryStore::with_clock(clock.clone());
            let mut model = Vec::new();
            for _ in 0..SESSIONS {
                let device = Device::named("Test");
                let new = NewSession::new(SessionId::new(), "ahmed".into(), device, Duration::from_secs(86_400));
                model.push(store.create(new).await.expect("created"));
            }
            let mut now = model[0].created_at;
            for step in steps {
                match step {
                    Step::Seen(seen) => {
                        let mut batch = Vec::new();
                        for (place, ago, from) in seen {
                            let (age, from) = (Duration::from_millis(ago), from.map(|n| IpAddr::from([192, 0, 2, n])));
                            batch.push(Activity::new(model[place].id, age, from));
                            let row = &mut model[place];
                            if row.ended.is_none() && row.last_activity_at < now - age {
                                row.last_activity_at = now - age;
                                row.ip_address = from.or(row.ip_address);
                            }
                        }
                        prop_assert_eq!(store.record_activity(batch).await.expect("recorded"), []);
                    }
                    Step::Flush => {}
                    Step::Wait(millis) => {
                        clock.advance(Duration::from_millis(millis));
                        now += Duration::from_millis(millis);
                    }
                    Step::End(place) => {
                        let target = EndTarget::One { id: model[place].id, user: None };
                        store.end(EndRequest::new(target, EndReason::Logout, None)).await.expect("answered");
                        let found = store.load(&[model[place].id]).await.expect("loaded").sessions.remove(0);
                        model[place].ended = model[place].ended.clone().or(found.ended);
                    }
                }
                let ids: Vec<_> = model.iter().map(|session| session.id).collect();
                prop_assert_eq!(&store.load(&ids).await.expect("loaded").sessions, &model);
            }
            Ok(())
        })?;
    }

    /// The same through the whole node: requests, flushes and ends in any order.
    #[test]
    fn the_list_tells_the_newest_request_of_the_living(steps in steps()) {
        run(async move {
            let clock = Clock::manual();
            let node = Node::with(MemoryStore::with_clock(clock.clone()), |builder| {
                builder.clock(clock.clone()).access_token_ttl(Duration::from_secs(86_400))
            })
            .await;
            let user = UserId::from("ahmed");
            let mut signed_in = Vec::new();
            let mut model = HashMap::new();
            for _ in 0..SESSIONS {
                let one = node.sign_in("ahmed").await;
                model.insert(one.session.id, one.session.created_at);
                signed_in.push(one);
            }
            let mut now = signed_in[0].session.created_at;
            for step in steps {
                match step {
                    Step::Seen(seen) => {
                        for (place, ..) in seen {
                            let one = &signed_in[place];
                            let newest = model.get_mut(&one.session.id);
                            prop_assert_eq!(node.is_let_in(one).await, newest.is_some());
                            if let Some(newest) = newest {
                                *newest = now;
                            }
                        }
                    }
                    Step::Flush => {
                        node.sessions.flush_activity().await.expect("flushed");
                        prop_assert_eq!(queued(&node), 0);
                    }
                    Step::Wait(millis) => {
                        clock.advance(Duration::from_millis(millis));
                        now += Duration::from_millis(millis);
                    }
                    Step::End(place) => {
                        let id = signed_in[place].session.id;
                        let target = EndTarget::One { id, user: None };
                        node.sessions.end(target, EndReason::Logout, None).await.expect("answered");
                        model.remove(&id);
                    }
                }
                let listed = node.sessions.list(&user, None).await.expect("listed");
                prop_assert_eq!(listed.len(), model.len());
                for session in listed {
                    let late = Duration::try_from(model[&session.id] - session.last_activity_at).expect("not ahead");
                    // The time moves in steps of 20 ms.
                    prop_assert!(late < Duration::from_millis(20), "{late:?}");
                }
            }
            Ok(())
        })?;
    }
}
