//! Each statement that serves takes the index that is there for it, in a table of a million sessions. The plans are
//! those of the statements that ran, as the server's log has them (`auto_explain`).

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "plans/fill.rs"]
mod fill;
#[path = "support/node.rs"]
mod node;
#[path = "support/notices.rs"]
mod notices;
#[path = "plans/outbox.rs"]
mod outbox;
mod support;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

use axum_device_sessions::{
    Client, EndReason, EndTarget, Location, OnLimit, PostgresStore, SessionFilter, SessionId, SessionStore, SignIn,
    UserId,
    store::{Activity, EndRequest, Expire, Idle, Retention},
};
use fill::fill;
use node::{Node, migrated};
use serde_json::Value;
use support::TestDb;
use tokio_postgres::Client as Sql;

const DAY: Duration = Duration::from_secs(86_400);

/// Of each plan that the log has got since `from`: the statement, and how it reads `sessions`.
fn plans(log: &str) -> Vec<(String, BTreeSet<String>)> {
    let mut found = Vec::new();
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.ends_with("plan:") {
            continue;
        }
        let mut json = String::new();
        while let Some(line) = lines.next_if(|line| line.starts_with('\t')) {
            json.push_str(line);
        }
        let plan: Value = serde_json::from_str(&json).unwrap();
        let mut reads = BTreeSet::new();
        walk(&plan["Plan"], &mut reads);
        found.push((plan["Query Text"].as_str().unwrap().to_owned(), reads));
    }
    found
}

fn walk(plan: &Value, reads: &mut BTreeSet<String>) {
    if let Some(index) = plan["Index Name"].as_str() {
        reads.insert(index.to_owned());
    } else if plan["Node Type"] == "Seq Scan" {
        reads.insert(format!("all of {}", plan["Relation Name"].as_str().unwrap()));
    }
    plan["Plans"].as_array().into_iter().flatten().for_each(|below| walk(below, reads));
}

struct Subject {
    db: TestDb,
    seen: usize,
    wrong: Vec<String>,
}

impl Subject {
    /// What has run since the last time: a statement of ours that begins so reads `sessions` by these indexes alone, and
    /// what it has found that way by its key.
    fn check(&mut self, what: &str, begins: &str, expected: &[&str]) {
        self.check_all(what, &[(begins, expected)]);
    }

    /// The same of several.
    fn check_all(&mut self, what: &str, of_all: &[(&str, &[&str])]) {
        let log = self.db.server().log();
        let plans = plans(&log[self.seen..]);
        self.seen = log.len();
        for (begins, expected) in of_all {
            let of_it: Vec<_> = plans.iter().filter(|(sql, _)| sql.starts_with(begins)).collect();
            assert!(!of_it.is_empty(), "{what}: nothing begins with {begins:?}: {plans:?}");
            for (_, reads) in of_it {
                println!("{what}: {reads:?}");
                let mut besides = reads.clone();
                besides.remove("sessions_pkey");
                if ![reads, &besides].iter().any(|reads| reads.iter().map(String::as_str).eq(expected.iter().copied()))
                {
                    self.wrong.push(format!("{what}, {begins}: {reads:?} and not {expected:?}"));
                }
            }
        }
        // Whatever else it took: the upkeep's own row may be read whole, what grows with the users never.
        for (sql, reads) in &plans {
            let whole = ["sessions", "devices", "countries", "outbox", "push_targets", "alerts"];
            let whole = whole.map(|table| format!("all of {table}"));
            if sql.contains("device_sessions") && whole.iter().any(|whole| reads.contains(whole)) {
                self.wrong.push(format!("{what}: reads all: {sql}"));
            }
        }
    }
}

const PKEY: &[&str] = &["sessions_pkey"];
const KNOWN: &[&str] = &["countries_pkey", "devices_pkey", "sessions_ended_by_user", "sessions_live_by_user"];
const GONE: &[&str] = &["devices_pkey", "sessions_ended_by_age"];
const FORGET_DEVICES: &[&str] = &["devices_by_age", "devices_pkey", "sessions_live_by_device"];
const ARRIVING: &[&str] = &["sessions_live_by_device", "sessions_live_by_user", "sessions_pending"];
const LIVE: &[&str] = &["sessions_live_by_user"];

