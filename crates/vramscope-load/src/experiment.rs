//! The experiments of a baseline, from what was measured: means with their intervals, factors, fits, verdicts.

mod judge;
mod vllm;

use std::collections::BTreeSet;

use crate::document::{
    CoefficientDocument, FitDocument, LatencyExperiment, LengthsCell, LengthsExperiment, LevelDocument, MeanRate,
    MeanTime, ThroughputExperiment, ThroughputLevel, points,
};
use crate::fit::{Fit, Row, t_quantile};
use crate::report::LoadReport;
use crate::search::{knee, saturation};

/// A coefficient counts as told from zero with so many false alarms.
pub(crate) const FALSE_ALARMS: f64 = 0.01;
/// A curve is looked for where so many different lengths were measured: with three it goes through any of them.
const LENGTHS_FOR_A_CURVE: usize = 4;

/// What one request of a measurement tells of the server, in milliseconds and tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Observation {
    input: f64,
    output: f64,
    ttft_ms: f64,
    e2e_ms: f64,
}

impl Observation {
    /// The time of a further token; `None` of an answer without one.
    fn tpot_ms(&self) -> Option<f64> {
        (self.output > 1.0).then(|| (self.e2e_ms - self.ttft_ms) / (self.output - 1.0))
    }

    /// Tokens that stand before a further token, on average over those of the answer: before the second there are the
    /// prompt and one, before the last all but that.
    fn context(&self) -> f64 {
        self.input + self.output / 2.0
    }
}

/// The requests of a measurement that were answered. Tokens are those that the server counts; of a prompt that it does not
/// count, those that were sent.
fn observations(report: &LoadReport) -> Vec<Observation> {
    let of = |(record, tokens): (&crate::RequestRecord, crate::Tokens)| {
        Some(Observation {
            input: float(tokens.input.or(record.asked.input)?),
            output: float(tokens.output),
            ttft_ms: record.ttft()?.as_secs_f64() * 1e3,
            e2e_ms: record.latency().as_secs_f64() * 1e3,
        })
    };
    report.completed().filter_map(of).collect()
}

impl LatencyExperiment {
    /// One request at a time, as it was measured; `level` is the document of the same report.
    pub fn new(input_len: u64, output_len: u64, report: &LoadReport, level: LevelDocument) -> Self {
        let seen = observations(report);
        let mut experiment = Self {
            input_len,
            output_len,
            e2e: MeanTime::of(seen.iter().map(|one| one.e2e_ms)),
            ttft: MeanTime::of(seen.iter().map(|one| one.ttft_ms)),
            tpot: MeanTime::of(seen.iter().filter_map(Observation::tpot_ms)),
            output_rate: MeanRate::of(seen.iter().filter_map(rate)),
            measurement: level,
            verdicts: Vec::new(),
        };
        experiment.verdicts = judge::latency(&experiment);
        experiment
    }
}

impl ThroughputExperiment {
    /// No level yet.
    pub fn new(input_len: u64, output_len: u64) -> Self {
        Self { input_len, output_len, levels: Vec::new(), knee: None, saturation: None, verdicts: Vec::new() }
    }

    /// Adds a level that was measured.
    pub fn add(&mut self, concurrency: u64, level: LevelDocument) {
        let rate = level.output_tokens_per_s;
        let first =
            self.levels.first().map_or((concurrency, rate), |first| (first.concurrency, first.output_tokens_per_s));
        let factor = rate.zip(first.1).filter(|(_, first)| *first > 0.0).map(|(rate, first)| rate / first);
        let efficiency = factor.map(|factor| factor / (float(concurrency) / float(first.0.max(1))));
        self.levels.push(ThroughputLevel {
            concurrency,
            output_tokens_per_s: rate,
            factor,
            efficiency,
            measurement: level,
        });
        let points = points(self.levels.iter().map(|level| &level.measurement));
        if points.len() > 1 {
            // At the highest level it may lie beyond.
            let highest = points.last().map(|point| point.level);
            self.knee = knee(&points).filter(|knee| highest.is_some_and(|highest| *knee < highest));
            self.saturation = saturation(&points);
        }
        self.verdicts = judge::throughput(self);
    }
}

/// The lengths that were measured so far, with each request: of those the fits are made.
#[derive(Debug, Clone, Default)]
pub struct LengthsCourse {
    cells: Vec<LengthsCell>,
    seen: Vec<Observation>,
}

