//! A recorded GPU log, whatever its format: rows in, a timeline out, with everything odd noted.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead as _};
use std::time::Duration;

use vramscope_core::{Bytes, Device, DeviceIndex, Gap, GapCause, Reading, Sample, Timeline, Window};
use vramscope_timeline::document::Recorded;

use super::{gpu_csv, gpu_dmon};

/// Which clock a log's times are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Nanoseconds since 1970 UTC.
    Utc,
    /// The machine's local time, in a zone that the log does not name.
    LocalUnknown,
}

/// One row of a GPU log.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) line: u64,
    /// Nanoseconds since 1970 in the log's clock.
    pub(crate) unix_ns: i64,
    pub(crate) device: DeviceIndex,
    pub(crate) reading: Reading,
}

/// What a process was seen to hold on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessUse {
    /// The device.
    pub device: DeviceIndex,
    /// The process, as the driver numbers it.
    pub pid: u32,
    /// The most it held.
    pub max_used: Bytes,
    /// When it was first seen, since the timeline's anchor.
    pub first_seen: Duration,
    /// When it was last seen.
    pub last_seen: Duration,
}

/// A GPU log as a timeline.
#[derive(Debug, Clone)]
pub struct GpuLog {
    /// The samples; their anchor is the first sample's time in the log's clock.
    pub timeline: Timeline,
    /// Which clock the anchor is of.
    pub clock: Clock,
    /// Processes seen on the devices, where the log lists them.
    pub processes: Vec<ProcessUse>,
    /// Whether the log lists processes at all.
    pub has_processes: bool,
    /// What was odd.
    pub notes: Vec<Note>,
}

/// Something odd in a GPU log that did not stop its reading.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A line that is no row.
    Unreadable {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Further such lines.
    MoreUnreadable {
        /// How many.
        lines: u64,
    },
    /// The last line is cut off, as when the recorder was killed.
    TornLastLine {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// No column names the device: all rows are taken as device 0.
    NoIndexColumn,
    /// Rows were not in order of time; they were put in order.
    OutOfOrder {
        /// How many.
        rows: u64,
        /// The first of them.
        line: u64,
    },
    /// A device has two rows of the same time; the first one counts.
    Duplicate {
        /// How many.
        rows: u64,
        /// The first of them.
        line: u64,
    },
    /// What the reader of our own recordings has to say.
    Recorder {
        /// The line, from 1.
        line: u64,
        /// What was found there.
        text: String,
    },
    /// The clock was set back while the log was written; the times after it are moved on so that time does not go back.
    ClockSetBack {
        /// The first line after it.
        line: u64,
        /// By how much.
        by: Duration,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { line, reason } => write!(f, "line {line} is skipped: {reason}"),
            Self::MoreUnreadable { lines } => write!(f, "{lines} more lines are skipped"),
            Self::TornLastLine { line, reason } => write!(f, "the last line ({line}) is torn: {reason}"),
            Self::NoIndexColumn => f.write_str("no column names the device; all rows are taken as device 0"),
            Self::OutOfOrder { rows, line } => {
                write!(f, "{rows} rows are out of order (first at line {line}); they were put in order")
            }
            Self::Duplicate { rows, line } => {
                write!(f, "{rows} rows repeat a time of their device (first at line {line}); the first one counts")
            }
            Self::Recorder { line, text } => write!(f, "line {line}: {text}"),
            Self::ClockSetBack { line, by } => {
                write!(f, "the clock was set back by {by:?} at line {line}; later times are moved on by as much")
            }
        }
    }
}

