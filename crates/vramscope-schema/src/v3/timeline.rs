//! Memory and the other readings over time, the phases and the gaps.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{GapCause, Phase};
use crate::Amount;

/// Memory in use over the run, on all GPUs together. Statistics are over all complete ticks of the recording, also
/// where `timeline` holds only some of them; quantiles are linear between order statistics (type 7).
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct MemoryTimeline {
    /// The smallest.
    pub min_bytes: Option<u64>,
    /// The largest.
    pub max_bytes: Option<u64>,
    /// Arithmetic mean, rounded to the byte.
    pub mean_bytes: Option<u64>,
    /// The 0.5 quantile, rounded to the byte.
    pub median_bytes: Option<u64>,
    /// The 0.95 quantile, rounded to the byte.
    pub p95_bytes: Option<u64>,
    /// The 0.99 quantile, rounded to the byte.
    pub p99_bytes: Option<u64>,
    /// Complete ticks of the recording. Unit: count.
    pub num_samples: Option<u64>,
    /// The usual time between two ticks: the median step.
    pub period_ms: Option<Amount>,
    /// The ticks, or some of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<TimelinePoint>,
    /// How `timeline` was thinned out; absent where it is whole.
    pub reduction: Option<Reduction>,
    /// The other readings over all GPUs and the whole recording.
    pub extended: Option<ExtendedMetrics>,
    /// Each GPU alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_gpu: Vec<GpuTimeline>,
}

/// One tick.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct TimelinePoint {
    /// The wall clock. Unit: seconds since 1970 UTC.
    pub timestamp: Option<f64>,
    /// Since the anchor.
    pub at_ns: Option<u64>,
    /// Memory in use.
    pub memory_bytes: Option<u64>,
    /// Power drawn.
    pub power_w: Option<Amount>,
    /// The hottest GPU's core temperature.
    pub temp_c: Option<f64>,
    /// Share of the last period with a kernel running, mean over GPUs.
    pub utilization_pct: Option<Amount>,
}

/// How a timeline was thinned out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Reduction {
    /// Ticks kept. Unit: count.
    pub kept: u64,
    /// Ticks recorded. Unit: count.
    pub of: u64,
    /// The rule, as a stable name; `min_max` keeps the smallest and the largest tick of each bucket.
    pub method: String,
}

/// One GPU over the run.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct GpuTimeline {
    /// Its index in the log. Unit: none, an index.
    pub gpu: u32,
    /// The smallest.
    pub min_bytes: Option<u64>,
    /// The largest.
    pub max_bytes: Option<u64>,
    /// Arithmetic mean, rounded to the byte.
    pub mean_bytes: Option<u64>,
    /// The 0.5 quantile, rounded to the byte.
    pub median_bytes: Option<u64>,
    /// The 0.95 quantile, rounded to the byte.
    pub p95_bytes: Option<u64>,
    /// The 0.99 quantile, rounded to the byte.
    pub p99_bytes: Option<u64>,
    /// Readings. Unit: count.
    pub num_samples: Option<u64>,
    /// The readings, or some of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<TimelinePoint>,
    /// The other readings of this GPU.
    pub extended: Option<ExtendedMetrics>,
}

/// The other readings.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct ExtendedMetrics {
    /// Power drawn by one GPU.
    pub power: Option<PowerRange>,
    /// Core temperature.
    pub temperature: Option<TemperatureRange>,
    /// Temperature of the memory.
    pub memory_temperature: Option<TemperatureRange>,
    /// Share of time with a kernel running.
    pub utilization: Option<PercentRange>,
    /// Share of time with memory traffic.
    pub memory_utilization: Option<PercentRange>,
    /// Shader clock.
    pub sm_clock: Option<ClockRange>,
    /// Memory clock.
    pub memory_clock: Option<ClockRange>,
    /// Energy drawn from the first reading to the last, all GPUs together.
    pub energy: Option<EnergyUse>,
}

/// The range of a power reading.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PowerRange {
    /// The smallest.
    pub min_w: Option<Amount>,
    /// The largest.
    pub max_w: Option<Amount>,
    /// Arithmetic mean.
    pub mean_w: Option<Amount>,
    /// The 0.95 quantile.
    pub p95_w: Option<Amount>,
}

/// The range of a temperature.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TemperatureRange {
    /// The smallest.
    pub min_c: Option<f64>,
    /// The largest.
    pub max_c: Option<f64>,
    /// Arithmetic mean.
    pub mean_c: Option<f64>,
}

/// The range of a share.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PercentRange {
    /// The smallest.
    pub min_pct: Option<Amount>,
    /// The largest.
    pub max_pct: Option<Amount>,
    /// Arithmetic mean.
    pub mean_pct: Option<Amount>,
}

/// The range of a clock.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ClockRange {
    /// The smallest.
    pub min_mhz: Option<Amount>,
    /// The largest.
    pub max_mhz: Option<Amount>,
    /// Arithmetic mean.
    pub mean_mhz: Option<Amount>,
}

/// Energy drawn.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct EnergyUse {
    /// From the first reading of the counter to the last.
    pub total_j: Option<Amount>,
}

/// A window of time with what the GPUs held in it.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct PhaseInfo {
    /// Which phase.
    pub phase: Phase,
    /// Its first instant, from the anchor.
    pub start_ns: u64,
    /// The first instant after it, from the anchor.
    pub end_ns: u64,
    /// Its length.
    pub duration_s: Amount,
    /// What marks its beginning, in a few words.
    pub marked_by: Option<String>,
    /// Complete ticks in it. Unit: count.
    pub num_samples: u64,
    /// The largest total.
    pub peak_bytes: Option<u64>,
    /// The mean total, rounded to the byte.
    pub mean_bytes: Option<u64>,
    /// The smallest total.
    pub min_bytes: Option<u64>,
    /// Mean power, all GPUs together.
    pub mean_power_w: Option<Amount>,
    /// Mean utilization over GPUs.
    pub mean_utilization_pct: Option<Amount>,
    /// Each GPU.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_gpu: Vec<PhaseGpu>,
}

/// One GPU in a phase.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct PhaseGpu {
    /// Its index in the log. Unit: none, an index.
    pub gpu: u32,
    /// The largest.
    pub peak_bytes: Option<u64>,
    /// The mean, rounded to the byte.
    pub mean_bytes: Option<u64>,
    /// The smallest.
    pub min_bytes: Option<u64>,
}

/// A span without samples.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct GapInfo {
    /// The last sample before it, from the anchor.
    pub start_ns: u64,
    /// The first sample after it, from the anchor.
    pub end_ns: u64,
    /// The GPU without samples; absent where it is all of them. Unit: none, an index.
    pub gpu: Option<u32>,
    /// Why.
    pub cause: GapCause,
    /// Samples missing by the recording's own period. Unit: count.
    pub missed: u64,
}
