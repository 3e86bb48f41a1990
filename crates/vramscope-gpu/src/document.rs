//! The document of `vramscope gpus --format json`: what one source said of the GPUs at one moment.
//!
//! A figure that the source does not state is `null` or absent, never 0. Names are those of the vendors' tools where
//! there is one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Figure;

/// The version of this document. A reader accepts the same number only.
pub const VERSION: u32 = 1;

/// More GPUs than this are not one machine's: a text, a log or a recording that has more is something else or damaged,
/// and each GPU costs its readers memory for all its statistics. The largest machines have some hundred with their slices.
pub const MAX_GPUS: usize = 1024;

/// The GPUs of one machine at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Snapshot {
    /// The document's version.
    pub vramscope_gpus: u32,
    /// Who said it: a backend (`nvml`, `rocm-smi`, `amdgpu-sysfs`) or a saved output (`nvidia-smi csv`,
    /// `nvidia-smi xml`, `nvidia-smi text`, `nvidia-smi table`, `amd-smi json`, `rocm-smi text`, …).
    pub source: String,
    /// The tool's or library's version, as printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_version: Option<String>,
    /// The version of the kernel driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_version: Option<String>,
    /// When, as the source writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<String>,
    /// How many GPUs the source lists.
    pub gpu_count: usize,
    /// The GPUs, by index.
    pub gpus: Vec<Gpu>,
    /// Processes that the source lists for the whole machine, not by GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_processes: Option<Vec<HostProcess>>,
    /// What a reader must know to trust the figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One GPU.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Gpu {
    /// Its place in the source's list.
    pub index: u32,
    /// The marketing name.
    pub name: Option<String>,
    /// The identity, as the driver prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The PCI bus id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pci_bus_id: Option<String>,
    /// `nvidia` or `amd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// All memory, in MiB (2^20 bytes).
    pub mem_total_mib: Option<Figure>,
    /// Memory in use, in MiB.
    pub mem_used_mib: Option<Figure>,
    /// Free memory, in MiB.
    pub mem_free_mib: Option<Figure>,
    /// Memory that the driver holds, where the source keeps it apart from memory in use, in MiB.
    pub mem_reserved_mib: Option<Figure>,
    /// All memory, in bytes, where the source states bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_total_bytes: Option<u64>,
    /// Memory in use, in bytes, where the source states bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_used_bytes: Option<u64>,
    /// Memory that the driver holds, in bytes, where the source states bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_reserved_bytes: Option<u64>,
    /// Power, in watts; `power_kind` says which.
    pub power_w: Option<Figure>,
    /// What the power is: `instant`, `average`, `power_draw` (the source does not say), `socket`, `current_socket`.
    pub power_kind: Option<String>,
    /// The draw at the moment, in watts, where the source has it beside an average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instant_power_w: Option<Figure>,
    /// The power limit in force, in watts.
    pub power_cap_w: Option<Figure>,
    /// Temperatures by sensor, in degrees Celsius. A sensor that does not answer is absent.
    pub temps_c: BTreeMap<String, Figure>,
    /// How far below its limit the GPU is, in degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tlimit_margin_c: Option<Figure>,
    /// Share of the source's window with a kernel running, in percent.
    pub util_gpu_pct: Option<Figure>,
    /// Share of the source's window with memory traffic, in percent.
    pub util_mem_pct: Option<Figure>,
    /// Memory read and write activity, in percent, as rocm-smi since ROCm 6.1 prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_activity_pct: Option<Figure>,
    /// Share of the memory that is allocated, in percent, as rocm-smi since ROCm 6.1 prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vram_alloc_pct: Option<Figure>,
    /// Clocks by domain, in MHz.
    pub clocks_mhz: BTreeMap<String, Figure>,
    /// What holds the clocks back. Empty when nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Vec<String>>,
    /// Processes on this GPU; `null` where the source does not list them, empty where there are none.
    pub processes: Option<Vec<Process>>,
    /// The energy counter, in joules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy_j: Option<Figure>,
    /// System memory that the GPU can address, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gtt_total_mib: Option<Figure>,
    /// System memory that the GPU uses, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gtt_used_mib: Option<Figure>,
    /// Whether and how it is cut into MIG slices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mig: Option<Mig>,
    /// AMD's compute and memory partition modes, or `mig GPU/INSTANCE/INSTANCE` for a MIG slice that was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Temperature limits by name, in degrees Celsius.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Figure>,
    /// The instruction set, as `gfx90a`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The number of compute units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_units: Option<Figure>,
}

/// A GPU's MIG mode.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Mig {
    /// Whether the mode is on.
    pub enabled: bool,
    /// The slices, where the source lists them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<MigDevice>>,
}

/// One MIG slice's memory.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct MigDevice {
    /// The identity, where the source prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The GPU instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_instance: Option<u32>,
    /// The compute instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_instance: Option<u32>,
    /// All memory, in MiB.
    pub total: Option<Figure>,
    /// Memory in use, in MiB.
    pub used: Option<Figure>,
    /// Free memory, in MiB.
    pub free: Option<Figure>,
}

/// One process on one GPU.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Process {
    /// The process id as the driver sees it.
    pub pid: u32,
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `compute`, `graphics` or `both`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Memory that it holds on the GPU, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_mib: Option<Figure>,
    /// Memory that it holds, in bytes, where the source states bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vram_bytes: Option<u64>,
    /// amd-smi's own total, in bytes; it can be 0 beside a large `vram_bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_usage_bytes: Option<u64>,
    /// The MIG GPU instance it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_instance: Option<u32>,
    /// The container it runs in, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// A process that the source lists without saying on which GPU it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct HostProcess {
    /// The process id.
    pub pid: u32,
    /// The program.
    pub name: Option<String>,
    /// On how many GPUs it is.
    pub gpus: Option<u32>,
    /// Memory that it holds on all of them together, in bytes.
    pub vram_bytes: Option<u64>,
}

impl Snapshot {
    /// A snapshot from a source that has not listed anything yet.
    pub fn from_source(source: impl Into<String>) -> Self {
        Self {
            vramscope_gpus: VERSION,
            source: source.into(),
            tool_version: None,
            driver_version: None,
            taken_at: None,
            gpu_count: 0,
            gpus: Vec::new(),
            host_processes: None,
            notes: Vec::new(),
        }
    }
}

/// The JSON Schema of this document.
#[cfg(feature = "json-schema")]
pub fn json_schema() -> schemars::Schema {
    schemars::schema_for!(Snapshot)
}
