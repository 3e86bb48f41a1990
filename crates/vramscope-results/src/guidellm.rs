//! GuideLLM's `benchmarks.json`: one run for each strategy. Source: `guidellm/benchmark/schemas/` of 0.8.1, version 2 of the
//! report; version 1, by the source of 0.5.0, has the same keys where they are read.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::ResultError;
use crate::flat::whole;
use crate::json::{document, printable};
use crate::read::MOST_RESULTS;
use crate::result::{Asked, Counts, Latency, LatencyKind, LoadResult, Rates, Tool};

const TOOL: &str = "guidellm";
/// Versions of the report.
const KNOWN: [u64; 2] = [1, 2];

#[derive(Deserialize)]
struct Report {
    metadata: Metadata,
    benchmarks: Vec<Benchmark>,
}

#[derive(Deserialize)]
struct Metadata {
    version: Option<u64>,
    guidellm_version: Option<String>,
}

#[derive(Deserialize)]
struct Benchmark {
    config: Option<Config>,
    duration: Option<f64>,
    metrics: Metrics,
}

#[derive(Deserialize)]
struct Config {
    strategy: Option<Strategy>,
    constraints: Option<Constraints>,
    backend: Option<Backend>,
}

#[derive(Deserialize)]
struct Strategy {
    type_: Option<String>,
    streams: Option<f64>,
    max_concurrency: Option<f64>,
    rate: Option<f64>,
}

#[derive(Deserialize)]
struct Constraints {
    max_requests: Option<Constraint>,
}

#[derive(Deserialize)]
struct Constraint {
    args: Option<Args>,
}

#[derive(Deserialize)]
struct Args {
    count: Option<f64>,
}

#[derive(Deserialize)]
struct Backend {
    model: Option<String>,
}

#[derive(Deserialize)]
struct Metrics {
    request_totals: Option<Totals>,
    requests_per_second: Option<ByStatus>,
    request_latency: Option<ByStatus>,
    prompt_token_count: Option<ByStatus>,
    output_token_count: Option<ByStatus>,
    output_tokens_per_second: Option<ByStatus>,
    tokens_per_second: Option<ByStatus>,
    time_to_first_token_ms: Option<ByStatus>,
    time_per_output_token_ms: Option<ByStatus>,
    inter_token_latency_ms: Option<ByStatus>,
    request_goodput: Option<ByStatus>,
}

#[derive(Deserialize)]
struct Totals {
    successful: Option<u64>,
    errored: Option<u64>,
    incomplete: Option<u64>,
}

/// Of what failed nothing is read: its times are no times of answers.
#[derive(Deserialize)]
struct ByStatus {
    successful: Option<Distribution>,
}

#[derive(Deserialize)]
struct Distribution {
    mean: Option<f64>,
    median: Option<f64>,
    std_dev: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    count: Option<u64>,
    total_sum: Option<f64>,
    percentiles: Option<BTreeMap<String, Option<f64>>>,
}

pub(crate) fn read(json: &[u8]) -> Result<Vec<LoadResult>, ResultError> {
    let report: Report = document(json)?;
    if let Some(found) = report.metadata.version.filter(|version| !KNOWN.contains(version)) {
        return Err(ResultError::Version { field: "metadata.version", found, known: "1 and 2" });
    }
    if report.benchmarks.len() > MOST_RESULTS {
        return Err(ResultError::TooMuch { most: MOST_RESULTS, what: "runs" });
    }
    let version = report.metadata.guidellm_version.as_deref().map(printable);
    let tool = Tool { name: TOOL, version };
    report.benchmarks.iter().enumerate().map(|(place, run)| run.result(place + 1, tool.clone())).collect()
}

