//! What can happen next, and what each step must not do: the properties.

use crate::{
    rule::{Cause, Confirmation, Decision, below_floor, confirm, refresh, rotate_by_server},
    standing::{ended, standing},
    world::{NOW, Row, Scenario, Tab, World, bit, small},
};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Tick,
    Send(usize),
    LoseRequest(usize),
    Arrive(usize),
    Deliver(usize),
    LoseAnswer(usize),
    Use { node: usize },
    Reauthenticate(usize),
    Steal,
    ThiefRefresh(u8),
    ThiefUse { node: usize, generation: u8 },
    Confirm { node: usize },
    LoseBatch { node: usize },
    Notified,
    FailOver,
    RestoreBackup,
    End,
}

/// Where a step leads.
pub(crate) enum Next {
    /// It cannot happen here, or is beyond the bounds of the search.
    Not,
    World(World),
    /// The session has ended and, as was checked, stays ended.
    Ended,
    Violation(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Owner,
    Thief,
}

/// What became of a refresh.
enum Answer {
    Given(u8),
    Refused,
    Ended,
    Beyond,
    Violation(&'static str),
}

/// Every step that could be possible somewhere.
pub(crate) fn all(scenario: &Scenario) -> Vec<Step> {
    let mut steps = vec![Step::Tick, Step::Notified, Step::Steal, Step::FailOver, Step::RestoreBackup, Step::End];
    for tab in 0..usize::from(scenario.tabs) {
        use Step::{Arrive, Deliver, LoseAnswer, LoseRequest, Reauthenticate, Send};
        steps.extend([Send(tab), Arrive(tab), Deliver(tab), LoseRequest(tab), LoseAnswer(tab), Reauthenticate(tab)]);
    }
    for node in 0..usize::from(scenario.nodes) {
        steps.extend([Step::Use { node }, Step::Confirm { node }, Step::LoseBatch { node }]);
        steps.extend((1..=scenario.top).map(|generation| Step::ThiefUse { node, generation }));
    }
    steps.extend((1..=scenario.top).map(Step::ThiefRefresh));
    steps
}

pub(crate) fn take(world: &World, step: Step, scenario: &Scenario) -> Next {
    let mut next = *world;
    let possible = match step {
        Step::Tick => tick(&mut next, scenario),
        Step::Send(tab) => {
            next.tabs[tab] == Tab::Idle && {
                next.tabs[tab] = Tab::Asking(next.store);
                true
            }
        }
        Step::LoseRequest(tab) => {
            matches!(next.tabs[tab], Tab::Asking(_)) && {
                next.tabs[tab] = Tab::Idle;
                true
            }
        }
        Step::Arrive(tab) => {
            let Tab::Asking(generation) = next.tabs[tab] else { return Next::Not };
            excuse_late(&mut next, tab, generation, scenario);
            // Without a thief there is nothing to learn from what follows.
            if next.truth.excused && scenario.start.thefts == 0 {
                return Next::Not;
            }
            match ask(&mut next, Who::Owner, generation, scenario) {
                Answer::Given(given) => next.tabs[tab] = Tab::Answered(given),
                Answer::Refused => next.tabs[tab] = Tab::Idle,
                Answer::Ended => return ended(&next),
                Answer::Beyond => return Next::Not,
                Answer::Violation(what) => return Next::Violation(what),
            }
            true
        }
        Step::Deliver(tab) => {
            next.tabs[tab].receives() > 0 && {
                next.store = next.store.max(next.tabs[tab].receives());
                next.tabs[tab] = Tab::Idle;
                true
            }
        }
        // In the network, or by a crash before it was stored.
        Step::LoseAnswer(tab) => {
            next.tabs[tab].receives() > 0 && {
                let unforgivable = matches!(next.tabs[tab], Tab::Reauthenticated(made) if made > next.store);
                next.truth.excused |= unforgivable;
                next.tabs[tab] = Tab::Idle;
                !(unforgivable && scenario.start.thefts == 0)
            }
        }
        Step::Use { node } => {
            let generation = next.store;
            let_in(&mut next, node, generation)
        }
        Step::Reauthenticate(tab) => match reauthenticate(&mut next, tab, scenario) {
            Ok(possible) => possible,
            Err(what) => return Next::Violation(what),
        },
        Step::Steal => {
            next.left.thefts > 0 && next.stolen & bit(next.store) == 0 && {
                next.left.thefts -= 1;
                next.stolen |= bit(next.store);
                true
            }
        }
        Step::ThiefRefresh(generation) => {
            next.stolen & bit(generation) > 0 && {
                next.truth.thief_acted = true;
                match ask(&mut next, Who::Thief, generation, scenario) {
                    Answer::Given(given) => next.stolen |= bit(given),
                    Answer::Refused => {}
                    Answer::Ended => return ended(&next),
                    Answer::Beyond => return Next::Not,
                    Answer::Violation(what) => return Next::Violation(what),
                }
                true
            }
        }
        Step::ThiefUse { node, generation } => {
            next.stolen & bit(generation) > 0 && {
                next.truth.thief_acted = true;
                let_in(&mut next, node, generation)
            }
        }
        Step::Confirm { node } => match write_batch(&mut next, node, scenario) {
            Ok(Some(possible)) => possible,
            Ok(None) => return ended(&next),
            Err(what) => return Next::Violation(what),
        },
        Step::LoseBatch { node } => {
            next.left.lost_batches > 0 && (next.young[node] | next.old[node]) > 0 && {
                next.left.lost_batches -= 1;
                (next.young[node], next.old[node]) = (0, 0);
                true
            }
        }
        Step::Notified => next.lagging.take().is_some(),
        Step::FailOver => next.before.is_some_and(|row| restore(&mut next, row, scenario)),
        Step::RestoreBackup => {
            next.left.restores > 0 && {
                let row = World::new(scenario).row;
                row != next.row && restore(&mut next, row, scenario)
            }
        }
        Step::End => return ended(&next),
    };
    if !possible || next == *world {
        return Next::Not;
    }
    match standing(&next, scenario) {
        Some(what) => Next::Violation(what),
        None => Next::World(next.canonical(scenario)),
    }
}

fn tick(world: &mut World, scenario: &Scenario) -> bool {
    // A batch is written, or lost with its node, within the grace.
    if world.old != [0; 2] {
        return false;
    }
    (world.old, world.young) = (world.young, [0; 2]);
    (world.before, world.lagging) = (None, None);
    world.row = world.row.aged(1, scenario);
    let truth = &mut world.truth;
    truth.consumed = (truth.consumed + 1).min(scenario.root_cap());
    truth.handed = (truth.handed + 1).min(scenario.grace);
    for (asked, got) in truth.asked.iter_mut().zip(&mut truth.got) {
        *asked = (*asked + 1).min(scenario.grace);
        if *asked == scenario.grace {
            *got = 0;
        }
    }
    true
}

/// A request of the client that arrives when another's answer is there or on its way, and later than the grace; or past the
/// window.
fn excuse_late(world: &mut World, tab: usize, generation: u8, scenario: &Scenario) {
    let truth = &mut world.truth;
    let answered = world.store > generation || world.tabs[1 - tab].receives() > generation;
    let past_window = scenario.window.is_some_and(|window| truth.root == generation && truth.consumed >= window);
    let late = answered && truth.asked[usize::from(generation)] >= scenario.grace;
    truth.excused |= late || (past_window && generation < world.row.current);
}

fn ask(world: &mut World, who: Who, generation: u8, scenario: &Scenario) -> Answer {
    let old = world.row.state();
    let decision = refresh(&old, generation.into(), NOW, &scenario.settings());
    let (state, cause) = match decision {
        Decision::Rotate(state, cause) => (state, Some(cause)),
        Decision::Again(state) => (state, None),
        Decision::Superseded => return Answer::Refused,
        Decision::Ended => return Answer::Violation("a live session is said to have ended"),
        Decision::Reuse(_) if world.truth.thief_acted || world.truth.excused => return Answer::Ended,
        Decision::Reuse(_) if who == Who::Owner => {
            return Answer::Violation("P5: the owner is signed out, and nobody stole");
        }
        Decision::Reuse(_) => return Answer::Ended,
    };
    let given = small(state.current);
    if given > scenario.top {
        return Answer::Beyond;
    }
    let others = match who {
        Who::Owner => world.stolen,
        Who::Thief => bit(world.store),
    };
    let truth = &mut world.truth;
    let consumed = generation < world.row.current;
    let last = usize::from(generation);
    if truth.void & bit(generation) > 0 {
        return Answer::Violation("a void pair is accepted again");
    }
    if generation < truth.root {
        return Answer::Violation("a pair older than the root is accepted");
    }
    if generation < truth.barrier {
        return Answer::Violation("a pair from before a re-authentication leads past it");
    }
    // The presenting side is left behind: it comes with what was consumed, and the other side has the successor.
    let left_behind = consumed && others & bit(world.row.current) > 0;
    if left_behind && truth.known && truth.handed >= scenario.grace {
        return Answer::Violation(
            "P5: the side left behind refreshes, the other's tokens were used, and it is not found",
        );
    }
    if left_behind && cause.is_none() && truth.handed >= scenario.grace {
        return Answer::Violation(
            "P5: past the grace both sides come to hold the same tokens, and nobody is left behind",
        );
    }
    if consumed
        && scenario
            .window
            .is_some_and(|window| truth.consumed >= if cause.is_some() { window } else { window + scenario.grace })
    {
        return Answer::Violation("a retry has lengthened the window");
    }
    if ![0, generation, given].contains(&truth.got[last]) {
        return Answer::Violation("two successors of one generation within the grace");
    }
    if state.at_floor < old.at_floor || state.current < old.current {
        return Answer::Violation("the floor or the counter goes down");
    }

    truth.known |= generation == world.row.current;
    match cause {
        None if truth.known => {}
        None => truth.handed = 0,
        Some(cause) => {
            if cause == Cause::LostResponse {
                truth.void |= bit(world.row.current);
            } else {
                (truth.root, truth.consumed) = (generation, 0);
            }
            if cause == Cause::StateLost {
                truth.void |= truth.void_lost & (bit(generation) - 1);
                truth.void_settled |= truth.void;
            }
            truth.void_lost &= !bit(given);
            (truth.known, truth.handed) = (false, 0);
        }
    }
    (truth.asked[last], truth.got[last]) = (0, if scenario.grace > 0 { given } else { 0 });
    world.write(&state, scenario);
    Answer::Given(given)
}

/// An access token is shown to a node. Only what its confirmation could matter for is worth a step.
fn let_in(world: &mut World, node: usize, generation: u8) -> bool {
    let (floor, root) = match world.lagging {
        Some(lagging) if node == 1 => lagging,
        _ => (world.row.floor, world.row.at_root),
    };
    let refused = below_floor(floor.into(), (root > 0).then(|| root.into()), generation.into());
    let matters = world.truth.void & bit(generation) > 0 || (generation >= world.row.current && !world.truth.known);
    // Once for each generation.
    let known = (world.young[node] | world.old[node]) & bit(generation) > 0;
    !refused && matters && !known && {
        world.young[node] |= bit(generation);
        true
    }
}

/// `None` if it ended the session.
fn write_batch(world: &mut World, node: usize, scenario: &Scenario) -> Result<Option<bool>, &'static str> {
    let batch = world.young[node] | world.old[node];
    (world.young[node], world.old[node]) = (0, 0);
    for generation in (1..=scenario.top).filter(|generation| batch & bit(*generation) > 0) {
        let truth = &mut world.truth;
        match confirm(&world.row.state(), generation.into()) {
            Confirmation::Reuse if truth.thief_acted || truth.excused => return Ok(None),
            Confirmation::Reuse => return Err("P5: a confirmation signs the owner out, and nobody stole"),
            _ if truth.void & !truth.void_settled & bit(generation) > 0 => {
                return Err("P5: a pair that was given up is in use, and its confirmation ends nothing");
            }
            Confirmation::Seen(state) => {
                truth.known = true;
                world.write(&state, scenario);
            }
            Confirmation::Known => truth.known |= generation == world.row.current,
        }
    }
    Ok(Some(batch > 0))
}

fn reauthenticate(world: &mut World, tab: usize, scenario: &Scenario) -> Result<bool, &'static str> {
    let old = world.row.state();
    let refused = below_floor(old.at_floor, old.at_root, world.store.into());
    if world.left.reauthentications == 0 || world.tabs[tab] != Tab::Idle || refused || world.row.current >= scenario.top
    {
        return Ok(false);
    }
    let Some(state) = rotate_by_server(&old, NOW) else { return Err("a live session is said to have ended") };
    if state.at_floor < old.at_floor || state.current <= old.current {
        return Err("the floor or the counter goes down");
    }
    world.left.reauthentications -= 1;
    world.write(&state, scenario);
    let made = world.row.current;
    world.tabs[tab] = Tab::Reauthenticated(made);
    let truth = &mut world.truth;
    truth.void_settled |= truth.void;
    (truth.barrier, truth.root, truth.known, truth.handed) = (made, 0, false, scenario.grace);
    // It doubles whatever refresh is under way.
    truth.asked = [0; _];
    truth.got = [0; _];
    Ok(true)
}

/// The database comes back as it was: writes that were acknowledged are lost.
fn restore(world: &mut World, row: Row, scenario: &Scenario) -> bool {
    world.left.restores -= 1;
    (world.row, world.before, world.lagging) = (row, None, None);
    let truth = &mut world.truth;
    let still_void =
        (1..row.current).filter(|it| row.at_root < *it && *it < row.floor).fold(0, |all, it| all | bit(it));
    truth.void_lost |= truth.void & !still_void;
    truth.void &= still_void;
    (truth.root, truth.consumed, truth.handed, truth.known) = (row.root, row.consumed(), row.handed, row.seen);
    truth.got = [0; _];
    // Nor does the database know how lately it has answered the root, or of a re-authentication that excused others.
    let asked = &mut truth.asked[usize::from(row.root)];
    *asked = row.handed.max(*asked);
    if truth.barrier > row.current {
        truth.barrier = 0;
        truth.asked = [scenario.grace; _];
    }
    true
}
