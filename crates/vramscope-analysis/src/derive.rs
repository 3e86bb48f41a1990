//! Timeline, facts and architecture meet: phases, the points of measurement, and the peak explained.

mod placement;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::allocator;
use crate::attribution::{Attribution, DeviceObservation, RankEvidence, attribute, placed};
use vramscope_core::{
    BreakdownError, Bytes, ComponentKind, DeviceIndex, LatencyResult, Milestone, Phase, Sample, SlowSample, Timeline,
    TimelineError, Window,
};

use crate::clock::{Alignment, LogClock};
use crate::evidence::allocator::AllocatorSnapshot;
use crate::evidence::gpu_log::{Clock, GpuLog};
use crate::evidence::marks::{ALLOCATED, Marks};
use crate::levels::{self, Levels, Steps};
use crate::phases::{self, HostMarks, Times};

pub(crate) use placement::{Placed, Placement};

/// What goes in beside the samples.
pub(crate) struct Inputs<'a> {
    pub(crate) ranks: RankEvidence<'a>,
    pub(crate) marks: Option<&'a Marks>,
    pub(crate) latency: Option<&'a LatencyResult>,
    pub(crate) warmup_iterations: Option<u64>,
    /// The engine's processes, where whoever ran it wrote them down.
    pub(crate) engine_pids: &'a [u32],
    /// The engine held its memory already when the recording began.
    pub(crate) was_there: bool,
    /// What PyTorch's allocator said of itself.
    pub(crate) snapshots: &'a [AllocatorSnapshot],
}

/// Memory in use at one instant, by device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) at: Duration,
    pub(crate) used: Vec<(DeviceIndex, Bytes)>,
}

impl Point {
    pub(crate) fn total(&self) -> Option<Bytes> {
        Bytes::checked_sum(self.used.iter().map(|(_, used)| *used))
    }

    pub(crate) fn of(&self, device: DeviceIndex) -> Option<Bytes> {
        // A point's devices are in order of their indexes.
        let place = self.used.partition_point(|(index, _)| *index < device);
        self.used.get(place).filter(|(index, _)| *index == device).map(|(_, used)| *used)
    }
}

/// A phase that a line of the log begins was there before the line was read: an engine that writes its log on a thread of its
/// own was seen to be up to 130 ms late, in which a small model is half loaded.
const LINE_LAG: Duration = Duration::from_millis(100);
/// Which share of what was allocated a level may have already that passes for the one before: buffers are not filled between
/// tensors, and a start may be so short that its one reading has the first of the weights.
const BEGUN: u64 = 50;

/// What comes out.
#[derive(Debug)]
pub(crate) struct Derived {
    /// The samples with the phases marked.
    pub(crate) timeline: Timeline,
    /// How the engine log's clock was lined up; `None` where it could not be.
    pub(crate) alignment: Option<Alignment>,
    /// Devices that were recorded, and on which the engine had no process.
    pub(crate) left_out: Vec<DeviceIndex>,
    /// Which rank is on which device.
    pub(crate) placement: Placement,
    /// Before the engine came; after it had gone, where the recording begins too late.
    pub(crate) baseline: Option<Point>,
    /// At the end of warm-up.
    pub(crate) post_warmup: Option<Point>,
    /// At the largest total while the engine lived.
    pub(crate) peak: Option<Point>,
    /// What was found in each device's samples.
    pub(crate) levels: Vec<(DeviceIndex, Levels)>,
    /// The peak explained.
    pub(crate) attribution: Option<Attribution>,
    /// Places of the engine that are none of the devices, or of which nothing tells which they are.
    pub(crate) apart: Vec<String>,
    /// Snapshots of the framework's allocator, laid on the timeline.
    pub(crate) allocator: Vec<allocator::Joined>,
    /// When all that the engine holds from its start on was allocated, where whoever ran it wrote it down.
    allocated: Option<Duration>,
}

