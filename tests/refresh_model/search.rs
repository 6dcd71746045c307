//! Breadth first through everything that can happen, to the end; so a counterexample is a shortest one.

use std::{
    collections::HashMap,
    fmt::Write as _,
    hash::{BuildHasherDefault, Hasher},
};

use crate::{
    step::{self, Next, Step},
    world::{Scenario, World},
};

/// How long the histories are that are counted.
pub(crate) const LENGTH: usize = 20;

/// What was covered.
#[derive(Debug)]
pub(crate) struct Covered {
    pub(crate) worlds: usize,
    pub(crate) steps: usize,
    /// The longest of the shortest ways to a world: how deep the search went until nothing new came.
    pub(crate) depth: usize,
    /// How many histories of up to [`LENGTH`] steps there are in it.
    pub(crate) interleavings: f64,
}

/// The first world of each way in, and the step by which it was first reached.
struct Found {
    from: u32,
    by: u8,
}

pub(crate) fn search(scenario: &Scenario) -> Result<Covered, String> {
    let steps = step::all(scenario);
    let mut worlds = vec![World::new(scenario)];
    let mut found = vec![Found { from: 0, by: 0 }];
    let mut index: HashMap<World, u32, BuildHasherDefault<Mixer>> = HashMap::default();
    index.insert(worlds[0], 0);
    // The successors of each world, one after the other; an end has none of its own.
    let (mut targets, mut first_target) = (Vec::new(), vec![0_usize]);
    let (mut depth, mut level_ends) = (0, 1);
    let mut at = 0;
    while at < worlds.len() {
        if at == level_ends {
            (depth, level_ends) = (depth + 1, worlds.len());
        }
        let world = worlds[at];
        for (by, step) in (0..).zip(&steps) {
            let here = || Found { from: u32::try_from(at).expect("fewer worlds"), by };
            match step::take(&world, *step, scenario) {
                Next::Not => {}
                Next::Ended => targets.push(END),
                Next::Violation(what) => {
                    found.push(here());
                    return Err(tell(what, &worlds, &found, &steps, scenario));
                }
                Next::World(next) => targets.push(*index.entry(next).or_insert_with(|| {
                    worlds.push(next);
                    found.push(here());
                    u32::try_from(worlds.len() - 1).expect("fewer worlds")
                })),
            }
        }
        first_target.push(targets.len());
        at += 1;
    }
    let interleavings = count(&targets, &first_target);
    Ok(Covered { worlds: worlds.len(), steps: targets.len(), depth, interleavings })
}

const END: u32 = u32::MAX;

/// The histories of 1 to [`LENGTH`] steps: how many ways lead into each world by each length.
fn count(targets: &[u32], first_target: &[usize]) -> f64 {
    let worlds = first_target.len() - 1;
    let (mut ways, mut total) = (vec![0.0; worlds], 0.0);
    ways[0] = 1.0;
    for _ in 0..LENGTH {
        let mut next = vec![0.0; worlds];
        for (world, ways) in ways.iter().enumerate().filter(|(_, ways)| **ways > 0.0) {
            for target in &targets[first_target[world]..first_target[world + 1]] {
                total += ways;
                if *target != END {
                    next[*target as usize] += ways;
                }
            }
        }
        ways = next;
    }
    total
}

fn tell(what: &str, worlds: &[World], found: &[Found], steps: &[Step], scenario: &Scenario) -> String {
    let mut history = Vec::new();
    let mut at = found.len() - 1;
    while at > 0 {
        history.push((at, steps[usize::from(found[at].by)]));
        at = found[at].from as usize;
    }
    let mut text = format!("counterexample in {:?}, {} steps: {what}\n", scenario.name, history.len());
    for (number, (at, step)) in history.iter().rev().enumerate() {
        let row = worlds.get(*at).map_or_else(String::new, |world| {
            let row = &world.row;
            let seen = if row.seen { ", seen" } else { "" };
            format!("  [current {}, root {}{seen}, floor {}]", row.current, row.root, row.floor)
        });
        writeln!(text, "{:>4}. {step}{row}", number + 1).expect("a string takes everything");
    }
    text
}

/// Worlds are not chosen by an adversary, and the standard hasher would be most of the work.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for eight in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..eight.len()].copy_from_slice(eight);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_isize(&mut self, number: isize) {
        self.write_i64(number as i64);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
