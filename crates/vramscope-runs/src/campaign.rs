//! A campaign: a file of models and axes, and the runs that it stands for.

mod expand;
mod file;
mod key;
mod lease;
mod plan;
mod store;
mod table;

pub use expand::{PlannedRun, expand};
#[cfg(feature = "json-schema")]
pub use file::campaign_json_schema;
pub use file::{CampaignFile, ModelEntry};
pub use key::RunKey;
pub use lease::{Lease, Leased, Owner};
#[cfg(feature = "json-schema")]
pub use plan::campaign_plan_json_schema;
pub use plan::{CheckDocument, PlanDocument, PlanReadError, PlannedDocument, RoomDocument};
pub use store::{Attempt, CampaignFolder, Published, StoreError};

/// A campaign with more runs than this is a slip of the pen.
pub const MOST_RUNS: usize = 10_000;
/// The largest campaign file. The largest real one has 6 kB.
pub const MOST_CAMPAIGN_BYTES: usize = 1 << 20;

/// Why a text is no campaign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CampaignError {
    /// The YAML cannot be read, or a field of it is not what it should be.
    #[error("read the campaign: {reason}")]
    Yaml {
        /// The reader's words, with line and column.
        reason: String,
    },
    /// A line of a table cannot be read.
    #[error("read the campaign: line {line}: {reason}")]
    Line {
        /// The line, counted from 1.
        line: u64,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// A model's entry asks for nothing.
    #[error("read the campaign: {model}: {field} is an empty list, so there is nothing to run")]
    NothingAsked {
        /// The model.
        model: String,
        /// The axis.
        field: &'static str,
    },
    /// The file names no model.
    #[error("read the campaign: it names no model")]
    Empty,
    /// The axes multiply to too much.
    #[error("read the campaign: it has more than {MOST_RUNS} runs; shorten a list, or split the file")]
    TooMany,
    /// The file is larger than any campaign.
    #[error("read the campaign: it has more than {MOST_CAMPAIGN_BYTES} bytes")]
    TooLarge,
}

/// Reads a campaign: YAML, or the older table of comma-separated values, told by its first line that is no comment.
///
/// # Errors
/// [`CampaignError`].
pub fn read(text: &str) -> Result<CampaignFile, CampaignError> {
    if text.len() > MOST_CAMPAIGN_BYTES {
        return Err(CampaignError::TooLarge);
    }
    let file = if table::is_one(text) { table::read(text)? } else { file::read(text)? };
    if file.models.is_empty() { Err(CampaignError::Empty) } else { Ok(file) }
}
