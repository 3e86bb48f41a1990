//! The load document of `vramscope load -o`: a run for each measurement of a level. Source: `schemas/load.json`, version 1.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::ResultError;
use crate::json::{document, printable};
use crate::read::MOST_RESULTS;
use crate::result::{Asked, Counts, Latency, LatencyKind, LoadResult, Rates, Tool};

pub(crate) const TOOL: &str = "vramscope load";
/// The key that says that it is one.
pub(crate) const KEY: &str = "vramscope_load";
const VERSION: u64 = 1;

#[derive(Deserialize)]
struct Document {
    vramscope_load: u64,
    generator: Option<String>,
    workload: Workload,
    levels: Vec<Level>,
}

#[derive(Deserialize)]
struct Workload {
    model: Option<String>,
    input_len: Option<String>,
    output_len: Option<String>,
    seed: Option<u64>,
    requests: Option<u64>,
}

#[derive(Deserialize)]
struct Level {
    asked: AskedLevel,
    repeat: Option<u64>,
    started_at: Option<String>,
    duration_s: Option<f64>,
    stopped: Option<bool>,
    requests: Requests,
    #[serde(default)]
    failures: BTreeMap<String, u64>,
    tokens: Tokens,
    completed_per_s: Option<f64>,
    output_tokens_per_s: Option<f64>,
    total_tokens_per_s: Option<f64>,
    goodput: Option<Goodput>,
    ttft: Option<Times>,
    tpot: Option<Times>,
    itl: Option<Times>,
    e2e: Option<Times>,
}

/// What a level was asked for.
#[derive(Deserialize)]
struct AskedLevel {
    concurrency: Option<u64>,
    rate_per_s: Option<f64>,
    max_in_flight: Option<u64>,
}

#[derive(Deserialize)]
struct Requests {
    completed: Option<u64>,
    failed: Option<u64>,
    short: Option<u64>,
    late: Option<u64>,
    unsent: Option<u64>,
    stopped: Option<u64>,
}

#[derive(Deserialize)]
struct Tokens {
    input: Option<u64>,
    output: Option<u64>,
    chunks: Option<u64>,
}

#[derive(Deserialize)]
struct Goodput {
    per_s: Option<f64>,
}

#[derive(Deserialize)]
struct Times {
    n: Option<u64>,
    mean_ms: Option<f64>,
    std_ms: Option<f64>,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
    max_ms: Option<f64>,
}

pub(crate) fn read(json: &[u8]) -> Result<Vec<LoadResult>, ResultError> {
    let Document { vramscope_load: version, generator, workload, levels } = document(json)?;
    if version != VERSION {
        return Err(ResultError::Version { field: KEY, found: version, known: "1" });
    }
    if levels.len() > MOST_RESULTS {
        return Err(ResultError::TooMuch { most: MOST_RESULTS, what: "levels" });
    }
    let version = generator.and_then(|generator| generator.rsplit_once(' ').map(|(_, version)| printable(version)));
    levels.into_iter().enumerate().map(|(at, level)| result(at + 1, level, &workload, version.clone())).collect()
}

fn result(run: usize, level: Level, workload: &Workload, version: Option<String>) -> Result<LoadResult, ResultError> {
    let amount = |field: &str, number: Option<f64>| match number {
        Some(number) if !(number.is_finite() && number >= 0.0) => Err(ResultError::Figure {
            run,
            field: field.to_owned(),
            found: number.to_string(),
            expected: "a number that is not negative",
        }),
        number => Ok(number),
    };
    let mut latencies = BTreeMap::new();
    for (kind, name, times) in [
        (LatencyKind::TimeToFirstToken, "ttft", level.ttft),
        (LatencyKind::TimePerOutputToken, "tpot", level.tpot),
        (LatencyKind::InterTokenLatency, "itl", level.itl),
        (LatencyKind::EndToEnd, "e2e", level.e2e),
    ] {
        let Some(times) = times else { continue };
        let of = |figure: &str, number| amount(&format!("{name}.{figure}"), number);
        let mut latency = Latency {
            n: times.n,
            mean_ms: of("mean_ms", times.mean_ms)?,
            std_ms: of("std_ms", times.std_ms)?,
            max_ms: of("max_ms", times.max_ms)?,
            ..Latency::default()
        };
        for (percent, figure, number) in
            [(50.0, "p50_ms", times.p50_ms), (95.0, "p95_ms", times.p95_ms), (99.0, "p99_ms", times.p99_ms)]
        {
            if let Some(ms) = of(figure, number)? {
                latency.add(percent, ms);
            }
        }
        if latency.is_measured() {
            latencies.insert(kind, latency);
        }
    }
    let rate = amount("asked.rate_per_s", level.asked.rate_per_s)?;
    // A length that all requests have; another form is a distribution.
    let same = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
    Ok(LoadResult {
        tool: Tool { name: TOOL, version },
        label: Some(label(&level.asked, level.repeat)),
        date: level.started_at.as_deref().map(printable),
        model: workload.model.as_deref().map(printable),
        asked: Asked {
            concurrency: level.asked.concurrency.or(level.asked.max_in_flight),
            rate_per_s: rate,
            requests: workload.requests,
            input_len: same(&workload.input_len),
            output_len: same(&workload.output_len),
            seed: workload.seed,
        },
        counts: Counts {
            completed: level.requests.completed,
            failed: level.requests.failed,
            incomplete: level.requests.stopped,
            unsent: level.requests.unsent,
            short: level.requests.short,
            late: level.requests.late,
            failures: level.failures.into_iter().map(|(kind, count)| (printable(&kind), count)).collect(),
            input_tokens: level.tokens.input,
            output_tokens: level.tokens.output,
            chunks: level.tokens.chunks,
        },
        duration_s: amount("duration_s", level.duration_s)?,
        rates: Rates {
            requests_per_s: amount("completed_per_s", level.completed_per_s)?,
            good_per_s: amount("goodput.per_s", level.goodput.and_then(|goodput| goodput.per_s))?,
            output_tokens_per_s: amount("output_tokens_per_s", level.output_tokens_per_s)?,
            total_tokens_per_s: amount("total_tokens_per_s", level.total_tokens_per_s)?,
        },
        latencies,
        stopped: level.stopped,
    })
}

/// A level's name, as the table of `vramscope load` has it.
fn label(asked: &AskedLevel, repeat: Option<u64>) -> String {
    let level = match (asked.concurrency, asked.rate_per_s) {
        (Some(concurrency), _) => format!("{concurrency} in flight"),
        (None, Some(rate)) => format!("{rate}/s"),
        (None, None) => "a level".to_owned(),
    };
    match repeat {
        Some(repeat) if repeat > 1 => format!("{level} #{repeat}"),
        _ => level,
    }
}
