//! The rows of the lists in a trace's document.

use serde::{Deserialize, Serialize};

/// Kernel time of one category.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CategoryRow {
    /// `attention`, `gemm_moe`, `normalisation`, `activation`, `communication`, `sampling`, `kv_cache_copy`, `copy` or `other`.
    pub category: String,
    /// Kernels.
    pub count: u64,
    /// Sum of durations, in nanoseconds.
    pub total_ns: u64,
    /// Share of all kernel time, 0 to 1.
    pub share: f64,
    /// The patterns of the rules that sorted kernels into it.
    pub rules: Vec<String>,
}

/// One kernel name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct KernelRow {
    /// The name.
    pub name: String,
    /// How often it ran.
    pub count: u64,
    /// Sum of durations, in nanoseconds.
    pub total_ns: u64,
    /// Share of all kernel time, 0 to 1.
    pub share: f64,
    /// The shortest, in nanoseconds.
    pub min_ns: u64,
    /// The mean, in nanoseconds.
    pub mean_ns: f64,
    /// The median, in nanoseconds, interpolated between ranks.
    pub p50_ns: f64,
    /// The 95th percentile, in nanoseconds, interpolated between ranks.
    pub p95_ns: f64,
    /// The longest, in nanoseconds.
    pub max_ns: u64,
    /// What it is for.
    pub category: String,
    /// The pattern of the rule that said so; absent where none fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// Copies or fills of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CopyRow {
    /// The operation with its direction: `Memcpy HtoD`, `Memset`.
    pub operation: String,
    /// From and to which memory: `Pinned -> Device`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<String>,
    /// How many.
    pub count: u64,
    /// Sum of durations, in nanoseconds.
    pub total_ns: u64,
    /// The longest, in nanoseconds.
    pub max_ns: u64,
    /// Bytes of those that state a size; absent where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes a second of those that state a size, in 10^9 bytes a second (bytes a nanosecond).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_gb_per_s: Option<f64>,
}

/// Steps of the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StepsDocument {
    /// How they were told apart: `engine_annotation`, `profiler_step`, `gpu_annotation` or `detected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How many.
    pub count: u64,
    /// Sums and quantiles by what steps compute.
    pub kinds: Vec<StepKindRow>,
    /// Each step, in order of time; the list may end early.
    pub list: Vec<StepRow>,
}

/// Steps of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StepKindRow {
    /// `prefill`, `decode`, `mixed`, `empty` or `unknown`.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// Those with GPU work.
    pub with_gpu: u64,
    /// Median length of their marks on the CPU, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_p50_ns: Option<f64>,
    /// Median time from the first to the last GPU operation of a step, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_span_p50_ns: Option<f64>,
    /// Median busy time of a step, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_busy_p50_ns: Option<f64>,
    /// 95th percentile of the busy time of a step, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_busy_p95_ns: Option<f64>,
    /// Busy time of all of them, in nanoseconds.
    pub gpu_busy_ns: u64,
    /// Kernels of all of them.
    pub kernels: u64,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StepRow {
    /// The name of its mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `prefill`, `decode`, `mixed`, `empty` or `unknown`.
    pub kind: String,
    /// Requests that read their prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_requests: Option<u64>,
    /// Tokens of prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// Requests that generate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_requests: Option<u64>,
    /// Tokens to be generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_tokens: Option<u64>,
    /// When it began, in nanoseconds of the trace's clock.
    pub start_ns: i64,
    /// Length of its mark on the CPU, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ns: Option<u64>,
    /// From its first to its last GPU operation, in nanoseconds; absent where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_span_ns: Option<u64>,
    /// Busy time, summed over devices, in nanoseconds; absent where it has no GPU operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_busy_ns: Option<u64>,
    /// Kernels.
    pub kernels: u64,
    /// Sum of their durations, in nanoseconds.
    pub kernel_time_ns: u64,
}

/// One operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct OperatorRow {
    /// Its name.
    pub name: String,
    /// How often it was called.
    pub count: u64,
    /// Sum of durations on the CPU, with operators within, in nanoseconds.
    pub total_ns: u64,
    /// Sum of durations on the CPU, without operators within, in nanoseconds.
    pub own_ns: u64,
    /// The longest call, in nanoseconds.
    pub max_ns: u64,
    /// Kernels that it launched itself.
    pub gpu: Share,
}

/// A share of the kernels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Share {
    /// Kernels.
    pub kernels: u64,
    /// Sum of their durations, in nanoseconds.
    pub kernel_time_ns: u64,
}

/// Calls of one name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CallRow {
    /// The name.
    pub name: String,
    /// How many.
    pub count: u64,
    /// Sum of durations, in nanoseconds.
    pub total_ns: u64,
    /// The longest, in nanoseconds.
    pub max_ns: u64,
}

/// Launches of whole graphs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Graphs {
    /// Launching calls.
    pub launches: u64,
    /// Kernels that they launched.
    pub kernels: u64,
    /// Sum of their durations, in nanoseconds.
    pub kernel_time_ns: u64,
}

/// Spans of one name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ScopeRow {
    /// The name.
    pub name: String,
    /// How many.
    pub count: u64,
    /// Sum of durations on the CPU, in nanoseconds.
    pub cpu_ns: u64,
    /// Kernels launched within.
    pub gpu: Share,
}

/// One layer of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LayerRow {
    /// The name.
    pub name: String,
    /// How often it ran.
    pub count: u64,
    /// Sum of durations on the CPU, in nanoseconds.
    pub cpu_ns: u64,
    /// Kernels launched within.
    pub gpu: Share,
}

/// What the allocator reported for one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct MemoryDevice {
    /// `type:id` as the allocator numbers them: type 0 is the CPU, 1 CUDA, 6 HIP.
    pub device: String,
    /// Allocations and frees.
    pub events: u64,
    /// The largest sum of live allocations, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_allocated_bytes: Option<u64>,
    /// When it was first reached, in nanoseconds of the trace's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_at_ns: Option<i64>,
    /// The largest memory held by the allocator, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_reserved_bytes: Option<u64>,
    /// Sum of all allocations, in bytes.
    pub allocated_bytes: u64,
    /// Sum of all frees, in bytes.
    pub freed_bytes: u64,
    /// The width of a step of the timeline, in nanoseconds.
    pub timeline_step_ns: u64,
    /// The largest values in each step that has events.
    pub timeline: Vec<MemoryStep>,
}

/// One point of a memory timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct MemoryStep {
    /// The beginning of the step, in nanoseconds of the trace's clock.
    pub at_ns: i64,
    /// The largest sum of live allocations in it, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated_bytes: Option<u64>,
    /// The largest memory held in it, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_bytes: Option<u64>,
}