#[tokio::test]
async fn every_statement_takes_its_index() {
    let explain = [
        ("shared_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_format", "json"),
        ("autovacuum", "off"),
        ("full_page_writes", "off"),
        ("shared_buffers", "256MB"),
        ("max_wal_size", "8GB"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
    ];
    let db = TestDb::own_cluster(&explain).await;
    let store = migrated(&db).await;
    let client = db.connect().await;
    let began = Instant::now();
    fill(&client).await;
    client.batch_execute(outbox::FILL).await.unwrap();
    println!("a million rows in {:.1?}", began.elapsed());
    let mut of = Subject { seen: db.server().log().len(), db, wrong: Vec::new() };

    // The control: the log tells what has no index.
    let slow = "SELECT count(*) FROM device_sessions.sessions WHERE os = 'BeOS'";
    client.query_one(slow, &[]).await.unwrap();
    let log = of.db.server().log();
    assert!(plans(&log[of.seen..]).iter().any(|(sql, reads)| sql == slow && reads.contains("all of sessions")));
    of.seen = log.len();

    let heavy = UserId::from("heavy");
    let some = client.query("SELECT id FROM device_sessions.sessions WHERE ended_at IS NULL LIMIT 1000", &[]).await;
    let some: Vec<SessionId> = some.unwrap().iter().map(|row| row.get::<_, uuid::Uuid>(0).into()).collect();
    of.seen = of.db.server().log().len();
    let node = Node::new(PostgresStore::connect(of.db.url()).await.unwrap()).await;
    let signed_in = node.sign_in("heavy").await;

    assert!(node.is_let_in(&signed_in).await);
    of.check("load one", "SELECT id, user_id", PKEY);
    store.load(&some[..100]).await.unwrap();
    of.check("load a hundred", "SELECT id, user_id", PKEY);
    store.load(&some).await.unwrap();
    of.check("load a thousand", "SELECT id, user_id", PKEY);
    for user in [heavy.clone(), "user-77777".into()] {
        node.sessions.list(&user, None).await.unwrap();
        of.check("list", "SELECT id, user_id", LIVE);
        node.sessions.history(&user).await.unwrap();
        of.check("history", "(SELECT id, user_id", &["sessions_ended_by_user", "sessions_live_by_user"]);
    }
    for batch in [1, 100, 1_000] {
        let seen = |age: Duration| some[..batch].iter().map(|id| Activity::new(*id, age, None)).collect();
        store.record_activity(seen(Duration::ZERO)).await.unwrap();
        of.check(&format!("record {batch}"), "WITH seen AS", PKEY);
        // None is newer, so it is asked what is left over.
        store.record_activity(seen(DAY)).await.unwrap();
        of.check_all(
            &format!("record {batch} again"),
            &[("WITH seen AS", PKEY), ("SELECT s.id FROM ( SELECT unnest", PKEY)],
        );
    }

    // Administration.
    let admin = node.sessions.admin();
    for (what, filter, by) in [
        ("everyone", SessionFilter::everyone(), LIVE),
        ("a user", SessionFilter::everyone().of_user("heavy").on_device("Chrome on Windows"), LIVE),
        ("a network", SessionFilter::everyone().from_network("198.51.100.0/24".parse().unwrap()), LIVE),
        ("three ids", SessionFilter::everyone().with_ids(some[..3].to_vec()), PKEY),
        ("a hundred ids", SessionFilter::everyone().with_ids(some[..100].to_vec()), PKEY),
        ("a thousand ids", SessionFilter::everyone().with_ids(some.clone()), PKEY),
    ] {
        let walked = store.walk(&filter, None).await.unwrap();
        of.check(&format!("walk, {what}"), "SELECT id, expires_at", by);
        if let Some(next) = walked.next {
            store.walk(&filter, Some(next)).await.unwrap();
            let (what, begins) = (format!("walk on, {what}"), "SELECT id, expires_at");
            // Of a thousand the statistics say now this and now that, and either will do.
            let all = if by == PKEY { vec![] } else { vec![(begins, by)] };
            of.check_all(&what, &all);
        }
    }
    let these = EndTarget::These { ids: some[..500].to_vec() };
    store.end(EndRequest::new(these, EndReason::RevokedByAdmin, None)).await.unwrap();
    of.check("end five hundred", "WITH held AS", PKEY);

    // Ends by users.
    let one = EndTarget::One { id: some[999], user: None };
    node.sessions.end(one.clone(), EndReason::Logout, None).await.unwrap();
    of.check("end one", "UPDATE", PKEY);
    node.sessions.end(one, EndReason::Logout, None).await.unwrap();
    of.check("end one again", "SELECT CASE WHEN ended_at", PKEY);
    admin.on_credential_change(&"user-123".into(), None).await.unwrap();
    of.check("credential change, locks", "SELECT id FROM", LIVE);
    let others = EndTarget::Others { user: heavy.clone(), keep: signed_in.session.id };
    node.sessions.end(others, EndReason::RevokedByUser, None).await.unwrap();
    of.check("end a thousand others", "UPDATE", PKEY);
    node.sessions.end(EndTarget::All { user: heavy, caller: None }, EndReason::Logout, None).await.unwrap();
    of.check("end all, locks", "SELECT id FROM", LIVE);

    signing_in(&mut of).await;
    outbox::told(&client, &mut of).await;
    upkeep(&client, &store, &mut of).await;
    assert!(of.wrong.is_empty(), "{:#?}", of.wrong);
}

/// Users with a thousand live sessions, with tens of thousands of ended ones, and with a few; with a limit and without.
async fn signing_in(of: &mut Subject) {
    let place = |_: IpAddr| {
        let mut place = Location::default();
        place.country_code = Some("DE".to_owned());
        Some(place)
    };
    for limited in [false, true] {
        let store = PostgresStore::connect(of.db.url()).await.unwrap();
        let node = Node::with(store, |builder| match limited {
            false => builder.locator(place),
            true => builder.locator(place).max_sessions_per_user(20_000, OnLimit::EndOldest),
        });
        let node = node.await;
        of.seen = of.db.server().log().len();
        for user in ["heavy", "past", "user-77777"] {
            for again in [false, true] {
                let client = Client::new(None, Some([203, 0, 113, 7].into())).device_id("the app on the phone");
                let signed_in = node.sessions.sign_in(SignIn::new(user).client(client)).await.unwrap();
                let what = format!("{user} signs in, limited: {limited}, again: {again}");
                of.check_all(
                    &what,
                    &[
                        ("WITH wanted AS", ARRIVING),
                        ("SELECT (SELECT name", KNOWN),
                        ("WITH old AS", &["devices_pkey"]),
                        ("INSERT INTO device_sessions.countries", &[]),
                    ],
                );
                node.sessions.rename(&user.into(), signed_in.session.id, "Mine").await.unwrap();
                of.check("rename", "WITH renamed AS", &["devices_pkey", "sessions_live_by_user"]);
            }
        }
    }
}

/// With little to do, as every day, and with much, as the first time.
async fn upkeep(client: &Sql, store: &PostgresStore, of: &mut Subject) {
    let expire = |idle: u32| Expire::new(Some(Idle::new(DAY * idle, DAY / 100)), Duration::ZERO);
    for (how, idle) in [("little", 14), ("much", 3)] {
        store.expire(expire(idle)).await.unwrap();
        of.check(&format!("a page, {how} to do"), "SELECT user_id, id, last", LIVE);
    }
    for (how, ended) in [("nothing", "false"), ("little", "random() < 0.001"), ("much", "random() < 0.3")] {
        let run_out = format!(
            "UPDATE device_sessions.sessions SET expires_at = now() - interval '1 hour' WHERE ended_at IS NULL AND {ended}"
        );
        client.batch_execute(&format!("{run_out}; ANALYZE device_sessions.sessions")).await.unwrap();
        of.seen = of.db.server().log().len();
        store.expire(Expire::new(None, Duration::ZERO)).await.unwrap();
        let by = &["sessions_live_by_expiry"];
        of.check(&format!("absolute, {how} to do"), "WITH due AS", by);
    }
    // Some are due for both kinds of removal; then half of all.
    for (how, scrub_after, history) in [("nothing", 30, 30), ("little", 13, 29), ("much", 3, 10)] {
        let share = match how {
            "nothing" => 0.0,
            "little" => 0.001,
            _ => 0.5,
        };
        let old = format!(
            "UPDATE device_sessions.devices SET last_seen_at = now() - interval '401 days' WHERE random() < {share}; \
             UPDATE device_sessions.countries SET last_seen_at = now() - interval '181 days' WHERE random() < {share}; ANALYZE"
        );
        client.batch_execute(&old).await.unwrap();
        of.seen = of.db.server().log().len();
        let mut more = true;
        for batch in 0..3 {
            if more {
                more = store.purge(Retention::new(DAY * scrub_after, DAY * history)).await.unwrap().more;
                let what = format!("purge, {how} to do, batch {batch}");
                of.check_all(
                    &what,
                    &[
                        (
                            "WITH due AS ( SELECT id FROM device_sessions.sessions WHERE NOT scrubbed",
                            &["sessions_ended_by_age"],
                        ),
                        ("WITH due AS ( SELECT id FROM device_sessions.sessions WHERE scrubbed =", GONE),
                        ("WITH old AS ( SELECT user_id, key", FORGET_DEVICES),
                        ("WITH old AS ( SELECT user_id, country_code", &["countries_by_age", "countries_pkey"]),
                    ],
                );
            }
        }
    }
}
