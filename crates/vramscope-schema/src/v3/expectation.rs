//! What was predicted before the engine started, beside what came.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::Confidence;

/// The memory budget that was to be expected of this model, these arguments and this device, beside what the run shows.
/// Every figure is that of one rank: the one with the least room.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Expectation {
    /// How it is predicted, as a stable name.
    pub method: String,
    /// The engine release whose rules are used.
    pub engine_version: Option<String>,
    /// Whether the engine was expected to start.
    pub fits: bool,
    /// How it was expected to refuse, as a failure's stable name.
    pub failure: Option<String>,
    /// Amounts of memory, each of one rank (the first).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<ExpectedMemory>,
    /// Counts, each of one rank; all ranks of a replica have the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<ExpectedCount>,
}

/// One amount of memory.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct ExpectedMemory {
    /// What it is: `requested`, `model_weights`, `held`, `activation_peak`, `cuda_graphs` (captured), `cuda_graphs_budgeted`
    /// (what the engine set aside for them), `non_torch`, `kv_cache`. Of an engine that says what lies where: `model_weights`,
    /// `kv_cache`, `recurrent_state`, `compute_buffers`, `output_buffers`, `runtime_context` on its devices together, and with
    /// `host_` in front on the host.
    pub name: String,
    /// The prediction.
    pub predicted_bytes: u64,
    /// The lower end of its interval.
    pub low_bytes: u64,
    /// The upper end of its interval.
    pub high_bytes: u64,
    /// What the run shows; absent where it shows nothing of the kind.
    pub observed_bytes: Option<u64>,
    /// (predicted - observed) / observed.
    pub error_pct: Option<f64>,
    /// How well the prediction is known.
    pub confidence: Confidence,
    /// How it is predicted, as a stable name.
    pub predicted_method: String,
    /// Where the observed figure comes from.
    pub observed_method: Option<String>,
}

/// One count.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct ExpectedCount {
    /// What is counted: `num_gpu_blocks`, `kv_cache_tokens`.
    pub name: String,
    /// The prediction. Unit: as the name says.
    pub predicted: u64,
    /// The lower end of its interval. Unit: as the name says.
    pub low: u64,
    /// The upper end of its interval. Unit: as the name says.
    pub high: u64,
    /// What the run shows. Unit: as the name says.
    pub observed: Option<u64>,
    /// (predicted - observed) / observed.
    pub error_pct: Option<f64>,
}
