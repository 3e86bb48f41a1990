//! The snapshot out of its records.

use std::ops::Range;

use vramscope_core::redact;

use super::{Builder, Cell, Fault, HOST, Value};
use crate::Settings;
use crate::model::{Format, HostMemory, Segment, Snapshot, Trace};
use crate::source::Input;

/// The most devices of one process; torch stops at 256 itself.
const MAX_DEVICES: usize = 1024;

impl Builder {
    /// Puts the records together, of which `value` is the outermost: the dictionary of `_snapshot()`, or the list of
    /// segments of `memory_snapshot()`.
    pub(crate) fn finish(
        mut self,
        value: Value,
        format: Format,
        input: &Input,
        followed: bool,
    ) -> Result<Snapshot, Fault> {
        self.names.redact();
        self.settings = self.settings.map(|own| Settings { text: own.text.map(|text| redact(&text)), ..own });
        self.unknown = self.unknown.into_iter().map(|(name, count)| (redact(&name), count)).collect();
        let (segments, traces, hosts) = match (self.kind(value), self.root) {
            (Cell::Root, Some(root)) => (root.segments, root.traces, root.hosts),
            // Before the first allocation `memory_snapshot()` has none.
            (Cell::Segments(_) | Cell::EmptyList, _) => (value, None, None),
            (other, _) => {
                let expected = "a dictionary with `segments` and `device_traces`, or a list of segments";
                return Err(Fault::Field(format!("the file holds {}, expected {expected}", other.noun())));
            }
        };
        let own = self.listed("segments", segments)?;
        let on_host = hosts.filter(|hosts| *hosts != Value::None);
        let host = on_host.map(|hosts| self.listed("host_segments", hosts)).transpose()?;
        let of_host = host.clone().unwrap_or_default();
        if own.len() + of_host.len() != self.segments.len() || (own.start < of_host.end && of_host.start < own.end) {
            return Err(Fault::Field("segments stand outside of the lists `segments` and `host_segments`".into()));
        }
        if self.segments[own.clone()].iter().any(|segment| segment.device == HOST) {
            return Err(Fault::Field("a segment's `device` is -1 in `segments`, expected a device".into()));
        }
        let mut next = 0;
        for at in 0..self.segments.len() {
            let blocks = match self.kind(self.segment_blocks[at]) {
                Cell::EmptyList => next..next,
                Cell::Blocks(range) => self.span(range),
                other => {
                    return Err(Fault::Field(format!("a segment's `blocks` is {}, expected a list", other.noun())));
                }
            };
            // One list for two segments would count its blocks twice, and a file of them for ever.
            if blocks.start != next {
                return Err(Fault::Field("two segments share a list of blocks, or blocks stand outside of any".into()));
            }
            next = blocks.end;
            let sum = self.blocks[blocks.clone()].iter().fold(0, |sum: u64, block| sum.saturating_add(block.size));
            if sum > self.segments[at].total {
                let total = self.segments[at].total;
                return Err(Fault::Field(format!("a segment of {total} bytes has blocks of {sum}, expected no more")));
            }
            self.segments[at].blocks = blocks;
        }
        if next != self.blocks.len() {
            return Err(Fault::Field("blocks stand outside of any segment".into()));
        }
        let traces = match traces {
            None | Some(Value::None) => Vec::new(),
            Some(traces) => self.traces(traces)?,
        };
        // Torch 2.14 writes the list whether or not host memory was recorded.
        let host = host.filter(|range| !range.is_empty()).map(|range| {
            let pieces = &self.segments[range];
            let sum = |of: fn(&Segment) -> u64| pieces.iter().map(of).fold(0, u64::saturating_add);
            HostMemory {
                segments: pieces.len() as u64,
                bytes: sum(|piece| piece.total),
                active_bytes: sum(|piece| piece.active),
            }
        });
        Ok(Snapshot {
            name: input.name().to_owned(),
            format,
            compression: input.compression(),
            file_bytes: input.packed_bytes(),
            plain_bytes: input.offset(),
            names: self.names,
            segments: self.segments.drain(own).collect(),
            blocks: self.blocks,
            events: self.events,
            traces,
            annotations: self.annotations,
            settings: self.settings,
            host,
            unknown: self.unknown,
            followed,
        })
    }

    /// The place of a list of segments.
    fn listed(&self, key: &str, list: Value) -> Result<Range<usize>, Fault> {
        match self.kind(list) {
            Cell::EmptyList => Ok(0..0),
            Cell::Segments(at) => Ok(self.span(at)),
            other => Err(Fault::Field(format!("`{key}` is {}, expected a list of segments", other.noun()))),
        }
    }

    /// The events of each device: a list of lists.
    fn traces(&self, traces: Value) -> Result<Vec<Trace>, Fault> {
        let lists = match self.kind(traces) {
            Cell::EmptyList => return Ok(Vec::new()),
            Cell::List(at) => &self.lists[at as usize],
            other => {
                let problem = format!("`device_traces` is {}, expected a list of lists of events", other.noun());
                return Err(Fault::Field(problem));
            }
        };
        let trace = |list: &Value| match self.kind(*list) {
            Cell::EmptyList => Ok(0..0),
            Cell::Events(at) => Ok(self.ranges[at as usize].0..self.ranges[at as usize].1),
            other => Err(Fault::Field(format!("`device_traces` holds {}, expected lists of events", other.noun()))),
        };
        if lists.len() > MAX_DEVICES {
            return Err(Fault::Limit("the number of devices", MAX_DEVICES as u64));
        }
        let traces = lists.iter().map(trace).collect::<Result<Vec<_>, _>>()?;
        let mut next = 0;
        for trace in traces.iter().filter(|trace| !trace.is_empty()) {
            if trace.start < next {
                return Err(Fault::Field("two devices share a list of events".into()));
            }
            next = trace.end;
        }
        let starts = self.events.starts(&traces).into_iter();
        Ok(starts.zip(&traces).map(|(start, trace)| Trace { start, count: trace.end - trace.start }).collect())
    }

    fn span(&self, at: u32) -> Range<usize> {
        let (start, end) = self.ranges[at as usize];
        start as usize..end as usize
    }
}
