//! How a document came from an earlier version.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::BasisUnit;

/// How a document came from an earlier version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Migration {
    /// The version of the earlier document.
    pub from: String,
    /// The units in which the bare numbers of the earlier document were read, each with the numbers read in it.
    pub units: Vec<UnitBasis>,
    /// What the earlier document could not say, and what did not come along.
    pub notes: Vec<String>,
}

impl Migration {
    /// The unit in which a field was read, by its path in this document (`memory_breakdown.kv_cache_bytes`; `[]` for
    /// every element of a list); the least certain one, if elements differ. `None` for a field that was not converted.
    pub fn basis_of(&self, field: &str) -> Option<&UnitBasis> {
        let holds = |unit: &&UnitBasis| unit.figures.iter().any(|figure| figure.field == field);
        self.units.iter().filter(holds).min_by_key(|unit| unit.proven)
    }
}

/// A unit in which bare numbers were read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct UnitBasis {
    /// The unit.
    pub basis: BasisUnit,
    /// Whether that unit is certain. Where it is not, the amounts may be off by 7.4 percent (4.9 percent for `MB` and
    /// `MiB`), and a comparison that rests on them must say so.
    pub proven: bool,
    /// Why this unit.
    pub reason: String,
    /// The numbers.
    pub figures: Vec<ConvertedFigure>,
}

/// A bare number that became bytes.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ConvertedFigure {
    /// The field of this document that it became, by its path; `[]` stands for every element of a list.
    pub field: String,
    /// The number as it was written; absent where `field` stands for several, which are their bytes divided by the
    /// unit. Unit: as `basis` says.
    pub as_written: Option<f64>,
    /// The numbers that `field` stands for, where they are several. Unit: count.
    pub count: Option<u64>,
}
