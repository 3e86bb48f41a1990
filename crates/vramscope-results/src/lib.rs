//! Results of load generators in one shape.
//!
//! [`read`] tells by its keys which tool wrote a file, and gives one [`LoadResult`] for each run in it. Tools use one
//! word for different figures (GuideLLM's "TPOT" divides the whole answer's time by all its tokens): here a figure is
//! named by what it is, [`LatencyKind`]. `docs/results.md` says which file gives which.
//!
//! ```
//! let lines = b"{\"duration\": 1.0, \"completed\": 4}\n{\"duration\": 1.1, \"completed\": 4}";
//! let results = vramscope_results::read(lines)?;
//! assert_eq!((results.len(), results[1].duration_s), (2, Some(1.1)));
//! assert_eq!(results[0].counts.failed, None, "it is not said, and so not known");
//! # Ok::<(), vramscope_results::ResultError>(())
//! ```

mod aiperf;
mod error;
mod flat;
mod guidellm;
mod json;
mod own;
mod read;
mod result;
mod sglang;
mod vllm;

pub use error::ResultError;
pub use read::{MOST_RESULT_BYTES, MOST_RESULTS, is_result, read};
pub use result::{Asked, Counts, Latency, LatencyKind, LoadResult, Rates, Tool};

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
