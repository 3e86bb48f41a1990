//! What SGLang's ranks print of their memory, as parts of a peak.
//!
//! Each rank prints what it allocated of weights, pools and graphs, and between its steps what is free on its device by
//! the driver's count (`model_executor/model_runner.py`). What weights and graphs took is printed as the fall of that, so
//! what the framework's allocator keeps beside them is in it. What fell between the steps and stands in no line is kept
//! apart: the table of requests, which comes with the pools, and workspaces. The engine makes no trial run; whatever rises
//! over what it held when it had started is of its work.

use vramscope_core::{
    Basis, Buffer, BufferKind, ByteDelta, Bytes, Component, ComponentKind, Confidence, EngineFacts, Fact, Milestone,
    Scope,
};

use crate::attribution::{DeviceObservation, Evidenced, RankEvidence};

/// A rise that is short of nothing by less than this is no rise: rounding of allocations and of printed amounts.
const NO_RISE_WITHIN: Bytes = Bytes::new(64 << 20);
/// Bytes of an entry of the table of requests, which has one a token of each (`mem_cache/memory_pool.py`, `ReqToTokenPool`,
/// of 32 bits), and the entries that it has besides for each request.
const TABLE_ENTRY: u64 = 4;
const TABLE_EXTRA: u64 = 4;

/// When something was free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    BeforeWeights,
    AfterWeights,
    AfterPools,
    BeforeGraphs,
    AfterGraphs,
    Ready,
}

/// What was free at a moment.
type Level<'f> = (Moment, &'f Fact<Bytes>);

/// One part on one rank; `None` where its log does not say it.
pub(crate) fn of_rank(facts: &EngineFacts, rank: u32, kind: ComponentKind) -> Option<Evidenced> {
    match kind {
        ComponentKind::Weights => named(facts, rank, BufferKind::Weights, "model loading"),
        ComponentKind::KvCache => named(facts, rank, BufferKind::KvCache, "KV pool").or_else(|| pools(facts, rank)),
        ComponentKind::RecurrentState => named(facts, rank, BufferKind::RecurrentState, "recurrent states"),
        ComponentKind::CudaGraphs => {
            named(facts, rank, BufferKind::Graphs, "graph capture").or_else(|| no_graphs(facts))
        }
        ComponentKind::Collectives => collectives(facts, rank),
        ComponentKind::Held => held(facts, rank),
        _ => None,
    }
}

/// The parts of one device.
pub(crate) fn components(evidence: &RankEvidence<'_>, seen: &DeviceObservation) -> Vec<Component> {
    let printed = [
        ComponentKind::Weights,
        ComponentKind::KvCache,
        ComponentKind::RecurrentState,
        ComponentKind::Held,
        ComponentKind::CudaGraphs,
        ComponentKind::Collectives,
    ];
    let of_ranks = |kind| evidence.part_of(&seen.ranks, kind);
    let apart = of_ranks(ComponentKind::Collectives).map_or(Bytes::ZERO, |part| part.size);
    let seen_of_device = [
        (ComponentKind::RuntimeContext, context(evidence.facts, seen, apart)),
        (ComponentKind::Activations, activations(evidence.facts, seen, of_ranks(ComponentKind::CudaGraphs).is_some())),
    ];
    let printed = printed.into_iter().map(|kind| (kind, of_ranks(kind)));
    printed.chain(seen_of_device).filter_map(|(kind, part)| Some(part?.into_component(kind))).collect()
}

/// Whose figures stand for a rank: its own; else those that speak for every rank; else the last rank's that has some.
fn speaker(scopes: &[Scope], rank: u32) -> Option<Scope> {
    let own = scopes.contains(&Scope::ThisRank(rank)).then_some(Scope::ThisRank(rank));
    let each = || scopes.contains(&Scope::PerRank).then_some(Scope::PerRank);
    own.or_else(each).or_else(|| scopes.iter().rev().find(|scope| matches!(scope, Scope::ThisRank(_))).copied())
}

/// What to say where another rank's figure stands for this one.
fn by_other(scope: Scope, rank: u32) -> String {
    match scope {
        Scope::ThisRank(other) if other != rank => format!(", printed by rank {other} for rank {rank}"),
        _ => String::new(),
    }
}

/// Memory of a kind on the device of a rank, with who printed it.
fn buffers(facts: &EngineFacts, rank: u32, kind: BufferKind) -> Option<(Vec<&Buffer>, Scope)> {
    let all = || facts.buffers.iter().filter(|buffer| buffer.kind == kind && buffer.is_on_device());
    let scopes: Vec<Scope> = all().map(|buffer| buffer.amount.scope).collect();
    let scope = speaker(&scopes, rank)?;
    Some((all().filter(|buffer| buffer.amount.scope == scope).collect(), scope))
}

