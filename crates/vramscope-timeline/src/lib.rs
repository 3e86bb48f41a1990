//! Recordings of GPU readings: their files, as JSON lines, CSV and Parquet, and their statistics in bounded memory.
//!
//! ```
//! use vramscope_timeline::document;
//!
//! let text = "{\"vramscope_timeline\":1,\"period_ms\":100,\"devices\":[]}\n";
//! let recorded = document::read(text.as_bytes()).unwrap();
//! assert!(recorded.timeline.samples().is_empty());
//! ```

mod analysis;
pub mod document;
mod metric;
mod sink;
mod sketch;

pub use analysis::{AnalysisOptions, Item, Passes, RecordingFile, RunningAnalysis, analyse};
pub use metric::Metric;
pub use sink::{CsvFile, Event, JsonLines, JsonlFile, Sink};
pub use sketch::{SKETCH_ERROR, Sketch};

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
