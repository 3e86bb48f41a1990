//! The lines of a timeline file.

use serde::{Deserialize, Serialize};
use vramscope_core::Throttle;

use super::throttle_names;

/// The first line: who recorded what, and how.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Header {
    /// The version of the format.
    pub vramscope_timeline: u32,
    /// The program that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator: Option<String>,
    /// The wall clock at the anchor from which times count, in nanoseconds since 1970 UTC. Without it times count from
    /// an unknown anchor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor_unix_ns: Option<i64>,
    /// The time between two ticks, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_ms: Option<f64>,
    /// The time between two slow readings, in milliseconds. Absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_period_ms: Option<f64>,
    /// Where the readings come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<Backend>,
    /// The devices that are recorded.
    #[serde(default)]
    pub devices: Vec<Device>,
}

/// A source of readings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Backend {
    /// Its name: `nvml`, `rocm-smi`, `amdgpu-sysfs`, `amd-smi`, `fake`, `replay`.
    pub name: String,
    /// The version of the kernel driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_version: Option<String>,
    /// The library or folder that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// The version of that library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library_version: Option<String>,
    /// What `power_mw` is: `instant`, `average`, `socket`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_kind: Option<String>,
    /// Whether `used_bytes` leaves out what the driver holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_apart: Option<bool>,
    /// What a reader must know to trust the figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A device of the recording.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Device {
    /// The handle that the other lines use.
    pub gpu_index: u32,
    /// The identity, as the driver prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The marketing name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The PCI bus id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pci_bus_id: Option<String>,
    /// `nvidia`, `amd`, `intel` or `cpu`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// All memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// Memory that the driver holds, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_bytes: Option<u64>,
    /// The version of the kernel driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_version: Option<String>,
    /// `mig` for a whole GPU in MIG mode, `mig GPU/INSTANCE/INSTANCE` for a slice, `amd COMPUTE/MEMORY` for AMD's modes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
}

/// Any line but the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Line {
    /// One device at one tick.
    Sample(Sample),
    /// What is read about once a second.
    Slow(Slow),
    /// A phase begins.
    Mark(Mark),
    /// Samples are missing.
    Gap(Gap),
    /// A slow reading failed, or a part of one.
    Failure(Failure),
    /// The wall clock beside the monotonic one.
    Clock(Clock),
    /// What sampling has cost so far.
    Cost(Cost),
    /// The recording is complete.
    End(End),
    /// The statistics of the recording, after its end: what `vramscope monitor --format json` adds for its reader.
    Summary(Box<super::TimelineReport>),
    /// A line that this version does not know.
    #[serde(other)]
    Unknown,
}

/// One device at one tick.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Sample {
    /// When: the middle of the reading, in nanoseconds.
    pub timestamp_ns: i64,
    /// The sampling instant; all devices read together share it.
    pub tick: u32,
    /// Which device.
    pub gpu_index: u32,
    /// Memory in use by all processes, in bytes.
    pub used_bytes: u64,
    /// All memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// Memory that the driver holds apart from `used_bytes`, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_bytes: Option<u64>,
    /// Power, in milliwatts; the header's `power_kind` says which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_mw: Option<u32>,
    /// Power averaged over the driver's own window, in milliwatts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_avg_mw: Option<u32>,
    /// Core temperature, in degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temp_c: Option<u32>,
    /// Memory temperature, in degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temp_mem_c: Option<u32>,
    /// Share of the driver's window with a kernel running, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub util_gpu_pct: Option<u8>,
    /// Share of the driver's window with memory traffic, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub util_mem_pct: Option<u8>,
    /// Shader clock, in MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sm_clock_mhz: Option<u32>,
    /// Memory clock, in MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_clock_mhz: Option<u32>,
    /// The energy counter, in millijoules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy_mj: Option<u64>,
    /// What holds the clocks back: `idle`, `power`, `thermal`, `hardware`, `hardware_thermal`, `power_brake`,
    /// `clocks_set`, `sync`, `display`, `other`. Empty when nothing does.
    #[serde(default, with = "throttle_names", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "json-schema", schemars(with = "Option<Vec<String>>"))]
    pub throttle: Option<Throttle>,
}

