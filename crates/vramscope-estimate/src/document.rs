//! The documents of `vramscope estimate --format json` and `vramscope fit --format json`.
//!
//! Sizes are bytes on one rank unless a name says otherwise. What is not known is absent.

mod fit;
mod layers;
mod run_layers;
mod time;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vramscope_core::{Bytes, FailureKind};

pub use fit::{ChangeRow, DeviceRow, FitDocument, Placed};
pub use layers::{
    AlikeLayersDocument, CacheSharingDocument, LayerCacheDocument, LayerRange, OutsideLayersDocument,
    StageLayersDocument,
};
pub use run_layers::{BesideRow, RUN_LAYERS_VERSION, RunLayersDocument, stage_layers};
pub use time::{BatchTimeDocument, LimitsDocument, PhaseTimeDocument, SecondsDocument, TimeDocument};

use crate::figure::Figure;
use crate::vllm::budget::{Budget, Setting, Verdict, WorkloadUse};
use crate::vllm::kv::CacheKind;
use crate::{EngineArgs, GpuModel, Runner, StageLayers};

/// The version of these documents. A reader accepts the same number only.
pub const VERSION: u32 = 1;

/// The memory budget of one rank, as the engine will set it up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(title = "vramscope estimate"))]
#[non_exhaustive]
pub struct EstimateDocument {
    /// The document's version.
    pub vramscope_estimate: u32,
    /// The model.
    pub model: ModelDocument,
    /// The engine with every default filled in.
    pub engine: EngineDocument,
    /// The device of each rank.
    pub gpu: GpuDocument,
    /// The budget of one rank: of the pipeline stage with the least room.
    pub budget: BudgetDocument,
    /// How the KV cache is laid out.
    pub kv: KvDocument,
    /// Whether the engine starts.
    pub verdict: VerdictDocument,
    /// What the workload makes of the KV cache, where one is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadDocument>,
    /// Memory by layer on the ranks of each pipeline stage, in order, where it is asked for. Ranks of a stage are alike.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub per_layer: Option<Vec<StageLayersDocument>>,
    /// How long the workload takes, where one is given and the engine starts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time: Option<TimeDocument>,
}

/// A model by what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct ModelDocument {
    /// Its name, folder or file as given.
    pub name: String,
    /// The class that implements it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Parameters of the whole model; a tied head counts once.
    pub parameters: u64,
    /// The rules for its family are known; else it was read by general ones and every figure is less certain.
    pub known_family: bool,
    /// What was taken for granted, one sentence each.
    pub notes: Vec<String>,
}

/// An engine's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct EngineDocument {
    /// The release of vLLM.
    pub version: String,
    /// The runner within the engine: `v1` or `v2`.
    pub runner: String,
    /// Ranks that split each layer.
    pub tensor_parallel_size: u64,
    /// Ranks that split the sequence of layers.
    pub pipeline_parallel_size: u64,
    /// Longest request in tokens.
    pub max_model_len: u64,
    /// Most requests in one step.
    pub max_num_seqs: u64,
    /// Most tokens in one step.
    pub max_num_batched_tokens: u64,
    /// Share of the device, from 0 to 1.
    pub gpu_memory_utilization: f64,
    /// Compilation and graphs are off.
    pub enforce_eager: bool,
    /// Sizes for which graphs are captured.
    pub cuda_graph_sizes: u64,
    /// What guesses tokens ahead; absent without.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub drafter: Option<DrafterDocument>,
    /// How well the rules for this release are known: `recorded`, `planned` (compared with the release's own planner),
    /// `between`, `newer` or `before`.
    pub checked: String,
    /// What to know of options that are not modelled, and of a release that is neither recorded nor planned.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<String>,
    /// Arguments that were given and are not used here.
    pub ignored: Vec<String>,
}

