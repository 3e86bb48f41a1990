//! Facts, levels and geometry in; the breakdown of a measured peak out.
//!
//! Each component comes from the best evidence for what was resident *at the peak*:
//!
//! - weights: what the engine printed after loading; else what the architecture implies;
//! - KV cache: blocks times bytes per block, exact, where the printed amounts confirm it; else the printed budget;
//! - graphs: what the engine printed after capture, and what a trial capture before it left behind;
//! - kept beside the weights: what the engine counted as consumed, less the weights;
//! - runtime context: what was in use at the engine's first snapshot, the level before weights were loaded, or the
//!   engine's own amounts at DEBUG level;
//! - any of these, where it was read inside the framework itself;
//! - activations: what the framework's allocator held for no other part, where a snapshot of it was taken on the level of
//!   the peak; else how far memory rose after the pool and the graphs were in place. The activation peak that the engine
//!   prints is that of its profile run, before the pool exists; it is used only where the rise cannot be seen.
//!
//! An engine that prints what lies where is taken apart by that ([`placed`]), one whose ranks print what is free between
//! their steps by that ([`sglang::parts`]).
//!
//! What none of them explains is the residual.

mod evidenced;
pub(crate) mod placed;

use vramscope_core::{
    Basis, Breakdown, BreakdownError, Bytes, Component, ComponentKind, Confidence, DeviceIndex, EngineFacts,
    EngineKind, Fact, Milestone,
};

use crate::sglang;

pub use evidenced::Evidenced;
use evidenced::{pick, sum};

/// How the engine cuts the KV cache, on one rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KvGeometry {
    /// Tokens of one block.
    pub block_size: u64,
    /// Bytes that one block takes on one rank, over all layers of a group.
    pub bytes_per_block: Bytes,
    /// Whether all layers share one group, so that tokens are blocks times the block size.
    pub uniform: bool,
}

/// What was seen of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceObservation {
    /// The device.
    pub device: DeviceIndex,
    /// The ranks placed on it; none for a device that the engine does not use.
    pub ranks: Vec<u32>,
    /// Memory in use at the peak that is explained.
    pub peak: Bytes,
    /// Memory in use before the engine came.
    pub baseline: Bytes,
    /// Memory in use when weights began to load.
    pub before_load: Option<Bytes>,
    /// Memory in use just after the KV-cache pool was allocated.
    pub after_pool: Option<Bytes>,
    /// How much memory rose between the peak and the end of graph capture, where the peak came first.
    pub captured_later: Option<Bytes>,
    /// The device's memory less what its driver holds back, where both were read: what a framework calls its total.
    pub usable: Option<Bytes>,
    /// Which of the engine's buffers lie in it, by their places in the list of facts; `None` for an engine that counts its
    /// memory by rank.
    pub buffers: Option<Vec<usize>>,
    /// The engine's name for it.
    pub place: Option<String>,
    /// Parts of its one rank by a snapshot of the framework's allocator, where one was taken on the level of the peak.
    pub allocator: Vec<(ComponentKind, Evidenced)>,
}

impl DeviceObservation {
    fn inside_allocator(&self, kind: ComponentKind) -> Option<Evidenced> {
        self.allocator.iter().find(|part| part.0 == kind).map(|part| part.1.clone())
    }
}

/// What is known of each rank without looking at a device.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RankEvidence<'a> {
    /// What the engine reported.
    pub facts: &'a EngineFacts,
    /// How the KV cache is cut, if the architecture is known.
    pub kv: Option<KvGeometry>,
    /// Weights of one rank by the architecture, if known.
    pub computed_weights: Option<Evidenced>,
    /// Parts that were measured inside the framework, or computed for it, by rank. They win over everything else.
    pub inside: Vec<(u32, ComponentKind, Evidenced)>,
    /// Blocks of the KV cache on a rank, as the engine's own metrics state them.
    pub blocks: Option<u64>,
}

