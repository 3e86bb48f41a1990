//! The document of the difference of two traces.

use serde::{Deserialize, Serialize};

use super::VERSION;
use crate::diff::{Change, Difference, Exceeded, Side};

/// The difference of two traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DiffDocument {
    /// The document's version.
    pub vramscope_trace_diff: u32,
    /// The first trace's path.
    pub before: String,
    /// The second trace's path.
    pub after: String,
    /// What times are divided by: `total` (nothing) or `step` (steps with GPU work).
    pub basis: String,
    /// Steps with GPU work in the first trace.
    pub before_steps: u64,
    /// Steps with GPU work in the second trace.
    pub after_steps: u64,
    /// Figures of the whole traces.
    pub totals: Vec<TotalChange>,
    /// Kernels that differ: the largest slow-down first, the largest gain last.
    pub kernels: Vec<ChangeDocument>,
    /// How many kernels do not differ.
    pub unchanged: u64,
    /// The limit that was set, as a share; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_above: Option<f64>,
    /// What grew by more than the limit.
    pub exceeded: Vec<ExceededRow>,
}

/// A figure of the whole traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TotalChange {
    /// `kernel_time`, `busy_time` or `step_time`.
    pub name: String,
    /// In the first trace, by the basis, in nanoseconds.
    pub before_ns: f64,
    /// In the second trace, by the basis, in nanoseconds.
    pub after_ns: f64,
    /// The change as a share of the first; absent where the first is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative: Option<f64>,
}

/// One kernel that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ChangeDocument {
    /// The kernel's name, or the folded name under which several were matched.
    pub name: String,
    /// Whether it was matched by its folded name.
    pub folded: bool,
    /// What it is for.
    pub category: String,
    /// In the first trace; absent if it did not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<SideRow>,
    /// In the second trace; absent if it did not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<SideRow>,
    /// How much longer it takes, by the basis, in nanoseconds.
    pub delta_ns: f64,
    /// The change as a share of the first; absent if it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative: Option<f64>,
}

/// One side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SideRow {
    /// How often it ran.
    pub count: u64,
    /// Sum of durations, in nanoseconds.
    pub total_ns: u64,
    /// Sum of durations by the basis, in nanoseconds.
    pub compared_ns: f64,
}

/// Something that grew by more than the limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ExceededRow {
    /// A kernel, or a figure of the whole traces.
    pub name: String,
    /// By how much, as a share.
    pub relative: f64,
}

impl DiffDocument {
    /// The document of a difference of two files. `limit` is the one that was set, with what exceeds it.
    pub fn of(before: &str, after: &str, difference: &Difference, limit: Option<f64>, exceeded: &[Exceeded]) -> Self {
        Self {
            vramscope_trace_diff: VERSION,
            before: before.to_owned(),
            after: after.to_owned(),
            basis: difference.basis.name().into(),
            before_steps: difference.steps.0,
            after_steps: difference.steps.1,
            totals: difference
                .headlines
                .iter()
                .map(|h| TotalChange {
                    name: h.name.into(),
                    before_ns: h.before_ns,
                    after_ns: h.after_ns,
                    relative: h.relative(),
                })
                .collect(),
            kernels: difference.changes.iter().map(row).collect(),
            unchanged: difference.unchanged,
            fail_above: limit,
            exceeded: exceeded.iter().map(|e| ExceededRow { name: e.name.clone(), relative: e.relative }).collect(),
        }
    }
}

fn row(change: &Change) -> ChangeDocument {
    let side = |side: Side| SideRow { count: side.count, total_ns: side.total_ns, compared_ns: side.compared_ns };
    ChangeDocument {
        name: change.name.clone(),
        folded: change.folded,
        category: change.category.name().into(),
        before: change.before.map(side),
        after: change.after.map(side),
        delta_ns: change.delta_ns(),
        relative: change.relative(),
    }
}