/// What guesses tokens ahead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct DrafterDocument {
    /// `ngram`, `suffix`, `mtp`, `eagle`, `eagle3`, `draft_model` or `other`.
    pub method: String,
    /// Its model's name or folder, where it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<String>,
    /// Tokens guessed in a step of each request.
    pub num_speculative_tokens: u64,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct GpuDocument {
    /// Its short name.
    pub key: String,
    /// Its name.
    pub name: String,
    /// All memory that the framework sees, in bytes.
    pub total_bytes: u64,
    /// Memory that other processes hold, in bytes.
    pub others_bytes: u64,
    /// Where the size is from.
    pub source: String,
}

/// A number with its interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FigureDocument {
    /// The most likely value.
    pub value: u64,
    /// The least that is still likely.
    pub low: u64,
    /// The most that is still likely.
    pub high: u64,
    /// How well it is known: `computed`, `estimated` or `assumed`.
    pub confidence: String,
    /// A stable short name of the method.
    pub method: String,
    /// The formula in words and symbols.
    pub formula: String,
    /// What went into the formula: bytes and counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub inputs: BTreeMap<String, u64>,
}

/// A ratio with its interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RatioDocument {
    /// The most likely value.
    pub value: f64,
    /// The least that is still likely.
    pub low: f64,
    /// The most that is still likely.
    pub high: f64,
    /// How well it is known.
    pub confidence: String,
    /// A stable short name of the method.
    pub method: String,
}

/// The budget, part by part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct BudgetDocument {
    /// What the engine may use, in bytes: device total x share.
    pub requested_bytes: FigureDocument,
    /// Weights as loaded, in bytes.
    pub weights_bytes: FigureDocument,
    /// What a rank keeps beside its weights after the profile run, in bytes: tables, workspaces, the allocator's reserve.
    /// Zero for engines that do not count it (before 0.28).
    pub held_bytes: FigureDocument,
    /// The transient peak of the profile run, in bytes; where `held_bytes` counts, above what stays.
    pub activation_peak_bytes: FigureDocument,
    /// Captured graphs as they end up on the device, in bytes.
    pub cuda_graphs_bytes: FigureDocument,
    /// What the engine takes off its budget for graphs, in bytes; zero where it sets nothing aside.
    pub cuda_graphs_budgeted_bytes: FigureDocument,
    /// Growth outside the framework's allocator, in bytes.
    pub non_torch_bytes: FigureDocument,
    /// What the process holds before the engine's first snapshot, in bytes; on top of what was requested.
    pub runtime_context_bytes: FigureDocument,
    /// What is left for the KV cache, in bytes.
    pub available_bytes: FigureDocument,
    /// The KV cache as allocated, in bytes: whole blocks.
    pub kv_cache_bytes: FigureDocument,
    /// Blocks of the KV cache.
    pub num_gpu_blocks: FigureDocument,
    /// Tokens of one block.
    pub block_size: FigureDocument,
    /// Tokens of the KV cache as the engine reports them.
    pub kv_cache_tokens: FigureDocument,
    /// Requests of `max_model_len` tokens that fit together.
    pub max_concurrency: RatioDocument,
}

/// The layout of the KV cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct KvDocument {
    /// Groups of layers; each draws its own blocks from the one pool.
    pub groups: Vec<KvGroupDocument>,
    /// Bytes of one block of the pool.
    pub bytes_per_block: u64,
    /// Blocks that one request of `max_model_len` tokens takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks_per_request: Option<u64>,
    /// The layout is one that is not reproduced exactly.
    pub approximate: bool,
}

/// Layers that share a table of blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct KvGroupDocument {
    /// `full`, `latent`, `compressed`, `sliding`, `chunked` or `recurrent`.
    pub kind: String,
    /// Tokens of the window or the chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// Layers of the whole model in the group.
    pub layers: u64,
    /// Tokens of one block.
    pub block_size: u64,
    /// Bytes of one block in one layer; in the widest where layers differ.
    pub page_bytes: u64,
}

/// Whether the engine starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct VerdictDocument {
    /// It starts.
    pub fits: bool,
    /// The answer holds over the whole interval.
    pub certain: bool,
    /// How it refuses, by the names of the log report; absent if it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What a request of `max_model_len` needs, in bytes, where that is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed_bytes: Option<u64>,
    /// What is free when the engine starts, in bytes, where that is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// The longest `max_model_len` in tokens with which it would start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_model_len: Option<u64>,
}

