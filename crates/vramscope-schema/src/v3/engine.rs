//! What the engine reported of itself.

use serde::{Deserialize, Serialize};
use serde_json::Number;
use serde_with::skip_serializing_none;

use super::FactScope;
use crate::Amount;

/// What the engine reported of itself. The named figures are those of one rank: where ranks differ, the largest, but
/// the smallest for the KV cache, which binds the engine. Every printed line stands in `facts`.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct VllmInternalMetrics {
    /// Blocks of the KV cache on the GPU. Unit: blocks.
    pub num_gpu_blocks: Option<u64>,
    /// Blocks of the KV cache in host memory. Unit: blocks.
    pub num_cpu_blocks: Option<u64>,
    /// Tokens of one block. Unit: tokens.
    pub block_size: Option<u64>,
    /// Tokens that the KV cache holds. Unit: tokens.
    pub total_gpu_kv_cache_tokens: Option<u64>,
    /// The KV-cache pool.
    pub total_gpu_kv_cache_bytes: Option<u64>,
    /// The attention backend.
    pub attention_backend: Option<String>,
    /// Weights as loaded.
    pub model_weights_bytes: Option<u64>,
    /// The transient peak of the profile run over what stays, before the KV cache exists.
    pub activations_bytes: Option<u64>,
    /// Growth outside the framework's allocator while profiling.
    pub non_torch_bytes: Option<u64>,
    /// Captured graphs, as free memory fell.
    pub cuda_graphs_bytes: Option<u64>,
    /// The engine's own estimate of the graphs.
    pub cuda_graphs_estimated_bytes: Option<u64>,
    /// What the engine found available for the KV cache.
    pub available_kv_cache_bytes: Option<u64>,
    /// What the engine may use: total x utilization.
    pub requested_bytes: Option<u64>,
    /// Weights, KV cache and activations together.
    pub total_allocated_bytes: Option<u64>,
    /// The share of a device's memory that the engine may use. Unit: share, 0 to 1.
    pub gpu_memory_utilization: Option<Amount>,
    /// The longest request. Unit: tokens.
    pub max_model_len: Option<u64>,
    /// Whether graphs were captured.
    pub cuda_graphs_enabled: Option<bool>,
    /// Requests of `max_concurrency_tokens` that the KV cache holds together. Unit: count, may be fractional.
    pub max_concurrency: Option<Amount>,
    /// The length that `max_concurrency` is printed for. Unit: tokens.
    pub max_concurrency_tokens: Option<u64>,
    /// The largest use of the KV cache in the periodic statistics, as a share of the pool.
    pub peak_kv_usage_pct: Option<Amount>,
    /// The most requests running together in the periodic statistics. Unit: count.
    pub peak_running_requests: Option<u64>,
    /// What the engine did while it started, and after, in the order of its log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<EngineStep>,
    /// Every fact that the log prints, with its line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<EngineFact>,
}

/// What an engine reported of itself that has no keys of its own from earlier documents. Every printed line stands in
/// `facts`.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct EngineReported {
    /// The longest request; of an engine with slots, that of a slot. Unit: tokens.
    pub max_model_len: Option<u64>,
    /// Most requests in one step; of an engine with slots, their number. Unit: count.
    pub max_num_seqs: Option<u64>,
    /// Tokens that the KV cache holds. Unit: tokens.
    pub kv_cache_tokens: Option<u64>,
    /// Element type of the KV cache.
    pub kv_cache_dtype: Option<String>,
    /// The quantization of the weights, in the engine's words.
    pub quantization: Option<String>,
    /// Layers on devices, of engines that split a model between devices and the host; the output counts as one. Unit: count.
    pub layers_on_device: Option<u64>,
    /// Layers of the model, counted alike. Unit: count.
    pub layers: Option<u64>,
    /// The share of memory that the engine may use, as it was told or chose. Unit: share, 0 to 1.
    pub memory_fraction: Option<Amount>,
    /// What that is a share of: `free_at_start` or `total`.
    pub memory_fraction_of: Option<String>,
    /// What the engine did while it started, and after, in the order of its log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<EngineStep>,
    /// Every fact that the log prints, with its line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<EngineFact>,
}

/// Something that the engine did.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct EngineStep {
    /// What, as a stable name: that of the event in a log report.
    pub name: String,
    /// When, by the log's clock, since its first line that has one. Unit: seconds.
    pub at_s: Option<f64>,
    /// How long it took, where the line says so. Unit: seconds.
    pub took_s: Option<f64>,
    /// The line of the engine log, counted from 1. Unit: none, a line number.
    pub log_line: u64,
}

/// A value that the engine printed.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct EngineFact {
    /// What it is, as a stable name.
    pub name: String,
    /// A number. Unit: as `unit` says.
    pub value: Option<Number>,
    /// A word, where it is no number.
    pub text: Option<String>,
    /// The number's unit: `bytes`, `tokens`, `blocks`, `count`, `percent`, `share`, `seconds`.
    pub unit: Option<String>,
    /// The true value lies within `value` plus or minus this. Unit: as `unit` says.
    pub resolution: Option<Number>,
    /// For which ranks.
    pub scope: FactScope,
    /// The rank that printed it, if its scope is that rank. Unit: none, an index.
    pub rank: Option<u32>,
    /// The process tag printed on the line.
    pub worker: Option<String>,
    /// The line of the engine log, counted from 1. Unit: none, a line number.
    #[cfg_attr(feature = "json-schema", schemars(range(min = 1)))]
    pub log_line: u64,
}

/// Which engine it was.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct EngineMetadata {
    /// Its name: `vllm`, `transformers`, `llama.cpp`, `ollama`, `sglang`, `tgi`; `unknown` where nothing tells it.
    pub engine_type: Option<String>,
    /// Its release.
    pub engine_version: Option<String>,
    /// Its generation: `v0` or `v1`.
    pub generation: Option<String>,
    /// The model runner within the generation: 1 or 2. Unit: none, a version.
    pub model_runner: Option<u32>,
    /// The platform: `cuda`, `rocm`, `cpu`.
    pub platform: Option<String>,
    /// Worker processes of one engine. Unit: count.
    pub ranks: Option<u32>,
}
