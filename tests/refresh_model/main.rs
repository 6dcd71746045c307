//! P5, shown for every history: breadth first through all that two tabs, a thief, an end, lost, late and reordered
//! answers, a crash before the answer is stored, a failover, a backup, a re-authentication and the confirmations of two
//! nodes can do to a session, with the rule of `src/token/refresh/rule.rs` itself.
//!
//! Each search runs until nothing new comes, so within its bounds (how many generations, how many rare events; see
//! [`world::Scenario`]) it covers histories of any length. It builds without Cargo as well, which is how
//! `tests/refresh_mutants.rs` builds it with mistakes in the rule.

#![allow(clippy::print_stdout, reason = "what was covered is part of the result")]

#[allow(dead_code, reason = "the crate logs more of the decisions than a model looks at")]
#[path = "../../src/token/refresh/rule.rs"]
mod rule;
mod search;
mod show;
mod standing;
mod step;
mod world;

use std::time::Instant;

use world::{Budget, Scenario};

const NOTHING: Budget = Budget { thefts: 0, restores: 0, reauthentications: 0, lost_batches: 0 };

/// A build without optimisation has a smaller world, the same in kind.
const LESS: u8 = if cfg!(debug_assertions) { 1 } else { 0 };

fn holds(scenario: Scenario) {
    let started = Instant::now();
    match search::search(&scenario) {
        Err(counterexample) => panic!("{counterexample}"),
        Ok(covered) => println!(
            "{}: {} worlds, {} steps, depth {}, {:.1e} interleavings of up to {} steps; {:.1} s",
            scenario.name,
            covered.worlds,
            covered.steps,
            covered.depth,
            covered.interleavings,
            search::LENGTH,
            started.elapsed().as_secs_f64()
        ),
    }
}

#[test]
fn an_honest_client_stays_signed_in() {
    holds(Scenario {
        name: "two tabs",
        top: 5 - LESS,
        grace: 2,
        window: None,
        tabs: 2,
        nodes: 2 - LESS,
        start: Budget { reauthentications: 1, lost_batches: 1, ..NOTHING },
    });
}

#[test]
fn an_honest_client_survives_failovers() {
    holds(Scenario {
        name: "two tabs and a failover",
        top: 4 - LESS,
        grace: 2,
        window: None,
        tabs: 2,
        nodes: 2 - LESS,
        start: Budget { restores: 1, reauthentications: 1, ..NOTHING },
    });
}

#[test]
fn a_window_ends_and_no_retry_lengthens_it() {
    holds(Scenario {
        name: "two tabs and a window",
        top: 5 - LESS,
        grace: 2,
        window: Some(4),
        tabs: 2,
        nodes: 1,
        start: NOTHING,
    });
}

#[test]
fn a_thief_does_not_lengthen_the_window() {
    holds(Scenario {
        name: "a thief and a window",
        top: 5 - LESS,
        grace: 2,
        window: Some(4),
        tabs: 1,
        nodes: 1,
        start: Budget { thefts: 1, ..NOTHING },
    });
}

#[test]
fn a_thief_is_found() {
    holds(Scenario {
        name: "a thief",
        top: 5 - LESS,
        grace: 2,
        window: None,
        tabs: 1,
        nodes: 2,
        start: Budget { thefts: 1, lost_batches: 1, ..NOTHING },
    });
}

#[test]
fn a_thief_among_two_tabs_is_found() {
    holds(Scenario {
        name: "a thief and two tabs",
        top: 4 - LESS,
        grace: 2,
        window: None,
        tabs: 2,
        nodes: 2,
        start: Budget { thefts: 1, ..NOTHING },
    });
}

#[test]
fn a_thief_gains_nothing_by_a_reauthentication() {
    holds(Scenario {
        name: "a thief and a re-authentication",
        top: 4 - LESS,
        grace: 2,
        window: None,
        tabs: 1,
        nodes: 2,
        start: Budget { thefts: 1, reauthentications: 1, ..NOTHING },
    });
}

#[test]
fn a_thief_gains_nothing_void_by_a_failover() {
    holds(Scenario {
        name: "a thief and a failover",
        top: 4 - LESS,
        grace: 2,
        window: None,
        tabs: 1,
        nodes: 1,
        start: Budget { thefts: 1, restores: 1, ..NOTHING },
    });
}

#[test]
fn to_the_letter_of_rfc_9700_every_replay_is_found() {
    holds(Scenario {
        name: "grace and window of zero",
        top: 4 - LESS,
        grace: 0,
        window: Some(0),
        tabs: 1,
        nodes: 2,
        start: Budget { thefts: 1, reauthentications: 1, ..NOTHING },
    });
}
