//! The document of an estimate for SGLang.
//!
//! Sizes are bytes on one rank. What is not known is absent.

use serde::{Deserialize, Serialize};

use super::budget::SgLangBudget;
use crate::document::{FigureDocument, GpuDocument, ModelDocument};

/// The version of this document. A reader accepts the same number only.
pub(crate) const VERSION: u32 = 1;

/// What a server of SGLang takes of each device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(title = "vramscope estimate for SGLang"))]
#[non_exhaustive]
pub struct SgLangDocument {
    /// The document's version.
    pub vramscope_estimate_sglang: u32,
    /// The engine: `sglang`.
    pub engine_type: String,
    /// The model.
    pub model: ModelDocument,
    /// The device of each rank; absent where only a log's figures were given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gpu: Option<GpuDocument>,
    /// The server's settings with every default filled in.
    pub settings: SgLangSettings,
    /// Free before the weights are loaded.
    pub free_before_bytes: FigureDocument,
    /// What loading the weights takes.
    pub weights_bytes: FigureDocument,
    /// What weights, states and pool may take together.
    pub static_bytes: FigureDocument,
    /// Recurrent states; absent in models without.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub states_bytes: Option<FigureDocument>,
    /// The pool in whole pages.
    pub kv_pool_bytes: FigureDocument,
    /// Tokens of the pool: `max_total_num_tokens`.
    pub kv_pool_tokens: FigureDocument,
    /// Requests of `settings.context_length` tokens that the pool holds together; 0: not even one.
    pub full_requests: u64,
    /// Tokens of the pool of layers with a window; absent where they have none of their own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub window_pool_tokens: Option<FigureDocument>,
    /// Bytes of a token in the layers that keep all tokens.
    pub bytes_per_token: u64,
    /// Bytes of a token in the layers with a pool for a window; absent without such a pool.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub window_bytes_per_token: Option<u64>,
    /// The table of requests.
    pub request_table_bytes: FigureDocument,
    /// What attention's kernels set aside.
    pub workspace_bytes: FigureDocument,
    /// Captured graphs.
    pub cuda_graphs_bytes: FigureDocument,
    /// What is left for activations.
    pub left_bytes: FigureDocument,
    /// It starts, by the likely figures.
    pub fits: bool,
    /// The same answer holds over all intervals.
    pub certain: bool,
    /// How it fails: `weights`, `no_pool` (raise the share) or `slack` (lower it); absent where it starts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<String>,
    /// What to know of it, one sentence each.
    pub notes: Vec<String>,
    /// Arguments that were given and not heeded, with or without an effect on memory.
    pub ignored: Vec<String>,
}

/// A server's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SgLangSettings {
    /// The release.
    pub version: String,
    /// How well the rules of this release are known: `logged` (the pool of a public log was computed), `read`, `between`,
    /// `newer` or `before`.
    pub checked: String,
    /// Ranks that split each layer.
    pub tp_size: u64,
    /// Ranks that split the sequence of layers.
    pub pp_size: u64,
    /// Replicas.
    pub dp_size: u64,
    /// Share of what is free before loading, from 0 to 1.
    pub mem_fraction_static: f64,
    /// The least share that is still likely.
    pub mem_fraction_static_low: f64,
    /// The most that is still likely.
    pub mem_fraction_static_high: f64,
    /// Longest request in tokens.
    pub context_length: u64,
    /// Most requests at once on a replica.
    pub max_running_requests: u64,
    /// Tokens of a prompt that are computed together; absent where prompts are not cut.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub chunked_prefill_size: Option<u64>,
    /// Tokens of a page.
    pub page_size: u64,
    /// Batches of which graphs are captured.
    pub decode_graphs: u64,
    /// Prefills of which graphs are captured.
    pub prefill_graphs: u64,
}

impl SgLangDocument {
    /// The document of a budget.
    pub fn new(model: ModelDocument, gpu: Option<GpuDocument>, budget: &SgLangBudget) -> Self {
        let (args, pool) = (&budget.args, &budget.pool);
        Self {
            vramscope_estimate_sglang: VERSION,
            engine_type: "sglang".to_owned(),
            model,
            gpu,
            settings: SgLangSettings::of(budget),
            free_before_bytes: (&budget.free_before).into(),
            weights_bytes: (&budget.weights).into(),
            static_bytes: (&pool.static_memory).into(),
            states_bytes: pool.states.as_ref().map(Into::into),
            kv_pool_bytes: (&pool.bytes).into(),
            kv_pool_tokens: (&pool.tokens).into(),
            full_requests: budget.full_requests(),
            window_pool_tokens: pool.window_tokens.as_ref().map(Into::into),
            bytes_per_token: budget.cell.bytes,
            window_bytes_per_token: Some(budget.cell.window_bytes).filter(|bytes| *bytes > 0),
            request_table_bytes: (&budget.request_table).into(),
            workspace_bytes: (&budget.workspace).into(),
            cuda_graphs_bytes: (&budget.graphs).into(),
            left_bytes: (&budget.left).into(),
            fits: budget.failure.is_none(),
            certain: budget.certain,
            failure: budget.failure.map(|failure| failure.name().to_owned()),
            notes: budget.notes.clone(),
            ignored: args.ignored.clone(),
        }
    }
}

impl SgLangSettings {
    /// The settings of a budget.
    pub(super) fn of(budget: &SgLangBudget) -> Self {
        let (args, sizes) = (&budget.args, &budget.sizes);
        Self {
            version: args.version.to_string(),
            checked: budget.checked.name().to_owned(),
            tp_size: args.tp_size,
            pp_size: args.pp_size,
            dp_size: args.dp_size,
            mem_fraction_static: budget.share.value,
            mem_fraction_static_low: budget.share.low,
            mem_fraction_static_high: budget.share.high,
            context_length: budget.context_length,
            max_running_requests: budget.max_running_requests,
            chunked_prefill_size: Some(sizes.chunked_prefill_size).filter(|tokens| *tokens > 0),
            page_size: args.page(),
            decode_graphs: sizes.decode_graphs,
            prefill_graphs: sizes.prefill_graphs,
        }
    }
}

/// The JSON Schema of [`SgLangDocument`].
#[cfg(feature = "json-schema")]
pub fn sglang_json_schema() -> schemars::Schema {
    schemars::schema_for!(SgLangDocument)
}
