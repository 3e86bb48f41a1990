//! What a script may say. Everything has a default: an empty script is one idle device.

use std::collections::HashMap;

use serde::Deserialize;

/// The whole script.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Script {
    pub(crate) driver: String,
    /// The code that a function answers instead of its work.
    pub(crate) codes: HashMap<String, u32>,
    /// How long a function takes, in microseconds.
    pub(crate) delays_us: HashMap<String, u64>,
    /// From which call on (counted from 0) a function never returns.
    pub(crate) hangs_at: HashMap<String, u64>,
    pub(crate) devices: Vec<Device>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            driver: "6.8.5".into(),
            codes: HashMap::new(),
            delays_us: HashMap::new(),
            hangs_at: HashMap::new(),
            devices: vec![Device::default()],
        }
    }
}

/// One device. A list of values is gone through call by call; the last one repeats.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Device {
    pub(crate) unique_id: u64,
    pub(crate) name: String,
    /// Domain in the upper half, bus, device and function packed in the lower.
    pub(crate) pci_id: u64,
    pub(crate) total: u64,
    pub(crate) used: Vec<u64>,
    /// Bytes in use and in all of the memory that the host sees, and of the host's memory that the device uses. Absent
    /// kinds are not supported.
    pub(crate) other_memory: Option<[u64; 2]>,
    pub(crate) power_uw: Vec<u64>,
    /// 0 average, 1 current.
    pub(crate) power_type: u32,
    pub(crate) power_cap_uw: u64,
    pub(crate) energy_count: u64,
    pub(crate) energy_resolution_uj: f32,
    /// Thousandths of a degree by sensor (0 edge, 1 junction, 2 memory); a sensor that is not listed is not supported.
    pub(crate) temperatures: HashMap<u32, i64>,
    pub(crate) busy: Vec<u32>,
    pub(crate) memory_busy: u32,
    pub(crate) errors: [u64; 2],
    /// The code that a function answers for this device.
    pub(crate) codes: HashMap<String, u32>,
    /// After so many memory calls every call answers that the device's files are gone.
    pub(crate) lost_after: Option<u64>,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            unique_id: 0x1234_5678_9abc_def0,
            name: "Stand-in Instinct".into(),
            pci_id: 0x8300,
            total: 206_141_652_992,
            used: vec![297_795_584],
            other_memory: None,
            power_uw: vec![141_000_000],
            power_type: 1,
            power_cap_uw: 750_000_000,
            energy_count: 0,
            energy_resolution_uj: 15.3,
            temperatures: HashMap::from([(1, 45_000), (2, 38_000)]),
            busy: vec![0],
            memory_busy: 0,
            errors: [0, 0],
            codes: HashMap::new(),
            lost_after: None,
        }
    }
}
