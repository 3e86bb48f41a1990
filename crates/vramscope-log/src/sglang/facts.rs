//! From SGLang's figures and arguments to facts.

use std::collections::BTreeMap;

use vramscope_core::{Buffer, BufferKind, Bytes, EngineFacts, Fact, Parallel, Scope};

use crate::engine::Engine;
use crate::figure::Figure;
use crate::key::Key;
use crate::others::fact;
use crate::vllm::settings::SettingValue;

/// All facts of an engine but its failures.
pub(crate) fn facts(engine: &Engine) -> EngineFacts {
    let mut facts = EngineFacts::default();
    facts.engine = engine.kind;
    facts.architecture = fact::text(engine, Key::Architecture);
    facts.kv_cache_dtype = fact::text(engine, Key::KvCacheDtype);
    facts.max_model_len = fact::first_count(engine, Key::MaxModelLen);
    facts.max_num_seqs = fact::first_count(engine, Key::Slots);
    facts.max_num_batched_tokens = fact::first_count(engine, Key::ChunkTokens);
    arguments(engine, &mut facts);
    facts.buffers.clone_from(&engine.buffers);
    weights_from_free(engine, &mut facts);
    let grid = Grid::of(engine, &facts.parallel);
    for buffer in &mut facts.buffers {
        grid.place(&mut buffer.amount);
    }
    facts.weights = by_rank(&facts.buffers, BufferKind::Weights);
    facts.kv_pool = by_rank(&facts.buffers, BufferKind::KvCache);
    facts.graphs = by_rank(&facts.buffers, BufferKind::Graphs);
    let free = |key: Key| -> Vec<Fact<Bytes>> {
        let mut amounts = fact::amounts(engine, key);
        amounts.iter_mut().for_each(|amount| grid.place(amount));
        amounts
    };
    facts.initial_free = free(Key::FreeBeforeWeights);
    facts.free_after_weights = free(Key::FreeAfterWeights);
    facts.free_after_pools = free(Key::FreeAfterPools);
    facts.free_before_graphs = free(Key::FreeBeforeGraphs);
    facts.free_after_graphs = free(Key::FreeAfterGraphs);
    facts.free_at_ready = free(Key::FreeAtReady);
    facts.kv_tokens = tokens(engine);
    facts.kv_tokens.iter_mut().for_each(|tokens| grid.place(tokens));
    facts.peak_kv_usage_pct = engine.reports.fullest.and_then(|report| {
        let origin = vramscope_core::Origin { line: report.line, worker: None };
        Some(Fact { value: report.kv_usage_pct?, scope: Scope::AllRanks, resolution: Some(0.5), origin })
    });
    facts.peak_running = engine.reports.busiest.and_then(|report| {
        let origin = vramscope_core::Origin { line: report.line, worker: None };
        Some(Fact { value: report.running?, scope: Scope::AllRanks, resolution: None, origin })
    });
    facts.events = fact::events(engine);
    facts
}

fn arguments(engine: &Engine, facts: &mut EngineFacts) {
    let setting = |name: &str| engine.settings.iter().find(|s| s.name == name);
    let text = |name: &str| match setting(name).map(|s| (&s.value, &s.origin)) {
        Some((SettingValue::Text(value), origin)) => {
            Some(Fact { value: value.clone(), scope: Scope::AllRanks, resolution: None, origin: origin.clone() })
        }
        _ => None,
    };
    let count = |name: &str| match setting(name).map(|s| (&s.value, &s.origin)) {
        Some((SettingValue::Count(value), origin)) => {
            let value = u32::try_from(*value).ok()?;
            Some(Fact { value, scope: Scope::AllRanks, resolution: None, origin: origin.clone() })
        }
        _ => None,
    };
    facts.model = text("model_path");
    facts.dtype = text("dtype");
    facts.quantization = text("quantization");
    facts.attention_backend = text("attention_backend");
    facts.speculative_method = text("speculative_algorithm");
    facts.kv_cache_dtype = facts.kv_cache_dtype.take().or_else(|| text("kv_cache_dtype"));
    let set = |name: &str| match setting(name).map(|s| (&s.value, &s.origin)) {
        Some((SettingValue::Flag(true), origin)) => {
            Some(Fact { value: true, scope: Scope::AllRanks, resolution: None, origin: origin.clone() })
        }
        _ => None,
    };
    facts.enforce_eager = set("disable_cuda_graph");
    facts.gpu_memory_utilization = match setting("mem_fraction_static").map(|s| (&s.value, &s.origin)) {
        Some((SettingValue::Number(share), origin)) => {
            Some(Fact { value: *share, scope: Scope::AllRanks, resolution: None, origin: origin.clone() })
        }
        _ => None,
    };
    // Replicas of the attention alone share the devices of those that split a layer.
    let data = count("dp_size").filter(|_| set("enable_dp_attention").is_none());
    facts.parallel = Parallel { tensor: count("tp_size"), pipeline: count("pp_size"), data };
}

/// How ranks are counted over all devices: those that split a layer, then the stages of a pipeline, then replicas. Who lays
/// ranks on devices in the order of their numbers takes that for the order in which the engine takes devices.
struct Grid {
    tensor: Option<u32>,
    pipeline: u32,
    /// Replicas have devices of their own.
    replicas_apart: bool,
}

