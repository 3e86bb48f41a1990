//! How a document came from an earlier version.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::BasisUnit;

/// How a document came from an earlier version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Migration {
    /// The version of the earlier document.
    pub from: String,
    /// Bare numbers of the earlier document that became bytes, each with the unit that it was read in.
    pub figures: Vec<ConvertedFigure>,
    /// What the earlier document could not say, and what did not come along.
    pub notes: Vec<String>,
}

/// A bare number that became bytes.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConvertedFigure {
    /// The field of this document that it became, by its path; `[]` stands for every element of a list.
    pub field: String,
    /// The number as it was written; absent where `field` stands for several. Unit: as `basis` says.
    pub as_written: Option<f64>,
    /// Numbers that `field` stands for. Unit: count.
    pub count: u64,
    /// The unit that it was read in.
    pub basis: BasisUnit,
    /// Whether that unit is certain. Where it is not, the amount may be off by 7.4 percent (4.9 percent for `_mb`), and
    /// a comparison that rests on it must say so.
    pub proven: bool,
    /// Why this unit.
    pub reason: String,
}
