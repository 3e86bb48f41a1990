//! A trace with more events in it.

use std::io;

use crate::event::{Event, Kind};
use crate::info::TraceInfo;
use crate::json::nanos_of_micros;
use crate::read::{self, Sink};
use crate::slice::{header_of, is_json, rewritten, sound_header, sound_trailer};
use crate::{Compression, Notes, Source, TraceError};

/// How many ids, for processes and threads, [`Extended::first_free_id`] finds in a row.
pub const FREE_IDS: u32 = 4096;

/// Ids from here on are looked through for free ones: above those of processes on any system, and within the 31 bits
/// that every viewer keeps.
const FIRST_ID: u64 = 1_900_000_000;

/// Rows of ids of which one is taken. Each is a bit.
const ROWS: u32 = 32;

/// What a trace holds, once all its events were copied.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Extended {
    /// What it says about itself.
    pub info: TraceInfo,
    /// Its events.
    pub events: u64,
    /// Of those, how many were no valid JSON and were written anew.
    pub rewritten: u64,
    /// When its first event with a time begins, in nanoseconds of its own clock.
    pub first_ns: Option<i64>,
    /// When its last one does.
    pub last_ns: Option<i64>,
    /// Everything odd that was met.
    pub notes: Notes,
    /// Rows of ids that it uses.
    used: u32,
}

impl Extended {
    /// The first of [`FREE_IDS`] ids that no process and no thread of the trace has.
    pub fn first_free_id(&self) -> Option<u32> {
        let row = (0..ROWS).find(|row| self.used & (1 << row) == 0)?;
        u32::try_from(FIRST_ID + u64::from(row) * u64::from(FREE_IDS)).ok()
    }

    /// The wall clock at time zero of its events, in nanoseconds since 1970 UTC: what it says, or zero where its times are
    /// of this century as they stand, as those of traces before 2024 are. `None` if nobody can tell.
    pub fn zero_unix_ns(&self) -> Option<i64> {
        /// From 2015 to 2100.
        const THIS_CENTURY: std::ops::Range<i64> = 1_420_000_000_000_000_000..4_102_000_000_000_000_000;
        let as_it_stands = || self.first_ns.filter(|first| THIS_CENTURY.contains(first)).map(|_| 0);
        self.info.base_time_ns.or_else(as_it_stands)
    }

    fn note_id(&mut self, raw: Option<&[u8]>) {
        let number = raw.and_then(|raw| std::str::from_utf8(raw).ok()?.parse::<u64>().ok());
        let row = number.and_then(|id| id.checked_sub(FIRST_ID)).map(|over| over / u64::from(FREE_IDS));
        if let Some(row) = row.and_then(|row| u32::try_from(row).ok()).filter(|row| *row < ROWS) {
            self.used |= 1 << row;
        }
    }
}

/// Copies a trace and adds events behind its own. Its events are copied as they stand, byte for byte; those that are not
/// valid JSON are written anew, so that a viewer opens the result. `add` writes events: if there are some already
/// ([`Extended::events`]), each with a comma before it.
///
/// # Errors
/// [`TraceError`]: the trace cannot be read, or `out` cannot be written; and what `add` answers.
pub fn extend<E: From<TraceError>>(
    source: &Source,
    compression: Compression,
    out: &mut dyn io::Write,
    add: impl FnOnce(&Extended, &mut dyn io::Write) -> Result<(), E>,
) -> Result<Extended, E> {
    compression.pack(out, |error| TraceError::Write(error).into(), |out| write(source, out, add))
}

fn write<E: From<TraceError>>(
    source: &Source,
    out: &mut dyn io::Write,
    add: impl FnOnce(&Extended, &mut dyn io::Write) -> Result<(), E>,
) -> Result<Extended, E> {
    let mut copy = Copy { out: io::BufWriter::new(out), seen: Extended::default() };
    let mut whole_file = false;
    let trailer = read::read_in_order(source, &mut copy, |copy, header, info, bare| {
        whole_file = bare;
        copy.seen.info = info.clone();
        match header.filter(|text| bare || sound_header(text)) {
            Some(text) => copy.put(text),
            None => copy.put(header_of(info).as_bytes()),
        }
    })?;
    let trailer = trailer.filter(|text| whole_file || sound_trailer(text));
    if let Some(text) = trailer.as_ref().filter(|_| !whole_file) {
        // What of it is not understood is copied all the same.
        let _ = copy.seen.info.read_trailer(text);
    }
    add(&copy.seen, &mut copy.out)?;
    copy.put(b"\n]")?;
    match trailer {
        Some(text) => copy.put(&text)?,
        None if whole_file => {}
        None => copy.put(b"}\n")?,
    }
    io::Write::flush(&mut copy.out).map_err(TraceError::Write)?;
    Ok(copy.seen)
}

struct Copy<'a> {
    out: io::BufWriter<&'a mut dyn io::Write>,
    seen: Extended,
}

