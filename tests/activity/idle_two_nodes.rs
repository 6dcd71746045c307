//! Idle expiry between nodes, by histories of two of them on one Postgres. Whoever was active within the idle timeout
//! is never signed out, whichever node saw it and whatever the database did meanwhile; who was not, is.
//!
//! Time is virtual: it passes by moving the clock of both nodes forward and every row back. The controls judge the same
//! histories by what a node has in memory, and by the row alone.

#![cfg(all(feature = "postgres", feature = "test-util"))]

mod world;

use std::{env, time::Duration};

use axum_device_sessions::PostgresStore;
use gate::Gate;
use node::{Node, migrated};
use proptest::{prelude::*, test_runner::TestRunner};
use support::{TestDb, eventually};
use tokio_postgres::Client;
use world::{Controls, World, line};

use crate::{gate, node, support};

/// In seconds of virtual time.
const IDLE: u64 = 1_000;
const INTERVAL: u64 = 100;
/// The documented allowance.
const ALLOWANCE: u64 = 2 * INTERVAL;
/// Time passes in steps of this. Each node hears of the database in each, as from its beats and its own requests.
const STEP: u64 = 50;
const SESSIONS: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    Request(usize, usize),
    Flush(usize),
    /// So many steps of time, and after which of them which node is asked by whom.
    Pass(u64, Vec<Asked>),
    /// The same without the database.
    Outage(u64, Vec<Asked>),
}

pub(crate) type Asked = (u64, usize, usize);

#[derive(Clone, Debug)]
pub(crate) struct History {
    /// Shorter and longer than the activity interval: what counts as a silence must not depend on it.
    pub(crate) max_staleness: u64,
    /// When each node's timer fires first.
    pub(crate) due: [u64; 2],
    /// Whether a node first hears of the reconnect by the request that it is to judge.
    told_by_request: bool,
    steps: Vec<Step>,
}

fn histories() -> impl Strategy<Value = History> {
    let asked = || proptest::collection::vec((0_u64..30, 0..2_usize, 0..SESSIONS), 0..8);
    // Up to one and a half idle timeouts, often about one.
    let steps = || prop_oneof![1_u64..31, 17_u64..26];
    let step = prop_oneof![
        3 => (0..2_usize, 0..SESSIONS).prop_map(|(node, session)| Step::Request(node, session)),
        1 => (0..2_usize).prop_map(Step::Flush),
        3 => (steps(), asked()).prop_map(|(steps, asked)| Step::Pass(steps, asked)),
        3 => (steps(), asked()).prop_map(|(steps, asked)| Step::Outage(steps, asked)),
    ];
    // Chance seldom finds this: active on one node shortly before its time, an outage before that is written, and back
    // on the other shortly after it.
    let at_the_edge = (17_u64..20, 0..2_usize, 0..SESSIONS, 4_u64..9).prop_map(|(steps, node, session, away)| {
        let (ask, ask_other) = (Step::Request(node, session), Step::Request(1 - node, session));
        vec![ask.clone(), Step::Flush(node), Step::Pass(steps, vec![]), ask, Step::Outage(away, vec![]), ask_other]
    });
    let steps = proptest::collection::vec(prop_oneof![4 => step.prop_map(|step| vec![step]), 1 => at_the_edge], 4..10);
    let due = || prop_oneof![Just(STEP), Just(INTERVAL)];
    (prop_oneof![Just(60_u64), Just(400)], [due(), due()], any::<bool>(), steps).prop_map(
        |(max_staleness, due, told_by_request, steps)| {
            let steps = steps.concat();
            History { max_staleness, due, told_by_request, steps }
        },
    )
}

async fn tell(db: &TestDb, client: &Client, history: History, controls: &Controls) -> Result<(), TestCaseError> {
    let mut world = World::new(db, client, &history, controls).await;
    for step in history.steps {
        match step {
            Step::Request(node, session) => world.request(node, session).await?,
            Step::Flush(node) => world.flush(node).await?,
            Step::Pass(steps, asked) => world.spend(steps, &asked).await?,
            Step::Outage(steps, asked) => {
                world.gates.iter().for_each(Gate::shut);
                world.spend(steps, &asked).await?;
                world.come_back(!history.told_by_request).await;
            }
        }
    }
    Ok(())
}

#[test]
fn the_active_are_never_signed_out_and_the_idle_are() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (db, client) = runtime.block_on(async {
        let db = TestDb::new().await;
        migrated(&db).await;
        let client = db.connect().await;
        (db, client)
    });
    let cases = env::var("PROPTEST_CASES").map_or(24, |text| text.parse().unwrap());
    let config =
        ProptestConfig { failure_persistence: None, max_shrink_time: 60_000, ..ProptestConfig::with_cases(cases) };
    let controls = Controls::default();
    let told =
        TestRunner::new(config).run(&histories(), |history| runtime.block_on(tell(&db, &client, history, &controls)));
    println!("{controls:?}");
    told.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(controls.let_in.get() > 0 && controls.refused.get() > 0 && controls.unavailable.get() > 0);
    assert!(controls.by_memory.get() > 0, "the control: by what it has in memory, a node signs out the active");
    assert!(controls.by_row.get() > 0, "the control: so it does by the row, before every node has written");
}

/// Beats may be much further apart than what counts as a silence. Where nobody asks and nothing is wrong, there is none.
#[tokio::test]
async fn a_quiet_time_is_no_outage() {
    let db = TestDb::new().await;
    migrated(&db).await;
    let mut nodes = Vec::new();
    // Three, of which a busy machine may stop some for longer than an interval.
    for _ in 0..3 {
        let store = PostgresStore::connect(db.url()).await.unwrap();
        let node = Node::with(store, |builder| {
            let (idle, interval) = (Duration::from_secs(3), Duration::from_millis(300));
            builder.idle_timeout(idle).activity_interval(interval).max_staleness(Duration::from_secs(60))
        });
        nodes.push(node.await);
    }
    let client = db.connect().await;
    let sql = "SELECT clock_timestamp() - last_activity_at > interval '3.7 seconds' FROM device_sessions.sessions \
               WHERE user_id = $1";
    let mut answers = Vec::new();
    // More than once: a machine that holds all of it up for longer than an interval has had a silence.
    for user in ["ahmed", "lena", "sam", "eve", "joe"] {
        let signed_in = nodes[0].sign_in(user).await;
        eventually("it is idle", async || client.query_one(sql, &[&user]).await.unwrap().get(0)).await;
        for node in &nodes {
            answers.push(line(node.get(&signed_in).await).await);
        }
        if answers.iter().any(|answer| answer == "401 session_ended idle") {
            return;
        }
    }
    panic!("at the first request: {answers:?}");
}
