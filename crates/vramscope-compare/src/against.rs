//! Repeats of one run against repeats of another: a verdict on each figure, by a rule whose rate of false alarms is stated.
//!
//! A run is the unit, not a request: requests of one run share its engine start, its clocks and its neighbours, and ten
//! thousand of them say nothing of how the next run differs. So each repeat gives one value of a figure, a quantile as
//! well as a mean, and the values of the two sides are compared by Welch's t on their logarithms. Figures are several,
//! and one of them would be off by chance: each has its share of the allowed rate (Bonferroni).

use statrs::distribution::{ContinuousCDF as _, StudentsT};
use vramscope_schema::v3::{Profile, RunStatus};

use crate::diff::{Exceeded, Limit, SettingChange, Verdict, changed, two_senders, unlike_asked};
use crate::figure::{Better, Figure, figures};

/// Fewer repeats of a side tell nothing of how far repeats differ.
pub const LEAST_REPEATS: usize = 3;
/// The most repeats that a hint names.
const MOST_HINTED: u32 = 1_000;

/// By which rule is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// How often at most a comparison of equal runs calls any figure better or worse: 0.05 for one in twenty.
    pub false_alarms: f64,
    /// A change of this share is too small to matter: 0.05 for 5 percent.
    pub margin: f64,
    /// The figures that are judged; empty for every one that has a better direction and stands in all runs. The fewer
    /// there are, the smaller the change that is found.
    pub figures: Vec<String>,
}

impl Default for Rule {
    fn default() -> Self {
        Self { false_alarms: 0.05, margin: 0.05, figures: Vec::new() }
    }
}

/// What is said of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The interval of the change lies beyond zero, on the better side.
    Better,
    /// The interval of the change lies beyond zero, on the worse side.
    Worse,
    /// The interval holds zero and lies within the margin.
    NoDifferenceShown,
    /// The interval holds zero and reaches beyond the margin, or there is no fair comparison.
    Inconclusive,
}

impl Outcome {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NoDifferenceShown => "no difference shown",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// A mean with how far it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Interval {
    /// The mean over repeats.
    pub mean: f64,
    /// Where it may lie, from; `None` where the repeats are too few to tell.
    pub low: Option<f64>,
    /// Where it may lie, to.
    pub high: Option<f64>,
}

/// A figure with its verdict.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Judged {
    /// Its name, which ends in its unit.
    pub name: &'static str,
    /// Which way it should move.
    pub better: Better,
    /// The first side: the mean of its repeats with its interval of 95 %, in the unit of the name.
    pub before: Interval,
    /// The second side.
    pub after: Interval,
    /// The second less the first as a share of the first (the ratio of geometric means, less one), with the interval by
    /// which it is judged; `None` where a value is not above zero.
    pub change: Option<Interval>,
    /// The verdict.
    pub outcome: Outcome,
    /// Why it is inconclusive, where that is not for want of repeats.
    pub why: Option<String>,
    /// How many repeats of each side might tell a change as large as the margin, where it is inconclusive for want of them.
    pub repeats_needed: Option<u32>,
}

/// Requests of a side that were not answered whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Unanswered {
    /// Requests of all repeats; `None` where one of them does not say.
    pub requests: Option<u64>,
    /// Those that failed or were not sent.
    pub unanswered: Option<u64>,
}

impl Unanswered {
    fn of(side: &[Profile]) -> Self {
        let mut sum = Some((0_u64, 0_u64));
        for profile in side {
            let told = || {
                let served = profile.served_stats.as_ref()?;
                let lost = served.failed_requests?.checked_add(served.unsent_requests.unwrap_or(0))?;
                Some((served.completed_requests?.checked_add(lost)?, lost))
            };
            sum =
                sum.zip(told()).and_then(|(sum, told)| Some((sum.0.checked_add(told.0)?, sum.1.checked_add(told.1)?)));
        }
        Self { requests: sum.map(|sum| sum.0), unanswered: sum.map(|sum| sum.1) }
    }

    /// Whether a larger share was not answered than of the other. What is not said is taken for answered, and cautioned.
    fn is_more_than(self, other: Self) -> bool {
        let share = |side: Self| {
            let (requests, lost) = side.requests.zip(side.unanswered).unwrap_or((1, 0));
            (u128::from(lost), u128::from(requests.max(1)))
        };
        let ((lost, of), (others, of_others)) = (share(self), share(other));
        lost * of_others > others * of
    }
}