/// A GPU log that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuLogError {
    /// Nothing in it.
    #[error("read the GPU log: it is empty; expected a header line and rows")]
    Empty,
    /// The source failed, or it is no text in lines.
    #[error("read the GPU log")]
    Read {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The header lacks a column that is needed.
    #[error("read the GPU log: line 1 has no column with {what}; it has {}", .found.join(", "))]
    MissingColumn {
        /// What the column would hold.
        what: &'static str,
        /// The first columns that are there.
        found: Vec<String>,
    },
    /// No line could be read as a row.
    #[error("read the GPU log: no line is a row{}", .first.as_ref().map(|n| format!("; {n}")).unwrap_or_default())]
    NoRows {
        /// What is wrong with the first of them.
        first: Option<Note>,
    },
    /// A recording of our own sampler that cannot be read.
    #[error(transparent)]
    Timeline(#[from] vramscope_timeline::document::ReadError),
    /// More rows than this program holds.
    #[error("read the GPU log: it has more than {rows} rows; cut it to the run, or thin it out")]
    TooLong {
        /// The limit.
        rows: usize,
    },
}

impl GpuLog {
    /// A timeline that our own sampler recorded.
    pub(crate) fn of_recording(recorded: Recorded) -> Self {
        let mut seen: BTreeMap<(DeviceIndex, u32), ProcessUse> = BTreeMap::new();
        for slow in recorded.timeline.slow_samples() {
            for process in slow.reading.processes.iter().flatten() {
                let used = process.used.unwrap_or(Bytes::ZERO);
                let first = ProcessUse {
                    device: slow.device,
                    pid: process.pid,
                    max_used: used,
                    first_seen: slow.at,
                    last_seen: slow.at,
                };
                let entry = seen.entry((slow.device, process.pid)).or_insert(first);
                entry.max_used = entry.max_used.max(used);
                entry.last_seen = slow.at;
            }
        }
        let notes = recorded.notes.into_iter().map(|note| Note::Recorder { line: note.line, text: note.text });
        Self {
            notes: notes.collect(),
            clock: Clock::Utc,
            has_processes: !seen.is_empty(),
            processes: seen.into_values().collect(),
            timeline: recorded.timeline,
        }
    }
}

impl GpuLogError {
    pub(crate) fn from_csv(error: csv::Error) -> Self {
        let source = match error.into_kind() {
            csv::ErrorKind::Io(source) => source,
            other => io::Error::new(io::ErrorKind::InvalidData, format!("{other:?}")),
        };
        Self::Read { source }
    }
}

/// What a log says of devices and processes, apart from readings.
#[derive(Debug, Default)]
pub(crate) struct Details {
    devices: BTreeMap<DeviceIndex, Device>,
    processes: BTreeMap<(DeviceIndex, u32), (Bytes, i64, i64)>,
    has_processes: bool,
}

/// Only so many processes are kept a log; a GPU has a few.
const MAX_PROCESSES: usize = 4096;

impl Details {
    fn device(&mut self, index: DeviceIndex) -> &mut Device {
        self.devices.entry(index).or_insert_with(|| Device::unnamed(index))
    }

    pub(crate) fn set(&mut self, index: DeviceIndex, set: impl FnOnce(&mut Device)) {
        set(self.device(index));
    }

    /// Whether a device still lacks its identity: saves reading the same text in every row.
    pub(crate) fn lacks_identity(&self, index: DeviceIndex) -> bool {
        !self.devices.contains_key(&index)
    }

    /// Takes a cell `pid:bytes;pid:bytes`.
    pub(crate) fn processes(&mut self, row: &Row, cell: &str) -> Result<(), String> {
        self.has_processes = true;
        for entry in cell.split(';').filter(|entry| !entry.trim().is_empty()) {
            let parsed = entry
                .split_once(':')
                .and_then(|(pid, used)| Some((pid.trim().parse::<u32>().ok()?, used.trim().parse::<u64>().ok()?)));
            let (pid, used) = parsed.ok_or_else(|| format!("processes has {entry:?}; expected pid:bytes"))?;
            if self.processes.len() >= MAX_PROCESSES && !self.processes.contains_key(&(row.device, pid)) {
                continue;
            }
            let seen = self.processes.entry((row.device, pid)).or_insert((Bytes::ZERO, row.unix_ns, row.unix_ns));
            *seen = (seen.0.max(Bytes::new(used)), seen.1.min(row.unix_ns), seen.2.max(row.unix_ns));
        }
        Ok(())
    }

    pub(crate) fn note_process_column(&mut self) {
        self.has_processes = true;
    }
}

/// Reads a GPU log of any format: our sampler's recordings are JSON lines, those of `nvidia-smi dmon` begin with `#`, and
/// everything else is CSV. Lines that cannot be read become notes.
///
/// # Errors
/// [`GpuLogError`] if the source fails, if there is no header with the columns that are needed, or no readable row.
pub fn read(source: impl io::Read) -> Result<GpuLog, GpuLogError> {
    let mut source = io::BufReader::with_capacity(1 << 16, source);
    let start = source.fill_buf().map_err(|source| GpuLogError::Read { source })?;
    if start.trim_ascii_start().starts_with(b"{") {
        return Ok(GpuLog::of_recording(vramscope_timeline::document::read(source)?));
    }
    if gpu_dmon::begins(start) {
        return gpu_csv::read(gpu_dmon::AsCsv::new(source));
    }
    gpu_csv::read(source)
}

/// Puts rows in order, finds ticks and gaps, and states what was odd.
pub(crate) fn assemble(mut rows: Vec<Row>, details: Details, clock: Clock, mut notes: Vec<Note>) -> GpuLog {
    mend_clock(&mut rows, &mut notes);
    mend_order(&mut rows, &mut notes);
    let anchor = rows.first().map_or(0, |row| row.unix_ns);
    let since = |unix_ns: i64| Duration::from_nanos(u64::try_from(unix_ns - anchor).unwrap_or(0));
    let mut timeline = Timeline::new(Some(anchor));
    for device in details.devices.into_values() {
        timeline.describe(device);
    }
    let period = device_period(&rows);
    let mut tick = 0;
    let mut started = anchor;
    let mut in_tick: Vec<DeviceIndex> = Vec::new();
    for row in &rows {
        let late = period.is_some_and(|period| row.unix_ns - started > period / 2);
        if !in_tick.is_empty() && (late || in_tick.contains(&row.device)) {
            tick += 1;
            in_tick.clear();
        }
        if in_tick.is_empty() {
            started = row.unix_ns;
        }
        in_tick.push(row.device);
        let sample = Sample { at: since(row.unix_ns), tick, device: row.device, reading: row.reading };
        timeline.push(sample).unwrap_or_else(|error| unreachable!("ticks only grow in this loop: {error}"));
    }
    describe_memory(&mut timeline);
    note_gaps(&mut timeline, period);
    let processes = details.processes.into_iter().map(|((device, pid), (max_used, first, last))| ProcessUse {
        device,
        pid,
        max_used,
        first_seen: since(first),
        last_seen: since(last),
    });
    GpuLog { timeline, clock, processes: processes.collect(), has_processes: details.has_processes, notes }
}

/// Recognises a clock that was set back: the times of a device go back and stay back. A single row that is late is
/// left to `mend_order`.
fn mend_clock(rows: &mut [Row], notes: &mut Vec<Note>) {
    const STAYS_BACK: usize = 3;
    let mut moved: i64 = 0;
    let mut latest: BTreeMap<DeviceIndex, i64> = BTreeMap::new();
    let period = device_period(rows).unwrap_or(0);
    for i in 0..rows.len() {
        let (device, time) = (rows[i].device, rows[i].unix_ns.saturating_add(moved));
        if let Some(&last) = latest.get(&device).filter(|&&last| time < last) {
            let ahead = rows[i..].iter().filter(|row| row.device == device).take(STAYS_BACK);
            let stays = ahead.filter(|row| row.unix_ns.saturating_add(moved) < last).count() == STAYS_BACK;
            if stays {
                let by = last.saturating_add(period).saturating_sub(time);
                moved = moved.saturating_add(by);
                notes.push(Note::ClockSetBack {
                    line: rows[i].line,
                    by: Duration::from_nanos(u64::try_from(by).unwrap_or(0)),
                });
            }
        }
        rows[i].unix_ns = rows[i].unix_ns.saturating_add(moved);
        let entry = latest.entry(device).or_insert(i64::MIN);
        *entry = (*entry).max(rows[i].unix_ns);
    }
}

/// Sorts rows by time and drops those that repeat a time of their device.
fn mend_order(rows: &mut Vec<Row>, notes: &mut Vec<Note>) {
    let mut latest = i64::MIN;
    let mut late = rows.iter().filter(|row| {
        let behind = row.unix_ns < latest;
        latest = latest.max(row.unix_ns);
        behind
    });
    if let Some(line) = late.next().map(|row| row.line) {
        let count = 1 + late.count();
        notes.push(Note::OutOfOrder { rows: u64::try_from(count).unwrap_or(u64::MAX), line });
        rows.sort_by_key(|row| row.unix_ns);
    }
    let mut last: BTreeMap<DeviceIndex, i64> = BTreeMap::new();
    let mut repeated: Option<(u64, u64)> = None;
    rows.retain(|row| {
        let repeats = last.insert(row.device, row.unix_ns) == Some(row.unix_ns);
        if repeats {
            let (count, line) = repeated.unwrap_or((0, row.line));
            repeated = Some((count + 1, line));
        }
        !repeats
    });
    if let Some((rows, line)) = repeated {
        notes.push(Note::Duplicate { rows, line });
    }
}

/// The median time between two rows of one device, in nanoseconds; `None` with fewer than two rows of any device.
fn device_period(rows: &[Row]) -> Option<i64> {
    const ENOUGH: usize = 10_000;
    let mut last: BTreeMap<DeviceIndex, i64> = BTreeMap::new();
    let mut steps: Vec<i64> = Vec::new();
    for row in rows {
        if let Some(before) = last.insert(row.device, row.unix_ns) {
            steps.push(row.unix_ns.saturating_sub(before));
        }
        if steps.len() == ENOUGH {
            break;
        }
    }
    let middle = steps.len() / 2;
    steps.get(middle)?;
    Some(*steps.select_nth_unstable(middle).1)
}

/// States each device's memory as its readings do.
fn describe_memory(timeline: &mut Timeline) {
    let known: Vec<Device> = timeline.devices().to_vec();
    for mut device in known {
        let first = timeline.of_device(device.index, Window::ALL).find(|s| s.reading.total.is_some());
        if let Some(reading) = first.map(|s| s.reading) {
            device.total = reading.total;
            device.reserved = reading.reserved;
            timeline.describe(device);
        }
    }
}

/// A hole of this many periods is a gap; less is the jitter of a busy machine.
const GAP_PERIODS: i64 = 4;

fn note_gaps(timeline: &mut Timeline, period: Option<i64>) {
    let Some(period) = period.and_then(|p| u64::try_from(p).ok()).filter(|p| *p > 0) else { return };
    let limit = Duration::from_nanos(period.saturating_mul(GAP_PERIODS.unsigned_abs()));
    let starts: Vec<Duration> = timeline.ticks().filter_map(|tick| tick.first().map(|s| s.at)).collect();
    for pair in starts.windows(2) {
        let hole = pair[1].saturating_sub(pair[0]);
        if hole >= limit {
            let missed = u64::try_from(hole.as_nanos() / u128::from(period)).unwrap_or(u64::MAX).saturating_sub(1);
            let window = Window { start: pair[0], end: pair[1] };
            timeline.note_gap(Gap { window, device: None, cause: GapCause::MissedTicks, missed });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(line: u64, unix_ms: i64, device: u32, used: u64) -> Row {
        let reading = Reading { used: Bytes::new(used), ..Reading::default() };
        Row { line, unix_ns: unix_ms * 1_000_000, device: DeviceIndex(device), reading }
    }

    fn used(log: &GpuLog) -> Vec<u64> {
        log.timeline.samples().iter().map(|s| s.reading.used.get()).collect()
    }

    #[test]
    fn a_late_row_is_put_in_order_and_noted() {
        let rows = vec![row(2, 0, 0, 1), row(3, 200, 0, 3), row(4, 100, 0, 2), row(5, 300, 0, 4), row(6, 400, 0, 5)];
        let log = assemble(rows, Details::default(), Clock::Utc, Vec::new());
        assert_eq!(used(&log), [1, 2, 3, 4, 5]);
        assert_eq!(log.notes, [Note::OutOfOrder { rows: 1, line: 4 }]);
    }

    #[test]
    fn the_first_of_two_rows_of_one_time_counts() {
        let rows = vec![row(2, 0, 0, 1), row(3, 0, 0, 9), row(4, 100, 0, 2)];
        let log = assemble(rows, Details::default(), Clock::Utc, Vec::new());
        assert_eq!(used(&log), [1, 2]);
        assert_eq!(log.notes, [Note::Duplicate { rows: 1, line: 3 }]);
    }

    #[test]
    fn a_clock_set_back_does_not_mix_two_times() {
        let before = (0..5).map(|i| row(2 + i, i64::try_from(i).unwrap() * 100, 0, i));
        let after = (0..5).map(|i| row(7 + i, i64::try_from(i).unwrap() * 100 - 3_000, 0, 10 + i));
        let log = assemble(before.chain(after).collect(), Details::default(), Clock::Utc, Vec::new());
        assert_eq!(used(&log), [0, 1, 2, 3, 4, 10, 11, 12, 13, 14], "order of the file is order of time");
        assert!(matches!(log.notes[..], [Note::ClockSetBack { line: 7, .. }]), "{:?}", log.notes);
        let times: Vec<u128> = log.timeline.samples().iter().map(|s| s.at.as_millis()).collect();
        assert_eq!(times[4..6], [400, 500]);
    }

    #[test]
    fn a_hole_is_a_gap_and_jitter_is_not() {
        let times = [0, 100, 210, 300, 400, 1_400, 1_500];
        let rows = times.iter().zip(2..).map(|(&t, line)| row(line, t, 0, 1)).collect();
        let log = assemble(rows, Details::default(), Clock::Utc, Vec::new());
        let [gap] = log.timeline.gaps() else { panic!("one gap, not {:?}", log.timeline.gaps()) };
        assert_eq!((gap.window.start.as_millis(), gap.window.end.as_millis(), gap.missed), (400, 1_400, 9));
    }

    #[test]
    fn a_device_that_fails_for_a_tick_leaves_it_incomplete() {
        let rows = vec![row(2, 0, 0, 1), row(3, 1, 1, 10), row(4, 100, 1, 20), row(5, 200, 0, 3), row(6, 201, 1, 30)];
        let log = assemble(rows, Details::default(), Clock::Utc, Vec::new());
        let totals: Vec<u64> = log.timeline.totals(Window::ALL).map(|t| t.used.get()).collect();
        assert_eq!(totals, [11, 33]);
    }

    proptest! {
        #[test]
        fn no_row_is_lost_but_repetitions(times in prop::collection::vec((0i64..1 << 40, 0u32..4), 1..60)) {
            let rows: Vec<Row> = times.iter().zip(2..).map(|(&(t, d), line)| row(line, t, d, 1)).collect();
            let log = assemble(rows, Details::default(), Clock::Utc, Vec::new());
            let dropped: u64 = log.notes.iter().map(|n| if let Note::Duplicate { rows, .. } = n { *rows } else { 0 }).sum();
            prop_assert_eq!(log.timeline.samples().len() as u64 + dropped, times.len() as u64);
            let at: Vec<Duration> = log.timeline.samples().iter().map(|s| s.at).collect();
            prop_assert!(at.is_sorted());
        }
    }
}
