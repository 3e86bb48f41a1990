//! Exact quantiles in bounded memory: values are counted; where there are too many different ones, a sketch says in
//! which narrow range each quantile lies, and a second pass counts the values in those ranges alone.

use std::collections::BTreeMap;

use crate::metric::Metric;
use crate::sketch::Sketch;

/// Different values of a figure that are counted one by one, at most: some 3 MB a figure.
pub(super) const MOST_VALUES: usize = 65_536;
/// The same while a recording is made, for as long as it takes: some 200 kB a figure.
pub(super) const MOST_VALUES_RUNNING: usize = 4_096;

/// The quantiles that a report states.
const QUANTILES: [f64; 2] = [0.5, 0.95];

/// One figure of one device.
#[derive(Debug)]
pub(super) struct Values {
    metric: Metric,
    most_values: usize,
    n: u64,
    sum: u128,
    counts: Counts,
}

#[derive(Debug)]
enum Counts {
    /// Every value with how often it occurred.
    All(BTreeMap<u64, u64>),
    /// Too many: a sketch, and on the second pass the values near the wanted ranks.
    Sketched(Box<Sketch>, Vec<Near>),
}

/// The values of one narrow range.
#[derive(Debug)]
struct Near {
    low: u64,
    high: u64,
    below: u64,
    counts: BTreeMap<u64, u64>,
}

/// The statistics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Statistics {
    pub(super) n: u64,
    pub(super) min: f64,
    pub(super) mean: f64,
    pub(super) median: f64,
    pub(super) p95: f64,
    pub(super) max: f64,
    pub(super) exact: bool,
}

impl Values {
    pub(super) fn new(metric: Metric, most_values: usize) -> Self {
        Self { metric, most_values, n: 0, sum: 0, counts: Counts::All(BTreeMap::new()) }
    }

    /// A value of the first pass.
    pub(super) fn first(&mut self, value: u64) {
        self.n += 1;
        self.sum = self.sum.saturating_add(u128::from(value));
        match &mut self.counts {
            Counts::All(counts) => {
                *counts.entry(value).or_default() += 1;
                if counts.len() > self.most_values {
                    let mut sketch = Sketch::new(self.metric);
                    for (&value, &times) in counts.iter() {
                        (0..times).for_each(|_| sketch.record(value));
                    }
                    self.counts = Counts::Sketched(Box::new(sketch), Vec::new());
                }
            }
            Counts::Sketched(sketch, _) => sketch.record(value),
        }
    }

    /// Whether a second pass is needed; prepares for it.
    pub(super) fn needs_second(&mut self) -> bool {
        let Counts::Sketched(sketch, near) = &mut self.counts else { return false };
        for q in QUANTILES {
            let (below, above) = ranks(self.n, q);
            for rank in [below, above] {
                let (low, high, below) = sketch.bucket_of_rank(rank);
                if !near.iter().any(|known| known.low == low) {
                    near.push(Near { low, high, below, counts: BTreeMap::new() });
                }
            }
        }
        true
    }

    /// A value of the second pass.
    pub(super) fn second(&mut self, value: u64) {
        let Counts::Sketched(_, near) = &mut self.counts else { return };
        for range in near.iter_mut().filter(|range| range.low <= value && value <= range.high) {
            *range.counts.entry(value).or_default() += 1;
        }
    }

    /// The statistics, or `None` without values.
    pub(super) fn statistics(&self) -> Option<Statistics> {
        if self.n == 0 {
            return None;
        }
        let (min, max) = match &self.counts {
            Counts::All(counts) => (*counts.first_key_value()?.0, *counts.last_key_value()?.0),
            Counts::Sketched(sketch, _) => (sketch.min()?, sketch.max()?),
        };
        let [median, p95] = QUANTILES.map(|q| self.quantile(q));
        let exact = median.is_some() && p95.is_some();
        let sketched = |q: f64| match &self.counts {
            Counts::Sketched(sketch, _) => sketch.quantile(q),
            Counts::All(_) => None,
        };
        #[expect(clippy::cast_precision_loss, reason = "one rounding each, at the end")]
        Some(Statistics {
            n: self.n,
            min: min as f64,
            mean: self.sum as f64 / self.n as f64,
            median: median.or_else(|| sketched(0.5))?,
            p95: p95.or_else(|| sketched(0.95))?,
            max: max as f64,
            exact,
        })
    }

    /// The quantile between its two order statistics (type 7), where both are known.
    fn quantile(&self, q: f64) -> Option<f64> {
        let (below, above) = ranks(self.n, q);
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 samples")]
        let share = (self.n - 1) as f64 * q - below as f64;
        let (low, high) = (self.at_rank(below)?, self.at_rank(above)?);
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
        Some(low as f64 + (high as f64 - low as f64) * share)
    }

    /// The value of a rank, counted from 0.
    fn at_rank(&self, rank: u64) -> Option<u64> {
        match &self.counts {
            Counts::All(counts) => walk(counts, rank),
            Counts::Sketched(_, near) => near.iter().find_map(|range| {
                let inside = rank.checked_sub(range.below)?;
                walk(&range.counts, inside)
            }),
        }
    }
}

/// The ranks on both sides of a quantile.
fn ranks(n: u64, q: f64) -> (u64, u64) {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and exact below 2^53 samples"
    )]
    let below = ((n - 1) as f64 * q).floor() as u64;
    (below, (below + 1).min(n - 1))
}

fn walk(counts: &BTreeMap<u64, u64>, rank: u64) -> Option<u64> {
    let mut seen = 0;
    counts.iter().find_map(|(&value, &times)| {
        seen += times;
        (rank < seen).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn both_passes(values: &[u64]) -> Statistics {
        let mut counted = Values::new(Metric::Power, MOST_VALUES);
        values.iter().for_each(|&v| counted.first(v));
        if counted.needs_second() {
            values.iter().for_each(|&v| counted.second(v));
        }
        counted.statistics().unwrap()
    }

    fn oracle(values: &[u64]) -> vramscope_core::Summary {
        vramscope_core::Summary::of(&mut values.to_vec()).unwrap()
    }

    fn agree(values: &[u64]) {
        let (found, truth) = (both_passes(values), oracle(values));
        assert!(found.exact);
        assert_eq!((found.min, found.max), (truth.min, truth.max));
        assert!((found.median - truth.median).abs() < 1e-6, "{} for {}", found.median, truth.median);
        assert!((found.p95 - truth.p95).abs() < 1e-6, "{} for {}", found.p95, truth.p95);
    }

    #[test]
    fn more_values_than_are_counted_are_still_exact() {
        let values: Vec<u64> = (0..200_000u64).map(|n| n.wrapping_mul(2_654_435_761) % 700_001).collect();
        agree(&values);
    }

    proptest! {
        #[test]
        fn counted_values_match_the_sorted_list(values in prop::collection::vec(0u64..5_000, 1..300)) {
            agree(&values);
        }
    }
}