/// Two sides, figure by figure.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Against {
    /// How many repeats the two sides have.
    pub repeats: [usize; 2],
    /// By which rule.
    pub rule: Rule,
    /// What the sides were set up with, where it differs.
    pub settings: Vec<SettingChange>,
    /// What was judged.
    pub figures: Vec<Judged>,
    /// Requests that were not answered, of the two sides.
    pub unanswered: [Unanswered; 2],
    /// Figures that were asked for and do not stand in all runs, or have no better direction.
    pub unjudged: Vec<String>,
    /// What makes the comparison doubtful, in sentences.
    pub cautions: Vec<String>,
}

impl Against {
    /// The first side against the second. A side without runs gives no figures.
    pub fn of(before: &[Profile], after: &[Profile], rule: Rule) -> Self {
        let wanted = |figure: &&Figure| rule.figures.is_empty() || rule.figures.iter().any(|name| name == figure.name);
        let directed = figures().iter().filter(|figure| figure.better != Better::Neither).filter(wanted);
        let measured: Vec<(&Figure, Vec<f64>, Vec<f64>)> =
            directed.filter_map(|figure| Some((figure, values(figure, before)?, values(figure, after)?))).collect();
        let unanswered = [Unanswered::of(before), Unanswered::of(after)];
        let ended = [before, after].map(|side| side.iter().find_map(|profile| ended_badly(profile)));
        let count = u32::try_from(measured.len()).unwrap_or(u32::MAX).max(1);
        let each = rule.false_alarms / f64::from(count);
        let judged = measured.iter().map(|(figure, first, second)| {
            let mut judged = judge(figure, first, second, each, rule.margin);
            withhold(&mut judged, unanswered, ended);
            judged
        });
        let judged: Vec<Judged> = judged.collect();
        let missing = rule.figures.iter().filter(|name| !judged.iter().any(|figure| figure.name == name.as_str()));
        Self {
            repeats: [before.len(), after.len()],
            settings: before.first().zip(after.first()).map_or_else(Vec::new, |(a, b)| changed(a, b)),
            unjudged: missing.cloned().collect(),
            figures: judged,
            unanswered,
            cautions: cautions(before, after, unanswered),
            rule,
        }
    }

    /// Holds limits against it. A limit is exceeded by a figure that is shown to be worse, and by more than the limit.
    pub fn verdict(&self, limits: &[Limit]) -> Verdict {
        let mut verdict = Verdict::default();
        let general = limits.iter().rev().find(|limit| limit.figure.is_none()).map(|limit| limit.share);
        for judged in self.figures.iter().filter(|judged| judged.outcome == Outcome::Worse) {
            let own = limits.iter().rev().find(|limit| limit.figure.as_deref() == Some(judged.name));
            let worse_by = judged.change.map_or(f64::INFINITY, |change| change.mean.abs());
            if let Some(limit) = own.map(|limit| limit.share).or(general).filter(|limit| worse_by > *limit) {
                verdict.exceeded.push(Exceeded { figure: judged.name, worse_by, limit });
            }
        }
        verdict.exceeded.sort_by(|a, b| b.worse_by.total_cmp(&a.worse_by));
        let named = limits.iter().filter_map(|limit| limit.figure.as_deref());
        let is_judged = |name: &&str| self.figures.iter().any(|judged| judged.name == *name);
        verdict.unjudged = named.filter(|name| !is_judged(name)).map(str::to_owned).collect();
        verdict
    }

    /// Whether a larger share of requests went unanswered on the second side than on the first.
    pub fn answers_fewer(&self) -> bool {
        self.unanswered[1].is_more_than(self.unanswered[0])
    }
}

/// A figure's value in each repeat, if all have it.
fn values(figure: &Figure, side: &[Profile]) -> Option<Vec<f64>> {
    let values: Option<Vec<f64>> = side.iter().map(|profile| Some(figure.of(profile)?.as_f64())).collect();
    values.filter(|values| !values.is_empty())
}

