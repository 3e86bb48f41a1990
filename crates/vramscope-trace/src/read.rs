//! From a source to events, in blocks, on several threads.
//!
//! The reader cuts the text where an event clearly begins and hands the blocks to workers. A cut is a guess; it is
//! proven when the worker of the block before it ends there, between two events. Since the first block begins at the
//! first event, all cuts are true when all blocks end so. If one does not, the file is read again from its beginning by
//! one worker that never guesses.

mod events;
mod parallel;
mod sequential;

use crate::event::Event;
use crate::info::{HeaderEnd, TraceInfo};
use crate::json::Stop;
use crate::source::Input;
use crate::{Compression, Notes, Oddity, Source, TraceError};

/// Takes events as they are read.
pub(crate) trait Sink {
    /// One event: its fields, its text, and its place in the JSON.
    fn event(&mut self, event: &Event<'_>, text: &[u8], offset: u64) -> Result<(), TraceError>;

    /// Where oddities are noted.
    fn notes(&mut self) -> &mut Notes;
}

/// How a file is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Workers beside the reader; one reads without cutting.
    pub threads: usize,
    /// Bytes of JSON handed to a worker at a time.
    pub block_bytes: usize,
}

/// A file that was read to its end.
pub(crate) struct Reading<S> {
    /// The workers' sinks.
    pub sinks: Vec<S>,
    /// What the trace says about itself.
    pub info: TraceInfo,
    /// Bytes of JSON.
    pub json_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// How it is packed.
    pub compression: Compression,
}

/// An event longer than this is passed over. The longest seen hold tens of kilobytes of shapes.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// A header or trailer longer than this is none.
const MAX_HEADER_BYTES: usize = 16 << 20;

/// Reads all events of a source in order, between what stands before and after them. `begin` is given the header's
/// text, if it is sound, and whether the events are the whole file; the trailer's text is returned, if it is sound.
pub(crate) fn read_in_order<S: Sink>(
    source: &Source,
    sink: &mut S,
    begin: impl FnOnce(&mut S, Option<&[u8]>, &TraceInfo, bool) -> Result<(), TraceError>,
) -> Result<Option<Vec<u8>>, TraceError> {
    let mut opened = Opened::new(source)?;
    let header = if opened.repaired { None } else { Some(head(source, opened.offset)?) };
    begin(sink, header.as_deref(), &opened.info, opened.bare)?;
    let trailer = sequential::read(&mut opened, Manner { threads: 1, block_bytes: 1 << 20 }, sink)?;
    let sound = |text: &Vec<u8>| opened.bare || opened.info.clone().read_trailer(text).is_ok();
    Ok(trailer.filter(sound))
}

/// The first bytes of a source.
fn head(source: &Source, bytes: u64) -> Result<Vec<u8>, TraceError> {
    let mut text = Vec::new();
    let wanted = usize::try_from(bytes).unwrap_or(MAX_HEADER_BYTES);
    Input::open(source)?.read(&mut text, wanted)?;
    Ok(text)
}

/// Reads all events of a source.
pub(crate) fn read<S: Sink + Send>(
    source: &Source,
    manner: Manner,
    new_sink: impl Fn() -> S,
) -> Result<Reading<S>, TraceError> {
    if manner.threads > 1 {
        let mut opened = Opened::new(source)?;
        let sinks = (0..manner.threads).map(|_| new_sink()).collect();
        if let Some((sinks, trailer)) = parallel::read(&mut opened, manner, sinks)? {
            return opened.close(sinks, trailer.as_deref());
        }
    }
    let mut opened = Opened::new(source)?;
    let mut sink = new_sink();
    let trailer = sequential::read(&mut opened, manner, &mut sink)?;
    opened.close(vec![sink], trailer.as_deref())
}

/// A source whose header has been read.
struct Opened {
    input: Input,
    info: TraceInfo,
    /// JSON read after the header.
    ahead: Vec<u8>,
    /// Where `ahead` begins.
    offset: u64,
    /// The events are the whole file.
    bare: bool,
    repaired: bool,
}

impl Opened {
    fn new(source: &Source) -> Result<Self, TraceError> {
        let mut input = Input::open(source)?;
        let mut ahead = Vec::new();
        let mut wanted = 1 << 16;
        loop {
            let ended = input.read(&mut ahead, wanted)? == 0;
            let mut info = TraceInfo::default();
            let (end, repaired) = match info.read_header(&ahead) {
                Ok(end) => (Some(end), false),
                Err(Stop::End) if !ended && ahead.len() < MAX_HEADER_BYTES => (None, false),
                Err(_) => (find_events(&ahead), true),
            };
            let (start, bare) = match end {
                Some(HeaderEnd::Events(at)) => (at, false),
                Some(HeaderEnd::BareEvents(at)) => (at, true),
                None if !ended && ahead.len() < MAX_HEADER_BYTES => {
                    wanted = ahead.len().max(1 << 16);
                    continue;
                }
                _ => return Err(not_a_trace(&input, &ahead)),
            };
            ahead.drain(..start);
            return Ok(Self { input, info, ahead, offset: start as u64, bare, repaired });
        }
    }

    /// Reads the trailer and puts everything together.
    fn close<S: Sink>(mut self, mut sinks: Vec<S>, trailer: Option<&[u8]>) -> Result<Reading<S>, TraceError> {
        let end = self.input.plain_bytes();
        let damaged = self.input.is_damaged();
        let mut notes = Notes::default();
        if self.repaired {
            notes.add(Oddity::Repaired, 0);
        }
        if damaged {
            notes.add(Oddity::DamagedCompression, end);
        }
        match trailer {
            None => notes.add(Oddity::Truncated, end),
            Some(_) if self.bare => {}
            Some(text) => match self.info.read_trailer(text) {
                Ok(trailer) if trailer.more_events => notes.add(Oddity::RepeatedHeader, end),
                Ok(_) => {}
                Err(Stop::End) => notes.add(Oddity::Truncated, end),
                Err(Stop::Malformed) => notes.add(Oddity::Repaired, end),
            },
        }
        if let Some(sink) = sinks.first_mut() {
            sink.notes().merge(&notes);
        }
        Ok(Reading {
            sinks,
            info: self.info,
            json_bytes: end,
            file_bytes: self.input.packed_bytes(),
            compression: self.input.compression(),
        })
    }
}

/// The events of a file whose header is broken.
fn find_events(text: &[u8]) -> Option<HeaderEnd> {
    let key = b"\"traceEvents\"";
    let at = memchr::memmem::find(text, key)? + key.len();
    let rest = &text[at..];
    let colon = rest.iter().position(|b| !b.is_ascii_whitespace()).filter(|&c| rest[c] == b':')?;
    let bracket = rest[colon + 1..].iter().position(|b| !b.is_ascii_whitespace()).map(|b| colon + 1 + b)?;
    (rest[bracket] == b'[').then_some(HeaderEnd::Events(at + bracket + 1))
}

fn not_a_trace(input: &Input, text: &[u8]) -> TraceError {
    let problem = match text.trim_ascii_start().first() {
        None => "it holds no text",
        Some(b'{') => "it is JSON without an array traceEvents",
        Some(_) => "it does not begin with { or [",
    };
    TraceError::NotATrace { name: input.name().to_owned(), problem: problem.into() }
}
