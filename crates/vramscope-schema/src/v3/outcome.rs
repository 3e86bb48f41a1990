//! What the run cost in time, why it failed, and what an operator should know.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{Figures, Phase, Severity};

/// What the requests cost in time. The latency is that of a whole iteration: all requests of a batch, from the first
/// token asked to the last one given.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct LatencyStats {
    /// Arithmetic mean.
    #[schemars(range(min = 0.0))]
    pub mean_latency_ms: Option<f64>,
    /// The 0.5 quantile.
    #[schemars(range(min = 0.0))]
    pub median_latency_ms: Option<f64>,
    /// The smallest.
    #[schemars(range(min = 0.0))]
    pub min_latency_ms: Option<f64>,
    /// The largest.
    #[schemars(range(min = 0.0))]
    pub max_latency_ms: Option<f64>,
    /// Population standard deviation.
    #[schemars(range(min = 0.0))]
    pub stddev_latency_ms: Option<f64>,
    /// Percentiles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub percentiles: Vec<LatencyPercentile>,
    /// Generated tokens of all requests. Unit: tokens per second.
    #[schemars(range(min = 0.0))]
    pub tokens_per_second: Option<f64>,
    /// Requests finished. Unit: requests per second.
    #[schemars(range(min = 0.0))]
    pub requests_per_second: Option<f64>,
    /// Measured iterations. Unit: count.
    pub num_iterations: Option<u64>,
    /// Each measured iteration, in order. Unit: milliseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 0.0)))]
    pub iterations_ms: Vec<f64>,
}

/// A percentile of the latency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyPercentile {
    /// Which one. Unit: percent, 0 to 100.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub percentile: f64,
    /// The latency.
    #[schemars(range(min = 0.0))]
    pub latency_ms: f64,
}

/// Why a run failed.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// What went wrong, as a stable name (`kv_cache_too_small_for_max_model_len`).
    pub kind: String,
    /// In which phase.
    pub phase: Option<Phase>,
    /// The engine's message, shortened.
    pub message: String,
    /// The line of the engine log, counted from 1. Unit: none, a line number.
    #[schemars(range(min = 1))]
    pub log_line: Option<u64>,
    /// The figures in the message.
    #[serde(default, skip_serializing_if = "Figures::is_empty")]
    pub numbers: Figures,
}

/// Something that an operator should know, with its evidence.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnostic {
    /// A stable name, `snake_case`.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]*$"))]
    pub code: String,
    /// How much it matters.
    pub severity: Severity,
    /// What is the case, in one sentence with the figures.
    pub message: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// The figures that it rests on.
    #[serde(default, skip_serializing_if = "Figures::is_empty")]
    pub evidence: Figures,
    /// Lines of the engine log that it rests on, counted from 1. Unit: none, line numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_lines: Vec<u64>,
}