/// A peak explained, by device and in total.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Attribution {
    /// All devices together: the sum of `per_device`, part by part.
    pub total: Breakdown,
    /// Each device.
    pub per_device: Vec<(DeviceIndex, Breakdown)>,
}

/// Explains a measured peak.
///
/// # Errors
/// [`BreakdownError`] if the amounts do not fit 64 bits.
pub fn attribute(ranks: &RankEvidence<'_>, devices: &[DeviceObservation]) -> Result<Attribution, BreakdownError> {
    let mut per_device = Vec::new();
    for seen in devices {
        let components = match &seen.buffers {
            Some(buffers) => placed::components(ranks.facts, seen, buffers),
            None if seen.ranks.is_empty() => Vec::new(),
            None if prints_free(ranks.facts.engine) => sglang::parts::components(ranks, seen),
            None => components(ranks, seen),
        };
        per_device.push((seen.device, Breakdown::new(seen.peak, seen.baseline, components)?));
    }
    let total = total(&per_device)?;
    Ok(Attribution { total, per_device })
}

/// Whether the ranks of an engine print what is free on their devices between the steps of its start.
pub(crate) fn prints_free(kind: Option<EngineKind>) -> bool {
    kind == Some(EngineKind::SgLang)
}

/// The parts of one device.
fn components(evidence: &RankEvidence<'_>, seen: &DeviceObservation) -> Vec<Component> {
    let by_log = |kind| evidence.part_of(&seen.ranks, kind).filter(|_| evidence.was_allocated(kind));
    // An engine without a log says nothing of its parts, and its allocator all of those that it serves.
    // What follows from a config alone knows none of the engine's options, so the allocator comes before it.
    let of_ranks = |kind| match by_log(kind) {
        Some(stated) if !stated.basis.log_lines.is_empty() => Some(stated),
        computed => seen.inside_allocator(kind).or(computed),
    };
    let graphs = of_ranks(ComponentKind::CudaGraphs).map(|graphs| captured_by_peak(graphs, seen));
    let context = runtime_context(evidence, seen);
    let (weights, pool) = (of_ranks(ComponentKind::Weights), of_ranks(ComponentKind::KvCache));
    let left = left_of_trial(evidence, seen, context.as_ref(), pool.as_ref());
    let by_level = || held_by_level(evidence, seen, [weights.as_ref(), pool.as_ref(), context.as_ref()]);
    let held = of_ranks(ComponentKind::Held).or_else(by_level);
    let parts = [
        (ComponentKind::Weights, weights),
        (ComponentKind::KvCache, pool),
        (ComponentKind::Held, held),
        (ComponentKind::Activations, activations(evidence, seen, graphs.as_ref())),
        (ComponentKind::CudaGraphs, with_left(graphs, left)),
        (ComponentKind::RuntimeContext, context),
        (ComponentKind::Collectives, of_ranks(ComponentKind::Collectives)),
    ];
    parts.into_iter().filter_map(|(kind, amount)| Some(amount?.into_component(kind))).collect()
}

