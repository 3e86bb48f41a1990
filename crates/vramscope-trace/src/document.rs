//! The documents of `vramscope trace --format json`: one trace, several ranks together, and the difference of two traces.
//!
//! Times are integer nanoseconds of the trace's clock (its `ts` times 1000) unless a name says otherwise; sizes are
//! bytes; shares are from 0 to 1. What a trace does not tell is absent, except under `exact`, where it is `null`.

mod convert;
mod diff;
mod exact;
mod flops;
mod over_time;
mod ranks;
mod rows;

use std::collections::BTreeMap;

#[cfg(feature = "json-schema")]
use schemars::generate::SchemaSettings;
#[cfg(feature = "json-schema")]
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

pub use diff::{ChangeDocument, DiffDocument, ExceededRow, SideRow, TotalChange};
pub use exact::{Exact, ExactDevice, ExactKernel, ExactMove, ExactStream};
pub use flops::{FlopsDocument, FlopsRow};
pub use over_time::{FrameRow, Lane, StacksDocument};
pub use ranks::{Rank, RanksDocument, Spread};
pub use rows::{
    CallRow, CategoryRow, CopyRow, Graphs, KernelRow, LayerRow, MemoryDevice, MemoryStep, OperatorRow, ScopeRow, Share,
    StepKindRow, StepRow, StepsDocument,
};

/// The version of these documents. A reader accepts the same number only.
pub const VERSION: u32 = 1;

/// What one trace says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TraceDocument {
    /// The document's version.
    pub vramscope_trace: u32,
    /// The file that was analysed.
    pub file: File,
    /// What the trace says about itself.
    pub trace: About,
    /// The part of the time that was analysed, where a part was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between: Option<Between>,
    /// The beginning of the first analysed event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_ns: Option<i64>,
    /// Counts and sums of plain facts, integer nanoseconds and bytes.
    pub exact: Exact,
    /// What limits the GPU.
    pub verdict: VerdictDocument,
    /// Each device with GPU work.
    pub devices: Vec<Device>,
    /// From the beginning of the launching call to the beginning of the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_delay: Option<Delay>,
    /// Kernel time by what kernels are for, the longest first. The parts sum to all kernel time.
    pub categories: Vec<CategoryRow>,
    /// Kernels by name, the longest total first.
    pub kernels: Vec<KernelRow>,
    /// How many distinct kernels there are; the list may hold fewer.
    pub kernels_unique: u64,
    /// Copies and fills by direction.
    pub copies: Vec<CopyRow>,
    /// Steps of the engine.
    pub steps: StepsDocument,
    /// Operators of the framework on the CPU, the longest time of their own first.
    pub operators: Vec<OperatorRow>,
    /// How many distinct operators there are; the list may hold fewer.
    pub operators_unique: u64,
    /// Kernels whose launch lies in no operator or is not in the trace.
    pub outside_operators: Share,
    /// Calls of the GPU runtime and driver, the longest total first.
    pub calls: Vec<CallRow>,
    /// Launches of whole graphs (CUDA graphs, HIP graphs).
    pub graphs: Graphs,
    /// Floating-point operations, where the trace states any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flops: Option<FlopsDocument>,
    /// Spans that the program named, except steps.
    pub scopes: Vec<ScopeRow>,
    /// Layers of the model, where the trace names them.
    pub layers: Vec<LayerRow>,
    /// Stacks of python functions, operators and calls, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stacks: Option<StacksDocument>,
    /// Memory by device of the allocator, where recorded.
    pub memory: Vec<MemoryDevice>,
    /// Time that the profiler took for itself.
    pub profiler_overhead: Vec<CallRow>,
    /// Everything odd about the file.
    pub notes: Vec<Note>,
}

/// The file that was analysed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct File {
    /// Its path as given.
    pub name: String,
    /// `plain`, `gzip` or `zstd`.
    pub compression: String,
    /// Size of the file, in bytes.
    pub file_bytes: u64,
    /// Size of the JSON, in bytes.
    pub json_bytes: u64,
}

/// What the trace says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct About {
    /// `cuda` or `hip`, where its version is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The version of vLLM, where written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vllm_version: Option<String>,
    /// The communication library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// The wall clock at time zero of the events, in nanoseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_time_ns: Option<i64>,
    /// Whether python stacks were recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_stack: Option<bool>,
    /// Whether tensor shapes were recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_shapes: Option<bool>,
    /// Whether memory was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_memory: Option<bool>,
    /// Whether the profiler was told to count FLOPs. It writes no count into a trace; `flops` holds what the trace states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_flops: Option<bool>,
    /// The GPUs of the host.
    pub gpus: Vec<Gpu>,
}

/// One GPU of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Gpu {
    /// Its id in the trace.
    pub id: String,
    /// The product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// A part of the time, of the trace's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Between {
    /// The first nanosecond in it.
    pub from_ns: i64,
    /// The first nanosecond after it.
    pub to_ns: i64,
}

