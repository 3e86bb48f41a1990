//! How far a run of a campaign is.

use serde::{Deserialize, Serialize};

/// How far a run of a campaign is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunState {
    /// Its profile is published.
    Complete,
    /// Its last attempt failed, or could not begin.
    Failed,
    /// Its last attempt was stopped, or ended without a word.
    Interrupted,
    /// An attempt goes on, here or elsewhere.
    Running,
    /// It was left out, since it certainly does not fit.
    Unfit,
    /// Nothing was tried.
    Pending,
}

impl RunState {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Running => "running",
            Self::Unfit => "unfit",
            Self::Pending => "pending",
        }
    }
}
