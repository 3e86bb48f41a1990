//! Reads the allocator snapshots that PyTorch writes (`torch.cuda.memory._dump_snapshot`) without executing anything, and
//! says who holds the memory.
//!
//! ```
//! use vramscope_snapshot::document::{Extract, SnapshotDocument};
//! use vramscope_snapshot::{Snapshot, Source};
//! let text = br#"{"segments": [{"total_size": 2097152, "allocated_size": 1024, "active_size": 1024, "blocks": [
//!   {"size": 1024, "requested_size": 1000, "state": "active_allocated",
//!    "frames": [{"name": "load", "filename": "model.py", "line": 7}]},
//!   {"size": 2096128, "requested_size": 0, "state": "inactive", "frames": []}]}], "device_traces": []}"#;
//! let snapshot = Snapshot::read(&Source::memory("example", text.to_vec()))?;
//! let document = SnapshotDocument::of(&snapshot, Extract::default())?;
//! assert_eq!(document.totals.rounding_bytes, Some(24));
//! assert_eq!(document.holders.rows[0].name.as_deref(), Some("model.py:7 load"));
//! # Ok::<(), vramscope_snapshot::SnapshotError>(())
//! ```
//!
//! Pickles of protocol 2 to 5 and JSON are read as they come, plain, gzip or zstd. No tree of the file is made: stacks are
//! kept once, events packed, and everything that a file claims is bounded before memory is taken for it.

mod build;
mod curve;
pub mod document;
mod error;
mod events;
mod flame;
mod growth;
mod history;
mod holders;
mod json;
mod ledger;
mod lives;
mod model;
mod names;
mod parts;
mod pickle;
mod pinned;
mod place;
mod read;
mod source;
mod totals;
mod transformers;
mod vllm;

pub use curve::{Curve, CurvePoint};
pub use error::SnapshotError;
pub use events::{Action, Event, Events, Replay};
pub use flame::{Flame, FlameFrame};
pub use growth::{Grown, Per, Point, Series, Taken, Trend};
pub use history::{CURVE_POINTS, History, Moment, OutOfMemory, histories, histories_with};
pub use holders::{By, Holder, Sum, Sums, active_by_stack, folded, holders};
pub use ledger::{Ledger, LedgerPart};
pub use lives::{Life, lives};
pub use model::{Annotation, Block, Format, HostMemory, PoolId, Segment, Settings, Snapshot, State};
pub use names::{Frame, FrameId, Names, StackId, TextId};
pub use pinned::{Pin, Pins};
pub use place::{frame_text, package, short_path, site};
pub use totals::{Amounts, PoolTotals, Totals};
pub use vramscope_unpack::{Compression, Source};

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
