//! All statistics of a recording in one or two passes.

use std::collections::BTreeMap;
use std::time::Duration;

use vramscope_core::{Device, DeviceIndex, Gap, PhaseMark, Reading, Sample, SlowSample};

use super::correlate::{PAIRS, Pair};
use super::energy::Energy;
use super::exact::{MOST_VALUES, MOST_VALUES_RUNNING, Values};
use super::idle::IdleTimes;
use super::passes::{Item, Passes, devices};
use crate::document::{
    Cost, DeviceReport, GapReport, Header, MetricReport, PhaseReport, REPORT_VERSION, ReadError, TimelineReport,
};
use crate::metric::Metric;

/// What to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnalysisOptions {
    /// Utilisation up to this counts as idle, in percent.
    pub idle_threshold_pct: u8,
    /// The least length of an idle period.
    pub idle_least: Duration,
    /// Whether to look for correlations.
    pub correlate: bool,
}

impl Default for AnalysisOptions {
    fn default() -> Self {
        Self { idle_threshold_pct: 5, idle_least: Duration::from_secs(1), correlate: false }
    }
}

/// Computes the statistics of a recording. Quantiles are exact; a second pass is made where that needs one.
///
/// ```
/// use std::time::Duration;
/// use vramscope_core::{Bytes, DeviceIndex, Reading, Sample, Timeline};
/// use vramscope_timeline::{AnalysisOptions, analyse};
///
/// let mut timeline = Timeline::new(None);
/// for tick in 0..100 {
///     let at = Duration::from_millis(100) * tick;
///     let reading = Reading { used: Bytes::new(1 << 30), utilization_pct: Some(0), ..Reading::default() };
///     timeline.push(Sample { at, tick, device: DeviceIndex(0), reading }).unwrap();
/// }
/// let report = analyse(&mut timeline, &AnalysisOptions::default()).unwrap();
/// assert_eq!(report.devices[0].idle.as_ref().unwrap().share, 1.0);
/// ```
///
/// # Errors
/// [`ReadError`] if the recording's source fails or is damaged.
pub fn analyse(recording: &mut dyn Passes, options: &AnalysisOptions) -> Result<TimelineReport, ReadError> {
    let header = recording.header();
    let mut work = RunningAnalysis::keeping(&header, options, MOST_VALUES);
    recording.pass(&mut |item| work.add(item))?;
    if work.needs_second() {
        recording.pass(&mut |item| work.second(&item))?;
    }
    let mut report = work.report(&header);
    report.notes.extend(recording.notes().into_iter().map(|note| match note.line {
        0 => note.text,
        line => format!("line {line}: {}", note.text),
    }));
    if !report.complete {
        report.notes.push("the recording has no end: it was cut short, and is good up to there".into());
    }
    Ok(report)
}

/// The statistics of a recording under way. Without a second pass, quantiles of a figure with very many different
/// values are those of a sketch, and say so.
#[derive(Debug)]
pub struct RunningAnalysis {
    devices: BTreeMap<DeviceIndex, DeviceWork>,
    options: AnalysisOptions,
    most_values: usize,
    apart: Duration,
    span: Option<(Duration, Duration)>,
    ticks: u64,
    tick: Tick,
    phases: Vec<(PhaseMark, Option<u64>)>,
    /// Places in `phases` of which each begins later than the one before: the phase of an instant is found by halving.
    later: Vec<usize>,
    gaps: BTreeMap<(Option<u32>, &'static str), (u64, u64, Duration)>,
    cost: Option<Cost>,
    complete: bool,
}

/// The tick that is being read, for totals over all devices.
#[derive(Debug, Default)]
struct Tick {
    number: Option<u32>,
    at: Duration,
    devices: usize,
    used: u64,
}

#[derive(Debug)]
struct DeviceWork {
    device: Device,
    samples: u64,
    values: Vec<Values>,
    idle: IdleTimes,
    energy: Energy,
    pairs: Vec<Pair>,
}

impl DeviceWork {
    fn new(device: Device, options: &AnalysisOptions, most_values: usize, apart: Duration) -> Self {
        let pairs = if options.correlate { PAIRS.map(|(x, y)| Pair::new(x, y)).into() } else { Vec::new() };
        Self {
            device,
            samples: 0,
            values: Metric::ALL.into_iter().map(|metric| Values::new(metric, most_values)).collect(),
            idle: IdleTimes::new(options.idle_threshold_pct, options.idle_least, apart),
            energy: Energy::new(apart),
            pairs,
        }
    }

