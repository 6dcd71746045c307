//! Rounds in which every variant has one turn, and what is made of their figures. A machine that slows down for a while
//! then slows all of them, and what is compared was measured side by side.

/// Whether a short run is asked for, to see that a program works. Its figures are no figures.
pub fn is_quick() -> bool {
    std::env::var_os("QUICK").is_some_and(|value| !value.is_empty() && value != "0")
}

/// The order of the turns, for each round another: whatever a variant leaves behind in the CPU's caches is met by each of
/// the others now and then.
pub fn rounds(count: usize, variants: usize) -> impl Iterator<Item = Vec<usize>> {
    let mut random = Random::default();
    (0..count).map(move |_| {
        let mut order: Vec<_> = (0..variants).collect();
        for last in (1..variants).rev() {
            order.swap(last, random.below(last + 1));
        }
        order
    })
}

/// xorshift64: the same numbers in each run, for next to nothing.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }
}

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 32) as usize) % end
    }
}

pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// The smallest of the values that has so many percent of them at or below it.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[(sorted.len() - 1) * percent / 100]
}

/// The median of what is made of the figures that two variants have in the same round.
pub fn of_rounds(a: &[f64], b: &[f64], make: impl Fn(f64, f64) -> f64) -> f64 {
    let made: Vec<_> = a.iter().zip(b).map(|(a, b)| make(*a, *b)).collect();
    median(&made)
}
