//! Documents in, a page out: one self-contained HTML file, or Markdown.
//!
//! A page is made of JSON documents as vramscope writes them ([`Document`]). Each figure on it is taken from a document by
//! a JSON pointer, and bears that pointer in the page (`data-figure`), so that what is shown can be held against what was
//! written. The HTML file opens from disk, loads nothing, and runs only the scripts that it brings.
//!
//! ```
//! use vramscope_report::{Document, page};
//! let text = br#"{"vramscope_runs": 1, "runs": [], "series": []}"#;
//! let document = Document::read("runs.json", text)?;
//! let page = page(&[document], Some("Runs of this week"))?;
//! assert!(page.html().contains("<h1>Runs of this week</h1>"));
//! # Ok::<(), vramscope_report::ReportError>(())
//! ```

mod cell;
mod document;
mod error;
mod html;
mod kind;
#[cfg(test)]
mod law;
mod markdown;
mod node;
mod page;
mod pages;
mod svg;
mod time;
mod tracks;
mod unit;

pub use document::Document;
pub use error::ReportError;
pub use kind::Kind;
pub use page::Page;
pub use pages::page;
pub use time::{EngineState, Reading, Recording};
pub use tracks::{
    AllocationSpan, AllocatorFailure, AllocatorTrack, AllocatorUse, Host, IDS, Moment, Parts, RequestSpan, SpanOfPhase,
    TrackCounts, Tracks, allocator_tracks,
};

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
