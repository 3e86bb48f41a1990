//! Between the file's lines and the nouns of `vramscope-core`.

use std::time::Duration;

use vramscope_core::{
    Bytes, Device, DeviceIndex, GapCause, GpuProcess, Partition, Phase, PhaseMark, ProcessKind, Reading, SlowReading,
    SlowSample, Vendor, Window,
};
use vramscope_gpu::BackendInfo;

use super::lines;

/// Between monotonic time since the anchor and the file's timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchor(i64);

impl Anchor {
    pub(crate) fn new(unix_ns: Option<i64>) -> Self {
        Self(unix_ns.unwrap_or(0))
    }

    /// The timestamp of an instant; it saturates in the year 2262.
    pub(crate) fn stamp(self, at: Duration) -> i64 {
        let since = i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
        self.0.saturating_add(since)
    }

    /// The instant of a timestamp, or `None` if it lies before the anchor.
    pub(crate) fn at(self, timestamp_ns: i64) -> Option<Duration> {
        let since = timestamp_ns.checked_sub(self.0)?;
        u64::try_from(since).ok().map(Duration::from_nanos)
    }
}

impl lines::Backend {
    /// States a backend.
    pub fn of(name: &str, info: &BackendInfo) -> Self {
        Self {
            name: name.to_owned(),
            driver_version: info.driver_version.clone(),
            library: info.library.clone(),
            library_version: info.library_version.clone(),
            power_kind: info.power.map(|kind| kind.name().to_owned()),
            reserved_apart: info.reserved_apart,
            notes: info.notes.clone(),
        }
    }
}

impl From<&Device> for lines::Device {
    fn from(device: &Device) -> Self {
        Self {
            gpu_index: device.index.0,
            uuid: device.uuid.clone(),
            name: device.name.clone(),
            pci_bus_id: device.pci_bus_id.clone(),
            vendor: device.vendor.map(|vendor| vendor.name().to_owned()),
            total_bytes: device.total.map(Bytes::get),
            reserved_bytes: device.reserved.map(Bytes::get),
            driver_version: device.driver.clone(),
            partition: device.partition.as_ref().map(partition_text),
        }
    }
}

impl From<&lines::Device> for Device {
    fn from(line: &lines::Device) -> Self {
        let vendor = |name: &String| Vendor::ALL.into_iter().find(|vendor| vendor.name() == name);
        Self {
            index: DeviceIndex(line.gpu_index),
            uuid: line.uuid.clone(),
            name: line.name.clone(),
            pci_bus_id: line.pci_bus_id.clone(),
            vendor: line.vendor.as_ref().and_then(vendor),
            total: line.total_bytes.map(Bytes::new),
            reserved: line.reserved_bytes.map(Bytes::new),
            driver: line.driver_version.clone(),
            partition: line.partition.as_deref().and_then(partition),
        }
    }
}

fn partition_text(partition: &Partition) -> String {
    match partition {
        Partition::MigSlice { parent, gpu_instance, compute_instance } => {
            format!("mig {parent}/{gpu_instance}/{compute_instance}")
        }
        Partition::Amd { compute, memory } => {
            let text = |mode: &Option<String>| mode.clone().unwrap_or_default();
            format!("amd {}/{}", text(compute), text(memory))
        }
        _ => "mig".into(),
    }
}

fn partition(text: &str) -> Option<Partition> {
    let mode = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut words = text.splitn(2, ' ');
    match (words.next(), words.next()) {
        (Some("mig"), None) => Some(Partition::MigParent),
        (Some("mig"), Some(place)) => {
            let mut numbers = place.split('/').map(str::parse);
            let mut next = || numbers.next().and_then(Result::ok);
            Some(Partition::MigSlice { parent: DeviceIndex(next()?), gpu_instance: next()?, compute_instance: next()? })
        }
        (Some("amd"), Some(modes)) => {
            let (compute, memory) = modes.split_once('/')?;
            Some(Partition::Amd { compute: mode(compute), memory: mode(memory) })
        }
        _ => None,
    }
}

pub(crate) fn sample_line(anchor: Anchor, sample: &vramscope_core::Sample) -> lines::Sample {
    let reading = &sample.reading;
    lines::Sample {
        timestamp_ns: anchor.stamp(sample.at),
        tick: sample.tick,
        gpu_index: sample.device.0,
        used_bytes: reading.used.get(),
        total_bytes: reading.total.map(Bytes::get),
        reserved_bytes: reading.reserved.map(Bytes::get),
        power_mw: reading.power_mw,
        power_avg_mw: reading.power_average_mw,
        temp_c: reading.temperature_c,
        temp_mem_c: reading.memory_temperature_c,
        util_gpu_pct: reading.utilization_pct,
        util_mem_pct: reading.memory_utilization_pct,
        sm_clock_mhz: reading.sm_clock_mhz,
        mem_clock_mhz: reading.memory_clock_mhz,
        energy_mj: reading.energy_mj,
        throttle: reading.throttle,
    }
}

