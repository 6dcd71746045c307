//! The process that delivers is killed: after its claim, after the receiver has the notice, after the answer. Another one
//! takes over, and every event arrives, under the same id, an end after its creation; what was rolled back never does.

#![cfg(feature = "postgres")]

mod child;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use axum_device_sessions::{AccessTokens, EndReason, EndTarget, PostgresStore, Sessions, SignIn};
use child::Node;
use support::{TestDb, eventually};
use tokio_postgres::Client;
use uuid::Uuid;
use wire::{Arrived, Hold, Receiver, Remote};

use crate::{outbox, support};

const SECRET: &str = "not a secret: 0123456789abcdefXYZ";
const SESSIONS: usize = 6;

/// An application that delivers nothing itself, and a receiver.
struct World {
    db: TestDb,
    sql: Client,
    sessions: Sessions,
    receiver: Receiver,
}

impl World {
    async fn new() -> Self {
        let db = TestDb::new().await;
        let store = PostgresStore::connect(db.url()).await.unwrap();
        store.migrate().await.unwrap();
        let builder = Sessions::builder(store).access_tokens(AccessTokens::hs256(SECRET).unwrap());
        let (sessions, sql) = (builder.build().await.unwrap(), db.connect().await);
        // A commit that fails, after all statements have succeeded.
        let doomed = "CREATE FUNCTION doom() RETURNS trigger LANGUAGE plpgsql AS \
            $$ BEGIN IF NEW.user_id = 'doomed' THEN RAISE 'not this one'; END IF; RETURN NULL; END $$; \
            CREATE CONSTRAINT TRIGGER doom AFTER INSERT ON device_sessions.sessions DEFERRABLE INITIALLY DEFERRED \
            FOR EACH ROW EXECUTE FUNCTION doom()";
        sql.batch_execute(doomed).await.unwrap();
        Self { db, sql, sessions, receiver: Receiver::start().await }
    }

    /// Sign-ins, each of which ends; and changes that come to nothing. Which events are to arrive.
    async fn work(&self) -> BTreeSet<(Uuid, String)> {
        let mut expected = BTreeSet::new();
        for n in 0..SESSIONS {
            let id = self.sessions.sign_in(SignIn::new(format!("user-{n}"))).await.unwrap().session.id;
            self.sessions.sign_in(SignIn::new("doomed")).await.unwrap_err();
            let undone = "BEGIN; \
                INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
                VALUES (gen_random_uuid(), 'ghost', now() + interval '1 day', 'None', 'other'); \
                UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'limit' WHERE ended_at IS NULL; \
                ROLLBACK";
            self.sql.batch_execute(undone).await.unwrap();
            if n % 2 == 0 {
                let target = EndTarget::One { id, user: None };
                self.sessions.end(target, EndReason::RevokedByUser, None).await.unwrap();
            } else {
                let by_hand = "UPDATE device_sessions.sessions SET ended_at = now() WHERE id = $1";
                self.sql.execute(by_hand, &[&id.as_uuid()]).await.unwrap();
            }
            expected.extend(["session.created", "session.ended"].map(|kind| (id.as_uuid(), kind.to_owned())));
        }
        expected
    }

    /// Under which id each event is to be told.
    async fn ids(&self) -> BTreeMap<(Uuid, String), (Uuid, Uuid)> {
        let sql = "SELECT session_id, kind, notice_id, event_id FROM device_sessions.outbox";
        let rows = self.sql.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3)))).collect()
    }

    /// Another process delivers what is left.
    async fn another_takes_over(&self) -> Node {
        self.receiver.hold.send_replace(Hold::Nothing);
        outbox::time_passes(&self.sql).await;
        let node = Node::start(&self.db, &self.receiver, false).await;
        eventually("nothing is left", async || outbox::letters(&self.sql).await == 0).await;
        node
    }
}

fn told(arrived: &[Arrived]) -> BTreeSet<(Uuid, String)> {
    arrived.iter().map(|one| (one.session, one.kind.clone())).collect()
}

/// Every event, only those, each under its id, an end after its creation. How many arrived more than once.
fn check(arrived: &[Arrived], ids: &BTreeMap<(Uuid, String), (Uuid, Uuid)>) -> usize {
    assert_eq!(told(arrived), ids.keys().cloned().collect(), "each of them, and nothing that was rolled back");
    for one in arrived {
        assert_eq!((one.notice, one.event), ids[&(one.session, one.kind.clone())], "the same id each time");
    }
    let first = |session, kind: &str| {
        arrived.iter().position(|one| one.session == session && one.kind == kind).expect("it has arrived")
    };
    for (session, _) in ids.keys() {
        assert!(first(*session, "session.created") < first(*session, "session.ended"), "{arrived:#?}");
    }
    arrived.len() - ids.len()
}