/// What is printed of a kind, added up: keys and values, the target's and the draft's, every capture.
fn named(facts: &EngineFacts, rank: u32, kind: BufferKind, of: &str) -> Option<Evidenced> {
    let (buffers, scope) = buffers(facts, rank, kind)?;
    let each: Vec<String> = buffers
        .iter()
        .map(|buffer| {
            let draft = if buffer.of_draft { " of the drafting model" } else { "" };
            format!("{}{draft}", buffer.amount.value)
        })
        .collect();
    let tokens = facts.kv_cache_tokens().filter(|_| kind == BufferKind::KvCache);
    let tokens = tokens.map_or(String::new(), |tokens| format!(" of {tokens} tokens"));
    let size = Bytes::checked_sum(buffers.iter().map(|buffer| buffer.amount.value))?;
    let parts = if each.len() > 1 { format!(" = {}", each.join(" + ")) } else { String::new() };
    let log_lines = lines(facts, buffers.iter().map(|buffer| buffer.amount.origin.line));
    let method = if facts.answered { "server_answer" } else { "engine_log" };
    Some(Evidenced {
        size,
        resolution: resolution(buffers.iter().map(|buffer| &buffer.amount)),
        confidence: Confidence::Reported,
        basis: Basis { method, detail: format!("{of}{tokens}: {size}{parts}{}", by_other(scope, rank)), log_lines },
    })
}

/// Half the width of the interval in which a sum of printed amounts lies.
fn resolution<'f>(amounts: impl Iterator<Item = &'f Fact<Bytes>>) -> Option<Bytes> {
    let steps: Vec<Bytes> = amounts.filter_map(|amount| amount.resolution).collect();
    if steps.is_empty() { None } else { Bytes::checked_sum(steps) }
}

/// Lines of the log, in order; none of what the server answered.
fn lines(facts: &EngineFacts, lines: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut lines: Vec<u64> = lines.filter(|_| !facts.answered).collect();
    lines.sort_unstable();
    lines.dedup();
    lines
}

/// An engine that was told so captures no graphs.
fn no_graphs(facts: &EngineFacts) -> Option<Evidenced> {
    let told = facts.enforce_eager.as_ref().filter(|told| told.value)?;
    if facts.event(Milestone::GraphsCaptured).is_some() {
        return None;
    }
    Some(Evidenced {
        size: Bytes::ZERO,
        resolution: None,
        confidence: Confidence::Computed,
        basis: Basis {
            method: "graphs_disabled",
            detail: "no graphs are captured: they are switched off".to_owned(),
            log_lines: lines(facts, std::iter::once(told.origin.line)),
        },
    })
}

/// What making the communicator took. One rank has nobody to talk to: what fell then is the driver's, and is left to it.
fn collectives(facts: &EngineFacts, rank: u32) -> Option<Evidenced> {
    if facts.ranks() == Some(1) {
        return Some(Evidenced {
            size: Bytes::ZERO,
            resolution: None,
            confidence: Confidence::Computed,
            basis: Basis {
                method: "one_rank",
                detail: "one rank has no collectives".to_owned(),
                log_lines: lines(facts, facts.parallel.tensor.iter().map(|fact| fact.origin.line)),
            },
        });
    }
    named(facts, rank, BufferKind::Communication, "setting up communication")
}

/// What was free on a rank's device, in the order of its log, with who printed it.
fn levels(facts: &EngineFacts, rank: u32) -> Option<(Vec<Level<'_>>, Scope)> {
    let lists = [
        (Moment::BeforeWeights, &facts.initial_free),
        (Moment::AfterWeights, &facts.free_after_weights),
        (Moment::AfterPools, &facts.free_after_pools),
        (Moment::BeforeGraphs, &facts.free_before_graphs),
        (Moment::AfterGraphs, &facts.free_after_graphs),
        (Moment::Ready, &facts.free_at_ready),
    ];
    let mut all: Vec<Level<'_>> =
        lists.into_iter().flat_map(|(moment, list)| list.iter().map(move |fact| (moment, fact))).collect();
    all.sort_by_key(|(_, fact)| fact.origin.line);
    let scopes: Vec<Scope> = all.iter().map(|(_, fact)| fact.scope).collect();
    let scope = speaker(&scopes, rank)?;
    all.retain(|(_, fact)| fact.scope == scope);
    Some((all, scope))
}

/// What stands in lines of their own between two lines of a speaker.
fn printed_between(facts: &EngineFacts, scope: Scope, after: u64, until: u64) -> Vec<&Buffer> {
    let between = |buffer: &&Buffer| {
        let line = buffer.amount.origin.line;
        buffer.amount.scope == scope && buffer.is_on_device() && after < line && line <= until
    };
    facts.buffers.iter().filter(between).collect()
}

