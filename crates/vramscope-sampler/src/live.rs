//! What is known of a recording while it is made.

use std::collections::VecDeque;
use std::time::Duration;

use vramscope_core::{Device, DeviceIndex, Sample, SlowReading, SlowSample};

use vramscope_timeline::Metric;
use vramscope_timeline::Sketch;
use vramscope_timeline::document::Cost;

/// The state of a recording: the last samples, statistics so far, and what went wrong. Its memory is bounded.
#[derive(Debug)]
#[non_exhaustive]
pub struct Live {
    /// The time since the recording began, at the last message.
    pub now: Duration,
    /// Ticks that were taken.
    pub ticks: u64,
    /// Ticks that came too late and were left out.
    pub missed: u64,
    /// Ticks that were taken but could not be kept.
    pub dropped: u64,
    /// Spans without samples, of whatever cause.
    pub gaps: u64,
    /// The devices, by index.
    pub devices: Vec<LiveDevice>,
    /// The samples of the last minute, or of as long as the recording keeps.
    pub recent: VecDeque<Sample>,
    /// What sampling has cost, stated every few seconds.
    pub cost: Option<Cost>,
    /// Since how long a driver call has not come back, if that is longer than it should be.
    pub stalled: Option<Duration>,
    /// Why nothing more is written, if so.
    pub write_failed: Option<String>,
}

/// One device of a recording.
#[derive(Debug)]
pub struct LiveDevice {
    /// Which device.
    pub device: Device,
    /// The last sample.
    pub last: Option<Sample>,
    /// The last slow reading.
    pub last_slow: Option<SlowSample>,
    /// The last slow reading that had a counter of energy or of bytes, which not each of them has.
    pub last_counters: Option<SlowSample>,
    /// The energy counter at the first and at the last reading that had it, in millijoules.
    pub energy_counts_mj: Option<(u64, u64)>,
    /// Why it is gone, if it is.
    pub lost: Option<String>,
    /// Readings that failed.
    pub failed: u64,
    /// When memory in use was largest.
    pub peak: Option<Sample>,
    sketches: Vec<Sketch>,
}

impl LiveDevice {
    pub(crate) fn new(device: Device) -> Self {
        Self {
            device,
            last: None,
            last_slow: None,
            last_counters: None,
            energy_counts_mj: None,
            lost: None,
            failed: 0,
            peak: None,
            sketches: Metric::ALL.into_iter().map(Sketch::new).collect(),
        }
    }

    /// Statistics of a figure so far.
    pub fn sketch(&self, metric: Metric) -> &Sketch {
        &self.sketches[metric.place()]
    }

    pub(crate) fn add(&mut self, sample: &Sample) {
        for metric in Metric::ALL {
            if let Some(value) = metric.of(&sample.reading) {
                self.sketches[metric.place()].record(value);
            }
        }
        if self.peak.is_none_or(|peak| sample.reading.used > peak.reading.used) {
            self.peak = Some(*sample);
        }
        self.count_energy(sample.reading.energy_mj);
        self.last = Some(*sample);
    }

    pub(crate) fn add_slow(&mut self, sample: SlowSample) {
        self.count_energy(sample.reading.energy_mj);
        let SlowReading { energy_mj, pcie_tx_bytes, pcie_rx_bytes, link_tx_bytes, link_rx_bytes, .. } = sample.reading;
        if [energy_mj, pcie_tx_bytes, pcie_rx_bytes, link_tx_bytes, link_rx_bytes].iter().any(Option::is_some) {
            self.last_counters = Some(sample.clone());
        }
        self.last_slow = Some(sample);
    }

    fn count_energy(&mut self, counter_mj: Option<u64>) {
        if let Some(count) = counter_mj {
            self.energy_counts_mj = Some((self.energy_counts_mj.map_or(count, |(first, _)| first), count));
        }
    }

    /// Energy used since the recording began, by the device's counter, in millijoules.
    pub fn energy_mj(&self) -> Option<u64> {
        let (first, last) = self.energy_counts_mj?;
        last.checked_sub(first)
    }
}

impl Live {
    pub(crate) fn new(devices: &[Device]) -> Self {
        Self {
            now: Duration::ZERO,
            ticks: 0,
            missed: 0,
            dropped: 0,
            gaps: 0,
            devices: devices.iter().cloned().map(LiveDevice::new).collect(),
            recent: VecDeque::new(),
            cost: None,
            stalled: None,
            write_failed: None,
        }
    }

    /// One device.
    pub fn device(&self, device: DeviceIndex) -> Option<&LiveDevice> {
        self.devices.iter().find(|live| live.device.index == device)
    }

    pub(crate) fn device_mut(&mut self, device: DeviceIndex) -> Option<&mut LiveDevice> {
        self.devices.iter_mut().find(|live| live.device.index == device)
    }
}
