//! Memory in use at three points of the run.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// Memory in use at three points of the run, as the driver counts it: by all processes on the GPUs.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct MemoryMeasurements {
    /// Before the engine came.
    pub baseline: Option<MeasurementPoint>,
    /// After warm-up, before the first measured request.
    pub post_warmup: Option<MeasurementPoint>,
    /// The largest total over the run.
    pub peak: Option<MeasurementPoint>,
    /// From baseline to peak, on all GPUs together.
    pub memory_increase_bytes: Option<i64>,
}

/// Memory in use at one point of the run.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct MeasurementPoint {
    /// On all GPUs together.
    pub total_bytes: Option<u64>,
    /// The spread over GPUs.
    pub per_gpu_stats: Option<PerGpuStats>,
    /// Each GPU.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_gpu_details: Vec<GpuMemory>,
    /// When, from the anchor. For a point that is the mean of a window: the window's end.
    pub at_ns: Option<u64>,
}

/// The spread of memory in use over GPUs.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PerGpuStats {
    /// Over all GPUs together.
    pub sum_bytes: Option<u64>,
    /// On the fullest GPU.
    pub max_bytes: Option<u64>,
    /// Arithmetic mean, rounded to the byte.
    pub mean_bytes: Option<u64>,
    /// Population standard deviation, rounded to the byte.
    pub stddev_bytes: Option<u64>,
}

/// Memory of one GPU at one point.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct GpuMemory {
    /// Its index in the log. Unit: none, an index.
    pub gpu: Option<u32>,
    /// In use by everybody.
    pub used_bytes: Option<u64>,
    /// Free.
    pub free_bytes: Option<u64>,
    /// All memory that the driver reports for it.
    pub total_bytes: Option<u64>,
}
