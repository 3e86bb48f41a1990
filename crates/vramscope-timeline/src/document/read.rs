//! Reads a timeline file.

use std::io::{self, BufRead, Read as _};

use vramscope_core::{Device, Timeline, TimelineError};
use vramscope_gpu::document::MAX_GPUS;

use super::convert::{self, Anchor};
use crate::analysis::Item;

use super::lines::{Clock, Cost, End, Gap, Header, Line};
use super::seen::SeenDevices;

/// A longer line is refused: the longest real one lists the processes of one device, some hundred bytes each.
pub(super) const MAX_LINE: u64 = 16 << 20;

/// More samples than this are refused when the whole file is read into memory, at about 200 bytes each. [`Lines`] has
/// no such bound.
const MAX_SAMPLES: usize = 20_000_000;

/// A file that is not a timeline, or not one that can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The source failed.
    #[error("read line {line} of the timeline")]
    Io {
        /// The line, from 1.
        line: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The first line is no header.
    #[error("find a timeline's header in line 1 (expected {{\"vramscope_timeline\": 1, …}})")]
    NotATimeline(#[source] serde_json::Error),
    /// The file is of a newer version.
    #[error("read a timeline of version {found}: this program reads up to version {}", super::VERSION)]
    NewerVersion {
        /// The file's version.
        found: u32,
    },
    /// A line in the middle is damaged.
    #[error("read line {line} of the timeline: it is damaged, and more lines follow it")]
    Damaged {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A line is longer than any real one.
    #[error("read line {line} of the timeline: it is longer than {MAX_LINE} bytes")]
    TooLong {
        /// The line, from 1.
        line: u64,
    },
    /// A line's values contradict the format.
    #[error("read line {line} of the timeline: {what}")]
    Contradiction {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A line does not fit the lines before it.
    #[error("read line {line} of the timeline")]
    Order {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        source: TimelineError,
    },
    /// A Parquet file is damaged, or lacks what a timeline has.
    #[error("read {} of the Parquet file", place(*row))]
    Parquet {
        /// The row, from 1; 0 is the file's end, where its columns are described.
        row: u64,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A Parquet file whose columns are not enough for a timeline.
    #[error(
        "find a timeline in the Parquet file: it has no column {missing}{}; expected what `vramscope` wrote, or of it at \
         least timestamp_ns, gpu_index and used_bytes",
        lacks_key(key)
    )]
    ParquetColumns {
        /// The columns that are not there.
        missing: String,
        /// The key that its metadata lacks too; empty if it has it.
        key: &'static str,
    },
    /// A column of a Parquet file is packed in a way that few writers use.
    #[error(
        "unpack the column {column} of the Parquet file: it is compressed with {codec}, which is not read here; write the \
         file anew with zstd, snappy, lz4, gzip or no compression (pandas and polars: compression=\"zstd\"; DuckDB: \
         compression zstd)"
    )]
    ParquetCompression {
        /// The first such column.
        column: String,
        /// How it is packed.
        codec: String,
    },
    /// The rows of a Parquet file are not in the order of time, and too many to be put in it.
    #[error(
        "read the Parquet file: its {rows} rows are not in the order of time, and no more than {limit} are put in order \
         here; write it anew ordered by timestamp_ns"
    )]
    ParquetOrder {
        /// How many there are.
        rows: u64,
        /// How many there may be.
        limit: u64,
    },
    /// A Parquet file, and this program was built without what reads them.
    #[error("read the Parquet file: this program was built without it (feature parquet)")]
    NoParquet,
    /// More devices than a machine has.
    #[error(
        "read line {line} of the timeline: it is of GPU {gpu_index}, and the lines before it of {MAX_GPUS} others; expected \
         at most {MAX_GPUS}, which is more than a machine has: the file is damaged or joined of several"
    )]
    TooManyDevices {
        /// The line or row, from 1; 0 is the end of a Parquet file, where its devices are listed.
        line: u64,
        /// The device that is one too many.
        gpu_index: u32,
    },
    /// More samples than fit memory.
    #[error("read the timeline into memory: it has more than {MAX_SAMPLES} samples")]
    TooMany,
}

