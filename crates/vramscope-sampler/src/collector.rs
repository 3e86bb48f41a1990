//! The one place where everything that was read comes together: timeline, gaps, statistics, files, streams.

mod gaps;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vramscope_core::{Device, DeviceIndex, Gap, GapCause, PhaseMark, Sample, SlowSample, Timeline, Window};
use vramscope_gpu::{CallCost, GpuError};

use crate::clock::{Clock, nanoseconds, thread_cpu};
use crate::lane::{LaneState, Message, Part, Parts, Row, SlowReport, Speed, TickReport};
use crate::live::Live;
use crate::sampler::Keep;
use crate::stream::Listeners;
use gaps::DeviceGaps;
use vramscope_timeline::document::{
    Call, Clock as ClockLine, Cost, End, Ending, Failure, Header, Line, Percentiles, TimelineReport,
};
use vramscope_timeline::{AnalysisOptions, Event, Item, RunningAnalysis, Sink, Sketch};

/// Files are flushed this often; a kill loses no more.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// The wall clock and the cost are stated this often.
const STATE_EVERY: Duration = Duration::from_secs(10);
/// The cost is counted up for live views this often: all of its quantiles are looked for in their sketches.
const COST_EVERY: Duration = Duration::from_secs(5);
/// Ticks that wait for another source's part of them, at most.
const MAX_PENDING: usize = 64;
/// Gaps and marks that a recording without a whole timeline keeps in memory, at most.
const MAX_KEPT_GAPS: usize = 10_000;
/// A minute is the longest lateness that is told apart from longer ones.
const MOST_LATE_NS: u64 = 60_000_000_000;

/// What a recording became.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// The samples that were kept, with all marks and gaps.
    pub timeline: Timeline,
    /// What sampling cost.
    pub cost: Cost,
    /// How it ended.
    pub end: End,
    /// Its statistics, where the sampler was to keep them.
    pub summary: Option<TimelineReport>,
}

/// What the collector needs to know of a recording.
pub(crate) struct Setup {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) header: Header,
    pub(crate) devices: Vec<Device>,
    /// The devices of each source.
    pub(crate) lanes: Vec<Vec<Device>>,
    /// The reading threads, for their processor time.
    pub(crate) states: Vec<(usize, Speed, Arc<LaneState>)>,
    pub(crate) period: Duration,
    pub(crate) keep: Keep,
    pub(crate) summary: Option<AnalysisOptions>,
    pub(crate) sink: Option<Box<dyn Sink>>,
    pub(crate) live: Arc<Mutex<Live>>,
    pub(crate) listeners: Listeners,
}

/// Collects one recording.
pub(crate) struct Collector {
    setup: Setup,
    timeline: Timeline,
    summary: Option<RunningAnalysis>,
    ring: VecDeque<SlowSample>,
    write_error: Option<io::Error>,
    pending: BTreeMap<u64, Vec<Sample>>,
    seen: Vec<Option<u64>>,
    last_tick_at: Vec<Option<Duration>>,
    gaps: Vec<DeviceGaps>,
    lateness: Sketch,
    tick_time: Sketch,
    calls: BTreeMap<(usize, bool), Vec<CallCost>>,
    ticks: u64,
    missed: u64,
    dropped: u64,
    failed: u64,
    /// With what the parts of slow readings failed last, as long as they fail.
    slow_failed: BTreeMap<(DeviceIndex, Part), GpuError>,
    next_flush: Duration,
    next_state: Duration,
    next_cost: Duration,
    cpu_before: Option<Duration>,
}

