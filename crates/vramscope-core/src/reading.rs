//! What a backend says of one device at one instant.

use std::time::Duration;

use crate::{Bytes, DeviceIndex};

/// One device's figures now. `None` means that the source has no such figure; zero is a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Memory in use on the device, by all processes.
    pub used: Bytes,
    /// Memory that the driver reports for the device. `None` where a log has no such column.
    pub total: Option<Bytes>,
    /// Driver-held memory where the source keeps it apart from `used` (NVML's memory v2 does).
    pub reserved: Option<Bytes>,
    /// Power drawn, in milliwatts; instantaneous where the source has it, else its own average.
    pub power_mw: Option<u32>,
    /// Power averaged over the driver's own window, in milliwatts, where the source has both kinds.
    pub power_average_mw: Option<u32>,
    /// Core temperature in degrees Celsius.
    pub temperature_c: Option<u32>,
    /// Memory temperature in degrees Celsius.
    pub memory_temperature_c: Option<u32>,
    /// Share of the last period with a kernel running, in percent.
    pub utilization_pct: Option<u8>,
    /// Share of the last period with memory traffic, in percent.
    pub memory_utilization_pct: Option<u8>,
    /// Shader clock in MHz.
    pub sm_clock_mhz: Option<u32>,
    /// Memory clock in MHz.
    pub memory_clock_mhz: Option<u32>,
    /// The energy counter since the driver was loaded, in millijoules.
    pub energy_mj: Option<u64>,
    /// Why the clocks are below what was asked for; empty when nothing holds them back.
    pub throttle: Option<Throttle>,
}

/// Reasons that hold a device's clocks back, as a set.
///
/// ```
/// use vramscope_core::Throttle;
/// let held = Throttle::POWER.with(Throttle::THERMAL);
/// assert!(held.has(Throttle::POWER) && !held.has(Throttle::IDLE));
/// assert_eq!(held.names().collect::<Vec<_>>(), ["power", "thermal"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Throttle(u32);

impl Throttle {
    /// Nothing holds the clocks back.
    pub const NONE: Self = Self(0);
    /// Nothing runs.
    pub const IDLE: Self = Self(1);
    /// The power limit, kept by software.
    pub const POWER: Self = Self(1 << 1);
    /// The temperature limit, kept by software.
    pub const THERMAL: Self = Self(1 << 2);
    /// A hardware slowdown of unknown cause.
    pub const HARDWARE: Self = Self(1 << 3);
    /// The temperature limit, kept by hardware.
    pub const HARDWARE_THERMAL: Self = Self(1 << 4);
    /// An external power brake.
    pub const POWER_BRAKE: Self = Self(1 << 5);
    /// Clocks that somebody set.
    pub const CLOCKS_SET: Self = Self(1 << 6);
    /// Clocks tied to another device's.
    pub const SYNC: Self = Self(1 << 7);
    /// A display's needs.
    pub const DISPLAY: Self = Self(1 << 8);
    /// A reason that the source has and this list has not.
    pub const OTHER: Self = Self(1 << 9);

    /// Each reason with the name that documents use.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::IDLE, "idle"),
        (Self::POWER, "power"),
        (Self::THERMAL, "thermal"),
        (Self::HARDWARE, "hardware"),
        (Self::HARDWARE_THERMAL, "hardware_thermal"),
        (Self::POWER_BRAKE, "power_brake"),
        (Self::CLOCKS_SET, "clocks_set"),
        (Self::SYNC, "sync"),
        (Self::DISPLAY, "display"),
        (Self::OTHER, "other"),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all reasons of `other` are in this set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The reason of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(reason, _)| *reason)
    }

    /// The names of the reasons in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().filter(move |&(reason, _)| self.has(reason)).map(|(_, name)| name)
    }
}

/// What a process does on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProcessKind {
    /// It computes.
    Compute,
    /// It draws.
    Graphics,
    /// It does both.
    Both,
}

impl ProcessKind {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Graphics => "graphics",
            Self::Both => "both",
        }
    }
}

/// One process on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuProcess {
    /// The process id as the driver sees it: the host's, also from inside a container.
    pub pid: u32,
    /// The program, where it is known.
    pub name: Option<String>,
    /// Memory that it holds on this device; `None` where the driver does not say.
    pub used: Option<Bytes>,
    /// What it does there.
    pub kind: Option<ProcessKind>,
    /// The container it runs in, where it is known.
    pub container: Option<String>,
}

impl GpuProcess {
    /// A process of which nothing but its id is known.
    pub fn unnamed(pid: u32) -> Self {
        Self { pid, name: None, used: None, kind: None, container: None }
    }
}

/// Figures of one device that are dear to read or slow to change: they are read about once a second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlowReading {
    /// The energy counter since the driver was loaded, in millijoules. Where its call is dear it is not in each reading.
    pub energy_mj: Option<u64>,
    /// Processes on the device; `None` where the source cannot list them, empty where there are none.
    pub processes: Option<Vec<GpuProcess>>,
    /// Bytes sent over PCIe since some instant; only differences mean something.
    pub pcie_tx_bytes: Option<u64>,
    /// Bytes received over PCIe since some instant.
    pub pcie_rx_bytes: Option<u64>,
    /// Bytes per second sent over PCIe, where the source samples a rate instead of counting.
    pub pcie_tx_bytes_per_s: Option<u64>,
    /// Bytes per second received over PCIe.
    pub pcie_rx_bytes_per_s: Option<u64>,
    /// Bytes sent over NVLink or XGMI since some instant, all links together.
    pub link_tx_bytes: Option<u64>,
    /// Bytes received over NVLink or XGMI since some instant.
    pub link_rx_bytes: Option<u64>,
    /// Memory errors that were corrected since the driver was loaded.
    pub ecc_corrected: Option<u64>,
    /// Memory errors that were not.
    pub ecc_uncorrected: Option<u64>,
    /// Power limit in force, in milliwatts.
    pub power_limit_mw: Option<u32>,
    /// The highest utilisation that the driver's own buffer held since it was read last, in percent. Not in each
    /// reading where its call is dear.
    pub buffered_utilization_max_pct: Option<u8>,
    /// The highest power that the driver's own buffer held since it was read last, in milliwatts.
    pub buffered_power_max_mw: Option<u32>,
    /// The mean power that the driver's own buffer held since it was read last, in milliwatts.
    pub buffered_power_mean_mw: Option<u32>,
}

/// A slow reading with its time and device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowSample {
    /// Time since the timeline's anchor.
    pub at: Duration,
    /// Which device.
    pub device: DeviceIndex,
    /// What it said.
    pub reading: SlowReading,
}

/// A reading with its time, tick and device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Time since the timeline's anchor.
    pub at: Duration,
    /// The sampling instant it belongs to; all devices read together share it.
    pub tick: u32,
    /// Which device.
    pub device: DeviceIndex,
    /// What it said.
    pub reading: Reading,
}
