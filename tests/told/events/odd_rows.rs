//! Rows that a hand or another version has written: what can be told is, and nothing waits for what cannot.

use axum_device_sessions::SignIn;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    notified::{World, caller},
    support::eventually,
};

/// As somebody in psql, or an import, may write them.
#[tokio::test]
async fn of_sessions() {
    let world = World::on_postgres(|builder| builder).await;
    let sql = world.sql().unwrap();
    let long = "ü".repeat(127);
    for (user, columns, values) in [
        ("by-hand", "device_type", "'toaster'"),
        ("no-name", "device_type, device_name", "'', ''"),
        ("for-ever", "device_type, created_at, last_activity_at", "'web', 'infinity', '-infinity'"),
        ("a-network", "device_type, ip_address, location", "'web', '10.0.0.0/8', 'Nowhere \"and\" <b>'"),
        ("v6", "device_type, ip_address", "'web', '::ffff:192.0.2.1'"),
        (long.as_str(), "device_type", "'native'"),
    ] {
        let name = if columns.contains("device_name") { "" } else { ", device_name" };
        let value = if name.is_empty() { "" } else { ", 'By hand'" };
        let insert = format!(
            "INSERT INTO device_sessions.sessions (id, user_id, expires_at, {columns}{name}) \
             VALUES ($1, $2, 'infinity', {values}{value})"
        );
        sql.execute(&insert, &[&Uuid::now_v7(), &user]).await.unwrap();
        let end = "UPDATE device_sessions.sessions SET ended_at = 'infinity', \
                   end_reason = E'ünusual \\n \"reason\"', ended_by = '' WHERE user_id = $1";
        sql.execute(end, &[&user]).await.unwrap();
        let told = world.since(user, &[]).await;
        assert_eq!(told, "session.created, session.ended ünusual \n \"reason\"", "{user}");
        for notice in world.notices(user).await {
            serde_json::to_string(&notice.event).unwrap();
            assert!(user != "by-hand" || serde_json::to_value(&notice.event).unwrap()["data"]["deviceType"] == "other");
        }
    }
}

/// A row of the outbox, due for this sink.
async fn put(sql: &Client, columns: &str, values: &str) -> i64 {
    let insert = "INSERT INTO device_sessions.outbox \
        (sink, lane, purpose, event_id, kind, user_id, session_id, details) \
        VALUES ('events', gen_random_uuid(), 'event', gen_random_uuid(), 'session.created', 'by hand', \
            gen_random_uuid(), '{\"deviceName\": \"a\", \"deviceType\": \"web\"}') RETURNING seq";
    sql.batch_execute("BEGIN").await.unwrap();
    let seq: i64 = sql.query_one(insert, &[]).await.unwrap().get(0);
    let change = format!("UPDATE device_sessions.outbox SET ({columns}) = ROW ({values}) WHERE seq = $1");
    sql.execute(&change, &[&seq]).await.unwrap();
    sql.batch_execute("COMMIT").await.unwrap();
    seq
}

/// Dead, waiting, or told.
async fn state(sql: &Client, seq: i64) -> &'static str {
    let row = "SELECT dead_at IS NOT NULL FROM device_sessions.outbox WHERE seq = $1";
    match sql.query_opt(row, &[&seq]).await.unwrap().map(|row| row.get::<_, bool>(0)) {
        Some(true) => "dead",
        Some(false) => "waiting",
        None => "told",
    }
}

#[tokio::test]
async fn of_the_outbox() {
    let world = World::on_postgres(|builder| builder).await;
    let sql = world.sql().unwrap();
    let mut rows = Vec::new();
    for (columns, values, becomes) in [
        ("kind", "'session.teleported'", "waiting"), // of a newer version: its nodes will
        ("kind", "''", "waiting"),
        ("sink", "'nobody'", "waiting"),
        ("due_at", "'infinity'", "waiting"),
        ("at", "'infinity'", "dead"),
        ("details", "'7'", "dead"),
        ("details", "'{\"ipAddress\": \"nowhere\"}'", "dead"),
        ("purpose", "'nonsense'", "waiting"),  // of a newer version, too
        ("purpose", "'force_logout'", "dead"), // to whom?
        ("purpose", "'mail'", "dead"),
        ("details", "'{}'", "told"),
        ("details", "'{\"signals\": [{\"kind\": \"of a newer version\"}, {\"kind\": \"new_device\"}]}'", "told"),
        ("due_at", "'-infinity'", "told"),
        ("created_at", "'infinity'", "told"),
        ("attempts", "2147483647", "dead"), // whoever tried it has died each time
        ("attempts", "-5", "told"),
        ("user_id", "''", "told"),
    ] {
        rows.push((put(sql, columns, values).await, format!("{columns} = {values}"), becomes));
    }
    let signed_in = world.sign_in(SignIn::new("ahmed").client(caller("phone", None))).await;
    let told = async || world.events.notices().iter().any(|notice| notice.event.session_id == signed_in.session.id);
    eventually("who comes after them is told", told).await;
    for (seq, what, becomes) in &rows {
        eventually(&format!("{what}: {becomes}"), async || state(sql, *seq).await == *becomes).await;
    }
    let untouched = "SELECT attempts FROM device_sessions.outbox WHERE kind = 'session.teleported'";
    assert_eq!(sql.query_one(untouched, &[]).await.unwrap().get::<_, i32>(0), 0, "left alone");
    let kinds: Vec<_> = world.events.notices().iter().flat_map(|notice| notice.event.signals.clone()).collect();
    assert_eq!(kinds, [axum_device_sessions::Signal::NewDevice], "a signal that is not known spoils no other");
    // Those that cannot be read are in no list either, and do not end it.
    world.nodes[0].admin().dead_letters(None).await.unwrap();
}

/// A node of the version before this one knows none of the columns and tables: it signs in, completes and ends by these.
#[tokio::test]
async fn of_a_node_of_the_version_before() {
    let world = World::on_postgres(|builder| builder).await;
    let sql = world.sql().unwrap();
    world.on("ahmed", "phone").await;
    let half = world.sign_in(SignIn::new("ahmed").client(caller("laptop", None)).second_factor_to_come()).await;
    let complete = "UPDATE device_sessions.sessions SET pending = false, \
                    expires_at = statement_timestamp() + interval '90 days', \
                    last_activity_at = greatest(last_activity_at, statement_timestamp()), replaces = NULL \
                    WHERE id = $1 AND pending AND ended_at IS NULL";
    sql.execute(complete, &[&half.session.id.as_uuid()]).await.unwrap();
    assert_eq!(world.since("ahmed", &[]).await, "2 session.created", "that node knows of no alerts");
    let pending = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type, pending) \
                   VALUES ($1, 'lena', now() + interval '10 min', 'Old', 'web', true)";
    let id = Uuid::now_v7();
    sql.execute(pending, &[&id]).await.unwrap();
    sql.execute(complete, &[&id]).await.unwrap();
    sql.execute("UPDATE device_sessions.sessions SET ended_at = now(), end_reason = 'logout' WHERE id = $1", &[&id])
        .await
        .unwrap();
    assert_eq!(world.since("lena", &[]).await, "session.created, session.ended logout");
}
