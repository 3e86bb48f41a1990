//! A part of a trace as a smaller trace.

use std::io;

use serde::de::IgnoredAny;

use crate::event::{Event, lookup};
use crate::info::TraceInfo;
use crate::names::readable;
use crate::read::{self, Sink};
use crate::{Compression, Notes, Source, TraceError, Window};

/// What a slice holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SliceReport {
    /// Events read.
    pub events: u64,
    /// Events written.
    pub kept: u64,
    /// Bytes of JSON written.
    pub json_bytes: u64,
    /// Everything odd that was met.
    pub notes: Notes,
}

/// Writes the events that begin in a window, with the names of processes and threads and everything that the trace says
/// about itself. Events are copied as they stand; those that are not valid JSON are written anew, so that any viewer
/// opens the result. Analysing the slice gives the same figures as analysing the window of the whole trace.
///
/// # Errors
/// [`TraceError`]: the trace cannot be read, or `out` cannot be written.
pub fn slice(
    source: &Source,
    window: Window,
    compression: Compression,
    out: &mut dyn io::Write,
) -> Result<SliceReport, TraceError> {
    compression.pack(out, TraceError::Write, |out| write(source, window, out))
}

fn write(source: &Source, window: Window, out: &mut dyn io::Write) -> Result<SliceReport, TraceError> {
    let mut sink = SliceSink { window, out: io::BufWriter::new(out), report: SliceReport::default() };
    let mut whole_file = false;
    let trailer = read::read_in_order(source, &mut sink, |sink, header, info, bare| {
        whole_file = bare;
        match header.filter(|text| bare || sound_header(text)) {
            Some(text) => sink.put(text),
            None => sink.put(header_of(info).as_bytes()),
        }
    })?;
    sink.put(b"\n]")?;
    match trailer.filter(|text| whole_file || sound_trailer(text)) {
        Some(text) => sink.put(&text)?,
        None if whole_file => {}
        None => sink.put(b"}\n")?,
    }
    io::Write::flush(&mut sink.out).map_err(TraceError::Write)?;
    Ok(sink.report)
}

pub(crate) fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

pub(crate) fn sound_header(text: &[u8]) -> bool {
    is_json(&[text, b"]}"].concat())
}

pub(crate) fn sound_trailer(text: &[u8]) -> bool {
    is_json(&[b"{\"traceEvents\": []", text].concat())
}

/// A header with what was understood of a broken one.
pub(crate) fn header_of(info: &TraceInfo) -> String {
    let mut header = serde_json::Map::new();
    let mut group = serde_json::Map::new();
    group.extend(info.rank.map(|rank| ("rank".to_owned(), rank.into())));
    group.extend(info.world_size.map(|size| ("world_size".to_owned(), size.into())));
    header.insert("schemaVersion".into(), 1.into());
    header.insert("distributedInfo".into(), group.into());
    header.extend(info.base_time_ns.map(|at| ("baseTimeNanoseconds".to_owned(), at.into())));
    let mut text = serde_json::Value::from(header).to_string();
    text.pop();
    text + ",\n\"traceEvents\": ["
}

struct SliceSink<'a> {
    window: Window,
    out: io::BufWriter<&'a mut dyn io::Write>,
    report: SliceReport,
}

impl SliceSink<'_> {
    fn put(&mut self, text: &[u8]) -> Result<(), TraceError> {
        self.report.json_bytes += text.len() as u64;
        io::Write::write_all(&mut self.out, text).map_err(TraceError::Write)
    }
}

impl Sink for SliceSink<'_> {
    fn event(&mut self, event: &Event<'_>, text: &[u8], _: u64) -> Result<(), TraceError> {
        self.report.events += 1;
        if !self.window.takes(event, event.kind()) {
            return Ok(());
        }
        self.put(if self.report.kept == 0 { b"\n" } else { b",\n" })?;
        self.report.kept += 1;
        if !event.repaired && !event.not_json && is_json(text) {
            return self.put(text);
        }
        let anew = rewritten(event).to_string();
        self.put(anew.as_bytes())
    }

    fn notes(&mut self) -> &mut Notes {
        &mut self.report.notes
    }
}

/// Arguments that are kept of an event that is written anew: those with a meaning to an analysis or a viewer.
const KEPT_ARGUMENTS: [&str; 18] = [
    "External id",
    "correlation",
    "device",
    "context",
    "stream",
    "bytes",
    "kernel_flop",
    "flops",
    "Device Type",
    "Device Id",
    "Total Allocated",
    "Total Reserved",
    "Bytes",
    "Addr",
    "Python id",
    "Python parent id",
    "name",
    "labels",
];

/// A broken event as valid JSON. Numbers stay as they are spelled.
pub(crate) fn rewritten(event: &Event<'_>) -> String {
    let texts = [("ph", event.phase), ("cat", event.category), ("name", event.name)];
    let numbers = [("pid", event.pid), ("tid", event.tid), ("ts", event.ts), ("dur", event.dur)];
    let texts = texts.into_iter().filter_map(|(key, raw)| Some(member(key, &quoted(raw?))));
    let numbers = numbers.into_iter().filter_map(|(key, raw)| Some(member(key, &number_or_text(raw?))));
    let args = event.args.map(|args| {
        let found = KEPT_ARGUMENTS
            .into_iter()
            .filter_map(|key| Some(member(key, &number_or_text(lookup(args, key.as_bytes())?))));
        member("args", &object(found))
    });
    object(texts.chain(numbers).chain(args))
}

fn object(members: impl Iterator<Item = String>) -> String {
    format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
}

fn member(key: &str, value: &str) -> String {
    format!("\"{key}\": {value}")
}

fn quoted(raw: &[u8]) -> String {
    serde_json::Value::from(readable(raw)).to_string()
}

/// A plain value as the number that it spells, or as text.
fn number_or_text(raw: &[u8]) -> String {
    let number = raw.first().is_some_and(|b| b.is_ascii_digit() || *b == b'-') && is_json(raw);
    if number { String::from_utf8_lossy(raw).into_owned() } else { quoted(raw) }
}
