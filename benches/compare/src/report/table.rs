//! Rows with their figures as columns.

use crate::record::Figure;

use super::numbers::text;

/// What is measured, and in what.
pub type Column = (String, String);

/// Rows that have figures in common, with all columns that any of them has.
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<(String, Vec<Option<f64>>)>,
}

/// Rows without a common figure do not belong into one table.
#[must_use]
pub fn tables(rows: &[(String, Vec<Figure>)]) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for (name, figures) in rows {
        let column = |figure: &Figure| (figure.what.clone(), figure.unit.clone());
        let at = tables.iter().position(|table| figures.iter().any(|figure| table.columns.contains(&column(figure))));
        let at = at.unwrap_or_else(|| {
            tables.push(Table { columns: Vec::new(), rows: Vec::new() });
            tables.len() - 1
        });
        let table = &mut tables[at];
        for figure in figures {
            if !table.columns.contains(&column(figure)) {
                table.columns.push(column(figure));
            }
        }
        let mut values = vec![None; table.columns.len()];
        for figure in figures {
            let at = table.columns.iter().position(|known| *known == column(figure)).expect("it was just put there");
            values[at] = Some(figure.value);
        }
        table.rows.push((name.clone(), values));
    }
    tables
}

impl Table {
    #[must_use]
    pub fn value(&self, row: usize, column: usize) -> Option<f64> {
        // Columns that a later row brought are not in an earlier one.
        self.rows[row].1.get(column).copied().flatten()
    }

    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = String::from("| |");
        for column in &self.columns {
            out.push_str(&format!(" {} |", escaped(&heading(column))));
        }
        out.push_str("\n|---|");
        out.push_str(&"--:|".repeat(self.columns.len()));
        for (row, (name, _)) in self.rows.iter().enumerate() {
            out.push_str(&format!("\n| {} |", escaped(name)));
            for column in 0..self.columns.len() {
                out.push_str(&format!(" {} |", self.value(row, column).map(text).unwrap_or_default()));
            }
        }
        out
    }
}

#[must_use]
pub fn heading((what, unit): &Column) -> String {
    match unit.as_str() {
        "" => what.clone(),
        "x" => format!("{what} (×)"),
        _ => format!("{what} ({unit})"),
    }
}

/// A figure with its unit, as in a sentence.
#[must_use]
pub fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "" => text(value),
        "x" => format!("{} ×", text(value)),
        _ => format!("{} {unit}", text(value)),
    }
}

/// `Mutex<HashMap>` would be an HTML element, but for where it is code.
#[must_use]
pub fn escaped(cell: &str) -> String {
    let mut parts: Vec<_> = cell.split('`').map(|part| part.replace('|', "\\|")).collect();
    for outside in parts.iter_mut().step_by(2) {
        *outside = outside.replace('<', "&lt;");
    }
    parts.join("`")
}

#[cfg(test)]
mod tests {
    use super::{Figure, escaped, tables};

    fn row(name: &str, figures: &[(&str, f64)]) -> (String, Vec<Figure>) {
        let figure = |(what, value): &(&str, f64)| Figure { what: (*what).into(), value: *value, unit: "ns".into() };
        (name.into(), figures.iter().map(figure).collect())
    }

    #[test]
    fn rows_share_a_table_if_they_share_a_figure() {
        let rows =
            [row("a", &[("time", 1.0)]), row("size", &[("bytes", 9.0)]), row("b", &[("more", 3.0), ("time", 2.0)])];
        let made: Vec<_> = tables(&rows).iter().map(super::Table::markdown).collect();
        let times = "| | time (ns) | more (ns) |\n|---|--:|--:|\n| a | 1 |  |\n| b | 2 | 3 |";
        assert_eq!(made, [times, "| | bytes (ns) |\n|---|--:|\n| size | 9 |"]);
    }

    #[test]
    fn what_is_code_stays_code() {
        assert_eq!(escaped("a|b <i> `<i>`"), "a\\|b &lt;i> `<i>`");
    }
}
