//! What can stop an analysis. Defects that can be worked around are [`Notes`](crate::Notes) instead.

use std::io;
use std::path::PathBuf;

/// A trace that cannot be analysed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file cannot be opened.
    #[error("open the trace {}: check the path and its permissions", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
    /// The file cannot be read on.
    #[error("read the trace {name} after {bytes} bytes")]
    Read {
        /// The trace's name.
        name: String,
        /// Bytes of JSON read before.
        bytes: u64,
        /// The operating system's or the decompressor's answer.
        #[source]
        source: io::Error,
    },
    /// The file is something else.
    #[error(
        "find trace events in {name}: {problem}; expected the JSON that torch.profiler writes, plain, gzip or zstd"
    )]
    NotATrace {
        /// The trace's name.
        name: String,
        /// What it is instead.
        problem: String,
    },
    /// The compressed file grows beyond reason.
    #[error(
        "decompress {name}: {compressed} bytes have become more than {limit} times as many, which no trace does; if the \
         file is genuine, unpack it and analyse the plain JSON"
    )]
    Bomb {
        /// The trace's name.
        name: String,
        /// Compressed bytes read so far.
        compressed: u64,
        /// The ratio that is allowed.
        limit: u64,
    },
    /// An event's time cannot be true.
    #[error(
        "read the event at byte {offset}: its {field} is {text} µs, {problem}; remove the event or record the trace anew"
    )]
    Time {
        /// Where the event begins in the JSON.
        offset: u64,
        /// `ts` or `dur`.
        field: &'static str,
        /// The value as written, cut to a readable length.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The events lie further apart than a profiler runs.
    #[error(
        "place the events on one clock: the event at byte {late_offset} begins {days} days after the one at byte \
         {early_offset}; two clocks are mixed, so no idle time can be told"
    )]
    Span {
        /// Days between the first and the last event.
        days: u64,
        /// The first event's place in the JSON.
        early_offset: u64,
        /// The last event's place in the JSON.
        late_offset: u64,
    },
    /// Working files cannot be written or read.
    #[error("keep sorted events in {}: check that the folder exists and has room", folder.display())]
    Spill {
        /// The folder for working files.
        folder: PathBuf,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
    /// The result cannot be written.
    #[error("write the slice")]
    Write(#[source] io::Error),
}

/// A rule table that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// A line has no colon.
    #[error("read line {line} of the rules: expected `category: pattern`, found `{text}`")]
    Shape {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A line names an unknown category.
    #[error("read line {line} of the rules: `{text}` is no category; they are {known}")]
    Category {
        /// Counted from 1.
        line: usize,
        /// The unknown word.
        text: String,
        /// The known ones.
        known: String,
    },
    /// A pattern is empty or has more parts than can be meant.
    #[error("read line {line} of the rules: the pattern is empty or longer than {limit} bytes")]
    Pattern {
        /// Counted from 1.
        line: usize,
        /// The longest pattern.
        limit: usize,
    },
}
