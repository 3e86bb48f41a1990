//! How two figures go together, with an interval that takes their autocorrelation into account.
//!
//! Samples close in time are alike, so a plain p-value is false. The interval comes from resampling blocks of time
//! (circular moving blocks, Politis and Romano 1992) longer than the figures remember.

use crate::document::{Coefficient, CorrelationReport};
use crate::metric::Metric;

/// Points that are kept; beyond them neighbours are averaged.
const MOST_POINTS: usize = 8192;
/// Fewer points than this say nothing.
const LEAST_POINTS: usize = 30;
/// With fewer independent points than this, resampling blocks of them tells too narrow an interval.
const LEAST_EFFECTIVE: f64 = 8.0;
/// Resamples for the interval.
const RESAMPLES: usize = 1000;
/// The pairs that are reported.
pub(super) const PAIRS: [(Metric, Metric); 3] =
    [(Metric::Used, Metric::Power), (Metric::Used, Metric::Temperature), (Metric::Power, Metric::Utilization)];

/// Gathers points of two figures.
#[derive(Debug)]
pub(super) struct Pair {
    x: Metric,
    y: Metric,
    /// How many samples a point is the mean of.
    width: u32,
    filling: (f64, f64, u32),
    points: Vec<(f64, f64)>,
}

impl Pair {
    pub(super) fn new(x: Metric, y: Metric) -> Self {
        Self { x, y, width: 1, filling: (0.0, 0.0, 0), points: Vec::new() }
    }

    /// A sample, if it has both figures.
    pub(super) fn add(&mut self, reading: &vramscope_core::Reading) {
        let (Some(x), Some(y)) = (self.x.of(reading), self.y.of(reading)) else { return };
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
        let (x, y) = (x as f64, y as f64);
        let (sum_x, sum_y, count) = self.filling;
        self.filling = (sum_x + x, sum_y + y, count + 1);
        if self.filling.2 == self.width {
            let width = f64::from(self.width);
            self.points.push((self.filling.0 / width, self.filling.1 / width));
            self.filling = (0.0, 0.0, 0);
        }
        if self.points.len() == MOST_POINTS {
            let mean = |pair: &[(f64, f64)]| (f64::midpoint(pair[0].0, pair[1].0), f64::midpoint(pair[0].1, pair[1].1));
            self.points = self.points.chunks_exact(2).map(mean).collect();
            self.width *= 2;
        }
    }

    /// The coefficients, or why there are none.
    pub(super) fn report(&self) -> CorrelationReport {
        let n = self.points.len();
        let empty = CorrelationReport {
            x: self.x.name().into(),
            y: self.y.name().into(),
            n,
            effective_n: None,
            not_enough: None,
            caution: None,
            pearson: None,
            spearman: None,
        };
        let not = |why: String| CorrelationReport { not_enough: Some(why), ..empty.clone() };
        if n < LEAST_POINTS {
            let plural = if n == 1 { "" } else { "s" };
            return not(format!("{n} point{plural}, and at least {LEAST_POINTS} are needed"));
        }
        let (xs, ys): (Vec<f64>, Vec<f64>) = self.points.iter().copied().unzip();
        for (metric, values) in [(self.x, &xs), (self.y, &ys)] {
            if is_constant(values) {
                return not(format!("{} does not vary", metric.name()));
            }
        }
        let tau = memory_of(&xs, &ys);
        let effective = float(n) / tau;
        let block = block_length(n, tau);
        let (rank_x, rank_y) = (ranks(&xs), ranks(&ys));
        let few = effective < LEAST_EFFECTIVE;
        let of = |xs: &[f64], ys: &[f64]| {
            let found = coefficient(xs, ys, block);
            if few { found.or_else(|| plain(xs, ys)).map(|found| widened(found, effective)) } else { found }
        };
        CorrelationReport {
            effective_n: Some(effective),
            caution: few
                .then(|| format!("the {n} points are worth {effective:.0} independent ones: the interval is wide")),
            pearson: of(&xs, &ys),
            spearman: of(&rank_x, &rank_y),
            ..empty
        }
    }
}

fn float(n: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of points in memory")]
    let float = n as f64;
    float
}

fn is_constant(values: &[f64]) -> bool {
    values.windows(2).all(|pair| (pair[0] - pair[1]).abs() <= f64::EPSILON * pair[0].abs())
}

