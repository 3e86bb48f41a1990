//! What a trace says, as figures. Times are integer nanoseconds of the trace's clock, sizes are bytes.

mod flops;
mod stacks;

use std::collections::BTreeMap;

use vramscope_core::Bytes;

pub use flops::{FlopRow, FlopSource, FlopSummary};
pub use stacks::{HeavyFrames, StackNode, StackWeight, Stacks};

use crate::{Category, Cause, Compression, Notes, StepKind, StepSource, TraceInfo, Verdict};

/// The analysis of one file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Summary {
    /// The file.
    pub file: FileSummary,
    /// What the trace says about itself.
    pub info: TraceInfo,
    /// All events, of whatever kind.
    pub events: u64,
    /// Events by `phase|category`; `None` stands for an absent key.
    pub counts: BTreeMap<String, u64>,
    /// When the first and the last of the analysed events began.
    pub extent_ns: Option<(i64, i64)>,
    /// Each device with work, by its name in the trace.
    pub devices: Vec<DeviceSummary>,
    /// All kernels by name, the longest total first.
    pub kernels: Vec<KernelSummary>,
    /// Kernels of all devices.
    pub kernel_totals: KernelTotals,
    /// From the beginning of the launching call to the beginning of the kernel; `None` without linked kernels.
    pub launch_delay: Option<LaunchDelay>,
    /// Kernel time by what kernels are for; the parts sum to the total.
    pub categories: Vec<CategorySummary>,
    /// Copies and fills by name.
    pub moves: Vec<MoveSummary>,
    /// Steps.
    pub steps: Steps,
    /// Operators of the framework, the longest time of their own first.
    pub operators: Vec<OperatorSummary>,
    /// Kernels whose launch lies in no operator, or is not in the trace.
    pub outside_operators: GpuShare,
    /// Calls of the GPU runtime and driver, the longest total first.
    pub calls: Vec<CallSummary>,
    /// Launches of whole graphs.
    pub graphs: GraphSummary,
    /// Floating-point operations, where the trace states any.
    pub flops: Option<FlopSummary>,
    /// Spans that the program named, except steps; the longest total first.
    pub scopes: Vec<ScopeSummary>,
    /// Layers of the model in their order, where the trace names them.
    pub layers: Vec<LayerSummary>,
    /// Memory by device of the allocator, where recorded.
    pub memory: Vec<MemorySummary>,
    /// Time that the profiler took for itself, by name.
    pub overhead: Vec<CallSummary>,
    /// What limits the GPU.
    pub verdict: Verdict,
    /// Python stacks, where asked for.
    pub stacks: Option<Stacks>,
    /// Everything odd about the file.
    pub notes: Notes,
    /// Bytes of sorted records that went to working files because they exceeded the memory budget.
    pub spilled_bytes: u64,
}

/// The file that was analysed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSummary {
    /// Its path or name.
    pub name: String,
    /// Bytes of JSON.
    pub json_bytes: u64,
    /// Bytes of the file as it is.
    pub file_bytes: u64,
    /// How it is packed.
    pub compression: Compression,
}

/// One device's time. `busy + idle = span`, and the parts of idle sum to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceSummary {
    /// The device as events name it.
    pub device: String,
    /// All its work.
    pub whole: DeviceTime,
    /// Its work within the steps, with the pauses between steps: from the first to the last operation of a step, and no
    /// less than from the first to the last mark on the CPU.
    pub steps: Option<DeviceTime>,
    /// Its streams with work, by name.
    pub streams: BTreeMap<String, StreamSummary>,
    /// The longest pauses.
    pub longest_gaps: Vec<GapSummary>,
    /// The same over time.
    pub lane: LaneSummary,
}

/// What a device did, in even steps of time. Each kind of time sums to that of [`DeviceSummary::whole`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneSummary {
    /// When the first step begins.
    pub start_ns: i64,
    /// How long a step is; the same for all devices of a trace.
    pub step_ns: u64,
    /// The steps, up to 600.
    pub steps: Vec<LaneStepSummary>,
}

/// What a device did in one step of time. The parts sum to the step, but for the first and the last one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneStepSummary {
    /// A kernel ran that is no communication.
    pub compute_ns: u64,
    /// Only communication ran, or that and copies.
    pub communication_ns: u64,
    /// Only copies or fills ran.
    pub moves_ns: u64,
    /// Idle time by cause, in the order of [`Cause::ALL`].
    pub idle_by_cause_ns: [u64; 4],
}

