//! A recording as tracks of a trace viewer, in the Trace Event Format that Perfetto and Chrome's viewer open.
//!
//! What is written streams out as it comes: nothing is held but the last values of each device and one open tick. Times
//! are those of the recording, to the nanosecond; a counter keeps its value until its next event, so that a figure that
//! did not change is not written again. Only memory is: one event a sample.

mod allocator;
mod counters;
mod event;
mod lanes;
mod slices;

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};
use vramscope_core::{Device, DeviceIndex, Sample};

pub use allocator::{AllocationSpan, AllocatorFailure, AllocatorTrack, AllocatorUse, allocator_tracks};
use counters::{Counters, OpenTick};
use event::{EventWriter, Place};
pub use slices::{Moment, Parts, RequestSpan, SpanOfPhase};

/// Ids of one writer: processes in the lower quarter, threads in the rest. Whoever merges keeps so many free.
pub const IDS: u32 = 4096;

/// Ids of processes among them.
const PROCESSES: u32 = IDS / 4;

/// Threads side by side for requests or gaps that overlap; of more at once the rest is left out and counted.
const MOST_LANES: usize = 2000;

/// The process of what is of all devices.
const WHOLE: u32 = 0;
/// The process of the engine.
const ENGINE: u32 = 1;
/// The process of requests.
const REQUESTS: u32 = 2;
/// The process of the first device.
const DEVICES: u32 = 3;

/// A thread of phases, one of log events, one of the peak, and lanes behind them.
const PHASES: u32 = 0;
const LOG: u32 = 1;
const PEAK: u32 = 2;
const LANES: u32 = 3;

/// Where tracks go: a file of their own, or an array of events in which others stand already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// A file of its own. Its time zero is the recording's anchor, whose wall clock is this one, if known.
    Own {
        /// Nanoseconds since 1970 UTC.
        anchor_unix_ns: Option<i64>,
    },
    /// An array of another trace's events.
    Other {
        /// The recording's anchor on the trace's clock, in nanoseconds.
        anchor_ns: i64,
        /// The first of [`IDS`] ids that the trace does not use.
        first_id: u32,
        /// Whether events stand in the array already.
        begun: bool,
    },
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TrackCounts {
    /// Samples, each a counter event of its device's memory.
    pub samples: u64,
    /// Events of all kinds.
    pub events: u64,
    /// Slices that found no lane, and devices that found no process.
    pub left_out: u64,
    /// Events before the clock's zero. Perfetto drops those.
    pub before_zero: u64,
    /// Bytes of JSON.
    pub bytes: u64,
}

/// Writes a recording's tracks.
pub struct Tracks<W> {
    out: EventWriter<W>,
    devices: BTreeMap<DeviceIndex, (Place, Counters)>,
    /// Devices that a complete tick has.
    expected: usize,
    tick: OpenTick,
    whole: Counters,
    threads: u32,
    counts: TrackCounts,
    suffix: String,
    named: [bool; 3],
    engine_threads: [bool; 2],
}

impl<W: io::Write> Tracks<W> {
    /// Begins. `devices` are those of the recording; `remark` stands behind the name of each process, as that a time was
    /// set by hand.
    ///
    /// # Errors
    /// The writer's.
    pub fn new(out: W, host: Host, devices: &[Device], remark: Option<&str>) -> io::Result<Self> {
        let mut tracks = Self {
            out: EventWriter::new(out, host)?,
            devices: BTreeMap::new(),
            expected: devices.len(),
            tick: OpenTick::default(),
            whole: Counters::default(),
            threads: LANES,
            counts: TrackCounts::default(),
            suffix: remark.map(|remark| format!(" ({remark})")).unwrap_or_default(),
            named: [false; 3],
            engine_threads: [false; 2],
        };
        for device in devices {
            tracks.device(device.index, device.name.as_deref())?;
        }
        Ok(tracks)
    }

    /// A reading of a device: memory each time, the others where they changed.
    ///
    /// # Errors
    /// The writer's.
    pub fn sample(&mut self, sample: &Sample) -> io::Result<()> {
        if !self.devices.contains_key(&sample.device) {
            self.expected += 1;
            self.device(sample.device, None)?;
        }
        if let Some(total) = self.tick.push(sample, self.expected) {
            self.name(WHOLE)?;
            let place = self.place(WHOLE);
            counters::total(&mut self.out, place, total)?;
        }
        if let Some((place, counters)) = self.devices.get_mut(&sample.device) {
            self.counts.samples += 1;
            counters.sample(&mut self.out, *place, sample)?;
        }
        Ok(())
    }

    /// What a profile keeps of a tick over all devices.
    ///
    /// # Errors
    /// The writer's.
    pub fn whole(&mut self, sample: &Sample) -> io::Result<()> {
        self.name(WHOLE)?;
        self.counts.samples += 1;
        let place = self.place(WHOLE);
        self.whole.sample(&mut self.out, place, sample)
    }

    /// What the engine said of itself at a moment, counted from the anchor: the share of its KV cache in use, requests that
    /// run and that wait.
    ///
    /// # Errors
    /// The writer's.
    pub fn engine(
        &mut self,
        at: Moment,
        kv_ratio: Option<f64>,
        running: Option<f64>,
        waiting: Option<f64>,
    ) -> io::Result<()> {
        self.name(ENGINE)?;
        let place = self.place(ENGINE);
        if let Some(ratio) = kv_ratio.filter(|ratio| ratio.is_finite()) {
            self.out.counter(place, at, "KV cache in use", &[("%", json!(ratio * 100.0))])?;
        }
        let requests: Vec<(&str, Value)> = [("running", running), ("waiting", waiting)]
            .into_iter()
            .filter_map(|(name, count)| Some((name, json!(count.filter(|count| count.is_finite())?))))
            .collect();
        if requests.is_empty() { Ok(()) } else { self.out.counter(place, at, "requests", &requests) }
    }

    /// Ends; a file of its own is closed.
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(self) -> io::Result<TrackCounts> {
        let (events, before_zero, bytes) = self.out.finish()?;
        Ok(TrackCounts { events, before_zero, bytes, ..self.counts })
    }

    fn device(&mut self, index: DeviceIndex, name: Option<&str>) -> io::Result<()> {
        let number = u32::try_from(self.devices.len()).unwrap_or(u32::MAX);
        if number >= PROCESSES - DEVICES {
            self.counts.left_out += 1;
            return Ok(());
        }
        let place = self.place(DEVICES + number);
        let name = name.map(|name| format!(" {name}")).unwrap_or_default();
        self.out.process(place, &format!("vramscope: GPU {}{name}{}", index.0, self.suffix), number + DEVICES)?;
        self.devices.insert(index, (place, Counters::default()));
        Ok(())
    }

    /// A process, and the thread that stands for it alone.
    fn place(&self, process: u32) -> Place {
        self.out.place(process, PROCESSES + process)
    }

    /// Names one of the processes that are not devices, the first time that something of it comes.
    fn name(&mut self, process: u32) -> io::Result<()> {
        let (title, slot) = match process {
            WHOLE => ("all GPUs", 0),
            ENGINE => ("engine", 1),
            _ => ("requests", 2),
        };
        if std::mem::replace(&mut self.named[slot], true) {
            return Ok(());
        }
        let place = self.place(process);
        self.out.process(place, &format!("vramscope: {title}{}", self.suffix), process)
    }

    /// A thread of a process. Threads have ids behind those that stand for processes.
    fn thread(&self, process: Place, number: u32) -> Place {
        process.thread(self.out.id(2 * PROCESSES + number))
    }
}

#[cfg(test)]
mod tests;
