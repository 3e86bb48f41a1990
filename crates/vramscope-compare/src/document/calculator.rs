//! The document of a profile beside what a calculator said.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use vramscope_core::ByteDelta;

use super::VERSION;
use crate::calculator::Check;

/// A profile beside what a calculator said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CalculatorDocument {
    /// The version of this document. Unit: none, a version.
    pub vramscope_calculator_check: u32,
    /// The profile, as it was named.
    pub profile: String,
    /// The parts of which the calculator said something.
    pub parts: Vec<CheckedPartDocument>,
    /// What makes the comparison doubtful.
    pub cautions: Vec<String>,
}

/// One part. Memory is that of all GPUs together.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CheckedPartDocument {
    /// `model_weights`, `kv_cache` (the pool), `kv_cache_of_workload` (the share of the pool that the workload's batch
    /// and lengths fill), `activations`, `framework_overhead` (the peak less all of these and the baseline), `total` (the
    /// peak less the baseline) or `total_of_workload` (the same with that share of the pool alone).
    pub part: String,
    /// What was measured; absent where the profile does not say. Unit: bytes.
    pub measured_bytes: Option<i64>,
    /// What the calculator said. Unit: bytes.
    pub calculated_bytes: u64,
    /// Calculated less measured. Unit: bytes.
    pub error_bytes: Option<i64>,
    /// The error as a percentage of what was measured.
    pub error_pct: Option<f64>,
    /// How far a good calculator is usually off.
    pub usual_error_pct: f64,
    /// Whether this one is no further off.
    pub within_usual: Option<bool>,
    /// What the calculated size must be multiplied with to agree. Unit: none, a factor.
    pub factor: Option<f64>,
}

impl CalculatorDocument {
    /// The document of a check of a profile of this name.
    pub fn of(profile: &str, check: &Check) -> Self {
        let parts = check.parts.iter().map(|part| CheckedPartDocument {
            part: part.part.name().to_owned(),
            measured_bytes: part.measured.map(ByteDelta::get),
            calculated_bytes: part.calculated.get(),
            error_bytes: part.error().map(ByteDelta::get),
            error_pct: part.relative().map(|relative| relative * 100.0),
            usual_error_pct: part.part.usual() * 100.0,
            within_usual: part.within(),
            factor: part.factor(),
        });
        Self {
            vramscope_calculator_check: VERSION,
            profile: profile.to_owned(),
            parts: parts.collect(),
            cautions: check.cautions.clone(),
        }
    }
}
