//! What the GPU tool showed at one instant.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::Amount;

/// What the GPU tool showed of each GPU at one instant. Its `_mb` figures are in the tool's own unit: 2^20 bytes for
/// `amd-smi`, `nvidia-smi` and for us.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct DetailedGpuMetrics {
    /// The tool or library that was asked.
    pub tool: Option<String>,
    /// When. Unit: seconds since 1970 UTC.
    pub timestamp: Option<f64>,
    /// Each GPU.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<DetailedGpu>,
}

/// What the tool showed of one GPU.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct DetailedGpu {
    /// Its index. Unit: none, an index.
    pub gpu_id: Option<u32>,
    /// Memory in use, as shown.
    pub vram_used_mb: Option<Amount>,
    /// Memory free, as shown.
    pub vram_free_mb: Option<Amount>,
    /// All memory, as shown.
    pub vram_total_mb: Option<Amount>,
    /// Memory in use.
    pub vram_used_bytes: Option<u64>,
    /// Memory free.
    pub vram_free_bytes: Option<u64>,
    /// All memory.
    pub vram_total_bytes: Option<u64>,
    /// Memory in use as a share of all. Unit: percent.
    pub vram_percent: Option<Amount>,
    /// Power drawn. Unit: watts.
    pub power_watts: Option<Amount>,
    /// The hottest sensor, or the core.
    pub hotspot_temp_c: Option<f64>,
    /// The memory.
    pub memory_temp_c: Option<f64>,
    /// Share of time with a kernel running.
    pub gfx_utilization_pct: Option<Amount>,
    /// Share of time with memory traffic.
    pub mem_utilization_pct: Option<Amount>,
    /// Shader clock.
    pub clock_gfx_mhz: Option<Amount>,
    /// Memory clock.
    pub clock_mem_mhz: Option<Amount>,
    /// Processes on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<GpuProcess>,
}

/// A process on a GPU.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct GpuProcess {
    /// Its name and id, as the tool shows them.
    pub process_info: Option<String>,
    /// What it holds, as the tool shows it.
    pub memory_usage: Option<ProcessMemory>,
    /// What it holds.
    pub memory_bytes: Option<u64>,
    /// Its id. Unit: none, an identifier.
    pub pid: Option<u32>,
}

/// An amount with the tool's word for its unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ProcessMemory {
    /// The amount. Unit: as `unit` says.
    pub value: Amount,
    /// The tool's word for the unit. `MB` of `amd-smi` is 2^20 bytes.
    pub unit: String,
}
