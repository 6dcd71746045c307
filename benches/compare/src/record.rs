//! Each figure is printed for whoever watches, and appended as one line of JSON to the file that `BENCH_OUT` names, out of which
//! the program `report` writes `docs/benchmarks.md`.

use std::{fs::OpenOptions, io::Write as _};

use serde::{Deserialize, Serialize};

/// One line: what was measured of one variant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// A row of a table.
    Row { section: String, name: String, figures: Vec<Figure> },
    /// A figure beside its goal.
    Goal { section: String, what: String, value: f64, unit: String, goal: Goal },
    /// What a reader has to know of a section: how it was measured.
    Note { section: String, text: String },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    pub what: String,
    pub value: f64,
    pub unit: String,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    pub fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

/// A row of the table of this section: name, then what, value and unit of each figure.
pub fn row(section: &str, name: &str, figures: &[(&str, f64, &str)]) {
    let text: Vec<_> = figures.iter().map(|(what, value, unit)| format!("{what} {} {unit}", short(*value))).collect();
    println!("[{section}] {name}: {}", text.join(", "));
    let figure =
        |(what, value, unit): &(&str, f64, &str)| Figure { what: (*what).into(), value: *value, unit: (*unit).into() };
    write(&Record::Row { section: section.into(), name: name.into(), figures: figures.iter().map(figure).collect() });
}

/// A figure with a goal of the issue's. Missing it is told, and fails nothing: figures are looked at by people.
pub fn goal(section: &str, what: &str, value: f64, unit: &str, goal: Goal) {
    let met = if goal.is_met_by(value) { "met" } else { "MISSED" };
    println!("[{section}] GOAL {met}: {what}: {} {unit} ({goal:?})", short(value));
    write(&Record::Goal { section: section.into(), what: what.into(), value, unit: unit.into(), goal });
}

pub fn note(section: &str, text: &str) {
    println!("[{section}] {text}");
    write(&Record::Note { section: section.into(), text: text.into() });
}

/// Three digits that say something.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn write(record: &Record) {
    let Ok(path) = std::env::var("BENCH_OUT") else { return };
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("BENCH_OUT can be written");
    let line = serde_json::to_string(record).expect("plain data");
    writeln!(file, "{line}").expect("BENCH_OUT can be written");
}