/// How many neighbouring points count as one, from both series' autocorrelations (Bartlett's formula, summed until
/// either is no longer positive).
fn memory_of(xs: &[f64], ys: &[f64]) -> f64 {
    let (xs, ys) = (centred(xs), centred(ys));
    let power = |v: &[f64]| v.iter().map(|a| a * a).sum::<f64>();
    let (power_x, power_y) = (power(&xs), power(&ys));
    let at = |v: &[f64], lag: usize| v.iter().zip(&v[lag..]).map(|(a, b)| a * b).sum::<f64>();
    let mut tau = 1.0;
    for lag in 1..xs.len() / 2 {
        let (rho_x, rho_y) = (at(&xs, lag) / power_x, at(&ys, lag) / power_y);
        if rho_x <= 0.0 || rho_y <= 0.0 {
            break;
        }
        tau += 2.0 * rho_x * rho_y;
    }
    tau
}

fn centred(values: &[f64]) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / float(values.len());
    values.iter().map(|value| value - mean).collect()
}

/// Blocks of twice the memory, at least n^(1/3) and at most a quarter of all points.
fn block_length(n: usize, tau: f64) -> usize {
    let wanted = (2.0 * tau).max(float(n).cbrt()).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and bounded just below")]
    let block = wanted.min(float(n)) as usize;
    block.clamp(1, (n / 4).max(1))
}

/// Ranks from 0, of equal values their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let equal = order[start..].iter().take_while(|&&i| values[i].total_cmp(&values[order[start]]).is_eq()).count();
        let rank = float(start) + float(equal - 1) / 2.0;
        order[start..start + equal].iter().for_each(|&i| ranks[i] = rank);
        start += equal;
    }
    ranks
}

/// Sums over a block of points, from which a coefficient is computed.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Sums {
    fn add(&mut self, x: f64, y: f64) {
        self.n += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.yy += y * y;
        self.xy += x * y;
    }

    fn pearson(&self) -> Option<f64> {
        let spread_x = self.n * self.xx - self.x * self.x;
        let spread_y = self.n * self.yy - self.y * self.y;
        let scale = (spread_x * spread_y).sqrt();
        (scale > 0.0 && scale.is_finite()).then(|| ((self.n * self.xy - self.x * self.y) / scale).clamp(-1.0, 1.0))
    }
}

/// Pearson's coefficient with its interval. Values are centred and scaled first, so that sums of squares are exact
/// enough.
fn coefficient(xs: &[f64], ys: &[f64], block: usize) -> Option<Coefficient> {
    let (xs, ys) = (standard(xs), standard(ys));
    let n = xs.len();
    let mut all = Sums::default();
    xs.iter().zip(&ys).for_each(|(&x, &y)| all.add(x, y));
    let value = all.pearson()?;
    let mut random = SplitMix(0x9e37_79b9_7f4a_7c15);
    let mut resampled: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let mut sums = Sums::default();
            let mut left = n;
            while left > 0 {
                let start = random.below(n);
                for step in 0..block.min(left) {
                    let place = (start + step) % n;
                    sums.add(xs[place], ys[place]);
                }
                left -= block.min(left);
            }
            sums.pearson()
        })
        .collect();
    // A resample without variation has no coefficient; with many of them there is no interval worth stating.
    if resampled.len() < RESAMPLES / 2 {
        return None;
    }
    resampled.sort_by(f64::total_cmp);
    let at = |q: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
        let place = (q * float(resampled.len() - 1)).round() as usize;
        resampled[place]
    };
    Some(Coefficient { value, low: at(0.025).min(value), high: at(0.975).max(value) })
}

/// Pearson's coefficient alone.
fn plain(xs: &[f64], ys: &[f64]) -> Option<Coefficient> {
    let mut all = Sums::default();
    standard(xs).iter().zip(&standard(ys)).for_each(|(&x, &y)| all.add(x, y));
    all.pearson().map(|value| Coefficient { value, low: value, high: value })
}

/// The interval that so few independent points leave (Fisher's transformation), where it is wider. A coefficient that is
/// nearer to one than n points can tell counts as that far from it.
fn widened(found: Coefficient, effective: f64) -> Coefficient {
    let freedom = effective - 3.0;
    if freedom <= 0.0 {
        return Coefficient { low: -1.0, high: 1.0, ..found };
    }
    let nearest = 1.0 - 1.0 / effective;
    let (centre, half) = (found.value.clamp(-nearest, nearest).atanh(), 1.96 / freedom.sqrt());
    let (low, high) = ((centre - half).tanh(), (centre + half).tanh());
    Coefficient { low: low.min(found.low), high: high.max(found.high), ..found }
}

fn standard(values: &[f64]) -> Vec<f64> {
    let centred = centred(values);
    let most = centred.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    if most == 0.0 { centred } else { centred.iter().map(|value| value / most).collect() }
}

