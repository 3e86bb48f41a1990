//! Whether a course of sizes keeps rising, and how fast.

use statrs::distribution::{ContinuousCDF as _, Normal, StudentsT};

/// What a slope is by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// A second of the snapshots' own times.
    Second,
    /// A snapshot, where they do not say when they were taken.
    Snapshot,
}

/// How a course goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Trend {
    /// What the slope is by.
    pub per: Per,
    /// Bytes by which it rises, by least squares.
    pub slope: f64,
    /// The slope's interval of 95 %, by Student's t of the residuals.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// How likely a course without any trend rises as steadily as this: Kendall's test of the order, one-sided.
    pub chance: f64,
    /// Whether it grows: the chance is below 1 % even when that of all courses of the series is counted together, the
    /// slope's interval is above zero, and the last third of the snapshots rises by a quarter of what the slope says or
    /// more: what has filled up by then does not grow.
    pub grows: bool,
}

/// The fewest snapshots of which a trend is told: fewer have an interval of no use.
const LEAST: usize = 4;
/// The chance that is taken for none, over all courses that were tried (Bonferroni).
const CHANCE: f64 = 0.01;
/// The share of the slope that the last third has to have.
const STILL: f64 = 0.25;

/// The fewest snapshots of which any of so many courses could be said to grow: one that rises each time has a chance of one
/// in as many as there are orders.
pub(super) fn needed(tried: usize) -> usize {
    let (mut count, mut orders) = (1, 1.0);
    while count < LEAST || whole(tried.max(1)) / orders >= CHANCE {
        count += 1;
        orders *= whole(count);
    }
    count
}