/// What can go wrong: sums that do not fit, or marks out of order, which would be a fault of this program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeriveError {
    /// The peak cannot be explained.
    #[error(transparent)]
    Breakdown(#[from] BreakdownError),
    /// The phases cannot be marked.
    #[error(transparent)]
    Timeline(#[from] TimelineError),
}

/// Derives everything that a GPU log can say, with or without an engine log.
///
/// # Errors
/// [`DeriveError`] if sums do not fit 64 bits.
pub(crate) fn derive(gpu: &GpuLog, inputs: &Inputs<'_>) -> Result<Derived, DeriveError> {
    let (own, left_out) = of_the_engine(gpu, inputs);
    let gpu = own.as_ref().unwrap_or(gpu);
    let facts = inputs.ranks.facts;
    let clock = LogClock::fit(facts, gpu);
    let host = host_marks(inputs.marks, gpu);
    let times = Times {
        timeline: &gpu.timeline,
        facts,
        clock,
        host,
        latency: inputs.latency,
        warmup_iterations: inputs.warmup_iterations,
    };
    let mut timeline = gpu.timeline.clone();
    // A recording that has its phases marked by whoever ran the engine needs no guess.
    if timeline.marks().is_empty() {
        for mark in phases::marks(&times) {
            timeline.mark(mark)?;
        }
    }
    let end_of = |phase| timeline.window(phase).and_then(|w| last_tick(&timeline, w));
    let baseline = baseline(
        &timeline,
        end_of(Phase::Baseline),
        end_of(Phase::Settle).or_else(|| last_tick(&timeline, Window::ALL)),
    );
    let peak = peak(&timeline);
    let mut derived = Derived {
        alignment: clock.map(|c| c.alignment),
        left_out,
        placement: Placement::of(facts, baseline.as_ref(), peak.as_ref()),
        post_warmup: end_of(Phase::Warmup),
        baseline,
        peak,
        levels: Vec::new(),
        attribution: None,
        apart: Vec::new(),
        allocator: Vec::new(),
        allocated: None,
        timeline,
    };
    let anchor = gpu.timeline.anchor_unix_ns().filter(|_| gpu.clock == Clock::Utc);
    let (timeline, peak) = (&derived.timeline, derived.peak.as_ref());
    derived.allocator = allocator::join(inputs.snapshots, timeline, anchor, &derived.placement, peak);
    derived.allocated = instant(inputs.marks, gpu, ALLOCATED);
    derived.explain(&inputs.ranks, clock)?;
    Ok(derived)
}

/// The log of the devices on which the driver listed a process of the engine, if those are some of many, and the others.
/// What other programs do on other devices is no part of the run. A driver may number processes otherwise than this machine,
/// as it does for a container; a number that is another process's by chance is told by memory that does not rise. That of
/// an engine that ran already need not rise.
fn of_the_engine(gpu: &GpuLog, inputs: &Inputs<'_>) -> (Option<GpuLog>, Vec<DeviceIndex>) {
    let pids: BTreeSet<u32> = inputs.engine_pids.iter().copied().collect();
    let of_engine = |slow: &&SlowSample| slow.reading.processes.iter().flatten().any(|p| pids.contains(&p.pid));
    let own: BTreeSet<DeviceIndex> = gpu.timeline.slow_samples().iter().filter(of_engine).map(|s| s.device).collect();
    let all = gpu.timeline.devices().iter().map(|device| device.index);
    let others: Vec<DeviceIndex> = all.filter(|device| !own.contains(device)).collect();
    let used = gpu.timeline.used_by_device(Window::ALL);
    let rises = |device: &DeviceIndex| {
        let span = used.get(device).and_then(|used| used.max.checked_sub(used.min));
        span.is_some_and(|span| span >= placement::LEAST_RISE)
    };
    if others.is_empty() || own.is_empty() || !(inputs.was_there || own.iter().any(rises)) {
        return (None, Vec::new());
    }
    (Some(GpuLog { timeline: gpu.timeline.of_devices(&own), ..gpu.clone() }), others)
}

impl Derived {
    /// Explains the peak, device by device.
    fn explain(&mut self, evidence: &RankEvidence<'_>, clock: Option<LogClock>) -> Result<(), DeriveError> {
        let Some(peak) = &self.peak else { return Ok(()) };
        let placed = placed::is_placed(evidence.facts.engine);
        let apart_from_log = placed::starts_runners(evidence.facts.engine);
        let laid = placed.then(|| placed::lay(evidence.facts, self.timeline.devices(), &self.placement.active));
        let captured = || clock?.at(evidence.facts.last_event(Milestone::GraphsCaptured)?.at?);
        let until_captured =
            captured().map(|end| Window { start: peak.at, end }).filter(|after| after.start < after.end);
        let mut devices = Vec::new();
        let mut apart = self.timeline.by_device(until_shutdown(&self.timeline));
        for &(device, used) in &peak.used {
            let baseline = self.baseline.as_ref().and_then(|b| b.of(device)).unwrap_or(Bytes::ZERO);
            let ranks = self.placement.ranks_on(device);
            let on = laid.as_ref().map(|laid| laid.on.iter().find(|(on, ..)| *on == device));
            let buffers = on.map(|on| on.map(|(_, buffers, _)| buffers.clone()).unwrap_or_default());
            let place = on.flatten().and_then(|(.., place)| place.clone());
            let size = |kind| evidence.part_of(&ranks, kind).map(|amount| amount.size);
            // States of recurrent layers are allocated in one stroke with the pool.
            let states = size(ComponentKind::RecurrentState).unwrap_or(Bytes::ZERO);
            let pool = size(ComponentKind::KvCache).and_then(|pool| pool.checked_add(states));
            let of_runner = buffers.as_deref().filter(|_| apart_from_log);
            let weights = of_runner.and_then(|buffers| placed::weights(evidence.facts, buffers));
            let steps = Steps { baseline, weights: weights.or_else(|| size(ComponentKind::Weights)), pool };
            let samples = apart.remove(&device).unwrap_or_default();
            let found = levels::find(&samples, steps);
            // A pool that is allocated after the peak explains another one.
            let after_pool = found.after_pool.filter(|level| level.at <= peak.at).map(|level| level.used);
            let touched = buffers.as_deref().and_then(|buffers| placed::touched_at_once(evidence.facts, buffers));
            let by_log = || self.before_load(device, touched).filter(|_| placed && !apart_from_log);
            let before_load = found.before_load.or_else(by_log);
            self.levels.push((device, found));
            // What passed before all was allocated is no part of what came after.
            let peak_is_later = self.allocated.is_some_and(|at| at <= peak.at);
            let allocated = || self.after_allocation(device).filter(|_| placed && peak_is_later);
            let after_pool = after_pool.or_else(allocated);
            let captured_later = until_captured.and_then(|after| rise(self.timeline.of_device(device, after)));
            let known = self.timeline.device(device).filter(|device| device.reserved.is_some());
            let usable = known.and_then(vramscope_core::Device::usable);
            let (peak, ranks) = (used, if placed { Vec::new() } else { ranks });
            devices.push(DeviceObservation {
                device,
                ranks,
                peak,
                baseline,
                before_load,
                after_pool,
                captured_later,
                usable,
                buffers,
                place,
                allocator: allocator::at_the_peak(&self.allocator, device),
            });
        }
        self.attribution = Some(attribute(evidence, &devices)?);
        self.apart = laid.map(|laid| laid.apart).unwrap_or_default();
        Ok(())
    }

    /// What a device held at the first reading behind the engine's allocations.
    fn after_allocation(&self, device: DeviceIndex) -> Option<Bytes> {
        let at = self.allocated?;
        self.timeline.ticks().find(|tick| tick.first().is_some_and(|s| s.at >= at)).map(point)?.of(device)
    }

    /// What a device held when weights began to load, where the phases say when that was: the last reading ahead of it from
    /// which memory rises by nearly all that was `allocated` and filled then; where that is not to be seen, the last one ahead of
    /// it by more than lines are late.
    fn before_load(&self, device: DeviceIndex, allocated: Option<Bytes>) -> Option<Bytes> {
        let (launch, load) = (self.timeline.window(Phase::Launch)?, self.timeline.window(Phase::Load)?);
        let ahead = Window { start: launch.start, end: load.start };
        let begun = Bytes::new(allocated.map_or(0, Bytes::get) / BEGUN);
        let most = || self.after_allocation(device)?.checked_sub(allocated?)?.checked_add(begun);
        let rising = most().and_then(|most| {
            let readings = self.timeline.of_device(device, ahead).map(|sample| sample.reading.used);
            readings.filter(|used| *used <= most).last()
        });
        let in_time = || {
            let end = load.start.checked_sub(LINE_LAG)?;
            last_tick(&self.timeline, Window { end, ..ahead })?.of(device)
        };
        rising.or_else(in_time)
    }
}

impl Derived {
    /// What was found in a device's samples.
    pub(crate) fn levels_of(&self, device: DeviceIndex) -> Option<&Levels> {
        self.levels.iter().find(|(index, _)| *index == device).map(|(_, levels)| levels)
    }

    /// What a reader must know of how the two logs were brought together, if there are two.
    pub(crate) fn notes(&self, has_log: bool, by_place: bool) -> Vec<String> {
        let hours = |seconds: i64| {
            format!("{}{}:{:02}", if seconds < 0 { "-" } else { "+" }, seconds.abs() / 3600, seconds.abs() % 3600 / 60)
        };
        let clock = self.alignment.and_then(|alignment| match alignment {
            Alignment::SameClock => None,
            Alignment::TimeZone(s) => Some(format!("the engine log's clock is {} h from the GPU log's", hours(-s))),
            Alignment::ByShape(s) => Some(format!(
                "the engine log's clock is taken to be {} h from the GPU log's, where memory rises as the log says",
                hours(-s)
            )),
        });
        let placed = match self.placement.placed {
            Placed::ByDevices if has_log && !by_place => {
                Some("the engine log does not say how many ranks there are; each device that rises is one".to_owned())
            }
            Placed::Shared if !by_place && self.placement.ranks != Some(1) => {
                Some("all ranks share one device".to_owned())
            }
            _ => None,
        };
        let left_out = (!self.left_out.is_empty()).then(|| {
            let names: Vec<String> = self.left_out.iter().map(|device| device.to_string()).collect();
            format!("recorded too, and left out since the engine had no process there: GPU {}", names.join(", "))
        });
        let apart = (!self.apart.is_empty()).then(|| {
            let names = self.apart.join(", ");
            format!("the engine holds memory on {names}, and nothing tells which of the recorded devices that is: it is in no part")
        });
        clock.into_iter().chain(placed).chain(left_out).chain(apart).collect()
    }
}

/// From the lowest of these readings to the last one.
fn rise<'s>(samples: impl Iterator<Item = &'s Sample>) -> Option<Bytes> {
    let used: Vec<Bytes> = samples.map(|sample| sample.reading.used).collect();
    used.last()?.checked_sub(*used.iter().min()?)
}

