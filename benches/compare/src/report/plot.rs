//! A plot of horizontal bars as SVG: text stays text, both colour schemes are in it, and nothing is loaded. A plotting library would
//! measure fonts and fix the colours.

use super::{
    numbers::text,
    table::{Table, heading, with_unit},
};

const WIDTH: f64 = 900.0;
const BAR: f64 = 18.0;
const STEP: f64 = 28.0;
const TOP: f64 = 62.0;
/// Room for the figure behind the longest bar: the unit is told above.
const BEHIND: f64 = 90.0;
/// About the width of a character, generously.
const CHARACTER: f64 = 7.6;
/// With a greater range the short bars could not be told from none.
const LINEAR_UP_TO: f64 = 50.0;

const STYLE: &str = "\
    .card { fill: #ffffff; stroke: #d0d7de; } .grid { stroke: #d8dee4; } .bar { fill: #8c96a0; } .ours { fill: #0a5bc4; }
    text { fill: #1f2328; } .soft { fill: #57606a; } .head { font-weight: 600; font-size: 15px; }
    @media (prefers-color-scheme: dark) {
      .card { fill: #161b22; stroke: #30363d; } .grid { stroke: #30363d; } .bar { fill: #768390; } .ours { fill: #539bf5; }
      text { fill: #e6edf3; } .soft { fill: #a9b4bf; }
    }";

/// Where values lie between the axis (0) and the end of the longest bar (1).
enum Scale {
    Linear { end: f64 },
    Log { start: f64, end: f64 },
}

impl Scale {
    fn of(values: &[f64]) -> Self {
        let most = values.iter().copied().fold(0.0, f64::max);
        let least = values.iter().copied().filter(|value| *value > 0.0).fold(most, f64::min);
        if most <= LINEAR_UP_TO * least {
            return Self::Linear { end: most };
        }
        // Below the least, or its bar would have no length.
        Self::Log { start: 10_f64.powf((least / 1.5).log10().floor()), end: most }
    }

    fn at(&self, value: f64) -> f64 {
        match *self {
            Self::Linear { end } => value / end,
            Self::Log { start, .. } if value <= start => 0.0,
            Self::Log { start, end } => (value / start).log10() / (end / start).log10(),
        }
    }

    fn ticks(&self) -> Vec<f64> {
        match *self {
            Self::Linear { end } => {
                let rough = end / 5.0;
                let power = 10_f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|step| *step >= rough);
                let step = step.expect("ten powers are above");
                (0..).map(|n| f64::from(n) * step).take_while(|tick| *tick <= end).collect()
            }
            Self::Log { start, end } => {
                let decade = |n| start * 10_f64.powi(n);
                (0..).map(decade).take_while(|tick| *tick <= end * 1.000_1).collect()
            }
        }
    }
}

/// Sections whose point is another figure than the first, or none that a bar would make clearer.
const ANOTHER: [(&str, Option<&str>); 2] = [("Contention", Some("of bare's")), ("Crates added", None)];

/// The figure of a table that is worth a plot: the first that three rows or more have, none of them negative.
#[must_use]
pub fn worth_plotting(section: &str, table: &Table) -> Option<usize> {
    let rule = ANOTHER.iter().find(|(name, _)| *name == section);
    (0..table.columns.len()).filter(|&at| rule.is_none_or(|(_, what)| *what == Some(&table.columns[at].0))).find(
        |&column| {
            let values: Vec<_> = (0..table.rows.len()).filter_map(|row| table.value(row, column)).collect();
            values.len() >= 3 && values.iter().all(|value| *value >= 0.0) && values.iter().any(|value| *value > 0.0)
        },
    )
}

/// This column of the table. Rows without the figure are left out.
#[must_use]
pub fn svg(title: &str, table: &Table, column: usize) -> String {
    let unit = table.columns[column].1.as_str();
    let rows: Vec<(&str, f64)> =
        (0..table.rows.len()).filter_map(|row| Some((table.rows[row].0.as_str(), table.value(row, column)?))).collect();
    let values: Vec<_> = rows.iter().map(|(_, value)| *value).collect();
    let scale = Scale::of(&values);
    let longest = rows.iter().map(|(name, _)| plain(name).chars().count()).max().unwrap_or(0);
    let left = (longest as f64).mul_add(CHARACTER, 28.0).clamp(90.0, 400.0);
    let long = WIDTH - left - BEHIND;
    let bottom = (rows.len() as f64).mul_add(STEP, TOP);
    let height = bottom + 34.0;
    let what = heading(&table.columns[column]);
    let described: Vec<_> =
        rows.iter().map(|(name, value)| format!("{}: {}", plain(name), with_unit(*value, unit))).collect();
    let described = escaped(&described.join("; "));
    let log = if matches!(scale, Scale::Log { .. }) { ", logarithmic" } else { "" };
    let mut out = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="t d" font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="13">
  <title id="t">{title}: {what}</title>
  <desc id="d">{described}.</desc>
  <style>
{STYLE}
  </style>
  <rect class="card" x="0.5" y="0.5" width="{}" height="{}" rx="10"/>
  <text class="head" x="16" y="28">{title}</text>
  <text class="soft" x="16" y="47">{what}{log}</text>
"#,
        WIDTH - 1.0,
        height - 1.0,
        title = escaped(title),
        what = escaped(&what),
    );
    for tick in scale.ticks() {
        let x = scale.at(tick).mul_add(long, left);
        let (from, below) = (TOP - 6.0, bottom + 14.0);
        out.push_str(&format!("  <line class=\"grid\" x1=\"{x:.1}\" y1=\"{from}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\n"));
        let label = tick_label(tick);
        out.push_str(&format!(
            "  <text class=\"soft\" x=\"{x:.1}\" y=\"{below}\" text-anchor=\"middle\" font-size=\"11\">{label}</text>\n"
        ));
    }
    for (at, (name, value)) in rows.iter().enumerate() {
        let y = (at as f64).mul_add(STEP, TOP);
        let (line, end) = (y + 13.5, scale.at(*value) * long);
        let class = if is_ours(name) { "ours" } else { "bar" };
        out.push_str(&format!(
            "  <text x=\"{:.1}\" y=\"{line}\" text-anchor=\"end\">{}</text>\n  <rect class=\"{class}\" x=\"{left:.1}\" y=\"{y}\" \
             width=\"{end:.1}\" height=\"{BAR}\" rx=\"2\"/>\n  <text x=\"{:.1}\" y=\"{line}\">{}</text>\n",
            left - 8.0,
            escaped(&shortened(&plain(name))),
            left + end + 7.0,
            text(*value),
        ));
    }
    out.push_str("</svg>\n");
    out
}

/// Ours stand out.
fn is_ours(name: &str) -> bool {
    name.split(|c: char| !c.is_alphanumeric()).any(|word| word == "ours")
}

/// Names are Markdown in tables.
fn plain(name: &str) -> String {
    name.replace(['`', '*'], "")
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= 52 { name.into() } else { name.chars().take(51).chain(['…']).collect() }
}

/// Ticks are round, so three digits would be two too many.
fn tick_label(tick: f64) -> String {
    if tick >= 1.0 && tick.fract() != 0.0 {
        format!("{tick:.1}")
    } else if tick >= 1.0 || tick == 0.0 {
        text(tick)
    } else {
        format!("{tick:.3}").trim_end_matches('0').to_owned()
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn a_great_range_is_logarithmic_and_every_bar_has_a_length() {
        let scale = Scale::of(&[1.0, 10.0, 1_000.0]);
        assert!(matches!(scale, Scale::Log { .. }));
        assert!(scale.at(1.0) > 0.05 && (scale.at(1_000.0) - 1.0).abs() < 1e-9);
        assert_eq!(scale.ticks(), [0.1, 1.0, 10.0, 100.0, 1_000.0]);
    }

    #[test]
    fn a_small_range_begins_at_zero() {
        let scale = Scale::of(&[20.0, 100.0]);
        assert!(matches!(scale, Scale::Linear { .. }) && scale.at(0.0) == 0.0);
        assert_eq!(scale.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
    }
}
