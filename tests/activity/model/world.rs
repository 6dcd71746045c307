//! The two nodes, their rows and the model of them.

use std::{cell::Cell, mem, time::Duration};

use axum::http::StatusCode;
use axum_device_sessions::{Clock, EndReason, EndTarget, PostgresStore, SessionStore as _, SignedIn, store::Activity};
use proptest::prelude::*;
use tokio_postgres::Client;
use uuid::Uuid;

use super::{SESSIONS, Step, gate::Gate, node::Node, support::eventually};

/// In seconds of virtual time: far above the time that a test takes, which rows age by as well.
const UNIT: u64 = 100;

/// What should be in a row.
#[derive(Clone, Copy, Debug)]
struct Model {
    /// The newest request that was written, in virtual units.
    at: u64,
    /// Between which times, by the database's clock, that makes the row's.
    row: (i64, i64),
    ended: bool,
}

/// How often the naive writers broke a rule.
#[derive(Debug, Default)]
pub(crate) struct Controls {
    pub(crate) moved_back: Cell<i64>,
    pub(crate) ended_changed: Cell<i64>,
}

/// A row: id, last activity, end, its reason.
type Row = (Uuid, i64, Option<i64>, Option<String>);

pub(crate) struct World<'a> {
    db: &'a Client,
    url: &'a str,
    direct: &'a PostgresStore,
    clock: Clock,
    pub(crate) nodes: Vec<(Node, Gate)>,
    signed_in: Vec<SignedIn>,
    now: u64,
    /// Of each node, what it has seen and not written.
    unwritten: [[Option<u64>; SESSIONS]; 2],
    model: Vec<Model>,
    rows: Vec<Row>,
    controls: &'a Controls,
}

async fn start(url: &str, clock: &Clock) -> (Node, Gate) {
    let gate = Gate::to(url).await;
    let store = PostgresStore::connect(&gate.url(url)).await.unwrap();
    let seconds = Duration::from_secs;
    let node = Node::with(store, |builder| {
        let builder = builder.clock(clock.clone()).max_staleness(seconds(5 * UNIT));
        builder
            .idle_timeout(seconds(1_000_000))
            .access_token_ttl(seconds(1_000_000))
            .absolute_lifetime(seconds(9_000_000))
    });
    (node.await, gate)
}

impl<'a> World<'a> {
    pub(crate) async fn new(db: &'a Client, url: &'a str, direct: &'a PostgresStore, controls: &'a Controls) -> Self {
        let clock = Clock::manual();
        let nodes = vec![start(url, &clock).await, start(url, &clock).await];
        let mut signed_in = Vec::new();
        for _ in 0..SESSIONS {
            signed_in.push(nodes[0].0.sign_in("ahmed").await);
        }
        let unwritten = [[None; SESSIONS]; 2];
        let (model, rows) = (Vec::new(), Vec::new());
        let mut this = Self { db, url, direct, clock, nodes, signed_in, now: 0, unwritten, model, rows, controls };
        this.rows = this.read().await;
        this.model = this.rows.iter().map(|row| Model { at: 0, row: (row.1, row.1), ended: false }).collect();
        let copy = "INSERT INTO naive SELECT id, last_activity_at, last_activity_at \
                    FROM device_sessions.sessions WHERE id = ANY($1)";
        db.execute(copy, &[&this.ids()]).await.unwrap();
        this
    }

    fn ids(&self) -> Vec<Uuid> {
        self.signed_in.iter().map(|one| one.session.id.as_uuid()).collect()
    }

