//! What a script may say. Everything has a default: an empty script is one idle device.

use std::collections::HashMap;

use serde::Deserialize;

/// The whole script.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Script {
    pub(crate) driver: String,
    pub(crate) nvml: String,
    /// The code that a function answers instead of its work, for all devices.
    pub(crate) codes: HashMap<String, u32>,
    /// How long a function takes, in microseconds.
    pub(crate) delays_us: HashMap<String, u64>,
    /// From which call on (counted from 0) a function never returns.
    pub(crate) hangs_at: HashMap<String, u64>,
    /// Names of processes.
    pub(crate) names: HashMap<u32, String>,
    pub(crate) devices: Vec<Device>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            driver: "580.159.04".into(),
            nvml: "13.580.159.04".into(),
            codes: HashMap::new(),
            delays_us: HashMap::new(),
            hangs_at: HashMap::new(),
            names: HashMap::new(),
            devices: vec![Device::default()],
        }
    }
}

/// One device. A list of values is gone through call by call; the last one repeats.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Device {
    pub(crate) uuid: String,
    pub(crate) name: String,
    pub(crate) bus: String,
    pub(crate) total: u64,
    pub(crate) reserved: u64,
    pub(crate) used: Vec<u64>,
    /// A file that holds the bytes in use as text; it wins over `used`. With a process and a rest (`USED PID REST`) the
    /// bytes beyond the rest are that process's: it is listed while it lives, and only the rest is in use afterwards.
    /// While it says `lost`, so is the device.
    pub(crate) used_file: Option<String>,
    pub(crate) power_mw: Vec<u32>,
    pub(crate) power_average_mw: u32,
    pub(crate) power_limit_mw: u32,
    pub(crate) energy_mj: Vec<u64>,
    pub(crate) temperature: u32,
    pub(crate) memory_temperature: u32,
    pub(crate) utilization: Vec<u32>,
    pub(crate) memory_utilization: u32,
    pub(crate) sm_clock: u32,
    pub(crate) memory_clock: u32,
    pub(crate) throttle: u64,
    pub(crate) ecc: [u64; 2],
    pub(crate) pcie: [u64; 2],
    pub(crate) link_kib: [u64; 2],
    /// The driver's power buffer: its own time in microseconds, and milliwatts.
    pub(crate) power_buffer: Vec<(u64, u32)>,
    pub(crate) utilization_buffer: Vec<(u64, u32)>,
    pub(crate) processes: Vec<Process>,
    /// The code that a function answers for this device.
    pub(crate) codes: HashMap<String, u32>,
    /// The code of a field value, by its number.
    pub(crate) field_codes: HashMap<u32, u32>,
    /// After so many memory calls every call answers that the device is lost.
    pub(crate) lost_after: Option<u64>,
    /// The device is in MIG mode, with these slices.
    pub(crate) mig: Option<Vec<Device>>,
    /// A slice's GPU instance and compute instance.
    pub(crate) instances: [u32; 2],
}

impl Default for Device {
    fn default() -> Self {
        Self {
            uuid: "GPU-00000000-0000-0000-0000-000000000000".into(),
            name: "Stand-in GPU".into(),
            bus: "00000000:01:00.0".into(),
            total: 150_754_820_096,
            reserved: 644_939_776,
            used: vec![0],
            used_file: None,
            power_mw: vec![71_000],
            power_average_mw: 70_000,
            power_limit_mw: 700_000,
            energy_mj: vec![1_000],
            temperature: 36,
            memory_temperature: 40,
            utilization: vec![0],
            memory_utilization: 0,
            sm_clock: 345,
            memory_clock: 3201,
            throttle: 1,
            ecc: [0, 0],
            pcie: [0, 0],
            link_kib: [0, 0],
            power_buffer: Vec::new(),
            utilization_buffer: Vec::new(),
            processes: Vec::new(),
            codes: HashMap::new(),
            field_codes: HashMap::new(),
            lost_after: None,
            mig: None,
            instances: [0, 0],
        }
    }
}

/// One process of a device.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// `null` is NVML's "not available".
    pub(crate) used: Option<u64>,
    /// `C`, `G` or `M` (a client of the multi-process service).
    #[serde(default = "compute")]
    pub(crate) kind: char,
}

fn compute() -> char {
    'C'
}
