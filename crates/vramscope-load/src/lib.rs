//! An OpenAI-compatible client and load generator: what a served engine answers, and how fast.
//!
//! ```no_run
//! use vramscope_load::{Arrival, Client, LoadPlan, run};
//! # async fn example() -> Result<(), vramscope_load::LoadError> {
//! let client = Client::new("http://127.0.0.1:8000", None)?;
//! client.health().await?;
//! let plan = LoadPlan {
//!     arrival: Arrival::Concurrency(8),
//!     warmup_requests: 8,
//!     ..LoadPlan::new("meta-llama/Llama-3.1-8B", 512, 128, 64)
//! };
//! let report = run(&client, &plan, &mut |_| {}).await?;
//! let summary = report.summary();
//! println!("{:?} tokens/s, TTFT {:?}", summary.output_tokens_per_s, summary.ttft);
//! println!("KV cache used: {:?}", client.metrics().await?.total().kv_cache_usage_ratio);
//! # Ok(())
//! # }
//! ```
//!
//! Prompts are token ids drawn from a seed, so lengths are exact and no tokenizer is needed. Figures are defined as
//! `vllm bench serve` defines them, and [`LoadReport::write_serve_json`] writes them as it does.

mod address;
mod answer;
mod arrival;
mod backlog;
mod chunk;
mod client;
mod completion;
mod dataset;
pub mod document;
mod drive;
mod error;
mod experiment;
mod exposition;
mod files;
mod fit;
mod health;
mod http;
mod item;
mod lengths;
mod metrics;
mod mix;
mod pause;
mod plan;
mod prompt;
mod random;
mod report;
mod request;
mod run;
mod said;
mod search;
mod server_side;
mod slo;
mod sse;
mod tokenize;
mod trust;
mod verdict;

pub use arrival::{Arrival, Spacing};
pub use backlog::Backlog;
pub use client::{Client, Reply, ServedModel};
pub use completion::Endpoint;
pub use dataset::{Dataset, DatasetError, DatasetKind, DatasetSpec};
pub use error::{Failure, FailureKind, LoadError};
pub use experiment::LengthsCourse;
pub use health::{ClientHealth, ReadAfter};
pub use lengths::Lengths;
pub use metrics::{EngineMetrics, EngineReadings};
pub use mix::{Mix, ModelShare};
pub use plan::{DataPrompts, LoadPlan, Prompts, Until, WordTokens};
pub use prompt::PromptForm;
pub use report::{Anchor, LATE, Latency, LoadReport, QUANTILES, Summary};
pub use request::{Asked, Counted, Origin, RequestRecord, Tokens};
pub use run::{LoadEvent, run, run_until};
pub use search::{Held, Point, Search, held, knee, saturation};
pub use server_side::{Scraper, ServerSide};
pub use slo::Slo;
pub use trust::{Transport, Trust};
pub use verdict::{BUSY, ClientLimit, LATE_PART, LOOP_LATE, READ_LATE};

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
