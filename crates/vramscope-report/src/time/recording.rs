//! What was read and marked over time, as much of it as a page needs.

use std::collections::BTreeMap;

use vramscope_core::on_one_line;

use super::grid::Grid;

/// What a device reads at one instant. Absent is what it does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Reading {
    /// Memory in use.
    pub used_bytes: Option<u64>,
    /// All memory that the device has.
    pub total_bytes: Option<u64>,
    /// Power drawn.
    pub power_w: Option<f64>,
    /// Core temperature.
    pub temperature_c: Option<f64>,
    /// Share of the last period with a kernel running.
    pub utilization_pct: Option<f64>,
    /// Share of the last period with memory traffic.
    pub memory_utilization_pct: Option<f64>,
    /// Shader clock.
    pub sm_clock_mhz: Option<f64>,
    /// Memory clock.
    pub memory_clock_mhz: Option<f64>,
}

/// What the engine says of its requests at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EngineState {
    /// Requests that are being computed.
    pub running: Option<f64>,
    /// Requests that wait.
    pub waiting: Option<f64>,
    /// Share of the KV cache in use.
    pub kv_usage_pct: Option<f64>,
}

/// A window of time with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phase {
    pub(crate) name: String,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
}

/// A span without readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    /// The device without readings; absent where it is all of them.
    pub(crate) gpu: Option<u32>,
    pub(crate) cause: String,
}

/// Something that happened, with the log line that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at_ns: u64,
    pub(crate) label: String,
    pub(crate) line: Option<String>,
}

/// A figure that is kept over time: its place among a track's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    Memory,
    Power,
    Temperature,
    Utilization,
    MemoryUtilization,
    SmClock,
    MemoryClock,
}

impl Metric {
    pub(crate) const ALL: [Self; 7] = [
        Self::Memory,
        Self::Power,
        Self::Temperature,
        Self::Utilization,
        Self::MemoryUtilization,
        Self::SmClock,
        Self::MemoryClock,
    ];

    /// How many of what is kept are one: bytes whole, the others in tenths, which is finer than sensors are.
    pub(crate) fn per_unit(self) -> f64 {
        if self == Self::Memory { 1.0 } else { 10.0 }
    }
}

/// All cells of the grid together are about this many rows of one device. With 8 devices, 7 figures and 2 to 4
/// characters each, the data of a page stay under about half a megabyte. Where they do not, `data` makes rows fewer.
const ROWS: usize = 20_000;
/// One device alone needs no more than this to fill any screen some times over.
const MOST_ROWS: usize = 8192;
/// Under this, one would see rows.
const LEAST_ROWS: usize = 1024;
/// So many devices are counted into the total.
const MOST_DEVICES: usize = 1024;
/// So many have lines of their own.
pub(crate) const MOST_TRACKS: usize = 64;
const MOST_PHASES: usize = 256;
const MOST_GAPS: usize = 512;
const MOST_EVENTS: usize = 256;
/// Longer log lines are cut.
const LONGEST_LINE: usize = 300;
const LONGEST_NAME: usize = 60;

/// Readings and marks of a run over time, in bounded memory and of any length: what a page's picture of memory over
/// time is made of.
///
/// Times are in nanoseconds since the anchor of the document to which the recording belongs. Readings come in order of
/// time. A short recording is kept as it is; of a long one, each span of time keeps its smallest and largest values, so
/// that no peak of a device is lost. With many devices, the first of them have lines of their own, and the total is of all.
///
/// ```
/// use vramscope_report::{Reading, Recording};
/// let mut recording = Recording::new(&[0, 1]);
/// for tick in 0..100_000 {
///     for device in [0, 1] {
///         let reading = Reading { used_bytes: Some(1 << 30), power_w: Some(300.0), ..Reading::default() };
///         recording.reading(device, tick, tick * 100_000_000, &reading);
///     }
/// }
/// recording.phase("load", 0, 2_000_000_000);
/// assert_eq!(recording.ticks(), 100_000);
/// ```
#[derive(Debug, Clone)]
pub struct Recording {
    devices: Vec<u32>,
    /// The place of each.
    places: BTreeMap<u32, usize>,
    /// The most memory that each had in use, and when first.
    peaks: Vec<Option<(u64, u64)>>,
    capacities: Vec<Option<u64>>,
    /// What the devices have together, where none is known alone.
    all_bytes: Option<u64>,
    /// The columns of all devices together, then those of each.
    pub(crate) grid: Grid,
    pub(crate) engine: Grid,
    /// The tick whose readings are coming in, with its time and its readings so far.
    tick: Option<(u64, u64)>,
    now: Vec<Option<Reading>>,
    ticks: u64,
    /// Ticks at which not all devices told their memory.
    partial_ticks: u64,
    pub(crate) phases: Vec<Phase>,
    pub(crate) gaps: Vec<Gap>,
    /// Gaps that are behind the last reading.
    gaps_passed: usize,
    pub(crate) events: Vec<Event>,
    /// What found no room.
    pub(crate) events_dropped: u64,
    pub(crate) phases_dropped: u64,
    pub(crate) gaps_dropped: u64,
    pub(crate) devices_dropped: u64,
}