impl Collector {
    /// Begins; writes the header.
    pub(crate) fn new(mut setup: Setup) -> Self {
        let begun = setup.sink.as_mut().map(|sink| sink.begin(&setup.header));
        let mut timeline = Timeline::new(setup.header.anchor_unix_ns);
        setup.devices.iter().for_each(|device| timeline.describe(device.clone()));
        let lanes = setup.lanes.len();
        let gaps = setup.devices.iter().map(|device| DeviceGaps::new(device.index)).collect();
        let summary = setup.summary.map(|options| RunningAnalysis::new(&setup.header, &options));
        let mut collector = Self {
            timeline,
            summary,
            ring: VecDeque::new(),
            write_error: None,
            pending: BTreeMap::new(),
            seen: vec![None; lanes],
            last_tick_at: vec![None; lanes],
            gaps,
            lateness: Sketch::up_to(MOST_LATE_NS),
            tick_time: Sketch::up_to(MOST_LATE_NS),
            calls: BTreeMap::new(),
            ticks: 0,
            missed: 0,
            dropped: 0,
            failed: 0,
            slow_failed: BTreeMap::new(),
            next_flush: FLUSH_EVERY,
            next_state: Duration::ZERO,
            next_cost: Duration::ZERO,
            cpu_before: thread_cpu(),
            setup,
        };
        collector.note_write(begun.transpose().map(|_| ()));
        collector
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.setup.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a message. `Done` is for the caller to count.
    pub(crate) fn accept(&mut self, message: Message) {
        match message {
            Message::Tick(report) => self.tick(report),
            Message::Slow(report) => self.slow(report),
            Message::Calls { lane, speed, costs } => {
                self.calls.insert((lane, speed == Speed::Slow), costs);
            }
            Message::Mark(mark) => self.mark(mark),
            Message::Done { .. } => {}
        }
        self.keep_time();
    }

    fn tick(&mut self, report: TickReport) {
        let TickReport { lane, due, begin, end, dropped, rows } = report;
        self.lateness.record(nanoseconds(begin.saturating_sub(due.planned)));
        self.tick_time.record(nanoseconds(end.saturating_sub(begin)));
        let before = self.last_tick_at[lane].unwrap_or(Duration::ZERO);
        // Of the ticks since the last report some were never taken, and some were taken and had no room.
        for (cause, count) in [(GapCause::MissedTicks, due.missed), (GapCause::Dropped, dropped)] {
            if count > 0 {
                self.lane_gap(lane, Window { start: before, end: begin }, cause, count);
            }
        }
        self.missed += due.missed;
        self.dropped += dropped;
        self.last_tick_at[lane] = Some(begin);
        self.seen[lane] = Some(due.tick);
        let samples = rows.into_iter().filter_map(|row| self.row(due.tick, row)).collect::<Vec<_>>();
        if self.setup.lanes.len() == 1 {
            self.keep_tick(&samples);
        } else {
            self.pending.entry(due.tick).or_default().extend(samples);
            self.release(false);
        }
    }

    /// A gap of one source: of all devices if it is the only one, else of each of its own.
    fn lane_gap(&mut self, lane: usize, window: Window, cause: GapCause, missed: u64) {
        if self.setup.lanes.len() == 1 {
            return self.gap(&Gap { window, device: None, cause, missed }, None);
        }
        for device in self.setup.lanes[lane].clone() {
            self.gap(&Gap { window, device: Some(device.index), cause, missed }, None);
        }
    }

    fn row(&mut self, tick: u64, row: Row) -> Option<Sample> {
        let Row { device, at, result } = row;
        let place = self.gaps.iter().position(|gaps| gaps.device == device)?;
        let (gap, sample) = match result {
            Ok(reading) => {
                let tick = u32::try_from(tick).unwrap_or(u32::MAX);
                (self.gaps[place].succeeded(at), Some(Sample { at, tick, device, reading }))
            }
            Err(error) => {
                self.failed += 1;
                let lost = self.gaps[place].failed(at, &error);
                if let Some(live) = self.live().device_mut(device) {
                    live.failed += 1;
                    if lost.is_some() {
                        live.lost = Some(error.to_string());
                    }
                }
                (lost, None)
            }
        };
        if let Some((gap, error)) = gap {
            self.gap(&gap, error.as_deref());
        }
        sample
    }

    /// Hands on the ticks that all sources have spoken of, or all of them.
    fn release(&mut self, all: bool) {
        let spoken = self.seen.iter().copied().min().flatten();
        while let Some((&tick, _)) = self.pending.first_key_value() {
            let complete = spoken.is_some_and(|spoken| tick <= spoken);
            if !(all || complete || self.pending.len() > MAX_PENDING) {
                break;
            }
            let Some((_, samples)) = self.pending.pop_first() else { break };
            self.keep_tick(&samples);
        }
    }

    fn keep_tick(&mut self, samples: &[Sample]) {
        self.ticks += 1;
        let last = self.timeline.samples().last().map_or(0, |last| last.tick);
        for sample in samples {
            if self.setup.keep == Keep::All && sample.tick >= last {
                // A source that came back after its ticks were handed on is too late for the timeline in memory.
                let _ = self.timeline.push(*sample);
            }
            self.write(Event::Sample(sample));
            self.summarise(|| Item::Sample(*sample));
            self.setup.listeners.tell(sample);
        }
        let window = match self.setup.keep {
            Keep::Last(window) => window,
            Keep::All | Keep::Nothing => crate::sampler::HISTORY,
        };
        let mut live = self.live();
        for sample in samples {
            if let Some(device) = live.device_mut(sample.device) {
                device.add(sample);
            }
            live.recent.push_back(*sample);
        }
        let newest = samples.last().map_or(Duration::ZERO, |sample| sample.at);
        let old = |live: &Live| live.recent.front().is_some_and(|first| newest.saturating_sub(first.at) > window);
        while live.recent.len() > crate::sampler::MAX_RING || old(&live) {
            live.recent.pop_front();
        }
        live.now = live.now.max(newest);
        live.ticks = self.ticks;
        live.missed = self.missed;
        live.dropped = self.dropped;
    }

    fn slow(&mut self, report: SlowReport) {
        let SlowReport { device, at, reading, parts } = report;
        self.slow_outcomes(device, at, parts);
        // The next one states the counters anew.
        let Some(reading) = reading else { return };
        let sample = SlowSample { at, device, reading };
        self.write(Event::Slow(&sample));
        self.summarise(|| Item::Slow(sample.clone()));
        if self.setup.keep == Keep::All {
            self.timeline.push_slow(sample.clone());
        } else if matches!(self.setup.keep, Keep::Last(_)) {
            self.ring.push_back(sample.clone());
            while self.ring.len() > crate::sampler::MAX_RING / 10 {
                self.ring.pop_front();
            }
        }
        if let Some(live) = self.live().device_mut(device) {
            live.add_slow(sample);
        }
    }

    /// Counts the parts of a slow reading that failed, and states each that did not fail alike when it was asked before.
    fn slow_outcomes(&mut self, device: DeviceIndex, at: Duration, parts: Parts) {
        let timestamp_ns = self.stamp(at);
        for (part, outcome) in parts {
            let Err(error) = outcome else {
                self.slow_failed.remove(&(device, part));
                continue;
            };
            self.failed += 1;
            if let Some(live) = self.live().device_mut(device) {
                live.failed += 1;
            }
            let line = Failure { timestamp_ns, gpu_index: device.0, error: error.to_string() };
            if self.slow_failed.insert((device, part), error.clone()) != Some(error) {
                self.write(Event::Line(&Line::Failure(line)));
            }
        }
    }

    fn mark(&mut self, mark: PhaseMark) {
        self.write(Event::Mark(mark));
        self.summarise(|| Item::Mark(mark));
        if self.timeline.marks().len() < MAX_KEPT_GAPS {
            // Marks are made in order by one recording, with its own clock.
            let _ = self.timeline.mark(mark);
        }
    }

    fn gap(&mut self, gap: &Gap, error: Option<&str>) {
        self.write(Event::Gap(gap, error));
        self.summarise(|| Item::Gap(*gap));
        self.live().gaps += 1;
        if self.setup.keep == Keep::All || self.timeline.gaps().len() < MAX_KEPT_GAPS {
            self.timeline.note_gap(*gap);
        }
    }

    fn summarise(&mut self, item: impl FnOnce() -> Item) {
        if let Some(summary) = &mut self.summary {
            summary.add(item());
        }
    }

    fn write(&mut self, event: Event<'_>) {
        if self.write_error.is_none()
            && let Some(sink) = &mut self.setup.sink
        {
            let written = sink.event(event);
            self.note_write(written);
        }
    }

    /// Remembers the first failure; nothing more is written after it, and reading goes on.
    fn note_write(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && self.write_error.is_none()
        {
            self.live().write_failed = Some(error.to_string());
            self.write_error = Some(error);
        }
    }

    /// Does what is due by the clock; called at least some times a second.
    pub(crate) fn keep_time(&mut self) {
        let now = self.setup.clock.now();
        if now >= self.next_state {
            self.next_state = now + STATE_EVERY;
            let timestamp_ns = self.stamp(now);
            let unix_ns = self.setup.clock.unix_ns();
            self.write(Event::Line(&Line::Clock(ClockLine { timestamp_ns, unix_ns })));
            if self.ticks > 0 {
                let cost = self.cost(now);
                self.write(Event::Line(&Line::Cost(cost)));
            }
        }
        if now >= self.next_flush {
            self.next_flush = now + FLUSH_EVERY;
            self.flush();
            let cost = (now >= self.next_cost).then(|| self.cost(now));
            if cost.is_some() {
                self.next_cost = now + COST_EVERY;
            }
            let stalled = self.stalled(now);
            let mut live = self.live();
            live.now = now;
            live.cost = cost.or(live.cost.take());
            live.stalled = stalled;
        }
    }

    fn flush(&mut self) {
        if self.write_error.is_none()
            && let Some(sink) = &mut self.setup.sink
        {
            let flushed = sink.flush();
            self.note_write(flushed);
        }
    }

    fn stamp(&self, at: Duration) -> i64 {
        vramscope_timeline::document::stamp(self.setup.header.anchor_unix_ns, at)
    }

    /// Since how long a driver call has not come back, where that is longer than a call should take.
    pub(crate) fn stalled(&self, now: Duration) -> Option<Duration> {
        let patience = (self.setup.period * 10).max(Duration::from_secs(1));
        let since = self.setup.states.iter().filter_map(|(_, _, state)| state.busy_since());
        let longest = since.map(|since| now.saturating_sub(since)).max();
        longest.filter(|&time| time > patience)
    }

    fn cost(&self, now: Duration) -> Cost {
        let own = self.cpu_before.zip(thread_cpu()).map(|(before, now)| now.saturating_sub(before));
        let lanes = self
            .setup
            .states
            .iter()
            .map(|(_, _, state)| Duration::from_nanos(state.cpu_ns.load(std::sync::atomic::Ordering::Acquire)));
        let cpu = own.map(|own| own + lanes.sum::<Duration>());
        Cost {
            timestamp_ns: self.stamp(now),
            cpu_ms: cpu.map(milliseconds),
            wall_ms: milliseconds(now),
            ticks: self.ticks,
            missed: self.missed,
            dropped: self.dropped,
            failed: self.failed,
            lateness: percentiles(&self.lateness),
            tick_time: percentiles(&self.tick_time),
            calls: self.calls.values().flatten().map(call).collect(),
        }
    }

    /// Ends: hands on what is pending, states the last gaps, cost and end. `unfinished` are the sources whose thread has
    /// not come back from the driver.
    pub(crate) fn finish(mut self, ending: Ending, unfinished: &[usize]) -> (Finished, Option<io::Error>) {
        let now = self.setup.clock.now();
        self.release(true);
        for &lane in unfinished {
            self.never_came_back(lane, now);
        }
        for gaps in std::mem::take(&mut self.gaps) {
            if let Some((gap, error)) = gaps.end(now) {
                self.gap(&gap, error.as_deref());
            }
        }
        let cost = self.cost(now);
        self.write(Event::Line(&Line::Cost(cost.clone())));
        let timestamp_ns = self.stamp(now);
        let end = End { timestamp_ns, ending, ticks: self.ticks, missed: self.missed, dropped: self.dropped };
        self.write(Event::Line(&Line::End(end)));
        self.flush();
        if self.write_error.is_none()
            && let Some(sink) = &mut self.setup.sink
        {
            let synced = sink.sync();
            self.note_write(synced);
        }
        self.setup.listeners.end();
        if let Keep::Last(_) = self.setup.keep {
            let recent = std::mem::take(&mut self.live().recent);
            for sample in recent {
                // The ring is in order of ticks.
                let _ = self.timeline.push(sample);
            }
            std::mem::take(&mut self.ring).into_iter().for_each(|slow| self.timeline.push_slow(slow));
        }
        let mut live = self.live();
        live.now = now;
        live.cost = Some(cost.clone());
        drop(live);
        self.summarise(|| Item::Cost(cost.clone()));
        self.summarise(|| Item::End);
        let summary = self.summary.map(|summary| summary.report(&self.setup.header));
        (Finished { timeline: self.timeline, cost, end, summary }, self.write_error)
    }

    /// A thread that is still in the driver at the end: what it did not read is a gap.
    fn never_came_back(&mut self, lane: usize, now: Duration) {
        let start = self.last_tick_at[lane].unwrap_or(Duration::ZERO);
        let planned = now.saturating_sub(start).as_nanos() / self.setup.period.as_nanos().max(1);
        let missed = u64::try_from(planned).unwrap_or(u64::MAX).max(1);
        self.missed += missed;
        for device in self.setup.lanes[lane].clone() {
            let gap = Gap {
                window: Window { start, end: now },
                device: Some(device.index),
                cause: GapCause::MissedTicks,
                missed,
            };
            let seconds = now.saturating_sub(start).as_secs_f64();
            self.gap(&gap, Some(&format!("a driver call had not come back after {seconds:.1} s")));
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    // Microseconds are finer than the system counts processor time.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn microseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e8).round() / 1e2
}

fn percentiles(sketch: &Sketch) -> Percentiles {
    let us = |ns: Option<f64>| ns.map_or(0.0, |ns| (ns / 10.0).round() / 100.0);
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 nanoseconds, which is 104 days")]
    let max = sketch.max().map(|ns| ns as f64);
    Percentiles { p50_us: us(sketch.quantile(0.5)), p99_us: us(sketch.quantile(0.99)), max_us: us(max) }
}

fn call(cost: &CallCost) -> Call {
    Call {
        call: cost.call.to_owned(),
        count: cost.count,
        total_ms: milliseconds(cost.total),
        time: Percentiles {
            p50_us: microseconds(cost.p50),
            p99_us: microseconds(cost.p99),
            max_us: microseconds(cost.max),
        },
    }
}
