//! Medians, and how a figure is written.

use crate::record::short;

/// # Panics
///
/// Without values.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// p10 and p90.
///
/// # Panics
///
/// Without values.
pub fn spread(values: &[f64]) -> (f64, f64) {
    (percentile(values, 10), percentile(values, 90))
}

fn percentile(values: &[f64], percent: usize) -> f64 {
    assert!(!values.is_empty(), "something was measured");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) * percent / 100]
}

/// Three digits that say something, thousands apart.
pub fn text(value: f64) -> String {
    // Three places behind the point say nothing of what is smaller than this.
    if value != 0.0 && value.abs() < 0.01 {
        return format!("{value:.2e}");
    }
    let short = short(value);
    let (whole, rest) = short.split_at(short.find('.').unwrap_or(short.len()));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{rest}")
}

#[cfg(test)]
mod tests {
    use super::{median, spread, text};

    #[test]
    fn figures_are_written_for_people() {
        let written = [1_234_567.0, -12_345.6, 999.5, 12.34, 0.5, 0.001_23, 0.0].map(text);
        assert_eq!(written, ["1,234,567", "-12,346", "1,000", "12.3", "0.500", "1.23e-3", "0"]);
    }

    #[test]
    fn the_middle_is_found_unsorted() {
        let values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert!((median(&values) - 50.0).abs() < f64::EPSILON);
        assert_eq!(spread(&values), (10.0, 90.0));
    }
}
