//! What the model's architecture implies for the run at hand.

use crate::attribution::{Evidenced, KvGeometry, prints_free};
use vramscope_core::{Architecture, Basis, Bytes, Confidence, ElementType, EngineFacts, Fact, FeedForward, Mixer};
use vramscope_estimate::{
    Calibration, EngineArgs, EngineVersion, GpuModel, Usage, Weights, kv_plan, parameter_count, weights_on_device,
    weights_per_rank,
};
use vramscope_schema::v3::ModelInfo;

/// The engine's arguments as its log gives them; what the log does not say is the engine's default.
pub(crate) fn engine_args(facts: &EngineFacts) -> EngineArgs {
    let size = |fact: &Option<Fact<u32>>| fact.as_ref().map_or(1, |f| u64::from(f.value).max(1));
    let number = |fact: &Option<Fact<u64>>| fact.as_ref().map(|f| f.value);
    let text = |fact: &Option<Fact<String>>| fact.as_ref().map(|f| f.value.clone());
    let version = facts.version.as_ref().and_then(|f| f.value.parse::<EngineVersion>().ok());
    EngineArgs {
        version: version.unwrap_or(EngineVersion::NEWEST),
        usage: Usage::Offline,
        tensor_parallel_size: size(&facts.parallel.tensor),
        pipeline_parallel_size: size(&facts.parallel.pipeline),
        data_parallel_size: size(&facts.parallel.data),
        dtype: facts.dtype.as_ref().and_then(|f| element_type(&f.value)),
        kv_cache_dtype: text(&facts.kv_cache_dtype).filter(|name| name != "auto"),
        max_model_len: number(&facts.max_model_len),
        // What its log states it has taken.
        allow_long_max_model_len: true,
        max_num_seqs: number(&facts.max_num_seqs),
        max_num_batched_tokens: number(&facts.max_num_batched_tokens),
        block_size: number(&facts.block_size),
        gpu_memory_utilization: facts.gpu_memory_utilization.as_ref().map(|f| f.value),
        enforce_eager: facts.enforce_eager.as_ref().is_some_and(|f| f.value),
        enable_prefix_caching: facts.enable_prefix_caching.as_ref().map(|f| f.value),
        ..EngineArgs::default()
    }
}

/// vLLM's words for element types, with or without `torch.` in front.
fn element_type(word: &str) -> Option<ElementType> {
    Some(match word.strip_prefix("torch.").unwrap_or(word) {
        "bfloat16" => ElementType::Bf16,
        "float16" | "half" => ElementType::F16,
        "float32" | "float" => ElementType::F32,
        _ => return None,
    })
}

/// Whether the rules by which models are computed here are those of an engine: one that prints falls of free memory loads
/// and cuts otherwise, and prints more than it holds.
fn are_its_rules(facts: &EngineFacts) -> bool {
    !prints_free(facts.engine)
}

/// How the KV cache is cut on one rank, with the tokens of a block as the engine's metrics state them, where they do;
/// `None` where the architecture is not known or not reproduced exactly. Without a GPU the engine takes larger blocks
/// than its rules for devices say, so there nothing is computed from a size that nobody stated.
pub(crate) fn kv_geometry(
    model: Option<&Architecture>,
    facts: &EngineFacts,
    block_tokens: Option<u64>,
) -> Option<KvGeometry> {
    if !are_its_rules(facts) {
        return None;
    }
    let mut args = engine_args(facts);
    args.block_size = block_tokens.or(args.block_size);
    let on_cpu = facts.platform.as_ref().is_some_and(|platform| platform.value == "cpu");
    if on_cpu && args.block_size.is_none() {
        return None;
    }
    let plan = kv_plan(model?, &args).ok()?;
    (!plan.approximate && plan.bytes_per_block > 0).then_some(KvGeometry {
        block_size: plan.block_size,
        bytes_per_block: Bytes::new(plan.bytes_per_block),
        uniform: plan.groups.len() == 1,
    })
}

