//! Statistics of a set of readings.

use crate::Bytes;

/// Summary of memory readings. Quantiles are linear between order statistics (Hyndman and Fan's type 7, the
/// default of R, NumPy and Excel).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// How many readings.
    pub n: usize,
    /// The smallest.
    pub min: Bytes,
    /// The largest.
    pub max: Bytes,
    /// Arithmetic mean, in bytes.
    pub mean: f64,
    /// The 0.5 quantile, in bytes.
    pub median: f64,
    /// The 0.95 quantile, in bytes.
    pub p95: f64,
    /// The 0.99 quantile, in bytes.
    pub p99: f64,
}

impl Stats {
    /// Summarises memory readings, or `None` if there are none. The slice is reordered.
    ///
    /// ```
    /// use vramscope_core::{Bytes, Stats};
    /// let mut used: Vec<u64> = (1..=5).collect();
    /// let stats = Stats::of(&mut used).unwrap();
    /// assert_eq!((stats.min, stats.median, stats.max), (Bytes::new(1), 3.0, Bytes::new(5)));
    /// assert_eq!(stats.p95, 4.8);
    /// ```
    pub fn of(used: &mut [u64]) -> Option<Self> {
        let n = used.len();
        used.sort_unstable();
        let (min, max) = (*used.first()?, *used.last()?);
        let mean = mean_of(used);
        let at = |q| quantile_sorted(used, q);
        Some(Self {
            n,
            min: Bytes::new(min),
            max: Bytes::new(max),
            mean,
            median: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
        })
    }
}

/// Summary of any other quantity, in the unit of its readings.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// How many readings.
    pub n: usize,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// The 0.5 quantile (type 7).
    pub median: f64,
    /// The 0.95 quantile (type 7).
    pub p95: f64,
}

impl Summary {
    /// Summarises whole-number readings, or `None` if there are none. The slice is reordered.
    pub fn of(values: &mut [u64]) -> Option<Self> {
        let stats = Stats::of(values)?;
        Some(Self {
            n: stats.n,
            min: stats.min.as_f64(),
            max: stats.max.as_f64(),
            mean: stats.mean,
            median: stats.median,
            p95: stats.p95,
        })
    }
}

/// Spread of one figure over devices: what `per_gpu_stats` of a profile shows.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Spread {
    /// Sum over all.
    pub sum: Bytes,
    /// The largest.
    pub max: Bytes,
    /// Arithmetic mean, in bytes.
    pub mean: f64,
    /// Population standard deviation, in bytes (zero for one device).
    pub stddev: f64,
}

impl Spread {
    /// The spread of `values`, or `None` if there are none or their sum does not fit 64 bits.
    pub fn of(values: &[Bytes]) -> Option<Self> {
        let max = values.iter().copied().max()?;
        let sum = Bytes::checked_sum(values.iter().copied())?;
        let raw: Vec<u64> = values.iter().map(|v| v.get()).collect();
        let mean = mean_of(&raw);
        let variance = values.iter().map(|v| (v.as_f64() - mean).powi(2)).sum::<f64>() / count(values.len());
        Some(Self { sum, max, mean, stddev: variance.sqrt() })
    }
}

/// The type-7 quantile `q` in 0..=1 of values in ascending order; NaN for an empty slice.
///
/// ```
/// use vramscope_core::quantile_sorted;
/// assert_eq!(quantile_sorted(&[10, 20], 0.25), 12.5);
/// ```
pub fn quantile_sorted(ascending: &[u64], q: f64) -> f64 {
    let Some(last) = ascending.len().checked_sub(1) else { return f64::NAN };
    let place = q.clamp(0.0, 1.0) * count(last);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "place lies between 0 and the last index"
    )]
    let below = (place.floor() as usize).min(last);
    let above = (below + 1).min(last);
    let fraction = place - count(below);
    let (low, high) = (Bytes::new(ascending[below]), Bytes::new(ascending[above]));
    low.as_f64() + fraction * (high.as_f64() - low.as_f64())
}

/// The median that is one of the values: of an even number of them, the upper one of the two in the middle. `None` without
/// values. The slice is reordered.
///
/// ```
/// use vramscope_core::upper_median;
/// assert_eq!(upper_median(&mut [5, 1, 9]), Some(5));
/// assert_eq!(upper_median(&mut [20, 10]), Some(20));
/// assert_eq!(upper_median::<u64>(&mut []), None);
/// ```
pub fn upper_median<T: Ord + Copy>(values: &mut [T]) -> Option<T> {
    let middle = values.len() / 2;
    (middle < values.len()).then(|| *values.select_nth_unstable(middle).1)
}

/// The mean of whole numbers, summed exactly.
fn mean_of(values: &[u64]) -> f64 {
    let sum: u128 = values.iter().map(|&v| u128::from(v)).sum();
    #[expect(clippy::cast_precision_loss, reason = "one rounding, at the end")]
    let sum = sum as f64;
    sum / count(values.len())
}

#[expect(clippy::cast_precision_loss, reason = "a count of samples in memory is far below 2^53")]
fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "the oracle works on values below 2^53")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Type 7 straight from its definition, on exact rationals: h = (n-1)q, interpolate x[floor h], x[floor h + 1].
    fn oracle(values: &[u64], numerator: usize, denominator: usize) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let h = (sorted.len() - 1) * numerator;
        let (below, rest) = (h / denominator, h % denominator);
        let low = u128::from(sorted[below]);
        let high = u128::from(sorted[(below + 1).min(sorted.len() - 1)]);
        let (rest, denominator) = (rest as u128, denominator as u128);
        (low * denominator + (high - low) * rest) as f64 / denominator as f64
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
    }

    #[test]
    fn numpy_agrees_on_a_known_vector() {
        // numpy.percentile([15, 20, 35, 40, 50], [40, 95]) == [29., 48.]
        let sorted = [15, 20, 35, 40, 50];
        assert!(close(quantile_sorted(&sorted, 0.40), 29.0));
        assert!(close(quantile_sorted(&sorted, 0.95), 48.0));
    }

    #[test]
    fn spread_of_one_device_has_no_deviation() {
        let one = Spread::of(&[Bytes::new(7)]).unwrap();
        assert_eq!((one.sum, one.max, one.stddev), (Bytes::new(7), Bytes::new(7), 0.0));
        assert!(Spread::of(&[]).is_none());
        let two = Spread::of(&[Bytes::new(2), Bytes::new(4)]).unwrap();
        assert!(close(two.stddev, 1.0), "population deviation of 2 and 4 is 1, got {}", two.stddev);
    }

    #[test]
    fn nothing_has_no_statistics() {
        assert_eq!(Stats::of(&mut []), None);
    }

    proptest! {
        #[test]
        fn statistics_match_the_naive_oracle(values in prop::collection::vec(0u64..1 << 48, 1..300)) {
            let stats = Stats::of(&mut values.clone()).unwrap();
            prop_assert_eq!(stats.n, values.len());
            prop_assert_eq!(stats.min.get(), *values.iter().min().unwrap());
            prop_assert_eq!(stats.max.get(), *values.iter().max().unwrap());
            let mean = values.iter().map(|&v| v as f64).sum::<f64>() / values.len() as f64;
            prop_assert!(close(stats.mean, mean));
            prop_assert!(close(stats.median, oracle(&values, 1, 2)));
            prop_assert!(close(stats.p95, oracle(&values, 95, 100)));
            prop_assert!(close(stats.p99, oracle(&values, 99, 100)));
        }
    }
}
