//! Results that the engine's own benchmarks write as JSON (`vllm bench latency|throughput|serve --output-json`).

use std::time::Duration;

use serde_json::Value;
use vramscope_core::LatencyResult;
use vramscope_results::{LoadResult, ResultError};
use vramscope_runs::{JsonError, read_json};

use crate::vllm;

/// A benchmark's result.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Bench {
    /// Times of whole batches.
    Latency(LatencyResult),
    /// A batch of requests as fast as they go.
    Throughput(Throughput),
    /// Requests to a server, whichever load generator sent them.
    Serve(Box<LoadResult>),
}

/// What `vllm bench throughput` measured.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Throughput {
    /// The whole time.
    pub elapsed: Duration,
    /// Requests served.
    pub num_requests: Option<u64>,
    /// Prompt and generated tokens together.
    pub total_num_tokens: Option<u64>,
    /// Requests per second.
    pub requests_per_second: Option<f64>,
    /// Prompt and generated tokens per second.
    pub tokens_per_second: Option<f64>,
}

/// A benchmark result that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// No JSON object.
    #[error("read the benchmark result: expected the JSON object that {} writes with --output-json", vllm::BENCHMARK)]
    Json {
        /// Why.
        #[source]
        source: JsonError,
    },
    /// JSON of another kind.
    #[error(
        "read the benchmark result: it has none of avg_latency, elapsed_time and duration; \
             expected what {} writes with --output-json",
        vllm::BENCHMARK
    )]
    Kind,
    /// A load generator's result that cannot be used.
    #[error(transparent)]
    Serve(#[from] ResultError),
    /// Several runs where a recording has one.
    #[error("read the benchmark result: it holds {runs} runs; expected the one of this recording")]
    Runs {
        /// How many.
        runs: usize,
    },
    /// A figure that cannot be one.
    #[error("read the benchmark result: {field} is {value}; expected seconds, not negative")]
    Figure {
        /// Which.
        field: String,
        /// What it is.
        value: f64,
    },
}

/// Reads a benchmark result, whichever of the three it is.
///
/// # Errors
/// [`BenchError`].
pub fn read(json: &[u8]) -> Result<Bench, BenchError> {
    let document: Document = read_json(json).map_err(|source| BenchError::Json { source })?;
    let number = |name: &str| document.get(name).and_then(Value::as_f64);
    let whole = |name: &str| document.get(name).and_then(Value::as_u64);
    if let Some(mean) = number("avg_latency") {
        return latency(mean, &document).map(Bench::Latency);
    }
    if let Some(elapsed) = number("elapsed_time") {
        return Ok(Bench::Throughput(Throughput {
            elapsed: seconds("elapsed_time", elapsed)?,
            num_requests: whole("num_requests"),
            total_num_tokens: whole("total_num_tokens"),
            requests_per_second: number("requests_per_second"),
            tokens_per_second: number("tokens_per_second"),
        }));
    }
    number("duration").ok_or(BenchError::Kind)?;
    let mut results = vramscope_results::read(json)?;
    match (results.pop(), results.len()) {
        (Some(result), 0) => Ok(Bench::Serve(Box::new(result))),
        (_, others) => Err(BenchError::Runs { runs: others + 1 }),
    }
}

type Document = serde_json::Map<String, Value>;

fn latency(mean: f64, document: &Document) -> Result<LatencyResult, BenchError> {
    let each = document.get("latencies").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let iterations: Result<Vec<Duration>, BenchError> =
        each.iter().map(|value| seconds("latencies", value.as_f64().unwrap_or(f64::NAN))).collect();
    let mut percentiles = Vec::new();
    for (percent, value) in document.get("percentiles").and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_f64().unwrap_or(f64::NAN);
        let field = format!("percentiles.{percent}");
        let number: f64 = percent.parse().map_err(|_| BenchError::Figure { field: field.clone(), value })?;
        percentiles.push((number, seconds(&field, value)?));
    }
    percentiles.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(LatencyResult { iterations: iterations?, percentiles, mean: Some(seconds("avg_latency", mean)?) })
}

fn seconds(field: &str, value: f64) -> Result<Duration, BenchError> {
    Duration::try_from_secs_f64(value).map_err(|_| BenchError::Figure { field: field.into(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_by_its_own_field() {
        let latency = br#"{"avg_latency": 0.5, "latencies": [0.4, 0.6], "percentiles": {"90": 0.58, "10": 0.42}}"#;
        let Bench::Latency(l) = read(latency).unwrap() else { panic!("latency") };
        assert_eq!(l.iterations.iter().sum::<Duration>(), Duration::from_secs(1));
        assert_eq!(l.percentiles.iter().map(|p| p.0).collect::<Vec<_>>(), [10.0, 90.0]);
        let throughput = br#"{"elapsed_time": 2.0, "num_requests": 64, "tokens_per_second": 2540.5}"#;
        assert!(matches!(read(throughput).unwrap(), Bench::Throughput(t) if t.num_requests == Some(64)));
        let serve = br#"{"duration": 1.5, "completed": 40, "mean_ttft_ms": 75.5, "ttfts": [1, 2]}"#;
        assert!(matches!(read(serve).unwrap(), Bench::Serve(s) if s.counts.completed == Some(40)));
        let listed = br#"[{"duration": 1.5, "completed": 40}]"#;
        assert!(read(listed).is_err(), "a recording has one run");
    }

    #[test]
    fn what_cannot_be_a_time_is_refused() {
        for bad in
            [&br#"{"avg_latency": -1}"#[..], br#"{"avg_latency": 1e300}"#, br"{}", b"", br#"{"avg_latency": NaN}"#]
        {
            assert!(read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
