//! Where memory went that should not have gone there.

use vramscope_core::{Bytes, ComponentKind, Milestone, Phase};
use vramscope_schema::v3::{Diagnostic, Figures, Severity};

use super::{advise, advise_on, diagnostic, percent_of, setting, signed};
use crate::advice::{Topic, advice};
use crate::budget;
use crate::known::Known;
use crate::model;
use crate::phases::RETURNED_WITHIN;

/// A residual of more than this share of the peak is explained.
const LARGE_RESIDUAL_PCT: f64 = 3.0;
/// Weights that differ by more than this share from what the config implies are not what it describes.
const WEIGHTS_DIFFER_PCT: f64 = 3.0;
/// A pool of more than so many times what the workload holds is called too large.
const POOL_FAR_TOO_LARGE: u64 = 4;
/// Beyond this share of the pool, requests begin to wait or are preempted.
const POOL_NEARLY_FULL_PCT: f64 = 95.0;
/// Less than this share of the device free at the peak leaves no room for a spike.
const DEVICE_NEARLY_FULL_PCT: f64 = 1.0;
/// Every engine takes a little more than it asks for: its context is outside its budget.
const FAR_BEYOND_REQUEST_PCT: f64 = 1.0;
/// A process list or a baseline below this is the driver's own.
const OTHERS_HOLD: Bytes = Bytes::new(64 << 20);

/// Others hold memory on the devices of the run.
pub(super) fn other_processes(known: &Known<'_>) -> Option<Diagnostic> {
    let derived = known.derived?;
    let baseline = derived.timeline.window(Phase::Baseline).and(derived.baseline.as_ref())?;
    let on_active = baseline
        .used
        .iter()
        .filter(|(device, _)| derived.placement.active.is_empty() || derived.placement.active.contains(device));
    let held = Bytes::checked_sum(on_active.map(|(_, used)| *used))?;
    if held < OTHERS_HOLD {
        return None;
    }
    let start = derived.timeline.window(Phase::Launch).map_or(baseline.at, |w| w.start);
    let before = known.evidence.gpu.as_ref()?.processes.iter().filter(|p| p.first_seen < start).count();
    let count = u64::try_from(before).ok()?;
    let who = match count {
        0 => String::new(),
        1 => ", by one process that was there before it".to_owned(),
        n => format!(", by {n} processes that were there before it"),
    };
    let message = format!("{held} were in use on the engine's devices before it started{who}");
    let evidence = Figures::new().bytes("baseline", held).count("processes_before_count", count);
    let found = Diagnostic { evidence, ..diagnostic("other_processes", Severity::Warning, message) };
    advise_on(found, known, Topic::OthersHoldMemory)
}

/// The pool against what the workload can hold at once.
pub(super) fn kv_pool_against_workload(known: &Known<'_>) -> Option<Diagnostic> {
    let workload = known.evidence.args.as_ref()?.workload();
    let needed = workload.peak_tokens().filter(|n| *n > 0)?;
    let held = known.facts.kv_cache_tokens()?;
    let pool = known.ranks.part(0, ComponentKind::KvCache).map(|a| a.size);
    let mut evidence = Figures::new().count("workload_tokens", needed).count("kv_cache_tokens", held);
    if let Some(pool) = pool {
        evidence = evidence.bytes("kv_cache_per_rank", pool);
    }
    // Of several data-parallel engines each says its part, and else the smallest binds.
    let stated = known.facts.kv_tokens.iter().filter(|f| !known.facts.replicas.is_empty() || f.value == held);
    let mut lines: Vec<u64> = stated.map(|fact| fact.origin.line).collect();
    lines.truncate(known.facts.replicas.len().max(1));
    if held < needed {
        let message =
            format!("the KV cache holds {held} tokens, and the workload needs {needed} at once: requests wait");
        let found = Diagnostic {
            evidence,
            log_lines: lines,
            ..diagnostic("kv_pool_smaller_than_workload", Severity::Warning, message)
        };
        return advise_on(found, known, Topic::PoolTooSmall);
    }
    if held / POOL_FAR_TOO_LARGE < needed {
        return None;
    }
    let times = held / needed;
    let share = pool.map_or(String::new(), |pool| format!(" of {pool} on each rank"));
    let message = format!(
        "the KV-cache pool{share} holds {held} tokens, {times} times the {needed} that the workload has at once"
    );
    let found = Diagnostic {
        evidence,
        log_lines: lines,
        ..diagnostic("kv_pool_larger_than_workload", Severity::Info, message)
    };
    advise_on(found, known, Topic::PoolFarTooLarge)
}

