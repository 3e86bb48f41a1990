//! A framework's allocator as tracks: use by part as counters, single allocations as slices, failures as instants.

use std::io;

use serde_json::{Map, Value, json};

use super::counters::gib;
use super::event::{EventWriter, shown};
use super::lanes::Lanes;
use super::slices::counter_key;
use super::{Host, IDS, Moment, PROCESSES, TrackCounts};

/// What one device's allocator did. Moments count from the anchor, in nanoseconds.
#[derive(Debug, Clone, Default)]
pub struct AllocatorTrack {
    /// What it is called.
    pub name: String,
    /// The names of the parts, in the order of each use.
    pub parts: Vec<String>,
    /// Use over time, in order.
    pub uses: Vec<AllocatorUse>,
    /// When there was no memory.
    pub failures: Vec<AllocatorFailure>,
    /// Pools, each with its allocations in the order of their beginnings.
    pub pools: Vec<(String, Vec<AllocationSpan>)>,
}

/// There was no memory.
#[derive(Debug, Clone, Default)]
pub struct AllocatorFailure {
    /// When.
    pub at: Moment,
    /// What it is called.
    pub name: String,
    /// What else is known of it.
    pub about: Vec<(String, Value)>,
}

/// Use of an allocator at a moment.
#[derive(Debug, Clone, Default)]
pub struct AllocatorUse {
    /// When.
    pub at: Moment,
    /// Bytes asked for in active blocks.
    pub requested: u64,
    /// The same by part, in bytes.
    pub parts: Vec<u64>,
    /// Bytes that the allocator has of the driver, if that is known.
    pub reserved: Option<u64>,
}

/// An allocation from its begin to its end.
#[derive(Debug, Clone, Default)]
pub struct AllocationSpan {
    /// When it began.
    pub start: Moment,
    /// When it ended.
    pub end: Moment,
    /// What it is called.
    pub name: String,
    /// What else is known of it.
    pub about: Vec<(String, Value)>,
}

/// Threads of a file in all.
const THREADS: u32 = IDS - 2 * PROCESSES;

/// Writes a file of its own, whose time zero has this wall clock, in nanoseconds since 1970 UTC.
///
/// # Errors
/// The writer's.
pub fn allocator_tracks<W: io::Write>(
    out: W,
    anchor_unix_ns: Option<i64>,
    devices: &[AllocatorTrack],
) -> io::Result<TrackCounts> {
    let out = EventWriter::new(out, Host::Own { anchor_unix_ns })?;
    let mut file = File { out, processes: 0, threads: 0, counts: TrackCounts::default() };
    for device in devices {
        file.device(device)?;
    }
    let (events, before_zero, bytes) = file.out.finish()?;
    Ok(TrackCounts { events, before_zero, bytes, ..file.counts })
}

struct File<W> {
    out: EventWriter<W>,
    processes: u32,
    threads: u32,
    counts: TrackCounts,
}

impl<W: io::Write> File<W> {
    /// One more process; `None` when there are no ids left, which is counted.
    fn process(&mut self, name: &str) -> io::Result<Option<super::event::Place>> {
        if self.processes >= PROCESSES {
            self.counts.left_out += 1;
            return Ok(None);
        }
        let number = self.processes;
        self.processes += 1;
        let place = self.out.place(number, PROCESSES + number);
        self.out.process(place, &format!("vramscope: {name}"), number)?;
        Ok(Some(place))
    }

    /// One more thread.
    fn thread(&mut self, process: super::event::Place, name: &str) -> io::Result<Option<super::event::Place>> {
        if self.threads >= THREADS {
            return Ok(None);
        }
        let place = process.thread(self.out.id(2 * PROCESSES + self.threads));
        self.out.thread(place, name, self.threads)?;
        self.threads += 1;
        Ok(Some(place))
    }