fn judge(figure: &Figure, first: &[f64], second: &[f64], false_alarms: f64, margin: f64) -> Judged {
    let mut judged = Judged {
        name: figure.name,
        better: figure.better,
        before: interval(first),
        after: interval(second),
        change: None,
        outcome: Outcome::Inconclusive,
        why: None,
        repeats_needed: None,
    };
    if first.len().min(second.len()) < LEAST_REPEATS {
        judged.why = Some(format!("{LEAST_REPEATS} repeats of each side are needed at least"));
        return judged;
    }
    let positive = first.iter().chain(second).all(|value| *value > 0.0);
    let scale = |value: &f64| if positive { value.ln() } else { *value };
    let a = Sample::of(&first.iter().map(scale).collect::<Vec<_>>());
    let b = Sample::of(&second.iter().map(scale).collect::<Vec<_>>());
    let (Some(a), Some(b)) = (a, b) else { return judged };
    let Some(half) = half_width(&a, &b, false_alarms) else { return judged };
    let (low, high) = (b.mean - a.mean - half, b.mean - a.mean + half);
    let rises = low > 0.0;
    judged.outcome = if rises || high < 0.0 {
        if rises == (figure.better == Better::Higher) { Outcome::Better } else { Outcome::Worse }
    } else if low == 0.0 && high == 0.0 {
        Outcome::NoDifferenceShown
    } else {
        Outcome::Inconclusive
    };
    if !positive {
        // Counts that are zero somewhere: there is no ratio.
        return judged;
    }
    let share = |log: f64| log.exp_m1();
    judged.change = Some(Interval { mean: share(b.mean - a.mean), low: Some(share(low)), high: Some(share(high)) });
    if judged.outcome == Outcome::Inconclusive {
        if share(low) >= -margin && share(high) <= margin {
            judged.outcome = Outcome::NoDifferenceShown;
        } else {
            // Those that are there did not tell.
            let more = u32::try_from(first.len().min(second.len())).unwrap_or(u32::MAX).saturating_add(1);
            judged.repeats_needed = repeats_needed(&a, &b, false_alarms, margin).map(|needed| needed.max(more));
        }
    }
    judged
}

/// Withholds a verdict for a side that answered fewer requests: its times and rates are of another load.
fn withhold(judged: &mut Judged, unanswered: [Unanswered; 2], ended: [Option<&'static str>; 2]) {
    let favoured = match judged.outcome {
        Outcome::Better => 1,
        Outcome::Worse => 0,
        _ => return,
    };
    let side = ["first", "second"][favoured];
    let why = if let Some(how) = ended[favoured] {
        format!("a run of the {side} side {how}")
    } else if unanswered[favoured].is_more_than(unanswered[1 - favoured]) && !judged.name.ends_with("_requests") {
        let lost = unanswered[favoured].unanswered.unwrap_or(0);
        let all = unanswered[favoured].requests.unwrap_or(0);
        format!("{lost} of {all} requests of the {side} side were not answered, a larger share than of the other")
    } else {
        return;
    };
    judged.outcome = Outcome::Inconclusive;
    judged.why = Some(why);
}

fn ended_badly(profile: &Profile) -> Option<&'static str> {
    match profile.metadata.status {
        Some(RunStatus::Failed) => Some("failed"),
        Some(RunStatus::Interrupted) => Some("was stopped"),
        _ => None,
    }
}

fn cautions(before: &[Profile], after: &[Profile], unanswered: [Unanswered; 2]) -> Vec<String> {
    let mut found: Vec<String> =
        before.first().zip(after.first()).and_then(|(a, b)| two_senders(a, b)).into_iter().collect();
    for (side, name, lost) in [(before, "first", unanswered[0]), (after, "second", unanswered[1])] {
        let unlike: Vec<&str> = side.split_first().map_or_else(Vec::new, |(first, others)| {
            let mut names: Vec<&str> = others.iter().flat_map(|other| changed(first, other)).map(|s| s.name).collect();
            names.sort_unstable();
            names.dedup();
            names.retain(|name| *name != "seed");
            names
        });
        if !unlike.is_empty() {
            found.push(format!("the repeats of the {name} side are no repeats: they differ in {}", unlike.join(", ")));
        }
        if let Some(told) = side.iter().find_map(unlike_asked) {
            found.push(format!("in a run of the {name} side {told}"));
        }
        let served = side.iter().any(|profile| profile.served_stats.is_some());
        match (lost.requests, lost.unanswered) {
            (Some(all), Some(lost)) if lost > 0 => {
                found.push(format!("of {all} requests of the {name} side {lost} were not answered"));
            }
            (None, _) if served => {
                found.push(format!("not every run of the {name} side says how many of its requests failed"));
            }
            _ => {}
        }
    }
    found
}

