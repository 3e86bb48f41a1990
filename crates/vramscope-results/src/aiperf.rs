//! AIPerf's `profile_export_aiperf.json`: one run. Source: schema 1.4 as AIPerf 0.13 writes it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::ResultError;
use crate::flat::{Flat, Runs};
use crate::json::{documents, printable};
use crate::result::{Asked, Counts, Latency, LatencyKind, LoadResult, Rates, Tool};

const TOOL: &str = "aiperf";

/// Its words for times. Its inter-token latency is a request's mean, (end - first token) / (tokens - 1).
const LATENCIES: [(LatencyKind, &str); 4] = [
    (LatencyKind::TimeToFirstToken, "time_to_first_token"),
    (LatencyKind::TimePerOutputToken, "inter_token_latency"),
    (LatencyKind::InterTokenLatency, "inter_chunk_latency"),
    (LatencyKind::EndToEnd, "request_latency"),
];

/// What was asked for stands in lists, which the figures do not.
#[derive(Deserialize, Default)]
struct Input {
    #[serde(default)]
    input_config: Config,
}

#[derive(Deserialize, Default)]
struct Config {
    #[serde(default)]
    models: Models,
    #[serde(default)]
    phases: Vec<Phase>,
}

#[derive(Deserialize, Default)]
struct Models {
    #[serde(default)]
    items: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Phase {
    kind: Option<String>,
    requests: Option<u64>,
    concurrency: Option<u64>,
    rate: Option<f64>,
}

pub(crate) fn read(json: &[u8]) -> Result<Vec<LoadResult>, ResultError> {
    let runs = Runs::into_flat(documents::<Runs>(json, 1)?);
    let Some(run) = runs.first() else { return Ok(Vec::new()) };
    // The configuration is no measurement: releases write it in other shapes, and then it is not known.
    let config = serde_json::from_slice::<Input>(json).unwrap_or_default().input_config;
    let phase = config.phases.iter().find(|phase| phase.kind.as_deref().is_none_or(|kind| kind == "profiling"));
    let completed = count(run, "request_count")?;
    // Where no request failed there is no count of failures; the count of all requests tells.
    let failed = match (count(run, "error_request_count")?, count(run, "completed_request_count")?) {
        (Some(failed), _) => Some(failed),
        (None, all) => all.zip(completed).and_then(|(all, completed)| all.checked_sub(completed)),
    };
    let mut latencies = BTreeMap::new();
    for (kind, name) in LATENCIES {
        latencies.extend(latency(run, name)?.map(|latency| (kind, latency)));
    }
    Ok(vec![LoadResult {
        tool: Tool { name: TOOL, version: run.text("aiperf_version") },
        label: None,
        date: run.text("start_time"),
        model: config.models.items.first().and_then(|model| model.name.as_deref()).map(printable),
        asked: Asked {
            concurrency: phase.and_then(|phase| phase.concurrency),
            rate_per_s: phase.and_then(|phase| phase.rate).filter(|rate| *rate > 0.0),
            requests: phase.and_then(|phase| phase.requests),
            ..Asked::default()
        },
        counts: Counts {
            completed,
            failed,
            input_tokens: count(run, "total_isl")?,
            output_tokens: count(run, "total_output_tokens")?,
            ..Counts::default()
        },
        duration_s: seconds(run, "benchmark_duration")?,
        rates: Rates {
            requests_per_s: figure(run, "request_throughput", "avg")?,
            good_per_s: figure(run, "goodput", "avg")?,
            output_tokens_per_s: figure(run, "output_token_throughput", "avg")?,
            total_tokens_per_s: figure(run, "total_token_throughput", "avg")?,
        },
        latencies,
        stopped: run.flag("was_cancelled"),
    }])
}

fn figure(run: &Flat, name: &str, statistic: &str) -> Result<Option<f64>, ResultError> {
    run.object(name).map_or(Ok(None), |metric| metric.amount(statistic))
}

fn count(run: &Flat, name: &str) -> Result<Option<u64>, ResultError> {
    run.object(name).map_or(Ok(None), |metric| metric.count("avg"))
}

fn seconds(run: &Flat, name: &str) -> Result<Option<f64>, ResultError> {
    let Some(metric) = run.object(name) else { return Ok(None) };
    let to_ms = to_ms(&metric, name)?;
    Ok(metric.amount("avg")?.map(|value| value * to_ms / 1e3))
}

fn latency(run: &Flat, name: &str) -> Result<Option<Latency>, ResultError> {
    let Some(metric) = run.object(name) else { return Ok(None) };
    let to_ms = to_ms(&metric, name)?;
    let ms = |statistic: &str| Ok::<_, ResultError>(metric.amount(statistic)?.map(|value| value * to_ms));
    let mut latency = Latency {
        n: metric.count("count")?,
        mean_ms: ms("avg")?,
        std_ms: ms("std")?,
        min_ms: ms("min")?,
        max_ms: ms("max")?,
        percentiles: Vec::new(),
    };
    for statistic in metric.names() {
        let percent = statistic.strip_prefix('p').and_then(|percent| percent.parse::<f64>().ok());
        if let Some(percent) = percent.filter(|percent| (0.0..=100.0).contains(percent))
            && let Some(value) = ms(statistic)?
        {
            latency.add(percent, value);
        }
    }
    Ok(latency.is_measured().then_some(latency))
}

/// Its metrics say their unit.
fn to_ms(metric: &Flat, name: &str) -> Result<f64, ResultError> {
    match metric.text("unit").as_deref() {
        Some("ms") => Ok(1.0),
        Some("sec" | "s") => Ok(1e3),
        Some("us") => Ok(1e-3),
        Some("ns") => Ok(1e-6),
        other => Err(ResultError::Figure {
            run: metric.run,
            field: format!("{name}.unit"),
            found: other.unwrap_or("absent").to_owned(),
            expected: "ms, sec, us or ns",
        }),
    }
}