/// Weights of one rank by the architecture: of the first pipeline stage, where stages differ.
pub(crate) fn weights(model: Option<&Architecture>, facts: &EngineFacts) -> Option<Evidenced> {
    weights_with(model.filter(|_| are_its_rules(facts))?, &engine_args(facts))
}

/// Weights of one rank in the form that they take on this device.
pub(crate) fn weights_on(model: &Architecture, facts: &EngineFacts, device: &GpuModel) -> Option<Evidenced> {
    are_its_rules(facts).then_some(())?;
    largest(&weights_on_device(model, &engine_args(facts), device).ok()?)
}

/// Weights of one rank under these arguments.
pub(crate) fn weights_with(model: &Architecture, args: &EngineArgs) -> Option<Evidenced> {
    largest(&weights_per_rank(model, args).ok()?)
}

fn largest(weights: &Weights) -> Option<Evidenced> {
    let figure = &weights.largest()?.bytes;
    Some(Evidenced {
        size: Bytes::new(figure.value),
        resolution: Some(Bytes::new((figure.high - figure.low) / 2)).filter(|r| *r > Bytes::ZERO),
        confidence: figure.confidence.min(Confidence::Computed),
        basis: Basis { method: figure.method, detail: figure.formula.to_owned(), log_lines: Vec::new() },
    })
}

/// Lays an architecture into the document.
pub(crate) fn describe(model: &Architecture, info: &mut ModelInfo) {
    let count = |n: usize| u64::try_from(n).ok();
    info.architecture = info.architecture.take().or_else(|| model.class.clone());
    info.num_parameters = parameter_count(model).ok().map(|p| p.total);
    info.num_layers = count(model.layers.len());
    info.hidden_size = Some(model.hidden_size);
    info.vocab_size = Some(model.vocab_size);
    info.max_position_embeddings = model.max_positions;
    info.quantization = info.quantization.take().or_else(|| model.quantization.as_ref().map(|q| q.method.clone()));
    let mixers = || model.layers.iter().map(|layer| layer.mixer);
    let attention = mixers().find_map(|mixer| match mixer {
        Mixer::Attention(a) | Mixer::Parallel(a, _) => Some(a),
        _ => None,
    });
    let latent = mixers().find_map(|mixer| if let Mixer::Latent(l) = mixer { Some(l) } else { None });
    let compressed = mixers().find_map(|mixer| if let Mixer::Compressed(c) = mixer { Some(c) } else { None });
    info.num_heads = attention.map(|a| a.heads).or(latent.map(|l| l.heads)).or(compressed.map(|c| c.heads));
    info.num_kv_heads = attention.map(|a| a.kv_heads);
    info.head_dim = attention.map(|a| a.head_dim);
    let parts = || model.layers.iter().map(|layer| layer.feed_forward);
    info.intermediate_size =
        parts().find_map(|part| if let FeedForward::Dense(d) = part { Some(d.width) } else { None });
    info.num_experts = parts().find_map(|part| if let FeedForward::Experts(e) = part { Some(e.count) } else { None });
}

/// The share of a device that an engine takes when it is not told.
pub(crate) fn default_utilization(version: &str) -> Option<f64> {
    Some(version.parse::<EngineVersion>().ok()?.default_gpu_memory_utilization())
}

/// Whether the engine takes all that it has consumed off its budget, and not weights and growth alone: since 0.27. A trial
/// capture of graphs is of such an engine too.
pub(crate) fn counts_consumed(facts: &EngineFacts) -> bool {
    let version = facts.version.as_ref().and_then(|version| version.value.parse::<EngineVersion>().ok());
    version.is_some_and(EngineVersion::counts_consumed) || !facts.consumed.is_empty() || !facts.graphs_tried.is_empty()
}

/// What the engine's process usually grows outside the framework's allocator while it profiles, where the log does not
/// print it.
pub(crate) fn usual_non_torch_growth() -> Bytes {
    Bytes::new(Calibration::embedded().non_torch.value)
}
