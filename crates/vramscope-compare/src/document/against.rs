//! The document of repeats against repeats.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::VERSION;
use super::diff::{ExceededDocument, SettingDocument, word};
use crate::against::{Against, Interval, Judged, Unanswered};
use crate::diff::Verdict;

/// Repeats of one run against repeats of another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AgainstDocument {
    /// The version of this document. Unit: none, a version.
    pub vramscope_against: u32,
    /// The runs of the first side, as they were named.
    pub before: Vec<String>,
    /// The runs of the second side, as they were named.
    pub after: Vec<String>,
    /// How often at most equal runs have any figure called better or worse. Unit: none, a share.
    pub false_alarms: f64,
    /// The change that is too small to matter. Unit: none, a share.
    pub margin: f64,
    /// What the sides were set up with, where it differs.
    pub settings: Vec<SettingDocument>,
    /// The figures that were judged.
    pub figures: Vec<JudgedDocument>,
    /// Requests of the first side that were not answered.
    pub before_unanswered: UnansweredDocument,
    /// Requests of the second side that were not answered.
    pub after_unanswered: UnansweredDocument,
    /// Whether a larger share of requests went unanswered on the second side.
    pub answers_fewer: bool,
    /// Figures that were asked for and cannot be judged.
    pub unjudged: Vec<String>,
    /// What makes the comparison doubtful.
    pub cautions: Vec<String>,
    /// What is shown to be worse by more than its limit, worst first. Empty also where no limit was set.
    pub exceeded: Vec<ExceededDocument>,
}

/// A figure with its verdict.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct JudgedDocument {
    /// Its name, which ends in its unit. Memory is that of all GPUs together.
    pub name: String,
    /// `lower` or `higher`.
    pub better: String,
    /// The mean of the first side's repeats with its interval of 95 %. Unit: as the name ends.
    pub before: IntervalDocument,
    /// The mean of the second side's repeats with its interval of 95 %. Unit: as the name ends.
    pub after: IntervalDocument,
    /// The change as a share of the first side, with the interval by which it is judged; absent where a value is zero.
    /// Unit: none, a share.
    pub change: Option<IntervalDocument>,
    /// `better`, `worse`, `no difference shown` or `inconclusive`.
    pub outcome: String,
    /// Why it is inconclusive, where that is not for want of repeats.
    pub why: Option<String>,
    /// With how many repeats of each side a change as large as the margin might be told. Unit: count.
    pub repeats_needed: Option<u32>,
}

/// A mean with how far it is known.
#[skip_serializing_none]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct IntervalDocument {
    /// The mean over repeats. Unit: as the figure.
    pub mean: f64,
    /// The lower end; absent where the repeats are too few. Unit: as the figure.
    pub low: Option<f64>,
    /// The upper end. Unit: as the figure.
    pub high: Option<f64>,
}

/// Requests of a side that were not answered whole.
#[skip_serializing_none]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct UnansweredDocument {
    /// Requests of all repeats; absent where one of them does not say. Unit: count.
    pub requests: Option<u64>,
    /// Those that failed or were not sent. Unit: count.
    pub unanswered: Option<u64>,
}

impl AgainstDocument {
    /// The document of two sides whose runs have these names.
    pub fn of(before: Vec<String>, after: Vec<String>, against: &Against, verdict: &Verdict) -> Self {
        let settings = against.settings.iter().map(|change| SettingDocument {
            name: change.name.to_owned(),
            before: change.before.clone(),
            after: change.after.clone(),
        });
        let exceeded = verdict.exceeded.iter().map(|item| ExceededDocument {
            figure: item.figure.to_owned(),
            worse_by: Some(item.worse_by).filter(|share| share.is_finite()),
            limit: item.limit,
        });
        Self {
            vramscope_against: VERSION,
            before,
            after,
            false_alarms: against.rule.false_alarms,
            margin: against.rule.margin,
            settings: settings.collect(),
            figures: against.figures.iter().map(judged).collect(),
            before_unanswered: unanswered(against.unanswered[0]),
            after_unanswered: unanswered(against.unanswered[1]),
            answers_fewer: against.answers_fewer(),
            unjudged: against.unjudged.clone(),
            cautions: against.cautions.clone(),
            exceeded: exceeded.collect(),
        }
    }
}

fn judged(judged: &Judged) -> JudgedDocument {
    JudgedDocument {
        name: judged.name.to_owned(),
        better: word(judged.better).to_owned(),
        before: interval(judged.before),
        after: interval(judged.after),
        change: judged.change.map(interval),
        outcome: judged.outcome.name().to_owned(),
        why: judged.why.clone(),
        repeats_needed: judged.repeats_needed,
    }
}

fn interval(interval: Interval) -> IntervalDocument {
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
    IntervalDocument { mean: interval.mean, low: finite(interval.low), high: finite(interval.high) }
}

fn unanswered(side: Unanswered) -> UnansweredDocument {
    UnansweredDocument { requests: side.requests, unanswered: side.unanswered }
}
