//! Floating-point operations in a trace's document.

use serde::{Deserialize, Serialize};

use crate::summary::{FlopRow, FlopSummary};

/// Floating-point operations that the trace states: torch's compiler's estimates for its kernels (`kernel_flop`), or
/// what a tool wrote into it (`flops`). A profiler that is told to count them writes none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FlopsDocument {
    /// Operations of all kernels that state them, or where none does, of all operators.
    pub total: u64,
    /// What states the operations of `total`: `kernels` or `operators`.
    pub stated_by: String,
    /// The time in which devices were busy, with whatever, in nanoseconds; absent where the operations are not of these
    /// devices alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_ns: Option<u64>,
    /// Operations a second of `busy_ns`: no more than what was achieved, because work that states nothing takes time too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
    /// By operator, the most operations first.
    pub operators: Vec<FlopsRow>,
    /// By kernel, the most operations first.
    pub kernels: Vec<FlopsRow>,
}

/// What operators or kernels of one name state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FlopsRow {
    /// The name.
    pub name: String,
    /// How many state it.
    pub count: u64,
    /// All operations.
    pub flops: u64,
    /// The time of their kernels, in nanoseconds; absent where some call of the operator states nothing, or none launched
    /// a kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_time_ns: Option<u64>,
    /// Operations a second of `kernel_time_ns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
}

impl FlopsDocument {
    pub(super) fn of(flops: &FlopSummary, top: usize) -> Self {
        let rows = |rows: &[FlopRow]| rows.iter().take(top).map(row).collect();
        Self {
            total: flops.total,
            stated_by: flops.source.name().into(),
            busy_ns: flops.busy_ns,
            per_second: flops.per_second(),
            operators: rows(&flops.operators),
            kernels: rows(&flops.kernels),
        }
    }
}

fn row(row: &FlopRow) -> FlopsRow {
    FlopsRow {
        name: row.name.clone(),
        count: row.count,
        flops: row.flops,
        kernel_time_ns: row.time_ns,
        per_second: row.per_second(),
    }
}