impl RankEvidence<'_> {
    /// Whether an engine came far enough to hold a part. One that failed may have printed, or its model may imply, a
    /// size that it never allocated.
    pub(crate) fn was_allocated(&self, kind: ComponentKind) -> bool {
        let facts = self.facts;
        let reached = |milestone| facts.event(milestone).is_some();
        let ready = facts.failures.is_empty() || reached(Milestone::EngineReady) || reached(Milestone::GraphsCaptured);
        match kind {
            ComponentKind::Weights => ready || !facts.weights.is_empty() || reached(Milestone::WeightsLoaded),
            ComponentKind::KvCache => ready || reached(Milestone::KvPoolSized),
            _ => true,
        }
    }

    /// One part on one rank, from the log and the architecture alone. Activations are then those of the engine's
    /// profile run. `None` where neither says anything.
    pub fn part(&self, rank: u32, kind: ComponentKind) -> Option<Evidenced> {
        let facts = self.facts;
        if let Some(inside) = self.inside_part(rank, kind) {
            return Some(inside);
        }
        if prints_free(facts.engine) {
            return sglang::parts::of_rank(facts, rank, kind);
        }
        let rank = self.of_its_engine(rank);
        match kind {
            ComponentKind::Weights => {
                pick(&facts.weights, rank, "model loading").or_else(|| self.computed_weights.clone())
            }
            ComponentKind::KvCache => self.kv_cache(rank),
            ComponentKind::Held => self.held(rank),
            ComponentKind::Activations => pick(&facts.activation_peak, rank, "profile run"),
            ComponentKind::CudaGraphs => pick(&facts.graphs, rank, "graph capture").or_else(|| self.no_graphs()),
            ComponentKind::Collectives => self.no_collectives(),
            _ => None,
        }
    }

    /// The rank's number within its data-parallel engine: each engine counts its own from zero.
    fn of_its_engine(&self, rank: u32) -> u32 {
        rank % self.facts.ranks().unwrap_or(u32::MAX).max(1)
    }

    /// What a rank consumed by the end of its profile run, less its weights, as the log states both.
    fn held(&self, rank: u32) -> Option<Evidenced> {
        let consumed = pick(&self.facts.consumed, rank, "consumed")?;
        let weights = pick(&self.facts.weights, rank, "model loading")?;
        Some(Evidenced {
            size: consumed.size.checked_sub(weights.size)?,
            resolution: Bytes::checked_sum([consumed.resolution, weights.resolution].into_iter().flatten()),
            confidence: Confidence::Reported,
            basis: Basis {
                method: "consumed_less_weights",
                detail: format!(
                    "{} consumed by the end of the profile run, less {} of weights",
                    consumed.size, weights.size
                ),
                log_lines: [weights.basis.log_lines, consumed.basis.log_lines].concat(),
            },
        })
    }

    fn inside_part(&self, rank: u32, kind: ComponentKind) -> Option<Evidenced> {
        self.inside.iter().find(|part| (part.0, part.1) == (rank, kind)).map(|part| part.2.clone())
    }

    /// An engine that was told so captures no graphs.
    fn no_graphs(&self) -> Option<Evidenced> {
        let fact = self.facts.enforce_eager.as_ref().filter(|f| f.value)?;
        Some(nothing("enforce_eager", "no graphs are captured in eager mode", Some(fact.origin.line)))
    }

    /// One rank has nobody to talk to. What several ranks hold for their collectives, no log says.
    fn no_collectives(&self) -> Option<Evidenced> {
        let alone = self.facts.ranks()? == 1;
        let line = self.facts.parallel.tensor.as_ref().map(|f| f.origin.line);
        alone.then(|| nothing("one_rank", "one rank has no collectives", line))
    }

    /// The same on several ranks together; `None` if one of them lacks it, or for no ranks.
    pub fn part_of(&self, ranks: &[u32], kind: ComponentKind) -> Option<Evidenced> {
        let amounts: Option<Vec<Evidenced>> = ranks.iter().map(|&rank| self.part(rank, kind)).collect();
        amounts.as_deref().and_then(sum)
    }

    /// The pool of one rank. The budget that the engine prints may be larger than the pool by less than one block.
    fn kv_cache(&self, rank: u32) -> Option<Evidenced> {
        let printed = pick(&self.facts.kv_pool, rank, "available KV-cache memory");
        match (self.exact_pool(), printed) {
            (Some((exact, block)), Some(printed)) => {
                let tolerance = block.get().saturating_add(printed.resolution.map_or(0, Bytes::get)).saturating_add(1);
                let agree = printed.size.get().abs_diff(exact.size.get()) <= tolerance;
                Some(if agree { exact } else { printed })
            }
            (exact, printed) => exact.map(|(amount, _)| amount).or(printed),
        }
    }

    /// Blocks times bytes per block, and the bytes of one block.
    fn exact_pool(&self) -> Option<(Evidenced, Bytes)> {
        let kv = self.kv?;
        let printed = self.facts.gpu_blocks.iter().min_by_key(|f| f.value);
        let (blocks, line, how) = match (printed, self.blocks) {
            (Some(fact), _) => (fact.value, Some(fact.origin.line), format!("{} blocks", fact.value)),
            (None, Some(blocks)) => (blocks, None, format!("{blocks} blocks by the engine's metrics")),
            (None, None) => {
                let fact = self.facts.kv_tokens.iter().min_by_key(|f| f.value)?;
                if !kv.uniform || kv.block_size == 0 || fact.value % kv.block_size != 0 {
                    return None;
                }
                let blocks = fact.value / kv.block_size;
                (
                    blocks,
                    Some(fact.origin.line),
                    format!("{} tokens in {blocks} blocks of {}", fact.value, kv.block_size),
                )
            }
        };
        let amount = Evidenced {
            size: kv.bytes_per_block.checked_mul(blocks)?,
            resolution: None,
            confidence: Confidence::Computed,
            basis: Basis {
                method: "blocks_times_bytes_per_block",
                detail: format!("{how}, each {} bytes on a rank", kv.bytes_per_block.get()),
                log_lines: line.into_iter().collect(),
            },
        };
        Some((amount, kv.bytes_per_block))
    }
}

