//! What an engine is told when it starts.

use std::fmt;
use std::str::FromStr;

use vramscope_core::{Architecture, Bytes, ElementType};

use crate::EstimateError;
use crate::vllm::activations::CHOOSES_RUNNER;
use crate::vllm::drafts::Drafter;
use crate::vllm::graph_args::GraphArgs;
use crate::vllm::lengths::ALLOWS_LONG;

/// A release of vLLM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct EngineVersion {
    /// Major number.
    pub major: u16,
    /// Minor number.
    pub minor: u16,
    /// Patch number.
    pub patch: u16,
}

impl EngineVersion {
    /// The newest release whose rules are known here; every default here stands for it.
    pub const NEWEST: Self = Self::new(0, 33, 0);

    /// The release that most recordings were made with.
    pub const RECORDED: Self = Self::new(0, 25, 1);

    /// A release by its numbers.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// The share of a device that the engine takes when it is not told: 0.92 since 0.20, 0.9 before.
    pub const fn default_gpu_memory_utilization(self) -> f64 {
        if self.from_minor(20) { 0.92 } else { 0.9 }
    }

    /// Whether engines of this release were recorded: 0.25 and 0.33.
    pub const fn is_recorded(self) -> bool {
        self.major == 0 && matches!(self.minor, 25 | 33)
    }

    /// Whether the engine takes all that is gone from the device off its budget, and not weights, growth and peak alone:
    /// since 0.27 (`utils/mem_utils.py`, `total_consumed`).
    pub const fn counts_consumed(self) -> bool {
        self.from_minor(27)
    }

    /// Whether this is `minor` of the `0.x` line or later.
    pub const fn from_minor(self, minor: u16) -> bool {
        self.major > 0 || self.minor >= minor
    }
}

impl fmt::Display for EngineVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}.{}", self.major, self.minor, self.patch))
    }
}

impl FromStr for EngineVersion {
    type Err = EstimateError;

    /// Reads `0.25.1`, `v0.25.1`, `0.25` and names with a suffix (`0.12.0.post2`, `0.9.1rc1+cu128`).
    fn from_str(text: &str) -> Result<Self, EstimateError> {
        let bad = || EstimateError::BadArgument {
            name: "--vllm-version",
            value: text.chars().take(40).collect(),
            expected: "a release such as 0.25.1",
        };
        let mut numbers = [0_u16; 3];
        let bare = text.strip_prefix('v').unwrap_or(text);
        for (place, part) in bare.split('.').take(3).enumerate() {
            let digits: &str = &part[..part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len())];
            if digits.is_empty() && place == 2 {
                break;
            }
            numbers[place] = digits.parse().map_err(|_| bad())?;
            if digits.len() < part.len() {
                break;
            }
        }
        if !bare.contains('.') {
            return Err(bad());
        }
        Ok(Self::new(numbers[0], numbers[1], numbers[2]))
    }
}

/// How the engine is used; its defaults differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Usage {
    /// `vllm serve`.
    #[default]
    Server,
    /// The `LLM` class and the offline benchmarks.
    Offline,
}

/// What the engine's defaults are chosen for (`--performance-mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PerformanceMode {
    /// Neither.
    #[default]
    Balanced,
    /// Short answers' times: graphs for every small step.
    Interactivity,
    /// Tokens per second: steps of twice as many tokens and requests.
    Throughput,
}

/// Adapters that the engine makes room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lora {
    /// Adapters in one batch.
    pub max_loras: u64,
    /// The largest rank.
    pub max_rank: u64,
}

