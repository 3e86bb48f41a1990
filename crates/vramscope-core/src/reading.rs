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
