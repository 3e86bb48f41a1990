//! Plain facts: counts and sums that any correct reader must agree on to the last nanosecond and byte.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Summary;

/// Counts and sums, in integer nanoseconds and bytes. Annotations on the GPU are no GPU work. Busy is the union of
/// kernels, copies and fills over all streams of a device. A kernel has a launch when a call of the runtime or driver
/// carries its correlation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Exact {
    /// Size of the JSON, in bytes.
    pub json_bytes: u64,
    /// Events of all kinds.
    pub events: u64,
    /// Events by `phase|category`; `None` stands for an absent key.
    pub by_ph_cat: BTreeMap<String, u64>,
    /// The process's rank; `null` where the trace does not say.
    pub rank: Option<i64>,
    /// The size of its group; `null` where the trace does not say.
    pub world_size: Option<i64>,
    /// Kernels.
    pub gpu_kernel_count: u64,
    /// Distinct names of kernels.
    pub gpu_kernel_unique: u64,
    /// Sum of the kernels' durations, in nanoseconds.
    pub gpu_kernel_time_ns: u64,
    /// Kernels whose launching call is in the trace.
    pub kernels_with_launch: u64,
    /// Median time from the beginning of the call to the beginning of its kernel, in nanoseconds, rounded down; `null`
    /// where no kernel has a launch.
    pub launch_to_start_median_ns: Option<i64>,
    /// Each device with GPU work.
    pub devices: BTreeMap<String, ExactDevice>,
    /// Copies and fills by operation and direction.
    pub memory_ops: BTreeMap<String, ExactMove>,
    /// The largest sum of live allocations by device of the allocator (`type:id`), in bytes.
    pub peak_allocated_bytes: BTreeMap<String, u64>,
    /// The twenty kernels with the longest total; of equal ones, the first by name.
    pub top_kernels: Vec<ExactKernel>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ExactDevice {
    /// From the beginning of the first operation to the end of the last, in nanoseconds.
    pub span_ns: u64,
    /// Union of kernels, copies and fills, in nanoseconds.
    pub busy_union_ns: u64,
    /// `span_ns - busy_union_ns`, in nanoseconds.
    pub idle_ns: u64,
    /// Union of kernels, in nanoseconds.
    pub kernel_union_ns: u64,
    /// Its streams with kernels.
    pub streams: BTreeMap<String, ExactStream>,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ExactStream {
    /// Kernels.
    pub kernels: u64,
    /// Sum of their durations, in nanoseconds.
    pub kernel_time_ns: u64,
}

/// Copies or fills of one operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ExactMove {
    /// How many.
    pub count: u64,
    /// Sum of durations, in nanoseconds.
    pub time_ns: u64,
    /// Sum of the sizes that are stated, in bytes.
    pub bytes: u64,
}

/// One kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ExactKernel {
    /// The name.
    pub name: String,
    /// How often it ran.
    pub count: u64,
    /// Sum of durations, in nanoseconds.
    pub total_ns: u64,
    /// The shortest, in nanoseconds.
    pub min_ns: u64,
    /// The longest, in nanoseconds.
    pub max_ns: u64,
}

/// Kernels that the exact part lists.
const TOP: usize = 20;

impl Exact {
    /// The plain facts of a summary.
    pub fn of(summary: &Summary) -> Self {
        let mut memory_ops: BTreeMap<String, ExactMove> = BTreeMap::new();
        for part in &summary.moves {
            let all = memory_ops.entry(part.operation.clone()).or_default();
            all.count += part.count;
            all.time_ns += part.total_ns;
            all.bytes = all.bytes.saturating_add(part.bytes.get());
        }
        let peaks = summary.memory.iter();
        let peaks = peaks.filter_map(|m| m.peak_allocated.map(|(bytes, _)| (m.device.clone(), bytes.get())));
        Self {
            json_bytes: summary.file.json_bytes,
            events: summary.events,
            by_ph_cat: summary.counts.clone(),
            rank: summary.info.rank,
            world_size: summary.info.world_size,
            gpu_kernel_count: summary.kernel_totals.count,
            gpu_kernel_unique: summary.kernels.len() as u64,
            gpu_kernel_time_ns: summary.kernel_totals.time_ns,
            kernels_with_launch: summary.kernel_totals.with_launch,
            launch_to_start_median_ns: summary.launch_delay.map(|delay| delay.median_ns),
            devices: devices(summary),
            memory_ops,
            peak_allocated_bytes: peaks.collect(),
            top_kernels: top_kernels(summary),
        }
    }
}

fn devices(summary: &Summary) -> BTreeMap<String, ExactDevice> {
    let devices = summary.devices.iter().map(|device| {
        let streams = device.streams.iter().filter(|(_, stream)| stream.kernels > 0).map(|(name, stream)| {
            (name.clone(), ExactStream { kernels: stream.kernels, kernel_time_ns: stream.kernel_time_ns })
        });
        let exact = ExactDevice {
            span_ns: device.whole.span_ns,
            busy_union_ns: device.whole.busy_ns,
            idle_ns: device.whole.idle_ns,
            kernel_union_ns: device.whole.kernel_ns,
            streams: streams.collect(),
        };
        (device.device.clone(), exact)
    });
    devices.collect()
}

fn top_kernels(summary: &Summary) -> Vec<ExactKernel> {
    let kernels = summary.kernels.iter().take(TOP).map(|kernel| ExactKernel {
        name: kernel.name.clone(),
        count: kernel.count,
        total_ns: kernel.total_ns,
        min_ns: kernel.min_ns,
        max_ns: kernel.max_ns,
    });
    kernels.collect()
}
