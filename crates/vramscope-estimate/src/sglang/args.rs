//! The server's arguments, as far as they decide memory.

use super::release::SgLangVersion;
use vramscope_core::ElementType;

/// What a server is started with. `None` is what the server takes when the argument is not given.
#[derive(Debug, Clone, PartialEq)]
pub struct SgLangArgs {
    /// The release.
    pub version: SgLangVersion,
    /// Ranks that split each layer.
    pub tp_size: u64,
    /// Ranks that split the sequence of layers.
    pub pp_size: u64,
    /// Replicas; with `dp_attention` those of the attention alone, within the ranks that split a layer.
    pub dp_size: u64,
    /// Ranks among which experts are dealt out whole; 1: they are split as everything else.
    pub ep_size: u64,
    /// Attention is replicated within the ranks that split a layer.
    pub dp_attention: bool,
    /// Element type of weights and activations.
    pub dtype: Option<ElementType>,
    /// Quantization while loading.
    pub quantization: Option<String>,
    /// Element type of the pool.
    pub kv_cache_dtype: Option<String>,
    /// Longest request in tokens.
    pub context_length: Option<u64>,
    /// What the line sets [`SGLANG_ALLOWS_LONG`](crate::SGLANG_ALLOWS_LONG) to.
    pub allow_longer_context: Option<String>,
    /// Share of what was free before loading that weights and pool may take.
    pub mem_fraction_static: Option<f64>,
    /// Most requests at once.
    pub max_running_requests: Option<u64>,
    /// Most tokens of the pool.
    pub max_total_tokens: Option<u64>,
    /// Tokens of a prompt that are computed together; 0: prompts are not cut.
    pub chunked_prefill_size: Option<u64>,
    /// Most tokens of prompts in one step.
    pub max_prefill_tokens: u64,
    /// Tokens of a page.
    pub page_size: Option<u64>,
    /// The largest batch of which a graph is captured.
    pub cuda_graph_max_bs: Option<u64>,
    /// Batches of which graphs are captured, where given one by one.
    pub cuda_graph_batches: Option<u64>,
    /// No graphs of decoding.
    pub disable_cuda_graph: bool,
    /// Graphs of prefills; `None`: as the release does unasked.
    pub prefill_graphs: Option<bool>,
    /// Tokens of a window's pool for each of the full one.
    pub swa_full_tokens_ratio: Option<f64>,
    /// Layers with a window keep all tokens.
    pub disable_hybrid_swa_memory: bool,
    /// Memory of recurrent states for each byte of the pool.
    pub mamba_full_memory_ratio: f64,
    /// Options that take memory and are not modelled, as they were given.
    pub unmodelled: Vec<String>,
    /// Options that were given and not heeded.
    pub ignored: Vec<String>,
}

/// Tokens of prompts in one step, where nobody says (`server_args.py`, all releases).
const PREFILL_TOKENS: u64 = 16384;
/// Memory of states for each byte of the pool (since 0.5.6).
const STATES_PER_POOL: f64 = 0.9;

impl Default for SgLangArgs {
    fn default() -> Self {
        Self {
            version: SgLangVersion::NEWEST,
            tp_size: 1,
            pp_size: 1,
            dp_size: 1,
            ep_size: 1,
            dp_attention: false,
            dtype: None,
            quantization: None,
            kv_cache_dtype: None,
            context_length: None,
            allow_longer_context: None,
            mem_fraction_static: None,
            max_running_requests: None,
            max_total_tokens: None,
            chunked_prefill_size: None,
            max_prefill_tokens: PREFILL_TOKENS,
            page_size: None,
            cuda_graph_max_bs: None,
            cuda_graph_batches: None,
            disable_cuda_graph: false,
            prefill_graphs: None,
            swa_full_tokens_ratio: None,
            disable_hybrid_swa_memory: false,
            mamba_full_memory_ratio: STATES_PER_POOL,
            unmodelled: Vec::new(),
            ignored: Vec::new(),
        }
    }
}

impl SgLangArgs {
    /// Ranks of the whole server without replicas.
    pub(crate) fn ranks(&self) -> u64 {
        self.tp_size.saturating_mul(self.pp_size)
    }

    /// Ranks that split attention's heads.
    pub(crate) fn attention_ranks(&self) -> u64 {
        if self.dp_attention { (self.tp_size / self.dp_size.max(1)).max(1) } else { self.tp_size }
    }

    /// Replicas within the ranks, which share the requests.
    pub(crate) fn attention_replicas(&self) -> u64 {
        if self.dp_attention { self.dp_size.max(1) } else { 1 }
    }

    /// Tokens of a page: 1 unless an attention kernel wants more.
    pub(crate) fn page(&self) -> u64 {
        self.page_size.unwrap_or(1).max(1)
    }
}
