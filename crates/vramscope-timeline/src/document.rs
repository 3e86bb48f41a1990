//! The timeline file: one JSON object a line, or the same as Parquet (feature `parquet`).
//!
//! The first line is the header, `{"vramscope_timeline": 1, …}`. Every later line says with `t` what it is: `sample`,
//! `slow`, `mark`, `gap`, `failure`, `clock`, `cost`, `end`. Times are `timestamp_ns`: nanoseconds since 1970 UTC at the
//! anchor plus the monotonic time since then, so that a step of the wall clock never moves a sample. Names are those of
//! the CSV form. A figure that the source does not have is absent, never 0.
//!
//! A recording ends with an `end` line. Without it the recording was cut short and is still good up to its last whole
//! line: the reader drops one torn last line and says so.
//!
//! Lines may be added with new `t`, and fields to lines, within version 1: a reader notes lines that it does not know
//! and goes on.

mod convert;
pub mod csv;
mod file;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;
mod read;
mod report;
mod seen;
mod throttle_names;
mod write;

pub use file::{FileLines, read_file};
pub use lines::{
    Backend, Call, Clock, Cost, Device, End, Ending, Failure, Gap, Header, Line, Mark, Percentiles, Process, Sample,
    Slow,
};
#[cfg(feature = "parquet")]
pub use parquet::{ParquetFile, ParquetLines, ParquetWriter};
pub(crate) use read::convert_line;
pub use read::{Lines, Note, ReadError, Recorded, read};
#[cfg(feature = "json-schema")]
pub use report::report_json_schema;
pub use report::{
    Coefficient, CorrelationReport, DeviceReport, EnergyReport, GapReport, IdlePeriod, IdleReport, MetricReport,
    PhaseReport, REPORT_VERSION, TimelineReport,
};
pub use write::{WriteError, Writer, timeline_lines};

/// The version that is written. A file of a higher one is refused.
pub const VERSION: u32 = 1;

/// The timestamp of an instant of a recording whose wall clock at the anchor is this one.
pub fn stamp(anchor_unix_ns: Option<i64>, at: std::time::Duration) -> i64 {
    convert::Anchor::new(anchor_unix_ns).stamp(at)
}

/// The JSON Schema of the lines of a timeline file: the header or any other line.
#[cfg(feature = "json-schema")]
pub fn json_schema() -> schemars::Schema {
    schemars::schema_for!(lines::AnyLine)
}
