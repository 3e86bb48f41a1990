//! What a recording looks like at a moment: the one source of the view, the lines and the metrics.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use vramscope_core::{Bytes, Device, DeviceIndex, GpuProcess, Reading, Sample, SlowReading, SlowSample};
use vramscope_sampler::{Live, LiveDevice};
use vramscope_timeline::Metric;
use vramscope_timeline::document::Cost;

use super::target::Membership;
use crate::containers::Containers;

/// A reading that is older is not shown as if it were of now: at least this old, and ten periods.
const STALE: Duration = Duration::from_secs(3);

/// Looks at a recording. Containers and programs of processes are found out here, once a reading.
pub(super) struct Watch {
    live: Arc<Mutex<Live>>,
    period: Duration,
    containers: Containers,
    membership: Option<Membership>,
    seen: Vec<Seen>,
}

/// The processes of a device at its last slow reading.
struct Seen {
    device: DeviceIndex,
    at: Duration,
    processes: Option<Vec<ProcessRow>>,
    own: Option<Bytes>,
    own_peak: Option<Bytes>,
}

/// A process on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProcessRow {
    pub(super) pid: u32,
    pub(super) program: Option<String>,
    pub(super) container: Option<String>,
    pub(super) used: Option<Bytes>,
    /// Whether it belongs to the process or container that was asked for.
    pub(super) own: bool,
}

/// The state of a recording.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) now: Duration,
    pub(super) ticks: u64,
    pub(super) missed: u64,
    pub(super) dropped: u64,
    pub(super) gaps: u64,
    /// Since how long the driver has not answered, where that is too long.
    pub(super) stalled: Option<Duration>,
    pub(super) cost: Option<Cost>,
    pub(super) devices: Vec<DeviceMoment>,
}

/// One device.
#[derive(Debug, Clone)]
pub(super) struct DeviceMoment {
    pub(super) device: Device,
    /// What it says now; `None` before the first reading, when it is lost, and when it has not answered for a while.
    pub(super) reading: Option<Reading>,
    /// The last slow reading, under the same condition.
    pub(super) slow: Option<SlowReading>,
    /// The energy counter when it was read last, which is not with each reading; under the same condition.
    pub(super) energy_mj: Option<u64>,
    /// The last slow reading that had counters, which not each has; under the same condition.
    pub(super) counters: Option<SlowReading>,
    /// When memory in use was largest.
    pub(super) peak: Option<Sample>,
    /// The highest power so far, in milliwatts.
    pub(super) most_power_mw: Option<u64>,
    pub(super) failed: u64,
    pub(super) lost: Option<String>,
    /// `None` where the source lists none.
    pub(super) processes: Option<Vec<ProcessRow>>,
    /// Memory of the process or container that was asked for, and its largest so far.
    pub(super) own: Option<Bytes>,
    pub(super) own_peak: Option<Bytes>,
}

/// The last minute of a device in equal steps: the largest value of each, `None` where nothing was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History {
    pub(super) memory: Vec<Option<u64>>,
    pub(super) power: Vec<Option<u64>>,
    pub(super) utilization: Vec<Option<u64>>,
}

impl Watch {
    pub(super) fn new(
        live: Arc<Mutex<Live>>,
        period: Duration,
        containers: Containers,
        membership: Option<Membership>,
    ) -> Self {
        Self { live, period, containers, membership, seen: Vec::new() }
    }

    /// Whose memory is told apart, from now on.
    pub(super) fn follow(&mut self, membership: Membership) {
        self.membership = Some(membership);
    }

    /// The state now.
    pub(super) fn look(&mut self) -> Moment {
        let mut slow: Vec<SlowSample> = Vec::new();
        let mut moment = {
            let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            slow.extend(live.devices.iter().filter_map(|device| device.last_slow.clone()));
            let limit = STALE.max(self.period * 10);
            Moment {
                now: live.now,
                ticks: live.ticks,
                missed: live.missed,
                dropped: live.dropped,
                gaps: live.gaps,
                stalled: live.stalled,
                cost: live.cost.clone(),
                devices: live.devices.iter().map(|device| self::device(device, live.now, limit)).collect(),
            }
        };
        // Files and Docker are asked after the recording has been let go.
        slow.iter().for_each(|slow| self.notice(slow));
        for device in &mut moment.devices {
            if let Some(seen) = self.seen.iter().find(|seen| seen.device == device.device.index) {
                device.own_peak = seen.own_peak;
                if device.slow.is_some() {
                    (device.processes, device.own) = (seen.processes.clone(), seen.own);
                }
            }
        }
        moment
    }