impl Recording {
    /// A recording of these devices, by their index. One that is not named is added when it first reads; totals begin
    /// there, since those before were not of all.
    pub fn new(devices: &[u32]) -> Self {
        let columns = Metric::ALL.len();
        let mut recording = Self {
            devices: Vec::new(),
            places: BTreeMap::new(),
            peaks: Vec::new(),
            capacities: Vec::new(),
            all_bytes: Some(0),
            grid: Grid::new(columns, MOST_ROWS),
            engine: Grid::new(3, LEAST_ROWS),
            tick: None,
            now: Vec::new(),
            ticks: 0,
            partial_ticks: 0,
            phases: Vec::new(),
            gaps: Vec::new(),
            gaps_passed: 0,
            events: Vec::new(),
            events_dropped: 0,
            phases_dropped: 0,
            gaps_dropped: 0,
            devices_dropped: 0,
        };
        for device in devices {
            recording.place(*device);
        }
        recording
    }

    /// Takes what a device reads. Readings of one instant have the same tick; totals are of those ticks alone at which
    /// all devices have a reading.
    pub fn reading(&mut self, device: u32, tick: u64, at_ns: u64, reading: &Reading) {
        let Some(place) = self.place(device) else {
            return;
        };
        if self.tick.is_none_or(|(last, _)| last != tick) || self.now[place].is_some() {
            self.finish_tick();
            self.tick = Some((tick, at_ns));
        }
        self.now[place] = Some(*reading);
        self.capacities[place] = reading.total_bytes.or(self.capacities[place]);
        let used = reading.used_bytes.filter(|used| i64::try_from(*used).is_ok());
        if let Some(used) = used.filter(|used| self.peaks[place].is_none_or(|(_, peak)| *used > peak)) {
            self.peaks[place] = Some((at_ns, used));
        }
    }

    /// Takes what all devices together read, where nothing is known of each.
    pub(crate) fn total(&mut self, at_ns: u64, reading: &Reading) {
        self.begin(at_ns, true);
        self.add(0, reading);
    }

    /// Marks a phase.
    pub fn phase(&mut self, name: &str, start_ns: u64, end_ns: u64) {
        if self.phases.len() < MOST_PHASES {
            self.phases.push(Phase { name: short(name, LONGEST_NAME), start_ns, end_ns: end_ns.max(start_ns) });
        } else {
            self.phases_dropped += 1;
        }
    }

    /// Marks a span without readings, of one device or of all. Best before the first reading behind it: what is merged
    /// already stays merged.
    pub fn gap(&mut self, start_ns: u64, end_ns: u64, gpu: Option<u32>, cause: &str) {
        if self.gaps.len() < MOST_GAPS {
            let cause = short(cause, LONGEST_NAME);
            self.gaps.push(Gap { start_ns, end_ns: end_ns.max(start_ns), gpu, cause });
        } else {
            self.gaps_dropped += 1;
        }
    }

    /// Marks something that happened, with the log line that says so.
    pub fn event(&mut self, at_ns: u64, label: &str, line: Option<&str>) {
        if self.events.len() < MOST_EVENTS {
            let line = line.map(|line| short(line, LONGEST_LINE));
            self.events.push(Event { at_ns, label: short(label, LONGEST_NAME), line });
        } else {
            self.events_dropped += 1;
        }
    }

