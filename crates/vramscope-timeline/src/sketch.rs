//! Statistics of a stream in fixed memory.

use hdrhistogram::Histogram;

use crate::metric::Metric;

/// Quantiles of a sketch are within this share of the true value.
pub const SKETCH_ERROR: f64 = 0.001;

/// Count, extremes, mean and quantiles of one figure, in memory that does not grow with the number of samples.
///
/// ```
/// use vramscope_timeline::{Metric, Sketch};
/// let mut power = Sketch::new(Metric::Power);
/// (1..=1000).for_each(|mw| power.record(mw * 100));
/// let median = power.quantile(0.5).unwrap();
/// assert!((median - 50_000.0).abs() <= 50_000.0 * vramscope_timeline::SKETCH_ERROR);
/// ```
#[derive(Debug, Clone)]
pub struct Sketch {
    spread: Histogram<u64>,
    sum: u128,
    min: u64,
    max: u64,
}

impl Sketch {
    /// An empty sketch for a figure's range.
    pub fn new(metric: Metric) -> Self {
        Self::up_to(metric.most())
    }

    /// An empty sketch for values up to a bound; larger ones count as the bound in quantiles, not in the extremes.
    pub fn up_to(most: u64) -> Self {
        let spread = Histogram::new_with_bounds(1, most.max(2), 3);
        let spread = spread.unwrap_or_else(|_| unreachable!("the bounds are constants that the histogram accepts"));
        Self { spread, sum: 0, min: u64::MAX, max: 0 }
    }

    /// Adds a value.
    pub fn record(&mut self, value: u64) {
        self.spread.saturating_record(value);
        self.sum = self.sum.saturating_add(u128::from(value));
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.spread.len()
    }

    /// The smallest value, exactly.
    pub fn min(&self) -> Option<u64> {
        (self.count() > 0).then_some(self.min)
    }

    /// The largest value, exactly.
    pub fn max(&self) -> Option<u64> {
        (self.count() > 0).then_some(self.max)
    }

    /// The mean, exactly but for the last rounding.
    pub fn mean(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "one rounding each, at the end")]
        (self.count() > 0).then(|| self.sum as f64 / self.count() as f64)
    }

    /// A quantile, within [`SKETCH_ERROR`].
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count() == 0 {
            return None;
        }
        let value = self.spread.value_at_quantile(q);
        // The middle of the bucket is at most half its width from any value in it.
        let low = self.spread.lowest_equivalent(value);
        let high = self.spread.highest_equivalent(value);
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53; the sketch is coarser than that")]
        let middle = (low as f64 + high as f64) / 2.0;
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53; the sketch is coarser than that")]
        Some(middle.clamp(self.min as f64, self.max as f64))
    }

    /// The values that are counted together with the one of a rank (from 0): the first and the last of them, and how
    /// many lie below.
    pub(crate) fn bucket_of_rank(&self, rank: u64) -> (u64, u64, u64) {
        let mut below = 0;
        for step in self.spread.iter_recorded() {
            let here = step.count_at_value();
            if below + here > rank {
                let value = step.value_iterated_to();
                return (self.spread.lowest_equivalent(value), self.spread.highest_equivalent(value), below);
            }
            below += here;
        }
        (self.max, self.max, below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quantiles_are_within_the_stated_error(values in prop::collection::vec(0u64..1 << 40, 1..500)) {
            let mut sketch = Sketch::new(Metric::Used);
            values.iter().for_each(|&v| sketch.record(v));
            let mut sorted = values.clone();
            sorted.sort_unstable();
            for q in [0.0, 0.25, 0.5, 0.95, 0.99, 1.0] {
                // The nearest rank, as the sketch counts it.
                #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss,
                    reason = "a place in a short list")]
                let place = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1;
                #[expect(clippy::cast_precision_loss, reason = "below 2^40")]
                let truth = sorted[place] as f64;
                let found = sketch.quantile(q).unwrap();
                prop_assert!((found - truth).abs() <= truth * SKETCH_ERROR + 1.0, "{q}: {found} for {truth}");
            }
            prop_assert_eq!(sketch.min(), sorted.first().copied());
            prop_assert_eq!(sketch.max(), sorted.last().copied());
        }
    }
}
