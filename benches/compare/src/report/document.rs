//! The page.

use std::fmt::Write as _;

use super::{
    SECTIONS, Section, plot,
    table::{escaped, tables, with_unit},
};
use crate::record::Goal;

/// What a reader has to know of the whole.
pub struct Head {
    pub quick: bool,
    /// Programs that did not run to their end.
    pub failed: Vec<String>,
    pub machine: Vec<(&'static str, String)>,
    pub versions: Vec<(String, String)>,
}

/// The text, and the plots by file name.
#[must_use]
pub fn document(head: &Head, sections: &[Section]) -> (String, Vec<(String, String)>) {
    let mut page = String::new();
    opening(&mut page, head, sections);
    goals(&mut page, sections);
    let mut plots = Vec::new();
    for section in sections {
        one_section(&mut page, section, &mut plots);
    }
    (page, plots)
}

fn opening(page: &mut String, head: &Head, sections: &[Section]) {
    page.push_str(
        "# Benchmarks\n\n<!-- Written by scripts/bench: change the programs in benches/compare, not this page. -->\n\n\
         What a request costs under the layer, beside a bare router, beside an empty middleware and beside what one would \
         otherwise take. All of it comes from one run of one command, which measures again on your machine:\n\n\
         ```sh\nscripts/bench\n```\n\n\
         What is compared runs in turns (A B C A B C ..), so that what disturbs one disturbs all; figures are medians, p10 and \
         p90 say how far rounds were apart. Ratios carry over to other machines better than times do. What each program does, and \
         where noise comes from: [benches/README.md](../benches/README.md).\n\n",
    );
    if head.quick {
        page.push_str("**A short run (`QUICK=1`), for trying out the programs: no figure of it means anything.**\n\n");
    }
    if !head.failed.is_empty() {
        let failed: Vec<_> = head.failed.iter().map(|name| format!("`{name}`")).collect();
        let failed = failed.join(", ");
        _ = writeln!(
            page,
            "**Did not run to their end, so that their figures are missing or not complete:** {failed}.\n"
        );
    }
    let missing: Vec<_> =
        SECTIONS.iter().filter(|name| sections.iter().all(|section| section.name != **name)).copied().collect();
    if !missing.is_empty() {
        _ = writeln!(page, "**Not measured in this run:** {}.\n", missing.join(", "));
    }
    page.push_str("| | |\n|---|---|\n");
    for (name, text) in &head.machine {
        _ = writeln!(page, "| {name} | {} |", escaped(text));
    }
    let versions: Vec<_> = head.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    _ = writeln!(page, "| versions | {} |\n", versions.join(", "));
}

fn goals(page: &mut String, sections: &[Section]) {
    let all: Vec<_> =
        sections.iter().flat_map(|section| section.goals.iter().map(move |goal| (section, goal))).collect();
    if all.is_empty() {
        return;
    }
    let met = all.iter().filter(|(_, (_, value, _, goal))| goal.is_met_by(*value)).count();
    _ = writeln!(page, "## Goals\n\n{met} of {} met.\n", all.len());
    page.push_str("| | figure | measured | goal | |\n|---|---|--:|--:|---|\n");
    for (section, (what, value, unit, goal)) in all {
        let (name, link) = (&section.name, anchor(&section.name));
        let (bound, limit) = match goal {
            Goal::AtMost(most) => ("≤", most),
            Goal::AtLeast(least) => ("≥", least),
        };
        let met = if goal.is_met_by(*value) { "met" } else { "**missed**" };
        let (what, value, limit) = (escaped(what), with_unit(*value, unit), limit_with_unit(*limit, unit));
        _ = writeln!(page, "| [{name}](#{link}) | {what} | {value} | {bound} {limit} | {met} |");
    }
    page.push('\n');
}

fn one_section(page: &mut String, section: &Section, plots: &mut Vec<(String, String)>) {
    _ = writeln!(page, "## {}\n", section.name);
    // Notes that are tables themselves come behind the figures.
    let (more, notes): (Vec<_>, Vec<_>) = section.notes.iter().partition(|note| note.starts_with('|'));
    for note in notes {
        _ = writeln!(page, "{note}\n");
    }
    for (at, table) in tables(&section.rows).iter().enumerate() {
        if let Some(column) = plot::worth_plotting(&section.name, table) {
            let number = if at == 0 { String::new() } else { format!("-{}", at + 1) };
            let file = format!("{}{number}.svg", anchor(&section.name));
            let what = &table.columns[column].0;
            _ = writeln!(page, "![{}: {what}, as in the table below](benchmarks/{file})\n", section.name);
            plots.push((file, plot::svg(&section.name, table, column)));
        }
        _ = writeln!(page, "{}\n", table.markdown());
    }
    for table in more {
        _ = writeln!(page, "{table}\n");
    }
}

/// As it was set, not as something measured.
fn limit_with_unit(limit: f64, unit: &str) -> String {
    match unit {
        "" => limit.to_string(),
        "x" => format!("{limit} ×"),
        // A great round number is read more easily with its thousands apart.
        _ if limit.fract() == 0.0 => with_unit(limit, unit),
        _ => format!("{limit} {unit}"),
    }
}

/// As Markdown makes a heading's.
fn anchor(name: &str) -> String {
    let kept =
        name.to_lowercase().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-')).collect::<String>();
    kept.replace(' ', "-")
}