/// A part that is known not to exist.
fn nothing(method: &'static str, detail: &str, line: Option<u64>) -> Evidenced {
    Evidenced {
        size: Bytes::ZERO,
        resolution: None,
        confidence: Confidence::Computed,
        basis: Basis { method, detail: detail.to_owned(), log_lines: line.into_iter().collect() },
    }
}

/// What a device held outside the framework's allocator: the driver's context, loaded kernels, library workspaces, and
/// with several ranks the communicators.
fn runtime_context(evidence: &RankEvidence<'_>, seen: &DeviceObservation) -> Option<Evidenced> {
    debug_amounts(evidence, seen).or_else(|| first_snapshot(evidence, seen)).or_else(|| {
        let before_load = seen.before_load?;
        Some(Evidenced {
            size: before_load.checked_sub(seen.baseline)?,
            resolution: None,
            confidence: Confidence::Measured,
            basis: Basis {
                method: "level_before_load",
                detail: format!(
                    "{before_load} in use when weights began to load, less the baseline of {}",
                    seen.baseline
                ),
                log_lines: Vec::new(),
            },
        })
    })
}

/// At DEBUG level the engine prints what was in use outside its allocator at its first snapshot, others' memory
/// included, and how much that grew while it profiled. It is of use where one rank has the device.
fn debug_amounts(evidence: &RankEvidence<'_>, seen: &DeviceObservation) -> Option<Evidenced> {
    let [rank] = seen.ranks[..] else { return None };
    let rank = evidence.of_its_engine(rank);
    let initial = pick(&evidence.facts.initial_non_torch, rank, "first memory snapshot")?;
    let growth = pick(&evidence.facts.non_torch, rank, "non-torch growth")?;
    let own = initial.size.checked_sub(seen.baseline)?;
    let resolution = [&initial, &growth].map(|f| f.resolution.unwrap_or(Bytes::ZERO));
    Some(Evidenced {
        size: own.checked_add(growth.size)?,
        resolution: Bytes::checked_sum(resolution),
        confidence: Confidence::Reported,
        basis: Basis {
            method: "engine_log_debug",
            detail: format!("{own} at the engine's first snapshot and {} of growth while profiling", growth.size),
            log_lines: [initial.basis.log_lines, growth.basis.log_lines].concat(),
        },
    })
}

