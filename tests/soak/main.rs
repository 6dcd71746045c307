//! Several nodes as processes of their own, one Postgres, random sign-ins, requests and ends, and a fault in the
//! middle. Afterwards a checker goes through the log of the clients:
//!
//! * nobody was let in who had been signed out: on the node that ended the session with no request sent after the
//!   end was acknowledged, on any other with none sent later than `max_staleness` after it;
//! * nobody was refused without a cause in the database.
//!
//! Each fault is also made to nodes of the naive design (`naive.rs`), which must break the first rule: else the fault
//! was none. `SOAK_SECS` (6 by default) is how long each of them runs.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

mod checker;
mod driver;
mod fault;
#[path = "../support/naive.rs"]
mod naive;
mod node;
#[path = "../support/stall.rs"]
mod stall;

use std::{env, time::Duration};

use checker::Verdict;
use fault::Fault;
use node::{Kind, Node};
use stall::Stall;
use support::{TestDb, eventually};

/// Short, so that a few seconds hold many of them.
const MAX_STALENESS: Duration = Duration::from_millis(1_000);
/// Bounds what nobody tells of, when the triggers are missing.
const MAX_AGE: Duration = Duration::from_secs(3);

fn soak_time() -> Duration {
    Duration::from_secs(env::var("SOAK_SECS").map_or(6, |text| text.parse().expect("SOAK_SECS is a number of seconds")))
}

async fn run(fault: Fault, kind: Kind, nodes: usize) -> Verdict {
    let db = TestDb::own_cluster(&[]).await;
    let stall = Stall::to(db.url()).await;
    let kind = if kind == Kind::Naive && fault == Fault::Nothing { Kind::NaiveAndDeaf } else { kind };
    let nodes = Node::start(kind, nodes, db.url(), &stall.url(db.url())).await;
    let addresses: Vec<_> = nodes.iter().map(Node::address).collect();
    let clients = driver::run(&addresses, soak_time());
    let trouble = fault::make(fault, &db, &stall, soak_time());
    let (log, ()) = tokio::join!(clients, trouble);
    if kind == Kind::Ours {
        for node in &nodes {
            eventually("the node has recovered", || async { node.is_told().await }).await;
        }
    }
    let bound = if fault == Fault::TriggersMissing { MAX_AGE } else { MAX_STALENESS };
    let verdict = checker::check(&log, &db.connect().await, bound).await;
    println!("{fault:?}, {kind:?}, {} nodes: {verdict}", nodes.len());
    verdict
}

async fn holds_and_the_naive_design_does_not(fault: Fault, nodes: usize) {
    // Beside each other, each with a server of its own: both mostly wait.
    let (ours, naive) = tokio::join!(run(fault, Kind::Ours, nodes), run(fault, Kind::Naive, nodes));
    assert!(ours.requests > 200 && ours.ends > 10 && ours.asked_after_an_end > 20, "enough happened: {ours}");
    assert!(ours.let_in_late.is_empty(), "{:#?}", ours.let_in_late);
    assert!(ours.without_cause.is_empty(), "{:#?}", ours.without_cause);
    assert!(ours.unexpected.is_empty(), "{:#?}", ours.unexpected);
    assert!(!naive.let_in_late.is_empty(), "the fault was none: the naive design has kept the promise too ({naive})");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing() {
    holds_and_the_naive_design_does_not(Fault::Nothing, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listeners_backend_is_terminated() {
    holds_and_the_naive_design_does_not(Fault::ListenerTerminated, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_is_killed() {
    holds_and_the_naive_design_does_not(Fault::BackendKilled, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_crashes_and_starts_again() {
    holds_and_the_naive_design_does_not(Fault::ServerCrashed, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listeners_traffic_is_held() {
    holds_and_the_naive_design_does_not(Fault::ListenerHeld, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listeners_backend_is_stopped() {
    holds_and_the_naive_design_does_not(Fault::ListenerStopped, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_dedicated_connections_are_held() {
    holds_and_the_naive_design_does_not(Fault::BothHeld, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_triggers_are_dropped() {
    holds_and_the_naive_design_does_not(Fault::TriggersMissing, 2).await;
}