impl Copy<'_> {
    fn put(&mut self, text: &[u8]) -> Result<(), TraceError> {
        io::Write::write_all(&mut self.out, text).map_err(TraceError::Write)
    }
}

impl Sink for Copy<'_> {
    fn event(&mut self, event: &Event<'_>, text: &[u8], _: u64) -> Result<(), TraceError> {
        self.put(if self.seen.events == 0 { b"\n" } else { b",\n" })?;
        self.seen.events += 1;
        self.seen.note_id(event.pid);
        self.seen.note_id(event.tid);
        let timed = event.kind() != Kind::Metadata;
        if let Some(at) = event.ts.filter(|_| timed).and_then(|text| nanos_of_micros(text).ok()) {
            self.seen.first_ns = Some(self.seen.first_ns.map_or(at, |first| first.min(at)));
            self.seen.last_ns = Some(self.seen.last_ns.map_or(at, |last| last.max(at)));
        }
        if !event.repaired && !event.not_json && is_json(text) {
            return self.put(text);
        }
        self.seen.rewritten += 1;
        let anew = rewritten(event);
        self.put(anew.as_bytes())
    }

    fn notes(&mut self) -> &mut Notes {
        &mut self.seen.notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = r#"{"schemaVersion": 1, "traceEvents": [
  {"ph": "M", "name": "process_name", "pid": 1900000001, "ts": 1.0, "args": {"name": "a"}},
  {"ph":  "X", "cat": "kernel", "name": "k \u00e9", "pid": 0, "tid": 7, "ts": 10.500, "dur": 2.25, "args": {"a": [1,  2]}},
  {"ph": "i", "name": "late", "pid": "", "tid": "", "ts": 99.125, "s": "g"}
  ], "baseTimeNanoseconds": 1790857026000000000, "traceName": "t.json"}"#;

    fn extended(trace: &str, compression: Compression) -> (Vec<u8>, Extended) {
        let mut out = Vec::new();
        let seen = extend(&Source::memory("t", trace.as_bytes().to_vec()), compression, &mut out, |seen, out| {
            let comma = if seen.events == 0 { "" } else { "," };
            write!(out, "{comma}{{\"ph\": \"C\", \"pid\": {}}}", seen.first_free_id().unwrap())
                .map_err(TraceError::Write)
        });
        (out, seen.unwrap())
    }

    #[test]
    fn events_stay_byte_for_byte_and_what_stands_around_them() {
        let (out, seen) = extended(TRACE, Compression::Plain);
        let out = String::from_utf8(out).unwrap();
        for line in TRACE.lines().skip(1).take(3) {
            assert!(out.contains(line.trim().trim_end_matches(',')), "{line}");
        }
        assert!(out.starts_with("{\"schemaVersion\": 1") && out.ends_with("\"traceName\": \"t.json\"}"));
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["traceEvents"].as_array().unwrap().len(), 4);
        // The row of ids in which the trace has a process is taken.
        assert_eq!(value["traceEvents"][3]["pid"], 1_900_000_000 + FREE_IDS);
        assert_eq!((seen.first_ns, seen.last_ns), (Some(10_500), Some(99_125)), "a name has no time of its own");
        assert_eq!(seen.zero_unix_ns(), Some(1_790_857_026_000_000_000), "also behind the events");
    }

    #[test]
    fn a_broken_event_and_a_cut_file_end_as_json() {
        let cut = &TRACE[..TRACE.find("\"late\"").unwrap()];
        for trace in
            [cut.to_owned(), TRACE.replace("[1,  2]", "NaN"), "[]".to_owned(), "{\"traceEvents\": []}".to_owned()]
        {
            let (out, seen) = extended(&trace, Compression::Plain);
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let events = if value.is_array() { &value } else { &value["traceEvents"] };
            assert_eq!(events.as_array().unwrap().len() as u64, seen.events + 1, "{trace}");
        }
    }

    #[test]
    fn a_packed_copy_holds_the_same() {
        let (plain, _) = extended(TRACE, Compression::Plain);
        for compression in [Compression::Gzip, Compression::Zstd] {
            let (packed, _) = extended(TRACE, compression);
            let mut again = Vec::new();
            let source = Source::memory("p", packed);
            extend(&source, Compression::Plain, &mut again, |_, _| Ok::<(), TraceError>(())).unwrap();
            let again: serde_json::Value = serde_json::from_slice(&again).unwrap();
            assert_eq!(again, serde_json::from_slice::<serde_json::Value>(&plain).unwrap());
        }
    }

    #[test]
    fn old_times_are_of_the_wall_clock_and_others_of_none() {
        let with = |ts: &str| {
            let trace = format!("{{\"traceEvents\": [{{\"ph\": \"X\", \"pid\": 0, \"ts\": {ts}, \"dur\": 1}}]}}");
            extended(&trace, Compression::Plain).1.zero_unix_ns()
        };
        assert_eq!(with("1661203462598738"), Some(0));
        assert_eq!(with("4467932961968.502"), None);
    }
}