/// What a device did in some time. All lengths are of unions over its streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceTime {
    /// When its first operation began.
    pub first_ns: i64,
    /// From the beginning of the first operation to the end of the last one.
    pub span_ns: u64,
    /// Some kernel, copy or fill ran.
    pub busy_ns: u64,
    /// Nothing ran.
    pub idle_ns: u64,
    /// Some kernel ran.
    pub kernel_ns: u64,
    /// Some communication kernel ran.
    pub communication_ns: u64,
    /// Some other kernel ran.
    pub compute_ns: u64,
    /// Some copy or fill ran.
    pub moves_ns: u64,
    /// Idle time by cause, in the order of [`Cause::ALL`].
    pub idle_by_cause_ns: [u64; 4],
    /// How many pauses there are.
    pub gaps: u64,
}

impl DeviceTime {
    /// Communication and other kernels ran at once.
    pub fn communication_overlap_ns(&self) -> u64 {
        (self.communication_ns + self.compute_ns).saturating_sub(self.kernel_ns)
    }

    /// Communication ran alone.
    pub fn exposed_communication_ns(&self) -> u64 {
        self.kernel_ns.saturating_sub(self.compute_ns)
    }

    /// Copies or fills ran beside kernels.
    pub fn moves_overlap_ns(&self) -> u64 {
        (self.moves_ns + self.kernel_ns).saturating_sub(self.busy_ns)
    }

    /// Copies or fills ran alone.
    pub fn exposed_moves_ns(&self) -> u64 {
        self.busy_ns.saturating_sub(self.kernel_ns)
    }

    /// Idle time of one cause.
    pub fn idle_of(&self, cause: Cause) -> u64 {
        let place = Cause::ALL.iter().position(|&c| c == cause);
        place.map_or(0, |place| self.idle_by_cause_ns[place])
    }

    /// The figures of two devices together; the times are sums, not unions.
    pub(crate) fn plus(mut self, other: &Self) -> Self {
        self.first_ns = self.first_ns.min(other.first_ns);
        self.span_ns += other.span_ns;
        self.busy_ns += other.busy_ns;
        self.idle_ns += other.idle_ns;
        self.kernel_ns += other.kernel_ns;
        self.communication_ns += other.communication_ns;
        self.compute_ns += other.compute_ns;
        self.moves_ns += other.moves_ns;
        for (sum, part) in self.idle_by_cause_ns.iter_mut().zip(other.idle_by_cause_ns) {
            *sum += part;
        }
        self.gaps += other.gaps;
        self
    }
}

/// One stream's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamSummary {
    /// Kernels.
    pub kernels: u64,
    /// Sum of their durations.
    pub kernel_time_ns: u64,
    /// Copies and fills.
    pub moves: u64,
    /// Union of all its operations.
    pub busy_ns: u64,
}

/// One pause of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GapSummary {
    /// When it began.
    pub start_ns: i64,
    /// How long it took.
    pub length_ns: u64,
    /// The cause of most of it.
    pub cause: Cause,
    /// The operation before it.
    pub before: String,
    /// The operation after it.
    pub after: String,
}

/// One kernel name.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct KernelSummary {
    /// The name as the trace has it.
    pub name: String,
    /// How often it ran.
    pub count: u64,
    /// Sum of durations.
    pub total_ns: u64,
    /// The shortest.
    pub min_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// The median, interpolated between ranks.
    pub p50_ns: f64,
    /// The 95th percentile, interpolated between ranks.
    pub p95_ns: f64,
    /// What it is for.
    pub category: Category,
    /// The pattern of the rule that said so.
    pub rule: Option<String>,
}

/// All kernels together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelTotals {
    /// How many ran.
    pub count: u64,
    /// Sum of durations.
    pub time_ns: u64,
    /// How many have their launching call in the trace.
    pub with_launch: u64,
}

/// How long kernels waited after their launch.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LaunchDelay {
    /// The middle one; of two middle ones, their mean rounded down.
    pub median_ns: i64,
    /// The 95th percentile.
    pub p95_ns: f64,
}

/// Kernel time of one category.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CategorySummary {
    /// Which.
    pub category: Category,
    /// Kernels.
    pub count: u64,
    /// Sum of durations.
    pub total_ns: u64,
    /// Patterns of the rules that sorted kernels into it, the longest time first.
    pub rules: Vec<String>,
}