/// A workload against the KV cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct WorkloadDocument {
    /// Tokens of one request at its end.
    pub tokens_per_request: u64,
    /// Blocks that one request takes.
    pub blocks_per_request: u64,
    /// Requests of this length that the cache holds together, at most as many as a step may have.
    pub concurrent_requests: u64,
    /// Requests wanted together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u64>,
    /// Bytes of the KV cache that the wanted (or else the possible) requests take.
    pub kv_bytes: u64,
    /// A request is within `max_model_len`.
    pub within_model_len: bool,
    /// The wanted requests run together without waiting.
    pub fits: bool,
}

impl From<&Figure> for FigureDocument {
    fn from(figure: &Figure) -> Self {
        Self {
            value: figure.value,
            low: figure.low,
            high: figure.high,
            confidence: figure.confidence.name().to_owned(),
            method: figure.method.to_owned(),
            formula: figure.formula.to_owned(),
            inputs: figure.inputs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        }
    }
}

/// Thousandths as a ratio.
fn ratio(milli: &Figure) -> RatioDocument {
    #[expect(clippy::cast_precision_loss, reason = "requests, not astronomy")]
    let of = |value: u64| value as f64 / 1000.0;
    RatioDocument {
        value: of(milli.value),
        low: of(milli.low),
        high: of(milli.high),
        confidence: milli.confidence.name().to_owned(),
        method: milli.method.to_owned(),
    }
}

impl EstimateDocument {
    /// The document of a budget.
    pub fn new(
        model: ModelDocument,
        budget: &Budget,
        args: &EngineArgs,
        setting: Setting<'_>,
        workload: Option<WorkloadUse>,
        ignored: Vec<String>,
    ) -> Self {
        Self {
            vramscope_estimate: VERSION,
            model,
            engine: engine(budget, args, ignored),
            gpu: GpuDocument::new(setting.device, setting.others),
            budget: BudgetDocument {
                requested_bytes: (&budget.requested).into(),
                weights_bytes: (&budget.weights).into(),
                held_bytes: (&budget.held).into(),
                activation_peak_bytes: (&budget.activation_peak).into(),
                cuda_graphs_bytes: (&budget.cuda_graphs).into(),
                cuda_graphs_budgeted_bytes: (&budget.cuda_graphs_budgeted).into(),
                non_torch_bytes: (&budget.non_torch).into(),
                runtime_context_bytes: (&budget.runtime_context).into(),
                available_bytes: (&budget.available).into(),
                kv_cache_bytes: (&budget.kv_cache).into(),
                num_gpu_blocks: (&budget.num_gpu_blocks).into(),
                block_size: (&budget.block_size).into(),
                kv_cache_tokens: (&budget.kv_cache_tokens).into(),
                max_concurrency: ratio(&budget.max_concurrency_milli),
            },
            kv: kv(budget),
            verdict: (&budget.verdict).into(),
            workload: workload.map(WorkloadDocument::from),
            per_layer: None,
            time: None,
        }
    }

    /// The same with memory by layer.
    #[must_use]
    pub fn with_layers(self, stages: &[StageLayers]) -> Self {
        Self { per_layer: Some(stage_layers(stages)), ..self }
    }

    /// The same with times.
    #[must_use]
    pub fn with_time(self, time: TimeDocument) -> Self {
        Self { time: Some(time), ..self }
    }
}

fn engine(budget: &Budget, args: &EngineArgs, ignored: Vec<String>) -> EngineDocument {
    let engine = &budget.engine;
    EngineDocument {
        version: engine.version.to_string(),
        runner: runner_name(engine.runner).to_owned(),
        tensor_parallel_size: engine.tensor_parallel_size,
        pipeline_parallel_size: engine.pipeline_parallel_size,
        max_model_len: engine.max_model_len,
        max_num_seqs: engine.max_num_seqs,
        max_num_batched_tokens: engine.max_num_batched_tokens,
        gpu_memory_utilization: engine.gpu_memory_utilization,
        enforce_eager: args.enforce_eager,
        drafter: args.drafter.as_ref().map(|drafter| DrafterDocument {
            method: drafter.method.name().to_owned(),
            model: drafter.model.clone(),
            num_speculative_tokens: args.num_speculative_tokens,
        }),
        cuda_graph_sizes: engine.capture_sizes,
        checked: engine.version.checked().name().to_owned(),
        notes: budget.notes.clone(),
        ignored,
    }
}

