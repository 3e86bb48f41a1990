//! What the engine set out to use, read back from its log: the amount that it asked for, and the activation peak that
//! it found in its profile run.

use crate::attribution::Evidenced;
use vramscope_core::{Basis, Bytes, ComponentKind, Confidence, Fact};

use crate::known::Known;
use crate::model;

/// Total times utilization, on one device. The total is what the framework calls it: the driver's less its reserve.
pub(crate) fn requested(run: &Known<'_>) -> Option<Evidenced> {
    if let Some(fact) = run.facts.requested.last() {
        return Some(reported(fact, "requested memory"));
    }
    let utilization = run.facts.gpu_memory_utilization.as_ref();
    let version = run.facts.version.as_ref().map(|f| f.value.as_str());
    let (share, line, how) = match utilization {
        Some(fact) => (fact.value, Some(fact.origin.line), "as set"),
        None => (model::default_utilization(version?)?, None, "the default of this version"),
    };
    let device = run.derived?.placement.active.first().copied()?;
    let total = run.derived?.timeline.device(device)?.usable()?;
    let size = Bytes::from_unit((total.as_f64() * share).ceil(), vramscope_core::ByteUnit::B)?;
    Some(Evidenced {
        size,
        resolution: None,
        confidence: Confidence::Computed,
        basis: Basis {
            method: "total_times_utilization",
            detail: format!("{} times {share}, {how}", total),
            log_lines: line.into_iter().collect(),
        },
    })
}

/// The transient peak of the profile run on rank 0: as printed, else what is missing between the amount asked for and
/// the KV budget. The engine takes off weights, growth outside its allocator, the peak, and on some runners its
/// estimate of the graphs. With several ranks that growth holds their communicators, whose size differs too much to be
/// assumed: where it is not printed, the peak is not known.
pub(crate) fn activation_peak(run: &Known<'_>) -> Option<Evidenced> {
    let printed = || run.ranks.part(0, ComponentKind::Activations);
    printed().or_else(|| {
        let facts = run.facts;
        // What is kept beside the weights, which only its own line states, would be taken for the peak.
        if model::counts_consumed(facts) {
            return None;
        }
        let requested = requested(run)?;
        let budget = facts.kv_pool.last()?;
        let weights = facts.weights.last()?;
        let graphs = facts.graphs_estimated.last();
        let non_torch = match facts.non_torch.last() {
            Some(fact) => fact.value,
            None if facts.ranks().unwrap_or(1) > 1 => return None,
            None => model::usual_non_torch_growth(),
        };
        let taken = [budget.value, weights.value, graphs.map_or(Bytes::ZERO, |g| g.value), non_torch];
        let size = requested.size.checked_sub(Bytes::checked_sum(taken)?)?;
        let half_steps = [Some(budget), Some(weights), graphs].into_iter().flatten().filter_map(|f| f.resolution);
        let lines = [Some(budget), Some(weights), graphs].into_iter().flatten().map(|f| f.origin.line).collect();
        Some(Evidenced {
            size,
            resolution: Bytes::checked_sum(half_steps),
            confidence: Confidence::Estimated,
            basis: Basis {
                method: "requested_less_kv_budget",
                detail: format!(
                    "{} requested, less {} for the KV cache, {} of weights and {non_torch} outside the allocator",
                    requested.size, budget.value, weights.value
                ),
                log_lines: lines,
            },
        })
    })
}

fn reported(fact: &Fact<Bytes>, of: &str) -> Evidenced {
    Evidenced {
        size: fact.value,
        resolution: fact.resolution,
        confidence: Confidence::Reported,
        basis: Basis {
            method: "engine_log",
            detail: format!("{of}: {}", fact.value),
            log_lines: vec![fact.origin.line],
        },
    }
}
