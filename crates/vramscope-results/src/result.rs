//! The one shape of results.

use std::collections::BTreeMap;

/// What one run of a load generator measured.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct LoadResult {
    /// Who measured it.
    pub tool: Tool,
    /// What the file calls this run among others, where it does.
    pub label: Option<String>,
    /// When, in the file's own words.
    pub date: Option<String>,
    /// The model that was asked for.
    pub model: Option<String>,
    /// What was asked for.
    pub asked: Asked,
    /// What came of it.
    pub counts: Counts,
    /// The time over which rates are taken, in seconds.
    pub duration_s: Option<f64>,
    /// What was served each second.
    pub rates: Rates,
    /// The times, by what they are.
    pub latencies: BTreeMap<LatencyKind, Latency>,
    /// Whether the run was stopped before its end.
    pub stopped: Option<bool>,
}

impl LoadResult {
    /// How long something took; `None` where the file does not say.
    pub fn latency(&self, kind: LatencyKind) -> Option<&Latency> {
        self.latencies.get(&kind)
    }
}

/// A load generator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// Its version; `None` where its files do not say.
    pub version: Option<String>,
}

/// What a run was asked to send.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Asked {
    /// The most requests in flight together; `None` also where there was no limit.
    pub concurrency: Option<u64>,
    /// Requests each second; `None` also where they were sent as fast as they went.
    pub rate_per_s: Option<f64>,
    /// Requests in all.
    pub requests: Option<u64>,
    /// Tokens of a prompt, where all are asked to have the same.
    pub input_len: Option<u64>,
    /// Tokens of an answer, where all are asked to have the same.
    pub output_len: Option<u64>,
    /// The random seed.
    pub seed: Option<u64>,
}

/// Requests and tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Requests that were answered whole.
    pub completed: Option<u64>,
    /// Requests that failed.
    pub failed: Option<u64>,
    /// Requests that were cut off when the run ended.
    pub incomplete: Option<u64>,
    /// Requests that were to be sent and were not.
    pub unsent: Option<u64>,
    /// Answers with fewer tokens than asked for.
    pub short: Option<u64>,
    /// Requests that were sent late.
    pub late: Option<u64>,
    /// Why requests failed: a kind, and how many.
    pub failures: BTreeMap<String, u64>,
    /// Prompt tokens of the answered requests.
    pub input_tokens: Option<u64>,
    /// Generated tokens of the answered requests.
    pub output_tokens: Option<u64>,
    /// The pieces in which they came.
    pub chunks: Option<u64>,
}

/// What was served each second, over the whole duration.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Rates {
    /// Answered requests each second.
    pub requests_per_s: Option<f64>,
    /// Answered requests within their objectives, each second.
    pub good_per_s: Option<f64>,
    /// Generated tokens each second.
    pub output_tokens_per_s: Option<f64>,
    /// Prompt and generated tokens each second.
    pub total_tokens_per_s: Option<f64>,
}

/// What a time is of. Tools have other words for some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LatencyKind {
    /// From sending a request to its first token; one value a request.
    TimeToFirstToken,
    /// A request's mean time between its tokens after the first: (end - first token) / (tokens - 1); one value a request.
    TimePerOutputToken,
    /// The same, but a request counts as often as it has tokens after the first: long answers weigh more.
    TimePerOutputTokenByToken,
    /// From one chunk of an answer to the next; one value a gap, of all requests together.
    InterTokenLatency,
    /// From sending a request to its end; one value a request.
    EndToEnd,
    /// A request's end-to-end time divided by all its tokens; a request counts as often as it has tokens.
    EndToEndPerToken,
    /// From when a request was due until it was sent; one value a request.
    ClientQueue,
}

/// How a time is spread. In milliseconds, over answered requests.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Latency {
    /// How many values it is of.
    pub n: Option<u64>,
    /// Arithmetic mean.
    pub mean_ms: Option<f64>,
    /// Population standard deviation.
    pub std_ms: Option<f64>,
    /// The smallest.
    pub min_ms: Option<f64>,
    /// The largest.
    pub max_ms: Option<f64>,
    /// Percentiles in ascending order: percent, and milliseconds.
    pub percentiles: Vec<(f64, f64)>,
}

impl Latency {
    /// A percentile that the file has; nothing is interpolated.
    pub fn percentile_ms(&self, percent: f64) -> Option<f64> {
        self.percentiles.iter().find(|(p, _)| *p == percent).map(|(_, ms)| *ms)
    }

    /// Adds a percentile in its place; one that is there already stays.
    pub(crate) fn add(&mut self, percent: f64, ms: f64) {
        let place = self.percentiles.partition_point(|(p, _)| *p < percent);
        if self.percentiles.get(place).is_none_or(|(p, _)| *p != percent) {
            self.percentiles.insert(place, (percent, ms));
        }
    }

    /// Whether it tells anything. Tools write zeros where there was nothing to measure, and no answer takes no time at
    /// all.
    pub(crate) fn is_measured(&self) -> bool {
        let mut all = [self.mean_ms, self.min_ms, self.max_ms].into_iter().flatten();
        let some = all.any(|ms| ms > 0.0) || self.percentiles.iter().any(|(_, ms)| *ms > 0.0);
        some && self.n != Some(0)
    }
}
