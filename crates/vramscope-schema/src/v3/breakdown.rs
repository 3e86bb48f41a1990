//! Where the peak went.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{Confidence, PartKind};

/// Where the peak went, on all GPUs together: `total_measured = baseline + parts + residual`, exactly. A part that is
/// not known is absent and lies within the residual.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct MemoryBreakdown {
    /// The peak that is explained.
    pub total_measured_bytes: Option<u64>,
    /// Version 1's name for `total_measured_bytes`; the same amount.
    pub total_bytes: Option<u64>,
    /// In use before the engine came, by others and by the driver.
    pub baseline_bytes: Option<u64>,
    /// Peak less baseline.
    pub net_increase_bytes: Option<i64>,
    /// Parameters and buffers of the model.
    pub model_weights_bytes: Option<u64>,
    /// The KV-cache pool, used or not.
    pub kv_cache_bytes: Option<u64>,
    /// State of recurrent layers, used or not.
    pub recurrent_state_bytes: Option<u64>,
    /// What ranks keep beside their weights once their profile run is over, in engines that count it: tables of the
    /// runner and the sampler, workspaces, states, and what grew outside the framework's allocator meanwhile.
    pub held_bytes: Option<u64>,
    /// Working memory of forward passes and sampling that is resident at the peak.
    pub activations_bytes: Option<u64>,
    /// Buffers that the engine allocates at its start for one step to compute in.
    pub compute_buffers_bytes: Option<u64>,
    /// Buffers for what a step leaves: logits and embeddings.
    pub output_buffers_bytes: Option<u64>,
    /// Held by captured CUDA or HIP graphs.
    pub cuda_graphs_bytes: Option<u64>,
    /// Driver context, loaded kernels and library workspaces outside the framework's allocator.
    pub runtime_context_bytes: Option<u64>,
    /// Buffers of NCCL or RCCL and of custom all-reduce.
    pub collectives_bytes: Option<u64>,
    /// What earlier documents call overhead: the residual where it is positive, else zero. Read `residual_bytes`
    /// instead.
    pub framework_overhead_bytes: Option<u64>,
    /// What no part explains. Negative where the parts claim more than was measured.
    pub residual_bytes: Option<i64>,
    /// `framework_overhead` as a share of the peak. Unit: percent.
    pub overhead_percentage: Option<f64>,
    /// `residual` as a share of the peak, with its sign. Unit: percent.
    pub residual_percentage: Option<f64>,
    /// The method, as a stable name.
    pub estimation_method: Option<String>,
    /// How well each part is known. We write the words of `components[].confidence`; earlier profilers wrote their own
    /// (`high_from_vllm_logs`, `high_calculated`, `low_estimated`, `calculated_residual`).
    pub confidence_levels: Option<ConfidenceLevels>,
    /// Whether a part rests on what the engine printed.
    pub vllm_reported_values_used: Option<ReportedValuesUsed>,
    /// The parts, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<BreakdownPart>,
    /// The same on each GPU alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_device: Vec<DeviceBreakdown>,
    /// What the engine says that it holds, place by place, on devices and on the host; of engines that print it so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<PlaceBreakdown>,
    /// What PyTorch's allocator said that it held, snapshot by snapshot, in the order in which they were taken. Of one at
    /// the peak the parts above are told; the others stand beside them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allocator: Vec<AllocatorLedger>,
}

/// What one snapshot of PyTorch's allocator says of one device:
/// `reserved = parts + releasable + split`, exactly; and where the device was read at that moment,
/// `used = baseline + reserved + runtime_context + collectives + unexplained`, exactly.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AllocatorLedger {
    /// The snapshot's file.
    pub file: String,
    /// The device as the process numbers it. Unit: none, an index.
    pub process_device: u32,
    /// The recorded device that it is. Absent where nothing tells which. Unit: none, an index.
    pub gpu: Option<u32>,
    /// When the allocator did last what it recorded, since the first sample: the snapshot is of then or later, without
    /// another allocation in between. Absent where the snapshot or the readings do not tell. Unit: nanoseconds.
    pub at_ns: Option<u64>,
    /// Whether the device held at that moment what it held at the peak. Absent where that is not known.
    pub at_peak: Option<bool>,
    /// What the allocator had of the driver.
    pub reserved_bytes: u64,
    /// What it was for, as far as the stacks of the allocations tell, the largest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<AllocatorPart>,
    /// What rounding up added; within the parts.
    pub rounding_bytes: Option<u64>,
    /// Free, and `empty_cache` could give it back.
    pub releasable_bytes: u64,
    /// Free beside blocks in use, in the default pool.
    pub split_bytes: u64,
    /// What the device held, by its first reading at or after that moment.
    pub used_bytes: Option<u64>,
    /// By how much that differs from the reading before: memory was moving then.
    pub moved_bytes: Option<u64>,
    /// In use before the engine came.
    pub baseline_bytes: Option<u64>,
    /// Outside the allocator: the runtime context, as the breakdown knows it.
    pub runtime_context_bytes: Option<u64>,
    /// Outside the allocator: buffers of collectives, as the breakdown knows them.
    pub collectives_bytes: Option<u64>,
    /// What the device held beyond all that, signed. Absent where the device held less than is reserved: the engine slept, or
    /// went to sleep or woke after the last event.
    pub unexplained_bytes: Option<i64>,
    /// The same as a share of the device's peak, with its sign. Unit: percent.
    pub unexplained_pct: Option<f64>,
}