/// `None` if the line's time lies before the anchor.
pub(crate) fn sample(anchor: Anchor, line: &lines::Sample) -> Option<vramscope_core::Sample> {
    let reading = Reading {
        used: Bytes::new(line.used_bytes),
        total: line.total_bytes.map(Bytes::new),
        reserved: line.reserved_bytes.map(Bytes::new),
        power_mw: line.power_mw,
        power_average_mw: line.power_avg_mw,
        temperature_c: line.temp_c,
        memory_temperature_c: line.temp_mem_c,
        utilization_pct: line.util_gpu_pct,
        memory_utilization_pct: line.util_mem_pct,
        sm_clock_mhz: line.sm_clock_mhz,
        memory_clock_mhz: line.mem_clock_mhz,
        energy_mj: line.energy_mj,
        throttle: line.throttle,
    };
    let at = anchor.at(line.timestamp_ns)?;
    Some(vramscope_core::Sample { at, tick: line.tick, device: DeviceIndex(line.gpu_index), reading })
}

pub(crate) fn slow_line(anchor: Anchor, sample: &SlowSample) -> lines::Slow {
    let reading = &sample.reading;
    lines::Slow {
        timestamp_ns: anchor.stamp(sample.at),
        gpu_index: sample.device.0,
        energy_mj: reading.energy_mj,
        processes: reading.processes.as_ref().map(|list| list.iter().map(process_line).collect()),
        pcie_tx_bytes: reading.pcie_tx_bytes,
        pcie_rx_bytes: reading.pcie_rx_bytes,
        pcie_tx_bytes_per_s: reading.pcie_tx_bytes_per_s,
        pcie_rx_bytes_per_s: reading.pcie_rx_bytes_per_s,
        link_tx_bytes: reading.link_tx_bytes,
        link_rx_bytes: reading.link_rx_bytes,
        ecc_corrected: reading.ecc_corrected,
        ecc_uncorrected: reading.ecc_uncorrected,
        power_limit_mw: reading.power_limit_mw,
        buffered_util_max_pct: reading.buffered_utilization_max_pct,
        buffered_power_max_mw: reading.buffered_power_max_mw,
        buffered_power_mean_mw: reading.buffered_power_mean_mw,
    }
}

/// `None` if the line's time lies before the anchor.
pub(crate) fn slow(anchor: Anchor, line: &lines::Slow) -> Option<SlowSample> {
    let reading = SlowReading {
        energy_mj: line.energy_mj,
        processes: line.processes.as_ref().map(|list| list.iter().map(process).collect()),
        pcie_tx_bytes: line.pcie_tx_bytes,
        pcie_rx_bytes: line.pcie_rx_bytes,
        pcie_tx_bytes_per_s: line.pcie_tx_bytes_per_s,
        pcie_rx_bytes_per_s: line.pcie_rx_bytes_per_s,
        link_tx_bytes: line.link_tx_bytes,
        link_rx_bytes: line.link_rx_bytes,
        ecc_corrected: line.ecc_corrected,
        ecc_uncorrected: line.ecc_uncorrected,
        power_limit_mw: line.power_limit_mw,
        buffered_utilization_max_pct: line.buffered_util_max_pct,
        buffered_power_max_mw: line.buffered_power_max_mw,
        buffered_power_mean_mw: line.buffered_power_mean_mw,
    };
    Some(SlowSample { at: anchor.at(line.timestamp_ns)?, device: DeviceIndex(line.gpu_index), reading })
}

fn process_line(process: &GpuProcess) -> lines::Process {
    lines::Process {
        pid: process.pid,
        name: process.name.clone(),
        used_bytes: process.used.map(Bytes::get),
        kind: process.kind.map(|kind| kind.name().to_owned()),
        container: process.container.clone(),
    }
}

fn process(line: &lines::Process) -> GpuProcess {
    let kinds = [ProcessKind::Compute, ProcessKind::Graphics, ProcessKind::Both];
    GpuProcess {
        pid: line.pid,
        name: line.name.clone(),
        used: line.used_bytes.map(Bytes::new),
        kind: line.kind.as_ref().and_then(|name| kinds.into_iter().find(|kind| kind.name() == name)),
        container: line.container.clone(),
    }
}

pub(crate) fn mark_line(anchor: Anchor, mark: PhaseMark) -> lines::Mark {
    lines::Mark { timestamp_ns: anchor.stamp(mark.at), phase: mark.phase.name().to_owned() }
}

pub(crate) fn mark(anchor: Anchor, line: &lines::Mark) -> Option<PhaseMark> {
    let phase: Phase = line.phase.parse().ok()?;
    Some(PhaseMark { phase, at: anchor.at(line.timestamp_ns)? })
}

pub(crate) fn gap_line(anchor: Anchor, gap: &vramscope_core::Gap, error: Option<String>) -> lines::Gap {
    lines::Gap {
        timestamp_ns: anchor.stamp(gap.window.start),
        end_ns: anchor.stamp(gap.window.end),
        gpu_index: gap.device.map(|device| device.0),
        cause: gap.cause.name().to_owned(),
        missed: gap.missed,
        error,
    }
}

pub(crate) fn gap(anchor: Anchor, line: &lines::Gap) -> Option<vramscope_core::Gap> {
    let cause = GapCause::ALL.into_iter().find(|cause| cause.name() == line.cause)?;
    let window = Window { start: anchor.at(line.timestamp_ns)?, end: anchor.at(line.end_ns)? };
    Some(vramscope_core::Gap { window, device: line.gpu_index.map(DeviceIndex), cause, missed: line.missed })
}
