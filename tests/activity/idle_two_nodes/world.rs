//! The two nodes, what is known of their sessions, and the naive verdicts beside theirs.

use std::{cell::Cell, time::Duration};

use axum_device_sessions::{Clock, PostgresStore, SignedIn};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use tokio_postgres::Client;

use super::{
    ALLOWANCE, Asked, History, IDLE, INTERVAL, SESSIONS, STEP,
    gate::Gate,
    node::Node,
    support::{TestDb, eventually},
};

/// What is known of a session, in virtual seconds.
#[derive(Debug, Default)]
struct Model {
    /// The newest request that counts in any case.
    seen: u64,
    /// The newest that may count: one that is answered 503 by a node that believes the session over does not.
    may_be_seen: u64,
    /// It was let in within the allowance, later than the timeout, and that is not written down.
    late: bool,
    /// Of each node.
    here: [Here; 2],
}

#[derive(Debug, Default)]
struct Here {
    seen: Option<u64>,
    unwritten: bool,
    /// What the naive node has read, once.
    naive: Option<u64>,
}

pub(crate) struct World<'a> {
    db: &'a Client,
    clock: Clock,
    nodes: [Node; 2],
    pub(crate) gates: [Gate; 2],
    beats: [SignedIn; 2],
    signed_in: Vec<SignedIn>,
    now: u64,
    due: [u64; 2],
    back: u64,
    model: Vec<Model>,
    controls: &'a Controls,
}

/// Whom the naive verdicts sign out although they were active within the idle timeout.
#[derive(Debug, Default)]
pub(crate) struct Controls {
    pub(crate) by_memory: Cell<u32>,
    pub(crate) by_row: Cell<u32>,
    pub(crate) let_in: Cell<u32>,
    pub(crate) refused: Cell<u32>,
    pub(crate) unavailable: Cell<u32>,
}

fn count(of: &Cell<u32>) {
    of.set(of.get() + 1);
}

impl<'a> World<'a> {
    pub(crate) async fn new(db: &'a TestDb, client: &'a Client, history: &History, controls: &'a Controls) -> Self {
        let clock = Clock::manual();
        let seconds = Duration::from_secs;
        let node = async || {
            let gate = Gate::to(db.url()).await;
            let store = PostgresStore::connect(&gate.url(db.url())).await.unwrap();
            let node = Node::with(store, |builder| {
                builder
                    .clock(clock.clone())
                    .idle_timeout(seconds(IDLE))
                    .activity_interval(seconds(INTERVAL))
                    .max_staleness(seconds(history.max_staleness))
                    .access_token_ttl(seconds(10_000_000))
                    .absolute_lifetime(seconds(10_000_000))
            });
            (node.await, gate)
        };
        let ((a, gate_a), (b, gate_b)) = (node().await, node().await);
        let mut signed_in = Vec::new();
        for session in 0..SESSIONS {
            signed_in.push([&a, &b][session % 2].sign_in("ahmed").await);
        }
        let beats = [a.sign_in("beat").await, b.sign_in("beat").await];
        let model = (0..SESSIONS).map(|_| Model::default()).collect();
        let (nodes, gates) = ([a, b], [gate_a, gate_b]);
        Self { db: client, clock, nodes, gates, beats, signed_in, now: 0, due: history.due, back: 0, model, controls }
    }

    fn is_open(&self) -> bool {
        self.gates[0].is_open()
    }

    /// Both nodes hear of the database, if it is there: strictly, so by a read.
    async fn hear(&self) {
        for (node, beat) in self.nodes.iter().zip(&self.beats) {
            node.request("GET", "/strict", beat).await;
        }
    }

    pub(crate) async fn flush(&mut self, node: usize) -> Result<(), TestCaseError> {
        let sessions = &self.nodes[node].sessions;
        let nothing = sessions.health().queued_activity == 0;
        let flushed = sessions.flush_activity().await;
        prop_assert_eq!(flushed.is_ok(), self.is_open() || nothing);
        if flushed.is_ok() {
            for model in &mut self.model {
                model.here[node].unwritten = false;
                model.late &= model.here.iter().any(|here| here.unwritten);
            }
        }
        Ok(())
    }

