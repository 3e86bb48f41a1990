//! Where used memory went: named components and a signed remainder.

use std::fmt;

use crate::{ByteDelta, Bytes};

/// A named part of used memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ComponentKind {
    /// Parameters and buffers of the model.
    Weights,
    /// The KV-cache pool, used or not.
    KvCache,
    /// State of recurrent layers, used or not.
    RecurrentState,
    /// What a rank keeps beside its weights once its profile run is over, in engines that count it: tables of its runner
    /// and sampler, workspaces, states, and what grew outside the framework's allocator meanwhile.
    Held,
    /// Working memory of forward passes and sampling.
    Activations,
    /// Buffers that an engine allocates at its start for one step to compute in.
    Compute,
    /// Buffers for what a step leaves: logits and embeddings.
    Output,
    /// Memory held by captured CUDA or HIP graphs.
    CudaGraphs,
    /// Driver context, loaded kernels and library workspaces outside the framework's allocator.
    RuntimeContext,
    /// Buffers of NCCL or RCCL and of custom all-reduce.
    Collectives,
}

impl ComponentKind {
    /// All kinds in the order in which tables show them.
    pub const ALL: [Self; 10] = [
        Self::Weights,
        Self::KvCache,
        Self::RecurrentState,
        Self::Held,
        Self::Activations,
        Self::Compute,
        Self::Output,
        Self::CudaGraphs,
        Self::RuntimeContext,
        Self::Collectives,
    ];

    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weights => "model_weights",
            Self::KvCache => "kv_cache",
            Self::RecurrentState => "recurrent_state",
            Self::Held => "held",
            Self::Activations => "activations",
            Self::Compute => "compute_buffers",
            Self::Output => "output_buffers",
            Self::CudaGraphs => "cuda_graphs",
            Self::RuntimeContext => "runtime_context",
            Self::Collectives => "collectives",
        }
    }
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How well a figure is known, from least to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// A usual value, without evidence from this run.
    Assumed,
    /// From a fitted rule.
    Estimated,
    /// By exact arithmetic from facts of this run.
    Computed,
    /// Printed by the engine, within the printed resolution.
    Reported,
    /// Read from the device.
    Measured,
}

impl Confidence {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Assumed => "assumed",
            Self::Estimated => "estimated",
            Self::Computed => "computed",
            Self::Reported => "reported",
            Self::Measured => "measured",
        }
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a figure is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Basis {
    /// A short stable name of the method, `snake_case`.
    pub method: &'static str,
    /// One sentence with the figures that went in.
    pub detail: String,
    /// Lines of the engine log that it rests on, counted from 1.
    pub log_lines: Vec<u64>,
}

impl Basis {
    /// A part is what the others leave of the level after the KV-cache pool was allocated.
    pub const LEVEL_AFTER_POOL: &'static str = "level_after_pool";
    /// Captured graphs, and what their trial left, which is such a part.
    pub const CAPTURE_AND_TRIAL: &'static str = "capture_and_trial";

    /// A part is what the framework's allocator held, by its own snapshot.
    pub const ALLOCATOR_SNAPSHOT: &'static str = "allocator_snapshot";

    /// Whether a part of which the size was found so is what others leave: beside it a residual of nothing shows nothing.
    pub fn is_remainder(method: &str) -> bool {
        [Self::LEVEL_AFTER_POOL, Self::CAPTURE_AND_TRIAL].contains(&method)
    }
}

/// One part of used memory with its size on one device, or on all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Which part.
    pub kind: ComponentKind,
    /// How large.
    pub size: Bytes,
    /// Half the width of the interval in which the true size lies, where the source implies one (printed digits).
    pub resolution: Option<Bytes>,
    /// How well it is known.
    pub confidence: Confidence,
    /// Why.
    pub basis: Basis,
}

/// The parts of a peak. `peak = baseline + components + residual` holds exactly, because the only constructor
/// computes the residual from the rest.
///
/// ```
/// use vramscope_core::{Breakdown, Bytes};
/// let b = Breakdown::new(Bytes::new(100), Bytes::new(30), vec![]).unwrap();
/// assert_eq!(b.residual().get(), 70);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breakdown {
    peak: Bytes,
    baseline: Bytes,
    components: Vec<Component>,
    residual: ByteDelta,
}