/// The pool was in use almost whole.
pub(super) fn kv_pool_nearly_full(known: &Known<'_>) -> Option<Diagnostic> {
    let fact = known.facts.peak_kv_usage_pct.as_ref().filter(|f| f.value >= POOL_NEARLY_FULL_PCT)?;
    let message = format!("the KV cache was {:.1} % full at its fullest: requests wait or are preempted", fact.value);
    let found = Diagnostic {
        evidence: Figures::new().number("peak_kv_usage_pct", fact.value),
        log_lines: vec![fact.origin.line],
        ..diagnostic("kv_pool_nearly_full", Severity::Warning, message)
    };
    advise_on(found, known, Topic::PoolNearlyFull)
}

/// Weights against the architecture.
pub(super) fn weights_against_config(known: &Known<'_>) -> Option<Diagnostic> {
    let model = known.evidence.architecture.as_ref();
    let on_device = crate::assemble::device(known).and_then(|device| model::weights_on(model?, known.facts, &device));
    let computed = on_device.or_else(|| model::weights(model, known.facts))?;
    let reported = known.facts.weights.iter().max_by_key(|f| f.value)?;
    let difference = reported.value.checked_delta(computed.size)?;
    let share = percent_of(difference.as_f64(), computed.size);
    let rounding =
        computed.resolution.unwrap_or(Bytes::ZERO).checked_add(reported.resolution.unwrap_or(Bytes::ZERO))?;
    if share.abs() <= WEIGHTS_DIFFER_PCT || difference.magnitude() <= rounding {
        return None;
    }
    let code = if share > 0.0 { "weights_larger_than_config" } else { "weights_smaller_than_config" };
    let severity = if share > 0.0 { Severity::Warning } else { Severity::Info };
    let message = format!(
        "a rank loaded {} of weights, {} ({share:+.1} %) than the {} that the config implies",
        reported.value,
        signed(difference),
        computed.size
    );
    let found = Diagnostic {
        evidence: Figures::new()
            .bytes("reported_weights_per_rank", reported.value)
            .bytes("computed_weights_per_rank", computed.size)
            .number("difference_pct", share),
        log_lines: vec![reported.origin.line],
        ..diagnostic(code, severity, message)
    };
    let advice = if share > 0.0 {
        "look for adapters, a draft model, weights that are not quantized as the config says, or the wrong config.json"
    } else {
        "look for a quantized checkpoint, offloaded layers, or the wrong config.json"
    };
    advise(found, advice)
}

/// The engine took more than it was told to: graphs and caches that its budget does not hold.
pub(super) fn used_beyond_request(known: &Known<'_>) -> Option<Diagnostic> {
    // A pool of a given size ignores the utilization, so nothing was requested.
    known.facts.kv_pool.first().filter(|_| known.facts.event(Milestone::Profiled).is_some())?;
    let requested = budget::requested(known)?;
    let attribution = known.derived?.attribution.as_ref()?;
    let used = attribution.per_device.iter().filter_map(|(_, b)| b.peak().checked_sub(b.baseline())).max()?;
    let over = used
        .checked_sub(requested.size)
        .filter(|over| percent_of(over.as_f64(), requested.size) > FAR_BEYOND_REQUEST_PCT)?;
    let graphs = known.facts.graphs.iter().map(|f| f.value).max();
    let budgeted =
        |facts: &vramscope_core::EngineFacts| !facts.graphs_estimated.is_empty() || !facts.graphs_tried.is_empty();
    let unbudgeted = graphs.filter(|_| !budgeted(known.facts));
    let cause = unbudgeted.map_or(String::new(), |g| format!("; {g} of graphs are in no budget of this runner"));
    let message = format!(
        "the engine used {used} of a device at its peak, {over} more than the {} requested{cause}",
        requested.size
    );
    let found = Diagnostic {
        evidence: Figures::new().bytes("used", used).bytes("requested", requested.size).bytes("over", over),
        log_lines: requested.basis.log_lines,
        ..diagnostic("used_beyond_request", Severity::Info, message)
    };
    advise(
        found,
        "leave as much free beside the engine: other processes, or a utilization near 1, would run out of memory",
    )
}