/// What was in use when the engine looked at the device first, less the baseline. It is of use where the engine counts
/// from there what it consumes: tables of its runner may stand before weights are loaded, and are counted there.
fn first_snapshot(evidence: &RankEvidence<'_>, seen: &DeviceObservation) -> Option<Evidenced> {
    let [rank] = seen.ranks[..] else { return None };
    let rank = evidence.of_its_engine(rank);
    pick(&evidence.facts.consumed, rank, "consumed")?;
    let total = pick(&evidence.facts.device_total, rank, "device")?;
    let free = pick(&evidence.facts.initial_free, rank, "free")?;
    let used = total.size.checked_sub(free.size)?;
    Some(Evidenced {
        size: used.checked_sub(seen.baseline)?,
        resolution: Bytes::checked_sum([total.resolution, free.resolution].into_iter().flatten()),
        confidence: Confidence::Reported,
        basis: Basis {
            method: "engine_first_snapshot",
            detail: format!("{used} in use at the engine's first look, less the baseline of {}", seen.baseline),
            log_lines: free.basis.log_lines,
        },
    })
}

/// What a trial capture of graphs left on a device: how much more was in use once the KV-cache pool was there than the
/// engine had counted. A trial leaves no more than it took.
fn left_of_trial(
    evidence: &RankEvidence<'_>,
    seen: &DeviceObservation,
    context: Option<&Evidenced>,
    pool: Option<&Evidenced>,
) -> Option<Evidenced> {
    let each = |facts: &[Fact<Bytes>], of| {
        let own = |rank: &u32| pick(facts, evidence.of_its_engine(*rank), of);
        let amounts: Option<Vec<Evidenced>> = seen.ranks.iter().map(own).collect();
        amounts.as_deref().and_then(sum)
    };
    let tried = each(&evidence.facts.graphs_tried, "trial capture")?;
    let consumed = each(&evidence.facts.consumed, "consumed")?;
    let after_pool = seen.after_pool?;
    let counted = Bytes::checked_sum([seen.baseline, context?.size, consumed.size, pool?.size])?;
    let size = after_pool.checked_sub(counted).filter(|left| *left <= tried.size)?;
    Some(Evidenced {
        size,
        resolution: Bytes::checked_sum([consumed.resolution, context?.resolution].into_iter().flatten()),
        confidence: Confidence::Measured,
        basis: Basis {
            method: Basis::LEVEL_AFTER_POOL,
            detail: format!("{size} that the trial capture left, of {after_pool} after the KV pool"),
            log_lines: [tried.basis.log_lines, consumed.basis.log_lines].concat(),
        },
    })
}

/// What is kept beside the weights where the log breaks off before it says so: what was in use once the KV-cache pool was
/// there, less all that is known. What a trial capture left is in it.
fn held_by_level(
    evidence: &RankEvidence<'_>,
    seen: &DeviceObservation,
    known: [Option<&Evidenced>; 3],
) -> Option<Evidenced> {
    if !crate::model::counts_consumed(evidence.facts) || !evidence.facts.consumed.is_empty() {
        return None;
    }
    let after_pool = seen.after_pool?;
    let [weights, pool, context] = known;
    let counted = Bytes::checked_sum([seen.baseline, weights?.size, pool?.size, context?.size])?;
    let resolution = known.into_iter().flatten().filter_map(|part| part.resolution);
    Some(Evidenced {
        size: after_pool.checked_sub(counted)?,
        resolution: Bytes::checked_sum(resolution),
        confidence: Confidence::Measured,
        basis: Basis {
            method: Basis::LEVEL_AFTER_POOL,
            detail: format!("{after_pool} after the KV pool was allocated, less weights, pool, context and baseline"),
            log_lines: Vec::new(),
        },
    })
}

/// The graphs that a device held at its peak: what it gained between the peak and the end of their capture was not there.
fn captured_by_peak(graphs: Evidenced, seen: &DeviceObservation) -> Evidenced {
    let Some(later) = seen.captured_later.filter(|later| *later > Bytes::ZERO) else { return graphs };
    let by_peak = graphs.size.checked_sub(later).unwrap_or(Bytes::ZERO);
    let detail = format!("{}; {} of it came after the peak", graphs.basis.detail, graphs.size.min(later));
    Evidenced {
        size: by_peak,
        confidence: graphs.confidence.min(Confidence::Measured),
        basis: Basis { method: "captured_by_peak", detail, ..graphs.basis },
        ..graphs
    }
}

