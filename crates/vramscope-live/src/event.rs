//! What a run tells while it goes on.

use std::time::Duration;

use vramscope_core::{Bytes, Phase};

/// Something that a person may want to see.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunEvent {
    /// Somebody is asked something before the run begins; what is being done.
    Asking(&'static str),
    /// A phase begins.
    Phase {
        /// Which.
        phase: Phase,
        /// When, since the recording began.
        at: Duration,
    },
    /// The engine printed a line; secrets are hidden.
    Line(String),
    /// The memory in use on all devices now, a few times each second.
    Memory {
        /// In use.
        used: Bytes,
        /// Since the recording began.
        at: Duration,
    },
    /// Requests that have ended, of those to come in this phase.
    Requests {
        /// Ended.
        done: u64,
        /// In all.
        total: u64,
        /// Those that failed.
        failed: u64,
    },
    /// Something that a person should know now.
    Note(String),
}