    async fn read(&self) -> Vec<Row> {
        let sql = "SELECT id, (extract(epoch FROM last_activity_at) * 1e6)::int8, \
                   (extract(epoch FROM ended_at) * 1e6)::int8, end_reason \
                   FROM device_sessions.sessions JOIN unnest($1::uuid[]) WITH ORDINALITY AS asked (id, place) USING (id) \
                   ORDER BY place";
        let rows = self.db.query(sql, &[&self.ids()]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
    }

    async fn db_now(&self) -> i64 {
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::int8";
        self.db.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// These were written between then and now: seen at these units.
    async fn written(&mut self, since: i64, seen: &[(usize, u64)]) {
        let until = self.db_now().await;
        for (session, at) in seen {
            let age = micros(self.now - at);
            self.naive(*session, age, self.model[*session].ended).await;
            let model = &mut self.model[*session];
            if model.ended || *at < model.at {
                continue;
            }
            // Of the same instant, the later write may win by as much as rows have aged meanwhile.
            let from = if *at == model.at { model.row.0 } else { since - age };
            (model.at, model.row) = (*at, (from, until - age));
        }
    }

    /// The same write, by whoever sets the time, and by whoever forgets that a session may have ended.
    async fn naive(&self, session: usize, age: i64, ended: bool) {
        let id = self.ids()[session];
        let sql = "WITH old AS (SELECT id, plain, newest FROM naive WHERE id = $1 FOR UPDATE), \
                   new AS (SELECT clock_timestamp() - $2 * interval '1 microsecond' AS at) \
                   UPDATE naive SET plain = new.at, newest = greatest(naive.newest, new.at) FROM old, new \
                   WHERE naive.id = old.id RETURNING naive.plain < old.plain, naive.newest > old.newest";
        #[allow(clippy::cast_precision_loss, reason = "hours")]
        let row = self.db.query_one(sql, &[&id, &(age as f64)]).await.unwrap();
        let [back, moved] = [row.get::<_, bool>(0), row.get::<_, bool>(1)].map(i64::from);
        self.controls.moved_back.set(self.controls.moved_back.get() + back);
        self.controls.ended_changed.set(self.controls.ended_changed.get() + if ended { moved } else { 0 });
    }

    fn is_open(&self, node: usize) -> bool {
        self.nodes[node].1.is_open()
    }

    fn take(&mut self, node: usize) -> Vec<(usize, u64)> {
        let taken = mem::take(&mut self.unwritten[node]);
        taken.iter().enumerate().filter_map(|(session, at)| Some((session, (*at)?))).collect()
    }

    pub(crate) async fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Request(node, session) => {
                let status = self.nodes[node].0.status(&self.signed_in[session]).await;
                match status {
                    StatusCode::OK => {}
                    // Asked in vain, but active.
                    StatusCode::SERVICE_UNAVAILABLE => prop_assert!(!self.is_open(node)),
                    other => {
                        prop_assert_eq!((other, self.model[session].ended), (StatusCode::UNAUTHORIZED, true));
                        return Ok(());
                    }
                }
                self.unwritten[node][session] = Some(self.now);
            }
            Step::Flush(node) => {
                let since = self.db_now().await;
                let nothing = self.unwritten[node].iter().all(Option::is_none);
                let flushed = self.nodes[node].0.sessions.flush_activity().await;
                prop_assert_eq!(flushed.is_ok(), nothing || self.is_open(node));
                if flushed.is_ok() {
                    let seen = self.take(node);
                    self.written(since, &seen).await;
                }
            }
            Step::Wait(units) => {
                self.clock.advance(Duration::from_secs(units * UNIT));
                self.now += units;
                let back = micros(units);
                #[allow(clippy::cast_precision_loss, reason = "hours")]
                for sql in [
                    "UPDATE device_sessions.sessions SET last_activity_at = last_activity_at - $1 * interval '1 microsecond'",
                    "UPDATE naive SET plain = plain - $1 * interval '1 microsecond', \
                     newest = newest - $1 * interval '1 microsecond'",
                ] {
                    self.db.execute(sql, &[&(back as f64)]).await.unwrap();
                }
                self.model.iter_mut().for_each(|model| model.row = (model.row.0 - back, model.row.1 - back));
                self.rows.iter_mut().for_each(|row| row.1 -= back);
            }
            Step::Cut => self.nodes[1].1.shut(),
            Step::Restore => self.restore().await,
            Step::End(by, session) => {
                let id = self.signed_in[session].session.id;
                if by == 2 {
                    let sql = "UPDATE device_sessions.sessions SET ended_at = now() WHERE id = $1";
                    self.db.execute(sql, &[&id.as_uuid()]).await.unwrap();
                } else {
                    let target = EndTarget::One { id, user: None };
                    let ended = self.nodes[by].0.sessions.end(target, EndReason::Logout, None).await;
                    prop_assert_eq!(ended.is_ok(), self.is_open(by));
                }
                self.model[session].ended |= by == 2 || self.is_open(by);
            }
            Step::Restart(node, in_order) => self.restart(node, in_order).await?,
            Step::Batches(seen) => {
                let seen: Vec<_> =
                    seen.iter().map(|(session, age)| (*session, self.now.saturating_sub(*age))).collect();
                let activity = |(session, at): &(usize, u64)| {
                    let age = Duration::from_secs((self.now - at) * UNIT);
                    Activity::new(self.signed_in[*session].session.id, age, None)
                };
                let since = self.db_now().await;
                // As one batch, twice; then each alone, so that an older one comes after a newer one.
                for _ in 0..2 {
                    let left = self.direct.record_activity(seen.iter().map(activity).collect()).await.unwrap();
                    prop_assert_eq!(left, []);
                }
                for one in &seen {
                    self.direct.record_activity(vec![activity(one)]).await.unwrap();
                }
                self.written(since, &seen).await;
            }
        }
        Ok(())
    }

    pub(crate) async fn restore(&self) {
        self.nodes[1].1.open();
        let sessions = &self.nodes[1].0.sessions;
        eventually("it is reached again", async || sessions.list(&"nobody".into(), None).await.is_ok()).await;
    }

    async fn restart(&mut self, node: usize, in_order: bool) -> Result<(), TestCaseError> {
        if !in_order {
            // Dead before it can write; its gate stays shut for ever.
            self.nodes[node].1.shut();
        }
        let (since, seen) = (self.db_now().await, self.take(node));
        let shut_down = self.nodes[node].0.sessions.shutdown().await;
        prop_assert_eq!(shut_down.is_ok(), seen.is_empty() || self.is_open(node));
        if shut_down.is_ok() {
            self.written(since, &seen).await;
        }
        self.nodes[node] = start(self.url, &self.clock).await;
        Ok(())
    }

    /// What holds after every step.
    pub(crate) async fn check(&mut self) -> Result<(), TestCaseError> {
        let rows = self.read().await;
        for ((before, after), model) in self.rows.iter().zip(&rows).zip(&self.model) {
            prop_assert!(before.1 <= after.1, "moved back: {:?} {:?}", before, after);
            prop_assert!(before.2.is_none() || before == after, "changed after its end: {:?} {:?}", before, after);
            prop_assert_eq!(after.2.is_some(), model.ended);
            // Ages are doubles: a microsecond here or there.
            let (from, to) = (model.row.0 - 5, model.row.1 + 5);
            prop_assert!((from..=to).contains(&after.1), "{:?}, but {:?}", after, model);
        }
        self.rows = rows;
        Ok(())
    }
}

fn micros(units: u64) -> i64 {
    i64::try_from(units * UNIT * 1_000_000).unwrap()
}