/// From the engine's first sign to its last; everything where neither is marked.
fn lifetime(timeline: &Timeline) -> Window {
    let start = [Phase::Launch, Phase::Load, Phase::Ready].iter().find_map(|&p| timeline.window(p)).map(|w| w.start);
    let end = timeline.window(Phase::Settle).map(|w| w.start);
    Window { start: start.unwrap_or(Window::ALL.start), end: end.unwrap_or(Window::ALL.end) }
}

/// From the engine's first sign until it is told to end: what it gives back then is no level on which it stood.
fn until_shutdown(timeline: &Timeline) -> Window {
    let life = lifetime(timeline);
    let end = timeline.window(Phase::Shutdown).map_or(life.end, |shutdown| shutdown.start.min(life.end));
    Window { end, ..life }
}

/// What was in use before the engine came. Where the recording has no such time, or another process came between its
/// last tick and the engine's start, the level after the engine stands for it: the latter shows when memory never was
/// below that level while the engine was starting, and is back on it at the end.
fn baseline(timeline: &Timeline, before: Option<Point>, after: Option<Point>) -> Option<Point> {
    let settled = timeline.window(Phase::Settle).and(after.clone());
    let Some(before) = before else { return settled };
    let level = |point: &Point| point.total().unwrap_or(Bytes::ZERO);
    let launch = timeline.window(Phase::Launch).and_then(|w| timeline.total_used(w)).map(|s| s.min);
    let came_between = after.filter(|after| {
        let higher = level(after).checked_sub(level(&before)).is_some_and(|more| more > phases::RETURNED_WITHIN);
        higher && launch.is_some_and(|least| least >= level(after))
    });
    Some(came_between.unwrap_or(before))
}