/// What some of the allocator's memory is for.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AllocatorPart {
    /// Its name, as `vramscope snapshot --by part` gives it; absent of memory whose stack was not recorded.
    pub part: Option<String>,
    /// All of it: blocks in use with what rounding added, and what is kept.
    pub size_bytes: u64,
    /// Of this, free memory of private pools that only this part can use, as that of captured graphs.
    pub kept_bytes: u64,
}

/// What an engine says that it holds in one place, by its own name for it: `CUDA0`, `CPU_Mapped`.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PlaceBreakdown {
    /// The engine's name for it; absent where its lines name none.
    pub place: Option<String>,
    /// Whether that is memory of the host.
    pub on_host: bool,
    /// Whether a program computes there in place of a GPU, so that its memory is the host's.
    pub software: Option<bool>,
    /// The recorded device whose readings hold it: a GPU, or the memory of the engine's processes. Absent where nothing
    /// measured it. Unit: none, an index.
    pub gpu: Option<u32>,
    /// All of it.
    pub size_bytes: u64,
    /// The parts. Their shares are of what the place holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<BreakdownPart>,
}

/// How well each part is known.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ConfidenceLevels {
    /// The least of the parts that matter.
    pub overall: Option<String>,
    /// Model weights.
    pub weights: Option<String>,
    /// The KV-cache pool.
    pub kv_cache: Option<String>,
    /// State of recurrent layers.
    pub recurrent_state: Option<String>,
    /// What is kept beside the weights.
    pub held: Option<String>,
    /// Activations.
    pub activations: Option<String>,
    /// Compute buffers.
    pub compute_buffers: Option<String>,
    /// Output buffers.
    pub output_buffers: Option<String>,
    /// Captured graphs.
    pub cuda_graphs: Option<String>,
    /// The runtime context.
    pub runtime_context: Option<String>,
    /// Buffers of collectives.
    pub collectives: Option<String>,
    /// The overhead of earlier documents.
    pub overhead: Option<String>,
}

/// Whether a part rests on what the engine printed.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ReportedValuesUsed {
    /// Model weights.
    pub weights: Option<bool>,
    /// The KV-cache pool.
    pub kv_cache: Option<bool>,
    /// State of recurrent layers.
    pub recurrent_state: Option<bool>,
    /// What is kept beside the weights.
    pub held: Option<bool>,
    /// Activations.
    pub activations: Option<bool>,
    /// Compute buffers.
    pub compute_buffers: Option<bool>,
    /// Output buffers.
    pub output_buffers: Option<bool>,
    /// Captured graphs.
    pub cuda_graphs: Option<bool>,
    /// The runtime context.
    pub runtime_context: Option<bool>,
    /// Buffers of collectives.
    pub collectives: Option<bool>,
}

/// One part of used memory with its reason.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct BreakdownPart {
    /// Which part.
    pub kind: PartKind,
    /// How large.
    pub size_bytes: u64,
    /// The true size lies within `size` plus or minus this, where the source implies an interval (printed digits).
    pub resolution_bytes: Option<u64>,
    /// The part as a share of the peak. Unit: percent.
    pub share_of_peak_pct: Option<f64>,
    /// How well it is known.
    pub confidence: Confidence,
    /// How it was found, as a stable name.
    pub method: String,
    /// The same in one sentence with the figures that went in.
    pub detail: Option<String>,
    /// Lines of the engine log that it rests on, counted from 1. Unit: none, line numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_lines: Vec<u64>,
}

/// Where the peak went on one GPU: `peak = baseline + components + residual`, exactly. `peak` is what the GPU held at
/// the instant of the total's peak.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DeviceBreakdown {
    /// Its index in the log. Unit: none, an index.
    pub gpu: u32,
    /// What it held at the peak.
    pub peak_bytes: u64,
    /// In use before the engine came.
    pub baseline_bytes: u64,
    /// The parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<BreakdownPart>,
    /// What no part explains.
    pub residual_bytes: i64,
}
