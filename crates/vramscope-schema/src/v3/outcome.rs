//! What the run cost in time, why it failed, and what an operator should know.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{Figures, Phase, Severity};
use crate::Amount;

/// What the requests cost in time. The latency is that of a whole iteration: all requests of a batch, from the first
/// token asked to the last one given.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct LatencyStats {
    /// Arithmetic mean.
    pub mean_latency_ms: Option<Amount>,
    /// The 0.5 quantile.
    pub median_latency_ms: Option<Amount>,
    /// The smallest.
    pub min_latency_ms: Option<Amount>,
    /// The largest.
    pub max_latency_ms: Option<Amount>,
    /// Population standard deviation.
    pub stddev_latency_ms: Option<Amount>,
    /// Percentiles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub percentiles: Vec<LatencyPercentile>,
    /// Generated tokens of all requests. Unit: tokens per second.
    pub tokens_per_second: Option<Amount>,
    /// Requests finished. Unit: requests per second.
    pub requests_per_second: Option<Amount>,
    /// Measured iterations. Unit: count.
    pub num_iterations: Option<u64>,
    /// Each measured iteration, in order. Unit: milliseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub iterations_ms: Vec<Amount>,
}

/// A percentile of the latency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct LatencyPercentile {
    /// Which one. Unit: percent, 0 to 100.
    #[cfg_attr(feature = "json-schema", schemars(range(min = 0.0, max = 100.0)))]
    pub percentile: Amount,
    /// The latency.
    pub latency_ms: Amount,
}

/// Why a run failed.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Failure {
    /// What went wrong, as a stable name (`kv_cache_too_small_for_max_model_len`).
    pub kind: String,
    /// In which phase.
    pub phase: Option<Phase>,
    /// The engine's message, shortened.
    pub message: String,
    /// The line of the engine log, counted from 1. Unit: none, a line number.
    #[cfg_attr(feature = "json-schema", schemars(range(min = 1)))]
    pub log_line: Option<u64>,
    /// The figures in the message.
    #[serde(default, skip_serializing_if = "Figures::is_empty")]
    pub numbers: Figures,
}

/// Something that an operator should know, with its evidence.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Diagnostic {
    /// A stable name, `snake_case`.
    #[cfg_attr(feature = "json-schema", schemars(regex(pattern = "^[a-z][a-z0-9_]*$")))]
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
