//! What only a run that was conducted has: its host, its served requests, the engine's own metrics, the framework's
//! allocator.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::Amount;

/// What ran the engine, and how the engine ended.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct HostInfo {
    /// `process`, `docker`, `attach` or `replay`.
    pub kind: String,
    /// What memory was measured on: `gpu`, or `process_memory` where there was none (the proportional set size of the
    /// engine's processes).
    pub device_kind: Option<String>,
    /// The command that was started. Secrets are replaced, and of local paths only the last part is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The container's name.
    pub container: Option<String>,
    /// The container's image.
    pub image: Option<String>,
    /// The engine's exit status; absent if a signal ended it, or nobody saw its end. Unit: none, a code.
    pub exit_code: Option<i32>,
    /// The signal that ended it. Unit: none, a number.
    pub exit_signal: Option<i32>,
    /// Whether the kernel ended it for want of host memory.
    pub oom_killed: Option<bool>,
    /// How long it was given to stop before it was killed; absent if it ended by itself.
    pub killed_after_s: Option<Amount>,
    /// Whether the memory in use came back to the baseline after the engine had ended.
    pub memory_returned: Option<bool>,
    /// What stayed in use over the baseline when the recording ended.
    pub left_over_baseline_bytes: Option<i64>,
}

/// What requests to a served engine cost in time, as their sender saw it.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct ServedStats {
    /// Requests that were answered whole. Unit: count.
    pub completed_requests: Option<u64>,
    /// Requests that failed. Unit: count.
    pub failed_requests: Option<u64>,
    /// Requests that were not sent any more as the server had gone. Unit: count.
    pub unsent_requests: Option<u64>,
    /// Answers with fewer tokens than were asked for. Unit: count.
    pub short_requests: Option<u64>,
    /// Requests that the sender sent late. Unit: count.
    pub late_requests: Option<u64>,
    /// What sent the requests, and its version, where a load generator's file says so.
    pub sent_by: Option<String>,
    /// Why they failed: a kind, and how many. Unit: count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, u64>,
    /// Prompt tokens of the answered requests. Unit: tokens.
    pub input_tokens: Option<u64>,
    /// Generated tokens of the answered requests. Unit: tokens.
    pub output_tokens: Option<u64>,
    /// The pieces in which they came. Unit: count.
    pub chunks: Option<u64>,
    /// Generated tokens of a chunk in the mean. Where it is above one, `inter_token_latency` tells of chunks and not of
    /// tokens; `time_per_output_token` does not mind. Unit: tokens.
    pub tokens_per_chunk: Option<Amount>,
    /// From sending a request to its first token.
    pub time_to_first_token: Option<TimeSpread>,
    /// The mean time between the tokens of a request after the first: (end - first token) / (tokens - 1).
    pub time_per_output_token: Option<TimeSpread>,
    /// The time between one chunk of an answer and the next.
    pub inter_token_latency: Option<TimeSpread>,
    /// From sending a request to its end.
    pub end_to_end: Option<TimeSpread>,
    /// From when a request was due until it was sent: how far the sender, and not the server, was behind. The other times
    /// begin at the sending.
    pub client_queue_time: Option<TimeSpread>,
}

/// How a time is spread over requests or tokens.
#[skip_serializing_none]
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct TimeSpread {
    /// Arithmetic mean.
    pub mean_ms: Option<Amount>,
    /// The 0.5 quantile.
    pub median_ms: Option<Amount>,
    /// Population standard deviation.
    pub stddev_ms: Option<Amount>,
    /// The 0.95 quantile.
    pub p95_ms: Option<Amount>,
    /// The 0.99 quantile.
    pub p99_ms: Option<Amount>,
}

/// The engine's own metrics endpoint over the measured requests.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct EngineMetricsInfo {
    /// How often it was read. Unit: count.
    pub num_samples: u64,
    /// The largest share of the KV-cache pool in use.
    pub kv_cache_usage_max_pct: Option<Amount>,
    /// The mean share of the KV-cache pool in use.
    pub kv_cache_usage_mean_pct: Option<Amount>,
    /// The most requests running together. Unit: count.
    pub running_requests_max: Option<Amount>,
    /// The most requests waiting. Unit: count.
    pub waiting_requests_max: Option<Amount>,
    /// Share of the prompt tokens that the prefix cache held.
    pub prefix_cache_hit_pct: Option<Amount>,
    /// Requests that lost their place in the KV cache. Unit: count.
    pub preemptions: Option<u64>,
    /// Prompt tokens that the engine took. Unit: tokens.
    pub prompt_tokens: Option<u64>,
    /// Tokens that the engine generated. Unit: tokens.
    pub generation_tokens: Option<u64>,
}