/// By how much less was free at the later of two moments than what was printed between them explains; less than nothing
/// where memory was given back.
fn unnamed(facts: &EngineFacts, scope: Scope, before: &Fact<Bytes>, after: &Fact<Bytes>) -> Option<ByteDelta> {
    let parts = printed_between(facts, scope, before.origin.line, after.origin.line);
    let parts = Bytes::checked_sum(parts.iter().map(|buffer| buffer.amount.value))?;
    before.value.checked_delta(after.value.checked_add(parts)?)
}

/// What a rank keeps beside its weights, pools and graphs: by how much free memory fell from the end of loading on, less
/// what is printed of it.
fn held(facts: &EngineFacts, rank: u32) -> Option<Evidenced> {
    let (levels, scope) = levels(facts, rank)?;
    // A pool that nothing prints is told by the same fall, and what comes with it cannot be told from it.
    let first = match buffers(facts, rank, BufferKind::KvCache) {
        Some(_) => levels.iter().position(|(moment, _)| *moment == Moment::AfterWeights),
        None => None,
    };
    let pooled = |moment: &Moment| *moment == Moment::AfterPools;
    let first = first.or_else(|| levels.iter().position(|(moment, _)| pooled(moment)))?;
    let levels = &levels[first..];
    let (start, end) = (levels.first()?.1, levels.last()?.1);
    if levels.len() < 2 || !levels.iter().any(|(moment, _)| pooled(moment)) {
        return None;
    }
    let parts = printed_between(facts, scope, start.origin.line, end.origin.line);
    let amounts = || parts.iter().map(|buffer| &buffer.amount).chain([start, end]);
    let resolution = resolution(amounts());
    let all = unnamed(facts, scope, start, end)?;
    // Less than nothing by no more than the digits hide is nothing.
    let within = all.magnitude() <= resolution.unwrap_or(Bytes::ZERO);
    let size = all.as_bytes().or_else(|| within.then_some(Bytes::ZERO))?;
    let with_pools = levels.windows(2).filter(|pair| pooled(&pair[1].0));
    let with_pools: Option<Vec<ByteDelta>> =
        with_pools.map(|pair| unnamed(facts, scope, pair[0].1, pair[1].1)).collect();
    let with_pools = with_pools?.into_iter().try_fold(ByteDelta::ZERO, ByteDelta::checked_add)?;
    let with_pools = with_pools.as_bytes().filter(|size| *size > Bytes::ZERO);
    let of_pools = with_pools.map_or(String::new(), |size| {
        let rule =
            table(facts).map_or(String::new(), |table| format!(" ({table} by the rule of its table of requests)"));
        format!("; {size} of it came with the pools{rule}")
    });
    Some(Evidenced {
        size,
        resolution,
        confidence: Confidence::Reported,
        basis: Basis {
            method: "fall_of_free_less_parts",
            detail: format!(
                "free memory fell from {} to {}, {size} more than the parts that are printed in between{of_pools}{}",
                start.value,
                end.value,
                by_other(scope, rank)
            ),
            log_lines: lines(
                facts,
                amounts().chain(levels.iter().map(|level| level.1)).map(|amount| amount.origin.line),
            ),
        },
    })
}

/// The table of requests by its rule, from what the engine prints when it is ready.
fn table(facts: &EngineFacts) -> Option<Bytes> {
    let (requests, tokens) = (facts.max_num_seqs.as_ref()?.value, facts.max_model_len.as_ref()?.value);
    Bytes::new(tokens.checked_add(TABLE_EXTRA)?).checked_mul(requests)?.checked_mul(TABLE_ENTRY)
}

