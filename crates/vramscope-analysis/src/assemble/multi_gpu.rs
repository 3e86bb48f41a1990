//! What only a run on several devices has: their imbalance, and what it costs that there are several.

use vramscope_core::{Breakdown, ByteDelta, Bytes, ComponentKind, DeviceIndex};
use vramscope_estimate::EngineArgs;
use vramscope_schema::Amount;

use crate::attribution::prints_free;
use crate::derive::Derived;
use crate::known::Known;
use crate::model;

/// (largest - smallest) / mean of the memory over the baseline at the peak, over the devices that the engine uses.
pub(super) fn imbalance_pct(derived: &Derived) -> Option<Amount> {
    let over = |device: &DeviceIndex| {
        let baseline = derived.baseline.as_ref().and_then(|point| point.of(*device)).unwrap_or(Bytes::ZERO);
        derived.peak.as_ref()?.of(*device)?.checked_sub(baseline)
    };
    let used: Vec<Bytes> = derived.placement.active.iter().filter_map(over).collect();
    let (least, most) = (used.iter().min()?, used.iter().max()?);
    let sum = Bytes::checked_sum(used.iter().copied())?;
    if used.len() < 2 || sum == Bytes::ZERO {
        return None;
    }
    let count = f64::from(u32::try_from(used.len()).ok()?);
    Amount::new((most.as_f64() - least.as_f64()) / (sum.as_f64() / count) * 100.0)
}

/// Weights, runtime contexts and collectives of all devices, less the weights of one rank that has all layers and heads
/// to itself and one context. `None` for one device, for replicas of the whole engine, and where a part is not known.
pub(super) fn overhead(run: &Known<'_>) -> Option<ByteDelta> {
    let per_device = &run.derived?.attribution.as_ref()?.per_device;
    let active = &run.derived?.placement.active;
    let used: Vec<&Breakdown> = per_device.iter().filter(|(d, _)| active.contains(d)).map(|(_, b)| b).collect();
    let args = model::engine_args(run.facts);
    // What one GPU would hold is computed; falls of free memory hold more than that.
    if used.len() < 2 || prints_free(run.facts.engine) || args.data_parallel_size > 1 {
        return None;
    }
    let part = |breakdown: &Breakdown, kind| breakdown.component(kind).map(|component| component.size);
    let mut together = Bytes::ZERO;
    let mut one_context = Bytes::ZERO;
    for breakdown in used {
        let context = part(breakdown, ComponentKind::RuntimeContext)?;
        one_context = one_context.max(context);
        let collectives = part(breakdown, ComponentKind::Collectives).unwrap_or(Bytes::ZERO);
        let sum = Bytes::checked_sum([part(breakdown, ComponentKind::Weights)?, context, collectives])?;
        together = together.checked_add(sum)?;
    }
    let alone = EngineArgs { tensor_parallel_size: 1, pipeline_parallel_size: 1, ..args };
    let weights = model::weights_with(run.evidence.architecture.as_ref()?, &alone)?;
    together.checked_delta(weights.size.checked_add(one_context)?)
}