/// What is read about once a second, because it is dear or slow to change.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Slow {
    /// When, in nanoseconds.
    pub timestamp_ns: i64,
    /// Which device.
    pub gpu_index: u32,
    /// The energy counter, in millijoules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy_mj: Option<u64>,
    /// Processes on the device. Absent where the source cannot list them, empty where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<Vec<Process>>,
    /// Bytes sent over PCIe since some instant; only differences mean something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcie_tx_bytes: Option<u64>,
    /// Bytes received over PCIe since some instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcie_rx_bytes: Option<u64>,
    /// Bytes per second sent over PCIe, where the source samples a rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcie_tx_bytes_per_s: Option<u64>,
    /// Bytes per second received over PCIe, where the source samples a rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcie_rx_bytes_per_s: Option<u64>,
    /// Bytes sent over NVLink or XGMI since some instant, all links together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_tx_bytes: Option<u64>,
    /// Bytes received over NVLink or XGMI since some instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_rx_bytes: Option<u64>,
    /// Memory errors that were corrected since the driver was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecc_corrected: Option<u64>,
    /// Memory errors that were not corrected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecc_uncorrected: Option<u64>,
    /// Power limit in force, in milliwatts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_limit_mw: Option<u32>,
    /// The highest utilisation in the driver's buffer since the last slow reading, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffered_util_max_pct: Option<u8>,
    /// The highest power in the driver's buffer since the last slow reading, in milliwatts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffered_power_max_mw: Option<u32>,
    /// The mean power in the driver's buffer since the last slow reading, in milliwatts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffered_power_mean_mw: Option<u32>,
}

/// A process on a device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Process {
    /// The process id as the driver sees it.
    pub pid: u32,
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Memory that it holds on the device, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
    /// `compute`, `graphics` or `both`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The container it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// A phase begins; it lasts until the next mark or the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Mark {
    /// When, in nanoseconds.
    pub timestamp_ns: i64,
    /// `baseline`, `launch`, `load`, `ready`, `warmup`, `measure`, `shutdown` or `settle`.
    pub phase: String,
}

/// Samples are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Gap {
    /// The last sample before it, in nanoseconds.
    pub timestamp_ns: i64,
    /// The first sample after it, or when it was noticed, in nanoseconds.
    pub end_ns: i64,
    /// The device. Absent when it is all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_index: Option<u32>,
    /// `failed_read`, `missed_ticks`, `device_lost` or `dropped`.
    pub cause: String,
    /// How many samples are missing.
    pub missed: u64,
    /// What the driver said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A slow reading failed, or a part of one; what else it read stands in a `slow` line. Stated when it begins to fail, and
/// again when the driver says something else; each failure is counted in `cost`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Failure {
    /// When, in nanoseconds.
    pub timestamp_ns: i64,
    /// The device.
    pub gpu_index: u32,
    /// What failed, and what the driver said.
    pub error: String,
}

/// The wall clock beside the monotonic one, so that a step of the wall clock can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Clock {
    /// The anchor's wall clock plus the monotonic time since, in nanoseconds.
    pub timestamp_ns: i64,
    /// The wall clock at that moment, in nanoseconds.
    pub unix_ns: i64,
}

/// Three figures of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Percentiles {
    /// The median, in microseconds.
    pub p50_us: f64,
    /// The 99th percentile, in microseconds.
    pub p99_us: f64,
    /// The largest, in microseconds.
    pub max_us: f64,
}

/// What sampling has cost since the recording began.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Cost {
    /// When, in nanoseconds.
    pub timestamp_ns: i64,
    /// Processor time of all of the sampler's threads, in milliseconds. Absent where the system does not count it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<f64>,
    /// Time since the recording began, in milliseconds.
    pub wall_ms: f64,
    /// Ticks that were taken.
    pub ticks: u64,
    /// Ticks that came too late and were left out.
    pub missed: u64,
    /// Readings that were taken but could not be kept.
    pub dropped: u64,
    /// Readings that failed.
    pub failed: u64,
    /// How late after its deadline a tick began.
    pub lateness: Percentiles,
    /// How long a tick took over all devices. Recordings of the first builds have it as `tick`, which is a number in
    /// the lines of samples.
    #[serde(alias = "tick")]
    pub tick_time: Percentiles,
    /// Each kind of driver call.
    #[serde(default)]
    pub calls: Vec<Call>,
}

/// What one kind of driver call has cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Call {
    /// Which call.
    pub call: String,
    /// How often it was made.
    pub count: u64,
    /// All calls together, in milliseconds.
    pub total_ms: f64,
    /// The time of one call.
    #[serde(flatten)]
    pub time: Percentiles,
}

/// How a recording came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It was finished as asked.
    Finished,
    /// A person stopped it.
    Interrupted,
    /// No device answered any more.
    DevicesLost,
}

/// The last line of a complete recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct End {
    /// When, in nanoseconds.
    pub timestamp_ns: i64,
    /// Why.
    pub ending: Ending,
    /// Ticks that were taken.
    pub ticks: u64,
    /// Ticks that came too late and were left out.
    pub missed: u64,
    /// Readings that were taken but could not be kept.
    pub dropped: u64,
}

/// The header or any other line: what a schema of the file describes.
#[cfg(feature = "json-schema")]
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it exists for its schema alone")]
pub(super) enum AnyLine {
    Header(Header),
    Line(Line),
}
