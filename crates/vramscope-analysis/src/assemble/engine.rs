//! What the engine reported of itself.

use vramscope_core::{Bytes, ComponentKind, EngineKind, Event, Fact, Generation, LogTime, Milestone};
use vramscope_log::document::milestone_name;
use vramscope_schema::Amount;
use vramscope_schema::v3::{EngineFact, EngineMetadata, EngineReported, EngineStep, VllmInternalMetrics};

use super::config::value;
use crate::budget;
use crate::evidence::civil::unix_seconds;
use crate::known::Known;

/// The named figures are those of one rank: the largest of each, but the smallest for the KV cache, which binds the
/// engine.
pub(super) fn internal_metrics(run: &Known<'_>) -> Option<VllmInternalMetrics> {
    let facts = run.evidence.engine.as_ref().filter(|log| has_old_keys(log.facts.engine)).map(|_| run.facts)?;
    let most = |list: &[Fact<Bytes>]| list.iter().map(|f| f.value.get()).max();
    let least = |list: &[Fact<Bytes>]| list.iter().map(|f| f.value.get()).min();
    // Of an engine that failed before it loaded anything the config alone says a size: nobody reported one.
    let loaded = run.ranks.was_allocated(ComponentKind::Weights);
    let weights = run.ranks.part(0, ComponentKind::Weights).filter(|_| loaded).map(|a| a.size);
    let pool = run.ranks.part(0, ComponentKind::KvCache).map(|a| a.size);
    let activations = budget::activation_peak(run).map(|a| a.size);
    let allocated = || Bytes::checked_sum([weights?, pool?, activations?]);
    let concurrency = facts.full_length_requests();
    let eager = value(&facts.enforce_eager);
    let stated = run.evidence.metrics.iter().flatten().find_map(|reading| reading.kv_block_tokens);
    Some(VllmInternalMetrics {
        num_gpu_blocks: blocks(run),
        num_cpu_blocks: None,
        block_size: value(&facts.block_size).or(run.ranks.kv.map(|kv| kv.block_size)).or(stated),
        total_gpu_kv_cache_tokens: facts.kv_cache_tokens(),
        total_gpu_kv_cache_bytes: pool.map(Bytes::get),
        attention_backend: value(&facts.attention_backend),
        model_weights_bytes: weights.map(Bytes::get),
        activations_bytes: activations.map(Bytes::get),
        non_torch_bytes: most(&facts.non_torch),
        cuda_graphs_bytes: most(&facts.graphs),
        cuda_graphs_estimated_bytes: most(&facts.graphs_estimated),
        available_kv_cache_bytes: least(&facts.kv_pool),
        requested_bytes: budget::requested(run).map(|a| a.size.get()),
        total_allocated_bytes: allocated().map(Bytes::get),
        gpu_memory_utilization: value(&facts.gpu_memory_utilization).and_then(Amount::new),
        max_model_len: value(&facts.max_model_len),
        cuda_graphs_enabled: facts
            .event(Milestone::GraphsCaptured)
            .map(|_| true)
            .or(eager.filter(|e| *e).map(|_| false)),
        max_concurrency: concurrency.and_then(|c| Amount::new(c.factor)),
        max_concurrency_tokens: concurrency.map(|c| c.tokens),
        peak_kv_usage_pct: value(&facts.peak_kv_usage_pct).and_then(Amount::new),
        peak_running_requests: value(&facts.peak_running),
        steps: steps(run),
        facts: all_facts(run),
    })
}

/// Whether what an engine reports has keys of its own from earlier documents. A log that names no engine has them too, as
/// it had before others were known.
fn has_old_keys(kind: Option<EngineKind>) -> bool {
    !matches!(kind, Some(EngineKind::LlamaCpp | EngineKind::Ollama | EngineKind::SgLang | EngineKind::Tgi))
}