#[tokio::test]
async fn killed_after_the_claim() {
    let world = World::new().await;
    world.receiver.hold.send_replace(Hold::BeforeSend);
    let node = Node::start(&world.db, &world.receiver, false).await;
    let expected = world.work().await;
    let ids = world.ids().await;
    assert_eq!(ids.keys().cloned().collect::<BTreeSet<_>>(), expected);
    eventually("the first of each lane is claimed", async || world.receiver.asked() == SESSIONS).await;
    assert_eq!(world.receiver.arrived(), []);
    node.kill(&world.db).await;
    let node = world.another_takes_over().await;
    let twice = check(&world.receiver.arrived(), &ids);
    assert_eq!(twice, 0, "none had been sent");
    node.kill(&world.db).await;
}

#[tokio::test]
async fn killed_when_the_receiver_has_it() {
    let world = World::new().await;
    world.receiver.hold.send_replace(Hold::BeforeAnswer);
    let node = Node::start(&world.db, &world.receiver, false).await;
    world.work().await;
    let ids = world.ids().await;
    eventually("the first of each lane has arrived", async || world.receiver.arrived().len() == SESSIONS).await;
    node.kill(&world.db).await;
    let node = world.another_takes_over().await;
    let twice = check(&world.receiver.arrived(), &ids);
    println!("killed before the answer: {twice} of {} arrived twice", ids.len());
    assert_eq!(twice, SESSIONS, "the receiver knows by the id");
    node.kill(&world.db).await;
}

#[tokio::test]
async fn killed_before_it_is_noted() {
    let world = World::new().await;
    world.receiver.hold.send_replace(Hold::BeforeAnswer);
    let node = Node::start(&world.db, &world.receiver, false).await;
    world.work().await;
    let ids = world.ids().await;
    eventually("the first of each lane has arrived", async || world.receiver.arrived().len() == SESSIONS).await;
    // Noting it waits for this lock.
    let mut lock = world.db.connect().await;
    let lock = lock.transaction().await.unwrap();
    lock.execute("SELECT FROM device_sessions.outbox FOR UPDATE", &[]).await.unwrap();
    world.receiver.hold.send_replace(Hold::Nothing);
    eventually("it is about to be noted", async || {
        let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() \
                     AND wait_event_type = 'Lock' AND query LIKE 'DELETE FROM device_sessions.outbox%'";
        world.sql.query_one(waits, &[]).await.unwrap().get(0)
    })
    .await;
    let killing = node.kill(&world.db);
    // A backend that waits for a lock does not notice that its client is gone.
    let (_, released) = tokio::join!(killing, lock.rollback());
    released.unwrap();
    assert_eq!(outbox::letters(&world.sql).await, i64::try_from(ids.len()).unwrap(), "nothing has been noted");
    let node = world.another_takes_over().await;
    let twice = check(&world.receiver.arrived(), &ids);
    println!("killed before it was noted: {twice} of {} arrived twice", ids.len());
    assert_eq!(twice, SESSIONS);
    node.kill(&world.db).await;
}

/// The control: what is deleted when it is taken is lost with the process.
#[tokio::test]
async fn a_naive_outbox_loses_events() {
    let world = World::new().await;
    world.receiver.hold.send_replace(Hold::BeforeSend);
    let node = Node::start(&world.db, &world.receiver, true).await;
    let expected = world.work().await;
    eventually("it is about to send", async || world.receiver.asked() > 0).await;
    node.kill(&world.db).await;
    let node = world.another_takes_over().await;
    let lost = expected.len() - told(&world.receiver.arrived()).len();
    println!("deleted when taken: {lost} of {} were lost", expected.len());
    assert!(lost > 0);
    node.kill(&world.db).await;
}

/// The control: who sends before the commit tells of what never happened.
#[tokio::test]
async fn telling_before_the_commit_tells_of_what_was_rolled_back() {
    let world = World::new().await;
    let remote = Remote(world.receiver.address.to_string());
    let mut sql = world.db.connect().await;
    let change = sql.transaction().await.unwrap();
    let insert = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
        VALUES (gen_random_uuid(), 'doomed', now() + interval '1 day', 'None', 'other') RETURNING id";
    let session: Uuid = change.query_one(insert, &[]).await.unwrap().get(0);
    let kind = "session.created".to_owned();
    remote.tell(&Arrived { notice: Uuid::nil(), event: Uuid::nil(), kind: kind.clone(), session }).await.unwrap();
    change.commit().await.unwrap_err();
    assert_eq!(told(&world.receiver.arrived()), [(session, kind)].into(), "there is no such session");
}