    fn add(&mut self, at: Duration, reading: &Reading) {
        self.samples += 1;
        for (metric, values) in Metric::ALL.into_iter().zip(&mut self.values) {
            if let Some(value) = metric.of(reading) {
                values.first(value);
            }
        }
        self.idle.add(at, reading.utilization_pct);
        self.energy.power(at, reading.power_mw);
        if let Some(energy) = reading.energy_mj {
            self.energy.counter(at, energy);
        }
        self.pairs.iter_mut().for_each(|pair| pair.add(reading));
    }

    fn report(self) -> (DeviceReport, Option<String>) {
        let (energy, note) = self.energy.report().unzip();
        let index = self.device.index;
        let metric = |(metric, values): (Metric, &Values)| {
            let found = values.statistics()?;
            Some(MetricReport {
                metric: metric.name().into(),
                n: found.n,
                min: found.min,
                mean: found.mean,
                median: found.median,
                p95: found.p95,
                max: found.max,
                exact: found.exact,
            })
        };
        let report = DeviceReport {
            device: crate::document::Device::from(&self.device),
            samples: self.samples,
            metrics: Metric::ALL.into_iter().zip(&self.values).filter_map(metric).collect(),
            energy,
            idle: self.idle.report(),
            correlations: self.pairs.iter().map(Pair::report).collect(),
        };
        (report, note.flatten().map(|note| format!("device {index}: {note}")))
    }
}

/// Two samples further apart than this many periods do not speak for the time between them.
const APART: f64 = 2.5;
/// Where the period is not known, two samples speak for up to this much time.
const UNKNOWN_APART: Duration = Duration::from_secs(3);

impl RunningAnalysis {
    /// Statistics that are kept while a recording is made, in memory that does not grow with it.
    pub fn new(header: &Header, options: &AnalysisOptions) -> Self {
        Self::keeping(header, options, MOST_VALUES_RUNNING)
    }

    fn keeping(header: &Header, options: &AnalysisOptions, most_values: usize) -> Self {
        let period = header.period_ms.filter(|ms| ms.is_finite() && *ms > 0.0 && *ms < 1e9);
        let apart = period.map_or(UNKNOWN_APART, |ms| Duration::from_secs_f64(ms * APART / 1e3));
        let device = |d: Device| (d.index, DeviceWork::new(d, options, most_values, apart));
        let known = devices(header).into_iter().map(device);
        Self {
            devices: known.collect(),
            options: *options,
            most_values,
            apart,
            span: None,
            ticks: 0,
            tick: Tick::default(),
            phases: Vec::new(),
            later: Vec::new(),
            gaps: BTreeMap::new(),
            cost: None,
            complete: false,
        }
    }

    fn device(&mut self, index: DeviceIndex) -> &mut DeviceWork {
        let (options, most, apart) = (self.options, self.most_values, self.apart);
        self.devices.entry(index).or_insert_with(|| DeviceWork::new(Device::unnamed(index), &options, most, apart))
    }

    /// Something of the recording, on the first pass.
    pub fn add(&mut self, item: Item) {
        match item {
            Item::Sample(sample) => self.sample(&sample),
            Item::Slow(slow) => self.slow(&slow),
            Item::Mark(mark) => self.mark(mark),
            Item::Gap(gap) => self.gap(&gap),
            Item::Cost(cost) => self.cost = Some(cost),
            Item::End => self.complete = true,
        }
    }

    fn sample(&mut self, sample: &Sample) {
        let (first, last) = self.span.unwrap_or((sample.at, sample.at));
        self.span = Some((first.min(sample.at), last.max(sample.at)));
        if self.tick.number != Some(sample.tick) {
            self.end_tick();
            self.ticks += 1;
            self.tick = Tick { number: Some(sample.tick), at: sample.at, devices: 0, used: 0 };
        }
        self.tick.devices += 1;
        self.tick.used = self.tick.used.saturating_add(sample.reading.used.get());
        self.device(sample.device).add(sample.at, &sample.reading);
    }

