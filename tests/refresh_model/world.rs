//! The world: one row, a client with two tabs and one store, the network between, two nodes, a thief.
//!
//! Times are ages in ticks, capped where the rule no longer tells them apart, so the world is finite and a search of it
//! ends by itself.

use std::time::Duration;

use crate::rule::{DbTime, Rotation, Settings, State};

/// Masks and arrays are indexed by generation.
pub(crate) const GENERATIONS: usize = 8;

/// "Now", always: a row is given to the rule with its ages counted back from here.
pub(crate) const NOW: DbTime = DbTime(1_000 * TICK);
const TICK: i64 = 1_000_000;

/// What a search is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The highest generation that is made; what would make a higher one does not happen.
    pub(crate) top: u8,
    pub(crate) grace: u8,
    pub(crate) window: Option<u8>,
    pub(crate) tabs: u8,
    /// The first hears of everything at once; the second may lag.
    pub(crate) nodes: u8,
    pub(crate) start: Budget,
}

/// How often what is rare may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) thefts: u8,
    pub(crate) restores: u8,
    pub(crate) reauthentications: u8,
    /// Batches of confirmations that a node takes with it.
    pub(crate) lost_batches: u8,
}

impl Scenario {
    pub(crate) fn settings(&self) -> Settings {
        let ticks = |count: u8| Duration::from_secs(u64::from(count));
        Settings { grace: ticks(self.grace), lost_response_window: self.window.map(ticks) }
    }

    pub(crate) fn consumed_cap(&self) -> u8 {
        self.window.unwrap_or(0).max(self.grace)
    }

    /// The last age at which a root may still be good for anything.
    pub(crate) fn root_cap(&self) -> u8 {
        self.window.map_or(0, |window| window + self.grace)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) row: Row,
    /// The row before the last write, until the next tick: what a failover may bring back.
    pub(crate) before: Option<Row>,
    /// The generation in the client's store. The tabs share it, store before they use, and never store a lower one.
    pub(crate) store: u8,
    pub(crate) tabs: [Tab; 2],
    /// The generations of which the thief has the tokens, as a mask.
    pub(crate) stolen: u8,
    /// For each node, the generations that it is to confirm, as masks: of this tick, and of the one before.
    pub(crate) young: [u8; 2],
    pub(crate) old: [u8; 2],
    /// Floor and root as the second node still knows them, until it is told or the next tick at the latest.
    pub(crate) lagging: Option<(u8, u8)>,
    pub(crate) left: Budget,
    pub(crate) truth: Truth,
}

/// What really happened, kept beside the rule and without asking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Truth {
    /// Generations that were given up for another, as a mask; those of which the database knows nothing since a restore;
    /// those whose late confirmation is excused, because a re-authentication or a lost state came between.
    pub(crate) void: u8,
    pub(crate) void_lost: u8,
    pub(crate) void_settled: u8,
    /// The generation last consumed as the current one, and how long ago.
    pub(crate) root: u8,
    pub(crate) consumed: u8,
    /// How long ago the current generation was last handed out before it was known to have arrived.
    pub(crate) handed: u8,
    /// The current generation is known to have arrived: a confirmation was written, or it was presented.
    pub(crate) known: bool,
    /// For each generation, how long ago it was last presented with success, and what it got.
    pub(crate) asked: [u8; GENERATIONS],
    pub(crate) got: [u8; GENERATIONS],
    /// The generation that the last re-authentication made.
    pub(crate) barrier: u8,
    pub(crate) thief_acted: bool,
    /// The client did what no rule can forgive (see the end of the docs of `rule::refresh`).
    pub(crate) excused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Tab {
    Idle,
    /// A request with this generation is under way.
    Asking(u8),
    /// The answer with this generation is under way.
    Answered(u8),
    /// As before, but of a re-authentication.
    Reauthenticated(u8),
}

impl Tab {
    /// The generation that is on its way to the client.
    pub(crate) fn receives(self) -> u8 {
        match self {
            Self::Answered(generation) | Self::Reauthenticated(generation) => generation,
            Self::Idle | Self::Asking(_) => 0,
        }
    }
}

