//! Who is registered, for what and until when; and what is kept how long.

use std::time::Duration;

use axum_device_sessions::{EventKind, SessionStore, SignIn, Wants, store::Retention};

use super::{
    builder, end, lives,
    notices::Told,
    outbox,
    support::{TestDb, eventually},
};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn nothing_is_written_for_nobody() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let nobody = builder(&db).await.build().await.unwrap();
    let id = nobody.sign_in(SignIn::new("ahmed")).await.unwrap().session.id;
    end(&nobody, id).await;
    assert_eq!(outbox::letters(&sql).await, 0);
    // Others want other kinds.
    let told = Told::of(Wants::events([EventKind::SessionRenamed]).and(Wants::push("fcm")).and(Wants::mail()));
    let idle = builder(&db).await.notify("test", told).build().await.unwrap();
    idle.shutdown().await.unwrap();
    let signed_in = idle.sign_in(SignIn::new("ahmed")).await.unwrap();
    idle.refresh(&signed_in.refresh_token, None).await.unwrap();
    end(&idle, signed_in.session.id).await;
    assert_eq!(outbox::letters(&sql).await, 0);
    // The control: the kind that is wanted.
    let id = idle.sign_in(SignIn::new("ahmed")).await.unwrap().session.id;
    idle.rename(&"ahmed".into(), id, "Mine").await.unwrap();
    assert_eq!(outbox::letters(&sql).await, 1);
    // And from when nobody has said for too long that it is there, nothing.
    sql.batch_execute("UPDATE device_sessions.sinks SET until = now() - interval '1 second'").await.unwrap();
    idle.rename(&"ahmed".into(), id, "Yours").await.unwrap();
    assert_eq!(outbox::letters(&sql).await, 1);
}

#[tokio::test]
async fn what_is_old_is_removed() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let idle = builder(&db).await.notify("test", Told::of(lives())).build().await.unwrap();
    idle.shutdown().await.unwrap();
    let store = axum_device_sessions::PostgresStore::connect(db.url()).await.unwrap();
    for (user, age, dead) in [("old", 20, true), ("young", 1, true), ("waiting", 20, false), ("new", 1, false)] {
        idle.sign_in(SignIn::new(user)).await.unwrap();
        let made = "UPDATE device_sessions.outbox SET created_at = now() - $2 * interval '1 day', \
                    dead_at = CASE WHEN $3 THEN now() END WHERE user_id = $1";
        sql.execute(made, &[&user, &f64::from(age), &dead]).await.unwrap();
    }
    let more = "INSERT INTO device_sessions.sinks VALUES ('gone', '{}', NULL, false, now() - interval '1 s'); \
        INSERT INTO device_sessions.alerts (id, user_id, session_id, details, created_at) \
        SELECT gen_random_uuid(), 'alert-' || n, gen_random_uuid(), '{}', now() - n * interval '1 day' \
        FROM generate_series(1, 40, 39) n";
    sql.batch_execute(more).await.unwrap();
    while store.purge(Retention::new(14 * DAY, 30 * DAY)).await.unwrap().more {}
    let left = async |sql_text: &str| -> Vec<String> {
        sql.query(sql_text, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(left("SELECT user_id FROM device_sessions.outbox ORDER BY 1").await, ["new", "young"]);
    assert_eq!(left("SELECT name FROM device_sessions.sinks").await, ["test"]);
    assert_eq!(left("SELECT user_id FROM device_sessions.alerts").await, ["alert-1"]);
}

/// A sink that lapsed while its nodes were cut off is there again with the first of them.
#[tokio::test]
async fn whoever_comes_back_is_registered_again() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    let first = builder(&db).await.notify("test", Told::of(lives())).build().await.unwrap();
    first.shutdown().await.unwrap();
    sql.batch_execute("UPDATE device_sessions.sinks SET until = now() - interval '1 day'").await.unwrap();
    let told = Told::of(lives());
    let second = builder(&db).await.notify("test", told.clone()).build().await.unwrap();
    second.sign_in(SignIn::new("ahmed")).await.unwrap();
    told.count(1).await;
    eventually("it is noted", async || outbox::letters(&sql).await == 0).await;
}
