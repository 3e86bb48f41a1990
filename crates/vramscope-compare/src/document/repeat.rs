//! The document of several runs of one kind.

use serde::{Deserialize, Serialize};

/// Several runs of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RepeatDocument {
    /// The version of this document. Unit: none, a version.
    pub vramscope_repeat: u32,
    /// How many runs. Unit: count.
    pub runs: usize,
    /// The figures.
    pub figures: Vec<RepeatedFigure>,
}

/// One figure over all runs that have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RepeatedFigure {
    /// Its name, which ends in its unit.
    pub name: String,
    /// The runs that have it. Unit: count.
    pub n: usize,
    /// Arithmetic mean. Unit: as the name ends.
    pub mean: f64,
    /// Sample standard deviation; absent for one run. Unit: as the name ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stddev: Option<f64>,
    /// The smallest. Unit: as the name ends.
    pub min: f64,
    /// The largest. Unit: as the name ends.
    pub max: f64,
    /// (max - min) / mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread_pct: Option<f64>,
    /// Runs, counted from 1, whose value lies more than 3.5 robust standard deviations from the median. Five runs at
    /// least are needed to tell. Unit: none, numbers of runs.
    pub outliers: Vec<usize>,
}