    /// Takes what the engine says of its requests.
    pub fn request_state(&mut self, at_ns: u64, state: &EngineState) {
        self.engine.begin(at_ns, self.engine_is_late(at_ns), true);
        for (column, value) in [state.running, state.waiting, state.kv_usage_pct].into_iter().enumerate() {
            if let Some(value) = value.and_then(|value| kept(value, 10.0)) {
                self.engine.add(column, value);
            }
        }
    }

    /// Whether the engine was asked long after it was asked before: what was between is not known.
    fn engine_is_late(&self, at_ns: u64) -> bool {
        let (Some(first), Some(last)) = (self.engine.rows.first(), self.engine.rows.last()) else {
            return false;
        };
        let steps = self.engine.rows.iter().map(|row| row.instants).sum::<u64>() - 1;
        steps >= 2 && at_ns.saturating_sub(last.last_ns) / 5 > (last.last_ns - first.first_ns) / steps
    }

    /// How many ticks it was given.
    pub fn ticks(&self) -> u64 {
        // The last is still coming in.
        self.ticks + u64::from(self.tick.is_some())
    }

    /// At how many ticks the total is not known, since not all devices were read.
    pub(crate) fn partial_ticks(&self) -> u64 {
        self.partial_ticks
    }

    /// Whether devices are read together, so that one without a reading at a tick was not read.
    pub(crate) fn is_shared(&self) -> bool {
        self.partial_ticks < self.ticks.div_ceil(2)
    }

    /// The device with the most memory in use at any instant, with the instant and what it was.
    pub(crate) fn largest_alone(&self) -> Option<(u32, u64, u64)> {
        let peaks = self.devices.iter().zip(&self.peaks).filter_map(|(device, peak)| Some((*device, (*peak)?)));
        peaks
            .reduce(|one, two| if two.1.1 > one.1.1 { two } else { one })
            .map(|(device, (at, peak))| (device, at, peak))
    }

    /// The place of a device among the tracks.
    pub(crate) fn track(&self, device: u32) -> Option<usize> {
        self.places.get(&device).map(|place| place + 1)
    }

    /// The devices, each at its place.
    pub(crate) fn devices(&self) -> &[u32] {
        &self.devices
    }

    /// All memory of a device, or of all together where each is known.
    pub(crate) fn capacity(&self, track: usize) -> Option<u64> {
        match track.checked_sub(1) {
            Some(place) => *self.capacities.get(place)?,
            None if self.capacities.is_empty() => self.all_bytes.filter(|bytes| *bytes > 0),
            None => self.capacities.iter().copied().try_fold(0u64, |sum, one| sum.checked_add(one?)),
        }
    }

    /// Says what a device has, where its readings do not.
    pub(crate) fn set_capacity(&mut self, device: u32, bytes: u64) {
        if let Some(place) = self.places.get(&device) {
            self.capacities[*place].get_or_insert(bytes);
        } else if self.devices.is_empty() {
            self.all_bytes = self.all_bytes.and_then(|sum| sum.checked_add(bytes));
        }
    }

    /// Sets everything on a clock that began so much earlier.
    pub(crate) fn later(&mut self, by_ns: u64) {
        let later = |at: &mut u64| *at = at.saturating_add(by_ns);
        self.grid.later(by_ns);
        self.engine.later(by_ns);
        self.peaks.iter_mut().flatten().for_each(|(at, _)| later(at));
        self.events.iter_mut().for_each(|event| later(&mut event.at_ns));
        for phase in &mut self.phases {
            [&mut phase.start_ns, &mut phase.end_ns].into_iter().for_each(later);
        }
        for gap in &mut self.gaps {
            [&mut gap.start_ns, &mut gap.end_ns].into_iter().for_each(later);
        }
    }

    /// Where a track keeps a figure: track 0 is all devices together, the others follow in the order of `devices`.
    pub(crate) fn column(track: usize, metric: Metric) -> usize {
        track * Metric::ALL.len() + metric as usize
    }

    /// All columns of a track.
    pub(crate) fn columns_of(&self, track: usize) -> impl Iterator<Item = usize> + use<> {
        Metric::ALL.into_iter().map(move |metric| Self::column(track, metric))
    }

    /// The recording with its last tick counted in.
    pub(crate) fn finish(&mut self) {
        self.finish_tick();
    }

