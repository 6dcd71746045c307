//! What has piled up while a receiver was away, and what this node knows that the database does not.

use std::time::Instant;

use axum_device_sessions::SignIn;

use super::{
    builder, creations,
    notices::Told,
    outbox,
    support::{TestDb, eventually},
};

/// The database could not be told for longer than the lease that the receiver has it. The node knows, and does not send it
/// again.
#[tokio::test]
async fn what_this_node_has_delivered_it_does_not_send_again() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let told = Told::of(creations());
    let sessions = builder(&db).await.notify("test", told.clone()).build().await.unwrap();
    // A sequence counts also what is rolled back.
    let refuse = "CREATE SEQUENCE tries; CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
        $$ BEGIN PERFORM nextval('tries'); RAISE 'not now'; END $$; \
        CREATE TRIGGER refuse BEFORE DELETE ON device_sessions.outbox EXECUTE FUNCTION refuse()";
    sql.batch_execute(refuse).await.unwrap();
    let tries = async || sql.query_one("SELECT last_value FROM tries", &[]).await.unwrap().get::<_, i64>(0);
    sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    told.count(1).await;
    eventually("it cannot be noted", async || tries().await > 1).await;
    for _ in 0..2 {
        // The lease lapses.
        outbox::time_passes(&sql).await;
        let before = tries().await;
        eventually("it is tried again", async || tries().await > before + 2).await;
    }
    told.count(1).await;
    let claimed = sql.query_one("SELECT attempts FROM device_sessions.outbox", &[]).await.unwrap();
    assert!(claimed.get::<_, i32>(0) > 1, "it was claimed again");
    sql.batch_execute("DROP TRIGGER refuse ON device_sessions.outbox").await.unwrap();
    eventually("it is noted", async || outbox::letters(&sql).await == 0).await;
    // Others arrive meanwhile and afterwards.
    sessions.sign_in(SignIn::new("lena")).await.unwrap();
    told.count(2).await;
}

/// Five thousand sessions, each of which waits for its first notice to be tried again: what is due beside them is found
/// at once.
#[tokio::test]
async fn what_waits_for_an_earlier_one_is_in_nobodys_way() {
    let db = TestDb::new().await;
    let told = Told::everything();
    let sessions = builder(&db).await.notify("test", told.clone()).build().await.unwrap();
    sessions.shutdown().await.unwrap();
    let sql = db.connect().await;
    // Each has failed for an hour, and then more has happened to it.
    let backlog = "SET synchronous_commit = off; \
        INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
        SELECT gen_random_uuid(), 'user-' || n, now() + interval '1 day', 'Old', 'web' FROM generate_series(1, 5000) n; \
        UPDATE device_sessions.outbox SET attempts = 9, due_at = now() + interval '2 hours', last_error = 'down'; \
        UPDATE device_sessions.sessions SET device_name = 'New'; ANALYZE; \
        INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
        VALUES (gen_random_uuid(), 'ahmed', now() + interval '1 day', 'Chrome', 'web')";
    sql.batch_execute(backlog).await.unwrap();
    let began = Instant::now();
    let sessions = builder(&db).await.notify("test", told.clone()).build().await.unwrap();
    let notices = told.count(1).await;
    println!("the one that is due, beside 10,000 that wait: {:?}", began.elapsed());
    assert_eq!(notices[0].event.user_id.as_str(), "ahmed");
    let waiting = "SELECT count(*) = 0 FROM device_sessions.outbox WHERE due_at < now() + interval '1 hour'";
    eventually("they are not looked at again and again", async || {
        outbox::poke(&sql).await;
        sql.query_one(waiting, &[]).await.unwrap().get(0)
    })
    .await;
    // None of them is forgotten: when the first of a session can go, the next one can.
    let now = "UPDATE device_sessions.outbox SET due_at = now() WHERE user_id = 'user-7'";
    sql.batch_execute(now).await.unwrap();
    outbox::poke(&sql).await;
    let notices = told.count(3).await;
    assert_eq!([&notices[1].event.device_name, &notices[2].event.device_name], ["Old", "New"]);
    drop(sessions);
}