    async fn pass(&mut self) -> Result<(), TestCaseError> {
        let sql = "UPDATE device_sessions.sessions SET last_activity_at = last_activity_at - interval '50 seconds'";
        self.db.execute(sql, &[]).await.unwrap();
        self.clock.advance(Duration::from_secs(STEP));
        self.now += STEP;
        for node in 0..2 {
            // As the timer would.
            if self.now >= self.due[node] {
                self.due[node] = self.now + INTERVAL;
                self.flush(node).await?;
            }
        }
        if self.is_open() {
            self.hear().await;
        }
        Ok(())
    }

    pub(crate) async fn spend(&mut self, steps: u64, asked: &[Asked]) -> Result<(), TestCaseError> {
        for step in 0..steps {
            self.pass().await?;
            for (_, node, session) in asked.iter().filter(|asked| asked.0 % steps == step) {
                self.request(*node, *session).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn come_back(&mut self, tell: bool) {
        self.gates.iter().for_each(Gate::open);
        for node in &self.nodes {
            // No contact in the node's own sense: that is of readings.
            eventually("it can be reached", async || node.sessions.list(&"nobody".into(), None).await.is_ok()).await;
        }
        if tell {
            self.hear().await;
        }
        self.back = self.now;
    }

    /// Since when the row says that the session is idle.
    async fn row(&self, session: usize) -> u64 {
        let sql = "SELECT extract(epoch FROM clock_timestamp() - last_activity_at)::float8::int8 \
                   FROM device_sessions.sessions WHERE id = $1";
        let id = self.signed_in[session].session.id.as_uuid();
        let age: i64 = self.db.query_one(sql, &[&id]).await.unwrap().get(0);
        self.now.saturating_sub(age.try_into().unwrap())
    }

    pub(crate) async fn request(&mut self, node: usize, session: usize) -> Result<(), TestCaseError> {
        let (now, row) = (self.now, self.row(session).await);
        let answer = line(self.nodes[node].get(&self.signed_in[session]).await).await;
        let open = self.is_open();
        let model = &mut self.model[session];
        let active = now - model.seen < IDLE && !model.late;
        let here = &mut model.here[node];

        let over = |known: u64| now - known >= IDLE + ALLOWANCE;
        let known = *here.naive.get_or_insert(row).max(&mut here.seen.unwrap_or(0));
        if active && over(known) {
            count(&self.controls.by_memory);
        }
        if active && open && over(row.max(here.seen.unwrap_or(0))) {
            count(&self.controls.by_row);
        }

        let written = model.here.iter().all(|here| !here.unwritten);
        let certain = open && written && now >= self.back + ALLOWANCE + 2 * STEP;
        let here = &mut model.here[node];
        match answer.as_str() {
            "200" => {
                count(&self.controls.let_in);
                // The rows age by the time that the test itself takes as well.
                prop_assert!(!certain || now - model.may_be_seen < IDLE + ALLOWANCE + STEP, "too late: {:?}", model);
                model.late |= now - model.seen >= IDLE;
                (model.seen, model.may_be_seen) = (now, now);
                (here.seen, here.unwritten) = (Some(now), true);
            }
            "503" => {
                count(&self.controls.unavailable);
                prop_assert!(!certain, "neither in doubt nor unavailable: {:?}", model);
                // Of whom this node has not seen for as long, it may believe that it is over.
                if here.seen.is_some_and(|seen| now - seen < IDLE) {
                    model.late |= now - model.seen >= IDLE;
                    (model.seen, here.seen) = (now, Some(now));
                }
                model.may_be_seen = now;
                here.unwritten = true;
            }
            "401 session_ended idle" => {
                count(&self.controls.refused);
                prop_assert!(open, "without a row nobody is signed out");
                prop_assert!(
                    !active,
                    "signed out at {} on {}: {:?}, row {}, back {}",
                    now,
                    node,
                    model,
                    row,
                    self.back
                );
            }
            other => prop_assert!(false, "{}", other),
        }
        Ok(())
    }
}

pub(crate) async fn line(answer: axum::response::Response) -> String {
    let status = answer.status().as_u16();
    if status != 401 {
        return status.to_string();
    }
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    format!("401 {} {}", problem["code"].as_str().unwrap(), problem["reason"].as_str().unwrap_or_default())
}