fn lacks_key(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!(", and no metadata under the key `{key}`") }
}

/// Where in a Parquet file.
fn place(row: u64) -> String {
    match row {
        0 => "the end, where the columns are described and which a file that was cut short does not have,".into(),
        row => format!("row {row}"),
    }
}

/// Something that a reader of the file should know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// The line, from 1.
    pub line: u64,
    /// What was found there.
    pub text: String,
}

/// The lines of a file, one by one, in bounded memory. A torn last line ends it without an error.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    header: Header,
    seen: SeenDevices,
    line: u64,
    text: Vec<u8>,
    notes: Vec<Note>,
    over: bool,
}

impl<R: BufRead> Lines<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`ReadError::NotATimeline`], [`ReadError::NewerVersion`], [`ReadError::TooManyDevices`], or a failure of the
    /// source.
    pub fn new(source: R) -> Result<Self, ReadError> {
        let (header, seen) = (Header::default(), SeenDevices::default());
        let mut lines = Self { source, header, seen, line: 0, text: Vec::new(), notes: vec![], over: false };
        lines.next_text()?;
        let text = lines.text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&lines.text);
        lines.header = serde_json::from_slice(text).map_err(ReadError::NotATimeline)?;
        let found = lines.header.vramscope_timeline;
        if found > super::VERSION {
            return Err(ReadError::NewerVersion { found });
        }
        lines.seen = SeenDevices::of(&lines.header, lines.line)?;
        Ok(lines)
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The number of the line that was read last.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// What was odd so far.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Reads the next line of text without its end; whether there was one.
    fn next_text(&mut self) -> Result<bool, ReadError> {
        self.text.clear();
        self.line += 1;
        let mut bounded = (&mut self.source).take(MAX_LINE);
        let read = bounded.read_until(b'\n', &mut self.text);
        let read = read.map_err(|source| ReadError::Io { line: self.line, source })?;
        if u64::try_from(read).is_ok_and(|read| read >= MAX_LINE) {
            return Err(ReadError::TooLong { line: self.line });
        }
        Ok(read > 0)
    }

    /// The next line, or `None` at the end.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] if a line that is not the last cannot be read, [`ReadError::TooLong`],
    /// [`ReadError::TooManyDevices`], or a failure of the source.
    pub fn next_line(&mut self) -> Result<Option<Line>, ReadError> {
        loop {
            if self.over || !self.next_text()? {
                self.over = true;
                return Ok(None);
            }
            let whole = self.text.ends_with(b"\n");
            if self.text.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice(&self.text) {
                Ok(Line::Unknown) => self.note("its kind is not known here; it is left out".into()),
                Ok(line) => {
                    self.seen.take(&line, self.line)?;
                    return Ok(Some(line));
                }
                Err(_) if self.is_last(whole)? => {
                    self.note("the last line is torn and left out: the recording was cut short".into());
                    self.over = true;
                    return Ok(None);
                }
                Err(source) => return Err(ReadError::Damaged { line: self.line, source }),
            }
        }
    }

    fn is_last(&mut self, whole: bool) -> Result<bool, ReadError> {
        let rest = self.source.fill_buf().map_err(|source| ReadError::Io { line: self.line, source })?;
        Ok(!whole || rest.is_empty())
    }

    fn note(&mut self, text: String) {
        // A file of nothing but unknown lines must not fill the memory.
        if self.notes.len() < 100 {
            self.notes.push(Note { line: self.line, text });
        }
    }
}

/// A recording as it was read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recorded {
    /// The first line.
    pub header: Header,
    /// The samples, slow readings, marks and gaps.
    pub timeline: Timeline,
    /// The gaps as written, with what the driver said.
    pub gaps: Vec<Gap>,
    /// The wall clock beside the monotonic one, in order.
    pub clocks: Vec<Clock>,
    /// The last statement of what sampling cost.
    pub cost: Option<Cost>,
    /// The last line, if the recording is complete.
    pub end: Option<End>,
    /// What a reader should know.
    pub notes: Vec<Note>,
}

