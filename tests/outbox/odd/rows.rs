//! Rows that are not as this version writes them.

use std::time::Duration;

use axum_device_sessions::{SessionStore, Sessions, SignIn, Wants, store::Retention};
use tokio_postgres::Client;

use super::{
    builder, creations,
    notices::Told,
    outbox, store,
    support::{TestDb, eventually},
};

const DAY: Duration = Duration::from_secs(86_400);

/// Somebody is registered, and nobody delivers: rows can be changed in peace.
async fn nobody_delivers(db: &TestDb, told: &Told) -> (Sessions, Client) {
    let sessions = builder(db).await.notify("test", told.clone()).build().await.unwrap();
    sessions.shutdown().await.unwrap();
    (sessions, db.connect().await)
}

/// What a row is made of by hand, and what becomes of it and of the others.
async fn beside(change: &str) -> (Vec<String>, i64, i64) {
    let db = TestDb::new().await;
    let told = Told::of(creations().and(Wants::mail()));
    let (sessions, sql) = nobody_delivers(&db, &told).await;
    for user in ["odd", "ahmed"] {
        sessions.sign_in(SignIn::new(user)).await.unwrap();
    }
    let change = format!("UPDATE device_sessions.outbox SET {change} WHERE user_id = 'odd'");
    sql.batch_execute(&change).await.unwrap();
    let builder = builder(&db).await.alert_links("https://app.example.com/alerts").notify("test", told.clone());
    let sessions = builder.build().await.unwrap();
    let user = |user: &'static str| told.notices().iter().any(|notice| notice.event.user_id.as_str() == user);
    eventually("the other one is told", async || user("ahmed")).await;
    sessions.sign_in(SignIn::new("lena")).await.unwrap();
    eventually("and those after it", async || user("lena")).await;
    let dead = "SELECT count(*) FILTER (WHERE dead_at IS NULL), count(dead_at) FROM device_sessions.outbox";
    // In their order: what became of the odd one is noted by then.
    let others = "SELECT count(*) = 0 FROM device_sessions.outbox WHERE user_id <> 'odd'";
    eventually("they have been noted", async || sql.query_one(others, &[]).await.unwrap().get(0)).await;
    let left = sql.query_one(dead, &[]).await.unwrap();
    let notices = told.notices();
    let odd = notices.iter().filter(|notice| notice.event.user_id.as_str() == "odd").map(super::notices::text);
    (odd.collect(), left.get(0), left.get(1))
}

#[tokio::test]
async fn one_that_cannot_be_read_is_a_dead_letter() {
    assert_eq!(beside("details = '7'").await, (vec![], 0, 1));
    assert_eq!(beside("at = 'infinity'").await, (vec![], 0, 1));
    assert_eq!(beside("purpose = 'mail'").await, (vec![], 0, 1), "of no alert");
}

/// What newer nodes write waits for them.
#[tokio::test]
async fn one_of_a_newer_version_waits_for_it() {
    assert_eq!(beside("kind = 'session.moved'").await, (vec![], 1, 0));
    assert_eq!(beside("purpose = 'carrier_pigeon'").await, (vec![], 1, 0));
}

#[tokio::test]
async fn one_at_the_end_of_time_stops_nobody() {
    let late = "at = '9999-12-31T23:59:59Z', purpose = 'mail', alert_id = gen_random_uuid()";
    assert_eq!(beside(late).await, (vec!["mail".to_owned()], 0, 0));
}

/// A notice at which its process dies each time, and which is settled by nobody: attempts are bounded all the same.
#[tokio::test]
async fn one_that_kills_its_process_each_time_is_given_up() {
    assert_eq!(beside("attempts = 100").await, (vec![], 0, 1));
    assert_eq!(beside("attempts = 2147483647").await, (vec![], 0, 1));
    // The control: as often as is allowed.
    assert_eq!(beside("attempts = 12").await, (vec!["session.created".to_owned()], 0, 0));
}

/// Dead letters that newer nodes have left hide none of those that can be read.
#[tokio::test]
async fn dead_letters_that_cannot_be_read_hide_no_others() {
    let db = TestDb::new().await;
    let (sessions, sql) = nobody_delivers(&db, &Told::of(creations())).await;
    for user in ["odd", "ahmed"] {
        sessions.sign_in(SignIn::new(user)).await.unwrap();
    }
    let dead = "INSERT INTO device_sessions.outbox (sink, lane, purpose, event_id, kind, user_id, session_id, details) \
            OVERRIDING USER VALUE \
            SELECT o.sink, o.lane, o.purpose, o.event_id, 'session.moved', o.user_id, o.session_id, o.details \
            FROM device_sessions.outbox o, generate_series(1, 250) WHERE o.user_id = 'odd'; \
        UPDATE device_sessions.outbox SET dead_at = now(), seq = DEFAULT WHERE user_id = 'ahmed'; \
        UPDATE device_sessions.outbox SET dead_at = now()";
    sql.batch_execute(dead).await.unwrap();
    let admin = sessions.admin();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = admin.dead_letters(after).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        found.extend(page.into_iter().map(|letter| letter.event.user_id.to_string()));
    }
    assert_eq!(found, ["odd", "ahmed"]);
}

/// `scrub_after` is about ended sessions: what has just happened is told whatever it is.
#[tokio::test]
async fn what_is_not_delivered_yet_is_not_removed_with_what_is_old() {
    let db = TestDb::new().await;
    let (sessions, sql) = nobody_delivers(&db, &Told::of(creations())).await;
    sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    let store = store(&db).await;
    let left = async |retention| {
        while store.purge(retention).await.unwrap().more {}
        outbox::letters(&sql).await
    };
    let at_once = Retention::new(Duration::ZERO, Duration::ZERO);
    assert_eq!(left(at_once).await, 1, "it is under way");
    sql.batch_execute("UPDATE device_sessions.outbox SET dead_at = now()").await.unwrap();
    assert_eq!(left(Retention::new(DAY, DAY)).await, 1);
    assert_eq!(left(at_once).await, 0, "nobody tries any more");
    sessions.sign_in(SignIn::new("ahmed")).await.unwrap();
    sql.batch_execute("UPDATE device_sessions.outbox SET created_at = now() - interval '8 days'").await.unwrap();
    assert_eq!(left(Retention::new(14 * DAY, 30 * DAY)).await, 1);
    assert_eq!(left(at_once).await, 0, "nobody has come for it for so long");
}
