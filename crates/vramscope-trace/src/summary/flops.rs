//! Floating-point operations that a trace states.

/// Floating-point operations. A profiler of torch that is told to count them (`with_flops`) keeps the counts for its own
/// tables; a trace holds what torch's compiler estimated for its kernels, or what a tool wrote into it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlopSummary {
    /// All operations of what [`source`](Self::source) names.
    pub total: u64,
    /// What states them.
    pub source: FlopSource,
    /// The time in which devices were busy, with whatever; `None` where the operations are not of these devices alone.
    pub busy_ns: Option<u64>,
    /// By operator, the most operations first.
    pub operators: Vec<FlopRow>,
    /// By kernel, the most operations first.
    pub kernels: Vec<FlopRow>,
}

/// What states operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlopSource {
    /// Kernels. Where their operators state the same, it is not counted again.
    Kernels,
    /// Operators, because no kernel does.
    Operators,
}

impl FlopSource {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernels => "kernels",
            Self::Operators => "operators",
        }
    }
}

/// What operators or kernels of one name state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlopRow {
    /// The name.
    pub name: String,
    /// How many state it.
    pub count: u64,
    /// All operations.
    pub flops: u64,
    /// The time of their kernels; `None` where some call of the operator states nothing, or none launched a kernel.
    pub time_ns: Option<u64>,
}

impl FlopSummary {
    /// Operations a second while the GPU was busy. Busy time holds work that states nothing too, so that this is no more
    /// than what was achieved.
    pub fn per_second(&self) -> Option<f64> {
        rate(self.total, self.busy_ns)
    }
}

impl FlopRow {
    /// Operations a second of its kernels' time.
    pub fn per_second(&self) -> Option<f64> {
        rate(self.flops, self.time_ns)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate has fewer than 15 digits that mean anything")]
fn rate(flops: u64, time_ns: Option<u64>) -> Option<f64> {
    let time = time_ns.filter(|time| *time > 0)?;
    Some(flops as f64 / time as f64 * 1e9)
}