    fn device(&mut self, device: &AllocatorTrack) -> io::Result<()> {
        let Some(process) = self.process(&device.name)? else { return Ok(()) };
        let keys: Vec<String> = device.parts.iter().map(|part| counter_key(part)).collect();
        let (mut requested, mut reserved, mut parts) = (None, None, None);
        for one in &device.uses {
            self.counts.samples += 1;
            if requested.replace(one.requested) != Some(one.requested) {
                self.out.counter(process, one.at, "requested in active blocks", &[("GiB", gib(one.requested))])?;
            }
            // What is not known for once leaves its track as it is.
            if let Some(now) = one.reserved
                && reserved.replace(now) != Some(now)
            {
                self.out.counter(process, one.at, "reserved of the driver", &[("GiB", gib(now))])?;
            }
            if !keys.is_empty() && parts.replace(&one.parts) != Some(&one.parts) {
                let sizes = keys.iter().map(String::as_str).zip(one.parts.iter().map(|bytes| gib(*bytes)));
                self.out.counter(process, one.at, "requested by part (GiB)", &sizes.collect::<Vec<_>>())?;
            }
        }
        if !device.failures.is_empty()
            && let Some(thread) = self.thread(process, "out of memory")?
        {
            for failure in &device.failures {
                self.out.instant(thread, failure.at, &shown(&failure.name), told(&failure.about))?;
            }
        }
        for (name, spans) in &device.pools {
            self.pool(name, spans)?;
        }
        Ok(())
    }

    fn pool(&mut self, name: &str, spans: &[AllocationSpan]) -> io::Result<()> {
        let Some(process) = self.process(name)? else { return Ok(()) };
        let mut lanes = Lanes::default();
        let mut places = Vec::new();
        for span in spans {
            let Some(lane) = lanes.take(span.start, span.end) else {
                self.counts.left_out += 1;
                continue;
            };
            if lane == places.len() {
                match self.thread(process, &format!("allocations, lane {}", lane + 1))? {
                    Some(place) => places.push(place),
                    None => {
                        self.counts.left_out += 1;
                        continue;
                    }
                }
            }
            let Some(place) = places.get(lane) else {
                self.counts.left_out += 1;
                continue;
            };
            self.out.slice(*place, (span.start, span.end), &shown(&span.name), told(&span.about))?;
        }
        Ok(())
    }
}

fn told(about: &[(String, Value)]) -> Map<String, Value> {
    let one = |(name, value): &(String, Value)| {
        (shown(name), value.as_str().map_or_else(|| value.clone(), |text| json!(shown(text))))
    };
    about.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counters_allocations_that_overlap_lie_in_lanes_and_failures_are_instants() {
        let span = |start, end, name: &str| AllocationSpan { start, end, name: name.into(), about: Vec::new() };
        let one = |at, weights, reserved| AllocatorUse { at, requested: weights, parts: vec![weights], reserved };
        let device = AllocatorTrack {
            name: "allocator of device 0".into(),
            parts: vec!["wei\"ghts".into()],
            uses: vec![one(0, 1 << 30, Some(2 << 30)), one(1000, 1 << 30, None), one(2000, 0, Some(2 << 30))],
            failures: vec![AllocatorFailure {
                at: 1500,
                name: "out of memory".into(),
                about: vec![("asked_bytes".into(), json!(7))],
            }],
            pools: vec![("pool 0,0".into(), vec![span(0, 9000, "a"), span(10, 50, "b"), span(60, 70, "c")])],
        };
        let mut text = Vec::new();
        let counts = allocator_tracks(&mut text, Some(5), &[device]).unwrap();
        assert_eq!((counts.samples, counts.left_out, counts.bytes), (3, 0, text.len() as u64));
        let document: Value = serde_json::from_slice(&text).unwrap();
        let events = document["traceEvents"].as_array().unwrap();
        assert_eq!(events.len() as u64, counts.events);
        let of = |phase: &str, name: &str| {
            events.iter().filter(|event| event["ph"] == phase && event["name"] == name).collect::<Vec<_>>()
        };
        assert_eq!(of("C", "requested in active blocks").len(), 2, "what did not change is not written again");
        assert_eq!(of("C", "reserved of the driver").len(), 1);
        assert_eq!(of("C", "requested by part (GiB)")[1]["args"], json!({"weights": 0.0}));
        assert_eq!(of("i", "out of memory")[0]["args"]["asked_bytes"], 7);
        let (a, b, c) = (of("X", "a")[0], of("X", "b")[0], of("X", "c")[0]);
        assert!(a["tid"] != b["tid"] && b["tid"] == c["tid"] && a["pid"] == c["pid"]);
        let processes: std::collections::BTreeSet<_> = events.iter().map(|event| event["pid"].as_u64()).collect();
        assert_eq!(processes.len(), 2, "the device and its pool");
    }
}