/// The largest total while the engine lived, with each device's part in it.
fn peak(timeline: &Timeline) -> Option<Point> {
    let window = lifetime(timeline);
    let top = timeline.peak(window).or_else(|| timeline.peak(Window::ALL))?;
    timeline.ticks().find(|tick| tick.first().is_some_and(|s| s.at == top.at)).map(point)
}

/// The last complete tick of a window.
fn last_tick(timeline: &Timeline, window: Window) -> Option<Point> {
    let devices = timeline.devices().len();
    let inside = |tick: &&[Sample]| tick.len() == devices && tick.first().is_some_and(|s| window.contains(s.at));
    timeline.ticks().filter(inside).last().map(point)
}

fn point(tick: &[Sample]) -> Point {
    let mut used: Vec<(DeviceIndex, Bytes)> = tick.iter().map(|s| (s.device, s.reading.used)).collect();
    used.sort_unstable();
    Point { at: tick.first().map_or(Duration::ZERO, |s| s.at), used }
}

/// An instant that the host wrote down, on the timeline.
fn instant(marks: Option<&Marks>, gpu: &GpuLog, name: &str) -> Option<Duration> {
    let anchor = gpu.timeline.anchor_unix_ns().filter(|_| gpu.clock == Clock::Utc)?;
    let since = marks?.unix_ns(name)?.checked_sub(anchor)?;
    u64::try_from(since).ok().map(Duration::from_nanos)
}

/// The host's own marks on the timeline. They are of the wall clock, so they are of use only where the samples are too.
fn host_marks(marks: Option<&Marks>, gpu: &GpuLog) -> HostMarks {
    let at = |name: &str| instant(marks, gpu, name);
    HostMarks { launch: at("child_start"), ready: at("engine_ready"), work_ended: at("bench_end") }
}