/// A row with ages for times and 0 for "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) current: u8,
    pub(crate) root: u8,
    consumed: u8,
    pub(crate) handed: u8,
    pub(crate) seen: bool,
    pub(crate) floor: u8,
    pub(crate) at_root: u8,
    broken: u8,
}

impl Row {
    pub(crate) fn state(&self) -> State {
        let ago = |age: u8| DbTime(NOW.0 - i64::from(age) * TICK);
        State {
            current: self.current.into(),
            rotation: (self.root > 0).then(|| Rotation {
                root: self.root.into(),
                consumed_at: ago(self.consumed),
                handed_at: ago(self.handed),
                seen: self.seen,
            }),
            at_floor: self.floor.into(),
            at_root: (self.at_root > 0).then(|| self.at_root.into()),
            // What is past the grace might as well never have been.
            broken_at: (self.broken < u8::MAX).then(|| ago(self.broken)),
            ended: false,
        }
    }

    pub(crate) fn of(state: &State, scenario: &Scenario) -> Self {
        let age = |at: DbTime, cap: u8| small((NOW.0 - at.0) / TICK).min(cap);
        let row = Self {
            current: small(state.current),
            root: state.rotation.map_or(0, |made| small(made.root)),
            consumed: state.rotation.map_or(0, |made| age(made.consumed_at, scenario.consumed_cap())),
            handed: state.rotation.map_or(0, |made| age(made.handed_at, scenario.grace)),
            seen: state.rotation.is_some_and(|made| made.seen),
            floor: small(state.at_floor),
            at_root: state.at_root.map_or(0, small),
            broken: state.broken_at.map_or(u8::MAX, |at| age(at, u8::MAX)),
        };
        row.aged(0, scenario)
    }

    pub(crate) fn aged(mut self, ticks: u8, scenario: &Scenario) -> Self {
        if self.root > 0 {
            self.consumed = (self.consumed + ticks).min(scenario.consumed_cap());
            self.handed = (self.handed + ticks).min(scenario.grace);
        }
        if self.broken.saturating_add(ticks) >= scenario.grace {
            self.broken = u8::MAX;
        } else {
            self.broken += ticks;
        }
        self
    }

    pub(crate) fn consumed(&self) -> u8 {
        self.consumed
    }
}

/// Generations and ages are small here.
pub(crate) fn small<N: TryInto<u8>>(number: N) -> u8 {
    number.try_into().unwrap_or_else(|_| panic!("a model of small numbers"))
}

pub(crate) fn bit(generation: u8) -> u8 {
    1 << generation
}

impl World {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let truth = Truth {
            void: 0,
            void_lost: 0,
            void_settled: 0,
            root: 0,
            consumed: scenario.root_cap(),
            handed: scenario.grace,
            known: false,
            asked: [scenario.grace; GENERATIONS],
            got: [0; GENERATIONS],
            barrier: 0,
            thief_acted: false,
            excused: false,
        };
        Self {
            row: Row::of(&State::new(), scenario),
            before: None,
            store: 1,
            tabs: [Tab::Idle; 2],
            stolen: 0,
            young: [0; 2],
            old: [0; 2],
            lagging: None,
            left: scenario.start,
            truth,
        }
    }

    /// Writes the row.
    pub(crate) fn write(&mut self, state: &State, scenario: &Scenario) {
        let row = Row::of(state, scenario);
        if row == self.row {
            return;
        }
        if (row.floor, row.at_root) != (self.row.floor, self.row.at_root)
            && self.lagging.is_none()
            && scenario.nodes > 1
        {
            self.lagging = Some((self.row.floor, self.row.at_root));
        }
        if self.left.restores > 0 {
            self.before = Some(self.row);
        }
        self.row = row;
    }

    /// The two tabs are alike, so which is which does not matter.
    pub(crate) fn canonical(mut self, scenario: &Scenario) -> Self {
        self.tabs[..scenario.tabs.into()].sort_unstable();
        self
    }
}
