//! Profiles set beside each other.
//!
//! [`Difference`] is two profiles figure by figure, [`Sweep`] is many with what each axis does to speed and memory, and
//! [`Check`] is one profile beside the figures of a calculator, and [`explain::Ledger`] says why the KV caches of two runs
//! differ. How far several runs of one kind agree says
//! [`document::RepeatDocument`]. Everything works on documents alone.
//!
//! ```
//! use vramscope_compare::{Difference, Limit};
//! let before = vramscope_schema::read(br#"{"memory_breakdown": {"model_weights_gb": 12.0, "total_gb": 15.0}}"#)?;
//! let after = vramscope_schema::read(br#"{"memory_breakdown": {"model_weights_gb": 12.6, "total_gb": 15.0}}"#)?;
//! let difference = Difference::of(&before.profile, &after.profile);
//! let verdict = difference.judge(&[Limit { figure: None, share: 0.02 }]);
//! assert_eq!(verdict.exceeded.len(), 1, "the weights grew by 5 percent");
//! # Ok::<(), vramscope_schema::ReadError>(())
//! ```

mod against;
mod calculator;
mod diff;
pub mod document;
pub mod explain;
mod figure;
mod repeat;
mod setting;
mod sweep;
mod vllm;

pub use against::{Against, Interval, Judged, LEAST_REPEATS, Outcome, Rule, Unanswered};
pub use calculator::{Calculated, Check, CheckedPart, Part};
pub use diff::{Change, Difference, Exceeded, Limit, SettingChange, Verdict};
pub use figure::{Better, Figure, Quantity, figures};
pub use setting::{Setting, settings};
pub use sweep::{AXES, CampaignRun, Point, Row, Series, Sweep};

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