/// Copies or fills of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MoveSummary {
    /// What it is, with its direction: `Memcpy HtoD`, `Memset`.
    pub operation: String,
    /// What is copied from and to, where the trace says so: `Pinned -> Device`.
    pub kinds: Option<String>,
    /// How many.
    pub count: u64,
    /// Sum of durations.
    pub total_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// How many state a size.
    pub sized: u64,
    /// Bytes of those that state a size.
    pub bytes: Bytes,
    /// Time of those that state a size.
    pub sized_time_ns: u64,
}

/// The steps of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Steps {
    /// How they were told apart; `None` if there are none.
    pub source: Option<StepSource>,
    /// Each step in order of time.
    pub list: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Its mark's name; `None` for detected steps.
    pub name: Option<String>,
    /// What it computes.
    pub kind: StepKind,
    /// Requests that read their prompt.
    pub context_requests: Option<u64>,
    /// Tokens of prompts.
    pub context_tokens: Option<u64>,
    /// Requests that generate.
    pub generation_requests: Option<u64>,
    /// Tokens to be generated.
    pub generation_tokens: Option<u64>,
    /// When its mark on the CPU begins, or where there is none, its first GPU operation.
    pub start_ns: i64,
    /// The length of its mark on the CPU.
    pub cpu_ns: Option<u64>,
    /// The GPU's part; `None` if no operation belongs to it.
    pub gpu: Option<StepGpu>,
}

/// What GPUs did for one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepGpu {
    /// When the first operation began.
    pub start_ns: i64,
    /// From there to the end of the last operation.
    pub span_ns: u64,
    /// Union of its operations on each device, summed over devices.
    pub busy_ns: u64,
    /// Kernels.
    pub kernels: u64,
    /// Sum of their durations.
    pub kernel_time_ns: u64,
}

/// A share of the kernels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpuShare {
    /// Kernels.
    pub kernels: u64,
    /// Sum of their durations.
    pub time_ns: u64,
}

/// One operator of the framework.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperatorSummary {
    /// Its name.
    pub name: String,
    /// How often it was called.
    pub count: u64,
    /// Sum of durations, with operators called within.
    pub total_ns: u64,
    /// Sum of durations, without operators called within.
    pub own_ns: u64,
    /// The longest call.
    pub max_ns: u64,
    /// Kernels launched by it itself.
    pub gpu: GpuShare,
}

/// Calls of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallSummary {
    /// The name.
    pub name: String,
    /// How many.
    pub count: u64,
    /// Sum of durations.
    pub total_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// Launches of whole graphs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GraphSummary {
    /// Launching calls.
    pub launches: u64,
    /// Kernels that they launched.
    pub kernels: u64,
    /// Sum of their durations.
    pub kernel_time_ns: u64,
}

/// Spans of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScopeSummary {
    /// The name.
    pub name: String,
    /// How many.
    pub count: u64,
    /// Sum of durations on the CPU.
    pub cpu_ns: u64,
    /// Kernels launched within, also within spans inside.
    pub gpu: GpuShare,
}

/// One layer of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerSummary {
    /// The name.
    pub name: String,
    /// How often it ran on the CPU.
    pub count: u64,
    /// Sum of durations on the CPU.
    pub cpu_ns: u64,
    /// Kernels launched within.
    pub gpu: GpuShare,
}

/// What the allocator reported for one of its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemorySummary {
    /// `type:id`, as the allocator numbers them: type 0 is the CPU, 1 CUDA, 6 HIP.
    pub device: String,
    /// Allocations and frees.
    pub events: u64,
    /// The largest sum of live allocations, where stated, and when it was first reached.
    pub peak_allocated: Option<(Bytes, i64)>,
    /// The largest memory held by the allocator, where stated.
    pub peak_reserved: Option<Bytes>,
    /// Sum of all allocations.
    pub allocated: Bytes,
    /// Sum of all frees.
    pub freed: Bytes,
    /// The width of the curve's steps, in nanoseconds.
    pub curve_step_ns: u64,
    /// The curve: the beginning of each step that has events, and the largest values in it.
    pub curve: Vec<MemoryPoint>,
}

/// One point of a memory curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryPoint {
    /// The beginning of its step.
    pub at_ns: i64,
    /// The largest sum of live allocations.
    pub allocated: Option<Bytes>,
    /// The largest memory held.
    pub reserved: Option<Bytes>,
}