/// A small generator, seeded by a constant so that a report can be reproduced (Steele, Lea and Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).unwrap_or(u64::MAX).max(1);
        // The bias of the remainder is n / 2^64.
        usize::try_from(self.next() % n).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vramscope_core::{Bytes, Reading};

    fn report(points: impl Iterator<Item = (u64, u32)>) -> CorrelationReport {
        let mut pair = Pair::new(Metric::Used, Metric::Power);
        points.for_each(|(used, mw)| {
            pair.add(&Reading { used: Bytes::new(used), power_mw: Some(mw), ..Reading::default() });
        });
        pair.report()
    }

    fn noise(seed: u64) -> impl FnMut() -> u64 {
        let mut random = SplitMix(seed);
        move || random.next() % 1000
    }

    #[test]
    fn a_line_has_coefficient_one_and_a_falling_one_minus_one() {
        let mut x = noise(1);
        let rising = report((0..500).map(|_| x()).map(|x| (x, u32::try_from(3 * x + 7).unwrap())));
        assert!((rising.pearson.unwrap().value - 1.0).abs() < 1e-9, "{rising:?}");
        let mut x = noise(2);
        let falling = report((0..500).map(|_| x()).map(|x| (x, u32::try_from(5000 - x * x / 1000).unwrap())));
        assert!((falling.spearman.unwrap().value + 1.0).abs() < 1e-2, "{falling:?}");
    }

    #[test]
    fn independent_figures_have_an_interval_around_zero() {
        let (mut x, mut y) = (noise(3), noise(4));
        let found = report((0..2000).map(|_| (x(), u32::try_from(y()).unwrap())));
        let pearson = found.pearson.unwrap();
        assert!(pearson.low < 0.0 && 0.0 < pearson.high && pearson.high - pearson.low < 0.2, "{found:?}");
        assert!(found.effective_n.unwrap() > 1000.0);
    }

    #[test]
    fn slow_waves_are_worth_few_points_and_have_a_wide_interval() {
        let mut y = noise(5);
        let slow = |n: u64| (n / 100) * 7919 % 13;
        let found = report((0..3000u64).map(|n| (slow(n) * 100, u32::try_from(slow(n + 50) * 100 + y()).unwrap())));
        assert!(found.effective_n.unwrap() < 200.0, "{found:?}");
    }

    #[test]
    fn without_variation_it_says_so_and_gives_no_number() {
        let constant = report((0..500).map(|n| (1 << 30, 70_000 + n)));
        assert_eq!(constant.not_enough.as_deref(), Some("used_bytes does not vary"));
        assert_eq!((constant.pearson, constant.spearman), (None, None));
        let few = report((0..10).map(|n| (u64::from(n), n)));
        assert!(few.not_enough.unwrap().contains("10 points"));
        let one_step = report((0..500u64).map(|n| (u64::from(n > 250) << 30, if n > 250 { 9 } else { 1 })));
        assert!(one_step.caution.unwrap().contains("independent"), "one step is one event");
        let found = one_step.pearson.unwrap();
        assert!((found.value - 1.0).abs() < 1e-9 && found.high - found.low > 0.5, "{found:?}");
    }

    #[test]
    fn many_samples_of_few_events_have_an_estimate_with_a_wide_interval() {
        // A server that loads, works and ends: thousands of samples of three levels.
        let level = |n: u64| [1, 40, 60, 60, 1][usize::try_from(n / 700).unwrap()];
        let mut y = noise(8);
        let found = report((0..3479u64).map(|n| (level(n) << 30, u32::try_from(level(n) * 9000 + y() * 50).unwrap())));
        assert_eq!((found.n, &found.not_enough), (3479, &None));
        let pearson = found.pearson.unwrap();
        assert!(pearson.low < pearson.value && pearson.value <= pearson.high, "{found:?}");
        assert!(pearson.value > 0.8 && pearson.high - pearson.low > 0.2, "{found:?}");
        assert!(found.spearman.is_some() && found.caution.is_some(), "{found:?}");
    }

    #[test]
    fn a_long_recording_is_averaged_and_keeps_its_coefficient() {
        let mut x = noise(6);
        let mut level = 500;
        let found = report((0..100_000).map(|_| {
            // A level that wanders slowly, so that averaging keeps its variation.
            level = (level * 99 + x()) / 100 + 5;
            (level, u32::try_from(level * 2).unwrap())
        }));
        assert!(found.n < MOST_POINTS && found.n > 1000, "{found:?}");
        assert!(found.pearson.is_none_or(|c| c.value > 0.99), "{found:?}");
    }
}
