//! Last activity against a model: two nodes on one Postgres, one of them behind a gate that shuts. Whatever the order of
//! requests, flushes, failures, repetitions, ends and restarts: it never moves back, never touches what has ended, and
//! only a crash loses what was not written.
//!
//! Time is virtual: it passes by moving the clock of both nodes forward and every row back. Beside the sessions stands a
//! table that the same writes reach the naive way, for the controls.

#![cfg(all(feature = "postgres", feature = "test-util"))]

mod world;

use std::env;

use node::migrated;
use proptest::{prelude::*, test_runner::TestRunner};
use support::TestDb;
use world::{Controls, World};

use crate::{gate, node, support};

const SESSIONS: usize = 3;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Request(usize, usize),
    Flush(usize),
    Wait(u64),
    Cut,
    Restore,
    /// Through a node, or by hand for 2.
    End(usize, usize),
    /// In order or not: the second may have died.
    Restart(usize, bool),
    /// Batches that some node sends, and sends again: of ages in units of time.
    Batches(Vec<(usize, u64)>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..2_usize, 0..SESSIONS).prop_map(|(node, session)| Step::Request(node, session)),
        4 => (0..2_usize).prop_map(Step::Flush),
        5 => (1_u64..20).prop_map(Step::Wait),
        2 => Just(Step::Cut),
        2 => Just(Step::Restore),
        1 => (0..3_usize, 0..SESSIONS).prop_map(|(by, session)| Step::End(by, session)),
        2 => (0..2_usize, any::<bool>()).prop_map(|(node, in_order)| Step::Restart(node, in_order)),
        2 => proptest::collection::vec((0..SESSIONS, 0_u64..10), 1..4).prop_map(Step::Batches),
    ];
    proptest::collection::vec(step, 10..50)
}

#[test]
fn a_row_is_as_old_as_the_newest_request_that_was_written_before_its_end() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (db, client, direct) = runtime.block_on(async {
        let db = TestDb::new().await;
        let direct = migrated(&db).await;
        let client = db.connect().await;
        let naive = "CREATE TABLE naive (id uuid PRIMARY KEY, plain timestamptz, newest timestamptz)";
        client.batch_execute(naive).await.unwrap();
        (db, client, direct)
    });
    let cases = env::var("PROPTEST_CASES").map_or(48, |text| text.parse().unwrap());
    let config =
        ProptestConfig { failure_persistence: None, max_shrink_time: 60_000, ..ProptestConfig::with_cases(cases) };
    let controls = Controls::default();
    let told = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(async {
            let mut world = World::new(&client, db.url(), &direct, &controls).await;
            for step in steps {
                world.step(step).await?;
                world.check().await?;
            }
            // In the end everything is written.
            world.restore().await;
            for node in 0..2 {
                world.step(Step::Flush(node)).await?;
                prop_assert_eq!(world.nodes[node].0.sessions.health().queued_activity, 0);
            }
            world.check().await
        })
    });
    println!("{controls:?}");
    told.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(controls.moved_back.get() > 0, "the control: set as it comes, it moves back");
    assert!(controls.ended_changed.get() > 0, "the control: who does not look at the end changes what has ended");
}
