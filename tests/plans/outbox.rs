//! What is told, beside a backlog: 200,000 notices of three receivers, 100,000 devices, 100,000 alerts.

use axum_device_sessions::{
    Client, EndReason, EndTarget, EventKind, NotDelivered, Notice, PostgresStore, PushTarget, SessionStore, SignIn,
    Wants, store::Retention,
};
use tokio_postgres::Client as Sql;

use super::{DAY, Node, Subject, notices::Told, support::eventually};

pub(crate) const FILL: &str = "
    SET synchronous_commit = off;
    INSERT INTO device_sessions.outbox (sink, lane, purpose, event_id, kind, user_id, session_id, details, attempts,
        due_at, created_at, dead_at, last_error)
    SELECT (ARRAY['hook', 'audit', 'mail'])[1 + n % 3], md5((n / 4)::text)::uuid, 'event', gen_random_uuid(),
        'session.ended', 'user-' || n, gen_random_uuid(), '{}', n % 9,
        now() + (n % 7200 - 3600) * interval '1 second', now() - n % 6 * interval '1 day',
        CASE WHEN n % 10 = 0 THEN now() END, CASE WHEN n % 9 > 0 THEN 'down' END FROM generate_series(1, 200000) n;
    INSERT INTO device_sessions.push_targets (session_id, provider, token)
    SELECT id, 'fcm', 'token-' || row_number() OVER () FROM device_sessions.sessions WHERE ended_at IS NULL LIMIT 100000;
    INSERT INTO device_sessions.alerts (id, user_id, session_id, details, created_at)
    SELECT gen_random_uuid(), 'user-' || n, gen_random_uuid(), '{}', now() - n % 29 * interval '1 day'
    FROM generate_series(1, 100000) n;
    ANALYZE device_sessions.outbox, device_sessions.push_targets, device_sessions.alerts;";

/// Every fourth can be delivered, the others want another try, are refused, or are of a device that is gone.
fn answer(notice: &Notice) -> Result<(), NotDelivered> {
    match notice.id.as_bytes()[15] % 4 {
        0 => Ok(()),
        1 => Err(NotDelivered::retry("not now")),
        2 => Err(NotDelivered::refused("never")),
        _ => Err(NotDelivered::gone("the device")),
    }
}

pub(crate) async fn told(sql: &Sql, of: &mut Subject) {
    of.seen = of.db.server().log().len();
    let store = PostgresStore::connect(of.db.url()).await.unwrap();
    let everything = || Wants::events(EventKind::ALL.iter().copied());
    let (phone, mail) = (Told::answering(Wants::push("fcm"), answer), Told::of(Wants::mail()));
    let hook = Told::answering(everything(), answer);
    let node = Node::with(store, |builder| {
        let builder = builder.notify("hook", hook.clone()).notify("audit", Told::of(everything()));
        builder.notify("mail", mail).notify("phone", phone)
    });
    let node = node.await;
    // With the devices of each of the user's, several of which are told, and which are told when they are signed out.
    for n in 0..40 {
        let client = Client::new(None, Some([203, 0, 113, 7].into())).device_id(format!("the app on phone {n}"));
        let id = node.sessions.sign_in(SignIn::new("user-77777").client(client)).await.unwrap().session.id;
        let target = PushTarget::new("fcm", format!("phone-{n}"));
        node.sessions.set_push_target(id, Some(target)).await.unwrap();
        if n % 2 == 0 {
            let one = EndTarget::One { id, user: None };
            node.sessions.end(one, EndReason::RevokedByUser, None).await.unwrap();
        }
    }
    eventually("hundreds are settled", async || hook.notices().len() >= 60).await;
    node.sessions.shutdown().await.unwrap();
    of.check_all(
        "the outbox",
        &[
            (
                "WITH due AS ( SELECT picked.seq",
                &["outbox_due", "outbox_lanes", "outbox_pkey", "push_targets_provider_token_key", "sessions_pkey"],
            ),
            ("WITH behind AS", &["outbox_due", "outbox_lanes", "outbox_pkey"]),
            ("DELETE FROM device_sessions.outbox WHERE seq", &["outbox_pkey"]),
            ("UPDATE device_sessions.outbox o SET due_at = statement_timestamp() + w.pause", &["outbox_pkey"]),
            ("UPDATE device_sessions.outbox o SET due_at = first.due_at", &["outbox_lanes", "outbox_pkey"]),
            ("UPDATE device_sessions.outbox o SET dead_at", &["outbox_pkey"]),
            ("INSERT INTO device_sessions.outbox (sink, lane, purpose, event_id, kind, user_id, session_id, details) \
              SELECT k.name, s.id", &["all of sinks", "sessions_pkey"]),
        ],
    );
    let admin = node.sessions.admin();
    let dead = admin.dead_letters(None).await.unwrap();
    admin.dead_letters(Some(dead[99].id)).await.unwrap();
    of.check("dead letters", "SELECT o.seq", &["outbox_dead"]);
    assert_eq!(admin.deliver_again(dead.iter().map(|letter| letter.id)).await.unwrap(), 100);
    of.check("deliver again", "UPDATE device_sessions.outbox SET dead_at", &["outbox_dead"]);

    let store = PostgresStore::connect(of.db.url()).await.unwrap();
    for share in ["false", "random() < 0.001", "random() < 0.5"] {
        let old = format!(
            "UPDATE device_sessions.outbox SET created_at = now() - interval '8 days' WHERE {share}; \
             UPDATE device_sessions.alerts SET created_at = now() - interval '31 days' WHERE {share}; \
             ANALYZE device_sessions.outbox, device_sessions.alerts"
        );
        sql.batch_execute(&old).await.unwrap();
        of.seen = of.db.server().log().len();
        store.purge(Retention::new(DAY * 7, DAY * 30)).await.unwrap();
        of.check_all(
            &format!("purge, {share} to do"),
            &[
                (
                    "WITH old AS ( SELECT seq FROM device_sessions.outbox WHERE dead_at IS NULL",
                    &["outbox_by_age", "outbox_pkey"],
                ),
                (
                    "WITH old AS ( SELECT seq FROM device_sessions.outbox WHERE dead_at IS NOT NULL",
                    &["outbox_dead_by_age", "outbox_pkey"],
                ),
                ("WITH old AS ( SELECT id FROM device_sessions.alerts", &["alerts_by_age", "alerts_pkey"]),
            ],
        );
    }
    // Nobody is told of what comes after this.
    sql.batch_execute("TRUNCATE device_sessions.sinks").await.unwrap();
}