/// The pools of a release or a device that prints no size of them: by how much free memory fell from loading to their end,
/// less the table of requests by its rule.
fn pools(facts: &EngineFacts, rank: u32) -> Option<Evidenced> {
    let (levels, scope) = levels(facts, rank)?;
    let pairs: Vec<&[Level<'_>]> =
        levels.windows(2).filter(|pair| (pair[0].0, pair[1].0) == (Moment::AfterWeights, Moment::AfterPools)).collect();
    let falls: Option<Vec<ByteDelta>> = pairs.iter().map(|pair| unnamed(facts, scope, pair[0].1, pair[1].1)).collect();
    let falls: Option<Vec<Bytes>> = falls?.into_iter().map(ByteDelta::as_bytes).collect();
    let fall = Bytes::checked_sum(falls.filter(|falls| !falls.is_empty())?)?;
    let table = table(facts);
    let (size, of_table) = match table {
        Some(table) => (fall.checked_sub(table)?, format!("less {table} of the table of requests by its rule")),
        None => (fall, "the table of requests is in it".to_owned()),
    };
    let ends = || pairs.iter().flat_map(|pair| pair.iter().map(|level| level.1));
    Some(Evidenced {
        size,
        resolution: resolution(ends()),
        confidence: Confidence::Estimated,
        basis: Basis {
            method: "fall_of_free_at_pools",
            detail: format!(
                "free memory fell by {fall} while the pools were allocated, {of_table}{}",
                by_other(scope, rank)
            ),
            log_lines: lines(facts, ends().map(|level| level.origin.line)),
        },
    })
}

/// What a device held before weights were loaded, less the baseline and what the communicator took: as it was measured,
/// else by what the engine found free.
fn context(facts: &EngineFacts, seen: &DeviceObservation, apart: Bytes) -> Option<Evidenced> {
    let taken = Bytes::checked_sum([seen.baseline, apart])?;
    let without = if apart == Bytes::ZERO { String::new() } else { format!(" and {apart} of the communicator") };
    if let Some(before_load) = seen.before_load {
        return Some(Evidenced {
            size: before_load.checked_sub(taken)?,
            resolution: None,
            confidence: Confidence::Measured,
            basis: Basis {
                method: "level_before_load",
                detail: format!(
                    "{before_load} in use when weights began to load, less the baseline of {}{without}",
                    seen.baseline
                ),
                log_lines: Vec::new(),
            },
        });
    }
    let levels = own_levels(facts, seen)?;
    let (_, free) = levels.first().filter(|(moment, _)| *moment == Moment::BeforeWeights)?;
    let used = seen.usable?.checked_sub(free.value)?;
    Some(Evidenced {
        size: used.checked_sub(taken)?,
        resolution: free.resolution,
        confidence: Confidence::Reported,
        basis: Basis {
            method: "engine_first_snapshot",
            detail: format!(
                "{used} in use when weights began to load, by what was free, less the baseline of {}{without}",
                seen.baseline
            ),
            log_lines: lines(facts, std::iter::once(free.origin.line)),
        },
    })
}

/// What the one rank of a device printed of it itself. What several ranks find free is the same memory.
fn own_levels<'f>(facts: &'f EngineFacts, seen: &DeviceObservation) -> Option<Vec<Level<'f>>> {
    let [rank] = seen.ranks[..] else { return None };
    let (levels, scope) = levels(facts, rank)?;
    by_other(scope, rank).is_empty().then_some(levels)
}

/// By how much less was free on a rank's device when the log last says so than behind its first pool.
fn fall_behind_pool(facts: &EngineFacts, rank: u32) -> Option<Bytes> {
    let (levels, _) = levels(facts, rank)?;
    let pool = levels.iter().find(|(moment, _)| *moment == Moment::AfterPools)?.1;
    Some(pool.value.checked_sub(levels.last()?.1.value).unwrap_or(Bytes::ZERO))
}

/// By how much a device rose over what it held when the engine had started: by what was free then, else over the level
/// behind the pool and what fell after that. `None` where graphs were captured of which no line says what they took: they
/// cannot be told from it.
fn activations(facts: &EngineFacts, seen: &DeviceObservation, has_graphs: bool) -> Option<Evidenced> {
    if facts.event(Milestone::GraphsCaptured).is_some() && !has_graphs {
        return None;
    }
    let rise = |from: Bytes| {
        let short = seen.peak.checked_add(NO_RISE_WITHIN)? < from;
        seen.peak.checked_sub(from).or((!short).then_some(Bytes::ZERO))
    };
    let over_start = || {
        let levels = own_levels(facts, seen)?;
        let (moment, free) = levels.last()?;
        let has_started = matches!(moment, Moment::AfterGraphs | Moment::Ready);
        let used = seen.usable?.checked_sub(free.value).filter(|_| has_started)?;
        Some(Evidenced {
            size: rise(used)?,
            resolution: free.resolution,
            confidence: Confidence::Reported,
            basis: Basis {
                method: "rise_after_start",
                detail: format!("from {used} when it had started, by what was free, to {} at the peak", seen.peak),
                log_lines: lines(facts, std::iter::once(free.origin.line)),
            },
        })
    };
    let over_pool = || {
        let after_pool = seen.after_pool?;
        let falls: Option<Vec<Bytes>> = seen.ranks.iter().map(|rank| fall_behind_pool(facts, *rank)).collect();
        let fall = Bytes::checked_sum(falls?)?;
        Some(Evidenced {
            size: rise(after_pool.checked_add(fall)?)?,
            resolution: None,
            confidence: Confidence::Measured,
            basis: Basis {
                method: "rise_after_pool",
                detail: format!(
                    "from {after_pool} after the KV pool was allocated to {} at the peak, less {fall} by which free \
                     memory fell until it had started",
                    seen.peak
                ),
                log_lines: Vec::new(),
            },
        })
    };
    over_start().or_else(over_pool)
}