/// A runner's name in documents.
pub fn runner_name(runner: Runner) -> &'static str {
    match runner {
        Runner::V1 => "v1",
        Runner::V2 => "v2",
    }
}

impl GpuDocument {
    /// A device of which others hold so much.
    pub fn new(device: &GpuModel, others: Bytes) -> Self {
        Self {
            key: device.key.to_owned(),
            name: device.name.to_owned(),
            total_bytes: device.total.get(),
            others_bytes: others.get(),
            source: device.source.to_owned(),
        }
    }
}

/// The name of a kind of cache, and the tokens of its window or chunk.
fn cache_kind(kind: CacheKind) -> (&'static str, Option<u64>) {
    match kind {
        CacheKind::Full => ("full", None),
        CacheKind::Latent => ("latent", None),
        CacheKind::Compressed => ("compressed", None),
        CacheKind::Sliding(window) => ("sliding", Some(window)),
        CacheKind::Chunked(chunk) => ("chunked", Some(chunk)),
        CacheKind::Recurrent => ("recurrent", None),
    }
}

fn kv(budget: &Budget) -> KvDocument {
    let plan = &budget.plan;
    let group = |group: &crate::KvGroup| {
        let (kind, window) = cache_kind(group.kind);
        let (layers, block_size, page_bytes) = (group.layers, group.block_size, group.page_bytes);
        KvGroupDocument { kind: kind.to_owned(), window, layers, block_size, page_bytes }
    };
    KvDocument {
        groups: plan.groups.iter().map(group).collect(),
        bytes_per_block: plan.bytes_per_block,
        blocks_per_request: plan.blocks_per_request(budget.engine.max_model_len),
        approximate: plan.approximate,
    }
}

impl From<&Verdict> for VerdictDocument {
    fn from(verdict: &Verdict) -> Self {
        let (needed, free) = match &verdict.failure {
            Some(FailureKind::KvCacheTooSmallForMaxModelLen { needed, .. }) => (*needed, None),
            Some(FailureKind::FreeMemoryBelowUtilization { free, .. }) => (None, *free),
            _ => (None, None),
        };
        Self {
            fits: verdict.fits,
            certain: verdict.certain,
            failure: verdict.failure.as_ref().map(|failure| failure.name().to_owned()),
            needed_bytes: needed.map(vramscope_core::Bytes::get),
            free_bytes: free.map(vramscope_core::Bytes::get),
            longest_model_len: verdict.longest_model_len,
        }
    }
}

impl From<WorkloadUse> for WorkloadDocument {
    fn from(used: WorkloadUse) -> Self {
        Self {
            tokens_per_request: used.tokens_per_request,
            blocks_per_request: used.blocks_per_request,
            concurrent_requests: used.concurrent_requests,
            wanted: used.wanted,
            kv_bytes: used.bytes,
            within_model_len: used.within_model_len,
            fits: used.within_model_len && used.wanted.is_none_or(|wanted| wanted <= used.concurrent_requests),
        }
    }
}

/// The JSON Schema of `vramscope estimate --format json`.
#[cfg(feature = "json-schema")]
pub fn json_schema() -> schemars::Schema {
    schemars::schema_for!(EstimateDocument)
}

/// The JSON Schema of `vramscope fit --format json`.
#[cfg(feature = "json-schema")]
pub fn fit_json_schema() -> schemars::Schema {
    schemars::schema_for!(FitDocument)
}

/// The JSON Schema of `vramscope analyze --per-layer --format json`.
#[cfg(feature = "json-schema")]
pub fn run_layers_json_schema() -> schemars::Schema {
    schemars::schema_for!(RunLayersDocument)
}