/// Engine arguments, by vLLM's names. `None` is what the engine takes when the argument is not given.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineArgs {
    /// The engine's release.
    pub version: EngineVersion,
    /// How it is used.
    pub usage: Usage,
    /// Ranks that split each layer.
    pub tensor_parallel_size: u64,
    /// Ranks that split the sequence of layers.
    pub pipeline_parallel_size: u64,
    /// Replicas.
    pub data_parallel_size: u64,
    /// Experts are dealt out whole instead of being split.
    pub enable_expert_parallel: bool,
    /// Element type of weights and activations.
    pub dtype: Option<ElementType>,
    /// Quantization method, where given to the engine (quantizes a plain checkpoint while loading).
    pub quantization: Option<String>,
    /// Element type of the KV cache; `None` is `auto`.
    pub kv_cache_dtype: Option<String>,
    /// Longest request in tokens.
    pub max_model_len: Option<u64>,
    /// The longest request is what the cache has room for, up to what the engine derives of the model; a given length
    /// goes before it.
    pub auto_max_model_len: bool,
    /// Lengths above what the engine derives of the model are accepted (the variable VLLM_ALLOW_LONG_MAX_MODEL_LEN).
    pub allow_long_max_model_len: bool,
    /// Most requests in one step.
    pub max_num_seqs: Option<u64>,
    /// Most tokens in one step.
    pub max_num_batched_tokens: Option<u64>,
    /// Tokens of one KV block.
    pub block_size: Option<u64>,
    /// Share of the device that the engine may use.
    pub gpu_memory_utilization: Option<f64>,
    /// Size of the KV cache on each rank; overrides the share.
    pub kv_cache_memory: Option<Bytes>,
    /// Number of KV blocks; overrides what is computed.
    pub num_gpu_blocks_override: Option<u64>,
    /// No compilation and no graphs.
    pub enforce_eager: bool,
    /// What is said of graphs.
    pub graphs: GraphArgs,
    /// Prefixes are shared between requests.
    pub enable_prefix_caching: Option<bool>,
    /// Long prompts are cut into the chunks of several steps.
    pub enable_chunked_prefill: Option<bool>,
    /// What defaults are chosen for.
    pub performance_mode: PerformanceMode,
    /// Steps overlap with scheduling.
    pub async_scheduling: Option<bool>,
    /// Layers with a window get blocks like all others.
    pub disable_hybrid_kv_cache_manager: Option<bool>,
    /// Adapters.
    pub lora: Option<Lora>,
    /// Tokens guessed ahead by a drafter.
    pub num_speculative_tokens: u64,
    /// What guesses them.
    pub drafter: Option<Drafter>,
    /// Weights are made up, not read (`--load-format dummy`).
    pub dummy_weights: bool,
    /// The second runner as the variable VLLM_USE_V2_MODEL_RUNNER says, where it is set.
    pub second_runner: Option<bool>,
    /// Only the language part of a multimodal model is loaded.
    pub language_model_only: bool,
    /// Element type of recurrent states, in place of the model's.
    pub mamba_ssm_cache_dtype: Option<ElementType>,
    /// Fields in place of the config's own, an object of JSON; whoever reads the config applies them and takes them away.
    pub hf_overrides: Option<String>,
    /// Options that were given, and matter for memory and are not modelled, or are not known here: nothing is certain beside
    /// them.
    pub unmodelled: Vec<String>,
    /// Options as they were given, but for those that a placement sets by itself: what a command line of the same engine
    /// has to say beside them.
    pub kept: Vec<String>,
}

impl Default for EngineArgs {
    fn default() -> Self {
        Self {
            version: EngineVersion::NEWEST,
            usage: Usage::Server,
            tensor_parallel_size: 1,
            pipeline_parallel_size: 1,
            data_parallel_size: 1,
            enable_expert_parallel: false,
            dtype: None,
            quantization: None,
            kv_cache_dtype: None,
            max_model_len: None,
            auto_max_model_len: false,
            allow_long_max_model_len: false,
            max_num_seqs: None,
            max_num_batched_tokens: None,
            block_size: None,
            gpu_memory_utilization: None,
            kv_cache_memory: None,
            num_gpu_blocks_override: None,
            enforce_eager: false,
            graphs: GraphArgs::default(),
            enable_prefix_caching: None,
            enable_chunked_prefill: None,
            performance_mode: PerformanceMode::Balanced,
            async_scheduling: None,
            disable_hybrid_kv_cache_manager: None,
            lora: None,
            num_speculative_tokens: 0,
            drafter: None,
            dummy_weights: false,
            second_runner: None,
            language_model_only: false,
            mamba_ssm_cache_dtype: None,
            hf_overrides: None,
            unmodelled: Vec::new(),
            kept: Vec::new(),
        }
    }
}