impl LengthsCourse {
    /// Adds a pair of lengths that was measured; `level` is the document of the same report.
    pub fn add(&mut self, input_len: u64, output_len: u64, report: &LoadReport, level: LevelDocument) {
        let seen = observations(report);
        self.cells.push(LengthsCell {
            input_len,
            output_len,
            ttft: MeanTime::of(seen.iter().map(|one| one.ttft_ms)),
            tpot: MeanTime::of(seen.iter().filter_map(Observation::tpot_ms)),
            e2e: MeanTime::of(seen.iter().map(|one| one.e2e_ms)),
            output_rate: MeanRate::of(seen.iter().filter_map(rate)),
            measurement: level,
        });
        self.seen.extend(seen);
    }

    /// The experiment, as far as it was measured.
    pub fn experiment(self) -> LengthsExperiment {
        let (prefill, decode) = (prefill(&self.seen), decode(&self.seen));
        let mut experiment = LengthsExperiment { cells: self.cells, prefill, decode, verdicts: Vec::new() };
        experiment.verdicts = judge::lengths(&experiment);
        experiment
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}

/// Generated tokens a second of one request.
fn rate(one: &Observation) -> Option<f64> {
    (one.e2e_ms > 0.0).then(|| one.output / (one.e2e_ms / 1e3))
}

/// `TTFT = a + b·input`, and `+ c·input²` where that is above zero with 1 % of false alarms. Each request counts alike.
fn prefill(seen: &[Observation]) -> Option<FitDocument> {
    let rows = |curved: bool| -> Vec<Row> {
        let row = |one: &Observation| {
            let columns = [1.0, one.input, one.input * one.input];
            Row { columns: columns[..if curved { 3 } else { 2 }].to_vec(), value: one.ttft_ms, weight: 1.0 }
        };
        seen.iter().map(row).collect()
    };
    let lengths: BTreeSet<u64> = seen.iter().map(|one| one.input.to_bits()).collect();
    let curve = if lengths.len() >= LENGTHS_FOR_A_CURVE { Fit::of(&rows(true)) } else { None };
    let curve = curve.filter(|fit| fit.coefficients[2].0 > 0.0 && fit.is_told(2, FALSE_ALARMS));
    let fit = curve.or_else(|| Fit::of(&rows(false)))?;
    let names = [
        ("a", "before the first token whatever the prompt", "ms"),
        ("b", "for each token of the prompt", "ms/token"),
        ("c", "for each token of the prompt and each before it, twice that", "ms/token²"),
    ];
    let formula = if fit.coefficients.len() == 3 { "TTFT = a + b·input + c·input²" } else { "TTFT = a + b·input" };
    Some(document(formula, &fit, &names, seen.iter().map(|one| one.input)))
}

/// `E2E - TTFT = (output - 1)·(d + e·context)`, where context is what stands before a token on average. Each gap between
/// tokens counts alike, so that a request counts by its gaps.
fn decode(seen: &[Observation]) -> Option<FitDocument> {
    let row = |one: &Observation| {
        Some(Row { columns: vec![1.0, one.context()], value: one.tpot_ms()?, weight: one.output - 1.0 })
    };
    let rows: Vec<Row> = seen.iter().filter_map(row).collect();
    let fit = Fit::of(&rows)?;
    let names = [
        ("d", "for a further token whatever stands before it", "ms"),
        ("e", "for each token that stands before it", "ms/token"),
    ];
    let decoded = seen.iter().filter(|one| one.output > 1.0).map(Observation::context);
    Some(document("E2E - TTFT = (output - 1)·(d + e·context), context = input + output/2", &fit, &names, decoded))
}

fn document(
    formula: &str,
    fit: &Fit,
    names: &[(&str, &str, &str)],
    varied: impl Iterator<Item = f64> + Clone,
) -> FitDocument {
    let coefficient = |(at, (value, error)): (usize, &(f64, f64))| {
        let (name, meaning, unit) = names.get(at).copied().unwrap_or_default();
        CoefficientDocument {
            name: name.to_owned(),
            meaning: meaning.to_owned(),
            value: *value,
            std_error: *error,
            unit: unit.to_owned(),
            differs_from_zero: fit.is_told(at, FALSE_ALARMS),
        }
    };
    let n = varied.clone().count() as u64;
    FitDocument {
        formula: formula.to_owned(),
        n,
        coefficients: fit.coefficients.iter().enumerate().map(coefficient).collect(),
        r2: fit.r2,
        residual_std_ms: fit.residual_sd,
        from_tokens: varied.clone().fold(f64::INFINITY, f64::min),
        to_tokens: varied.fold(0.0, f64::max),
    }
}

impl FitDocument {
    /// A coefficient by its name.
    pub fn coefficient(&self, name: &str) -> Option<&CoefficientDocument> {
        self.coefficients.iter().find(|one| one.name == name)
    }
}

/// Mean, deviation of the sample, ends, and the interval of 95 % of the mean by Student's t.
struct Mean {
    n: u64,
    mean: f64,
    std: Option<f64>,
    min: f64,
    max: f64,
    half: Option<f64>,
}

impl Mean {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.collect();
        let (count, n) = (values.len() as u64, float(values.len() as u64));
        let mean = values.iter().sum::<f64>() / n;
        let std = (count > 1).then(|| {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            (squares / (n - 1.0)).sqrt()
        });
        let half = std.and_then(|std| Some(t_quantile(n - 1.0, 0.05)? * std / n.sqrt()));
        let (min, max) =
            values.iter().fold((f64::INFINITY, 0.0), |(min, max), x| (f64::min(min, *x), f64::max(max, *x)));
        (count > 0).then_some(Self { n: count, mean, std, min, max, half })
    }
}