impl Grid {
    fn of(engine: &Engine, parallel: &Parallel) -> Self {
        let shared =
            engine.settings.iter().any(|s| s.name == "enable_dp_attention" && s.value == SettingValue::Flag(true));
        Self {
            tensor: parallel.tensor.as_ref().map(|fact| fact.value),
            pipeline: parallel.pipeline.as_ref().map_or(1, |fact| fact.value),
            replicas_apart: !shared,
        }
    }

    /// The rank of a line's tag; `None` where the tag names none, or the sizes to count with are not known.
    fn rank(&self, tag: &str) -> Option<u32> {
        let [tensor, stage, replica] = ["TP", "PP", "DP"].map(|name| super::number(tag, name));
        if [tensor, stage, replica].iter().all(Option::is_none) {
            return super::rank(tag);
        }
        let replica = replica.filter(|_| self.replicas_apart).unwrap_or(0);
        let before = replica.checked_mul(self.pipeline)?.checked_add(stage.unwrap_or(0))?;
        let Some(tensor) = tensor else { return self.tensor.is_none_or(|size| size == 1).then_some(before) };
        if before == 0 {
            return Some(tensor);
        }
        before.checked_mul(self.tensor?)?.checked_add(tensor)
    }

    /// Gives what a rank printed the number of that rank among all.
    fn place<T>(&self, fact: &mut Fact<T>) {
        if let Some(rank) = fact.origin.worker.as_deref().and_then(|tag| self.rank(tag)) {
            fact.scope = Scope::ThisRank(rank);
        }
    }
}

/// What weights took, by what was free before and after, of releases that print no more.
fn weights_from_free(engine: &Engine, facts: &mut EngineFacts) {
    if facts.buffers.iter().any(|part| part.kind == BufferKind::Weights) {
        return;
    }
    for after in engine.of(Key::FreeAfterWeights) {
        let of_rank = |f: &&Figure| f.origin.worker == after.origin.worker && f.origin.line < after.origin.line;
        let Some(before) = engine.of(Key::FreeBeforeWeights).filter(of_rank).last() else { continue };
        let amount = (fact::amount(before), fact::amount(after));
        let (Some(before), Some(after)) = amount else { continue };
        let Some(value) = before.value.checked_sub(after.value) else { continue };
        let resolution = before.resolution.zip(after.resolution).and_then(|(a, b)| a.checked_add(b));
        let amount = Fact { value, resolution, ..after };
        facts.buffers.push(Buffer::new(BufferKind::Weights, None, amount));
    }
}

/// What each rank has of a kind, added up: the target's and the draft's, keys and values, and every capture.
fn by_rank(parts: &[Buffer], kind: BufferKind) -> Vec<Fact<Bytes>> {
    let mut ranks: BTreeMap<&str, Fact<Bytes>> = BTreeMap::new();
    for part in parts.iter().filter(|part| part.kind == kind && part.is_on_device()) {
        let rank = part.amount.origin.worker.as_deref().unwrap_or("");
        match ranks.get_mut(rank) {
            None => {
                ranks.insert(rank, part.amount.clone());
            }
            Some(sum) => {
                sum.value = sum.value.checked_add(part.amount.value).unwrap_or(sum.value);
                sum.resolution = sum.resolution.zip(part.amount.resolution).and_then(|(a, b)| a.checked_add(b));
            }
        }
    }
    let mut facts: Vec<Fact<Bytes>> = ranks.into_values().collect();
    facts.sort_by_key(|fact| fact.origin.line);
    facts
}

/// The tokens of each rank's pool: of several pools the largest, which is the one without a window.
fn tokens(engine: &Engine) -> Vec<Fact<u64>> {
    let mut ranks: BTreeMap<&str, Fact<u64>> = BTreeMap::new();
    for figure in engine.of(Key::KvTokens) {
        let Some(tokens) = figure.count() else { continue };
        let rank = figure.origin.worker.as_deref().unwrap_or("");
        let known = ranks.entry(rank).or_insert_with(|| fact::of(figure, tokens));
        known.value = known.value.max(tokens);
    }
    if ranks.is_empty() {
        return fact::first_count(engine, Key::ContextTokens).into_iter().collect();
    }
    ranks.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(tensor: Option<u32>, pipeline: u32, replicas_apart: bool, tag: &str) -> Option<u32> {
        Grid { tensor, pipeline, replicas_apart }.rank(tag)
    }

    #[test]
    fn ranks_are_counted_within_a_layer_first_then_by_stages_then_by_replicas() {
        assert_eq!(rank(Some(4), 1, true, "TP3"), Some(3));
        assert_eq!(rank(Some(2), 3, true, "PP2 TP1"), Some(5));
        assert_eq!(rank(Some(2), 3, true, "DP1 PP2 TP1"), Some(11));
        assert_eq!(rank(Some(1), 1, true, "DP2"), Some(2));
        assert_eq!(rank(Some(8), 1, false, "DP1 TP5"), Some(5), "replicas of the attention share the devices");
        assert_eq!(rank(None, 1, true, "gpu_id=2"), Some(2));
    }

    #[test]
    fn a_rank_is_not_guessed_where_a_size_is_not_known() {
        assert_eq!(rank(None, 2, true, "PP1 TP0"), None);
        assert_eq!(rank(Some(2), 1, true, "DP1"), None, "a tag without a rank in a layer of two");
        assert_eq!(rank(Some(2), 1, true, ""), None);
        assert_eq!(rank(None, 1, true, "TP3"), Some(3));
        assert_eq!(rank(Some(u32::MAX), u32::MAX, true, "DP4294967295 PP1 TP9"), None);
    }
}