/// A breakdown that cannot be stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BreakdownError {
    /// The parts or their difference from the peak do not fit 64 bits.
    #[error("sum the components: the result does not fit 64 bits")]
    Overflow,
    /// A part is named twice.
    #[error("sum the components: {0} is given twice")]
    Twice(ComponentKind),
}

impl Breakdown {
    /// States a breakdown and computes its residual.
    ///
    /// # Errors
    /// [`BreakdownError::Twice`] if a component kind occurs twice, [`BreakdownError::Overflow`] if the sum does not fit.
    pub fn new(peak: Bytes, baseline: Bytes, mut components: Vec<Component>) -> Result<Self, BreakdownError> {
        components.sort_by_key(|c| c.kind);
        if let Some(pair) = components.windows(2).find(|pair| pair[0].kind == pair[1].kind) {
            return Err(BreakdownError::Twice(pair[0].kind));
        }
        let parts = Bytes::checked_sum(components.iter().map(|c| c.size).chain([baseline]));
        let residual = parts.and_then(|sum| peak.checked_delta(sum)).ok_or(BreakdownError::Overflow)?;
        Ok(Self { peak, baseline, components, residual })
    }

    /// The largest memory in use that is being explained.
    pub fn peak(&self) -> Bytes {
        self.peak
    }

    /// What was in use before the engine came.
    pub fn baseline(&self) -> Bytes {
        self.baseline
    }

    /// The parts, ordered by kind. A part that is not known is absent.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// One part, if known.
    pub fn component(&self, kind: ComponentKind) -> Option<&Component> {
        self.components.iter().find(|c| c.kind == kind)
    }

    /// What no part explains; negative if the parts claim more than was measured.
    pub fn residual(&self) -> ByteDelta {
        self.residual
    }

    /// The residual's size as a share of the peak; zero for an empty peak.
    pub fn residual_share(&self) -> f64 {
        if self.peak == Bytes::ZERO { 0.0 } else { self.residual.as_f64() / self.peak.as_f64() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(kind: ComponentKind, size: u64) -> Component {
        Component {
            kind,
            size: Bytes::new(size),
            resolution: None,
            confidence: Confidence::Reported,
            basis: Basis::default(),
        }
    }

    #[test]
    fn parts_that_claim_too_much_leave_a_negative_residual() {
        let b = Breakdown::new(Bytes::new(10), Bytes::new(4), vec![part(ComponentKind::Weights, 9)]).unwrap();
        assert_eq!(b.residual(), ByteDelta::new(-3));
        assert!((b.residual_share() + 0.3).abs() < 1e-12);
    }

    #[test]
    fn a_part_counts_once() {
        let twice = vec![part(ComponentKind::Weights, 1), part(ComponentKind::Weights, 2)];
        let failed = Breakdown::new(Bytes::new(10), Bytes::ZERO, twice);
        assert_eq!(failed, Err(BreakdownError::Twice(ComponentKind::Weights)));
    }

    #[test]
    fn confidence_is_ordered() {
        use Confidence::{Assumed, Computed, Estimated, Measured, Reported};
        assert!(Measured > Reported && Reported > Computed && Computed > Estimated && Estimated > Assumed);
    }

    proptest! {
        #[test]
        fn the_identity_holds_to_the_byte(
            peak in 0u64..1 << 60, baseline in 0u64..1 << 60, sizes in prop::collection::vec(0u64..1 << 59, 10)
        ) {
            let parts = ComponentKind::ALL.iter().zip(&sizes).map(|(&k, &s)| part(k, s)).collect();
            let b = Breakdown::new(Bytes::new(peak), Bytes::new(baseline), parts).unwrap();
            let sum: i128 = b.components().iter().map(|c| i128::from(c.size.get())).sum();
            prop_assert_eq!(i128::from(baseline) + sum + i128::from(b.residual().get()), i128::from(peak));
        }
    }
}