/// What no part explains.
pub(super) fn residual(known: &Known<'_>) -> Option<Diagnostic> {
    let derived = known.derived?;
    let total = &derived.attribution.as_ref()?.total;
    let share = total.residual_share() * 100.0;
    if share.abs() <= LARGE_RESIDUAL_PCT || known.evidence.engine.is_none() {
        return None;
    }
    let missing: Vec<&str> = [ComponentKind::Weights, ComponentKind::KvCache, ComponentKind::RuntimeContext]
        .into_iter()
        .filter(|kind| total.component(*kind).is_none())
        .map(ComponentKind::name)
        .collect();
    let held = retained_before_pool(known);
    let unexplained = advice(setting(known), Topic::Unexplained);
    let mut evidence = Figures::new().delta("residual", total.residual()).number("residual_pct", share);
    let unfinished = !known.facts.failures.is_empty() && known.facts.event(Milestone::EngineReady).is_none();
    let (cause, advice) = if unfinished {
        (
            "; the engine failed while it was starting: what its trial run took is in no figure".to_owned(),
            "mend the failure first; the parts of a start that failed are not complete",
        )
    } else if !missing.is_empty() {
        let cause = format!("; the evidence does not give {}", missing.join(" and "));
        // Of a run that was conducted there is no more evidence than the engine gives.
        let advice = if known.was_conducted() {
            unexplained.as_str()
        } else if known.was_attached() {
            "a server that runs already does not show what it took when it started: let vramscope profile start it"
        } else {
            "complete the evidence: the engine's whole log, and a recording from before its start"
        };
        (cause, advice)
    } else if let Some(held) = held {
        evidence = evidence.bytes("held_before_pool", held);
        (
            format!(
                "; {held} of it were in use beside weights and context when the KV pool was allocated: what the \
                 framework's allocator kept from loading and from trial runs, and the engine's own buffers"
            ),
            "a small KV pool makes this fixed part show; it is no leak unless it grows from run to run",
        )
    } else if share < 0.0 {
        (
            "; parts that were reported at another time were not all resident at the peak".to_owned(),
            "read the parts as upper bounds",
        )
    } else {
        (String::new(), unexplained.as_str())
    };
    let message = format!("{} ({share:+.1} % of the peak) are explained by no part{cause}", total.residual());
    let found = Diagnostic { evidence, ..diagnostic("large_residual", Severity::Warning, message) };
    advise(found, advice)
}

/// In use beside baseline, context and weights just before the pool was allocated, on all devices.
fn retained_before_pool(known: &Known<'_>) -> Option<Bytes> {
    let derived = known.derived?;
    let of_device = |(device, breakdown): &(vramscope_core::DeviceIndex, vramscope_core::Breakdown)| {
        let levels = derived.levels_of(*device)?;
        let pool = breakdown.component(ComponentKind::KvCache)?.size;
        let weights = breakdown.component(ComponentKind::Weights)?.size;
        let context = breakdown.component(ComponentKind::RuntimeContext)?.size;
        let states = breakdown.component(ComponentKind::RecurrentState).map_or(Bytes::ZERO, |states| states.size);
        let explained = Bytes::checked_sum([pool, states, weights, context, breakdown.baseline()])?;
        levels.after_pool?.used.checked_sub(explained)
    };
    let used = derived.attribution.as_ref()?.per_device.iter().filter(|(_, b)| !b.components().is_empty());
    let held: Option<Vec<Bytes>> = used.map(of_device).collect();
    Bytes::checked_sum(held?).filter(|h| *h >= OTHERS_HOLD)
}

/// Memory that did not come back after the engine.
pub(super) fn not_returned(known: &Known<'_>) -> Option<Diagnostic> {
    let derived = known.derived?;
    let baseline = derived.timeline.window(Phase::Baseline).and(derived.baseline.as_ref())?.total()?;
    let span = derived.timeline.span()?;
    let last = derived.timeline.totals(span).last()?;
    let left = last.used.checked_sub(baseline).filter(|left| *left > RETURNED_WITHIN)?;
    // An engine that still holds most of its memory when the recording ends is still at work and owes nothing yet, unless
    // somebody saw it end.
    let ended = known.evidence.record.as_ref().is_some_and(|record| record.host.memory_returned.is_some());
    let rise = derived.peak.as_ref()?.total()?.checked_sub(baseline)?;
    if left.get() > rise.get() / 2 && !ended {
        return None;
    }
    let message = format!("{left} more than before the engine are in use at the end of the recording");
    let evidence = Figures::new().bytes("left", left).bytes("baseline", baseline).bytes("last", last.used);
    let found = Diagnostic { evidence, ..diagnostic("memory_not_returned", Severity::Warning, message) };
    advise(
        found,
        "look for worker processes that outlived the engine, or others that came meanwhile; or record a few seconds longer",
    )
}

/// What was free at the peak: the room that is left, or a word of caution where it is next to nothing.
pub(super) fn headroom(known: &Known<'_>) -> Option<Diagnostic> {
    // What processes of the host hold says nothing of what others leave of its memory.
    let derived = known.derived.filter(|_| !known.is_on_cpu())?;
    let peak = derived.peak.as_ref()?;
    let tightest = peak.used.iter().filter_map(|&(device, used)| {
        let usable = derived.timeline.device(device)?.usable()?;
        Some((device, usable, usable.checked_sub(used)?))
    });
    let (device, usable, free) = tightest.min_by_key(|(_, _, free)| *free)?;
    let share = percent_of(free.as_f64(), usable);
    let message = format!("device {device} had {free} of {usable} free at the peak ({share:.1} %)");
    let evidence = Figures::new().bytes("free", free).bytes("usable", usable).number("free_pct", share);
    if share < DEVICE_NEARLY_FULL_PCT {
        let found = Diagnostic { evidence, ..diagnostic("device_nearly_full", Severity::Warning, message) };
        return advise_on(found, known, Topic::DeviceNearlyFull);
    }
    Some(Diagnostic { evidence, ..diagnostic("headroom", Severity::Info, message) })
}
