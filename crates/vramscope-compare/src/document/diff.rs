//! The document of two profiles against each other.

use serde::{Deserialize, Serialize};
use serde_json::Number;
use serde_with::skip_serializing_none;

use super::{VERSION, number};
use crate::diff::{Difference, Verdict};
use crate::figure::Better;

/// Two profiles against each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ComparisonDocument {
    /// The version of this document. Unit: none, a version.
    pub vramscope_comparison: u32,
    /// The first profile, as it was named.
    pub before: String,
    /// The second profile, as it was named.
    pub after: String,
    /// What the runs were set up with, where it differs.
    pub settings: Vec<SettingDocument>,
    /// Every figure that at least one of them has.
    pub figures: Vec<ChangeDocument>,
    /// What makes the comparison doubtful.
    pub cautions: Vec<String>,
    /// What became worse by more than its limit, worst first. Empty also where no limit was set.
    pub exceeded: Vec<ExceededDocument>,
}

/// A setting that differs.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SettingDocument {
    /// Its name, as the profile calls it.
    pub name: String,
    /// In the first profile; absent where that is silent.
    pub before: Option<String>,
    /// In the second profile; absent where that is silent.
    pub after: Option<String>,
}

/// One figure in both profiles.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ChangeDocument {
    /// Its name, which ends in its unit. Memory is that of all GPUs together.
    pub name: String,
    /// `lower`, `higher` or `neither`.
    pub better: String,
    /// In the first profile. Unit: as the name ends.
    pub before: Option<Number>,
    /// In the second profile. Unit: as the name ends.
    pub after: Option<Number>,
    /// How much more the second has. Unit: as the name ends.
    pub delta: Option<Number>,
    /// The same as a share of the first: 0.05 for 5 percent. Unit: none, a share.
    pub relative: Option<f64>,
}

/// A figure that became worse by more than its limit.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ExceededDocument {
    /// Its name.
    pub figure: String,
    /// By what share it became worse; absent where it was zero before. Unit: none, a share.
    pub worse_by: Option<f64>,
    /// Its limit. Unit: none, a share.
    pub limit: f64,
}

impl ComparisonDocument {
    /// The document of a difference between two profiles of these names.
    pub fn of(before: &str, after: &str, difference: &Difference, verdict: &Verdict) -> Self {
        let settings = difference.settings.iter().map(|change| SettingDocument {
            name: change.name.to_owned(),
            before: change.before.clone(),
            after: change.after.clone(),
        });
        let figures = difference.figures.iter().map(|change| ChangeDocument {
            name: change.name.to_owned(),
            better: word(change.better).to_owned(),
            before: change.before.and_then(number),
            after: change.after.and_then(number),
            delta: change.delta().and_then(number),
            relative: change.relative(),
        });
        let exceeded = verdict.exceeded.iter().map(|item| ExceededDocument {
            figure: item.figure.to_owned(),
            worse_by: Some(item.worse_by).filter(|share| share.is_finite()),
            limit: item.limit,
        });
        Self {
            vramscope_comparison: VERSION,
            before: before.to_owned(),
            after: after.to_owned(),
            settings: settings.collect(),
            figures: figures.collect(),
            cautions: difference.cautions.clone(),
            exceeded: exceeded.collect(),
        }
    }
}

pub(super) const fn word(better: Better) -> &'static str {
    match better {
        Better::Lower => "lower",
        Better::Higher => "higher",
        Better::Neither => "neither",
    }
}
