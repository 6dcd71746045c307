//! Out of what was measured, a page: `docs/benchmarks.md` and its plots.

pub mod document;
pub mod machine;
pub mod numbers;
pub mod plot;
pub mod table;

use crate::record::{Figure, Goal, Record};

/// In the order in which a reader asks. Sections of other names come behind them.
pub const SECTIONS: [&str; 12] = [
    "Instructions",
    "Allocations",
    "In process",
    "First sight",
    "Contention",
    "Over HTTP",
    "Database",
    "Flush",
    "Cold start",
    "End to refusal",
    "Memory",
    "Crates added",
];

pub struct Section {
    pub name: String,
    pub notes: Vec<String>,
    pub rows: Vec<(String, Vec<Figure>)>,
    pub goals: Vec<(String, f64, String, Goal)>,
}

/// What was told of each section, in order.
#[must_use]
pub fn sections(records: Vec<Record>) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut of = |name: String, add: &mut dyn FnMut(&mut Section)| {
        let known = sections.iter().position(|section| section.name == name);
        let at = known.unwrap_or_else(|| {
            sections.push(Section { name, notes: Vec::new(), rows: Vec::new(), goals: Vec::new() });
            sections.len() - 1
        });
        add(&mut sections[at]);
    };
    for record in records {
        match record {
            Record::Row { section, name, figures } => {
                of(section, &mut |to| to.rows.push((name.clone(), figures.clone())))
            }
            Record::Goal { section, what, value, unit, goal } => {
                of(section, &mut |to| to.goals.push((what.clone(), value, unit.clone(), goal)));
            }
            // Programs that share a section may tell the same.
            Record::Note { section, text } => of(section, &mut |to| {
                if !to.notes.contains(&text) {
                    to.notes.push(text.clone());
                }
            }),
        }
    }
    // Stable, so that unknown ones stay as they came.
    sections.sort_by_key(|section| SECTIONS.iter().position(|name| *name == section.name).unwrap_or(SECTIONS.len()));
    sections
}
