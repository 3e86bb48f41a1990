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
    facts.weights = by_rank(&facts.buffers, BufferKind::Weights);
    facts.kv_pool = by_rank(&facts.buffers, BufferKind::KvCache);
    facts.graphs = by_rank(&facts.buffers, BufferKind::Graphs);
    facts.initial_free = fact::amounts(engine, Key::FreeBeforeWeights);
    facts.free_at_ready = fact::amounts(engine, Key::FreeAtReady);
    facts.kv_tokens = tokens(engine);
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
    facts.parallel = Parallel { tensor: count("tp_size"), pipeline: count("pp_size"), data: count("dp_size") };
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