    fn mark(&mut self, mark: PhaseMark) {
        // One that does not begin earlier has no length.
        while self.later.last().is_some_and(|&place| self.phases[place].0.at >= mark.at) {
            self.later.pop();
        }
        self.later.push(self.phases.len());
        self.phases.push((mark, None));
    }

    /// A complete tick counts towards the peak of its phase.
    fn end_tick(&mut self) {
        if self.tick.number.is_none() || self.tick.devices != self.devices.len() {
            return;
        }
        let (at, used) = (self.tick.at, self.tick.used);
        let begun = self.later.partition_point(|&place| self.phases[place].0.at <= at);
        if let Some(last) = begun.checked_sub(1) {
            let (_, peak) = &mut self.phases[self.later[last]];
            *peak = Some(peak.map_or(used, |peak| peak.max(used)));
        }
    }

    fn slow(&mut self, slow: &SlowSample) {
        if let Some(energy) = slow.reading.energy_mj {
            self.device(slow.device).energy.counter(slow.at, energy);
        }
    }

    fn gap(&mut self, gap: &Gap) {
        let key = (gap.device.map(|device| device.0), gap.cause.name());
        let (spans, missed, longest) = self.gaps.entry(key).or_default();
        *spans += 1;
        *missed = missed.saturating_add(gap.missed);
        *longest = (*longest).max(gap.window.length());
    }

    fn needs_second(&mut self) -> bool {
        let mut needed = false;
        for values in self.devices.values_mut().flat_map(|device| &mut device.values) {
            // Each figure prepares itself, so none may be skipped.
            needed |= values.needs_second();
        }
        needed
    }

    fn second(&mut self, item: &Item) {
        let Item::Sample(sample) = item else { return };
        let Some(device) = self.devices.get_mut(&sample.device) else { return };
        for (metric, values) in Metric::ALL.into_iter().zip(&mut device.values) {
            if let Some(value) = metric.of(&sample.reading) {
                values.second(value);
            }
        }
    }

    /// The statistics of all that came.
    pub fn report(mut self, header: &Header) -> TimelineReport {
        self.end_tick();
        let end = self.span.map_or(Duration::ZERO, |(_, last)| last);
        let gaps: Vec<GapReport> = self.gaps.iter().map(gap_report).collect();
        let (devices, notes): (Vec<_>, Vec<_>) = self.devices.into_values().map(DeviceWork::report).unzip();
        TimelineReport {
            vramscope_timeline_report: REPORT_VERSION,
            start_unix_ns: header.anchor_unix_ns,
            seconds: self.span.map_or(0.0, |(first, last)| (last - first).as_secs_f64()),
            period_ms: header.period_ms,
            ticks: self.ticks,
            missing: gaps.iter().map(|gap| gap.missed).fold(0, u64::saturating_add),
            complete: self.complete,
            devices,
            phases: phases(&self.phases, end),
            gaps,
            cost: self.cost,
            notes: notes.into_iter().flatten().collect(),
        }
    }
}

fn gap_report((key, value): (&(Option<u32>, &'static str), &(u64, u64, Duration))) -> GapReport {
    GapReport {
        gpu_index: key.0,
        cause: key.1.to_owned(),
        spans: value.0,
        missed: value.1,
        longest_s: value.2.as_secs_f64(),
    }
}

fn phases(marks: &[(PhaseMark, Option<u64>)], end: Duration) -> Vec<PhaseReport> {
    let ends = marks.iter().skip(1).map(|(mark, _)| mark.at).chain([end]);
    let phase = |((mark, peak), end): (&(PhaseMark, Option<u64>), Duration)| PhaseReport {
        phase: mark.phase.name().to_owned(),
        start_s: mark.at.as_secs_f64(),
        seconds: end.saturating_sub(mark.at).as_secs_f64(),
        peak_used_bytes: *peak,
    };
    marks.iter().zip(ends).map(phase).collect()
}