impl Trend {
    /// The trend of sizes in bytes, of `tried` courses that are looked at together.
    pub(super) fn of(sizes: &[u64], times: &[Option<i64>], tried: usize) -> Option<Self> {
        if sizes.len() < LEAST {
            return None;
        }
        let seconds: Option<Vec<f64>> =
            times.iter().map(|time| time.map(|us| micros(us, times[0].unwrap_or_default()))).collect();
        let spread = seconds.filter(|s| s.windows(2).all(|pair| pair[0] < pair[1]));
        let per = if spread.is_some() { Per::Second } else { Per::Snapshot };
        let at = spread.unwrap_or_else(|| (0..sizes.len()).map(whole).collect());
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 bytes")]
        let values: Vec<f64> = sizes.iter().map(|size| *size as f64).collect();
        let (slope, half) = least_squares(&at, &values)?;
        let chance = chance(sizes);
        let third = sizes.len() - sizes.len().div_ceil(3);
        let last = sizes.len() - 1;
        let still = values[last] - values[third] >= STILL * slope * (at[last] - at[third]);
        let grows = chance * whole(tried.max(1)) < CHANCE && slope - half > 0.0 && still;
        Some(Self { per, slope, low: slope - half, high: slope + half, chance, grows })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few years in microseconds are below 2^53")]
fn micros(time: i64, first: i64) -> f64 {
    time.wrapping_sub(first) as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "counts of snapshots and rows")]
fn whole(count: usize) -> f64 {
    count as f64
}

/// The slope, and half of its interval of 95 %.
fn least_squares(at: &[f64], values: &[f64]) -> Option<(f64, f64)> {
    let n = whole(at.len());
    let mean = |of: &[f64]| of.iter().sum::<f64>() / n;
    let (middle, level) = (mean(at), mean(values));
    let width: f64 = at.iter().map(|x| (x - middle).powi(2)).sum();
    let rise: f64 = at.iter().zip(values).map(|(x, y)| (x - middle) * (y - level)).sum();
    let slope = rise / width;
    let rest: f64 = at.iter().zip(values).map(|(x, y)| (y - level - slope * (x - middle)).powi(2)).sum();
    let quantile = StudentsT::new(0.0, 1.0, n - 2.0).ok()?.inverse_cdf(0.975);
    Some((slope, quantile * (rest / (n - 2.0) / width).sqrt()))
}

/// Kendall's test: how likely an order without trend has as many pairs that rise. Exact without ties and up to 60
/// values, else by the normal distribution with the variance of ties and a correction for steps.
fn chance(sizes: &[u64]) -> f64 {
    let n = sizes.len();
    let (mut rising, mut falling) = (0usize, 0usize);
    for (place, early) in sizes.iter().enumerate() {
        for late in &sizes[place + 1..] {
            rising += usize::from(late > early);
            falling += usize::from(late < early);
        }
    }
    if rising + falling == n * (n - 1) / 2 && n <= 60 {
        return at_most_inversions(n, falling);
    }
    let mut sorted = sizes.to_vec();
    sorted.sort_unstable();
    let term = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let ties: f64 = sorted.chunk_by(|a, b| a == b).map(|same| term(whole(same.len()))).sum();
    let variance = (term(whole(n)) - ties) / 18.0;
    let above = whole(rising) - whole(falling) - 1.0;
    if variance <= 0.0 {
        return 1.0;
    }
    Normal::standard().sf(above / variance.sqrt())
}

/// The share of orders of `n` values that have at most so many pairs out of order.
fn at_most_inversions(n: usize, most: usize) -> f64 {
    let mut shares = vec![1.0];
    for length in 2..=n {
        let mut next = vec![0.0; shares.len() + length - 1];
        for (at, share) in shares.iter().enumerate() {
            for more in 0..length {
                next[at + more] += share / whole(length);
            }
        }
        shares = next;
    }
    shares.iter().take(most + 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes with no times.
    fn trend(sizes: &[u64], tried: usize) -> Trend {
        Trend::of(sizes, &vec![None; sizes.len()], tried).unwrap()
    }

    #[test]
    fn a_steady_rise_grows_by_its_step_and_a_cache_that_fills_does_not() {
        let leak: Vec<u64> = (0..10).map(|k| 50 + 3 * k).collect();
        let grown = trend(&leak, 300);
        assert!(grown.grows && (grown.slope - 3.0).abs() < 1e-9 && grown.per == Per::Snapshot, "{grown:?}");
        let cache = [10, 20, 30, 30, 30, 30, 30, 30, 30, 30];
        let noise = [9, 4, 7, 9, 2, 8, 6, 9, 3, 8];
        let few = [1, 2, 3, 4, 5];
        let stairs = [100, 100, 100, 100, 150, 150, 150, 150, 200, 200, 200, 200];
        let saturates = [500, 700, 820, 900, 940, 965, 980, 988, 993, 995];
        for sizes in [&cache[..], &noise, &few, &stairs, &saturates] {
            assert!(!trend(sizes, 300).grows, "{sizes:?}");
        }
        assert_eq!(Trend::of(&[1, 2, 3], &[None; 3], 1), None);
    }

    #[test]
    fn so_many_snapshots_are_needed_that_a_steady_rise_is_no_chance() {
        for tried in [1, 2, 20, 300] {
            let needed = needed(tried);
            let rise = |count: usize| (0..count as u64).collect::<Vec<_>>();
            assert!(trend(&rise(needed), tried).grows, "{tried}");
            assert!(needed == LEAST || !trend(&rise(needed - 1), tried).grows, "{tried}");
        }
        assert_eq!((needed(1), needed(300)), (5, 8));
    }

    #[test]
    fn a_slope_is_by_the_second_where_snapshots_say_their_times() {
        let times: Vec<Option<i64>> = (0..6).map(|k| Some(1_000_000_000 + 2_000_000 * k)).collect();
        let grown = Trend::of(&[0, 10, 20, 30, 40, 50], &times, 1).unwrap();
        assert!((grown.slope - 5.0).abs() < 1e-9 && grown.per == Per::Second, "{grown:?}");
    }

    #[test]
    fn the_chance_of_an_order_is_that_of_all_orders() {
        // Of the 24 orders of four values one has no pair out of order, and three more have one.
        assert!((chance(&[1, 2, 3, 4]) - 1.0 / 24.0).abs() < 1e-12);
        assert!((chance(&[2, 1, 3, 4]) - 4.0 / 24.0).abs() < 1e-12);
        assert!((chance(&[4, 3, 2, 1]) - 1.0).abs() < 1e-12);
        assert!((chance(&[5, 5, 5, 5]) - 1.0).abs() < 1e-12);
    }
}
