//! Figures of many rounds: the median, and how far they lie apart.

use std::time::Duration;

/// Values in no order.
#[derive(Clone, Debug, Default)]
pub struct Spread(Vec<f64>);

impl Spread {
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// In microseconds.
    pub fn add_time(&mut self, time: Duration) {
        self.add(time.as_secs_f64() * 1e6);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest value that so many percent are not above.
    pub fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted[rank - 1]
    }

    pub fn median(&self) -> f64 {
        self.percentile(50)
    }

    pub fn share(&self, which: impl Fn(f64) -> bool) -> f64 {
        super::float(self.0.iter().filter(|value| which(**value)).count()) / super::float(self.len())
    }
}
