//! A recorded GPU log, whatever its format: rows in, a timeline out, with everything odd noted.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead as _};
use std::time::Duration;

use vramscope_core::{Bytes, Device, DeviceIndex, Reading, Timeline};
use vramscope_gpu::document::MAX_GPUS;
use vramscope_timeline::document::Recorded;

use super::{gpu_csv, gpu_dmon};

mod assemble;

pub(crate) use assemble::assemble;

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
#[non_exhaustive]
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
#[non_exhaustive]
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
    /// The time between two samples as the recorder was asked for it, where the log says so.
    pub asked_period: Option<Duration>,
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
    /// No column numbers the devices: they are told apart by their UUID or bus address, and numbered as they came.
    NumberedByName {
        /// How many devices there are.
        devices: usize,
    },
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
            Self::NumberedByName { devices } => write!(
                f,
                "no column numbers the devices; its {devices} are told apart by their UUID or bus address and numbered as they came"
            ),
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
    /// More devices than a machine has.
    #[error(
        "read the GPU log: line {line} is of device {device}, and the lines before it of {MAX_GPUS} others; expected one \
         machine's devices, at most {MAX_GPUS}; cut the log to one machine, or record anew if its index column is damaged"
    )]
    TooManyDevices {
        /// The line, from 1.
        line: u64,
        /// The device that is one too many.
        device: DeviceIndex,
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
        let period_ms = recorded.header.period_ms.filter(|ms| *ms > 0.0);
        Self {
            asked_period: period_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok()),
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

    /// Takes note of a row's device.
    pub(crate) fn admit(&mut self, row: &Row) -> Result<(), GpuLogError> {
        if self.devices.len() >= MAX_GPUS && !self.devices.contains_key(&row.device) {
            return Err(GpuLogError::TooManyDevices { line: row.line, device: row.device });
        }
        Ok(())
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
