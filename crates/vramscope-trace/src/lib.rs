//! Reads Kineto traces (`torch.profiler`) of any size and says where the time of a GPU went, exact to the nanosecond.
//!
//! ```
//! use vramscope_trace::{Bound, Options, Source, summarize};
//! let trace = br#"{"traceEvents": [
//!   {"ph": "X", "cat": "kernel", "name": "nvjet_tst", "pid": 0, "tid": 7, "ts": 10.5, "dur": 2.25,
//!    "args": {"device": 0, "stream": 7, "correlation": 1}}
//! ]}"#;
//! let summary = summarize(&Source::memory("example", trace.to_vec()), &Options::default())?;
//! assert_eq!(summary.devices[0].whole.busy_ns, 2250);
//! assert_eq!(summary.categories[0].category.name(), "gemm_moe");
//! assert_eq!(summary.verdict.bound, Bound::Gpu);
//! # Ok::<(), vramscope_trace::TraceError>(())
//! ```
//!
//! Times are read as decimal text and kept as integers. Memory does not grow with the file beyond what
//! [`Options`] allows: records that exceed it go to working files. Defects that profilers have written are worked
//! around and told in [`Notes`].

mod analyse;
mod category;
mod cause;
mod collect;
mod diff;
pub mod document;
mod error;
mod event;
mod extend;
mod fold;
mod info;
mod json;
mod names;
mod notes;
mod read;
mod record;
mod runs;
mod slice;
mod source;
mod steps;
mod summarise;
mod summary;
mod tree;
mod verdict;
mod window;

pub use category::{Category, Rules};
pub use cause::Cause;
pub use diff::{Basis, Change, Difference, Exceeded, Headline, Side};
pub use error::{RulesError, TraceError};
pub use extend::{Extended, FREE_IDS, extend};
pub use fold::{fold_name, plain_name};
pub use info::{GpuInfo, Platform, TraceInfo};
pub use notes::{Met, Notes, Oddity};
pub use slice::{SliceReport, slice};
pub use steps::{StepKind, StepSource};
pub use summarise::{Options, extent, summarize};
pub use summary::{
    CallSummary, CategorySummary, DeviceSummary, DeviceTime, FileSummary, FlopRow, FlopSource, FlopSummary, GapSummary,
    GpuShare, GraphSummary, HeavyFrames, KernelSummary, KernelTotals, LaneStepSummary, LaneSummary, LaunchDelay,
    LayerSummary, MemoryPoint, MemorySummary, MoveSummary, OperatorSummary, ScopeSummary, StackNode, StackWeight,
    Stacks, Step, StepGpu, Steps, StreamSummary, Summary,
};
pub use verdict::{BUSY, Bound, EXPOSED, Evidence, HOST, Verdict, WAITING};
pub use vramscope_unpack::{Compression, Source};
pub use window::Window;

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