/// Values of repeats.
struct Sample {
    n: f64,
    mean: f64,
    /// The sample variance.
    variance: f64,
}

impl Sample {
    fn of(values: &[f64]) -> Option<Self> {
        let n = f64::from(u32::try_from(values.len()).ok().filter(|n| *n > 1)?);
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        // Equal values have no spread, whatever the rounding of their mean.
        let equal = values.windows(2).all(|pair| pair[0] == pair[1]);
        Some(if equal { Self { n, mean: values[0], variance: 0.0 } } else { Self { n, mean, variance } })
    }
}

/// The half width of Welch's interval of the difference of two means.
fn half_width(a: &Sample, b: &Sample, false_alarms: f64) -> Option<f64> {
    let (of_a, of_b) = (a.variance / a.n, b.variance / b.n);
    let error = of_a + of_b;
    if error == 0.0 {
        return Some(0.0);
    }
    let freedom = error * error / (of_a * of_a / (a.n - 1.0) + of_b * of_b / (b.n - 1.0));
    Some(quantile(freedom, false_alarms)? * error.sqrt())
}

/// The two-sided quantile of Student's t.
fn quantile(freedom: f64, false_alarms: f64) -> Option<f64> {
    StudentsT::new(0.0, 1.0, freedom).ok().map(|t| t.inverse_cdf(1.0 - false_alarms / 2.0)).filter(|t| t.is_finite())
}

/// With how many repeats of each side, spread as these are, the half width would be the margin.
fn repeats_needed(a: &Sample, b: &Sample, false_alarms: f64, margin: f64) -> Option<u32> {
    let variance = f64::midpoint(a.variance, b.variance);
    let wide = |n: u32| {
        let n = f64::from(n);
        quantile(2.0 * n - 2.0, false_alarms).is_none_or(|t| t * (2.0 * variance / n).sqrt() > margin.ln_1p())
    };
    let least = u32::try_from(LEAST_REPEATS).unwrap_or(u32::MAX);
    (least..=MOST_HINTED).find(|n| !wide(*n))
}

/// The mean of repeats with its interval of 95 % by t; of fewer than two there is none.
fn interval(values: &[f64]) -> Interval {
    match Sample::of(values) {
        Some(sample) => {
            let half = quantile(sample.n - 1.0, 0.05).map(|t| t * (sample.variance / sample.n).sqrt());
            let at = |sign: f64| half.map(|half| sample.mean + sign * half);
            Interval { mean: sample.mean, low: at(-1.0), high: at(1.0) }
        }
        None => Interval { mean: values.first().copied().unwrap_or(f64::NAN), low: None, high: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables_of_student() {
        // Two-sided 5 % with 4 degrees: 2.776; with 9: 2.262.
        assert!((quantile(4.0, 0.05).unwrap() - 2.776).abs() < 5e-4);
        assert!((quantile(9.0, 0.05).unwrap() - 2.262).abs() < 5e-4);
        let found = interval(&[10.0, 11.0, 12.0, 13.0, 14.0]);
        let half = 2.776 * (2.5_f64 / 5.0).sqrt();
        assert!((found.mean, found.low.unwrap()) == (12.0, found.low.unwrap()));
        assert!((found.high.unwrap() - 12.0 - half).abs() < 1e-3);
        assert_eq!((interval(&[3.0]).mean, interval(&[3.0]).low), (3.0, None));
    }

    #[test]
    fn welch_is_that_of_the_textbook() {
        // Unequal sides: variances 4 and 1 of 5 and 8 values: error 0.925, freedom 5.31.
        let (a, b) = (Sample { n: 5.0, mean: 0.0, variance: 4.0 }, Sample { n: 8.0, mean: 0.0, variance: 1.0 });
        let freedom = 0.925_f64.powi(2) / (0.8_f64.powi(2) / 4.0 + 0.125_f64.powi(2) / 7.0);
        let expected = quantile(freedom, 0.05).unwrap() * 0.925_f64.sqrt();
        assert!((half_width(&a, &b, 0.05).unwrap() - expected).abs() < 1e-12 && (freedom - 5.274).abs() < 1e-3);
    }
}
