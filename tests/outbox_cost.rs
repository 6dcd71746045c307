//! What telling costs those who change something: against the same schema without the triggers, in turns, on the same server.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "support/notices.rs"]
mod notices;
#[path = "support/outbox.rs"]
mod outbox;
mod support;

use std::time::{Duration, Instant};

use axum_device_sessions::{AccessTokens, EndReason, EndTarget, PostgresStore, Sessions, SignIn};
use notices::Told;
use support::{TestDb, eventually};

const SECRET: &str = "not a secret: 0123456789abcdefXYZ";
const ROUNDS: usize = 20;
const EACH: usize = 10;

struct Subject {
    db: TestDb,
    sessions: Sessions,
    sign_ins: Vec<Duration>,
    ends: Vec<Duration>,
}

impl Subject {
    async fn new(told: Option<Told>, change: &str) -> Self {
        let db = TestDb::new().await;
        let store = PostgresStore::connect(db.url()).await.unwrap();
        store.migrate().await.unwrap();
        db.connect().await.batch_execute(change).await.unwrap();
        let builder = Sessions::builder(store).access_tokens(AccessTokens::hs256(SECRET).unwrap());
        let builder = if let Some(told) = told { builder.notify("hook", told) } else { builder };
        Self { db, sessions: builder.build().await.unwrap(), sign_ins: Vec::new(), ends: Vec::new() }
    }

    async fn round(&mut self) {
        for _ in 0..EACH {
            let began = Instant::now();
            let id = self.sessions.sign_in(SignIn::new("ahmed")).await.unwrap().session.id;
            self.sign_ins.push(began.elapsed());
            let began = Instant::now();
            self.sessions.end(EndTarget::One { id, user: None }, EndReason::Logout, None).await.unwrap();
            self.ends.push(began.elapsed());
        }
    }

    fn medians(&mut self) -> [Duration; 2] {
        [&mut self.sign_ins, &mut self.ends].map(|spans| {
            spans.sort();
            spans[spans.len() / 2]
        })
    }
}

/// What a thousand sign-ins and a thousand ends take in the server alone, and its share for these triggers.
async fn by_the_server(db: &TestDb) -> String {
    let sql = db.connect().await;
    let insert = "INSERT INTO device_sessions.sessions (id, user_id, expires_at, device_name, device_type) \
        SELECT gen_random_uuid(), 'crowd', now() + interval '1 day', 'Some', 'web' FROM generate_series(1, 1000)";
    let end = "UPDATE device_sessions.sessions SET ended_at = now() WHERE user_id = 'crowd' AND ended_at IS NULL";
    let mut said = String::new();
    for statement in [insert, end] {
        let rows = sql.query(&format!("EXPLAIN (ANALYZE, COSTS OFF) {statement}"), &[]).await.unwrap();
        let lines = rows.iter().map(|row| row.get::<_, String>(0));
        let told = |line: &String| line.starts_with("Trigger tell_events") || line.starts_with("Execution");
        said += &format!("{}; ", lines.filter(told).collect::<Vec<_>>().join(", "));
    }
    said
}

#[tokio::test]
async fn telling_nobody_costs_little() {
    let drop = "DROP TRIGGER tell_events_of_insert ON device_sessions.sessions; \
                DROP TRIGGER tell_events_of_update ON device_sessions.sessions; \
                DROP TRIGGER tell_events_of_delete ON device_sessions.sessions";
    let told = Told::everything();
    let mut without = Subject::new(None, drop).await;
    let mut nobody = Subject::new(None, "").await;
    let mut hook = Subject::new(Some(told.clone()), "").await;
    for _ in 0..ROUNDS {
        for subject in [&mut without, &mut nobody, &mut hook] {
            subject.round().await;
        }
        // What is being delivered is not to slow the others.
        let sql = hook.db.connect().await;
        eventually("all is delivered", async || outbox::letters(&sql).await == 0).await;
    }
    assert_eq!(told.notices().len(), 2 * ROUNDS * EACH);
    for subject in [&without, &nobody, &hook] {
        println!("{}", by_the_server(&subject.db).await);
    }
    let base = without.medians();
    println!("a sign-in and an end without the triggers: {base:?}");
    for (what, at_most, subject) in [("nobody is told", 2.0, &mut nobody), ("a receiver is told", 3.0, &mut hook)] {
        let medians = subject.medians();
        let times = [0, 1].map(|of| medians[of].as_secs_f64() / base[of].as_secs_f64());
        println!("{what}: {medians:?}, {:.2} and {:.2} times", times[0], times[1]);
        assert!(times.iter().all(|times| *times < at_most), "{what}: {times:?}");
    }
}