/// Captured graphs together with what their trial left.
fn with_left(graphs: Option<Evidenced>, left: Option<Evidenced>) -> Option<Evidenced> {
    let (Some(graphs), Some(left)) = (&graphs, left) else { return graphs };
    let mut lines = [graphs.basis.log_lines.clone(), left.basis.log_lines].concat();
    lines.sort_unstable();
    lines.dedup();
    Some(Evidenced {
        size: graphs.size.checked_add(left.size)?,
        resolution: Bytes::checked_sum([graphs.resolution, left.resolution].into_iter().flatten()),
        confidence: graphs.confidence.min(left.confidence),
        basis: Basis {
            method: Basis::CAPTURE_AND_TRIAL,
            detail: format!("{}, and {}", graphs.basis.detail, left.basis.detail),
            log_lines: lines,
        },
    })
}

/// Rounding of allocations: a rise that is short of the graphs by less than this is no rise.
const NO_RISE_WITHIN: Bytes = Bytes::new(64 << 20);

fn activations(evidence: &RankEvidence<'_>, seen: &DeviceObservation, graphs: Option<&Evidenced>) -> Option<Evidenced> {
    let inside = seen.ranks.iter().map(|rank| evidence.inside_part(*rank, ComponentKind::Activations));
    if let Some(inside) = inside.collect::<Option<Vec<Evidenced>>>().filter(|parts| !parts.is_empty()) {
        return sum(&inside);
    }
    // Less than a rise tells: what grew outside the allocator is no part of it.
    if let Some(inside) = seen.inside_allocator(ComponentKind::Activations) {
        return Some(inside);
    }
    let held = graphs.map_or(Bytes::ZERO, |g| g.size);
    if let Some(after_pool) = seen.after_pool {
        let floor = after_pool.checked_add(held)?;
        let short = seen.peak.checked_add(NO_RISE_WITHIN)? < floor;
        let size = seen.peak.checked_sub(floor).or((!short).then_some(Bytes::ZERO))?;
        let less_graphs = if held == Bytes::ZERO { String::new() } else { format!(", less {held} of graphs") };
        return Some(Evidenced {
            size,
            resolution: graphs.and_then(|g| g.resolution),
            confidence: Confidence::Measured,
            basis: Basis {
                method: "rise_after_pool",
                detail: format!(
                    "from {after_pool} after the KV pool was allocated to {} at the peak{less_graphs}",
                    seen.peak
                ),
                log_lines: Vec::new(),
            },
        });
    }
    let mut amount = evidence.part_of(&seen.ranks, ComponentKind::Activations)?;
    amount.confidence = Confidence::Estimated;
    amount.basis.method = "profile_run_peak";
    amount.basis.detail.push_str("; the peak of the profile run stands in for what was resident at the measured peak");
    Some(amount)
}

/// All devices together. A part that one of the engine's devices lacks is left out: half a sum is no amount.
fn total(per_device: &[(DeviceIndex, Breakdown)]) -> Result<Breakdown, BreakdownError> {
    let used: Vec<&Breakdown> = per_device.iter().map(|(_, b)| b).filter(|b| !b.components().is_empty()).collect();
    let mut components = Vec::new();
    for kind in ComponentKind::ALL {
        let parts: Option<Vec<Evidenced>> =
            used.iter().map(|b| b.component(kind).map(Evidenced::of_component)).collect();
        if let Some(amount) = parts.as_deref().and_then(sum) {
            components.push(amount.into_component(kind));
        }
    }
    let all = |of: fn(&Breakdown) -> Bytes| {
        Bytes::checked_sum(per_device.iter().map(|(_, b)| of(b))).ok_or(BreakdownError::Overflow)
    };
    Breakdown::new(all(Breakdown::peak)?, all(Breakdown::baseline)?, components)
}

#[cfg(test)]
mod tests;