impl MeanTime {
    /// Of these milliseconds; `None` of none.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let Mean { n, mean, std, min, max, half } = Mean::of(values)?;
        let (low, high) = (half.map(|half| mean - half), half.map(|half| mean + half));
        Some(Self { n, mean_ms: mean, std_ms: std, min_ms: min, max_ms: max, ci95_low_ms: low, ci95_high_ms: high })
    }
}

impl MeanRate {
    /// Of these rates; `None` of none.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let Mean { n, mean, std, min, max, half } = Mean::of(values)?;
        let (low, high) = (half.map(|half| mean - half), half.map(|half| mean + half));
        Some(Self {
            n,
            mean_per_s: mean,
            std_per_s: std,
            min_per_s: min,
            max_per_s: max,
            ci95_low_per_s: low,
            ci95_high_per_s: high,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "tokens of a request and counts of requests")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_the_interval_of_the_tables_of_student() {
        // n = 5, s = 1.5811, t(4, 0.975) = 2.7764: half of the interval is 1.9632.
        let mean = MeanTime::of([1.0, 2.0, 3.0, 4.0, 5.0].into_iter()).unwrap();
        assert_eq!((mean.n, mean.mean_ms, mean.min_ms, mean.max_ms), (5, 3.0, 1.0, 5.0));
        assert!((mean.std_ms.unwrap() - 1.581_14).abs() < 1e-5);
        assert!((mean.ci95_high_ms.unwrap() - 4.963_24).abs() < 1e-4, "{mean:?}");
        let one = MeanTime::of([7.0].into_iter()).unwrap();
        assert_eq!((one.mean_ms, one.std_ms, one.ci95_low_ms), (7.0, None, None));
        assert_eq!(MeanRate::of(std::iter::empty()), None);
    }

    /// Requests of a server with a known schedule, with a little noise that follows no length.
    fn seen(curve: f64) -> Vec<Observation> {
        let mut seen = Vec::new();
        for (at, input) in [10.0, 50.0, 200.0, 1000.0].into_iter().enumerate() {
            for (also, output) in [50.0, 100.0, 200.0].into_iter().enumerate() {
                for repeat in 0..4_u32 {
                    let noise = f64::from((repeat * 7 + 3 * u32::try_from(at + 5 * also).unwrap()) % 5) - 2.0;
                    let ttft_ms = 12.0 + 0.05 * input + curve * input * input + 0.02 * noise;
                    let gap = 6.0 + 0.002 * (input + output / 2.0) + 0.001 * noise;
                    seen.push(Observation { input, output, ttft_ms, e2e_ms: ttft_ms + gap * (output - 1.0) });
                }
            }
        }
        seen
    }

    #[test]
    fn prefill_and_decode_are_told_apart_within_their_stated_errors() {
        let seen_ = seen(0.0);
        let within = |fit: &FitDocument, name: &str, truth: f64| {
            let found = fit.coefficient(name).unwrap();
            assert!((found.value - truth).abs() <= 4.0 * found.std_error, "{found:?} for {truth}");
            assert!(found.std_error < 0.05 * truth && found.differs_from_zero, "{found:?}");
        };
        let fit = prefill(&seen_).unwrap();
        within(&fit, "a", 12.0);
        within(&fit, "b", 0.05);
        assert_eq!((fit.n, fit.from_tokens, fit.to_tokens), (48, 10.0, 1000.0));
        assert!(fit.coefficient("c").is_none() && fit.r2.unwrap() > 0.99, "{fit:?}");
        let fit = decode(&seen_).unwrap();
        within(&fit, "d", 6.0);
        within(&fit, "e", 0.002);
        let fit = prefill(&seen(2e-5)).unwrap();
        within(&fit, "c", 2e-5);
        assert!(fit.formula.contains("input²"));
    }

    #[test]
    fn where_lengths_do_not_vary_nothing_is_told_apart() {
        let one: Vec<Observation> = seen(0.0).into_iter().take(4).collect();
        assert!(prefill(&one).is_none() && decode(&one).is_none());
        assert!(prefill(&[]).is_none() && decode(&[]).is_none());
    }
}