impl Recorded {
    /// Whether the recording came to its end. If not, it was cut short and is good up to its last line.
    pub fn is_complete(&self) -> bool {
        self.end.is_some()
    }

    /// Nothing but a header.
    pub(super) fn begin(header: &Header) -> Self {
        let mut timeline = Timeline::new(header.anchor_unix_ns);
        for device in &header.devices {
            timeline.describe(Device::from(device));
        }
        let (gaps, clocks, notes) = (Vec::new(), Vec::new(), Vec::new());
        Self { header: header.clone(), timeline, gaps, clocks, cost: None, end: None, notes }
    }

    /// Takes in a line.
    pub(super) fn take(&mut self, number: u64, line: Line) -> Result<(), ReadError> {
        let order = |source| ReadError::Order { line: number, source };
        let line = match line {
            Line::Clock(line) => {
                self.clocks.push(line);
                return Ok(());
            }
            Line::Cost(line) => {
                self.cost = Some(line);
                return Ok(());
            }
            Line::End(line) => {
                self.end = Some(line);
                return Ok(());
            }
            Line::Gap(line) => {
                self.gaps.push(line.clone());
                Line::Gap(line)
            }
            other => other,
        };
        match convert_line(&self.header, number, line)? {
            Some(Item::Sample(_)) if self.timeline.samples().len() >= MAX_SAMPLES => return Err(ReadError::TooMany),
            Some(Item::Sample(sample)) => self.timeline.push(sample).map_err(order)?,
            Some(Item::Mark(mark)) => self.timeline.mark(mark).map_err(order)?,
            Some(Item::Slow(slow)) => self.timeline.push_slow(slow),
            Some(Item::Gap(gap)) => self.timeline.note_gap(gap),
            Some(Item::Cost(_) | Item::End) | None => {}
        }
        Ok(())
    }

    /// All is read; these are its last line and what was odd.
    pub(super) fn finish(mut self, line: u64, notes: &[Note]) -> Self {
        self.notes = notes.to_vec();
        if self.end.is_none() {
            let text = "the recording has no end: it was cut short, and is good up to here".to_owned();
            self.notes.push(Note { line, text });
        }
        self
    }
}

/// Reads a whole file.
///
/// # Errors
/// [`ReadError`] if it is not a timeline, is of a newer version, or is damaged other than by a torn last line.
pub fn read(source: impl BufRead) -> Result<Recorded, ReadError> {
    let mut lines = Lines::new(source)?;
    let mut recorded = Recorded::begin(lines.header());
    while let Some(line) = lines.next_line()? {
        recorded.take(lines.line(), line)?;
    }
    Ok(recorded.finish(lines.line(), lines.notes()))
}

/// A line in the nouns of `vramscope-core`, or `None` for one that has no place among them.
pub(crate) fn convert_line(header: &Header, number: u64, line: Line) -> Result<Option<Item>, ReadError> {
    let anchor = Anchor::new(header.anchor_unix_ns);
    let wrong = |what| ReadError::Contradiction { line: number, what };
    let early = || wrong("its time lies before the anchor");
    Ok(Some(match line {
        Line::Sample(line) => Item::Sample(convert::sample(anchor, &line).ok_or_else(early)?),
        Line::Slow(line) => Item::Slow(convert::slow(anchor, &line).ok_or_else(early)?),
        Line::Mark(line) => {
            Item::Mark(convert::mark(anchor, &line).ok_or_else(|| wrong("its phase or its time is not valid"))?)
        }
        Line::Gap(line) => {
            Item::Gap(convert::gap(anchor, &line).ok_or_else(|| wrong("its cause or its time is not valid"))?)
        }
        Line::Failure(_) | Line::Clock(_) | Line::Cost(_) | Line::End(_) | Line::Summary(_) | Line::Unknown => {
            return Ok(None);
        }
    }))
}
