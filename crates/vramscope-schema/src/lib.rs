//! The profile document of vramscope, and what the command promises to scripts.
//!
//! A profile is one JSON document about one run of an inference engine. [`read`] takes any published version and gives
//! the current one; [`write()`] writes the current one; [`json_schema`] describes it to validators.
//!
//! ```
//! let old = br#"{"memory_breakdown": {"model_weights_gb": 12.55, "total_gb": 15.17}}"#;
//! let loaded = vramscope_schema::read(old)?;
//! let breakdown = loaded.profile.memory_breakdown.as_ref().expect("it was there");
//! assert_eq!(breakdown.kv_cache_bytes, None, "what the old document does not say stays unknown");
//!
//! let mut text = Vec::new();
//! vramscope_schema::write(&loaded.profile, &mut text).expect("memory does not fail");
//! assert_eq!(vramscope_schema::read(&text)?.profile, loaded.profile);
//! # Ok::<(), vramscope_schema::ReadError>(())
//! ```

mod amount;
pub mod doctor;
mod earlier;
mod exit_code;
#[cfg(feature = "json-schema")]
mod json_schema;
mod migrate;
mod read;
mod run_state;
mod units;
mod v1;
mod v2;
pub mod v3;
mod v3_0;
mod version;
mod write;

pub use amount::Amount;
pub use exit_code::ExitCode;
#[cfg(feature = "json-schema")]
pub use json_schema::{for_validators, json_schema};
pub use read::{Loaded, MAX_DOCUMENT_BYTES, ReadError, read};
pub use run_state::RunState;
pub use version::{Version, VersionError};
pub use write::{WriteError, write};

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