/// What limits the GPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct VerdictDocument {
    /// `gpu_bound`, `cpu_bound`, `communication_bound`, `memory_copy_bound`, `mixed` or `undetermined`.
    pub bound: String,
    /// Whether it was judged from the first to the last step, or over all GPU work.
    pub within_steps: bool,
    /// The shares that it rests on.
    pub evidence: Vec<EvidenceRow>,
    /// What to try first.
    pub advice: Vec<String>,
}

/// One share with its threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct EvidenceRow {
    /// What is measured.
    pub name: String,
    /// The share, 0 to 1.
    pub share: f64,
    /// The threshold, 0 to 1; absent where the share is for information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Whether it reaches the threshold.
    pub reached: bool,
    /// What the share means.
    pub meaning: String,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Device {
    /// The device as events name it.
    pub device: String,
    /// The product, where the trace lists it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// All its work.
    pub whole: Time,
    /// From the first to the last operation of any step, and no less than from the first to the last mark of a step on the
    /// CPU, with the pauses between: what the verdict is judged over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_steps: Option<Time>,
    /// Its streams with work.
    pub streams: BTreeMap<String, Stream>,
    /// The longest pauses, the longest first.
    pub longest_gaps: Vec<Pause>,
    /// All its work over time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
}

/// What a device did in some time. Lengths are of unions over its streams, in nanoseconds; `busy + idle = span`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Time {
    /// From the beginning of the first operation to the end of the last, in nanoseconds.
    pub span_ns: u64,
    /// A kernel, copy or fill ran, in nanoseconds.
    pub busy_ns: u64,
    /// Nothing ran, in nanoseconds.
    pub idle_ns: u64,
    /// `busy_ns` as a share of `span_ns`, 0 to 1.
    pub busy_share: f64,
    /// A kernel ran, in nanoseconds.
    pub kernel_ns: u64,
    /// A communication kernel ran, in nanoseconds.
    pub communication_ns: u64,
    /// A kernel that is no communication ran, in nanoseconds.
    pub compute_ns: u64,
    /// Communication beside computation, in nanoseconds.
    pub communication_overlap_ns: u64,
    /// Communication alone, in nanoseconds.
    pub exposed_communication_ns: u64,
    /// A copy or fill ran, in nanoseconds.
    pub copy_ns: u64,
    /// Copies or fills beside kernels, in nanoseconds.
    pub copy_overlap_ns: u64,
    /// Copies or fills alone, in nanoseconds.
    pub exposed_copy_ns: u64,
    /// Idle time by cause, in nanoseconds; sums to `idle_ns`.
    pub idle_by_cause: IdleByCause,
    /// How many pauses there are.
    pub gaps: u64,
}

/// Idle time by cause, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct IdleByCause {
    /// The host had not launched the next operation and was not waiting, in nanoseconds.
    pub host_bound_ns: u64,
    /// The next operation was launched and had not begun, in nanoseconds.
    pub kernel_wait_ns: u64,
    /// The host was in a call that waits for the GPU, in nanoseconds.
    pub sync_ns: u64,
    /// The launching call is not in the trace, in nanoseconds.
    pub other_ns: u64,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Stream {
    /// Kernels.
    pub kernels: u64,
    /// Sum of their durations, in nanoseconds.
    pub kernel_time_ns: u64,
    /// Copies and fills.
    pub copies: u64,
    /// Union of all its operations, in nanoseconds.
    pub busy_ns: u64,
}

/// One pause of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Pause {
    /// When it began, in nanoseconds of the trace's clock.
    pub start_ns: i64,
    /// Its length, in nanoseconds.
    pub length_ns: u64,
    /// The cause of most of it: `host_bound`, `kernel_wait`, `sync` or `other`.
    pub cause: String,
    /// The operation before it.
    pub before: String,
    /// The operation after it.
    pub after: String,
}

/// How long kernels waited after their launch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Delay {
    /// The median, in nanoseconds.
    pub median_ns: i64,
    /// The 95th percentile, in nanoseconds.
    pub p95_ns: f64,
}

/// Something odd about the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Note {
    /// What: `truncated`, `repaired_event`, `bad_utf8` and so on.
    pub kind: String,
    /// How often.
    pub count: u64,
    /// The first place, as an offset in the JSON, in bytes; absent for what has no place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_offset: Option<u64>,
    /// What it means.
    pub text: String,
}

/// How much of each list a document holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extract {
    /// Rows of kernels, operators, calls and scopes.
    pub top: usize,
    /// Steps one by one.
    pub steps: usize,
}

impl Default for Extract {
    /// 200 rows and 10,000 steps.
    fn default() -> Self {
        Self { top: 200, steps: 10_000 }
    }
}

/// The JSON Schema of the document of one trace.
#[cfg(feature = "json-schema")]
pub fn json_schema() -> Schema {
    schema::<TraceDocument>()
}

/// The JSON Schema of the document of several ranks.
#[cfg(feature = "json-schema")]
pub fn ranks_json_schema() -> Schema {
    schema::<RanksDocument>()
}

/// The JSON Schema of the document of a difference.
#[cfg(feature = "json-schema")]
pub fn diff_json_schema() -> Schema {
    schema::<DiffDocument>()
}

/// The schema of a document as it is written.
#[cfg(feature = "json-schema")]
fn schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}