/// What an engine reported for which earlier documents have no keys.
pub(super) fn reported(run: &Known<'_>) -> Option<EngineReported> {
    let facts = run.evidence.engine.as_ref().filter(|log| !has_old_keys(log.facts.engine)).map(|_| run.facts)?;
    let mut reported = EngineReported::default();
    reported.max_model_len = value(&facts.max_model_len);
    reported.max_num_seqs = value(&facts.max_num_seqs);
    reported.kv_cache_tokens = facts.kv_cache_tokens();
    reported.kv_cache_dtype = value(&facts.kv_cache_dtype);
    reported.quantization = value(&facts.quantization);
    reported.layers_on_device = value(&facts.layers_on_device);
    reported.layers = value(&facts.layers);
    reported.memory_fraction = value(&facts.gpu_memory_utilization).and_then(Amount::new);
    reported.memory_fraction_of = reported.memory_fraction.and(share_of(facts.engine)).map(str::to_owned);
    reported.steps = steps(run);
    reported.facts = all_facts(run);
    Some(reported)
}

/// What an engine's share of memory is a share of. SGLang's `mem_fraction_static` is one of what is free when it starts
/// (`profile_max_num_token`).
fn share_of(kind: Option<EngineKind>) -> Option<&'static str> {
    (kind == Some(EngineKind::SgLang)).then_some("free_at_start")
}

/// Blocks as printed, or as the engine's metrics state them; else the pool over the bytes of a block, where the pool is exact.
pub(super) fn blocks(run: &Known<'_>) -> Option<u64> {
    let printed = run.facts.gpu_blocks.iter().map(|f| f.value).min();
    let counted = || {
        let (kv, pool) = (run.ranks.kv?, run.ranks.part(0, ComponentKind::KvCache)?);
        let per_block = kv.bytes_per_block.get();
        (per_block > 0 && pool.size.get() % per_block == 0).then(|| pool.size.get() / per_block)
    };
    printed.or(run.ranks.blocks).or_else(counted)
}

pub(super) fn metadata(run: &Known<'_>) -> Option<EngineMetadata> {
    if let Some(probe) = &run.evidence.probe {
        return Some(super::framework::metadata(probe));
    }
    let facts = run.facts;
    let written = run.evidence.args.as_ref().and_then(|a| a.engine_version.clone());
    let named = run.evidence.engine.is_some() || run.evidence.record.is_some() || run.evidence.engine_kind().is_some();
    if !named && written.is_none() {
        return None;
    }
    Some(EngineMetadata {
        engine_type: run.evidence.engine_name(),
        engine_version: value(&facts.version).or(written),
        generation: value(&facts.generation).map(|g| match g {
            Generation::V0 => "v0".to_owned(),
            Generation::V1 => "v1".to_owned(),
        }),
        model_runner: value(&facts.model_runner),
        platform: value(&facts.platform),
        ranks: facts.ranks(),
    })
}

/// Every fact that the log prints, in order of its lines.
fn all_facts(run: &Known<'_>) -> Vec<EngineFact> {
    let mut all: Vec<EngineFact> = run.facts.named().map(EngineFact::from).collect();
    all.sort_by_key(|fact| fact.log_line);
    all
}

/// What the engine did, with its time since the first clock of the log.
fn steps(run: &Known<'_>) -> Vec<EngineStep> {
    // The engine's lines have no year; those of its libraries may, and a start takes no year.
    let year = run.facts.events.iter().find_map(|event| event.at?.year);
    let seconds = |time: LogTime| {
        let small = |n: u8| i8::try_from(n).ok();
        let year = time.year.or(year).unwrap_or(2024);
        let (month, day) = (small(time.month)?, small(time.day)?);
        let whole = unix_seconds(year, month, day, small(time.hour)?, small(time.minute)?, small(time.second)?)?;
        #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
        Some(whole as f64 + f64::from(time.nanosecond) / 1e9)
    };
    let first = run.facts.events.iter().find_map(|event| event.at).and_then(seconds);
    let step = |event: &Event| {
        let at = event.at.and_then(seconds).zip(first).map(|(at, first)| at - first);
        let mut step = EngineStep::default();
        step.name = milestone_name(event.milestone).to_owned();
        step.at_s = at.filter(|at| *at >= 0.0);
        step.took_s = event.took.map(|took| took.as_secs_f64());
        step.log_line = event.origin.line;
        step
    };
    run.facts.events.iter().map(step).collect()
}