impl Benchmark {
    fn result(&self, run: usize, tool: Tool) -> Result<LoadResult, ResultError> {
        let metrics = &self.metrics;
        let totals = metrics.request_totals.as_ref();
        let mean = |of: &Option<ByStatus>, field: &str| match successful(of) {
            Some(distribution) => amount(run, field, distribution.mean),
            None => Ok(None),
        };
        let sum = |of: &Option<ByStatus>| successful(of).and_then(|d| d.total_sum).and_then(whole);
        let answers = successful(&metrics.output_token_count);
        // A request counts as often as it has tokens: where all have as many, that is once each.
        let even = answers.is_some_and(|d| d.std_dev == Some(0.0) && d.count.is_some_and(|n| n > 0));
        let between = if even { LatencyKind::TimePerOutputToken } else { LatencyKind::TimePerOutputTokenByToken };
        let times = [
            (LatencyKind::TimeToFirstToken, &metrics.time_to_first_token_ms, "time_to_first_token_ms", 1.0),
            (between, &metrics.inter_token_latency_ms, "inter_token_latency_ms", 1.0),
            (LatencyKind::EndToEndPerToken, &metrics.time_per_output_token_ms, "time_per_output_token_ms", 1.0),
            (LatencyKind::EndToEnd, &metrics.request_latency, "request_latency", 1e3),
        ];
        let mut latencies = BTreeMap::new();
        for (kind, of, field, to_ms) in times {
            if let Some(distribution) = successful(of) {
                latencies.extend(distribution.latency(run, field, to_ms)?.map(|latency| (kind, latency)));
            }
        }
        let config = self.config.as_ref();
        let strategy = config.and_then(|config| config.strategy.as_ref());
        let in_flight = strategy.and_then(|strategy| strategy.streams.or(strategy.max_concurrency));
        let limit = config.and_then(|config| config.constraints.as_ref()?.max_requests.as_ref()?.args.as_ref()?.count);
        Ok(LoadResult {
            tool,
            label: strategy.and_then(|strategy| strategy.type_.as_deref()).map(printable),
            date: None,
            model: config.and_then(|config| config.backend.as_ref()?.model.as_deref()).map(printable),
            asked: Asked {
                concurrency: in_flight.and_then(whole),
                rate_per_s: amount(run, "config.strategy.rate", strategy.and_then(|strategy| strategy.rate))?,
                requests: limit.and_then(whole),
                ..Asked::default()
            },
            counts: Counts {
                completed: totals.and_then(|totals| totals.successful),
                failed: totals.and_then(|totals| totals.errored),
                incomplete: totals.and_then(|totals| totals.incomplete),
                input_tokens: sum(&metrics.prompt_token_count),
                output_tokens: sum(&metrics.output_token_count),
                ..Counts::default()
            },
            duration_s: amount(run, "duration", self.duration)?,
            rates: Rates {
                requests_per_s: mean(&metrics.requests_per_second, "requests_per_second")?,
                good_per_s: mean(&metrics.request_goodput, "request_goodput")?,
                output_tokens_per_s: mean(&metrics.output_tokens_per_second, "output_tokens_per_second")?,
                total_tokens_per_s: mean(&metrics.tokens_per_second, "tokens_per_second")?,
            },
            latencies,
            stopped: None,
        })
    }
}

fn successful(of: &Option<ByStatus>) -> Option<&Distribution> {
    of.as_ref()?.successful.as_ref()
}

impl Distribution {
    fn latency(&self, run: usize, field: &str, to_ms: f64) -> Result<Option<Latency>, ResultError> {
        let ms = |value: Option<f64>| Ok(amount(run, field, value)?.map(|value| value * to_ms));
        let mut latency = Latency {
            n: self.count,
            mean_ms: ms(self.mean)?,
            std_ms: ms(self.std_dev)?,
            min_ms: ms(self.min)?,
            max_ms: ms(self.max)?,
            percentiles: Vec::new(),
        };
        if let Some(median) = ms(self.median)? {
            latency.add(50.0, median);
        }
        for (name, value) in self.percentiles.iter().flatten() {
            if let (Some(percent), Some(value)) = (percent(name), ms(*value)?) {
                latency.add(percent, value);
            }
        }
        Ok(latency.is_measured().then_some(latency))
    }
}

/// `p95` is 95, `p999` 99.9, `p001` 0.1: two digits before the point.
fn percent(name: &str) -> Option<f64> {
    let digits =
        name.strip_prefix('p').filter(|digits| digits.len() >= 2 && digits.bytes().all(|b| b.is_ascii_digit()))?;
    let (whole, rest) = digits.split_at(2);
    format!("{whole}.{rest}0").parse().ok()
}

fn amount(run: usize, field: &str, value: Option<f64>) -> Result<Option<f64>, ResultError> {
    match value {
        Some(value) if value < 0.0 => Err(ResultError::Figure {
            run,
            field: field.to_owned(),
            found: value.to_string(),
            expected: "a number that is not negative",
        }),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn names_of_percentiles_have_two_digits_before_the_point() {
        for (name, expected) in [("p001", 0.1), ("p01", 1.0), ("p05", 5.0), ("p95", 95.0), ("p999", 99.9)] {
            assert_eq!(percent(name), Some(expected), "{name}");
        }
        assert_eq!((percent("p"), percent("p9x"), percent("mean")), (None, None, None));
    }
}