    fn begin(&mut self, at_ns: u64, known: bool) {
        let last = self.grid.rows.last().map(|row| row.last_ns);
        let mut after_gap = false;
        while let Some(gap) = self.gaps.get(self.gaps_passed).filter(|gap| gap.end_ns <= at_ns) {
            after_gap |= gap.gpu.is_none() && last.is_some_and(|last| gap.start_ns >= last);
            self.gaps_passed += 1;
        }
        self.grid.begin(at_ns, after_gap, known);
        self.ticks += 1;
        self.partial_ticks += u64::from(!known);
    }

    fn place(&mut self, device: u32) -> Option<usize> {
        if let Some(place) = self.places.get(&device) {
            return Some(*place);
        }
        if self.devices.len() >= MOST_DEVICES {
            self.devices_dropped += 1;
            return None;
        }
        self.places.insert(device, self.devices.len());
        self.devices.push(device);
        self.peaks.push(None);
        self.capacities.push(None);
        self.now.push(None);
        if self.devices.len() <= MOST_TRACKS {
            self.grid.widen(Metric::ALL.len());
            self.grid.set_limit((ROWS / self.devices.len()).clamp(LEAST_ROWS, MOST_ROWS));
        }
        // A total before was not of all devices.
        Metric::ALL.iter().for_each(|metric| self.grid.clear(Self::column(0, *metric)));
        self.grid.forget_known();
        self.partial_ticks = self.ticks;
        Some(self.devices.len() - 1)
    }

    fn add(&mut self, track: usize, reading: &Reading) {
        for metric in Metric::ALL {
            if let Some(value) = value(reading, metric) {
                self.grid.add(Self::column(track, metric), value);
            }
        }
    }

    /// Takes in a tick, and adds up what all devices have.
    fn finish_tick(&mut self) {
        let Some((_, at_ns)) = self.tick.take() else {
            return;
        };
        let known = |now: &Option<Reading>| now.as_ref().and_then(|reading| value(reading, Metric::Memory)).is_some();
        self.begin(at_ns, self.now.iter().all(known));
        for place in 0..self.now.len().min(MOST_TRACKS) {
            if let Some(reading) = self.now[place] {
                self.add(place + 1, &reading);
            }
        }
        if self.devices.len() > 1 {
            Metric::ALL.into_iter().for_each(|metric| self.add_up(metric));
        }
        self.now.fill(None);
    }

    fn add_up(&mut self, metric: Metric) {
        let column = Self::column(0, metric);
        let (mut sum, mut count, mut min, mut max) = (0i64, 0i64, i64::MAX, i64::MIN);
        for reading in &self.now {
            let Some(value) = reading.as_ref().and_then(|reading| value(reading, metric)) else {
                return;
            };
            sum = sum.saturating_add(value);
            count += 1;
            (min, max) = (min.min(value), max.max(value));
        }
        match metric {
            Metric::Memory | Metric::Power => self.grid.add(column, sum),
            Metric::Temperature => self.grid.add(column, max),
            Metric::Utilization | Metric::MemoryUtilization => self.grid.add(column, sum / count),
            Metric::SmClock | Metric::MemoryClock => {
                self.grid.add(column, min);
                self.grid.add(column, max);
            }
        }
    }
}

/// A figure as it is kept.
fn value(reading: &Reading, metric: Metric) -> Option<i64> {
    let value = match metric {
        Metric::Memory => return reading.used_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
        Metric::Power => reading.power_w,
        Metric::Temperature => reading.temperature_c,
        Metric::Utilization => reading.utilization_pct,
        Metric::MemoryUtilization => reading.memory_utilization_pct,
        Metric::SmClock => reading.sm_clock_mhz,
        Metric::MemoryClock => reading.memory_clock_mhz,
    };
    kept(value?, metric.per_unit())
}

/// No figure of a sensor is larger; what is larger is none.
const LARGEST: f64 = 1e12;

#[expect(clippy::cast_possible_truncation, reason = "rounded and within bounds")]
fn kept(value: f64, per_unit: f64) -> Option<i64> {
    (value.is_finite() && value.abs() <= LARGEST).then(|| (value * per_unit).round() as i64)
}

fn short(text: &str, longest: usize) -> String {
    let end = text.char_indices().nth(longest * 2).map_or(text.len(), |(place, _)| place);
    let line = on_one_line(&text[..end]);
    match line.char_indices().nth(longest) {
        Some((place, _)) => format!("{}…", &line[..place]),
        None => line,
    }
}

#[cfg(test)]
mod tests;
