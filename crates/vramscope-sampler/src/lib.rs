//! Fixed-rate sampling of GPUs into timelines.
//!
//! ```
//! use vramscope_sampler::document;
//!
//! let text = "{\"vramscope_timeline\":1,\"period_ms\":100,\"devices\":[]}\n";
//! let recorded = document::read(text.as_bytes()).unwrap();
//! assert!(!recorded.is_complete(), "a recording without its last line was cut short");
//! ```

pub mod document;
