//! One event after another, as JSON.
//!
//! The format is Chrome's Trace Event Format: `ts` and `dur` in microseconds, `C` counters, `X` complete slices, `i`
//! instants, `M` names. Its threads are told apart by their ids alone in Perfetto, so no two processes share one.

use std::io::{self, Write as _};

use serde_json::{Map, Value};
use vramscope_core::{on_one_line, redact, shortened};

use super::{Host, Moment};

/// No name or text of others is longer in a trace.
const MOST_TEXT: usize = 400;
/// No longer text is searched for secrets: far longer than what is shown, so that what it is cut within is not shown.
const MOST_SEARCHED: usize = 64 << 10;

/// Text of others without secrets and controls, at a length that a viewer shows.
pub(super) fn shown(text: &str) -> String {
    // Of a secret that is shortened the rest would not be known for one, so that it is searched for before.
    let end = (0..=text.len().min(MOST_SEARCHED)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    shortened(&on_one_line(&redact(&text[..end])), MOST_TEXT).into_owned()
}

/// A process with one of its threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pid: u32,
    tid: u32,
}

impl Place {
    pub(super) fn thread(self, tid: u32) -> Self {
        Self { tid, ..self }
    }
}

/// Writes events.
pub(super) struct EventWriter<W> {
    out: Counted<W>,
    host: Host,
    begun: bool,
    events: u64,
    before_zero: u64,
}

impl<W: io::Write> EventWriter<W> {
    pub(super) fn new(out: W, host: Host) -> io::Result<Self> {
        let mut out = Counted { out, bytes: 0 };
        let begun = match host {
            Host::Own { anchor_unix_ns } => {
                writeln!(out, "{{\"displayTimeUnit\": \"ms\",")?;
                if let Some(anchor) = anchor_unix_ns {
                    writeln!(out, "\"baseTimeNanoseconds\": {anchor},")?;
                }
                write!(out, "\"traceEvents\": [")?;
                false
            }
            Host::Other { begun, .. } => begun,
        };
        Ok(Self { out, host, begun, events: 0, before_zero: 0 })
    }

    /// An id that no other trace in the file uses.
    pub(super) fn id(&self, number: u32) -> u32 {
        match self.host {
            Host::Own { .. } => 1 + number,
            Host::Other { first_id, .. } => first_id.saturating_add(number),
        }
    }

    pub(super) fn place(&self, process: u32, thread: u32) -> Place {
        Place { pid: self.id(process), tid: self.id(thread) }
    }

    /// A process's name, and its place among ours, which stand above those of a program.
    pub(super) fn process(&mut self, place: Place, name: &str, number: u32) -> io::Result<()> {
        self.metadata(place, "process_name", "name", shown(name).into())?;
        self.metadata(place, "process_sort_index", "sort_index", (i64::from(number) - i64::from(super::IDS)).into())
    }

    /// A thread's name, and its place in its process.
    pub(super) fn thread(&mut self, place: Place, name: &str, number: u32) -> io::Result<()> {
        self.metadata(place, "thread_name", "name", shown(name).into())?;
        self.metadata(place, "thread_sort_index", "sort_index", number.into())
    }

    pub(super) fn counter(&mut self, place: Place, at: Moment, name: &str, series: &[(&str, Value)]) -> io::Result<()> {
        self.begin("C", place, at, name)?;
        let mut mark = '{';
        write!(self.out, ", \"args\": ")?;
        for (name, value) in series {
            write!(self.out, "{mark}\"{name}\": {value}")?;
            mark = ',';
        }
        write!(self.out, "}}}}")
    }

    pub(super) fn slice(
        &mut self,
        place: Place,
        (start, end): (Moment, Moment),
        name: &str,
        args: Map<String, Value>,
    ) -> io::Result<()> {
        self.begin("X", place, start, name)?;
        let length = i128::from(end) - i128::from(start);
        write!(self.out, ", \"dur\": {}, \"args\": {}}}", Micros(length.max(0)), Value::from(args))
    }

    pub(super) fn instant(&mut self, place: Place, at: Moment, name: &str, args: Map<String, Value>) -> io::Result<()> {
        self.begin("i", place, at, name)?;
        write!(self.out, ", \"s\": \"t\", \"args\": {}}}", Value::from(args))
    }

    /// Closes a file of its own; answers how many events there are, how many of them before zero, and bytes.
    pub(super) fn finish(mut self) -> io::Result<(u64, u64, u64)> {
        if let Host::Own { .. } = self.host {
            write!(self.out, "\n]}}\n")?;
        }
        self.out.flush()?;
        Ok((self.events, self.before_zero, self.out.bytes))
    }

    fn metadata(&mut self, place: Place, what: &str, key: &str, value: Value) -> io::Result<()> {
        self.separate()?;
        let Place { pid, tid } = place;
        write!(
            self.out,
            "{{\"ph\": \"M\", \"pid\": {pid}, \"tid\": {tid}, \"name\": \"{what}\", \"args\": {{\"{key}\": {value}}}}}"
        )
    }

    fn begin(&mut self, phase: &str, place: Place, at: Moment, name: &str) -> io::Result<()> {
        self.separate()?;
        let anchor = match self.host {
            Host::Own { .. } => 0,
            Host::Other { anchor_ns, .. } => anchor_ns,
        };
        let ts = i128::from(anchor) + i128::from(at);
        self.before_zero += u64::from(ts < 0);
        let Place { pid, tid } = place;
        let name = Value::from(name);
        write!(
            self.out,
            "{{\"ph\": \"{phase}\", \"cat\": \"vramscope\", \"pid\": {pid}, \"tid\": {tid}, \"ts\": {}, \"name\": {name}",
            Micros(ts)
        )
    }

    fn separate(&mut self) -> io::Result<()> {
        let comma = if std::mem::replace(&mut self.begun, true) { ",\n" } else { "\n" };
        self.events += 1;
        self.out.write_all(comma.as_bytes())
    }
}

/// Nanoseconds, written as microseconds with their decimals.
struct Micros(i128);

impl std::fmt::Display for Micros {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let size = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:03}", size / 1000, size % 1000)
    }
}

struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: io::Write> io::Write for Counted<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let n = self.out.write(buffer)?;
        self.bytes += u64::try_from(n).unwrap_or(0);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