    fn notice(&mut self, slow: &SlowSample) {
        let place = match self.seen.iter().position(|seen| seen.device == slow.device) {
            Some(place) if self.seen[place].at == slow.at => return,
            Some(place) => place,
            None => {
                let (processes, own, own_peak) = (None, None, None);
                self.seen.push(Seen { device: slow.device, at: slow.at, processes, own, own_peak });
                self.seen.len() - 1
            }
        };
        let rows = slow.reading.processes.as_ref().map(|list| list.iter().map(|process| self.row(process)).collect());
        let rows: Option<Vec<ProcessRow>> = rows;
        let own = rows.iter().flatten().filter(|row| row.own).filter_map(|row| row.used).reduce(|a, b| {
            // Two processes hold less than 2^64 bytes of one device.
            a.checked_add(b).unwrap_or(a.max(b))
        });
        let seen = &mut self.seen[place];
        (seen.at, seen.processes, seen.own) = (slow.at, rows, own);
        seen.own_peak = seen.own_peak.max(own);
    }

    fn row(&mut self, process: &GpuProcess) -> ProcessRow {
        let pid = process.pid;
        let program = process.name.clone().or_else(|| self.containers.program(pid));
        let own = self.membership.as_ref().is_some_and(|members| members.has(pid, &mut self.containers));
        let container = process.container.clone().or_else(|| self.containers.of(pid));
        ProcessRow { pid, program, container, used: process.used, own }
    }

    /// The last minute of each device in so many steps, at most.
    pub(super) fn history(&self, steps: usize) -> Vec<History> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.devices.iter().map(|device| history(&live, device.device.index, self.period, steps)).collect()
    }
}

fn device(live: &LiveDevice, now: Duration, limit: Duration) -> DeviceMoment {
    let fresh = |at: Duration, limit: Duration| live.lost.is_none() && now.saturating_sub(at) <= limit;
    let last = live.last.filter(|sample| fresh(sample.at, limit));
    // Slow readings come once a second, and are given the same patience on top of it.
    let slow = live.last_slow.as_ref().filter(|slow| fresh(slow.at, limit + Duration::from_secs(1)));
    let answers = last.is_some() || slow.is_some();
    DeviceMoment {
        device: live.device.clone(),
        energy_mj: live.energy_counts_mj.filter(|_| answers).map(|(_, last)| last),
        counters: live.last_counters.as_ref().filter(|_| answers).map(|slow| slow.reading.clone()),
        reading: last.map(|sample| sample.reading),
        slow: slow.map(|slow| slow.reading.clone()),
        peak: live.peak,
        most_power_mw: live.sketch(Metric::Power).max(),
        failed: live.failed,
        lost: live.lost.clone(),
        processes: None,
        own: None,
        own_peak: None,
    }
}

/// As much of the past is shown.
const SHOWN: Duration = Duration::from_secs(60);

fn history(live: &Live, device: DeviceIndex, period: Duration, steps: usize) -> History {
    let steps = steps.max(1);
    let length = (SHOWN / u32::try_from(steps).unwrap_or(u32::MAX)).max(Duration::from_millis(1));
    // Steps begin at whole multiples, so that a sample stays in its step while the picture moves on.
    let number = |at: Duration| u64::try_from(at.as_nanos() / length.as_nanos()).unwrap_or(u64::MAX);
    let newest = live.recent.back().map_or(live.now, |last| last.at.max(live.now));
    let first = (number(newest) + 1).saturating_sub(u64::try_from(steps).unwrap_or(u64::MAX));
    let mut found = History { memory: vec![None; steps], power: vec![None; steps], utilization: vec![None; steps] };
    // A sample speaks for the time until the next one, up to two and a half periods.
    let speaks = u64::try_from((period * 5 / 2).as_nanos() / length.as_nanos()).unwrap_or(u64::MAX);
    let mut before: Option<Sample> = None;
    for sample in live.recent.iter().filter(|sample| sample.device == device) {
        if let Some(before) = before {
            let (from, to) = (number(before.at) + 1, number(sample.at));
            (from..to.min(from.saturating_add(speaks)))
                .for_each(|step| raise(&mut found, first, step, &before.reading));
        }
        raise(&mut found, first, number(sample.at), &sample.reading);
        before = Some(*sample);
    }
    found
}

fn raise(history: &mut History, first: u64, step: u64, reading: &Reading) {
    let Some(place) = step.checked_sub(first).and_then(|place| usize::try_from(place).ok()) else { return };
    for (metric, row) in [
        (Metric::Used, &mut history.memory),
        (Metric::Power, &mut history.power),
        (Metric::Utilization, &mut history.utilization),
    ] {
        if let Some(cell) = row.get_mut(place) {
            *cell = (*cell).max(metric.of(reading));
        }
    }
}