impl EngineArgs {
    /// Takes what the engine's environment says, by the variables' names.
    pub fn take_environment(&mut self, value: impl Fn(&str) -> Option<String>) {
        let switch = |name: &str| value(name).map(|set| !["", "0", "false", "False"].contains(&set.as_str()));
        self.allow_long_max_model_len |= switch(ALLOWS_LONG) == Some(true);
        self.second_runner = switch(CHOOSES_RUNNER).or(self.second_runner);
    }

    /// The element type that the engine uses: as told, else the model's; 32-bit models run in 16 bits, and a config
    /// that says nothing is taken as bfloat16.
    pub fn element_type(&self, model: &Architecture) -> ElementType {
        match self.dtype.or(model.dtype) {
            Some(given) if self.dtype.is_some() => given,
            Some(ElementType::F32) => ElementType::Bf16,
            Some(own) => own,
            None => ElementType::Bf16,
        }
    }

    /// Checks what no engine accepts.
    pub(crate) fn check(&self) -> Result<(), EstimateError> {
        let counts = [
            ("--tensor-parallel-size", Some(self.tensor_parallel_size), 1 << 16),
            ("--pipeline-parallel-size", Some(self.pipeline_parallel_size), 1 << 12),
            ("--data-parallel-size", Some(self.data_parallel_size), 1 << 16),
            ("--max-model-len", self.max_model_len, 1 << 40),
            ("--max-num-seqs", self.max_num_seqs, 1 << 32),
            ("--max-num-batched-tokens", self.max_num_batched_tokens, 1 << 40),
            ("--block-size", self.block_size, 1 << 20),
            ("--max-loras", self.lora.map(|lora| lora.max_loras), 1 << 20),
            ("--max-lora-rank", self.lora.map(|lora| lora.max_rank), 1 << 20),
            ("--max-cudagraph-capture-size", self.graphs.largest, 1 << 20),
            ("--num-gpu-blocks-override", self.num_gpu_blocks_override, 1 << 48),
        ];
        for (name, value, most) in counts {
            if let Some(value) = value.filter(|v| !(1..=most).contains(v)) {
                return Err(EstimateError::BadArgument {
                    name,
                    value: value.to_string(),
                    expected: "a positive number",
                });
            }
        }
        if let Some(draft) = self.drafter.as_ref().and_then(|drafter| drafter.draft.as_deref()) {
            crate::shape::check(&draft.architecture)?;
            if draft.inputs > 1 << 32 || draft.draft_vocab_size.is_some_and(|words| words > 1 << 30) {
                return Err(EstimateError::BadArgument {
                    name: "--speculative-config",
                    value: format!("a head over {} values", draft.inputs),
                    expected: "a drafter of a plausible size",
                });
            }
        }
        if self.num_speculative_tokens > 1 << 20 {
            return Err(EstimateError::BadArgument {
                name: "--num-speculative-tokens",
                value: self.num_speculative_tokens.to_string(),
                expected: "a number of tokens that a drafter guesses",
            });
        }
        if let Some(share) = self.gpu_memory_utilization.filter(|s| !(*s > 0.0 && *s <= 1.0)) {
            return Err(EstimateError::BadArgument {
                name: "--gpu-memory-utilization",
                value: share.to_string(),
                expected: "a share above 0 and up to 1",
            });
        }
        Ok(())
    }
}
