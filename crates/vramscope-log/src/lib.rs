//! The vLLM log parser: log lines in, engine facts out. It streams, does no I/O, keeps constant memory however long the
//! log is, and never fails on content.
//!
//! ```
//! use vramscope_log::LogParser;
//! let mut parser = LogParser::new();
//! parser.push_bytes(b"(Worker_TP0 pid=57) INFO 01-02 03:04:47 [gpu_worker.py:356] Available KV cache memory: 58.21 GiB\n");
//! let report = parser.finish();
//! let pool = &report.engines[0].facts.kv_pool[0];
//! assert_eq!(pool.value.to_string(), "58.21 GiB");
//! assert_eq!(pool.origin.worker.as_deref(), Some("Worker_TP0 pid=57"));
//! ```

mod advice;
mod clock;
pub mod document;
mod engine;
mod figure;
mod key;
mod llama_cpp;
mod log_report;
mod needles;
mod news;
mod note;
mod number;
mod ollama;
mod others;
mod parser;
mod pattern;
mod reader;
mod record;
mod report;
mod rows;
mod sglang;
mod summary;
mod tgi;
mod unknown;
mod vllm;
mod wrap;

pub use advice::{ENGINES, advice};
pub use figure::{Figure, Memory, Value};
pub use key::{Key, Kind};
pub use log_report::{EngineReport, LogReport};
pub use news::News;
pub use note::ParseNote;
pub use parser::LogParser;
pub use record::{excerpt, message};
pub use report::Report;
pub use unknown::UnknownLine;
pub use vllm::advice::is_narrow as is_narrow_dtype;
pub use vllm::bench::{BenchKind, BenchValue};
pub use vllm::rows::{KnownFormat, known_formats};
pub use vllm::settings::{Setting, SettingSource, SettingValue};
pub use vllm::worker::Placement;

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
